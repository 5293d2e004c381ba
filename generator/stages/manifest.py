"""The first and the last touch: is there anything to do, and the manifest that says all is done."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import PIL
import torch
import torchvision

import generator
from generator.core.blueprint import blueprint_to_json
from generator.core.checksums import Faults
from generator.core.errors import AtlasError
from generator.core.places import published
from generator.core.records import LabelReading, Manifest, PictureSetInfo, Skipped, title_of, to_json
from generator.core.sprites import THUMB, enlarge, mosaic, thumb_columns, webp
from generator.core.store import fingerprint
from generator.methods.kernels import first_kernels
from generator.stages import keys
from generator.stages.first_layers import write_first_layers
from generator.stages.inputs import Inputs
from generator.stages.optimised_pictures import ascent_report
from generator.stages.picture_reading import usable_files
from generator.stages.repair import damaged_stages, take_over
from generator.stages.run import Run
from generator.stages.tables import write_channels_csv

KERNEL_TILE = 56  # px, wanted side of a first-layer kernel


@dataclass(frozen=True)
class Found:
    """What a job finds in its folder. keys: what an atlas that was finished there was made from, {} for none; date: of
    that atlas; faults: of its files against their checksums, None where it has no checksums."""

    keys: Mapping[str, str]
    date: str
    faults: Faults | None
    is_complete: bool


def look(inputs: Inputs, run: Run) -> Found:
    """Read what is in the folder and hash every file of it: it is complete if it is just the atlas that this job would
    make, and no file has changed since it was written."""
    store = run.store
    if not store.is_finished():
        return Found({}, "", None, False)
    files = len(store.checksums() or ())
    with run.reporter.stage("checksums", files, "files") as advance:
        faults = store.find_faults(advance)
    keys, date = store.made_from()
    good = faults is not None and not faults.damaged and not (set(faults.unlisted) & store.own_files())
    return Found(keys, date, faults, good and keys == stage_keys(inputs))


def prepare(inputs: Inputs, run: Run, found: Found) -> None:
    """Take over from a finished atlas whatever still holds, and withdraw its manifest: it is no longer true. Files that
    are damaged are dropped, and made anew by the stages that make them."""
    if run.ranks.leads and run.store.is_finished():
        current = stage_keys(inputs)
        if found.keys.get("all") == current["all"]:
            run.store.work.write_stamp("date", f"{current['all']} {found.date}")
        _say(run, found)
        take_over(
            inputs,
            run,
            {stage for stage, key in current.items() if found.keys.get(stage) == key},
            found.faults,
        )
        run.store.withdraw_manifest()
    run.ranks.meet()


def _say(run: Run, found: Found) -> None:
    if found.faults is None:
        run.reporter.note(f"{run.store.folder} has no checksums yet: its files are taken as they are")
    elif damaged := found.faults.damaged:
        again = ", ".join(sorted(damaged_stages(found.faults))) or "tables"
        run.reporter.note(
            f"{len(damaged)} damaged or missing files in {run.store.folder}, the first {damaged[0]}; "
            f"what is made anew: {again}"
        )


def finish(inputs: Inputs, run: Run) -> None:
    """Write kernels, channels.csv, the checksums and the manifest; drop what belongs to no layer of it, and the work
    folder."""
    network, store = inputs.network, run.store
    if network.kernels is not None and network.layers[0].kind == "stem":
        _write_kernels(inputs, run)
    write_first_layers(inputs, run)
    _write_architecture(inputs, run)
    write_channels_csv(store, network.layers)
    store.tidy([layer.name for layer in network.layers], patches="patches" in inputs.panels)
    store.tables.write_json("keys.json", stage_keys(inputs))
    manifest = store.manifest_bytes(_manifest(inputs, run))
    # The manifest says that all is done, so it comes last; its checksum is known before.
    store.write_checksums({"manifest.json": manifest})
    store.write_manifest(manifest)
    store.work.clear()


def _write_kernels(inputs: Inputs, run: Run) -> None:
    kernels = first_kernels(inputs.network)
    tiles = np.stack([enlarge(kernel, _kernel_factor(kernels.shape[1])) for kernel in kernels])
    # Lossless: a kernel is a few dozen numbers, and each pixel should stay one.
    pixels = mosaic(tiles, thumb_columns(len(tiles)))
    run.store.pictures.write(
        run.store.pictures.kernels_path(inputs.network.layers[0].name), webp(pixels, 100, lossless=True)
    )


def _write_architecture(inputs: Inputs, run: Run) -> None:
    """The blueprint of the whole network, also where the weights end before it does."""
    run.store.tables.write_json("architecture.json", blueprint_to_json(inputs.blueprint))


def _kernel_factor(side: int) -> int:
    return max(1, round(KERNEL_TILE / side))


def stage_keys(inputs: Inputs) -> dict[str, str]:
    """Fingerprint by stage; `all` covers them and what the tables and the manifest say besides."""
    by_stage = {
        "scan": keys.scan(inputs),
        "stream": keys.stream(inputs),
        "scale truth": keys.scale_truth(inputs),
        "optimised stream": keys.optimised_stream(inputs),
        "sprites": keys.sprites(inputs),
        "relations": keys.correspondence(inputs),
        "gradient rules": keys.gradient_rules(inputs),
        "ascent": keys.optimised_pictures(inputs),
        "features": keys.features(inputs),
        "predictions": keys.predictions(inputs),
        "embedding": keys.embedding(inputs),
        "first layers": keys.first_layers(inputs),
        "dreams": keys.dreams(inputs),
    }
    return {**by_stage, "all": fingerprint(by_stage, _said(inputs))}


def _said(inputs: Inputs) -> list[Any]:
    """What the tables and the manifest say of the inputs themselves."""
    network = inputs.network
    return [
        _public(inputs.profile.model_dump()),
        [network.model, to_json(network.weights), network.parameters, network.classes, network.given_head],
        network.preprocessing.source,
        [to_json(layer) for layer in network.layers],
        blueprint_to_json(inputs.blueprint),
        inputs.pictures.source,
        [to_json(inputs.pictures.labels), [to_json(file) for file in inputs.pictures.passed_over]],
        inputs.accuracy_basis.sentence,
        generator.__version__,
    ]


def _manifest(inputs: Inputs, run: Run) -> Manifest:
    network, profile, store = inputs.network, inputs.profile, run.store
    scan: Mapping[str, Any] = store.tables.read_json("scan.json") or {}
    extra: dict[str, Any] = {"keys": stage_keys(inputs), "thumb": THUMB}
    if profile.ascent is not None:
        extra["ascent"] = ascent_report(inputs, run)
    if network.kernels is not None and network.layers[0].kind == "stem":
        side = network.kernels.shape[-1]
        tile = side * _kernel_factor(side)
        columns = thumb_columns(network.kernels.shape[0])
        extra["kernels"] = {network.layers[0].name: {"tile": tile, "columns": columns, "side": side}}
    return Manifest(
        name=profile.name,
        title=profile.title or title_of(network.model, network.weights),
        model=network.model,
        weights=network.weights,
        pictures=PictureSetInfo(
            source=inputs.pictures.source,
            sha256=scan["pictures_sha256"],
            count=scan["pictures"],
            skipped=_skipped(inputs, scan["skipped"]),
            labels=_label_reading(inputs, run),
        ),
        preprocessing=network.preprocessing,
        profile=_public(profile.model_dump()),
        versions={
            "residual-atlas": generator.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "scikit-learn": version("scikit-learn"),
            "device": torch.cuda.get_device_name(run.device)
            if run.device.type == "cuda"
            else run.device.type,
        },
        date=_date(inputs, run),
        layers=network.layers,
        sprites={layer.name: inputs.sprite_info(layer) for layer in network.layers},
        publish_patches=profile.site.publish_patches,
        parameters=network.parameters,
        accuracy=_accuracy(inputs, run),
        accuracy_basis=inputs.accuracy_basis.sentence,
        classes=network.classes,
        head=network.head,
        extra=extra,
    )


def _skipped(inputs: Inputs, unusable: Sequence[Sequence[str]]) -> tuple[Skipped, ...]:
    """All files of the folder that were not used, in order of their paths: those passed over, and those that the scan
    could not use."""
    files = [*inputs.pictures.passed_over, *(Skipped(path, reason) for path, reason in unusable)]
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))


def _label_reading(inputs: Inputs, run: Run) -> LabelReading:
    """The reading of labels, counted over the pictures that could be used."""
    files = [inputs.pictures.files[place] for place in usable_files(inputs, run)]
    known = [(file.label_id, file.label) for file in files if file.label]
    return replace(inputs.pictures.labels, labelled=len(known), classes=len(set(known)))


def _public(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile without what changes no number (device, processes, pictures read at a time), and without the places
    on this machine."""
    for key in ("device", "workers", "batch"):
        profile["compute"].pop(key)
    return published(profile)


def _date(inputs: Inputs, run: Run) -> str:
    """The day of the computation (UTC), or the one that SOURCE_DATE_EPOCH sets; an atlas that is mended keeps its."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        made_from, _, date = (run.store.work.stamp("date") or "").partition(" ")
        return (
            date if date and made_from == stage_keys(inputs)["all"] else datetime.now(UTC).date().isoformat()
        )
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise AtlasError(
            "SOURCE_DATE_EPOCH is no point in time", epoch, "set it to seconds since 1970, or unset it"
        ) from None


def _accuracy(inputs: Inputs, run: Run) -> float | None:
    """The share of the pictures with a known class that the network gives this class; None where none is known."""
    numbers, predictions, head = (
        inputs.accuracy_basis.numbers,
        run.store.arrays.predictions(),
        inputs.network.head,
    )
    if numbers is None or predictions is None or head is None:
        return None
    truth = np.array(numbers)[usable_files(inputs, run)]
    known = truth >= 0
    return float((head.predicted(*predictions)[known] == truth[known]).mean()) if known.any() else None

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
from generator.stages.ascending import ascent_report
from generator.stages.first_layers import write_first_layers
from generator.stages.job import Job
from generator.stages.repairing import damaged_stages, take_over
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


def look(job: Job) -> Found:
    """Read what is in the folder and hash every file of it: it is complete if it is just the atlas that this job would
    make, and no file has changed since it was written."""
    store = job.store
    if not store.is_finished():
        return Found({}, "", None, False)
    files = len(store.checksums() or ())
    with job.reporter.stage("checksums", files, "files") as advance:
        faults = store.find_faults(advance)
    keys, date = store.made_from()
    good = faults is not None and not faults.damaged and not (set(faults.unlisted) & store.own_files())
    return Found(keys, date, faults, good and keys == stage_keys(job))


def prepare(job: Job, found: Found) -> None:
    """Take over from a finished atlas whatever still holds, and withdraw its manifest: it is no longer true. Files that
    are damaged are dropped, and made anew by the stages that make them."""
    if job.ranks.leads and job.store.is_finished():
        current = stage_keys(job)
        if found.keys.get("all") == current["all"]:
            job.store.work.write_stamp("date", f"{current['all']} {found.date}")
        _say(job, found)
        take_over(
            job, {stage for stage, key in current.items() if found.keys.get(stage) == key}, found.faults
        )
        job.store.withdraw_manifest()
    job.ranks.meet()


def _say(job: Job, found: Found) -> None:
    if found.faults is None:
        job.reporter.note(f"{job.store.folder} has no checksums yet: its files are taken as they are")
    elif damaged := found.faults.damaged:
        again = ", ".join(sorted(damaged_stages(found.faults))) or "tables"
        job.reporter.note(
            f"{len(damaged)} damaged or missing files in {job.store.folder}, the first {damaged[0]}; "
            f"what is made anew: {again}"
        )


def finish(job: Job) -> None:
    """Write kernels, channels.csv, the checksums and the manifest; drop what belongs to no layer of it, and the work
    folder."""
    network, store = job.network, job.store
    if network.kernels is not None and network.layers[0].kind == "stem":
        _write_kernels(job)
    write_first_layers(job)
    _write_architecture(job)
    write_channels_csv(store, network.layers)
    store.tidy([layer.name for layer in network.layers], patches="patches" in job.panels)
    store.tables.write_json("keys.json", stage_keys(job))
    manifest = store.manifest_bytes(_manifest(job))
    # The manifest says that all is done, so it comes last; its checksum is known before.
    store.write_checksums({"manifest.json": manifest})
    store.write_manifest(manifest)
    store.work.clear()


def _write_kernels(job: Job) -> None:
    kernels = first_kernels(job.network)
    tiles = np.stack([enlarge(kernel, _kernel_factor(kernels.shape[1])) for kernel in kernels])
    # Lossless: a kernel is a few dozen numbers, and each pixel should stay one.
    pixels = mosaic(tiles, thumb_columns(len(tiles)))
    job.store.pictures.write(
        job.store.pictures.kernels_path(job.network.layers[0].name), webp(pixels, 100, lossless=True)
    )


def _write_architecture(job: Job) -> None:
    """The blueprint of the whole network, also where the weights end before it does."""
    job.store.tables.write_json("architecture.json", blueprint_to_json(job.blueprint))


def _kernel_factor(side: int) -> int:
    return max(1, round(KERNEL_TILE / side))


def stage_keys(job: Job) -> dict[str, str]:
    """Fingerprint by stage; `all` covers them and what the tables and the manifest say besides."""
    keys = {
        "scan": job.scan_key,
        "stream": job.stream_key,
        "scale truth": job.truth_key,
        "optimised stream": job.optimised_key,
        "sprites": job.sprites_key,
        "relations": job.relations_key,
        "gradient rules": job.rules_key,
        "ascent": job.ascent_key,
        "features": job.features_key,
        "predictions": job.predictions_key,
        "embedding": job.embedding_key,
        "first layers": job.first_layers_key,
        "dreams": job.dreams_key,
    }
    return {**keys, "all": fingerprint(keys, _said(job))}


def _said(job: Job) -> list[Any]:
    """What the tables and the manifest say of the inputs themselves."""
    network = job.network
    return [
        _public(job.profile.model_dump()),
        [network.model, to_json(network.weights), network.parameters, network.classes, network.given_head],
        network.preprocessing.source,
        [to_json(layer) for layer in network.layers],
        blueprint_to_json(job.blueprint),
        job.pictures.source,
        [to_json(job.pictures.labels), [to_json(file) for file in job.pictures.passed_over]],
        job.accuracy_basis.sentence,
        generator.__version__,
    ]


def _manifest(job: Job) -> Manifest:
    network, profile, store = job.network, job.profile, job.store
    scan: Mapping[str, Any] = store.tables.read_json("scan.json") or {}
    extra: dict[str, Any] = {"keys": stage_keys(job), "thumb": THUMB}
    if profile.ascent is not None:
        extra["ascent"] = ascent_report(job)
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
            source=job.pictures.source,
            sha256=scan["pictures_sha256"],
            count=scan["pictures"],
            skipped=_skipped(job, scan["skipped"]),
            labels=_label_reading(job),
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
            "device": torch.cuda.get_device_name(job.device)
            if job.device.type == "cuda"
            else job.device.type,
        },
        date=_date(job),
        layers=network.layers,
        sprites={layer.name: job.sprite_info(layer) for layer in network.layers},
        publish_patches=profile.site.publish_patches,
        parameters=network.parameters,
        accuracy=_accuracy(job),
        accuracy_basis=job.accuracy_basis.sentence,
        classes=network.classes,
        head=network.head,
        extra=extra,
    )


def _skipped(job: Job, unusable: Sequence[Sequence[str]]) -> tuple[Skipped, ...]:
    """All files of the folder that were not used, in order of their paths: those passed over, and those that the scan
    could not use."""
    files = [*job.pictures.passed_over, *(Skipped(path, reason) for path, reason in unusable)]
    return tuple(sorted(files, key=lambda file: os.fsencode(file.path)))


def _label_reading(job: Job) -> LabelReading:
    """The reading of labels, counted over the pictures that could be used."""
    files = [job.pictures.files[place] for place in job.files()]
    known = [(file.label_id, file.label) for file in files if file.label]
    return replace(job.pictures.labels, labelled=len(known), classes=len(set(known)))


def _public(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile without what changes no number (device, processes, pictures read at a time), and without the places
    on this machine."""
    for key in ("device", "workers", "batch"):
        profile["compute"].pop(key)
    return published(profile)


def _date(job: Job) -> str:
    """The day of the computation (UTC), or the one that SOURCE_DATE_EPOCH sets; an atlas that is mended keeps its."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        made_from, _, date = (job.store.work.stamp("date") or "").partition(" ")
        return date if date and made_from == stage_keys(job)["all"] else datetime.now(UTC).date().isoformat()
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise AtlasError(
            "SOURCE_DATE_EPOCH is no point in time", epoch, "set it to seconds since 1970, or unset it"
        ) from None


def _accuracy(job: Job) -> float | None:
    """The share of the pictures with a known class that the network gives this class; None where none is known."""
    numbers, predictions, head = job.accuracy_basis.numbers, job.store.arrays.predictions(), job.network.head
    if numbers is None or predictions is None or head is None:
        return None
    truth = np.array(numbers)[job.files()]
    known = truth >= 0
    return float((head.predicted(*predictions)[known] == truth[known]).mean()) if known.any() else None

"""The end of a run: tables, fingerprints, checksums, and the manifest that says that all is done."""

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
from generator.core.errors import AtlasError
from generator.core.input_paths import without_paths
from generator.core.records import LabelReading, Manifest, PictureSetInfo, Skipped, title_of, to_json
from generator.core.sprites import THUMB
from generator.core.store import fingerprint
from generator.methods.proportion import wilson_interval
from generator.stages import table
from generator.stages.first_layers import has_kernels, kernels_report
from generator.stages.inputs import Inputs
from generator.stages.optimised_pictures import optimised_report
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run
from generator.stages.tables import write_channels_csv


def finish(inputs: Inputs, run: Run) -> None:
    """Write channels.csv, the fingerprints, the checksums and the manifest; remove the files of layers that are not in
    the atlas, and the work folder."""
    layers, store = inputs.network.layers, run.store
    write_channels_csv(store, layers)
    store.tidy([layer.name for layer in layers], patches="patches" in inputs.panels)
    store.tables.write_json("keys.json", all_keys(inputs))
    manifest = store.manifest_bytes(_manifest(inputs, run))
    # The manifest says that all is done, so it comes last; its checksum is known before.
    store.write_checksums(table.roots(), {"manifest.json": manifest})
    store.write_manifest(manifest)
    store.work.clear()


def all_keys(inputs: Inputs) -> dict[str, str]:
    """Fingerprint by stage; `all` covers them and what the tables and the manifest say besides."""
    by_stage = table.fingerprints(inputs)
    return {**by_stage, "all": fingerprint(by_stage, _stated(inputs))}


def _stated(inputs: Inputs) -> list[Any]:
    """What the tables and the manifest state about the inputs themselves."""
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
    accuracy = _accuracy(inputs, run)
    extra: dict[str, Any] = {"keys": all_keys(inputs), "thumb": THUMB}
    if profile.ascent is not None:
        extra["ascent"] = optimised_report(inputs, run)
    if has_kernels(inputs):
        extra["kernels"] = kernels_report(inputs)
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
            trained_on=profile.pictures.trained_on,
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
        accuracy=None if accuracy is None else accuracy.share,
        accuracy_interval=None if accuracy is None else accuracy.interval,
        accuracy_pictures=0 if accuracy is None else accuracy.pictures,
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
    """The profile without what changes no number (device, processes, pictures read at a time, pixels kept, descriptions
    from elsewhere), and without the places on this machine."""
    for key in ("device", "workers", "batch", "cache"):
        profile["compute"].pop(key)
    profile["site"].pop("descriptions")
    return without_paths(profile)


def _date(inputs: Inputs, run: Run) -> str:
    """The day of the computation (UTC), or the one that SOURCE_DATE_EPOCH sets; a repaired atlas keeps its own."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        made_from, _, date = (run.store.work.stamp("date") or "").partition(" ")
        return date if date and made_from == all_keys(inputs)["all"] else datetime.now(UTC).date().isoformat()
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError):
        raise AtlasError(
            "SOURCE_DATE_EPOCH is no point in time", epoch, "set it to seconds since 1970, or unset it"
        ) from None


@dataclass(frozen=True)
class Accuracy:
    """pictures: how many have a known class; correct: how many of these the network gives it."""

    correct: int
    pictures: int

    @property
    def share(self) -> float:
        return self.correct / self.pictures

    @property
    def interval(self) -> tuple[float, float]:
        """Of 95 %."""
        return wilson_interval(self.correct, self.pictures)


def _accuracy(inputs: Inputs, run: Run) -> Accuracy | None:
    """How often the network is right; None where no picture's class is known."""
    numbers, predictions, head = (
        inputs.accuracy_basis.numbers,
        run.store.arrays.predictions(),
        inputs.network.head,
    )
    if numbers is None or predictions is None or head is None:
        return None
    truth = np.array(numbers)[usable_files(inputs, run)]
    known = truth >= 0
    correct = int((head.predicted(*predictions)[known] == truth[known]).sum())
    return Accuracy(correct, int(known.sum())) if known.any() else None

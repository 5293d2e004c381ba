"""The first and the last touch: is there anything to do, and the manifest that says all is done."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import PIL
import torch
import torchvision

import generator
from generator.methods.kernels import first_kernels
from generator.records import Manifest, PictureSetInfo, Skipped, to_json
from generator.sprites import THUMB, enlarge, mosaic, thumb_columns, webp
from generator.stages.job import Job
from generator.stages.tables import write_channels_csv
from generator.store import fingerprint

KERNEL_TILE = 56  # px, wanted side of a first-layer kernel
STAGES = ("scan", "sprites")


def is_complete(job: Job) -> bool:
    """Whether the folder holds just the atlas that this job would make."""
    if not job.store.exists():
        return False
    return job.store.manifest_extra().get("keys") == _keys(job)


def prepare(job: Job) -> None:
    """Take over from a finished atlas whatever still holds, and withdraw its manifest: it is no longer true."""
    if job.ranks.leads and job.store.exists():
        earlier = job.store.manifest_extra().get("keys", {})
        current = _keys(job)
        for stage in STAGES:
            if earlier.get(stage) == current[stage]:
                stamps = (
                    ["scan"]
                    if stage == "scan"
                    else ["tiles", *(f"sprites-{n.name}" for n in job.network.layers)]
                )
                for stamp in stamps:
                    job.store.write_stamp(stamp, job.tiles_key if stamp == "tiles" else current[stage])
        job.store.withdraw_manifest()
    job.ranks.meet()


def finish(job: Job) -> None:
    """Write kernels, channels.csv and the manifest; drop what belongs to no layer of it, and the work folder."""
    network, store = job.network, job.store
    if network.kernels is not None and network.layers[0].kind == "stem":
        _write_kernels(job)
    write_channels_csv(store, network.layers)
    store.tidy([layer.name for layer in network.layers], patches="patches" in job.panels)
    store.write_manifest(_manifest(job))
    store.clear_work()


def _write_kernels(job: Job) -> None:
    kernels = first_kernels(job.network)
    tiles = np.stack([enlarge(kernel, _kernel_factor(kernels.shape[1])) for kernel in kernels])
    # Lossless: a kernel is a few dozen numbers, and each pixel should stay one.
    pixels = mosaic(tiles, thumb_columns(len(tiles)))
    job.store.write_file(job.store.kernels_path(job.network.layers[0].name), webp(pixels, 100, lossless=True))


def _kernel_factor(side: int) -> int:
    return max(1, round(KERNEL_TILE / side))


def _keys(job: Job) -> dict[str, str]:
    """Fingerprint by stage; `all` covers the manifest's own fields too."""
    profile = job.profile.model_dump()
    said = {name: profile[name] for name in ("name", "title", "site", "gradients", "layers")}
    return {
        "scan": job.scan_key,
        "sprites": job.sprites_key,
        "all": fingerprint(job.sprites_key, said, generator.__version__, to_json(job.network.weights)),
    }


def _manifest(job: Job) -> Manifest:
    network, profile, store = job.network, job.profile, job.store
    scan: Mapping[str, Any] = store.read_json("scan.json") or {}
    extra: dict[str, Any] = {"keys": _keys(job), "scan": scan.get("report", {}), "thumb": THUMB}
    if network.kernels is not None and network.layers[0].kind == "stem":
        side = network.kernels.shape[-1]
        tile = side * _kernel_factor(side)
        columns = thumb_columns(network.kernels.shape[0])
        extra["kernels"] = {network.layers[0].name: {"tile": tile, "columns": columns, "side": side}}
    return Manifest(
        name=profile.name,
        title=profile.title or profile.name,
        model=network.model,
        weights=network.weights,
        pictures=PictureSetInfo(
            source=job.pictures.source,
            sha256=scan["pictures_sha256"],
            count=scan["pictures"],
            skipped=tuple(Skipped(path, reason) for path, reason in scan["skipped"]),
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
            "device": torch.cuda.get_device_name(job.device)
            if job.device.type == "cuda"
            else job.device.type,
        },
        date=_date(),
        layers=network.layers,
        sprites={layer.name: job.sprite_info(layer) for layer in network.layers},
        publish_patches=profile.site.publish_patches,
        parameters=network.parameters,
        accuracy=scan.get("accuracy"),
        extra=extra,
    )


def _public(profile: dict[str, Any]) -> dict[str, Any]:
    """The profile without what changes no number: device and processes."""
    profile["compute"].pop("device")
    profile["compute"].pop("workers")
    return profile


def _date() -> str:
    """The day of the computation (UTC), or the one that SOURCE_DATE_EPOCH sets."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    moment = datetime.fromtimestamp(int(epoch), UTC) if epoch else datetime.now(UTC)
    return moment.date().isoformat()

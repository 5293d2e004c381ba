"""The kinds of gradient pictures side by side, for a few channels: what the method page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from generator.device import one_thread_each
from generator.errors import AtlasError
from generator.methods.gradients import RULES, GradientPictures
from generator.methods.patches import patch
from generator.records import LayerInfo
from generator.sprites import enlargement, sprite, webp
from generator.stages.job import Job
from generator.unit_gradients import Units, forward_switches

ROWS = 5  # layers at most
FILE, FOLDER, STAMP = "rules.json", "rules", "rules"


def compare_rules(job: Job) -> None:
    """Write rules/<layer>-<kind>.webp, the nine units of one channel of each stage's last layer under every rule, and
    rules.json, which says what they are."""
    if job.store.stamp(STAMP) == job.rules_key:
        return
    job.store.drop_folder(FOLDER)
    found = {
        layer.name: channel for layer in last_layers(job) if (channel := clearest(job, layer)) is not None
    }
    rows = []
    with (
        job.reporter.stage("gradient rules", len(found), "channels") as advance,
        one_thread_each(job.device),
    ):
        pictures = GradientPictures(job.network.to(job.device, torch.float32), tuple(RULES))
        for name, channel in found.items():
            rows.append(_compare(job, pictures, job.network.layer(name), channel))
            advance()
    job.store.write_json(FILE, {"rows": rows})
    job.store.write_stamp(STAMP, job.rules_key)


def last_layers(job: Job) -> Sequence[LayerInfo]:
    """The last layer of every stage that is no convolution inside a block, spread over the network."""
    outer = [layer for layer in job.network.layers if not layer.is_inner]
    last = list({layer.stage: layer for layer in outer}.values())
    if len(last) <= ROWS:
        return last
    return [last[round(n * (len(last) - 1) / (ROWS - 1))] for n in range(ROWS)]


def clearest(job: Job, layer: LayerInfo) -> int | None:
    """Of the layer's pictured channels with nine units the one whose nine agree most in their labels, or, without
    labels, the one that varies most; None where none has nine."""
    numbers = job.store.layer(layer.name)
    count = job.channels(layer)
    full = (numbers["top_image"][:count] >= 0).all(1)
    if not full.any():
        return None
    merit = numbers.get("label_agreement", numbers["std"])[:count].astype(np.float64)
    if not np.isfinite(merit[full]).any():
        merit = numbers["std"][:count].astype(np.float64)
    return int(np.argmax(np.where(full & np.isfinite(merit), merit, -np.inf)))


def _compare(job: Job, pictures: GradientPictures, layer: LayerInfo, channel: int) -> dict[str, Any]:
    numbers, native = job.store.layer(layer.name), job.native(layer)
    images, places = numbers["top_image"][channel], numbers["top_unit"][channel].astype(np.int64)
    (batch,) = job.read(job.files()[images].tolist(), batch=len(images))
    if batch.skipped:
        path = job.pictures.files[batch.skipped[0][0]].path
        raise AtlasError("a picture changed or vanished during the run", path, "run the same command again")
    network = job.network.to(job.device, torch.float32)
    switches = forward_switches(network, network.prepare(batch.pixels), layer.name)
    order = torch.arange(len(images))
    units = Units(order, torch.full_like(order, channel), *torch.from_numpy(places).T)
    tiles = dict(zip(pictures.kinds, pictures.tiles(switches, layer.name, units, native), strict=True))
    if job.profile.site.publish_patches:
        spots = zip(batch.pixels.numpy(), places.tolist(), strict=True)
        tiles["patches"] = np.stack([patch(p, layer.receptive_field, r, c, native) for p, (r, c) in spots])
    factor = enlargement(native, job.wanted(layer))
    for kind, nine in tiles.items():
        content = webp(sprite(nine[None], factor), job.profile.sprites.quality)
        job.store.write_file(job.store.folder / FOLDER / f"{layer.name}-{kind}.webp", content)
    return {"layer": layer.name, "channel": channel, "kinds": sorted(tiles)}

"""The kinds of gradient pictures side by side, for a few channels: what the method page shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from generator.core.records import LayerInfo
from generator.core.sprites import enlargement, sprite, webp
from generator.engine.device import one_thread_each
from generator.engine.gradients.unit_gradients import Units, forward_switches
from generator.methods.gradients import RULES, GradientPictures
from generator.methods.patches import patch
from generator.network.network import Network
from generator.stages.checkpointed_pass import halving
from generator.stages.job import Job

ROWS = 5  # layers at most
FILE, FOLDER, STAMP = "rules.json", "rules", "rules"


def compare_rules(job: Job) -> None:
    """Write rules/<layer>-<kind>.webp, the nine units of one channel of each stage's last layer under every rule, and
    rules.json, which says what they are."""
    if job.store.work.stamp(STAMP) == job.rules_key:
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
        network = job.network.to(job.device, torch.float32)
        pictures, files = GradientPictures(network, tuple(RULES)), job.files()
        for name, channel in found.items():
            layer = network.layer(name)
            places = files[job.store.arrays.layer(name)["top_image"][channel]]
            (batch,) = job.read_again(places.tolist(), batch=len(places))
            tiles = halving(
                job, len(places), partial(_tiles, job, network, layer, channel, batch.pixels, pictures)
            )
            kinds = _write(job, layer, tiles)
            rows.append({"layer": name, "channel": channel, "kinds": kinds})
            advance()
    job.store.tables.write_json(FILE, {"rows": rows})
    job.store.work.write_stamp(STAMP, job.rules_key)


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
    numbers = job.store.arrays.layer(layer.name)
    count = job.channels(layer)
    full = (numbers["top_image"][:count] >= 0).all(1)
    if not full.any():
        return None
    merit = numbers.get("label_agreement", numbers["std"])[:count].astype(np.float64)
    if not np.isfinite(merit[full]).any():
        merit = numbers["std"][:count].astype(np.float64)
    return int(np.argmax(np.where(full & np.isfinite(merit), merit, -np.inf)))


def _tiles(
    job: Job,
    network: Network,
    layer: LayerInfo,
    channel: int,
    pixels: Tensor,
    pictures: GradientPictures,
    at_once: int,
) -> dict[str, np.ndarray]:
    """By kind the tiles of the channel's nine units, (9, n, n, 3) uint8. pixels: (9, H, W, 3) of their pictures, of
    which so many are computed at once."""
    native = job.native(layer)
    places = job.store.arrays.layer(layer.name)["top_unit"][channel].astype(np.int64)
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in pictures.kinds}
    for some, own in zip(pixels.split(at_once), torch.from_numpy(places).split(at_once), strict=True):
        switches = forward_switches(network, network.prepare(some), layer.name)
        order = torch.arange(len(own))
        units = Units(order, torch.full_like(order, channel), *own.T)
        for kind, tiles in zip(
            pictures.kinds, pictures.tiles(switches, layer.name, units, native), strict=True
        ):
            found[kind].append(tiles)
    joined = {kind: np.concatenate(tiles) for kind, tiles in found.items()}
    if job.profile.site.publish_patches:
        spots = zip(pixels.numpy(), places.tolist(), strict=True)
        joined["patches"] = np.stack([patch(p, layer.receptive_field, r, c, native) for p, (r, c) in spots])
    return joined


def _write(job: Job, layer: LayerInfo, tiles: dict[str, np.ndarray]) -> list[str]:
    """Write a channel's nine units under every rule; returns the kinds written."""
    factor = enlargement(job.native(layer), job.wanted(layer))
    for kind, nine in tiles.items():
        content = webp(sprite(nine[None], factor), job.profile.sprites.quality)
        job.store.pictures.write(job.store.pictures.rule_path(layer.name, kind), content)
    return sorted(tiles)

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
from generator.methods.focus import frames
from generator.methods.gradients import RULES, GradientPictures
from generator.methods.patches import patches
from generator.network.network import Network
from generator.pictures.reading import evenly_spaced
from generator.stages.checkpointed_pass import halving
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

ROWS = 5  # layers at most
FILE, FOLDER = "rules.json", "rules"


def compare_rules(inputs: Inputs, run: Run) -> None:
    """Write rules/<layer>-<kind>.webp, the top-9 units of one channel of each stage's last layer under every rule, and
    rules.json, which lists them."""
    run.store.drop_folder(FOLDER)
    channels = {
        layer.name: channel
        for layer in last_layers(inputs)
        if (channel := clearest(inputs, run, layer)) is not None
    }
    rows = []
    with (
        run.reporter.stage("gradient rules", len(channels), "channels") as advance,
        one_thread_each(run.device),
    ):
        network = inputs.network.to(run.device, torch.float32)
        first = inputs.profile.gradients[0]  # whose focus the atlas's own tiles show
        others = (kind for kind in RULES if kind != first)
        pictures, files = GradientPictures(network, (first, *others)), usable_files(inputs, run)
        for name, channel in channels.items():
            layer = network.layer(name)
            indices = files[run.store.arrays.layer(name, "top")["top_image"][channel]]
            (batch,) = read_again(inputs, run, indices.tolist(), batch=len(indices))
            tiles = halving(
                run,
                len(indices),
                partial(_tiles, inputs, run, network, layer, channel, batch.pixels, pictures),
            )
            kinds = _write(inputs, run, layer, tiles)
            rows.append({"layer": name, "channel": channel, "kinds": kinds})
            advance()
    run.store.tables.write_json(FILE, {"rows": rows})


def last_layers(inputs: Inputs) -> Sequence[LayerInfo]:
    """The last layer of every stage that is no convolution inside a block, spread over the network."""
    outer = [layer for layer in inputs.network.layers if not layer.is_inner]
    last = list({layer.stage: layer for layer in outer}.values())
    return [last[place] for place in evenly_spaced(len(last), ROWS)]


def clearest(inputs: Inputs, run: Run, layer: LayerInfo) -> int | None:
    """The channel with nine top units whose pictures agree most in their labels, among those that get pictures; without
    labels the one that varies most; None where no channel has nine."""
    numbers = run.store.arrays.layer(layer.name)
    count = inputs.channels(layer)
    full = (numbers["top_image"][:count] >= 0).all(1)
    if not full.any():
        return None
    merit = numbers.get("label_agreement", numbers["std"])[:count].astype(np.float64)
    if not np.isfinite(merit[full]).any():
        merit = numbers["std"][:count].astype(np.float64)
    return int(np.argmax(np.where(full & np.isfinite(merit), merit, -np.inf)))


def _tiles(
    inputs: Inputs,
    run: Run,
    network: Network,
    layer: LayerInfo,
    channel: int,
    pixels: Tensor,
    pictures: GradientPictures,
    at_once: int,
) -> dict[str, np.ndarray]:
    """By kind the tiles of the channel's top-9 units, (9, n, n, 3) uint8. pixels: (9, H, W, 3) of their pictures, of
    which at_once are computed together."""
    native, field, size = inputs.native(layer), layer.receptive_field, network.preprocessing.size
    units_at = run.store.arrays.layer(layer.name, "top")["top_unit"][channel].astype(np.int64)
    by_kind: dict[str, list[np.ndarray]] = {kind: [] for kind in pictures.kinds}
    positions = torch.from_numpy(units_at)
    for batch, position in zip(torch.split(pixels, at_once), torch.split(positions, at_once), strict=True):
        switches = forward_switches(network, network.prepare(batch), layer.name)
        order = torch.arange(len(position))
        units = Units(order, torch.full_like(order, channel), *position.T)
        row, column = position.numpy().T
        seen = frames(field, size, row, column).seen if inputs.is_focused(layer) else None
        tiles, squares = pictures.tiles(switches, layer.name, units, native, seen)
        for kind, made in zip(pictures.kinds, tiles, strict=True):
            by_kind[kind].append(made)
        if inputs.profile.site.publish_patches:
            cut = patches(batch.numpy(), field, order.numpy(), row, column, native, {}, squares)
            by_kind.setdefault("patches", []).append(cut)
    return {kind: np.concatenate(tiles) for kind, tiles in by_kind.items()}


def _write(inputs: Inputs, run: Run, layer: LayerInfo, tiles: dict[str, np.ndarray]) -> list[str]:
    """Write a channel's top-9 units under every rule; returns the kinds written."""
    factor = enlargement(inputs.native(layer), inputs.wanted_side(layer))
    for kind, nine in tiles.items():
        content = webp(sprite(nine[None], factor), inputs.profile.sprites.quality)
        run.store.pictures.write(run.store.pictures.rule_path(layer.name, kind), content)
    return sorted(tiles)

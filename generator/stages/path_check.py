"""Whether optimised pictures activate the layers below as natural pictures do: for some channels of some layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from generator.core.records import LayerInfo
from generator.core.store import fingerprint
from generator.engine.ascent.ascent import Ascender
from generator.methods.mean_interval import mean_of
from generator.methods.optimised import strongest_in_the_middle
from generator.methods.path_check import PathAgreement, chosen_numbers, path_agreement
from generator.network.network import Network
from generator.pictures.reading import evenly_spaced
from generator.stages import keys
from generator.stages.checkpointed_pass import halving, in_threads
from generator.stages.inputs import Inputs
from generator.stages.optimised_pictures import plan_of
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

CODE = 1  # raise it when a change alters any number
FILE = "path_check.json"
LAYERS = 5  # at most
CHANNELS = 12  # of a layer, at most
NATURAL = 4  # strongest pictures of a channel


def is_wanted(inputs: Inputs) -> bool:
    """Optimised pictures of single units, of a network that reads three colours: their files hold what it read."""
    section = inputs.profile.ascent
    if section is None or section.objective != "neuron":
        return False
    return bool(inputs.optimised_layers) and inputs.network.graph.channels == 3


def key(inputs: Inputs) -> str:
    """All that the numbers depend on; '' where there are none."""
    if not is_wanted(inputs):
        return ""
    layers = [(layer.name, layer.kind) for layer in inputs.network.layers]
    return fingerprint("path check", CODE, keys.optimised_pictures(inputs), layers)


def check_paths(inputs: Inputs, run: Run) -> None:
    """Write path_check.json: by layer with optimised pictures, and by layer below it, mean rank correlations."""
    network = inputs.network.to(run.device, torch.float32)
    found: dict[str, dict[str, Any]] = {}

    def check(layer: LayerInfo, at_once: int = NATURAL + 1) -> int:
        row = _checked(inputs, run, network, layer, at_once)
        if row is not None:
            found[layer.name] = row
        return 1

    layers = _layers(inputs)
    with run.reporter.stage("paths of optimised pictures", len(layers), "layers") as advance:
        for layer in in_threads(run, layers[::-1], check, advance):  # the deepest, which takes longest, first
            advance(halving(run, NATURAL + 1, partial(check, layer)))
    rows = [found[layer.name] for layer in layers if layer.name in found]
    run.store.tables.write_json(FILE, {"channels": CHANNELS, "natural": NATURAL, "layers": rows})


def _layers(inputs: Inputs) -> list[LayerInfo]:
    """Layers with optimised pictures and a layer below them, spread over the network; the last is among them."""
    layers = [layer for layer in inputs.optimised_layers if layer != inputs.network.layers[0]]
    return [layers[place] for place in evenly_spaced(len(layers), LAYERS)]


def _checked(
    inputs: Inputs, run: Run, network: Network, layer: LayerInfo, at_once: int
) -> dict[str, Any] | None:
    """None where fewer than two channels have an optimised picture and natural ones."""
    channels = _channels(run, layer)
    if len(channels) < 2:
        return None
    assert inputs.profile.ascent is not None
    side = min(layer.receptive_field.side, *network.preprocessing.size)
    ascender = Ascender(network, layer.name, plan_of(inputs.profile.ascent, side))
    below = {
        other.name: network.step(other.name)
        for other in network.layers
        if not other.is_inner
        and network.step(other.name) < ascender.top
        and network.step(other.name) in ascender.measured.frames
    }
    caused = [
        _caused(inputs, run, ascender, layer, channel, list(below.values()), at_once) for channel in channels
    ]
    rows = []
    for place, name in enumerate(below):
        agreements = [
            path_agreement(own[place][0], own[place][1:], other[place][1:])
            for own, other in zip(caused, [*caused[1:], caused[0]], strict=True)
        ]
        rows.append({"layer": name, **_means(agreements)})
    return {"layer": layer.name, "channels": len(channels), "below": rows}


def _channels(run: Run, layer: LayerInfo) -> list[int]:
    """Channels with an optimised picture and at least two natural ones, spread evenly."""
    numbers = run.store.arrays.layer(layer.name, "top", "optimised")
    has_both = np.isfinite(numbers["ascent_value"]) & (numbers["top_image"][:, 1] >= 0)
    able = np.flatnonzero(has_both)
    return [int(channel) for channel in able[evenly_spaced(len(able), CHANNELS)]]


def _caused(
    inputs: Inputs,
    run: Run,
    ascender: Ascender,
    layer: LayerInfo,
    channel: int,
    steps: Sequence[int],
    at_once: int,
) -> list[np.ndarray]:
    """By step the activations that the channel's optimised picture and then its natural ones cause, (1 + m, D): those
    that the unit depends on."""
    pictures = torch.cat(
        [_optimised(run, ascender, layer, channel), _natural(inputs, run, ascender, layer, channel)]
    )
    by_step: dict[int, list[np.ndarray]] = {step: [] for step in steps}
    for part in torch.split(pictures, at_once):
        watched = {step: torch.empty(0) for step in steps}
        with torch.no_grad():
            ascender.measured(ascender.prepared(part), watched=watched)
        for step, maps in watched.items():
            flat = maps.flatten(1)
            by_step[step].append(
                flat[:, torch.from_numpy(chosen_numbers(flat.shape[1])).to(flat.device)].cpu().numpy()
            )
    return [np.concatenate(by_step[step]) for step in steps]


def _optimised(run: Run, ascender: Ascender, layer: LayerInfo, channel: int) -> Tensor:
    """The optimised picture as its page shows it, at the size that the network reads, (1, C, h, w) in [0, 1]."""
    height, width = (window.size for window in ascender.frame)
    with Image.open(run.store.pictures.optimised_path(layer.name, channel)) as file:
        shown = file.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(shown)).permute(2, 0, 1)[None].float() / 255


def _natural(inputs: Inputs, run: Run, ascender: Ascender, layer: LayerInfo, channel: int) -> Tensor:
    """What the channel's strongest units saw, moved to the unit in the middle, (m, C, h, w) in [0, 1]; whole pictures
    where the objective is the mean of the map."""
    numbers = run.store.arrays.layer(layer.name, "top")
    image, unit = numbers["top_image"][channel][:NATURAL], numbers["top_unit"][channel][:NATURAL]
    image, unit = image[image >= 0], unit[image >= 0]
    # In the order of the files, as they are read.
    order = np.argsort(usable_files(inputs, run)[image], kind="stable")
    (batch,) = read_again(inputs, run, usable_files(inputs, run)[image[order]].tolist(), batch=len(order))
    pixels, cut = batch.pixels.numpy(), []
    for picture, (row, column) in zip(pixels, unit[order], strict=True):
        if ascender.middle is not None:
            place = int(row), int(column), ascender.middle, ascender.frame
            picture = strongest_in_the_middle(picture, layer.receptive_field, *place)
        cut.append(picture)
    return torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).float() / 255


def _means(agreements: Sequence[PathAgreement]) -> dict[str, Any]:
    """Means over the channels with intervals; `difference`: of the optimised pictures' and of others', channel by
    channel."""
    values = {
        part.name: np.array([getattr(agreement, part.name) for agreement in agreements])
        for part in fields(PathAgreement)
    }
    values["difference"] = values["optimised"] - values["other"]
    return {
        name: mean_of(of_each, 2.0 if name == "difference" else 1.0).known()
        for name, of_each in values.items()
    }

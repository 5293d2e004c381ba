"""Whether gradient pictures change when the network's weights become random ones: for some units of every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generator.core.records import LayerInfo
from generator.core.store import fingerprint
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.relu_rules import UNIT_RULES, ReluRule
from generator.methods.gradients import RULES
from generator.methods.mean_interval import mean_of
from generator.methods.randomisation import (
    Strengths,
    randomised,
    rank_agreement,
    strengths,
    structural_similarity,
)
from generator.network.network import Network
from generator.network.ops import Step
from generator.pictures.reading import evenly_spaced
from generator.stages import keys
from generator.stages.checkpointed_pass import halving, in_threads
from generator.stages.gradient_rules import last_layers
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run

CODE = 1  # raise it when a change alters any number
FILE = "randomisation.json"
UNITS = 16  # of a layer, each of another channel
STEPS = 6  # of a cascade, at most


@dataclass(frozen=True)
class Comparison:
    """What is computed for a layer. rules: at ReLUs; cascade: the names of layers down to which weights are randomised,
    beginning at the layer itself."""

    layer: LayerInfo
    rules: tuple[ReluRule, ...]
    cascade: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """Units of a layer. pixels: (P, H, W, C) uint8, the pictures that the units count in."""

    units: Units
    pixels: Tensor


def key(inputs: Inputs) -> str:
    """All that the numbers depend on."""
    layers = [(layer.name, layer.kind, layer.stage) for layer in inputs.network.layers]
    return fingerprint(
        "randomisation", [CODE, keys.TILES], keys.scan(inputs), layers, inputs.profile.gradients
    )


def compare_weights(inputs: Inputs, run: Run) -> None:
    """Write randomisation.json: for every layer how alike the gradient pictures of its units are with and without the
    weights that the network has learnt."""
    network = inputs.network.to(run.device, torch.float32)
    found: dict[str, dict[str, Any]] = {}
    drawn: dict[int, Step] = {}

    def compare(comparison: Comparison, at_once: int = UNITS) -> int:
        sample = _sample(inputs, run, comparison.layer)
        if sample is not None:
            found[comparison.layer.name] = _compared(network, comparison, sample, at_once, drawn)
        return 1

    planned = _planned(inputs)
    with run.reporter.stage("randomised weights", len(planned), "layers") as advance:
        for comparison in in_threads(run, planned, compare, advance):
            advance(halving(run, UNITS, partial(compare, comparison)))
    rows = [found[layer.name] for layer in inputs.network.layers if layer.name in found]
    run.store.tables.write_json(FILE, {"units": UNITS, "layers": rows})


def _planned(inputs: Inputs) -> list[Comparison]:
    """The whole cascade under every rule for the last layer of some stages; for every other layer its end, all weights
    random, under the rules of the profile's pictures. The longest first, so that threads end together."""
    full = {layer.name for layer in last_layers(inputs)}
    shown = tuple(dict.fromkeys(RULES[kind] for kind in inputs.profile.gradients))
    comparisons = []
    for layer in inputs.network.layers:
        whole = cascade(inputs.network, layer)
        some = tuple(whole[place] for place in evenly_spaced(len(whole), STEPS))
        is_full = layer.name in full
        comparisons.append(
            Comparison(layer, UNIT_RULES if is_full else shown, some if is_full else whole[-1:])
        )

    def work(comparison: Comparison) -> int:
        of_one = inputs.network.step(comparison.layer.name)
        return of_one * len(comparison.cascade) * len(comparison.rules)

    return sorted(comparisons, key=work, reverse=True)


def cascade(network: Network, layer: LayerInfo) -> tuple[str, ...]:
    """The layers outside blocks that lead to a layer, from itself downwards: the cascade randomises the weights of one
    after the other, each with all between it and the next."""
    below = [
        other.name
        for other in network.layers
        if not other.is_inner and network.step(other.name) < network.step(layer.name)
    ]
    return (layer.name, *reversed(below))


def _randomised(network: Network, layer: LayerInfo, last: str, drawn: dict[int, Step]) -> Network:
    """The network with random weights in every step from a layer down to all of `last`; drawn: these steps, kept for
    other layers."""
    whole = cascade(network, layer)
    place = whole.index(last)
    lowest = network.step(whole[place + 1]) if place + 1 < len(whole) else 0
    steps = range(lowest + 1, network.step(layer.name) + 1)
    return replace(network, graph=randomised(network.graph, steps, drawn))


def _sample(inputs: Inputs, run: Run, layer: LayerInfo) -> Sample | None:
    """The strongest unit of channels spread evenly over the active ones; None where none is active."""
    numbers = run.store.arrays.layer(layer.name, "top")
    image, unit = numbers["top_image"][:, 0], numbers["top_unit"][:, 0].astype(np.int64)
    active = np.flatnonzero(image >= 0)
    if not len(active):
        return None
    channels = active[evenly_spaced(len(active), UNITS)]
    used, place = np.unique(image[channels], return_inverse=True)
    files = usable_files(inputs, run)[used]
    (batch,) = read_again(inputs, run, files.tolist(), batch=len(used))
    parts = (torch.from_numpy(part) for part in (place.reshape(-1), channels, *unit[channels].T))
    return Sample(Units(*parts), batch.pixels)


def _compared(
    network: Network, comparison: Comparison, sample: Sample, at_once: int, drawn: dict[int, Step]
) -> dict[str, Any]:
    layer, units = comparison.layer, sample.units
    learnt, chance = _gradients(network, comparison, sample, at_once, elsewhere=True)
    size = network.preprocessing.size
    shape = learnt[comparison.rules[0]].shape[1:]
    spots = zip(units.row.tolist(), units.column.tolist(), strict=True)
    inside = [_inside(layer, size, row, column, shape) for row, column in spots]

    def pictures(gradients: np.ndarray) -> list[Strengths]:
        return [Strengths(picture, seen) for picture, seen in zip(gradients, inside, strict=True)]

    as_learnt = {rule: pictures(learnt[rule]) for rule in comparison.rules}
    rules: dict[ReluRule, dict[str, Any]] = {
        rule: {"chance": chance and _alike(as_learnt[rule], pictures(chance[rule])), "steps": []}
        for rule in comparison.rules
    }
    for last in comparison.cascade:
        random = _randomised(network, layer, last, drawn)
        other, _ = _gradients(random, comparison, sample, at_once)
        for rule in comparison.rules:
            alike = _alike(as_learnt[rule], pictures(other[rule]))
            rules[rule]["steps"].append({"down_to": last, **alike})
    return {"layer": layer.name, "units": len(units), "rules": rules}


ByRule = dict[ReluRule, np.ndarray]


def _gradients(
    network: Network, comparison: Comparison, sample: Sample, at_once: int, *, elsewhere: bool = False
) -> tuple[ByRule, ByRule | None]:
    """By rule the strengths of the units' gradients, (U, h, w), and, if asked for, those of other units by the same
    forward passes: of every unit one at its own place in another picture, of the channel that is most active there.
    None where that is not asked for, and where there is only one picture."""
    count, name, units = len(sample.pixels), comparison.layer.name, sample.units
    elsewhere = elsewhere and count > 1
    first, *others = comparison.rules
    engine = UnitGradients(network, first)
    engines = {first: engine, **{rule: engine.with_rule(rule) for rule in others}}
    places = [units, replace(units, picture=(units.picture + 1) % count)] if elsewhere else [units]
    found: list[dict[ReluRule, list[np.ndarray]]] = [{rule: [] for rule in engines} for _ in places]
    numbers: list[list[Tensor]] = [[] for _ in places]  # which units those are
    for pictures in torch.split(torch.arange(count), at_once):
        prepared = network.prepare(sample.pixels[pictures])
        switches = forward_switches(network, prepared, name, keep=[name] if elsewhere else [])
        for kind, at in enumerate(places):
            number = torch.nonzero(torch.isin(at.picture, pictures)).flatten()
            some = at.take(number)
            some = replace(some, picture=some.picture - pictures[0])
            if kind:
                some = _most_active(switches.maps[network.step(name)], some)
            numbers[kind].append(number)
            for rule, of_rule in engines.items():
                gradients = of_rule.gradients(switches, name, some).float().cpu().numpy()
                found[kind][rule].append(strengths(gradients))
    own, *other = (
        {rule: np.concatenate(parts)[torch.cat(number).argsort().numpy()] for rule, parts in by_rule.items()}
        for by_rule, number in zip(found, numbers, strict=True)
    )
    return own, other[0] if other else None


def _most_active(maps: Tensor, units: Units) -> Units:
    """At the units' places the channels that are most active there. maps: (P, C, H, W)."""
    spots = zip(units.picture.tolist(), units.row.tolist(), units.column.tolist(), strict=True)
    channels = [int(maps[picture, :, row, column].argmax()) for picture, row, column in spots]
    return replace(units, channel=torch.tensor(channels, dtype=torch.int64))


def _inside(
    layer: LayerInfo, size: tuple[int, int], row: int, column: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Which pixels of a unit's gradient, of this shape (h, w), lie in the picture."""
    if layer.receptive_field.side > min(size):
        return np.ones(shape, bool)  # of the whole picture
    top, left, _, _ = layer.receptive_field.box(row, column)
    rows, columns = (np.arange(extent) + start for extent, start in zip(shape, (top, left), strict=True))
    return np.outer((rows >= 0) & (rows < size[0]), (columns >= 0) & (columns < size[1]))


def _alike(one: Sequence[Strengths], other: Sequence[Strengths]) -> dict[str, Any]:
    """How alike two sets of pictures are, pair by pair: means of the rank correlation and of SSIM with intervals."""
    pairs = list(zip(one, other, strict=True))
    return {
        "rank": mean_of(np.array([rank_agreement(*pair) for pair in pairs])).known(),
        "ssim": mean_of(np.array([structural_similarity(*pair) for pair in pairs])).known(),
    }

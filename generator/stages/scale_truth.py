"""Where the pictures are drawn: each channel's response to objects of known size, and how well the scale criteria and
the measures at several zooms find the channels whose response depends on the size least."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from generator.core.store import fingerprint
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.stream import StreamPlan, strongest
from generator.methods import resampling, scale_truth
from generator.methods.scale import measures
from generator.network.network import Network
from generator.stages import keys, zooms
from generator.stages.checkpointed_pass import halving
from generator.stages.inputs import Inputs
from generator.stages.run import Run

CODE = 2  # raise it when a change of this stage, or of methods/scale_truth.py, changes a number
DRAWINGS = 6  # of each class at each size
CURVES = 4  # channels of the most invariant, and of the least, whose responses are shown size by size
PRODUCT = "scale"  # of a layer's arrays
FILE = "scale_truth.json"


def key(inputs: Inputs) -> str:
    """The responses to drawn objects of known size, and the measures that are compared with them."""
    return fingerprint("truth", CODE, keys.stream(inputs), zooms.key(inputs), inputs.draws_pictures)


def applies(inputs: Inputs) -> bool:
    """Whether the pictures are drawn, in the network's input size and colours, and the scale criteria are computed: a
    plain network has none."""
    from generator.pictures.drawn.canvas import DRAWING_SIDE

    return (
        inputs.draws_pictures
        and zooms.applies(inputs)
        and inputs.network.preprocessing.crop == DRAWING_SIDE
        and inputs.network.preprocessing.channels == 3
    )


def measure_scale(inputs: Inputs, run: Run) -> None:
    """Write each channel's true invariance, scale.npz of every residual block, and scale_truth.json."""
    from generator.pictures.drawn.scales import SCALES
    from generator.pictures.drawn.world import CLASSES

    _remove_earlier(inputs, run)
    responses = _responses(inputs, run)
    halves = scale_truth.drawing_halves(len(CLASSES), DRAWINGS)
    parts = []
    with run.reporter.stage("true invariance", len(inputs.stream_plan.blocks), "blocks") as advance:
        for block in inputs.stream_plan.blocks:
            part = block_truth(
                block.name, responses.pop(block.name), run.store.arrays.layer(block.name), halves
            )
            run.store.arrays.write_layer(block.name, PRODUCT, part.arrays)
            parts.append(part)
            advance()
    report = {
        "scales": list(SCALES),
        "drawings": DRAWINGS,
        "classes": len(CLASSES),
        "driving": scale_truth.DRIVING,
        "blocks": [{"block": part.name, **part.report()} for part in parts],
        "whole": whole(parts),
        "curves": _curves(parts, CLASSES),
    }
    run.store.tables.write_json(FILE, report)


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file(FILE)


def _responses(inputs: Inputs, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """By block and side: the response to every drawing, minus that to its background, (classes, drawings, sizes, C)
    float32."""
    from generator.pictures.drawn.scales import SCALES, draw_scales
    from generator.pictures.drawn.world import CLASSES

    plan = inputs.stream_plan
    count = len(CLASSES) * DRAWINGS * (1 + len(SCALES))
    with run.reporter.stage("drawing sizes", count, "pictures") as advance:
        pictures = draw_scales(DRAWINGS, run.encoders, advance)
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    flat = torch.from_numpy(pictures.reshape(count, *pictures.shape[3:]))
    readings: dict[str, dict[str, list[np.ndarray]]] = {
        block.name: {side: [] for side in ("input", "block", "output")} for block in plan.blocks
    }
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage("responses by size", count, "pictures"))

        def read(batch: torch.Tensor) -> dict[tuple[str, str], np.ndarray]:
            return halving(run, plan.batch, partial(_strongest, network, batch, plan))

        for finished in in_rounds(read, torch.split(flat, plan.batch), threads):
            for batch, sides in finished:
                for (name, side), values in sides.items():
                    readings[name][side].append(values)
                advance(len(batch))

    def above_background(batches: list[np.ndarray]) -> np.ndarray:
        values = np.concatenate(batches).reshape(*pictures.shape[:3], -1)  # (classes, drawings, 1 + sizes, C)
        difference: np.ndarray = values[:, :, 1:] - values[:, :, :1]
        return difference

    return {
        name: {side: above_background(batches) for side, batches in read.items()}
        for name, read in readings.items()
    }


def _strongest(
    network: Network, pixels: torch.Tensor, plan: StreamPlan, forward: int
) -> dict[tuple[str, str], np.ndarray]:
    """By block and side the largest value in each channel's map, (n, C), from forward batches of `forward`
    pictures."""
    parts = [
        strongest(network, batch, replace(plan, batch=forward)) for batch in torch.split(pixels, forward)
    ]
    keys = [(name, side) for name, sides in parts[0].items() for side in sides]
    return {(name, side): np.concatenate([part[name][side] for part in parts]) for name, side in keys}


@dataclass(frozen=True)
class BlockTruth:
    """One block's true invariance. arrays: of scale.npz; active: (C,) bool, whether a channel has a true invariance;
    halves: of both halves of every halving, (2, P, C); separations: by measure, on all drawings (1,) and on both
    halves (2, P); curves: by side the responses to the class that drives a channel most, (C, sizes), of the second
    half of the first halving; classes: those; chosen: true invariance on its first half."""

    name: str
    arrays: Mapping[str, np.ndarray]
    active: np.ndarray
    halves: np.ndarray
    separations: Mapping[str, tuple[scale_truth.Separation, scale_truth.Separation]]
    curves: Mapping[str, np.ndarray]
    classes: np.ndarray
    chosen: np.ndarray

    def report(self) -> dict[str, Any]:
        """What scale_truth.json says of the block."""
        known = self.arrays["scale_truth"][self.active]
        first, second = self.halves[:, :, self.active]
        reliability = resampling.reliability(first, second)
        return {
            "channels": len(known),
            "median": float(np.median(known)) if len(known) else None,
            "reliability": reliability if np.isfinite(reliability) else None,
            "auc": {name: _auc([pair]) for name, pair in self.separations.items()},
        }


def block_truth(
    name: str, responses: Mapping[str, np.ndarray], numbers: Mapping[str, np.ndarray], halves: np.ndarray
) -> BlockTruth:
    """One block's true invariance and how well its measures find it.

    responses: by side (classes, drawings, sizes, C); numbers: the block's arrays, which hold the measures; halves: (P,
    classes, drawings) bool.
    """
    from generator.pictures.drawn.scales import OCTAVE

    def truth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        classes = scale_truth.driving_classes(values)
        return scale_truth.true_invariance(values, classes, OCTAVE), classes

    output = responses["output"].astype(np.float64)
    invariance, classes = truth(output.mean(axis=1))
    inputs = scale_truth.true_invariance(responses["input"].mean(axis=1, dtype=np.float64), classes, OCTAVE)
    active = np.isfinite(invariance)
    by_half = np.stack(
        [scale_truth.true_invariance_by_half(output, members, OCTAVE) for members in (halves, ~halves)]
    )
    separations = {}
    for measure, values in measures(numbers).items():
        known = active & np.isfinite(values)
        on_all = scale_truth.separation(values[known], invariance[None, known])
        on_halves = scale_truth.separation(values[known], by_half.reshape(-1, len(active))[:, known])
        if on_all is not None and on_halves is not None:
            separations[measure] = (on_all, on_halves)
    error = resampling.standard_error(*by_half)
    shown = {side: scale_truth.halved(values, ~halves[0]) for side, values in responses.items()}
    first_classes = scale_truth.driving_classes(scale_truth.halved(output, halves[0]))[0]
    return BlockTruth(
        name=name,
        arrays={
            "scale_truth": invariance.astype(np.float32),
            "scale_truth_error": np.where(active, error, np.nan).astype(np.float32),
            "scale_gain": (invariance - inputs).astype(np.float32),
        },
        active=active,
        halves=by_half,
        separations=separations,
        curves={side: scale_truth.curves(values, first_classes) for side, values in shown.items()},
        classes=first_classes,
        chosen=by_half[0, 0],
    )


def _auc(
    separations: Sequence[tuple[scale_truth.Separation, scale_truth.Separation]],
) -> dict[str, float] | None:
    """The area under the ROC curve within blocks, with its interval over the drawings; None without a block."""
    if not separations:
        return None
    pairs = sum(on_all.pairs for on_all, _ in separations)
    halves = sum(on_halves.wins for _, on_halves in separations) / pairs
    first, second = np.reshape(halves, (2, -1))
    auc = float(sum(on_all.wins[0] for on_all, _ in separations) / pairs)
    reach = resampling.bound() * float(resampling.standard_error(first, second))
    return {"auc": auc, "low": max(0.0, auc - reach), "high": min(1.0, auc + reach), "pairs": pairs}


def whole(parts: Sequence[BlockTruth]) -> dict[str, Any]:
    """What scale_truth.json says of all blocks. Pairs of channels are always of one block: invariance grows with depth,
    and any measure that does so too would seem to find it."""
    truths = np.concatenate([part.arrays["scale_truth"][part.active] for part in parts])
    first, second = np.concatenate([part.halves[:, :, part.active] for part in parts], axis=2)
    reliability = resampling.reliability(first, second)
    names = list(dict.fromkeys(name for part in parts for name in part.separations))
    return {
        "channels": len(truths),
        "median": float(np.median(truths)) if len(truths) else None,
        "reliability": reliability if np.isfinite(reliability) else None,
        "auc": {
            name: _auc([part.separations[name] for part in parts if name in part.separations])
            for name in names
        },
    }


def _curves(parts: Sequence[BlockTruth], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The responses by size of the most and the least invariant channels, at most one of a block each: chosen on one
    half of the drawings, shown on the other."""
    shown = []
    for most in (True, False):
        best = []
        for number, part in enumerate(parts):
            channels = np.flatnonzero(part.active & (part.curves["output"].max(axis=1) > 0))
            if len(channels):
                order = np.argsort(part.chosen[channels], kind="stable")
                channel = int(channels[order[-1 if most else 0]])
                best.append((-part.chosen[channel] if most else part.chosen[channel], number, channel))
        shown += [(number, channel, most) for _, number, channel in sorted(best)[:CURVES]]
    return [_curve(parts[number], channel, most, names) for number, channel, most in shown]


def _curve(part: BlockTruth, channel: int, most: bool, names: tuple[str, ...]) -> dict[str, Any]:
    from generator.pictures.drawn.scales import OCTAVE

    value = scale_truth.invariance(part.curves["output"][channel][None], OCTAVE)[0]
    return {
        "block": part.name,
        "channel": channel,
        "class": names[int(part.classes[channel])],
        "invariant": most,
        "invariance": float(value),
        "answers": {side: curve[channel].tolist() for side, curve in part.curves.items()},
    }

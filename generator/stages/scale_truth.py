"""Where the pictures are drawn: each channel's response to objects of known size, compared with the scale criteria."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from generator.engine.device import use_tf32
from generator.engine.scan.stream import StreamPlan, strongest
from generator.methods import scale_truth
from generator.methods.mixing import near_one, ratio_against
from generator.network.network import Network
from generator.stages.checkpointed_pass import halving
from generator.stages.inputs import Inputs
from generator.stages.run import Run

DRAWINGS = 6  # of each class at each size
CURVES = 8  # channels whose responses are shown size by size
PRODUCT = "scale"  # of a layer's arrays
FILE = "scale_truth.json"


def measure_scale(inputs: Inputs, run: Run) -> None:
    """Write each channel's true invariance, scale.npz of every residual block, and scale_truth.json."""
    from generator.pictures.drawn.scales import OCTAVE, SCALES
    from generator.pictures.drawn.world import CLASSES

    _remove_earlier(inputs, run)
    responses = _responses(inputs, run)
    blocks: list[dict[str, Any]] = []
    parts: list[_Block] = []
    for block in inputs.stream_plan.blocks:
        part = _Block(inputs, run, block.name, responses[block.name], OCTAVE)
        run.store.arrays.write_layer(block.name, PRODUCT, part.truth())
        blocks.append({"block": block.name, **part.agreement()})
        parts.append(part)
    whole = _agreement(
        *(np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True))
    )
    report = {
        "scales": list(SCALES),
        "drawings": DRAWINGS,
        "classes": len(CLASSES),
        "blocks": blocks,
        "whole": whole,
        "curves": _curves(parts, CLASSES),
    }
    run.store.tables.write_json(FILE, report)


def applies(inputs: Inputs) -> bool:
    """Whether the pictures are drawn and of the network's input size, and the scale criteria are computed: a plain
    network has none."""
    from generator.pictures.drawn.canvas import DRAWING_SIDE

    stream = inputs.profile.stream
    return (
        inputs.draws_pictures
        and stream.enabled
        and stream.rescaled
        and inputs.network.preprocessing.crop == DRAWING_SIDE
        and bool(inputs.stream_plan.blocks)
    )


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file(FILE)


def _responses(inputs: Inputs, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """By block and side: the mean response to the drawings of a class, minus that to the background, (classes, sizes,
    C)."""
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
    with run.reporter.stage("responses by size", count, "pictures") as advance:
        at_once = plan.batch
        for batch in torch.split(flat, plan.batch):
            at_once, sides = halving(run, at_once, partial(_strongest, network, batch, plan))
            for (name, side), values in sides.items():
                readings[name][side].append(values)
            advance(len(batch))
    means: dict[str, dict[str, np.ndarray]] = {}
    for name, read in readings.items():
        means[name] = {}
        for side, batches in read.items():
            values = np.concatenate(batches).astype(np.float64)
            values = values.reshape(*pictures.shape[:3], -1)  # (classes, drawings, 1 + sizes, C)
            means[name][side] = (values[:, :, 1:] - values[:, :, :1]).mean(axis=1)
    return means


def _strongest(
    network: Network, pixels: torch.Tensor, plan: StreamPlan, forward: int
) -> tuple[int, dict[tuple[str, str], np.ndarray]]:
    """By block and side the largest value in each channel's map, (n, C), from forward batches of `forward`
    pictures; and `forward`."""
    parts = [
        strongest(network, batch, replace(plan, batch=forward)) for batch in torch.split(pixels, forward)
    ]
    keys = [(name, side) for name, sides in parts[0].items() for side in sides]
    return forward, {
        (name, side): np.concatenate([part[name][side] for part in parts]) for name, side in keys
    }


class _Block:
    """One block's true invariance and its criteria. columns: true invariance, gain, both criteria, scale invariant, ΔB
    + ΔI; (C,) each."""

    def __init__(
        self, inputs: Inputs, run: Run, name: str, responses: dict[str, np.ndarray], octave: int
    ) -> None:
        self.name = name
        numbers = run.store.arrays.layer(name, "stream")
        self.classes = scale_truth.driving_class(responses["output"])
        self.curves = {side: scale_truth.curves(values, self.classes) for side, values in responses.items()}
        self.invariance = scale_truth.invariance(self.curves["output"], octave)
        self.gain = self.invariance - scale_truth.invariance(self.curves["input"], octave)
        self.total = numbers["scale_sum"].astype(np.float64)
        both = (numbers["scale_block"] > 0) & (numbers["scale_input"] > 0)
        self.invariant = both & near_one(numbers["mix_ratio"])
        self.columns = (self.invariance, self.gain, both, self.invariant, self.total)

    def truth(self) -> dict[str, np.ndarray]:
        """The arrays of scale.npz."""
        return {"scale_truth": self.invariance.astype(np.float32), "scale_gain": self.gain.astype(np.float32)}

    def agreement(self) -> dict[str, Any]:
        """How the criteria agree with the true invariance."""
        return _agreement(*self.columns)


def _agreement(
    truth: np.ndarray, gain: np.ndarray, both: np.ndarray, invariant: np.ndarray, total: np.ndarray
) -> dict[str, Any]:
    known = truth[np.isfinite(truth)]
    return {
        "median": float(np.median(known)) if len(known) else None,
        "criteria": scale_truth.as_dict(scale_truth.separation(both, truth)),
        "invariant": scale_truth.as_dict(scale_truth.separation(invariant, truth)),
        "gain": scale_truth.as_dict(scale_truth.separation(invariant, gain)),
        "rank": scale_truth.as_dict(ratio_against(truth, total)),
        "rank_gain": scale_truth.as_dict(ratio_against(gain, total)),
    }


def _curves(parts: list[_Block], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The responses by size of the channels that the criteria rank first."""
    ranked = sorted(
        (-float(part.total[c]), number, c)
        for number, part in enumerate(parts)
        for c in np.flatnonzero(part.invariant & np.isfinite(part.invariance)).tolist()
    )
    return [
        {
            "block": parts[number].name,
            "channel": channel,
            "class": names[int(parts[number].classes[channel])],
            "invariance": float(parts[number].invariance[channel]),
            "answers": {side: curve[channel].tolist() for side, curve in parts[number].curves.items()},
        }
        for _, number, channel in ranked[:CURVES]
    ]

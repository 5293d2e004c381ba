"""From the readings in the residual stream to stream.npz of every residual block, and stream.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from generator.engine.scan.stream import BESIDE, RESCALED, StreamBlock, StreamState, residuals
from generator.methods import mixing
from generator.methods.contribution import mean_share, signed_parts
from generator.methods.scale import scale_criteria
from generator.stages.block_correlation import block_correlations
from generator.stages.inputs import Inputs
from generator.stages.run import Run

PRODUCT = "stream"  # of a layer's arrays


def write_stream(inputs: Inputs, run: Run, state: StreamState, pass_: str, rows: int) -> None:
    """Write stream.npz of every residual block, and stream.json.

    pass_: whose file holds Input and Block of every block at the centre on the pictures of the sample; rows: how many.
    """
    _remove_earlier(inputs, run)
    blocks: list[dict[str, Any]] = []
    with run.reporter.stage("stream's tables", len(state.plan.blocks), "blocks") as advance:
        sides = [block.channels for block in state.plan.blocks for _ in ("input", "block")]
        correlations = block_correlations(run.store.folder, pass_, sides, rows, run.encoders)
        for block, correlation in zip(state.plan.blocks, correlations, strict=True):
            residual = residuals(inputs.network)[block.name]
            numbers = block_numbers(state, block.name, signed=residual.is_signed)
            numbers["block_correlation"] = correlation
            if (magnitudes := inputs.network.magnitudes.get(block.name)) is not None:
                numbers["convolution_weight"] = magnitudes.convolution.float().numpy()
                if magnitudes.norm is not None:
                    # Where the statistics are folded into the weight, γ itself is not known.
                    name = "norm_scale" if magnitudes.folded else "norm_weight"
                    numbers[name] = magnitudes.norm.float().numpy()
            run.store.arrays.write_layer(block.name, PRODUCT, numbers)
            blocks.append(block_report(inputs, block, numbers))
            advance()
    report = {
        "pictures": state.pictures,
        "sample": rows,
        "rescaled": state.plan.rescaled,
        "near_one": mixing.NEAR_ONE,
        "blocks": blocks,
    }
    run.store.tables.write_json("stream.json", report)


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    """Remove what an earlier run with other settings left."""
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file("stream.json")


def block_numbers(state: StreamState, name: str, *, signed: bool) -> dict[str, np.ndarray]:
    """All arrays of one block that follow from the readings alone. signed: whether no ReLU follows the sum."""
    lists: dict[str, dict[str, np.ndarray]] = {}
    numbers: dict[str, np.ndarray] = {}
    for side, others in BESIDE.items():
        top = state.tops[name, side]
        images, values = top.images.numpy(), top.values.numpy()
        beside = top.beside.numpy()
        lists[side] = {other: beside[:, :, place] for place, other in enumerate(others)}
        lists[side]["value"] = np.where(images >= 0, values, np.nan)
        numbers[f"centre_{side}_image"] = images.astype(np.int32)
        numbers[f"centre_{side}_value"] = values
        numbers[f"centre_{side}_output"] = np.nan_to_num(lists[side]["output"])
    at_input, at_block = lists["input"], lists["block"]
    ratio = mixing.mix_ratio(mixing.mean_of_list(at_input["output"]), mixing.mean_of_list(at_block["output"]))
    criteria = scale_criteria(
        at_input["block_enlarged"], at_input["block"], at_block["value"],
        at_block["input_reduced"], at_block["input"], at_input["value"],
    )  # fmt: skip
    shortcut, branch = (state.parts[name, side] for side in ("shortcut", "branch"))
    numbers |= {
        "top_shortcut": np.nan_to_num(shortcut),
        "top_branch": np.nan_to_num(branch),
        "shortcut_share": mean_share(shortcut, branch),
        "mix_ratio": ratio.astype(np.float32),
        "block_at_input": mixing.mean_of_list(at_input["block"]).astype(np.float32),
        "block_mean": state.mean_block(name).astype(np.float32),
    }
    numbers |= _active_numbers(state, name, signed=signed)
    if state.plan.rescaled:
        numbers |= _scale_context(state, name, lists)
        numbers |= {
            "scale_block": criteria.block.astype(np.float32),
            "scale_input": criteria.input.astype(np.float32),
            "scale_sum": criteria.sum.astype(np.float32),
            "scale_invariant": criteria.invariant(ratio),
        }
    return numbers


def _active_numbers(state: StreamState, name: str, *, signed: bool) -> dict[str, np.ndarray]:
    """What shortcut and branch give over all active units, with standard errors over pictures. Where the sum may be
    below zero the shortcut has no share of it."""
    parts = signed_parts(*state.active_sums(name))
    kept = ("shortcut", "branch") if signed else ("shortcut", "branch", "share")
    names = [f"{part}{end}" for part in kept for end in ("", "_error")]
    return {f"active_{part}": getattr(parts, part).astype(np.float32) for part in names}


def _scale_context(
    state: StreamState, name: str, lists: dict[str, dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """What stands next to ΔB and ΔI, in the same unit (the strongest response): the change over all pictures
    (scale_block_random, scale_input_random), and the standard error of ΔB and ΔI as if the nine pictures were drawn at
    random (scale_block_error, scale_input_error; the strongest response is taken as it is)."""
    numbers = {}
    for side, other in (("block", "input"), ("input", "block")):
        strongest = mixing.mean_of_list(lists[side]["value"])
        after, before = (np.maximum(lists[other][key], 0) for key in (RESCALED[side], side))
        with np.errstate(invalid="ignore", divide="ignore"):
            for key, value in (
                (f"scale_{side}_random", state.mean_change(name, side)),
                (f"scale_{side}_error", mixing.error_of_list(after - before)),
            ):
                numbers[key] = np.where(strongest > 0, value / strongest, np.nan).astype(np.float32)
    return numbers


def block_report(inputs: Inputs, block: StreamBlock, numbers: dict[str, np.ndarray]) -> dict[str, Any]:
    """What stream.json says of one block: where its Input comes from, and what is associated with the mix ratio,
    computed from the numbers as they are stored."""
    residual = residuals(inputs.network)[block.name]
    names = dict(zip(inputs.network.steps, (layer.name for layer in inputs.network.layers), strict=True))
    ratio = numbers["mix_ratio"]
    tests: dict[str, mixing.Association | None] = {
        name: mixing.ratio_against(ratio, numbers[name])
        for name in ("norm_weight", "norm_scale", "convolution_weight", "block_at_input", "block_correlation")
        if name in numbers
    }
    tests["anova"] = mixing.skip_against_overwrite(ratio, numbers["block_at_input"])
    return {
        "block": block.name,
        "channels": block.channels,
        "centre": list(block.centre),
        "input": names.get(residual.shortcut, ""),
        "branch": names.get(residual.branch, ""),
        "identity": residual.is_identity,
        "tests": {name: None if test is None else asdict(test) for name, test in tests.items()},
    }

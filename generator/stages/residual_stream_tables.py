"""From the readings in the residual stream to stream.npz of every residual block, and stream.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from generator.engine.scan.stream import PARTS, StreamBlock, residuals
from generator.engine.scan.stream_rescaled import READ_ON, RESCALED, RescaledState
from generator.engine.scan.stream_state import BESIDE, StreamState
from generator.methods import contribution, mix_intervals, mixing, resampling
from generator.methods.mix_intervals import Interval, SampleNumbers
from generator.methods.resampling import bound
from generator.methods.scale import scale_criteria
from generator.pictures.reading import rows_of
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run
from generator.stages.stream_readings import PASS
from generator.stages.stream_sampling import BlockRead, sampled_blocks

PRODUCT = "stream"  # of a layer's arrays


@dataclass(frozen=True)
class Stream:
    """All that was read. rescaled: None where no picture was rescaled; parts: by block the shortcut's and the branch's
    value at the units of the top nine, (C, 9, 2) float32, NaN where there is none; numbers: (N + 1,) int64, of every
    file of the picture set its number in images.csv, −1 for none and at the end."""

    state: StreamState
    rescaled: RescaledState | None
    parts: Mapping[str, np.ndarray]
    numbers: np.ndarray

    @classmethod
    def of(cls, inputs: Inputs, run: Run, state: StreamState, rescaled: RescaledState | None) -> Stream:
        """The readings with what the atlas already has."""
        files = usable_files(inputs, run)
        numbers = rows_of(files, len(inputs.pictures.files) + 1)
        places, parts = np.append(files, -1), {}
        for name, of_block in state.parts.items():
            images = places[run.store.arrays.layer(name, "top")["top_image"]]
            parts[name] = of_block.at(images, slice(len(PARTS)))
        return cls(state, rescaled, parts, numbers)

    def mean_change(self, name: str, side: str) -> np.ndarray:
        """The mean over all pictures of r(B(S(x))) − r(B(x)) ('block') or r(I(S⁻¹(x))) − r(I(x)) ('input') at the
        centre, r the ReLU, S enlarging and S⁻¹ reducing the picture; (C,) float64."""
        assert self.rescaled is not None
        after, before = (state.positive[name, side].value() for state in (self.rescaled, self.state))
        change: np.ndarray = (after - before) / max(self.state.pictures, 1)
        return change


def write_stream(inputs: Inputs, run: Run, stream: Stream) -> None:
    """Write stream.npz of every residual block, and stream.json."""
    _remove_earlier(inputs, run)
    state, blocks = stream.state, list[dict[str, Any]]()
    with run.reporter.stage("stream's tables", len(state.plan.blocks), "blocks") as advance:
        known = residuals(inputs.network)
        read = [
            _read(inputs, stream, block.name, signed=known[block.name].is_signed)
            for block in state.plan.blocks
        ]
        in_sample = inputs.sample_rows[usable_files(inputs, run)]
        rows = in_sample[in_sample >= 0]
        sampled = sampled_blocks(run.store.folder, PASS, read, rows, run.encoders)
        for block, of_all, sample in zip(state.plan.blocks, read, sampled, strict=True):
            numbers = block_numbers(stream, block.name, signed=of_all.signed)
            shares = contribution.shortcut_share(*np.moveaxis(stream.parts[block.name], 2, 0))
            top_image = run.store.arrays.layer(block.name, "top")["top_image"]
            share_error, share_median = mix_intervals.share_intervals(top_image, shares)
            numbers |= {
                "shortcut_share_error": share_error.astype(np.float32),
                "mix_ratio_low": sample.ratio_low.astype(np.float32),
                "mix_ratio_high": sample.ratio_high.astype(np.float32),
                "block_correlation": sample.correlation.astype(np.float32),
                "block_correlation_error": sample.correlation_error.astype(np.float32),
                **of_all.others,
            }
            run.store.arrays.write_layer(block.name, PRODUCT, numbers)
            blocks.append(_block_report(inputs, block, state, numbers, sample, share_median))
            advance()
    report = {
        "pictures": state.pictures,
        "sample": len(rows),
        "rescaled": stream.rescaled is not None,
        "near_one": mixing.NEAR_ONE,
        # How many standard errors (the arrays *_error) an interval of 95 % reaches to each side.
        "reach": {
            **dict.fromkeys(("shortcut_share", "active_shortcut", "active_branch", "active_share"), bound()),
            "block_correlation": resampling.NORMAL,
        },
        "blocks": blocks,
    }
    run.store.tables.write_json("stream.json", report)


def _remove_earlier(inputs: Inputs, run: Run) -> None:
    """Remove what an earlier run with other settings left."""
    for layer in inputs.network.layers:
        run.store.arrays.drop_layer(layer.name, PRODUCT)
    run.store.drop_file("stream.json")


def _read(inputs: Inputs, stream: Stream, name: str, *, signed: bool) -> BlockRead:
    """What the resampling of a block needs to know of all pictures, and of the weights."""
    others = {}
    if (magnitudes := inputs.network.magnitudes.get(name)) is not None:
        others["convolution_weight"] = magnitudes.convolution.float().numpy()
        if magnitudes.norm is not None:
            # Where the statistics are folded into the weight, γ itself is not known.
            others["norm_scale" if magnitudes.folded else "norm_weight"] = magnitudes.norm.float().numpy()
    at_input, at_block = (_lists(stream, name)[side]["output"] for side in ("input", "block"))
    return BlockRead((mixing.mean_of_list(at_input), mixing.mean_of_list(at_block)), others, signed)


def _lists(stream: Stream, name: str) -> dict[str, dict[str, np.ndarray]]:
    """By side what was read at its nine pictures, (C, 9) each, NaN where there is none; `value`: the side itself."""
    lists: dict[str, dict[str, np.ndarray]] = {}
    for side, others in BESIDE.items():
        top = stream.state.tops[name, side]
        beside = top.beside.numpy()
        lists[side] = {other: beside[:, :, place] for place, other in enumerate(others)}
        lists[side]["value"] = np.where(top.images.numpy() >= 0, top.values.numpy(), np.nan)
    for side, rescaled in RESCALED.items():
        other = READ_ON[side]
        nothing = np.full_like(lists[other]["value"], np.nan)
        lists[other][rescaled] = nothing if stream.rescaled is None else stream.rescaled.listed[name, side]
    return lists


def block_numbers(stream: Stream, name: str, *, signed: bool) -> dict[str, np.ndarray]:
    """All arrays of one block that follow from the readings alone. signed: whether no ReLU follows the sum."""
    lists, state = _lists(stream, name), stream.state
    numbers: dict[str, np.ndarray] = {}
    for side in BESIDE:
        top = state.tops[name, side]
        numbers[f"centre_{side}_image"] = stream.numbers[top.images.numpy()].astype(np.int32)
        numbers[f"centre_{side}_value"] = top.values.numpy()
        numbers[f"centre_{side}_output"] = np.nan_to_num(lists[side]["output"])
    at_input, at_block = lists["input"], lists["block"]
    ratio = mixing.mix_ratio(mixing.mean_of_list(at_input["output"]), mixing.mean_of_list(at_block["output"]))
    criteria = scale_criteria(
        at_input["block_enlarged"], at_input["block"], at_block["value"],
        at_block["input_reduced"], at_block["input"], at_input["value"],
    )  # fmt: skip
    shortcut, branch = np.moveaxis(stream.parts[name], 2, 0)
    numbers |= {
        "top_shortcut": np.nan_to_num(shortcut),
        "top_branch": np.nan_to_num(branch),
        "shortcut_share": contribution.mean_share(shortcut, branch),
        "mix_ratio": ratio.astype(np.float32),
        "mix_overlap": mix_intervals.overlap(numbers["centre_input_image"], numbers["centre_block_image"]),
        "block_at_input": mixing.mean_of_list(at_input["block"]).astype(np.float32),
        "block_mean": state.mean_block(name).astype(np.float32),
    }
    numbers |= _active_numbers(state, name, signed=signed)
    if stream.rescaled is not None:
        numbers |= _scale_context(stream, name, lists)
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
    parts = contribution.signed_parts(*state.active_sums(name))
    kept = ("shortcut", "branch") if signed else ("shortcut", "branch", "share")
    names = [f"{part}{end}" for part in kept for end in ("", "_error")]
    return {f"active_{part}": getattr(parts, part).astype(np.float32) for part in names}


def _scale_context(
    stream: Stream, name: str, lists: dict[str, dict[str, np.ndarray]]
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
                (f"scale_{side}_random", stream.mean_change(name, side)),
                (f"scale_{side}_error", mixing.error_of_list(after - before)),
            ):
                numbers[key] = np.where(strongest > 0, value / strongest, np.nan).astype(np.float32)
    return numbers


def _block_report(
    inputs: Inputs,
    block: StreamBlock,
    state: StreamState,
    numbers: dict[str, np.ndarray],
    sample: SampleNumbers,
    share_median: Interval | None,
) -> dict[str, Any]:
    """What stream.json says of one block: where its Input comes from, medians over its channels and what goes along
    with the mix ratio, each with its interval over pictures, and the overlap of the lists of different channels."""
    residual = residuals(inputs.network)[block.name]
    names = dict(zip(inputs.network.steps, (layer.name for layer in inputs.network.layers), strict=True))
    lists = (numbers["centre_input_image"], numbers["centre_block_image"])
    medians = {
        "shortcut_share": share_median,
        "mix_ratio": sample.ratio_median,
        "block_correlation": sample.correlation_median,
    }
    if not residual.is_signed:
        medians["active_share"] = contribution.median_share(*state.active_sums(block.name))
    return {
        "block": block.name,
        "channels": block.channels,
        "centre": list(block.centre),
        "input": names.get(residual.shortcut, ""),
        "branch": names.get(residual.branch, ""),
        "identity": residual.is_identity,
        "untied_overlap": finite(mix_intervals.untied_overlap(*lists)),
        "medians": {name: interval_json(interval) for name, interval in medians.items()},
        "associations": {name: interval_json(interval) for name, interval in sample.associations.items()},
        "repeats": {name: finite(value) for name, value in sample.repeats.items()},
    }


def interval_json(interval: Interval | None) -> dict[str, float | None] | None:
    """The value and the ends; an end that is not finite is null."""
    return None if interval is None else {key: finite(value) for key, value in asdict(interval).items()}


def finite(value: float) -> float | None:
    """The number, None where it is not finite: JSON has no such numbers."""
    return value if np.isfinite(value) else None

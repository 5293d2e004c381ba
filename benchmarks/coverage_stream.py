"""How often intervals of the residual stream's numbers cover the truth, on the drawn world.

    python -m benchmarks.coverage_stream --pool FOLDER

FOLDER holds input.npy and block.npy, (N, C) float32: what comes along the shortcut and from the branch at the neuron in
the middle of the map, on N drawn pictures that no training and no atlas uses; and blocks.json: [name, stage, channels]
of each block in the order of the columns. Sets of 1,000 pictures are compared as in coverage.py. The share is computed
at the nine pictures with the highest output of the neuron in the middle.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from generator.methods.contribution import mean_share, shortcut_share
from generator.methods.mix_intervals import Interval, balance, ratio_of, sample_numbers, share_intervals
from generator.methods.resampling import bound, ranking

SET = 1000  # pictures
BLOCKS = ("res2b", "res3a", "res3d", "res4c", "res4f", "res5b", "res5c")

Read = tuple[np.ndarray, np.ndarray, np.ndarray]  # values, and the ends of their intervals


def main() -> None:
    """Print the coverage by block and number."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--set", type=int, default=SET)
    options = parser.parse_args()
    sides = [np.load(options.pool / f"{side}.npy", mmap_mode="r") for side in ("input", "block")]
    blocks = json.loads((options.pool / "blocks.json").read_text("utf-8"))
    starts = np.cumsum([0, *(channels for _, _, channels in blocks)])
    print("| block | number | channels | coverage, % | lowest tenth of channels, % |")
    print("|---|---|---|---|---|")
    for place, (name, _, _) in enumerate(blocks):
        if name in BLOCKS:
            columns = slice(starts[place], starts[place + 1])
            _block(name, [np.ascontiguousarray(side[:, columns]) for side in sides], options.set)


def _block(name: str, sides: list[np.ndarray], size: int) -> None:
    reads: dict[str, list[Read]] = {}
    for first in range(0, len(sides[0]) - size + 1, size):
        for number, read in _read(*(side[first : first + size] for side in sides)).items():
            reads.setdefault(number, []).append(read)
    for number, found in reads.items():
        values, low, high = (np.stack(column) for column in zip(*found, strict=True))
        known = np.isfinite(values) & ~np.isnan(low) & ~np.isnan(high)
        often = known.sum(axis=0) >= 0.8 * len(values)
        # The mean on the balance's scale, where a ratio is computed: it has no outliers there.
        to, back = _SCALES[number]
        truth = back(np.nanmean(np.where(np.isfinite(values), to(values), np.nan)[:, often], axis=0))
        inside = (low[:, often] <= truth) & (truth <= high[:, often])
        share = np.where(known[:, often], inside, np.nan)
        lowest = np.quantile(np.nanmean(share, axis=0), 0.1)
        print(
            f"| {name} | {number} | {often.sum()} | {100 * np.nanmean(share):.1f} | {100 * lowest:.0f} |",
            flush=True,
        )


def _read(at_input: np.ndarray, at_block: np.ndarray) -> dict[str, Read]:
    """The numbers of one set of pictures, as the stage computes them."""
    output = np.maximum(at_input + at_block, 0)
    nine = {
        side: ranking(side_values, signed=False, depth=9)
        for side, side_values in (("i", at_input), ("b", at_block))
    }
    outputs = tuple(_mean(order, output) for order in nine.values())
    assert len(outputs) == 2
    sample = sample_numbers(at_input, at_block, outputs, {}, signed=False)
    own = balance(*outputs)
    top = ranking(output, signed=False, depth=9)
    parts = [
        np.where(top >= 0, np.take_along_axis(part, np.maximum(top, 0).T, axis=0).T, np.nan)
        for part in (at_input, at_block)
    ]
    share, (error, share_median) = (
        mean_share(*parts).astype(np.float64),
        share_intervals(top, shortcut_share(*parts)),
    )
    reach = 1.96 * sample.correlation_error
    whole = {
        "mix ratio": (ratio_of(own), sample.ratio_low, sample.ratio_high),
        "median mix ratio": _columns(sample.ratio_median),
        "shortcut's share": (share, share - bound() * error, share + bound() * error),
        "median share": _columns(share_median),
        "block against input": (sample.correlation, sample.correlation - reach, sample.correlation + reach),
        "its median": _columns(sample.correlation_median),
        "mix ratio with block on the input's pictures": _columns(sample.associations["block_at_input"]),
        "mix ratio with block against input": _columns(sample.associations["block_correlation"]),
    }
    return whole


def _mean(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    ranked = np.take_along_axis(values, np.maximum(order, 0).T, axis=0).T.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.where(order >= 0, ranked, 0).sum(axis=1) / (order >= 0).sum(axis=1)


def _columns(interval: Interval | None) -> Read:
    ends = (np.nan,) * 3 if interval is None else (interval.value, interval.low, interval.high)
    value, low, high = (np.array([end]) for end in ends)
    return value, low, high


Scale = tuple[Callable[[np.ndarray], np.ndarray], Callable[[np.ndarray], np.ndarray]]
_PLAIN: Scale = (lambda x: x, lambda x: x)
_RATIO: Scale = (lambda x: 1 - 2 / (x + 1), ratio_of)
_SCALES = {
    "mix ratio": _RATIO, "median mix ratio": _RATIO, "shortcut's share": _PLAIN, "median share": _PLAIN,
    "block against input": _PLAIN, "its median": _PLAIN, "mix ratio with block on the input's pictures": _PLAIN,
    "mix ratio with block against input": _PLAIN,
}  # fmt: skip


if __name__ == "__main__":
    main()

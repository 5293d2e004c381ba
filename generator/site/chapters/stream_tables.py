"""The tables of the residual stream as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from generator.site.csv_tables import csv_text, field
from generator.site.reading.stream import KINDS, NORMS, StreamBlock

MEASURES = (
    "shortcut_share", "mix_ratio", "block_at_input", "block_mean", "block_correlation", "norm_weight", "norm_scale",
    "convolution_weight", "scale_block", "scale_input", "scale_sum", "scale_block_random", "scale_block_error",
    "scale_input_random", "scale_input_error", "zoom_invariance", "zoom_invariance_error", "zoom_correlation",
    "zoom_correlation_error", "scale_truth", "scale_truth_error", "scale_gain",
    "mix_ratio_optimised", "scale_block_optimised", "scale_input_optimised", "scale_sum_optimised",
)  # fmt: skip
TESTS = (*NORMS, "convolution_weight", "block_at_input", "block_correlation", "anova")


def channels_csv(blocks: Sequence[StreamBlock]) -> str:
    """A row per channel: what the figures are drawn from."""
    rows: list[Sequence[object]] = []
    for block in blocks:
        columns = [block.values(key).tolist() for key in MEASURES]
        invariant = block.arrays.get("scale_invariant")
        for channel, values in enumerate(zip(*columns, strict=True)):
            is_invariant = "" if invariant is None else int(invariant[channel])
            rows.append(
                [block.info.name, channel, block.kinds[channel], is_invariant, *(field(v) for v in values)]
            )
    return csv_text(["block", "channel", "kind", "scale_invariant", *MEASURES], rows)


def blocks_csv(blocks: Sequence[StreamBlock]) -> str:
    """A row per block: how many channels of each kind, and the tests."""
    heads = [f"{test}_{part}" for test in TESTS for part in ("statistic", "p", "channels")]
    rows: list[Sequence[object]] = []
    for block in blocks:
        results: list[object] = []
        for test in TESTS:
            result = block.tests.get(test)
            results += ["", "", ""] if result is None else [result.statistic, result.p, result.channels]
        rows.append([block.info.name, block.info.channels, *(block.count(kind) for kind in KINDS), *results])
    return csv_text(["block", "channels", "skips", "mixes", "overwritten", *heads], rows)

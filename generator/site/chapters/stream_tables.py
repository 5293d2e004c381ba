"""The tables of the residual stream as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from generator.site.csv_tables import csv_text, field
from generator.site.reading.stream import NORMS, StreamBlock

MEASURES = (
    "shortcut_share", "shortcut_share_error", "active_share", "active_share_error", "active_shortcut",
    "active_shortcut_error", "active_branch", "active_branch_error", "mix_ratio", "mix_ratio_low", "mix_ratio_high",
    "mix_overlap", "block_at_input", "block_mean", "block_correlation", "block_correlation_error", "norm_weight",
    "norm_scale", "convolution_weight", "scale_block", "scale_input", "scale_sum", "scale_block_random",
    "scale_block_error", "scale_input_random", "scale_input_error", "zoom_invariance", "zoom_invariance_error",
    "zoom_correlation", "zoom_correlation_error", "scale_truth", "scale_truth_error", "scale_gain",
    "mix_ratio_optimised", "scale_block_optimised", "scale_input_optimised", "scale_sum_optimised",
)  # fmt: skip
MEDIANS = ("shortcut_share", "active_share", "mix_ratio", "block_correlation")
ASSOCIATIONS = (*NORMS, "convolution_weight", "block_at_input", "block_correlation")
ENDS = ("", "_low", "_high")


def channels_csv(blocks: Sequence[StreamBlock]) -> str:
    """A row per channel: what the figures are drawn from."""
    rows: list[Sequence[object]] = []
    for block in blocks:
        columns = [block.values(key).tolist() for key in MEASURES]
        invariant = block.arrays.get("scale_invariant")
        for channel, values in enumerate(zip(*columns, strict=True)):
            is_invariant = "" if invariant is None else int(invariant[channel])
            sure = int(block.certain[channel]) if block.has_intervals and block.kinds[channel] else ""
            kind = block.kinds[channel]
            rows.append([block.info.name, channel, kind, sure, is_invariant, *(field(v) for v in values)])
    return csv_text(["block", "channel", "kind", "certain", "scale_invariant", *MEASURES], rows)


def blocks_csv(blocks: Sequence[StreamBlock]) -> str:
    """A row per block: how many channels of each kind, medians over the channels, and rank correlations of the mix
    ratio, each with its interval."""
    heads = [f"median_{key}{end}" for key in MEDIANS for end in ENDS]
    heads += [f"rho_{key}{end}" for key in ASSOCIATIONS for end in ENDS]
    rows: list[Sequence[object]] = []
    for block in blocks:
        intervals = [block.median(key) for key in MEDIANS] + [
            block.associations.get(key) for key in ASSOCIATIONS
        ]
        results = [
            field(end)
            for interval in intervals
            for end in ((None,) * 3 if interval is None else (interval.value, interval.low, interval.high))
        ]
        counts = [count for pair in block.counts for count in pair]
        shortcut = "identity" if block.identity else "projection"
        shared = [field(block.mean("mix_overlap")), field(block.untied_overlap)]
        shared += [field(block.repeats.get(key)) for key in ("mix_ratio", "block_correlation")]
        rows.append([block.info.name, shortcut, block.info.channels, *counts, *shared, *results])
    kinds = [f"{kind}{end}" for kind in ("skips", "mixes", "overwritten") for end in ("", "_certain")]
    return csv_text(
        [
            "block",
            "shortcut",
            "channels",
            *kinds,
            "overlap",
            "untied_overlap",
            "repeats_mix_ratio",
            "repeats_block_correlation",
            *heads,
        ],
        rows,
    )

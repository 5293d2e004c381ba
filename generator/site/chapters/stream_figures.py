"""The figures of the residual stream: histograms of the mix ratio, shares by block, scatter plots of the channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from generator.site.figures.axis import Axis
from generator.site.figures.many_dots import Dot
from generator.site.figures.svg_plots import Bar, Plot
from generator.site.formats import correlation, or_absent, round_number, significant
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY
from generator.site.reading.stream import BIN, LAST, Kind, StreamBlock

# Classes of the styles.
STYLES: Mapping[str, str] = {
    "skips": "skip",
    "mixes": "mix",
    "is overwritten": "over",
    "": "",
}
MIDDLE = 98  # % of the channels that the axes of the scale criteria hold
BEYOND = LAST + BIN  # where a plot shows larger mix ratios
LARGE, SMALL = 240, 170  # px; height of a histogram on its block's page, and among those of all blocks


def _ratio_marks(last: tuple[float, str]) -> list[tuple[float, str]]:
    return [*((value, round_number(value)) for value in range(5)), last]


def style_of(kind: Kind | str) -> str:
    return STYLES[kind]


def mix_histogram(block: StreamBlock, page: str, height: int = SMALL, key: str = "mix_ratio") -> Plot:
    """How many channels have which mix ratio. A bar leads to the list of its channels on `page`; for the ratio at
    optimised pictures (key mix_ratio_optimised), to the block's scatter plots."""
    ratio = block.values(key)
    known = ratio[np.isfinite(ratio)].tolist()
    counts = np.bincount([block.bin_of(value) for value in known], minlength=len(block.edges))
    x = Axis(0, BEYOND, "mix ratio M", _ratio_marks((LAST + BIN / 2, f"≥ {round_number(LAST)}")))
    y = Axis(0, float(max(1, counts.max())), "channels")
    plot = Plot(f"Mix ratios of {block.info.name}", x, y, height)
    optimised = key != "mix_ratio"
    name, ends = ("optimised M" if optimised else "M"), (*block.edges[1:], BEYOND)
    bars = []
    for number, (start, end, count) in enumerate(zip(block.edges, ends, counts.tolist(), strict=True)):
        noun = "channel" if count == 1 else "channels"
        text = f"{block.info.name}: {count} {noun} with {name} {block.bin_name(number)}"
        anchor = "optimised" if optimised else f"m{number}"
        bars.append(Bar(start, end, count, f"{page}#{anchor}", text, STYLES[block.bin_kind(number)]))
    plot.bars(bars)
    plot.line(x=1)
    return plot


def shares_by_block(blocks: Sequence[StreamBlock], key: str = "shortcut_share") -> Plot:
    """The spread of the shortcut's shares, block by block; projections have an asterisk. key: of the share."""
    names = [block.info.name.removeprefix("res") + ("" if block.identity else "*") for block in blocks]
    marks = [(n + 0.5, name) for n, name in enumerate(names)]
    known = [values[np.isfinite(values)] for values in (block.values(key) for block in blocks)]
    spreads = [
        np.percentile(values, (10, 25, 50, 75, 90)).tolist() if len(values) else [] for values in known
    ]
    ends = [end for spread in spreads for end in spread]
    label = f"{BY_KEY[key].name}, block by block"
    signed = key != "shortcut_share"  # the share of signed sums has no bounds
    y = Axis.over([0.0, 1.0, *ends], "shortcut's share") if signed else Axis(0, 1, "shortcut's share")
    plot = Plot(label, Axis(0, len(blocks), "block", marks), y)
    if signed:
        plot.line(y=0)
        plot.line(y=1)
    for n, (block, spread) in enumerate(zip(blocks, spreads, strict=True)):
        if spread:
            plot.boxes(n + 0.5, block.address, f"{block.info.name}: median {correlation(spread[2])}", spread)
    return plot


def channel_dots(block: StreamBlock, x: np.ndarray, y: np.ndarray, text: Callable[[int], str]) -> list[Dot]:
    """A dot per channel whose x and y are known, (C,) each."""
    return [
        Dot(float(x[c]), float(y[c]), c, text(c), STYLES[block.kinds[c]])
        for c in range(block.info.channels)
        if np.isfinite(x[c]) and np.isfinite(y[c])
    ]


def ratio_plot(block: StreamBlock, measure: Measure, caption: str) -> Plot:
    """A statistic of the channels against their mix ratio."""
    y = block.values(measure.key)
    x = Axis(0, LAST + 2 * BIN, "mix ratio M", _ratio_marks((BEYOND, f"> {round_number(LAST)}")))
    name = f"{caption} and mix ratio, {block.info.name}"
    plot = Plot(name, x, Axis.over(y, f"{measure.name}, {measure.unit}"))
    plot.line(x=1)

    def text(c: int) -> str:
        return f"M {correlation(block.ratio[c])}, {significant(y[c])}"

    plot.dots(channel_dots(block, np.minimum(block.ratio, BEYOND), y, text))
    return plot


def optimised_plot(block: StreamBlock) -> Plot:
    """The mix ratio at optimised pictures against that at the pictures of the set."""
    marks = _ratio_marks((BEYOND, f"> {round_number(LAST)}"))
    optimised = block.values("mix_ratio_optimised")
    x, y = (
        Axis(0, LAST + 2 * BIN, f"M at {pictures} pictures", marks) for pictures in ("the set's", "optimised")
    )
    plot = Plot(f"Mix ratios of {block.info.name} at the set's and at optimised pictures", x, y)
    plot.line(x=1, y=1)

    def text(c: int) -> str:
        return f"M {correlation(block.ratio[c])}, optimised {correlation(optimised[c])}"

    ratios = np.minimum(block.ratio, BEYOND), np.minimum(optimised, BEYOND)
    plot.dots(channel_dots(block, *ratios, text))
    return plot


def scale_plot(block: StreamBlock) -> Plot | None:
    """ΔI against ΔB; None where they were not computed."""
    delta_block, delta_input = block.values("scale_block"), block.values("scale_input")
    if not np.isfinite(delta_block + delta_input).any():
        return None
    # A few extreme channels would press all others together: the axes hold the middle.
    ends = (50 - MIDDLE / 2, 50 + MIDDLE / 2)
    x, y = (
        Axis.over(np.nanpercentile(values, ends).tolist(), name, include=0.0)
        for values, name in ((delta_block, "ΔB, of the strongest"), (delta_input, "ΔI, of the strongest"))
    )
    plot = Plot(f"Scale criteria of {block.info.name}", x, y)
    plot.line(x=0, y=0)

    def text(c: int) -> str:
        deltas = f"ΔB {significant(delta_block[c])}, ΔI {significant(delta_input[c])}"
        return f"{deltas}, M {or_absent(block.ratio[c], correlation)}"

    plot.dots(channel_dots(block, delta_block, delta_input, text))
    return plot

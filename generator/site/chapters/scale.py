"""The chapter *Scale*: whether channels respond to the same feature at several sizes, and how well that can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from generator.site.chapters.chapter import Chapter
from generator.site.chapters.scale_chance import ChanceRow, chance_plot, chance_rows
from generator.site.chapters.scale_truth import GOOD, NAMES, RANKING, Validation, validation
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Plot
from generator.site.formats import correlation
from generator.site.reading.atlas import Atlas
from generator.site.reading.stream import StreamBlock, stream_blocks
from generator.site.writing import Site

RANKED = 24  # channels in the list


@dataclass(frozen=True)
class ZoomRow:
    """A block. medians, reliability: by measure, None where there is none."""

    name: str
    medians: Sequence[float | None]
    reliability: Sequence[float | None]


@dataclass(frozen=True)
class ZoomPart:
    """What the pictures at several zooms say. pictures: how many were read; zooms: the factors; apart: the two of the
    correlation; names: of the measures; plots: their spread, block by block."""

    pictures: int
    zooms: Sequence[float]
    apart: Sequence[float]
    names: Sequence[tuple[str, str]]
    rows: Sequence[ZoomRow]
    plots: Sequence[Markup]


@dataclass(frozen=True)
class RankedChannel:
    rank: int
    block: str
    channel: int
    value: float
    error: float


@dataclass(frozen=True)
class ScalePage:
    """near_one: bound of the mix ratio; whole: all blocks together; zooms: None where they were not computed; ranked:
    the first channels by the measure that is good enough, named `ranking`, none where no measure is."""

    validation: Validation
    good: float
    near_one: float
    plot: Markup
    blocks: Sequence[ChanceRow]
    whole: ChanceRow
    zooms: ZoomPart | None
    ranking: str
    ranked: Sequence[RankedChannel]


def scaled_blocks(atlas: Atlas) -> list[StreamBlock]:
    """The blocks for which the criteria were computed."""
    return [block for block in stream_blocks(atlas) if "scale_sum" in block.arrays]


def present(atlas: Atlas) -> bool:
    return bool(scaled_blocks(atlas))


def write(site: Site, atlas: Atlas) -> None:
    CHAPTER.write_page(site, atlas, scale_page(atlas))


def scale_page(atlas: Atlas) -> ScalePage:
    """The network's page, for an atlas where the chapter is present."""
    blocks = scaled_blocks(atlas)
    rows, whole = chance_rows(blocks)
    truth = validation(atlas)
    return ScalePage(
        validation=truth,
        good=GOOD,
        near_one=blocks[0].near_one,
        plot=chance_plot(rows).svg(),
        blocks=rows,
        whole=whole,
        zooms=zoom_part(atlas, blocks),
        ranking=NAMES.get(truth.usable, ""),
        ranked=ranked(blocks, truth.usable)[:RANKED],
    )


def zoom_part(atlas: Atlas, blocks: Sequence[StreamBlock]) -> ZoomPart | None:
    """What the responses to enlarged and reduced pictures say of the blocks; None in an atlas without them."""
    report = atlas.store.tables.read_json("zooms.json")
    if not report or not all(key in block.arrays for block in blocks for key in RANKING):
        return None
    reliability = {block["block"]: block["reliability"] for block in report["blocks"]}
    rows = []
    for block in blocks:
        values = [block.values(key) for key in RANKING]
        medians = [float(np.nanmedian(v)) if np.isfinite(v).any() else None for v in values]
        of_block = reliability.get(block.info.name, {})
        rows.append(ZoomRow(block.info.name, medians, [of_block.get(key) for key in RANKING]))
    return ZoomPart(
        pictures=report["pictures"],
        zooms=report["zooms"],
        apart=report["apart"],
        names=[(key, NAMES[key]) for key in RANKING],
        rows=rows,
        plots=[spread_plot(blocks, key).svg() for key in RANKING],
    )


def spread_plot(blocks: Sequence[StreamBlock], key: str) -> Plot:
    """The spread of a measure over the channels, block by block."""
    marks = [(n + 0.5, block.info.name.removeprefix("res")) for n, block in enumerate(blocks)]
    spreads = []
    for block in blocks:
        values = block.values(key)
        known = values[np.isfinite(values)]
        spreads.append(np.percentile(known, (10, 25, 50, 75, 90)).tolist() if len(known) else None)
    everything = [value for spread in spreads if spread for value in spread]
    x, y = Axis(0, len(blocks), "block", marks), Axis.over([*everything, 0.0, 1.0], NAMES[key])
    plot = Plot(f"{NAMES[key].capitalize()}, block by block", x, y)
    for n, (block, spread) in enumerate(zip(blocks, spreads, strict=True)):
        if spread:
            text = f"{block.info.name}: median {correlation(spread[2])}"
            plot.boxes(n + 0.5, f"{block.address}#scale", text, spread)
    return plot


def ranked(blocks: Sequence[StreamBlock], key: str) -> list[RankedChannel]:
    """The channels of the network by a measure, the largest first; none where there is no measure to rank by."""
    channels = []
    for number, block in enumerate(blocks):
        values = block.values(key)
        channels += [(-float(values[c]), number, c) for c in np.flatnonzero(np.isfinite(values)).tolist()]
    errors = [block.values(f"{key}_error") for block in blocks]
    return [
        RankedChannel(rank, blocks[number].info.name, channel, -value, float(errors[number][channel]))
        for rank, (value, number, channel) in enumerate(sorted(channels), 1)
    ]


CHAPTER = Chapter(
    name="scale",
    title="Scale",
    template="scale.html",
    summary="whether any measure finds channels that respond alike at several sizes",
    present=present,
    write=write,
    styles=("plots",),
)

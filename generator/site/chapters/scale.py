"""The chapter *Scale*: scale-invariant channels by the criteria of arXiv:2407.05340, section 4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from generator.site.chapters.chapter import Chapter
from generator.site.chapters.scale_truth import ScaleTruth, scale_truth
from generator.site.chapters.stream_examples import Example, example, is_shown
from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Bar, Plot, by_block
from generator.site.formats import percent
from generator.site.reading.atlas import Atlas
from generator.site.reading.stream import StreamBlock, stream_blocks
from generator.site.writing import Site

RANKED = 24  # channels in the list
SHOWN = 4  # of them with pictures


@dataclass(frozen=True)
class BlockRow:
    """A block in the table. both: channels that meet both criteria; invariant: those that mix too; *_share: of the
    active channels."""

    name: str
    address: str
    both: int
    both_share: float
    invariant: int
    invariant_share: float


@dataclass(frozen=True)
class RankedChannel:
    rank: int
    block: str
    channel: int
    total: float
    delta_block: float
    delta_input: float
    ratio: float


@dataclass(frozen=True)
class ScalePage:
    """invariant: count of scale-invariant channels; share: of the active channels; ranked: the first of them; left_out:
    those whose pictures the atlas does not hold; truth: None where the sizes in the pictures are not known."""

    invariant: int
    share: float
    near_one: float
    plot: Markup
    blocks: Sequence[BlockRow]
    ranked: Sequence[RankedChannel]
    examples: Sequence[Example]
    left_out: int
    truth: ScaleTruth | None


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
    invariant = ranked(blocks)
    shown = [(block, channel) for block, channel in invariant if is_shown(atlas, block, channel)]
    return ScalePage(
        invariant=len(invariant),
        share=len(invariant) / max(1, sum(int((~block.dead).sum()) for block in blocks)),
        near_one=blocks[0].near_one,
        plot=invariance_plot(blocks).svg(),
        blocks=[_row(block) for block in blocks],
        ranked=[
            RankedChannel(
                rank=rank,
                block=block.info.name,
                channel=channel,
                total=float(block.values("scale_sum")[channel]),
                delta_block=float(block.values("scale_block")[channel]),
                delta_input=float(block.values("scale_input")[channel]),
                ratio=float(block.ratio[channel]),
            )
            for rank, (block, channel) in enumerate(invariant[:RANKED], 1)
        ],
        examples=[example(atlas, block, channel) for block, channel in shown[:SHOWN]],
        left_out=len(invariant) - len(shown),
        truth=scale_truth(atlas),
    )


def criteria(block: StreamBlock) -> tuple[np.ndarray, np.ndarray]:
    """Which channels meet both scale criteria, and which of those mix too; (C,) bool each."""
    both = (block.values("scale_block") > 0) & (block.values("scale_input") > 0)
    lower, upper = block.limits
    return both, both & (block.ratio > lower) & (block.ratio < upper)


def _row(block: StreamBlock) -> BlockRow:
    both, invariant = (int(mask.sum()) for mask in criteria(block))
    alive = max(1, int((~block.dead).sum()))
    return BlockRow(
        name=block.info.name,
        address=f"{block.address}#scale",
        both=both,
        both_share=both / alive,
        invariant=invariant,
        invariant_share=invariant / alive,
    )


def ranked(blocks: Sequence[StreamBlock]) -> list[tuple[StreamBlock, int]]:
    """The scale-invariant channels of the network, the largest ΔB + ΔI first."""
    channels = []
    for number, block in enumerate(blocks):
        total = block.values("scale_sum")
        channels += [(-float(total[c]), number, c) for c in np.flatnonzero(criteria(block)[1]).tolist()]
    return [(blocks[number], channel) for _, number, channel in sorted(channels)]


def invariance_plot(blocks: Sequence[StreamBlock]) -> Plot:
    """The share of the channels that meet both criteria, and of those that mix too, block by block."""
    rows = [_row(block) for block in blocks]
    marks = [(n + 0.5, row.name.removeprefix("res")) for n, row in enumerate(rows)]
    highest = max(0.01, *(100 * row.both_share for row in rows))
    x, y = Axis(0, len(rows), "block", marks), Axis(0, 1.05 * highest, "% of channels")
    plot = Plot("Scale-invariant channels, block by block", x, y, by_block(len(rows)), 240)
    bars = []
    for n, row in enumerate(rows):
        both = f"{row.name}: {percent(row.both_share)} % meet both criteria"
        mixing = f"{row.name}: {percent(row.invariant_share)} % meet them and mix"
        bars.append(Bar(n + 0.12, n + 0.5, 100 * row.both_share, row.address, both, "light"))
        bars.append(Bar(n + 0.5, n + 0.88, 100 * row.invariant_share, row.address, mixing))
    plot.bars(bars)
    return plot


CHAPTER = Chapter(
    name="scale",
    title="Scale",
    template="scale.html",
    summary="the channels that meet the criteria of scale invariance",
    present=present,
    write=write,
    styles=("plots",),
)

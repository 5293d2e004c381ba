"""The chapter *Residual stream*: what every block passes on, adds and replaces (arXiv:2407.05340)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from generator.site.chapters import scale
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.stream_block import OptimisedPart, optimised_part, write_blocks
from generator.site.chapters.stream_examples import Example, clearest
from generator.site.chapters.stream_figures import SMALL, STYLES, mix_histogram, shares_by_block
from generator.site.chapters.stream_tables import blocks_csv, channels_csv
from generator.site.formats import correlation, in_words
from generator.site.reading.atlas import Atlas
from generator.site.reading.interval import Interval
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY
from generator.site.reading.stream import (
    BIN,
    KINDS,
    NORMS,
    Kind,
    Stream,
    StreamBlock,
    stream_blocks,
    stream_of,
)
from generator.site.writing import Site

# Statistics that the mix ratio is compared with, over the channels of a block.
OTHERS = (*NORMS, "convolution_weight", "block_at_input", "block_correlation")


@dataclass(frozen=True)
class BlockRow:
    """A block in the tables and the figures. share, active, ratio, rho: medians over the channels; counts: of each
    kind, and how many of them for certain (None where the atlas has no intervals); overlap: pictures that a channel's
    two lists share, on average, and untied_overlap those of different channels; repeats: split-half reliability of the
    mix ratio and of rho; associations: of the mix ratio with
    the page's `others`."""

    name: str
    address: str
    share: Interval | None
    active: Interval | None
    ratio: Interval | None
    counts: Sequence[tuple[int, int | None]]
    without_ratio: int
    overlap: float | None
    untied_overlap: float | None
    rho: Interval | None
    repeats: Sequence[float | None]
    associations: Sequence[Interval | None]
    histogram: Markup
    optimised: OptimisedPart | None


@dataclass(frozen=True)
class BlockGroup:
    """The blocks whose shortcut is the identity, or those where it is a projection. totals: channels of each kind, and
    how many of them for certain."""

    name: str
    blocks: Sequence[BlockRow]
    totals: Sequence[tuple[int, int | None]]


@dataclass(frozen=True)
class StreamPage:
    """kinds: each with its style; others: the statistics that the mix ratio is compared with; folded: whether that of
    the branch's last BatchNorm is γ / σ; active_shares: None where the atlas has none; left_out: channels that could
    not be examples; has_scale: whether the page Scale is there; steps: of the optimisation, 0 where no pictures
    were optimised."""

    gist: Sequence[str]
    kinds: Sequence[tuple[Kind, str]]
    groups: Sequence[BlockGroup]
    others: Sequence[Measure]
    folded: bool
    has_intervals: bool
    has_scale: bool
    shares: Markup
    active_shares: Markup | None
    examples: Sequence[Example]
    left_out: int
    pictures_count: int
    sample: int
    near_one: float
    bin: float
    steps: int


def present(atlas: Atlas) -> bool:
    return bool(stream_blocks(atlas))


def write(site: Site, atlas: Atlas) -> None:
    stream = stream_of(atlas)
    if stream is None:
        return
    CHAPTER.write_page(site, atlas, stream_page(atlas, stream))
    write_blocks(site, atlas, stream)
    site.write(f"{atlas.name}/data/stream.csv", channels_csv(stream.blocks))
    site.write(f"{atlas.name}/data/stream_blocks.csv", blocks_csv(stream.blocks))


def stream_page(atlas: Atlas, stream: Stream) -> StreamPage:
    """The page of the residual stream over all blocks."""
    blocks = stream.blocks
    others = [key for key in OTHERS if any(key in block.arrays for block in blocks)]
    examples, left_out = clearest(atlas, blocks)
    steps = stream.optimised.steps if stream.optimised else 0
    return StreamPage(
        gist=[gist(name, group) for name, group in grouped(blocks)],
        kinds=[(kind, STYLES[kind]) for kind in KINDS],
        groups=[
            BlockGroup(name, [_row(block, others, optimised=bool(steps)) for block in group], _totals(group))
            for name, group in grouped(blocks)
        ],
        others=[BY_KEY[key] for key in others],
        folded="norm_scale" in others,
        has_intervals=any(block.has_intervals for block in blocks),
        has_scale=scale.present(atlas),
        shares=shares_by_block(blocks).svg(),
        active_shares=_active_shares(blocks),
        examples=examples,
        left_out=left_out,
        pictures_count=stream.pictures,
        sample=stream.sample,
        near_one=stream.near_one,
        bin=BIN,
        steps=steps,
    )


def grouped(blocks: Sequence[StreamBlock]) -> list[tuple[str, list[StreamBlock]]]:
    """The blocks with an identity shortcut and those with a projection, each with its name; empty groups left out."""
    groups = [
        (name, [block for block in blocks if block.identity == identity])
        for name, identity in (("identity shortcut", True), ("projection", False))
    ]
    return [(name, group) for name, group in groups if group]


def _totals(blocks: Sequence[StreamBlock]) -> list[tuple[int, int | None]]:
    columns = zip(*(block.counts for block in blocks), strict=True)
    return [
        (
            sum(count for count, _ in column),
            sum(sure or 0 for _, sure in column) if column[0][1] is not None else None,
        )
        for column in columns
    ]


def _row(block: StreamBlock, others: Sequence[str], *, optimised: bool) -> BlockRow:
    return BlockRow(
        name=block.info.name,
        address=block.address,
        share=block.median("shortcut_share"),
        active=block.median("active_share"),
        ratio=block.median("mix_ratio"),
        counts=block.counts,
        without_ratio=block.info.channels - block.known,
        overlap=block.mean("mix_overlap"),
        untied_overlap=block.untied_overlap,
        rho=block.median("block_correlation"),
        repeats=[block.repeats.get(key) for key in ("mix_ratio", "block_correlation")],
        associations=[block.associations.get(key) for key in others],
        histogram=mix_histogram(block, block.address).svg(),
        optimised=optimised_part(block, block.address, SMALL) if optimised else None,
    )


def _active_shares(blocks: Sequence[StreamBlock]) -> Markup | None:
    has_values = any(np.isfinite(block.values("active_share")).any() for block in blocks)
    return shares_by_block(blocks, "active_share").svg() if has_values else None


def gist(name: str, blocks: Sequence[StreamBlock]) -> str:
    """The spread of the blocks' median mix ratios and of their shares, in one sentence. name: of the group."""
    noun = "block" if len(blocks) == 1 else "blocks"
    start = f"In the {in_words(len(blocks))} {noun} with {'an' if name[0] in 'aeiou' else 'a'} {name}"
    parts = []
    for key, what in (("mix_ratio", "the median mix ratio"), ("active_share", "the shortcut's median share")):
        medians = [(found, block) for block in blocks if (found := block.median(key)) is not None]
        if not medians:
            continue
        low, high = (pick(medians, key=lambda pair: pair[0].value) for pick in (min, max))
        if len(medians) == 1:
            parts.append(f"{what} is {_with_ends(low[0])}")
        else:
            ends = " to ".join(f"{_with_ends(found)} in {block.info.name}" for found, block in (low, high))
            parts.append(f"{what} runs from {ends}")
    return f"{start}, {' and '.join(parts)}." if parts else f"{start}, no channel has a mix ratio."


def _with_ends(interval: Interval) -> str:
    if interval.low is None or interval.high is None:
        return correlation(interval.value)
    return f"{correlation(interval.value)} ({correlation(interval.low)} to {correlation(interval.high)})"


CHAPTER = Chapter(
    name="stream",
    title="Residual stream",
    template="stream.html",
    summary="what each block passes on, adds and replaces",
    present=present,
    write=write,
    styles=("plots",),
)

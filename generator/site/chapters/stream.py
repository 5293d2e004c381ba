"""The chapter *Residual stream*: what every block passes on, adds and replaces (arXiv:2407.05340)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from generator.site.chapters.chapter import Chapter
from generator.site.chapters.stream_block import OptimisedPart, optimised_part, write_blocks
from generator.site.chapters.stream_examples import Example, clearest
from generator.site.chapters.stream_figures import SMALL, STYLES, mix_histogram, shares_by_block
from generator.site.chapters.stream_tables import blocks_csv, channels_csv
from generator.site.formats import percent_fixed
from generator.site.reading.atlas import Atlas
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY
from generator.site.reading.stream import (
    BIN,
    KINDS,
    NORMS,
    Kind,
    Stream,
    StreamBlock,
    TestResult,
    stream_blocks,
    stream_of,
)
from generator.site.writing import Site


@dataclass(frozen=True)
class BlockRow:
    """A block in the table and the figures. share, ratio, rho: medians over the channels; counts: of each kind;
    tests: those of the page's `norms`, of the convolution's weight, and the analysis of variance."""

    name: str
    address: str
    identity: bool
    share: float | None
    ratio: float | None
    counts: Sequence[int]
    without_ratio: int
    tests: Sequence[TestResult | None]
    rho: float | None
    histogram: Markup
    optimised: OptimisedPart | None


@dataclass(frozen=True)
class StreamPage:
    """kinds: each with its style; norms: the statistics of the branch's last BatchNorm that the atlas has; folded:
    whether that is γ / σ; totals: channels of each kind; left_out: channels that could not be examples; steps: of the
    optimisation, 0 where no pictures were optimised."""

    gist: str
    kinds: Sequence[tuple[Kind, str]]
    totals: Sequence[int]
    blocks: Sequence[BlockRow]
    norms: Sequence[Measure]
    folded: bool
    shares: Markup
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
    blocks = stream.blocks
    norms = [key for key in NORMS if any(key in block.arrays for block in blocks)]
    examples, left_out = clearest(atlas, blocks)
    steps = stream.optimised.steps if stream.optimised else 0
    return StreamPage(
        gist=gist(blocks),
        kinds=[(kind, STYLES[kind]) for kind in KINDS],
        totals=[sum(block.count(kind) for block in blocks) for kind in KINDS],
        blocks=[_row(block, norms, optimised=bool(steps)) for block in blocks],
        norms=[BY_KEY[key] for key in norms],
        folded="norm_scale" in norms,
        shares=shares_by_block(blocks).svg(),
        examples=examples,
        left_out=left_out,
        pictures_count=stream.pictures,
        sample=stream.sample,
        near_one=stream.near_one,
        bin=BIN,
        steps=steps,
    )


def _row(block: StreamBlock, norms: Sequence[str], *, optimised: bool) -> BlockRow:
    return BlockRow(
        name=block.info.name,
        address=block.address,
        identity=block.identity,
        share=median(block.values("shortcut_share")),
        ratio=median(block.ratio),
        counts=[block.count(kind) for kind in KINDS],
        without_ratio=block.info.channels - block.known,
        tests=[block.tests.get(key) for key in (*norms, "convolution_weight", "anova")],
        rho=median(block.values("block_correlation")),
        histogram=mix_histogram(block, block.address).svg(),
        optimised=optimised_part(block, block.address, SMALL) if optimised else None,
    )


def median(values: np.ndarray) -> float | None:
    """Of the finite values; None where there is none."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def gist(blocks: Sequence[StreamBlock]) -> str:
    """Which blocks skip most and which overwrite most, in one sentence from the counts."""
    known = [block for block in blocks if block.known]
    if not known:
        return "No channel has a mix ratio."

    def share(block: StreamBlock, kind: Kind) -> float:
        return block.count(kind) / max(1, block.known)

    most = max(known, key=lambda block: share(block, "skips"))
    least = min(known, key=lambda block: share(block, "skips"))
    over = max(known, key=lambda block: share(block, "is overwritten"))
    overwritten = share(over, "is overwritten")
    most_text = f"{percent_fixed(share(most, 'skips'))} % of its channels that have a ratio"
    over_text = (
        f"{over.info.name} overwrites most ({percent_fixed(overwritten, 1)} %)"
        if overwritten
        else "no block overwrites"
    )
    return (
        f"{most.info.name} skips most ({most_text}), "
        f"{least.info.name} least ({percent_fixed(share(least, 'skips'))} %); {over_text}."
    )


CHAPTER = Chapter(
    name="stream",
    title="Residual stream",
    template="stream.html",
    summary="what each block passes on, adds and replaces",
    present=present,
    write=write,
    styles=("plots",),
)

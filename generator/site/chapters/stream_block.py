"""The residual stream of one block: its histogram with the channels of every bar, and scatter plots of its channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from generator.core.records import LayerInfo
from generator.site.chapters.neighbours import with_neighbours
from generator.site.chapters.stream_figures import (
    LARGE,
    MIDDLE,
    STYLES,
    mix_histogram,
    optimised_plot,
    ratio_plot,
    scale_plot,
)
from generator.site.reading.atlas import Atlas
from generator.site.reading.interval import Interval
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY
from generator.site.reading.stream import KINDS, NORMS, Kind, Stream, StreamBlock
from generator.site.writing import Site

# Statistics that are plotted against the mix ratio.
PLOTTED = {
    "norm_weight": "Weight of the branch's last BatchNorm",
    "norm_scale": "Scale of the branch's last BatchNorm",
    "convolution_weight": "Weights of the branch's last convolution",
    "block_at_input": "What the branch adds on the pictures of its input",
    "block_correlation": "Rank correlation of the branch with its input",
}

MEDIANS = ("shortcut_share", "active_share", "mix_ratio", "block_correlation")  # whose medians the page gives


@dataclass(frozen=True)
class RatioPlot:
    """A statistic against the mix ratio. rho: their rank correlation over the channels."""

    caption: str
    measure: Measure
    svg: Markup
    rho: Interval | None


@dataclass(frozen=True)
class OptimisedPart:
    """A block's mix ratio at optimised pictures: its median, and how many channels are of each kind."""

    histogram: Markup
    median: float
    counts: Sequence[int]


@dataclass(frozen=True)
class OptimisedAssociation:
    """The rank correlation of the mix ratio at optimised pictures with another statistic, over the channels."""

    name: str
    rho: float | None


@dataclass(frozen=True)
class Bin:
    number: int
    name: str
    channels: Sequence[int]


@dataclass(frozen=True)
class StreamBlockPage:
    """input, branch: pages of the layers that the two sides come from, '' where the site has none; counts: of each kind
    its name, style, channels, and how many of them for certain (None where the atlas has no intervals); medians: over
    the channels; overlap, untied_overlap: pictures that the two lists of a channel and of different channels share, on
    average; without_ratio: count; before, after: the blocks next to it."""

    layer: LayerInfo
    counts: Sequence[tuple[Kind, str, int, int | None]]
    medians: Sequence[tuple[Measure, Interval]]
    overlap: float | None
    untied_overlap: float | None
    without_ratio: int
    identity: bool
    input: str
    branch: str
    histogram: Markup
    bins: Sequence[Bin]
    plots: Sequence[RatioPlot]
    optimised: OptimisedPart | None
    optimised_plot: Markup | None
    optimised_associations: Sequence[OptimisedAssociation]
    steps: int
    scale: Markup | None
    middle: int
    before: str | None
    after: str | None


def write_blocks(site: Site, atlas: Atlas, stream: Stream) -> None:
    """A page for each block."""
    for before, block, after in with_neighbours(stream.blocks):
        page = block_page(atlas, stream, block, _name(before), _name(after))
        site.page_of(atlas, block.address, "stream_block.html", page)


def _name(block: StreamBlock | None) -> str | None:
    return block.info.name if block else None


def block_page(
    atlas: Atlas, stream: Stream, block: StreamBlock, before: str | None = None, after: str | None = None
) -> StreamBlockPage:
    """The page of one block's stream. before, after: names of the blocks next to it, None at the ends."""
    optimised = optimised_part(block, "", LARGE) if stream.optimised else None
    scale = scale_plot(block)
    return StreamBlockPage(
        layer=block.info,
        counts=[(kind, STYLES[kind], *count) for kind, count in zip(KINDS, block.counts, strict=True)],
        medians=[(BY_KEY[key], found) for key in MEDIANS if (found := block.median(key)) is not None],
        overlap=block.mean("mix_overlap"),
        untied_overlap=block.untied_overlap,
        without_ratio=block.info.channels - block.known,
        identity=block.identity,
        input=block.input if atlas.has(block.input) else "",
        branch=block.branch if atlas.has(block.branch) else "",
        histogram=mix_histogram(block, "", LARGE).svg(),
        bins=_bins(block),
        plots=ratio_plots(block),
        optimised=optimised,
        optimised_plot=optimised_plot(block).svg() if optimised else None,
        optimised_associations=_optimised_associations(stream, block),
        steps=stream.optimised.steps if stream.optimised else 0,
        scale=scale.svg() if scale else None,
        middle=MIDDLE,
        before=before,
        after=after,
    )


def _bins(block: StreamBlock) -> list[Bin]:
    """The bins that hold channels."""
    channels: dict[int, list[int]] = {}
    for channel in np.flatnonzero(np.isfinite(block.ratio)).tolist():
        channels.setdefault(block.bin_of(float(block.ratio[channel])), []).append(channel)
    return [Bin(number, block.bin_name(number), held) for number, held in sorted(channels.items())]


def ratio_plots(block: StreamBlock) -> list[RatioPlot]:
    """A plot for each statistic of PLOTTED that some channel has."""
    return [
        RatioPlot(
            caption, BY_KEY[key], ratio_plot(block, BY_KEY[key], caption).svg(), block.associations.get(key)
        )
        for key, caption in PLOTTED.items()
        if np.isfinite(block.values(key)).any()
    ]


def optimised_part(block: StreamBlock, page: str, height: int) -> OptimisedPart | None:
    """None where no channel has a ratio at optimised pictures. page, height: of the histogram, see mix_histogram."""
    ratio = block.values("mix_ratio_optimised")
    known = ratio[np.isfinite(ratio)]
    if not len(known):
        return None
    kinds = [block.kind(value) for value in known.tolist()]
    return OptimisedPart(
        histogram=mix_histogram(block, page, height, "mix_ratio_optimised").svg(),
        median=float(np.median(known)),
        counts=[kinds.count(kind) for kind in KINDS],
    )


def _optimised_associations(stream: Stream, block: StreamBlock) -> list[OptimisedAssociation]:
    found = stream.optimised.associations.get(block.info.name, {}) if stream.optimised else {}
    norms = [key for key in NORMS if key in block.arrays]
    return [
        OptimisedAssociation("the mix ratio at the set's own pictures", found.get("mix_ratio")),
        *(OptimisedAssociation(BY_KEY[key].name, found.get(key)) for key in norms),
        OptimisedAssociation("the convolution's weight", found.get("convolution_weight")),
        OptimisedAssociation(
            "what the branch adds at Input's optimised picture", found.get("block_at_input")
        ),
    ]

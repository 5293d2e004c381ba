"""The refinement from one block to the next: a dot per channel, and the channels that stand out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.site.chapters.neighbours import with_neighbours
from generator.site.chapters.refinement_channels import (
    ChannelChange,
    ChannelList,
    channel_changes,
    channel_lists,
)
from generator.site.chapters.refinement_figures import KINDS
from generator.site.figures.axis import Axis, Tick
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import LayerPair
from generator.site.reading.relations import stage_pairs
from generator.site.writing import Site

LISTED = 12  # channels of each list


@dataclass(frozen=True)
class Dot:
    """A channel; x: its rank correlation, y: what it gained in label agreement, or the pictures kept; in px."""

    change: ChannelChange
    x: float
    y: float


@dataclass(frozen=True)
class PairPage:
    """counts: of each kind its name, its channels and their share. zero: y of zero in px; labelled: whether y is the
    gain in label agreement. before, after: the pairs next to it."""

    pair: LayerPair
    counts: Sequence[tuple[str, int, float]]
    dots: Sequence[Dot]
    labelled: bool
    across: Sequence[Tick]
    up: Sequence[Tick]
    zero: float
    lists: Sequence[ChannelList]
    before: LayerPair | None
    after: LayerPair | None


def write_pairs(site: Site, atlas: Atlas) -> None:
    """A page for each pair of neighbouring blocks."""
    for before, pair, after in with_neighbours(stage_pairs(atlas)):
        site.page_of(atlas, pair.refinement_address, "pair.html", pair_page(atlas, pair, before, after))


def pair_page(
    atlas: Atlas, pair: LayerPair, before: LayerPair | None = None, after: LayerPair | None = None
) -> PairPage:
    changes = [change for change in channel_changes(atlas, pair) if change.rho is not None]
    labelled = any(change.gain is not None for change in changes)
    if labelled:
        changes = [change for change in changes if change.gain is not None]
    correlations = [change.rho or 0.0 for change in changes]
    heights = [change.gain or 0.0 if labelled else float(change.shared) for change in changes]
    across = Axis.around([*correlations, 1.0], zero=True, start=56, end=700)
    up = Axis.around(heights, zero=True, start=400, end=16)
    counts = pair.changes.counts
    total = max(1, sum(counts.values()))
    return PairPage(
        pair=pair,
        counts=[(kind, counts[kind], counts[kind] / total) for kind in KINDS],
        dots=[
            Dot(change, across(rho), up(height))
            for change, rho, height in zip(changes, correlations, heights, strict=True)
        ],
        labelled=labelled,
        across=across.ticks,
        up=up.ticks,
        zero=up(0.0),
        lists=[each for each in channel_lists(atlas, [pair], LISTED) if each.entries],
        before=before,
        after=after,
    )

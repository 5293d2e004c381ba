"""The refinement from one block to a later one of its stage: a dot per channel, and lists of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from generator.site.chapters.neighbours import with_neighbours
from generator.site.chapters.refinement_channels import ChannelList, channel_changes, channel_lists
from generator.site.figures.axis import Axis, Tick
from generator.site.figures.many_dots import Dot, dot_layer
from generator.site.reading.atlas import Atlas
from generator.site.reading.refinement import (
    KINDS,
    Comparison,
    Kind,
    Refinement,
    expected_by_chance,
    stage_statement,
)
from generator.site.writing import Site

LISTED = 12  # channels of each list
HEIGHT = 446  # px of the figure


@dataclass(frozen=True)
class PairPage:
    """counts: of each kind its name, its channels and their share; dots: channels by rank correlation and by gain in
    label agreement, or pictures kept; height: of the figure in px; zero: y of zero in px; labelled: whether y is the
    gain; statement, chance, repeats: as in a stage's row; flow: address of the page on which channels correspond, ''
    for a whole stage; before, after: the pairs next to it."""

    pair: Comparison
    refinement: Refinement
    statement: str
    chance: str
    repeats: bool
    counts: Sequence[tuple[Kind, int, float]]
    dots: Markup
    height: int
    labelled: bool
    across: Sequence[Tick]
    up: Sequence[Tick]
    zero: float
    lists: Sequence[ChannelList]
    flow: str
    before: Comparison | None
    after: Comparison | None


def write_pairs(site: Site, atlas: Atlas) -> None:
    """A page for each pair of neighbouring blocks, and one for each longer stage."""
    refinement = atlas.refinement
    assert refinement is not None
    for pairs in (refinement.neighbours, refinement.stages):
        for before, pair, after in with_neighbours(pairs):
            site.page_of(atlas, pair.address, "pair.html", pair_page(atlas, pair, before, after))


def pair_page(
    atlas: Atlas, pair: Comparison, before: Comparison | None = None, after: Comparison | None = None
) -> PairPage:
    """The page of one pair of blocks, with the channels that a label agreement is known of where there are labels.
    before, after: the pairs next to it, which the page links to."""
    refinement = atlas.refinement
    assert refinement is not None
    changes = [change for change in channel_changes(atlas, pair, refinement.bound) if change.rho is not None]
    labelled = any(change.gain is not None for change in changes)
    if labelled:
        changes = [change for change in changes if change.gain is not None]
    correlations = [change.rho or 0.0 for change in changes]
    heights = [change.gain.value if change.gain else float(change.shared) for change in changes]
    across = Axis.around([*correlations, 1.0], zero=True, start=0, end=100)
    up = Axis.around(heights, zero=True, start=400, end=16)
    total = max(1, pair.channels)
    return PairPage(
        pair=pair,
        refinement=refinement,
        statement=stage_statement(pair),
        chance=expected_by_chance(pair),
        repeats=pair.repeats(refinement.reliable),
        counts=[(kind, pair.counts[kind], pair.counts[kind] / total) for kind in KINDS],
        dots=dot_layer(
            [
                Dot(across(rho), up(height), change.channel, change.words, change.kind)
                for change, rho, height in zip(changes, correlations, heights, strict=True)
            ],
            HEIGHT,
        ),
        height=HEIGHT,
        labelled=labelled,
        across=across.ticks,
        up=up.ticks,
        zero=up(0.0),
        lists=channel_lists(atlas, refinement, [pair], LISTED),
        flow="" if pair.whole else f"from-{pair.source}.html",
        before=before,
        after=after,
    )

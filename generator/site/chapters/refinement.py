"""The chapter *Refinement*: whether channels keep their pictures along a stage, and whether their labels agree more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.correspondence import STRONG_PICTURES
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.refinement_channels import ChannelList, channel_lists, refinement_csv
from generator.site.chapters.refinement_figures import Bars, bars
from generator.site.chapters.refinement_pair import write_pairs
from generator.site.reading.atlas import Atlas
from generator.site.reading.refinement import Comparison, Refinement, expected_by_chance, stage_statement
from generator.site.writing import Site

LISTED = 6  # channels of each list
# Of the atlas; the site offers copies of them.
RELATIONS_FILES = ("relations.json", "refinement.json", "classes.json", "classes.csv")


@dataclass(frozen=True)
class StageRow:
    """A stage. statement: on label agreement, '' without labels; chance: how many intervals of single channels would
    lie above zero, and as many below, if nothing changed; repeats: whether gains of single channels repeat on other
    pictures."""

    pair: Comparison
    statement: str
    chance: str
    repeats: bool


@dataclass(frozen=True)
class RefinementPage:
    """stages: first with last blocks; labelled: whether label agreements are known; hierarchy: name of the classes'
    hierarchy; panels: of the sprites."""

    refinement: Refinement
    stages: Sequence[StageRow]
    labelled: bool
    hierarchy: str | None
    groups: Sequence[str]
    bars: Bars
    lists: Sequence[ChannelList]
    panels: Sequence[str]
    strong_pictures: int
    has_relations_file: bool


def present(atlas: Atlas) -> bool:
    return atlas.refinement is not None


def write(site: Site, atlas: Atlas) -> None:
    refinement = atlas.refinement
    assert refinement is not None
    CHAPTER.write_page(site, atlas, refinement_page(atlas))
    site.write(f"{atlas.name}/data/refinement.csv", refinement_csv(atlas, refinement))
    write_pairs(site, atlas)


def refinement_page(atlas: Atlas) -> RefinementPage:
    """The network's page, for an atlas where the chapter is present."""
    refinement, relations = atlas.refinement, atlas.relations
    assert refinement is not None
    lists = channel_lists(atlas, refinement, refinement.neighbours, LISTED, pictured=True)
    return RefinementPage(
        refinement=refinement,
        stages=[stage_row(pair, refinement) for pair in refinement.stages],
        labelled=any(pair.gains is not None for pair in refinement.stages),
        hierarchy=relations.hierarchy if relations else None,
        groups=relations.groups if relations else (),
        bars=bars(refinement.neighbours),
        lists=lists,
        panels=atlas.manifest.sprites[atlas.layers[0].name].panels,
        strong_pictures=STRONG_PICTURES,
        has_relations_file=has_relations_file(atlas),
    )


def stage_row(pair: Comparison, refinement: Refinement) -> StageRow:
    repeats = pair.repeats(refinement.reliable)
    return StageRow(pair, stage_statement(pair), expected_by_chance(pair), repeats)


def has_relations_file(atlas: Atlas) -> bool:
    return all(atlas.store.tables.path(name) for name in RELATIONS_FILES)


CHAPTER = Chapter(
    name="refinement",
    title="Refinement",
    template="refinement.html",
    summary="whether channel numbers keep their pictures along a stage, and whether the labels agree more",
    present=present,
    write=write,
    styles=("relations",),
)

"""The chapter *Refinement*: what channels do from block to block of a stage, counted, tested and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.correspondence import CLEAR_GAIN, STRONG_PICTURES
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.refinement_channels import ChannelList, channel_lists, refinement_csv
from generator.site.chapters.refinement_figures import (
    KINDS,
    Bars,
    EntropyCurves,
    Profile,
    bars,
    entropy_curves,
    profiles,
)
from generator.site.chapters.refinement_pair import write_pairs
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import Changes
from generator.site.reading.relations import stage_pairs
from generator.site.writing import Site

LEVEL = 0.05  # a p value up to here is called significant
LISTED = 6  # channels of each list
# Of the atlas; the site offers copies of them.
RELATIONS_FILES = ("relations.json", "refinement.json", "classes.json", "classes.csv")


@dataclass(frozen=True)
class Row:
    """A stage, or the network, in the table."""

    name: str
    changes: Changes

    @property
    def shares(self) -> list[float]:
        """Of the channels of each kind."""
        return [self.changes.counts[kind] / max(1, self.changes.channels) for kind in KINDS]


@dataclass(frozen=True)
class RefinementPage:
    """stages: rows of the table that are stages; network: its last row, None where there is one stage; labelled:
    whether the label agreements are known; hierarchy: name of the classes' hierarchy; rounds: of the tests."""

    kinds: Sequence[str]
    stages: Sequence[Row]
    network: Row | None
    labelled: bool
    hierarchy: str | None
    groups: Sequence[str]
    rounds: int
    bars: Bars
    profiles: Sequence[Profile]
    curves: EntropyCurves | None
    lists: Sequence[ChannelList]
    panels: Sequence[str]
    strong_pictures: int
    clear_gain: float
    level: float
    has_relations_file: bool


def present(atlas: Atlas) -> bool:
    return bool(stage_pairs(atlas))


def write(site: Site, atlas: Atlas) -> None:
    CHAPTER.write_page(site, atlas, refinement_page(atlas))
    site.write(f"{atlas.name}/data/refinement.csv", refinement_csv(atlas))
    write_pairs(site, atlas)


def refinement_page(atlas: Atlas) -> RefinementPage:
    """The network's page, for an atlas where the chapter is present."""
    pairs, relations = stage_pairs(atlas), atlas.relations
    assert relations is not None
    shown = {atlas.manifest.layer(pair.target).stage for pair in pairs}
    stages = [Row(f"stage {stage}", changes) for stage, changes in relations.stages.items() if stage in shown]
    lists = channel_lists(atlas, pairs, LISTED, pictured=True)
    return RefinementPage(
        kinds=KINDS,
        stages=stages,
        network=Row("network", relations.network) if relations.network and len(stages) > 1 else None,
        labelled=any(row.changes.gain is not None for row in stages),
        hierarchy=relations.hierarchy,
        groups=relations.groups,
        rounds=relations.rounds,
        bars=bars(pairs),
        profiles=profiles(atlas),
        curves=entropy_curves(atlas),
        lists=[each for each in lists if each.entries or each.left_out],
        panels=atlas.manifest.sprites[atlas.layers[0].name].panels,
        strong_pictures=STRONG_PICTURES,
        clear_gain=CLEAR_GAIN,
        level=LEVEL,
        has_relations_file=has_relations_file(atlas),
    )


def has_relations_file(atlas: Atlas) -> bool:
    return all(atlas.store.tables.path(name) for name in RELATIONS_FILES)


CHAPTER = Chapter(
    name="refinement",
    title="Refinement",
    template="refinement.html",
    summary="how many channels refine, stay, blur or change from block to block, with tests",
    present=present,
    write=write,
    styles=("relations",),
)

"""Writing the pages on refinement and correspondence: one of each a network, and one for every pair of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jinja2 import Environment

from generator.site.chapters.corresponding import (
    across_links,
    comparable,
    compare,
    correspondence_page,
    flow_csv,
    flow_page,
)
from generator.site.chapters.refining import pair_page, refinement_csv, refinement_page
from generator.site.reading.atlas import Atlas, pairs_shown
from generator.site.reading.layer_pairs import LayerPair, NetworkMatches
from generator.site.reading.relations import stage_pairs

Write = Callable[[str, str], None]  # address, text
FILES = ("relations.json", "classes.csv")  # of the atlas, beside its manifest


def other_networks(
    atlas: Atlas, atlases: Sequence[Atlas], progress: Callable[[str], object] = lambda what: None
) -> dict[str, Any]:
    """What `compare` finds in the other atlases that look through the same pictures, by name."""
    found = {}
    for other in atlases:
        if other.name != atlas.name and comparable(atlas, other):
            progress(f"{atlas.name} against {other.name}")
            compared = compare(atlas, other)
            if compared is not None:
                found[other.name] = compared
    return found


def for_channels(across: dict[str, Any]) -> dict[str, Any]:
    """As much of it as the channels' pages need; it is sent to the processes that write them."""
    return {name: {"columns": one["columns"], "channels": one["channels"]} for name, one in across.items()}


def links_of(across: dict[str, Any], layer: str, channel: int) -> list[NetworkMatches]:
    """A channel's matches in each other network that has some."""
    found = ((name, across_links(one, layer, channel)) for name, one in across.items())
    return [NetworkMatches(name, matches) for name, matches in found if matches]


def write_relations(
    write: Write,
    env: Environment,
    atlas: Atlas,
    atlases: Sequence[Atlas],
    common: dict[str, Any],
    across: dict[str, Any],
) -> None:
    """Write them all; nothing for an atlas that was made before there were any. common: what every page needs."""
    refinement = refinement_page(atlas)
    correspondence = correspondence_page(atlas, atlases, across)
    panels = atlas.manifest.sprites[atlas.layers[0].name].panels
    files = {"relations_file": all(atlas.store.tables.path(name) for name in FILES), "panels": panels}
    above, inside = {**common, **files, "root": "../"}, {**common, **files, "root": "../../"}
    if refinement:
        write(
            f"{atlas.name}/refinement.html",
            env.get_template("refinement.html").render({**above, **refinement}),
        )
        write(f"{atlas.name}/data/refinement.csv", refinement_csv(atlas))
        for pair, beside in _with_neighbours(stage_pairs(atlas)):
            page = env.get_template("pair.html").render({**inside, **pair_page(atlas, pair), **beside})
            write(f"{atlas.name}/{pair.refinement_address}", page)
    if correspondence:
        page = env.get_template("correspondence.html").render(
            {**above, **correspondence, "has_refinement": refinement is not None}
        )
        write(f"{atlas.name}/correspondence.html", page)
        for pair, beside in _with_neighbours(pairs_shown(atlas)):
            address = f"{atlas.name}/{pair.flow_address}"
            write(
                address, env.get_template("flow.html").render({**inside, **flow_page(atlas, pair), **beside})
            )
            write(address.removesuffix(".html") + ".csv", flow_csv(atlas, pair))


def _with_neighbours(pairs: list[LayerPair]) -> list[tuple[LayerPair, dict[str, LayerPair | None]]]:
    """Each pair with the one before and after it."""
    ends = [None, *pairs, None]
    return [
        (pair, {"before": before, "after": after})
        for before, pair, after in zip(ends, pairs, ends[2:], strict=False)
    ]

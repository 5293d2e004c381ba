"""The gallery of dreams (DeepDream): every start picture beside what the layers made of it."""

from __future__ import annotations

import math
from typing import Any

from generator.site.chapters.chapter import Chapter
from generator.site.formats import significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.unique_labels import short_label
from generator.site.writing import Site

COLUMNS = 6  # pictures beside each other at most


def dreams_page(atlas: Atlas) -> dict[str, Any] | None:
    """Everything the page says; None where the atlas has no dreams."""
    index = atlas.store.tables.read_json("deepdream/index.json")
    if not index:
        return None
    pictures = [_picture(atlas, picture) for picture in index["pictures"]]
    files = [picture["start"] for picture in pictures]
    files += [dream["file"] for picture in pictures for dream in picture["dreams"]]
    shown = 1 + len(pictures[0]["dreams"])
    return {
        "settings": index["settings"],
        "pictures": pictures,
        "columns": math.ceil(shown / math.ceil(shown / COLUMNS)),  # of rows about as long
        "files": sorted(set(files)),
    }


def _picture(atlas: Atlas, picture: dict[str, Any]) -> dict[str, Any]:
    number = picture["number"]
    label = short_label(picture["label"]) if number is None else atlas.short[number]
    return {
        "start": picture["start"],
        "title": label or picture["name"],
        "said": picture["name"] if number is None else f"picture {number}, {picture['name']}",
        "dreams": [_dream(atlas, dream) for dream in picture["dreams"]],
    }


def _dream(atlas: Atlas, dream: dict[str, Any]) -> dict[str, Any]:
    before, after = dream["before"], dream["after"]
    field = atlas.manifest.layer(dream["layer"]).receptive_field.side
    return {
        "file": dream["file"],
        "layer": dream["layer"],
        "linked": atlas.has(dream["layer"]),
        "field": field,
        "before": significant(before),
        "after": significant(after),
        "gain": significant(after / before) if before > 0 else "",
    }


def write(site: Site, atlas: Atlas) -> None:
    gallery = dreams_page(atlas)
    if gallery is None:
        return
    for name in gallery["files"]:
        site.copy(atlas.store.pictures.dream_path(name), f"{atlas.name}/deepdream/{name}")
    CHAPTER.write_page(site, atlas, gallery)


CHAPTER = Chapter(
    name="deepdream",
    title="DeepDream",
    template="deepdream.html",
    summary="pictures changed so that a layer's activations grow",
    present=lambda atlas: dreams_page(atlas) is not None,
    write=write,
    styles=("deepdream",),
)

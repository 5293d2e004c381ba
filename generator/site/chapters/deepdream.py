"""The chapter on DeepDream: every start picture next to what the layers made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generator.core.records import Size
from generator.site.chapters.chapter import Chapter
from generator.site.reading.atlas import Atlas
from generator.site.reading.unique_labels import short_label
from generator.site.writing import Site

COLUMNS = 6  # pictures next to each other at most


@dataclass(frozen=True)
class DreamSettings:
    """How the pictures were made. side: of the pictures in px, of rectangles [height, width]; sides: of the octaves, in
    the same form; octave_scale: from one octave to
    the next; steps: per octave; step_size: mean change of a step, of 255; jitter: px; quality: of the WebP files."""

    side: int | Sequence[int]
    sides: Sequence[int | Sequence[int]]
    octaves: int
    octave_scale: float
    steps: int
    step_size: float
    jitter: int
    seed: int
    quality: int

    @property
    def size(self) -> Size:
        """Height and width of the pictures in px."""
        return _size(self.side)

    @property
    def octave_words(self) -> str:
        """The octaves' sides, of rectangles height × width."""
        return ", ".join(
            str(side) if isinstance(side, int) else " × ".join(map(str, side)) for side in self.sides
        )


def _size(side: int | Sequence[int]) -> Size:
    height, width = (side, side) if isinstance(side, int) else side
    return height, width


@dataclass(frozen=True)
class Dream:
    """What a layer made of a start picture. linked: whether the layer has pages; field: side of its receptive field in
    px; before, after: root mean square of its activations at the start picture and at the dream."""

    file: str
    layer: str
    linked: bool
    field: int
    before: float
    after: float

    @property
    def gain(self) -> float | None:
        return self.after / self.before if self.before > 0 else None


@dataclass(frozen=True)
class StartPicture:
    """file: of the start picture; origin: which picture of the set it is, or its file's name."""

    file: str
    title: str
    origin: str
    dreams: Sequence[Dream]


@dataclass(frozen=True)
class DreamsPage:
    """The variables of deepdream.html. columns: of pictures."""

    settings: DreamSettings
    start_pictures: Sequence[StartPicture]
    columns: int

    def files(self) -> Iterator[str]:
        """The pictures' files, below deepdream/."""
        for start in self.start_pictures:
            yield start.file
            for dream in start.dreams:
                yield dream.file


def dream_index(atlas: Atlas) -> Mapping[str, Any] | None:
    """deepdream/index.json; None where the atlas has no dreams."""
    return atlas.store.tables.read_json("deepdream/index.json") or None


def dreams_page(atlas: Atlas, index: Mapping[str, Any]) -> DreamsPage:
    """index: deepdream/index.json."""
    starts = [_start_picture(atlas, picture) for picture in index["pictures"]]
    shown = 1 + len(starts[0].dreams)
    settings = {name: index["settings"][name] for name in DreamSettings.__dataclass_fields__}
    rows = math.ceil(shown / COLUMNS)
    return DreamsPage(DreamSettings(**settings), starts, columns=math.ceil(shown / rows))


def _start_picture(atlas: Atlas, picture: Mapping[str, Any]) -> StartPicture:
    """picture: of deepdream/index.json."""
    number, name = picture["number"], picture["name"]
    label = short_label(picture["label"]) if number is None else atlas.picture_labels[number]
    return StartPicture(
        file=picture["start"],
        title=label or name,
        origin=name if number is None else f"picture {number}, {name}",
        dreams=[
            Dream(
                file=dream["file"],
                layer=dream["layer"],
                linked=atlas.has(dream["layer"]),
                field=atlas.manifest.layer(dream["layer"]).receptive_field.side,
                before=dream["before"],
                after=dream["after"],
            )
            for dream in picture["dreams"]
        ],
    )


def write(site: Site, atlas: Atlas) -> None:
    index = dream_index(atlas)
    if index is None:
        return
    page = dreams_page(atlas, index)
    for name in page.files():
        site.copy(atlas.store.pictures.dream_path(name), f"{atlas.name}/deepdream/{name}")
    CHAPTER.write_page(site, atlas, page)


CHAPTER = Chapter(
    name="deepdream",
    title="DeepDream",
    template="deepdream.html",
    summary="pictures changed so that a layer's activations grow",
    present=lambda atlas: dream_index(atlas) is not None,
    write=write,
    styles=("deepdream",),
)

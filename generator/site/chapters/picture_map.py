"""The chapter *Map of the pictures*: pictures placed on a plane by what the classifier reads of them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from generator.core.records import PictureRecord
from generator.site.chapters.chapter import Chapter
from generator.site.figures.colours import NONE, class_colours
from generator.site.figures.point_maps import Sheet, point_map
from generator.site.finder import data_script
from generator.site.formats import percent, readable_path
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site

LAYOUTS = {"tsne": "t-SNE", "pca": "PCA"}
STEPS = 65535  # of a place along the longer side of the map: a 16-bit number each
FINEST = 32767  # stands for a similarity of 1: a signed 16-bit number each
HUBS = 3  # named on the page


@dataclass(frozen=True)
class Thumbnails:
    """The sheet of thumbnails. tile: side in px; columns: of the sheet; count: pictures that have one."""

    tile: int
    columns: int
    count: int


@dataclass(frozen=True)
class Spread:
    """How evenly the pictures are spread over each other's lists of nearest pictures. largest: in how many lists the
    picture is that is in most; unlisted: pictures that are in none; skewness: of the number of lists, None where it is
    the same for all."""

    largest: int
    unlisted: float
    skewness: float | None


@dataclass(frozen=True)
class Embedding:
    """How the map was made (embedding/embedding.json).

    pictures: on the map; vector, length: name and size of the layer output that is embedded; averages: whether it is
    the mean of each channel's map; precision: of the forward pass; explained: share of the variance by principal
    component; fitted: pictures that the components were fitted to; perplexity, seed, divergence: of t-SNE; exact:
    pictures that t-SNE placed itself; neighbours: listed per picture; found, chance: how evenly these lists are spread,
    and how evenly lists drawn at random are expected to be; None where the atlas does not say.
    """

    pictures: int
    vector: str
    length: int
    averages: bool
    precision: str
    explained: Sequence[float]
    fitted: int
    perplexity: float
    seed: int
    divergence: float
    exact: int
    neighbours: int
    found: Spread | None
    chance: Spread | None
    sklearn: str
    thumbnails: Thumbnails


def _embedding(data: Mapping[str, Any]) -> Embedding:
    thumbs, hubness = data["thumbs"], data.get("hubness")
    return Embedding(
        pictures=data["pictures"],
        vector=data["vector"],
        length=data["length"],
        averages=data.get("averages", False),
        precision=data["precision"],
        explained=data["explained"],
        fitted=data.get("fitted", data["pictures"]),
        perplexity=data["perplexity"],
        seed=data["seed"],
        divergence=data["divergence"],
        exact=data["exact"],
        neighbours=data["neighbours"],
        found=Spread(**hubness["found"]) if hubness else None,
        chance=Spread(**hubness["chance"]) if hubness else None,
        sklearn=data["scikit-learn"],
        thumbnails=Thumbnails(thumbs["tile"], thumbs["columns"], thumbs["count"]),
    )


class PictureMap:
    """An atlas's map.

    arrays: of embedding/map.npz; number: (M,) of each picture in images.csv; class_of: (M,) its class, −1 for none;
    labels, groups, colours, counts: by class; places: by layout, (M, 2) in [0, 1], of one scale in both directions.
    """

    def __init__(self, atlas: Atlas, embedding: Embedding) -> None:
        self.atlas, self.embedding = atlas, embedding
        self.arrays: Mapping[str, np.ndarray] = atlas.store.arrays.embedding()
        self.number = self.arrays["picture"]
        self.pictures: list[PictureRecord] = [atlas.pictures[number] for number in self.number.tolist()]
        classes = sorted({(record.label_id, record.label) for record in self.pictures if record.label})
        class_numbers = {key: number for number, key in enumerate(classes)}
        self.class_of = np.array(
            [class_numbers.get((record.label_id, record.label), -1) for record in self.pictures], np.int64
        )
        groups = atlas.store.tables.class_groups()
        self.groups = [groups.get(key, "") for key in classes]
        self.colours = class_colours(self.groups)
        self.labels = [atlas.class_labels[key] for key in classes]
        self.counts = np.bincount(self.class_of[self.class_of >= 0], minlength=len(classes)).tolist()
        self.places = {name: _unit(self.arrays[name]) for name in LAYOUTS}

    @property
    def has_neighbours(self) -> bool:
        """Whether the atlas lists each picture's nearest, with their similarity."""
        return {"neighbour", "similarity", "listed"} <= self.arrays.keys()

    @property
    def has_sheet(self) -> bool:
        """Whether the site may show thumbnails and there are some."""
        return self.atlas.manifest.publish_patches and self.embedding.thumbnails.count > 0

    @cached_property
    def sheet(self) -> Sheet | None:
        """The sheet of thumbnails, decoded."""
        if not self.has_sheet:
            return None
        thumbs = self.embedding.thumbnails
        with Image.open(self.atlas.store.pictures.map_thumbs_path()) as file:
            return Sheet(file.convert("RGB"), thumbs.tile, thumbs.columns)

    def point_colours(self) -> list[str]:
        """Of each picture, by its class."""
        return [self.colours[number] if number >= 0 else NONE for number in self.class_of.tolist()]


def picture_map(atlas: Atlas) -> PictureMap | None:
    """The atlas's map, or None where it has none."""
    data = atlas.store.tables.read_json("embedding/embedding.json")
    if not data or not atlas.store.arrays.has_embedding():
        return None
    return PictureMap(atlas, _embedding(data))


def _unit(positions: np.ndarray) -> np.ndarray:
    """(M, 2) places moved and scaled so that the longer side is 1; all 0 where they lie in one place."""
    low = positions.min(0).astype(np.float64)
    longest = float((positions.max(0) - low).max())
    unit: np.ndarray = (positions - low) / (longest or 1.0)
    return unit


# -- the page ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ListedClass:
    """A class in the list next to the map. count: of its pictures on the map."""

    number: int
    label: str
    colour: str
    count: int


@dataclass(frozen=True)
class Hub:
    """A picture that is in many others' lists. number: in images.csv; lists: how many."""

    number: int
    file: str
    label: str
    lists: int


@dataclass(frozen=True)
class MapPage:
    """embedding: how the map was made; whole: pictures of the atlas; thumbnails: pictures that show one; hubs: the
    pictures that are in most lists of nearest pictures; groups: of classes, by name; one without a name where there are
    no groups."""

    embedding: Embedding
    whole: int
    thumbnails: int
    hubs: Sequence[Hub]
    groups: Sequence[tuple[str, Sequence[ListedClass]]]
    classes: int
    layouts: Mapping[str, str]


def present(atlas: Atlas) -> bool:
    return atlas.store.arrays.has_embedding()


def write(site: Site, atlas: Atlas) -> None:
    """The page, the data for its script, the sheet of thumbnails and the maps for browsers without scripts."""
    drawn = picture_map(atlas)
    if drawn is None:
        return
    CHAPTER.write_page(site, atlas, map_page(drawn))
    site.write(f"{atlas.name}/map.js", map_script(drawn))
    if drawn.has_sheet:
        site.copy(atlas.store.pictures.map_thumbs_path(), f"{atlas.name}/map/thumbs.webp")
    colours, thumbs = drawn.point_colours(), drawn.arrays["thumb"]
    for name, places in drawn.places.items():
        site.write(f"{atlas.name}/map/{name}.webp", point_map(places, colours, drawn.sheet, thumbs))


def map_page(drawn: PictureMap) -> MapPage:
    """The map's page, its classes by group where there are groups of several classes."""
    classes = [
        ListedClass(number, label, colour, count)
        for number, (label, colour, count) in enumerate(
            zip(drawn.labels, drawn.colours, drawn.counts, strict=True)
        )
    ]
    groups: dict[str, list[ListedClass]] = {}
    for each, group in zip(classes, drawn.groups, strict=True):
        groups.setdefault(group, []).append(each)
    grouped = 1 < len(groups) < len(classes)
    return MapPage(
        embedding=drawn.embedding,
        whole=drawn.atlas.manifest.pictures.count,
        thumbnails=drawn.embedding.thumbnails.count if drawn.has_sheet else 0,
        hubs=hubs(drawn),
        groups=list(groups.items()) if grouped else [("", classes)],
        classes=len(classes),
        layouts=LAYOUTS,
    )


def hubs(drawn: PictureMap) -> list[Hub]:
    """The pictures that are in most lists of nearest pictures, equal ones by their number; none where the atlas has no
    such lists."""
    if not drawn.has_neighbours:
        return []
    listed = drawn.arrays["listed"]
    chosen = np.argsort(-listed, kind="stable")[:HUBS].tolist()
    return [
        Hub(
            int(drawn.number[row]),
            readable_path(drawn.pictures[row].path),
            "" if drawn.class_of[row] < 0 else drawn.labels[drawn.class_of[row]],
            int(listed[row]),
        )
        for row in chosen
    ]


def map_script(drawn: PictureMap) -> str:
    """A script that hands the map over. Arrays are base64 of little-endian numbers; 65535 stands for none."""
    arrays, embedding = drawn.arrays, drawn.embedding
    picture_type = "<u2" if len(drawn.number) < STEPS else "<u4"
    places = {name: np.rint(unit * STEPS) for name, unit in drawn.places.items()}
    data: dict[str, object] = {
        "model": drawn.atlas.name,
        "count": len(drawn.number),
        "number": _packed(drawn.number, "<u4"),
        "places": {name: _packed(unit, "<u2") for name, unit in places.items()},
        "class": _packed(np.where(drawn.class_of < 0, STEPS, drawn.class_of), "<u2"),
        "classes": [list(row) for row in zip(drawn.labels, drawn.colours, drawn.groups, strict=True)],
        "none": NONE,
        "files": [readable_path(record.path) for record in drawn.pictures],
        "wide": int(picture_type[-1]),
        "neighbours": 0,
        "axes": [
            f"PC {n}, {percent(share)} % of the variance"
            for n, share in enumerate(embedding.explained[:2], 1)
        ],
        "thumb": None,
        "sheet": None,
        "whole": None,
        "nine": _last_nines(drawn.atlas),
    }
    if drawn.has_neighbours:
        data["neighbours"] = embedding.neighbours
        data["neighbour"] = _packed(arrays["neighbour"], picture_type)
        data["similarity"] = _packed(np.rint(arrays["similarity"] * FINEST), "<i2")
        data["listed"] = _packed(arrays["listed"], "<u4")
    if drawn.has_sheet:
        data["thumb"] = _packed(np.where(arrays["thumb"] < 0, STEPS, arrays["thumb"]), "<u2")
        data["sheet"] = {"tile": embedding.thumbnails.tile, "columns": embedding.thumbnails.columns}
    if drawn.atlas.shows_pictures:
        published = drawn.atlas.published
        data["whole"] = _packed(np.array([number in published for number in drawn.number.tolist()]), "u1")
    return data_script("map", data)


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def _last_nines(atlas: Atlas) -> dict[str, object] | None:
    """For the last layer before the classifier, by picture the channels that have it among their nine."""
    outputs = [layer for layer in atlas.layers if not layer.is_inner]
    if not outputs:
        return None
    channels: dict[int, list[int]] = {}
    for channel, images in enumerate(atlas.layer(outputs[-1].name).images):
        for image in images:
            if image >= 0:
                channels.setdefault(image, []).append(channel)
    return {"layer": outputs[-1].name, "of": channels}


CHAPTER = Chapter(
    name="map",
    title="Map of the pictures",
    template="map.html",
    summary="on a plane by their final features, each with the pictures most similar to it",
    present=present,
    write=write,
    styles=("map",),
    script="map/map.js",
)

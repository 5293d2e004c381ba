"""The map of the pictures: what its page says, the data that its script reads, its plain pictures."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from PIL import Image

from generator.site.figures.colours import NONE, class_colours
from generator.site.figures.point_maps import Sheet, point_map
from generator.site.finder import data_script
from generator.site.formats import percent, significant
from generator.site.reading.atlas import Atlas

LAYOUTS = {"tsne": "t-SNE", "pca": "PCA"}
STEPS = 65535  # of a place along the longer side of the map: a 16-bit number each


class PictureMap:
    """An atlas's map. number: (M,) of each picture in images.csv; of_class: (M,) its class, −1 for none; classes:
    (name, group, colour, pictures); places: by layout (M, 2) in [0, 1], of one scale in both directions."""

    def __init__(self, atlas: Atlas, said: dict[str, Any]) -> None:
        self.atlas, self.said = atlas, said
        self.arrays = atlas.store.arrays.embedding()
        self.number = self.arrays["picture"]
        records = [atlas.pictures[number] for number in self.number.tolist()]
        self.paths = [record.path for record in records]
        labels: dict[tuple[int, str], int] = {}
        for record in records:
            if record.label:
                labels.setdefault((record.label_id, record.label), len(labels))
        ordered = sorted(labels)
        number_of = {label: number for number, label in enumerate(ordered)}
        of_class = [number_of.get((record.label_id, record.label), -1) for record in records]
        self.of_class = np.array(of_class, np.int64)
        groups = atlas.store.tables.class_groups()
        self.groups = [groups.get(key, "") for key in ordered]
        self.colours = class_colours(self.groups)
        self.labels = [atlas.class_labels[key] for key in ordered]
        self.counts = np.bincount(self.of_class[self.of_class >= 0], minlength=len(ordered)).tolist()
        self.places = {name: _unit(self.arrays[name]) for name in LAYOUTS}

    @property
    def has_sheet(self) -> bool:
        return self.atlas.manifest.publish_patches and bool(self.said["thumbs"]["count"])

    def sheet(self) -> Sheet | None:
        if not self.has_sheet:
            return None
        thumbs = self.said["thumbs"]
        with Image.open(self.atlas.store.pictures.map_thumbs_path()) as file:
            return Sheet(file.convert("RGB"), thumbs["tile"], thumbs["columns"])

    def colour_of_points(self) -> list[str]:
        return [self.colours[number] if number >= 0 else NONE for number in self.of_class.tolist()]


def picture_map(atlas: Atlas) -> PictureMap | None:
    """The atlas's map, or None where it has none."""
    said = atlas.store.tables.read_json("embedding/embedding.json")
    if not said or not atlas.store.arrays.has_embedding():
        return None
    return PictureMap(atlas, said)


def has_map(atlas: Atlas) -> bool:
    return atlas.store.arrays.has_embedding()


def _unit(positions: np.ndarray) -> np.ndarray:
    """Places moved and scaled so that the longer side is 1; where all lie in one place, 0."""
    low = positions.min(0).astype(np.float64)
    longest = float((positions.max(0) - low).max())
    return (positions - low) / (longest or 1.0)


# -- the page ------------------------------------------------------------------------------------------------


def map_page(found: PictureMap) -> dict[str, Any]:
    """What the page says besides the map."""
    said = found.said
    explained = said["explained"]
    groups: dict[str, list[dict[str, Any]]] = {}
    every = []
    for number, (label, group, colour, count) in enumerate(
        zip(found.labels, found.groups, found.colours, found.counts, strict=True)
    ):
        one = {"number": number, "label": label, "colour": colour, "count": count}
        groups.setdefault(group, []).append(one)
        every.append(one)
    return {
        "count": said["pictures"],
        "whole": found.atlas.manifest.pictures.count,
        "vector": said["vector"],
        "length": said["length"],
        "precision": said["precision"],
        "axes": [percent(share) for share in explained[:2]],
        "together": percent(sum(explained[:2])),
        "fitted": said.get("fitted", said["pictures"]),
        "components": len(explained),
        "held": percent(sum(explained)),
        "perplexity": significant(said["perplexity"]),
        "seed": said["seed"],
        "divergence": significant(said["divergence"]),
        "exact": said["exact"],
        "neighbours": said["neighbours"],
        "sklearn": said["scikit-learn"],
        "thumbs": said["thumbs"]["count"] if found.has_sheet else 0,
        "groups": list(groups.items()) if 1 < len(groups) < len(found.labels) else [("", every)],
        "classes": len(found.labels),
        "layouts": LAYOUTS,
    }


def map_script(found: PictureMap) -> str:
    """A script that hands the map over. Arrays are base64 of little-endian numbers; 65535 stands for none."""
    arrays, said = found.arrays, found.said
    wide = "<u2" if len(found.number) < STEPS else "<u4"
    farthest = float(arrays["distance"].max()) or 1.0
    places = {name: np.rint(unit * STEPS) for name, unit in found.places.items()}
    data = {
        "model": found.atlas.name,
        "count": len(found.number),
        "number": _packed(found.number, "<u4"),
        "places": {name: _packed(unit, "<u2") for name, unit in places.items()},
        "class": _packed(np.where(found.of_class < 0, STEPS, found.of_class), "<u2"),
        "classes": [[label, found.colours[n], found.groups[n]] for n, label in enumerate(found.labels)],
        "none": NONE,
        "files": [_readable(path) for path in found.paths],
        "wide": int(wide[-1]),
        "neighbours": said["neighbours"],
        "neighbour": _packed(arrays["neighbour"], wide),
        "distance": _packed(np.rint(arrays["distance"] / farthest * STEPS), "<u2"),
        "farthest": farthest,
        "axes": [
            f"PC {n}, {percent(share)} % of the variance" for n, share in enumerate(said["explained"][:2], 1)
        ],
        "thumb": None,
        "sheet": None,
        "whole": None,
        "nine": _nine(found.atlas),
    }
    if found.has_sheet:
        data["thumb"] = _packed(np.where(arrays["thumb"] < 0, STEPS, arrays["thumb"]), "<u2")
        data["sheet"] = {key: said["thumbs"][key] for key in ("tile", "columns")}
    if found.atlas.shows_pictures:
        shown = found.atlas.published
        data["whole"] = _packed(np.array([number in shown for number in found.number.tolist()]), "u1")
    return data_script("map", data)


def _packed(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode("ascii")


def _readable(path: str) -> str:
    """A file name that any reader can decode."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _nine(atlas: Atlas) -> dict[str, Any] | None:
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


def write_map(
    write: Callable[[str, str | bytes], None],
    copy: Callable[[Path, str], None],
    env: Environment,
    atlas: Atlas,
    common: dict[str, Any],
) -> None:
    """The map's page, its data, its sheet of thumbnails and its plain pictures; nothing where there is no map."""
    found = picture_map(atlas)
    if found is None:
        return
    page = env.get_template("map.html").render({**common, "root": "../", **map_page(found)})
    write(f"{atlas.name}/map.html", page)
    write(f"{atlas.name}/map.js", map_script(found))
    sheet = found.sheet()
    if sheet is not None:
        copy(atlas.store.pictures.map_thumbs_path(), f"{atlas.name}/map/thumbs.webp")
    colours = found.colour_of_points()
    on_sheet = found.arrays["thumb"]
    for name, places in found.places.items():
        write(f"{atlas.name}/map/{name}.webp", point_map(places, colours, sheet, on_sheet))

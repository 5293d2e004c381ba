"""The tiles of a channel: which pictures they show, where the units lie in them, and the data of the pages' scripts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo
from generator.site.reading.atlas import PANEL_NAMES, Atlas
from generator.site.reading.layer_numbers import Layer
from generator.site.reading.optimised import is_optimised

Square = tuple[float, float, float]  # left, top and side


@dataclass(frozen=True)
class Tile:
    """One of a channel's nine pictures. rank: from 1, the strongest; label: of the picture's class, '' without one;
    value: the unit's activation; row, column: of the unit in the channel's map; picture: number in images.csv;
    mark: the square of the picture that the unit stands for, as an SVG path in px of the network's input, '' where the
    tile does not show the whole picture; focus: what the tile shows of the picture, None where it is no focus."""

    rank: int
    label: str
    value: float
    row: int
    column: int
    picture: int
    mark: str
    focus: Focus | None


@dataclass(frozen=True)
class Focus:
    """The square of a picture to which a unit's tiles are cut. square: left, top and side in px of the network's input;
    is_published: whether the site shows the picture."""

    square: Square
    is_published: bool


def tiles_of(atlas: Atlas, layer: Layer, channel: int, *, marked: bool = False) -> list[Tile]:
    """The channel's pictures, strongest first. marked: whether a tile without a focus shows the whole picture with the
    unit's place."""
    nine = (layer.images[channel], layer.values[channel], layer.units[channel], layer.focus_of(channel))
    return [
        Tile(
            rank=rank,
            label=atlas.picture_labels[picture],
            value=value,
            row=row,
            column=column,
            picture=picture,
            mark=unit_mark(layer.info, row, column) if marked and not focus[2] else "",
            focus=Focus((focus[1], focus[0], focus[2]), picture in atlas.published) if focus[2] else None,
        )
        for rank, (picture, value, (row, column), focus) in enumerate(zip(*nine, strict=True), 1)
        if picture >= 0
    ]


def covers_picture(atlas: Atlas, info: LayerInfo) -> bool:
    """Whether the receptive field is larger than the picture's shorter side, so that the tiles show whole pictures."""
    return info.receptive_field.side > min(atlas.input_size)


def unit_mark(info: LayerInfo, row: int, column: int) -> str:
    """The square of the picture that the unit stands for in its map, as an SVG path in px of the input."""
    return _path(*_unit_square(info, row, column))


def _unit_square(info: LayerInfo, row: int, column: int) -> Square:
    side = info.receptive_field.stride
    return (*corner(info, row, column, side), side)


def corner(info: LayerInfo, row: int, column: int, side: float) -> tuple[float, float]:
    """Left and top of the square of this side around the middle of a unit's receptive field, in px of the input."""
    field = info.receptive_field
    # Pixel 0 of the input reaches from 0 to 1 in the drawing: its middle lies at 0.5.
    start = field.centre + 0.5 - side / 2
    return start + column * field.stride, start + row * field.stride


def _path(left: float, top: float, side: float) -> str:
    return f"M{left:g} {top:g}h{side:g}v{side:g}h-{side:g}z"


def tile_margin(atlas: Atlas, info: LayerInfo) -> float:
    """Width of the ground around a tile's picture, in px of the input where the tiles show whole pictures."""
    sprite = atlas.manifest.sprites[info.name]
    if not sprite.side or not covers_picture(atlas, info):
        return 0.0
    return round((sprite.tile - sprite.side) / 2 * atlas.input_side / sprite.side, 2)


def tile_view(atlas: Atlas, info: LayerInfo) -> str:
    """The viewBox of an SVG over a whole tile, in px of the input."""
    return picture_view(atlas, tile_margin(atlas, info))


def picture_view(atlas: Atlas, margin: float = 0.0) -> str:
    """The viewBox of an SVG over a square that holds a whole picture in its middle, in px of the input; margin: width
    of further ground around the square."""
    side = atlas.input_side
    top, left = (0.0 - margin - (side - length) // 2 for length in atlas.input_size)  # never −0
    return f"{left:g} {top:g} {side + 2 * margin:g} {side + 2 * margin:g}"


def tile_file(atlas: Atlas, info: LayerInfo, channel: int) -> str:
    """The address, below the network's folder, of the script with the data of a channel's tiles, which the pages of the
    channels of the same number share; '' where the page has the data itself."""
    group = atlas.tile_groups[info.name]
    return f"{group[-1].name}/{channel}.js" if len(group) > 1 else ""


def shared_tile_data(atlas: Atlas, info: LayerInfo, channel: int) -> dict[str, object] | None:
    """The content of that script; None where no layer's channel has pictures."""
    layers = [layer for layer in atlas.tile_groups[info.name] if channel < layer.channels]
    names = [layer.name for layer in layers if not atlas.layer(layer.name).dead[channel]]
    return tile_data(atlas, names, channel) if names else None


def tile_data(atlas: Atlas, names: Sequence[str], channel: int) -> dict[str, object]:
    """What the scripts need to draw the rows of these layers' tiles and to describe a tile.

    labels: text; rows: by layer, its receptive field [side, stride, centre], the ground around a tile, and the top-9 as
    [picture, value, row, column, label], with the focus's row, column and side in px of the picture where the tile is
    cut to it; side: of the network's input, of a rectangle [height, width]; pictures:
    whether whole pictures are published; without: the pictures of the rows that are not published, if any; optimised:
    the layers that have an optimised picture, if any.
    """
    labels: dict[str, int] = {}
    rows = {name: _row(atlas, name, channel, labels) for name in names}
    panels = atlas.manifest.sprites[names[0]].panels
    data: dict[str, object] = {
        "labels": list(labels),
        "rows": rows,
        "side": _side(atlas),
        "pictures": int(atlas.shows_pictures),
        "panels": [PANEL_NAMES.get(panel, panel) for panel in panels],
    }
    if without := _without(atlas, names, channel):
        data["without"] = without
    if optimised := [name for name in names if is_optimised(atlas.layer(name), channel)]:
        data["optimised"] = optimised
    return data


def own_tile_data(atlas: Atlas, info: LayerInfo, channel: int) -> str:
    """The same of a channel whose tiles stand on no other page, for an attribute of its page: JSON of numbers alone,
    [side, pictures, *row, without], the last where it is not empty. The page says the rest: names the layer, its labels
    in the order of `Atlas.labels_of`, to which the numbers of labels belong, and its panels."""
    labels = {label: place for place, (label, _) in enumerate(atlas.labels_of(info.name, channel))}
    labels[""] = -1
    data = [_side(atlas), int(atlas.shows_pictures), *_row(atlas, info.name, channel, labels)]
    return _compact([*data, without] if (without := _without(atlas, [info.name], channel)) else data)


def _row(atlas: Atlas, name: str, channel: int, labels: dict[str, int]) -> list[list[object]]:
    """A layer's entry of `rows`. labels: numbers by label; further ones are added."""
    layer = atlas.layer(name)
    field = layer.info.receptive_field
    nine: list[object] = [
        [*top, labels.setdefault(atlas.picture_labels[top[0]], len(labels)), *(focus if focus[2] else ())]
        for top, focus in zip(layer.tops[channel], layer.focus_of(channel), strict=False)
    ]
    around = tile_margin(atlas, layer.info)
    return [[field.side, field.stride, *map(_short, (field.centre, around))], nine]


def _short(value: float) -> float:
    """As a whole number where it is one: JSON writes it without decimals."""
    return int(value) if value == int(value) else value


def _side(atlas: Atlas) -> int | list[int]:
    size = atlas.input_size
    return list(size) if len(set(size)) > 1 else atlas.input_side


def _without(atlas: Atlas, names: Sequence[str], channel: int) -> list[int]:
    """The pictures of the rows that are not published, where others are."""
    pictures = {top[0] for name in names for top in atlas.layer(name).tops[channel]}
    return sorted(pictures - atlas.published) if atlas.shows_pictures else []


def json_in_page(data: object) -> str:
    """Compact JSON for a script element: "<" never occurs in it, so no label can end the element."""
    return _compact(data).replace("<", "\\u003c")


def _compact(data: object) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False)

"""The whole pictures of channels without a sprite: the atlas holds neither patches nor gradients of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_numbers import Layer
from generator.site.reading.tiles import corner, covers_picture, tiles_of


@dataclass(frozen=True)
class WholePicture:
    """One of a channel's nine pictures. rank: from 1, the strongest; label: of its class, '' without one; value: the
    unit's activation; unit: its column and row in the map; number: in images.csv, None where the picture is not
    published; mark: the unit's receptive field, or its place where the field is larger than the picture, as an SVG path
    in hundredths of the square that holds the picture."""

    rank: int
    label: str
    value: float
    unit: tuple[int, int]
    number: int | None
    mark: str


def whole_pictures(atlas: Atlas, name: str, channel: int) -> list[WholePicture]:
    """The channel's pictures, strongest first; [] for a channel that has a sprite, is dead, or none of whose pictures
    is published."""
    layer = atlas.layer(name)
    if not layer.is_whole(channel):
        return []
    return [
        WholePicture(
            rank=tile.rank,
            label=tile.label,
            value=tile.value,
            unit=(tile.column, tile.row),
            number=tile.picture if tile.picture in atlas.published else None,
            mark=_mark(atlas, layer.info, tile.row, tile.column),
        )
        for tile in tiles_of(atlas, layer, channel)
    ]


def first_published(atlas: Atlas, layer: Layer, channel: int) -> int | None:
    """The number of the strongest picture that is published, of a channel that shows whole pictures; else None."""
    if not layer.is_whole(channel):
        return None
    return next(picture for picture in layer.images[channel] if picture in atlas.published)


def _mark(atlas: Atlas, info: LayerInfo, row: int, column: int) -> str:
    field, longer = info.receptive_field, atlas.input_side
    side = field.stride if covers_picture(atlas, info) else field.side
    left, top = corner(info, row, column, side)
    height, width = atlas.input_size
    numbers = (left + (longer - width) // 2, top + (longer - height) // 2, side)
    x, y, edge = (f"{100 * number / longer:.4g}" for number in numbers)
    return f"M{x} {y}h{edge}v{edge}h-{edge}z"


def some_whole(atlas: Atlas, info: LayerInfo) -> bool:
    """Whether any channel of the layer shows whole pictures."""
    return any(atlas.layer(info.name).is_whole(channel) for channel in range(info.channels))


def cuts_fields(atlas: Atlas) -> bool:
    """Whether pages may show fields that are cut out of whole pictures."""
    return bool(atlas.published) or any(some_whole(atlas, layer) for layer in atlas.layers)


def with_gradients(atlas: Atlas, layers: Sequence[LayerInfo]) -> int:
    """How many of the layers' active channels have a sprite."""
    return sum(
        atlas.layer(info.name).has_tiles(channel) for info in layers for channel in range(info.channels)
    )

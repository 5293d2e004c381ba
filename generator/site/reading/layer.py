"""What a layer's page and the page of its kernels show, as records for their templates."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_range import LayerRange, layer_range
from generator.site.reading.layer_numbers import Layer
from generator.site.reading.measure import Measure
from generator.site.reading.operations import operation_words
from generator.site.reading.optimised import has_optimised
from generator.site.reading.path_check import PathSummary
from generator.site.reading.randomisation import WeightDependence
from generator.site.reading.whole_pictures import (
    WholePicture,
    cuts_fields,
    some_whole,
    whole_pictures,
    with_gradients,
)

# Channels of a grid that a browser lays out at once, those in view first. The numbers of columns in layer.css divide
# it, so that each part ends with a whole row.
PART = 120


@dataclass(frozen=True)
class LayerHeader:
    """What all pages of a layer show. layer_number: among those that have pages, from 0; place: where in the network it
    stands, in words; panels: of its sprites; block_channels: of the page of its block, 0 where there is none; kernels:
    None where the layer has no kernels that can be drawn; has_first_layers: whether they stand on the page of first
    layers too; some_whole: whether any channel shows whole pictures in place of tiles; has_fields: whether the atlas
    has styles that cut fields out of whole pictures; focused: whether tiles are cut to the units' focus; by_torch: what
    the network uses because of which torch computes the gradients, in words, '' where it does not; weights: how much
    its gradient pictures depend on the learnt weights; paths: whether its optimised pictures activate the layers below
    as natural ones do; both None where that was not measured."""

    layer: LayerInfo
    layer_number: int
    place: str
    panels: Sequence[str]
    block_channels: int
    kernels: KernelSheet | None
    has_first_layers: bool
    some_whole: bool
    has_fields: bool
    focused: bool
    by_torch: str
    weights: WeightDependence | None
    paths: PathSummary | None


@dataclass(frozen=True)
class Kernel:
    """A kernel as a picture. x, y: its tile in the sheet; absent: why its channel shows no pictures, or ''; wholes: in
    place of tiles."""

    channel: int
    x: int
    y: int
    absent: str
    wholes: Sequence[WholePicture]


@dataclass(frozen=True)
class KernelSheet:
    """The kernels of a first convolution. columns, rows: of the sheet of their pictures."""

    columns: int
    rows: int
    kernels: Sequence[Kernel]


@dataclass(frozen=True)
class Cell:
    """A channel in a grid. place: column and row of its thumbnail in the sheet, None where it has none;
    picture: the number of its strongest picture, whose field is shown where the channel has no sprite, None where it is
    not published; unit: column and row of the unit there; label: of its strongest picture, '' without one."""

    channel: int
    place: tuple[int, int] | None
    picture: int | None
    unit: tuple[int, int]
    label: str
    is_dead: bool


@dataclass(frozen=True)
class LayerGrid:
    """A thumbnail per channel. parts: the active channels, PART at a time; dead_parts: the others; columns: of the
    sheet of thumbnails; active: how many channels some picture activates; gradients: how many of these have tiles;
    has_groups: whether some are found for a group of classes; sorts: the
    measures that the grid can be sorted by; doubtful: the keys of those whose order another set of pictures would not
    repeat; label_names: the labels that it can be filtered by, in order; previous, next: layers of the network; inner:
    convolutions of the block; decline: how many channels' label agreement falls along their range, None where that is
    not known; data: for the script."""

    parts: Sequence[Sequence[Cell]]
    dead_parts: Sequence[Sequence[Cell]]
    columns: int
    active: int
    gradients: int
    has_groups: bool
    sorts: Sequence[Measure]
    doubtful: Sequence[str]
    label_names: Sequence[str]
    previous: LayerInfo | None
    next: LayerInfo | None
    inner: Sequence[LayerInfo]
    has_optimised: bool
    has_descriptions: bool
    decline: LayerRange | None
    data: Mapping[str, object]


def layer_header(atlas: Atlas, info: LayerInfo, *, has_first_layers: bool) -> LayerHeader:
    """has_first_layers: whether the site has a page of first layers with this network's."""
    block = next((layer for layer in atlas.layers if layer.name == info.block), None)
    kernels, panels = kernel_sheet(atlas, info), atlas.manifest.sprites[info.name].panels
    return LayerHeader(
        layer=info,
        layer_number=atlas.layer_numbers[info.name],
        place=atlas.place(info),
        panels=panels,
        block_channels=block.channels if block else 0,
        kernels=kernels,
        has_first_layers=kernels is not None and has_first_layers,
        some_whole=some_whole(atlas, info),
        has_fields=cuts_fields(atlas),
        focused=any(place[2] for c in range(info.channels) for place in atlas.layer(info.name).focus_of(c)),
        by_torch=operation_words(info.by_torch),
        weights=atlas.randomisation.of(info.name, panels) if atlas.randomisation else None,
        paths=atlas.path_check.of(info.name) if atlas.path_check else None,
    )


def layer_grid(atlas: Atlas, info: LayerInfo) -> LayerGrid:
    """A layer's grid, and the numbers that sorting and filtering need."""
    layer = atlas.layer(info.name)
    labels: dict[str, int] = {}
    labels_by_channel = [
        [
            number
            for label, count in atlas.labels_of(info.name, channel)
            for number in [labels.setdefault(label, len(labels))] * count
        ]
        for channel in range(info.channels)
    ]
    categories = layer_categories(atlas, info.name)
    described = {
        channel: [each.text for each in found]
        for channel in range(info.channels)
        if (found := atlas.descriptions.of(info.name, channel))
    }
    number = atlas.layer_numbers[info.name]
    cells = [channel_cell(atlas, layer, channel) for channel in range(info.channels)]
    return LayerGrid(
        parts=_parts([cell for cell in cells if not cell.is_dead]),
        dead_parts=_parts([cell for cell in cells if cell.is_dead]),
        columns=atlas.thumbnail_sheet(info.name)[0],
        active=info.channels - sum(layer.dead),
        gradients=with_gradients(atlas, [info]),
        has_groups=_has_groups(atlas, info.name),
        sorts=[column.measure for column in layer.measures],
        doubtful=_doubtful(atlas, layer),
        label_names=sorted({label for label in labels if label} | categories.keys()),
        previous=atlas.layers[number - 1] if number else None,
        next=atlas.layers[number + 1] if number + 1 < len(atlas.layers) else None,
        inner=atlas.inner_of(info.name) if info.kind in ("block", "layer") else [],
        has_optimised=has_optimised(layer),
        has_descriptions=bool(described),
        decline=layer_range(atlas, info.name),
        data=_grid_data(layer, list(labels), labels_by_channel, categories, described)
        | {"words": _category_words(atlas, categories)},
    )


def _parts(cells: Sequence[Cell]) -> list[Sequence[Cell]]:
    return [cells[first : first + PART] for first in range(0, len(cells), PART)]


def _has_groups(atlas: Atlas, name: str) -> bool:
    found = atlas.categories.of_layer(name).values() if atlas.categories else ()
    return any(channels[0].category.kind != "class" for channels in found)


def _doubtful(atlas: Atlas, layer: Layer) -> list[str]:
    report = atlas.class_report
    keys = [column.measure.key for column in layer.measures]
    return [key for key in keys if report is not None and report.does_not_repeat(layer.info.name, key)]


def channel_cell(atlas: Atlas, layer: Layer, channel: int) -> Cell:
    """A channel in a grid: the place of its thumbnail in the layer's sheet, or its strongest picture as a whole."""
    columns, rows = atlas.thumbnail_sheet(layer.info.name)
    has_thumbnail = channel < columns * rows and layer.has_tiles(channel)
    strongest = layer.images[channel][0]
    row, column = layer.units[channel][0]
    return Cell(
        channel=channel,
        place=(channel % columns, channel // columns) if has_thumbnail else None,
        picture=strongest if layer.is_whole(channel) and strongest in atlas.published else None,
        unit=(column, row),
        label=atlas.picture_labels[strongest] if strongest >= 0 else "",
        is_dead=layer.dead[channel],
    )


def layer_categories(atlas: Atlas, name: str) -> dict[str, list[list[float]]]:
    """The classes and groups of classes that channels of the layer are found for: by name the channels, each with how
    many of its pictures it has among its nine and its average precision, the best first."""
    found = atlas.categories.of_layer(name) if atlas.categories else {}
    return {
        category: [[each.channel, each.count, round(each.precision or 0, 3)] for each in channels]
        for category, channels in found.items()
    }


def _category_words(atlas: Atlas, names: Container[str]) -> dict[str, Sequence[str]]:
    """The everyday words for those of the categories that have some."""
    entries = atlas.categories.entries if atlas.categories else ()
    return {each.name: each.words for each in entries if each.words and each.name in names}


def _grid_data(
    layer: Layer,
    labels: list[str],
    labels_by_channel: list[list[int]],
    categories: dict[str, list[list[float]]],
    descriptions: dict[int, list[str]],
) -> dict[str, object]:
    """What the script of the grid needs. labels: names; categories: from `layer_categories`; nine: by channel the
    numbers of its pictures' labels, the commonest first; descriptions: by channel, of those that have any; numbers: by
    measure and channel to four digits, null where there is none; panels; falls: the channels whose label agreement
    falls; units: by measure its name and unit."""
    columns = layer.measures
    return {
        "labels": labels,
        "nine": labels_by_channel,
        "categories": categories,
        "descriptions": descriptions,
        "numbers": {
            column.measure.key: [
                float(f"{value:.4g}") if present else None
                for value, present in zip(column.values, column.present, strict=True)
            ]
            for column in columns
        },
        "panels": layer.sprite.panels,
        "falls": _falling(layer),
        "units": {column.measure.key: [column.measure.name, column.measure.unit] for column in columns},
    }


def _falling(layer: Layer) -> list[int]:
    falls = layer.arrays.get("agreement_falls")
    return [] if falls is None else np.flatnonzero(falls).tolist()


def kernel_sheet(atlas: Atlas, info: LayerInfo) -> KernelSheet | None:
    """The first convolution's kernels as pictures; None for other layers."""
    layout = atlas.manifest.extra.get("kernels", {}).get(info.name)
    if layout is None or not atlas.store.pictures.kernels_path(info.name).is_file():
        return None
    columns = int(layout["columns"])
    layer = atlas.layer(info.name)
    return KernelSheet(
        columns=columns,
        rows=math.ceil(info.channels / columns),
        kernels=[
            Kernel(
                channel=channel,
                x=channel % columns,
                y=channel // columns,
                absent=layer.absence(channel),
                wholes=whole_pictures(atlas, info.name, channel),
            )
            for channel in range(info.channels)
        ],
    )

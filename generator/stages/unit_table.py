"""Which units are pictured, and in which groups of pictures: one forward of a group serves all its units."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.stages.inputs import Inputs
from generator.stages.run import Run

# Bytes of switches that one group of pictures may leave, by type of device; larger groups fill larger batches.
SWITCHES = {"cpu": 300 << 20, "cuda": 6 << 30}
LARGEST_GROUP = {"cpu": 256, "cuda": 512}  # pictures


@dataclass(frozen=True)
class UnitTable:
    """Every unit to picture, one row each, sorted by picture: layer (index), channel, slot (0 strongest; from TOP on
    those of the strips below the top-9, strip by strip), picture (index in images.csv), row and column; all (U,) int64.
    """

    layer: np.ndarray
    channel: np.ndarray
    slot: np.ndarray
    picture: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def __len__(self) -> int:
        return len(self.layer)

    def take(self, rows: np.ndarray) -> UnitTable:
        """The table of some rows."""
        return UnitTable(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def unit_table(inputs: Inputs, run: Run) -> UnitTable:
    """The units of all layers' lists, sorted by picture, then layer, channel and slot."""
    columns: list[list[np.ndarray]] = []
    for index, layer in enumerate(inputs.network.layers):
        image, unit = listed_units(inputs, run, layer)
        channel, slot = np.nonzero(image >= 0)
        picture = image[channel, slot]
        row, column = unit[channel, slot].T
        columns.append([np.full(len(channel), index), channel, slot, picture, row, column])
    joined = [np.concatenate(parts).astype(np.int64) for parts in zip(*columns, strict=True)]
    order = np.lexsort((joined[2], joined[1], joined[0], joined[3]))
    return UnitTable(*(part[order] for part in joined))


def listed_units(inputs: Inputs, run: Run, layer: LayerInfo) -> tuple[np.ndarray, np.ndarray]:
    """The units of a layer's channels that are pictured: (n, S) pictures, −1 for none, and (n, S, 2) rows and columns;
    the top-9, and where the profile wants them the strips below."""
    channels, arrays = inputs.channels(layer), run.store.arrays
    top = arrays.layer(layer.name, "top")
    image, unit = top["top_image"][:channels], top["top_unit"][:channels]
    if inputs.pictures_strips(layer):
        strips = arrays.layer(layer.name, "range")
        lower = strips["strip_image"][:channels, 1:].reshape(channels, -1)
        image = np.concatenate([image, lower], axis=1)
        unit = np.concatenate([unit, strips["strip_unit"][:channels, 1:].reshape(channels, -1, 2)], axis=1)
    return image, unit


def group_size(inputs: Inputs) -> int:
    """Pictures per group, from the memory that their switches take: equal on all machines, so that a run may move."""
    graph = inputs.network.graph
    shapes = graph.shapes(inputs.network.preprocessing.size, inputs.network.steps[-1])
    switches = sum(
        math.prod(shape)
        for index, (step, shape) in enumerate(zip(graph.steps, shapes, strict=False))
        if step.op in ("relu", "max_pool") and graph.is_windowed(index)
    )
    kind = inputs.arithmetic[0]
    return max(1, min(LARGEST_GROUP[kind], SWITCHES[kind] // max(1, switches)))


def groups_of(units: UnitTable, alone: np.ndarray, pictures_a_group: int) -> list[np.ndarray]:
    """Rows of the table, cut into groups of `pictures_a_group` different pictures.

    alone: (U,) whether the unit's forward runs on a crop of its own. Such pictures come first, the others by their
    deepest layer: so a group's forward goes no deeper than its pictures need.
    """
    if not len(units):
        return []
    pictures, place = np.unique(units.picture, return_inverse=True)
    depth = np.full(len(pictures), -1)
    np.maximum.at(depth, place, np.where(alone, -1, units.layer))
    order = np.argsort(depth, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    number = rank[place] // pictures_a_group  # of each row's group
    rows = np.argsort(number, kind="stable")
    return np.split(rows, np.cumsum(np.bincount(number))[:-1])

"""Which units are pictured, and in which groups of pictures: one forward of a group serves all its units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from generator.stages.job import Job

SWITCHES = (
    300 << 20
)  # bytes of switches that one group of pictures may leave; larger groups fill larger batches
LARGEST_GROUP = 256  # pictures


@dataclass(frozen=True)
class UnitTable:
    """Every unit to picture, one row each, sorted by picture: layer (index), channel, slot (0 strongest), picture
    (index in images.csv), row and column; all (U,) int64."""

    layer: np.ndarray
    channel: np.ndarray
    slot: np.ndarray
    picture: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def __len__(self) -> int:
        return len(self.layer)

    def take(self, rows: np.ndarray) -> UnitTable:
        return UnitTable(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def unit_table(job: Job) -> UnitTable:
    """The units of all layers' lists, sorted by picture, then layer, channel and slot."""
    columns: list[list[np.ndarray]] = []
    for index, layer in enumerate(job.network.layers):
        numbers = job.store.layer(layer.name)
        channel, slot = np.nonzero(numbers["top_image"][: job.channels(layer)] >= 0)
        picture = numbers["top_image"][channel, slot]
        row, column = numbers["top_unit"][channel, slot].T
        columns.append([np.full(len(channel), index), channel, slot, picture, row, column])
    joined = [np.concatenate(parts).astype(np.int64) for parts in zip(*columns, strict=True)]
    order = np.lexsort((joined[2], joined[1], joined[0], joined[3]))
    return UnitTable(*(part[order] for part in joined))


def group_size(job: Job) -> int:
    """Pictures a group, by the room that their switches take: the same on every machine, so that a run may move."""
    side = job.network.preprocessing.crop
    blank = torch.empty(1, 3, side, side, device="meta")
    last = job.network.steps[-1]
    switches = 0
    for index, output in job.network.graph.to("meta", torch.float32).run(blank):
        if job.network.graph.steps[index].op in ("relu", "max_pool"):
            switches += output.numel()
        if index == last:
            break
    return max(1, min(LARGEST_GROUP, SWITCHES // switches))


def groups_of(units: UnitTable, pictures_a_group: int) -> list[np.ndarray]:
    """Rows of the table cut into groups of so many different pictures."""
    if not len(units):
        return []
    _, first = np.unique(units.picture, return_index=True)
    return np.split(np.arange(len(units)), first[pictures_a_group::pictures_a_group])

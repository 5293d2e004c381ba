"""Patches and gradients of every unit among the strongest nine: one forward a picture serves all its units."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from generator.errors import AtlasError
from generator.files import TileFile
from generator.methods.gradients import gradient_tiles
from generator.methods.patches import patch
from generator.pictures import PictureBatch
from generator.records import LayerInfo
from generator.sprites import shrink, webp
from generator.stages.job import Job
from generator.unit_gradients import UnitGradients, Units, forward_switches

UNITS_A_CALL = 512  # bounds the memory of gradients as large as the picture: 300 MB at 224 px
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


def tile_file(job: Job, layer: LayerInfo) -> TileFile:
    """The layer's tiles on disk, opened."""
    return job.store.tiles(layer.name, len(job.panels), job.native(layer))


def picture_units(job: Job) -> None:
    """Write the tiles of every unit into work/tiles, and the pictures that appear into pictures/.

    Groups of pictures that an earlier run finished are left alone; each process of a torchrun takes its share.
    """
    if _is_done(job):
        return
    if job.ranks.leads and job.store.stamp("tiles-of") != job.tiles_key:
        job.store.clear_tiles()
        job.store.write_stamp("tiles-of", job.tiles_key)
    job.ranks.meet()
    units = unit_table(job)
    groups = _groups(units, _group_size(job))
    done = {number for number in range(len(groups)) if job.store.stamp(_stamp(number)) == job.tiles_key}
    mine = job.ranks.share([number for number in range(len(groups)) if number not in done])
    earlier = sum(len(groups[number]) for number in done)
    pictures = [np.unique(units.picture[groups[number]]) for number in mine]
    files = files_of_records(job)
    with contextlib.ExitStack() as open_files:
        tiles = {layer.name: open_files.enter_context(tile_file(job, layer)) for layer in job.network.layers}
        total = sum(len(groups[number]) for number in mine) + earlier
        advance = open_files.enter_context(
            job.reporter.stage("patches and gradients", total, "units", earlier)
        )
        engines = _engines(job) if mine else []
        batches = job.read([files[index] for group in pictures for index in group], batch=_group_size(job))
        for number, group, batch in zip(mine, pictures, batches, strict=True):
            if batch.skipped:
                path = job.pictures.files[batch.skipped[0][0]].path
                raise AtlasError(
                    "a picture changed or vanished during the run", path, "run the same command again"
                )
            advance_units = _picture_group(job, engines, tiles, units.take(groups[number]), group, batch)
            for count in advance_units:
                advance(count)
            job.store.write_stamp(_stamp(number), job.tiles_key)
    job.ranks.meet()
    if job.ranks.leads:
        job.store.write_stamp("tiles", job.tiles_key)
    job.ranks.meet()


def _is_done(job: Job) -> bool:
    sprites = (f"sprites-{layer.name}" for layer in job.network.layers)
    return job.store.stamp("tiles") == job.tiles_key or all(
        job.store.stamp(s) == job.sprites_key for s in sprites
    )


def _stamp(group: int) -> str:
    return f"group-{group}"


def files_of_records(job: Job) -> list[int]:
    """For each row of images.csv the place of its file among job.pictures (which holds the unusable ones too)."""
    place = {file.path: index for index, file in enumerate(job.pictures.files)}
    return [place[record.path] for record in job.store.images()]


def _group_size(job: Job) -> int:
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


def _groups(units: UnitTable, pictures_a_group: int) -> list[np.ndarray]:
    """Rows of the table cut into groups of so many different pictures."""
    if not len(units):
        return []
    _, first = np.unique(units.picture, return_index=True)
    return np.split(np.arange(len(units)), first[pictures_a_group::pictures_a_group])


def _picture_group(
    job: Job,
    engines: list[UnitGradients],
    tiles: dict[str, TileFile],
    units: UnitTable,
    pictures: np.ndarray,
    batch: PictureBatch,
) -> Iterator[int]:
    """Picture the units of one group of pictures, yielding how many are done."""
    network = engines[0].network
    pixels = batch.pixels.numpy()  # (n, H, W, 3)
    if job.profile.site.publish_patches:
        for index, one in zip(pictures, pixels, strict=True):
            small = shrink(one, min(job.profile.sprites.picture, one.shape[0]))
            job.store.write_file(job.store.picture_path(int(index)), webp(small, job.profile.sprites.quality))
    place = np.searchsorted(pictures, units.picture)
    switches = forward_switches(
        network, network.prepare(batch.pixels), network.layers[int(units.layer.max())].name
    )
    for index in np.unique(units.layer):
        layer = network.layers[index]
        rows = np.nonzero(units.layer == index)[0]
        for part in np.split(rows, range(UNITS_A_CALL, len(rows), UNITS_A_CALL)):
            some, where = units.take(part), place[part]
            asked = Units(
                *(torch.from_numpy(column) for column in (where, some.channel, some.row, some.column))
            )
            panels = []
            if job.profile.site.publish_patches:
                field, native = layer.receptive_field, job.native(layer)
                spots = zip(where, some.row, some.column, strict=True)
                panels.append(
                    np.stack([patch(pixels[p], field, int(r), int(c), native) for p, r, c in spots])
                )
            for engine in engines:
                gradients = engine.gradients(switches, layer.name, asked)  # (U, 3, S, S)
                panels.append(gradient_tiles(gradients, job.native(layer)))
            stacked = np.stack(panels, axis=1)  # (U, P, s, s, 3)
            for unit, channel, slot in zip(stacked, some.channel, some.slot, strict=True):
                tiles[layer.name].write(int(channel), int(slot), unit)
            yield len(part)


def _engines(job: Job) -> list[UnitGradients]:
    first, *others = job.profile.gradients
    engine = UnitGradients(job.network.to(job.device, torch.float32), first)
    return [engine, *(engine.with_rule(rule) for rule in others)]

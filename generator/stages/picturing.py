"""Patches and gradients of every unit among the strongest nine: one forward a picture serves all its units."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import torch

from generator.device import one_thread_each
from generator.errors import AtlasError
from generator.files import TileFile
from generator.methods.gradients import gradient_tiles
from generator.methods.patches import patch
from generator.pictures import PictureBatch
from generator.records import LayerInfo
from generator.sprites import shrink, webp
from generator.stages.job import Job
from generator.stages.unit_table import UnitTable, group_size, groups_of, unit_table
from generator.unit_gradients import Switches, UnitGradients, Units, forward_switches

UNITS_A_CALL = 512  # bounds the memory of gradients as large as the picture: 300 MB at 224 px


@dataclass(frozen=True)
class Group:
    """Some pictures and their units. number: its stamp's; pictures: their indices in images.csv, ascending."""

    number: int
    pictures: np.ndarray
    units: UnitTable


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
    rows = groups_of(units, group_size(job))
    done = {number for number in range(len(rows)) if job.store.stamp(_stamp(number)) == job.tiles_key}
    mine = job.ranks.share([number for number in range(len(rows)) if number not in done])
    groups = [
        Group(number, np.unique(units.picture[rows[number]]), units.take(rows[number])) for number in mine
    ]
    earlier = sum(len(rows[number]) for number in done)
    total = sum(len(group.units) for group in groups) + earlier
    with job.reporter.stage("patches and gradients", total, "units", earlier) as advance:
        for count in _picture_groups(job, groups):
            advance(count)
    job.ranks.meet()
    if job.ranks.leads:
        job.store.write_stamp("tiles", job.tiles_key)
    job.ranks.meet()


def _is_done(job: Job) -> bool:
    if job.store.stamp("tiles") == job.tiles_key:
        return True
    sprites = (f"sprites-{layer.name}" for layer in job.network.layers)
    return all(job.store.stamp(stamp) == job.sprites_key for stamp in sprites)


def _stamp(group: int) -> str:
    return f"group-{group}"


def _picture_groups(job: Job, groups: list[Group]) -> Iterator[int]:
    """Picture all units of the groups, yielding counts as they are done; a group is stamped once all of it is."""
    place = {file.path: index for index, file in enumerate(job.pictures.files)}
    files = [place[record.path] for record in job.store.images()]
    batches = job.read([files[index] for group in groups for index in group.pictures], batch=group_size(job))
    with contextlib.ExitStack() as opened:
        # A thread a core, each with whole pieces of work: threads that share every small operation wait for each other.
        threads = opened.enter_context(one_thread_each(job.device))
        pool = opened.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        )
        opened.callback(pool.shutdown, cancel_futures=True)
        tiles = {layer.name: opened.enter_context(tile_file(job, layer)) for layer in job.network.layers}
        painter = _Painter(job, tiles)
        before: tuple[Group, list[Future[int]]] | None = None
        for group, batch in zip(groups, batches, strict=True):
            tasks = [pool.submit(*task) for task in painter.tasks(group, batch)]
            if before is not None:  # one group's forward runs while the threads are at the last one's units
                yield from _finished(job, *before)
            before = group, tasks
        if before is not None:
            yield from _finished(job, *before)


def _finished(job: Job, group: Group, tasks: list[Future[int]]) -> Iterator[int]:
    for task in as_completed(tasks):
        yield task.result()
    job.store.write_stamp(_stamp(group.number), job.tiles_key)


class _Painter:
    """Turns units into tiles. Its tasks are independent of each other and may run in any thread and order."""

    def __init__(self, job: Job, tiles: dict[str, TileFile]) -> None:
        self.job, self.tiles = job, tiles
        self.network = job.network.to(job.device, torch.float32)
        first, *others = job.profile.gradients
        engine = UnitGradients(self.network, first)
        self.engines = [engine, *(engine.with_rule(rule) for rule in others)]

    def tasks(self, group: Group, batch: PictureBatch) -> Iterable[tuple]:
        """Run the group's forward; return calls, each with its arguments, that picture its units."""
        if batch.skipped:
            path = self.job.pictures.files[batch.skipped[0][0]].path
            raise AtlasError(
                "a picture changed or vanished during the run", path, "run the same command again"
            )
        deepest = self.network.layers[int(group.units.layer.max())].name
        switches = forward_switches(self.network, self.network.prepare(batch.pixels), deepest)
        pixels = batch.pixels.numpy()  # (n, H, W, 3)
        place = np.searchsorted(group.pictures, group.units.picture)
        calls: list[tuple] = []
        for index in np.unique(group.units.layer):
            rows = np.nonzero(group.units.layer == index)[0]
            for part in np.split(rows, range(UNITS_A_CALL, len(rows), UNITS_A_CALL)):
                layer = self.network.layers[index]
                calls.append((self._picture, layer, group.units.take(part), place[part], pixels, switches))
        if self.job.profile.site.publish_patches:
            calls.append((self._write_pictures, group.pictures, pixels))
        return calls

    def _picture(
        self, layer: LayerInfo, units: UnitTable, place: np.ndarray, pixels: np.ndarray, switches: Switches
    ) -> int:
        """Write the tiles of some units of one layer; place: of each unit's picture in the group."""
        native = self.job.native(layer)
        asked = Units(
            *(torch.from_numpy(column) for column in (place, units.channel, units.row, units.column))
        )
        panels = []
        if self.job.profile.site.publish_patches:
            spots = zip(place, units.row.tolist(), units.column.tolist(), strict=True)
            panels.append(
                np.stack([patch(pixels[p], layer.receptive_field, r, c, native) for p, r, c in spots])
            )
        for engine in self.engines:
            panels.append(gradient_tiles(engine.gradients(switches, layer.name, asked), native))
        stacked = np.stack(panels, axis=1)  # (U, P, s, s, 3)
        for unit, channel, slot in zip(stacked, units.channel, units.slot, strict=True):
            self.tiles[layer.name].write(int(channel), int(slot), unit)
        return len(units)

    def _write_pictures(self, pictures: np.ndarray, pixels: np.ndarray) -> int:
        """Write the whole pictures that readers see behind a patch; counts as no unit."""
        sprites, store = self.job.profile.sprites, self.job.store
        for index, one in zip(pictures.tolist(), pixels, strict=True):
            small = shrink(one, min(sprites.picture, one.shape[0]))
            store.write_file(store.picture_path(index), webp(small, sprites.quality))
        return 0

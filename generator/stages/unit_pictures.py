"""Patches and gradient pictures (guided backpropagation and the other kinds) of every top-9 unit, as tiles.

One forward pass per picture serves all its units. Where a picture has few units, all of shallow layers, each has a
forward pass of its own on the crop that it sees (generator/engine/gradients/crop_cost.py)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from generator.core.files import TileFile
from generator.core.records import LayerInfo
from generator.core.sprites import QUICK_METHOD, as_colours, framed, shrink, webp
from generator.engine.device import is_out_of_memory, one_thread_each
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.gradients.unit_gradients import Switches, Units, crops, forward_switches
from generator.engine.scan.plan import FORWARD_BATCH
from generator.methods.focus import frames
from generator.methods.gradients import GradientPictures
from generator.methods.patches import patches
from generator.pictures.batch_reader import PictureBatch
from generator.stages import keys
from generator.stages.checkpointed_pass import note_damage
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.run import Run
from generator.stages.unfinished import (
    SPRITES,
    is_kept,
    layer_stamp,
    missing_of_effects,
    missing_pictures,
    tiles_key,
    wanted_units,
)
from generator.stages.unit_table import LARGEST_GROUP, UnitTable, group_size, groups_of, unit_table

CROPS_A_CALL = {"cpu": 64, "cuda": 512}
FEEDERS = 4  # threads that feed a GPU: while some make patches and write tiles, the others keep it busy
Call = Callable[[], int]  # writes the tiles of a batch of units and returns how many of the units are wanted
UNITS_A_CALL = 512
# Numbers of gradients as large as the picture, of all units of a call: as many as UNITS_A_CALL have at 320 px.
NUMBERS_A_CALL = UNITS_A_CALL * 3 * 320 * 320


@dataclass(frozen=True)
class PictureGroup:
    """A group of pictures and the units in them.

    number: of the group, for its stamp; pictures: their indices in images.csv, ascending; wanted: (U,) bool, which
    units' tiles are needed; alone: (U,) bool, whether a unit's forward pass runs on a crop of its own."""

    number: int
    pictures: np.ndarray
    units: UnitTable
    wanted: np.ndarray
    alone: np.ndarray

    def parts(self, chosen: np.ndarray, at_once: int, within: np.ndarray) -> Iterator[UnitBatch]:
        """The chosen units ((U,) bool) in batches of one layer, at most `at_once` each, those of the deepest layer
        first: they take longest, and threads that share the batches then end at about the same time.

        within: the pictures in which the batches' `place` counts."""
        for index in np.unique(self.units.layer[chosen])[::-1]:
            rows = np.nonzero(chosen & (self.units.layer == index))[0]
            for batch in np.split(rows, range(at_once, len(rows), at_once)):
                # A batch is computed whole or not at all: last bits may depend on what is computed together.
                if wanted := int(self.wanted[batch].sum()):
                    units = self.units.take(batch)
                    yield UnitBatch(int(index), units, np.searchsorted(within, units.picture), wanted)


@dataclass(frozen=True)
class UnitBatch:
    """Units of one layer whose tiles are computed together. layer: its index; place: (U,) of each unit's picture among
    those of the group; wanted: how many of the units are wanted."""

    layer: int
    units: UnitTable
    place: np.ndarray
    wanted: int

    def engine_units(self) -> Units:
        """The units as the engine takes them."""
        columns = (self.place, self.units.channel, self.units.row, self.units.column)
        return Units(*(torch.from_numpy(column) for column in columns))


def tile_file(inputs: Inputs, run: Run, layer: LayerInfo) -> TileFile:
    """The file of the layer's tiles in work/, opened."""
    return run.store.work.tiles(layer.name, len(inputs.panels), inputs.native(layer), inputs.slots(layer))


def picture_units(inputs: Inputs, run: Run) -> None:
    """Write the tiles of every unit into work/tiles, and the whole pictures of all channels' lists into pictures/.

    Groups of pictures that an earlier run finished are skipped; each process of a torchrun takes its share.
    """
    if not _has_sprites(inputs, run):
        _write_tiles(inputs, run)
    if run.ranks.leads:
        _write_further_pictures(inputs, run, missing_pictures(inputs, run))
    run.ranks.meet()


def picture_effects(inputs: Inputs, run: Run) -> None:
    """Write the whole pictures to whose class channels contribute most, as far as they are not there, and remove those
    that are in no channel's list any more."""
    missing, useless = missing_of_effects(inputs, run)
    _write_further_pictures(inputs, run, missing)
    run.store.pictures.drop_pictures(useless)


def _write_tiles(inputs: Inputs, run: Run) -> None:
    """Write the tiles, and the whole pictures behind them."""
    units = unit_table(inputs, run)
    wanted = wanted_units(inputs, run, units)  # all of them, except where an atlas is repaired
    key = tiles_key(inputs, wanted)
    run.ranks.meet()
    if run.ranks.leads and run.store.work.stamp("tiles-of") != key:
        run.store.clear_tiles(pictures=not is_kept(inputs, run))
        run.store.work.write_stamp("tiles-of", key)
    run.ranks.meet()
    alone = ForwardCosts(inputs.network).alone(units.layer, units.picture)
    rows = groups_of(units, alone, group_size(inputs))
    needed = [number for number in range(len(rows)) if wanted[rows[number]].any()]
    done = _finished_groups(
        inputs, run, key, {number: units.take(rows[number][wanted[rows[number]]]) for number in needed}
    )
    run.ranks.meet()  # every process has read the stamps before one of them writes any
    mine = run.ranks.share([number for number in needed if number not in done])
    groups = [
        PictureGroup(n, np.unique(units.picture[r]), units.take(r), wanted[r], alone[r])
        for n, r in ((n, rows[n]) for n in mine)
    ]
    earlier = sum(int(wanted[rows[number]].sum()) for number in done)
    total = sum(int(group.wanted.sum()) for group in groups) + earlier
    with run.reporter.stage("patches and gradients", total, "units", earlier) as advance:
        for count in _picture_groups(inputs, run, groups, key):
            advance(count)
    run.ranks.meet()


def _has_sprites(inputs: Inputs, run: Run) -> bool:
    """Whether the sprites of every layer are complete: the tiles are then not needed any more."""
    sprites = (layer_stamp(SPRITES, layer) for layer in inputs.network.layers)
    return all(run.store.work.stamp(stamp) == keys.sprites(inputs) for stamp in sprites)


def _finished_groups(inputs: Inputs, run: Run, key: str, wanted: dict[int, UnitTable]) -> set[int]:
    """The groups that an earlier run finished and whose tiles are still as it wrote them. wanted: by group, its wanted
    units."""
    stamped = [number for number in wanted if run.store.work.stamp(_stamp(number)) == key]
    done: set[int] = set()
    with contextlib.ExitStack() as opened:
        tiles = (
            [opened.enter_context(tile_file(inputs, run, layer)) for layer in inputs.network.layers]
            if stamped
            else []
        )
        for number in stamped:
            units = wanted[number]
            layers = {int(index): units.layer == index for index in np.unique(units.layer)}
            if all(tiles[index].has(units.channel[r], units.slot[r]).all() for index, r in layers.items()):
                done.add(number)
            else:
                note_damage(run, "patches and gradients")
    return done


def _stamp(group: int) -> str:
    return f"group-{group}"


def _write_further_pictures(inputs: Inputs, run: Run, missing: list[int]) -> None:
    """Write the whole pictures that are not there: those that a repaired atlas lacks, and those in the lists of
    channels alone that get no tiles."""
    if not missing:
        return
    files, size = usable_files(inputs, run), group_size(inputs)
    with run.reporter.stage("pictures", len(missing), "pictures") as advance:
        for start, batch in enumerate(
            read_again(inputs, run, [files[index] for index in missing], batch=size)
        ):
            part = missing[start * size : (start + 1) * size]
            write_pictures(inputs, run, np.array(part), batch.pixels.numpy())
            advance(len(part))


def write_pictures(inputs: Inputs, run: Run, indices: np.ndarray, pixels: np.ndarray) -> int:
    """Write the whole pictures, which the pages show behind a patch. Returns 0, since a `Call` counts units.

    indices: of the pictures in images.csv; pixels: (n, H, W, C)."""
    sprites, store = inputs.profile.sprites, run.store
    for index, picture in zip(indices.tolist(), pixels, strict=True):
        small = shrink(as_colours(picture), min(sprites.picture, max(picture.shape[:2])))
        # A rectangle in a square of ground: the pages lay marks over pictures and tiles alike.
        content = webp(framed(small), sprites.quality, method=QUICK_METHOD)
        store.pictures.write(store.pictures.picture_path(index), content)
    return 0


def _picture_groups(inputs: Inputs, run: Run, groups: list[PictureGroup], key: str) -> Iterator[int]:
    """Write the tiles of the groups' units, yielding how many units were done; a group is stamped when all of it is."""
    files = usable_files(inputs, run)
    chosen = files[np.concatenate([np.empty(0, np.int64), *(group.pictures for group in groups)])]
    batches = read_again(inputs, run, chosen, batch=group_size(inputs))
    with contextlib.ExitStack() as opened:
        # One thread per core, each with whole tasks: threads that share every small operation wait for each other.
        threads = opened.enter_context(one_thread_each(run.device, FEEDERS))
        pool = opened.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        )
        opened.callback(pool.shutdown, cancel_futures=True)
        tiles = {
            layer.name: opened.enter_context(tile_file(inputs, run, layer)) for layer in inputs.network.layers
        }
        writer = _TileWriter(inputs, run, tiles)
        before: tuple[PictureGroup, PictureBatch, list[Future[int]] | None] | None = None
        for group, batch in zip(groups, batches, strict=True):
            tasks = _submitted(pool, writer, group, batch)
            if before is not None:  # one group's forward pass runs while the threads work on the group before
                yield from _finished(writer, *before, key)
            before = group, batch, tasks
        if before is not None:
            yield from _finished(writer, *before, key)


def _submitted(
    pool: ThreadPoolExecutor, writer: _TileWriter, group: PictureGroup, batch: PictureBatch
) -> list[Future[int]] | None:
    """Start the group's tasks; None where memory does not suffice for the group as a whole."""
    if writer.at_once < len(group.pictures):
        return None
    try:
        return [pool.submit(call) for call in writer.calls(group, batch.pixels)]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    writer.halve(group)
    return None


def _finished(
    writer: _TileWriter, group: PictureGroup, batch: PictureBatch, tasks: list[Future[int]] | None, key: str
) -> Iterator[int]:
    counted, out_of_memory, failed = 0, False, tasks is None
    for task in as_completed(tasks or ()):
        try:
            count = task.result()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            out_of_memory = failed = True
            continue
        counted += count
        yield count
    if out_of_memory:
        writer.halve(group)
    if (
        failed
    ):  # every tile has its place in a file: those written already are written again, with the same bytes
        yield writer.write_in_parts(group, batch) - counted
    writer.run.store.work.write_stamp(_stamp(group.number), key)


class _TileWriter:
    """Writes the tiles of units. Its tasks are independent and may run in any thread and order."""

    def __init__(self, inputs: Inputs, run: Run, tiles: dict[str, TileFile]) -> None:
        self.inputs, self.run, self.tiles = inputs, run, tiles
        self.network = inputs.network.to(run.device, torch.float32)
        self.gradients = GradientPictures(self.network, inputs.profile.gradients)
        self.at_once = max(LARGEST_GROUP.values())  # pictures per forward pass
        numbers = self.network.graph.channels * math.prod(self.network.preprocessing.size)
        self.units_a_call = max(1, min(UNITS_A_CALL, NUMBERS_A_CALL // numbers))
        # As many times fewer as a forward of large pictures takes.
        kind = run.device.type
        self.crops_a_call = max(1, CROPS_A_CALL[kind] * inputs.forward // FORWARD_BATCH[kind])

    def write_in_parts(self, group: PictureGroup, batch: PictureBatch) -> int:
        """Write the whole group in this thread, with fewer and fewer pictures and units at once until memory suffices;
        return how many wanted units it has."""
        while True:
            try:
                return sum(self._write(part, pixels) for part, pixels in self._parts(group, batch.pixels))
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            self.halve(group)

    def halve(self, group: PictureGroup) -> None:
        """Halve the pictures and units that are computed at once: for this group memory did not suffice."""
        self.units_a_call = self.run.smaller(self.units_a_call)
        self.at_once = max(1, min(self.at_once, len(group.pictures)) // 2)

    def _parts(self, group: PictureGroup, pixels: Tensor) -> Iterator[tuple[PictureGroup, Tensor]]:
        for start in range(0, len(group.pictures), self.at_once):
            pictures = group.pictures[start : start + self.at_once]
            rows = np.flatnonzero(np.isin(group.units.picture, pictures))
            part = PictureGroup(
                group.number, pictures, group.units.take(rows), group.wanted[rows], group.alone[rows]
            )
            if len(rows):
                yield part, pixels[start : start + self.at_once]

    def _write(self, group: PictureGroup, pixels: Tensor) -> int:
        return sum(call() for call in self.calls(group, pixels))

    def calls(self, group: PictureGroup, pixels: Tensor) -> list[Call]:
        """Run the forward pass that the group's units share; return the calls that write their tiles."""
        calls = self._shared(group, pixels)
        for part in group.parts(group.alone, min(self.crops_a_call, self.units_a_call), group.pictures):
            calls.append(partial(self._picture_crops, part, pixels))
        if self.inputs.profile.site.publish_patches and not is_kept(self.inputs, self.run):
            calls.append(partial(write_pictures, self.inputs, self.run, group.pictures, pixels.numpy()))
        return calls

    def _shared(self, group: PictureGroup, pixels: Tensor) -> list[Call]:
        """Calls for the units whose picture has one forward pass for all of them."""
        shared = ~group.alone
        if not shared.any():
            return []
        pictures = np.unique(group.units.picture[shared])
        pixels = pixels[torch.from_numpy(np.searchsorted(group.pictures, pictures))]
        deepest = self.network.layers[int(group.units.layer[shared].max())].name
        switches = forward_switches(self.network, self.network.prepare(pixels), deepest)
        parts = group.parts(shared, self.units_a_call, pictures)
        shrunk: dict[tuple[int, int], np.ndarray] = {}
        return [
            partial(self._picture, part, pixels.numpy(), switches, part.engine_units(), shrunk)
            for part in parts
        ]

    def _picture_crops(self, part: UnitBatch, pixels: Tensor) -> int:
        """Write the tiles of a batch of units, each with a forward pass of its own on the crop that it sees."""
        used, place = np.unique(part.place, return_inverse=True)
        part, pixels = replace(part, place=place), pixels[torch.from_numpy(used)]
        layer = self.network.layers[part.layer].name
        cut, inside = crops(self.network, self.network.prepare(pixels), layer, part.engine_units())
        return self._picture(part, pixels.numpy(), forward_switches(self.network, cut, layer), inside, {})

    def _picture(
        self,
        part: UnitBatch,
        pixels: np.ndarray,
        switches: Switches,
        switched: Units,
        shrunk: dict[tuple[int, int], np.ndarray],
    ) -> int:
        """Write the tiles of a batch of units.

        pixels: (n, H, W, C), the pictures in which the batch's `place` counts; switched: the same units as they are
        counted in the switches; shrunk: what `patches` keeps of these pictures."""
        layer, units = self.network.layers[part.layer], part.units
        native, field, size = self.inputs.native(layer), layer.receptive_field, pixels.shape[1:3]
        own = frames(field, size, units.row, units.column) if self.inputs.is_focused(layer) else None
        seen = None if own is None else own.seen
        panels, squares = self.gradients.tiles(switches, layer.name, switched, native, seen)
        if self.inputs.profile.site.publish_patches:
            panels.insert(
                0, patches(pixels, field, part.place, units.row, units.column, native, shrunk, squares)
            )
        focus = squares if own is None else own.in_picture(squares)
        self.tiles[layer.name].write(units.channel, units.slot, panels, focus)
        return part.wanted

"""Tiles → sprites and thumbnails, in as many processes as there are cores. No torch: the processes start at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from generator.core.files import TileFile
from generator.core.processes import in_processes
from generator.core.records import TOP
from generator.core.sprites import (
    GROUND,
    THUMB,
    encoded_sprite,
    mosaic,
    shrink,
    sprite,
    strips_sprite,
    thumb_columns,
    webp,
)
from generator.core.store import FOCUS, Store

CHUNK = 32  # channels a task: large enough to hide the cost of handing it over


@dataclass(frozen=True)
class SpriteTask:
    """Some channels of one layer to encode. alive: (n, S) bool, which tiles exist, those of the top-9 first; of_strips:
    the panels that a strip shows, one below the other; quality: of WebP; avif_quality: of sprites in AVIF, None where
    they are WebP too; thumbs: make the thumbnails, and where the tiles are focused the array of the units' focus; kept:
    the files that are there are good, and only those that are not are made."""

    folder: Path
    layer: str
    channels: int
    first: int
    alive: np.ndarray
    panels: int
    native: int
    factor: int
    of_strips: tuple[int, ...]
    quality: int
    avif_quality: int | None
    focused: bool
    thumbs: bool = False
    kept: bool = False

    @property
    def has_strips(self) -> bool:
        """Whether the units of strips are pictured too."""
        return bool(self.alive.shape[1] > TOP)


def tasks_of(template: SpriteTask) -> list[SpriteTask]:
    """A layer's task cut into chunks, and one more for its thumbnails."""
    chunks = [
        replace(template, first=first, alive=template.alive[first : first + CHUNK])
        for first in range(0, len(template.alive), CHUNK)
    ]
    return [*chunks, replace(template, thumbs=True)]


def loaded(task: object) -> None:
    """Do nothing: a process that is asked for this has started and loaded all that encoding needs."""


def run_task(task: SpriteTask) -> int:
    """Encode and write; returns how many sprites were written."""
    store = Store(task.folder)
    with store.work.tiles(task.layer, task.panels, task.native, task.alive.shape[1]) as tiles:
        if task.thumbs:
            thumbs, focus = store.pictures.thumbs_path(task.layer), store.arrays.layer_path(task.layer, FOCUS)
            if not (task.kept and thumbs.exists()):
                store.pictures.write(thumbs, webp(_thumbs(task, tiles), task.quality))
            if task.focused and not (task.kept and focus.exists()):
                store.arrays.write_layer(task.layer, FOCUS, {"top_focus": _focus(task, tiles)})
            return 0
        written = 0
        for offset, alive in enumerate(task.alive):
            if alive.any():
                written += _write_channel(task, store, tiles, task.first + offset, alive)
    return written


def _write_channel(task: SpriteTask, store: Store, tiles: TileFile, channel: int, alive: np.ndarray) -> int:
    """Write the files of one channel; returns 1 where its sprite was written, 0 where it is kept."""
    ending = "webp" if task.avif_quality is None else "avif"
    path, of_strips = (
        store.pictures.sprite_path(task.layer, channel, ending),
        store.pictures.range_path(task.layer, channel, ending),
    )
    wants_sprite = not (task.kept and path.exists())
    wants_strips = task.has_strips and not (task.kept and of_strips.exists())
    if not (wants_sprite or wants_strips):
        return 0
    panels = panels_of(tiles, channel, alive)
    if wants_sprite:
        pixels = sprite(panels[:, :TOP], task.factor)
        store.pictures.write(path, encoded_sprite(pixels, task.quality, task.avif_quality))
    if wants_strips:
        pixels = strips_sprite(panels[list(task.of_strips)], alive, task.factor)
        store.pictures.write(of_strips, encoded_sprite(pixels, task.quality, task.avif_quality))
    return int(wants_sprite)


def panels_of(tiles: TileFile, channel: int, alive: np.ndarray) -> np.ndarray:
    """(P, S, s, s, 3), ground where there is no unit."""
    panels = tiles.read(channel).copy()  # (S, P, s, s, 3)
    panels[~alive] = GROUND
    return panels.transpose(1, 0, 2, 3, 4)


def _thumbs(task: SpriteTask, tiles: TileFile) -> np.ndarray:
    strongest = np.full((task.channels, THUMB, THUMB, 3), GROUND, np.uint8)
    for channel, alive in enumerate(task.alive):
        if alive[0]:
            strongest[channel] = shrink(tiles.read(channel)[0, 0], THUMB)
    return mosaic(strongest, thumb_columns(task.channels))


def _focus(task: SpriteTask, tiles: TileFile) -> np.ndarray:
    """(C, 9, 3) int32 for all channels of the layer: row, column and side of each unit's focus, zeros where there is
    none."""
    everyone = Store(task.folder).arrays.layer(task.layer, "top")["top_image"]
    focus = np.zeros((*everyone.shape, 3), np.int32)
    focus[: task.channels] = tiles.read_focus(task.channels) * task.alive[:, :TOP, None]
    return focus


def run_tasks(tasks: list[SpriteTask], workers: int | None = None) -> Iterator[tuple[SpriteTask, int]]:
    """Run tasks in processes, yielding each with its count as it is done; raises AtlasError if a process is killed."""
    count = min(workers or os.cpu_count() or 1, len(tasks))
    yield from in_processes(
        run_task,
        tasks,
        count if count > 1 else 0,
        doing="encodes sprites",
        remedy="use fewer workers (--workers 1 encodes without any) and run the command again: it goes on from here",
        in_order=False,
    )

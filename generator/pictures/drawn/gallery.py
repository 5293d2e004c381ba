"""The drawn world as a folder of picture files, drawn in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from generator.core.processes import in_processes
from generator.pictures.drawn import world

DRAWING_REMEDY = "close programs that need much memory and run the same command again"
_PICTURES_PER_TASK = 40  # a fraction of a second, so that progress is visible


def draw_pictures(
    folder: Path,
    count: int,
    seed: int = world.ATLAS_SEED,
    workers: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
    only: Iterable[int] | None = None,
) -> None:
    """Write drawings 0 … count − 1 of a seed as `world.write_pictures` does. Existing files are left as they are.

    workers: processes, by default one per core; only: indices of the pictures to write, if not all (the truth is
    written for all); progress: called with the number of pictures done since the last call. Raises AtlasError if a file
    cannot be written or a process is killed.
    """
    wanted = range(count) if only is None else sorted(only)
    missing = [index for index in wanted if not (folder / world.picture_path(index)).exists()]
    progress(len(wanted) - len(missing))
    tasks = [
        missing[first : first + _PICTURES_PER_TASK] for first in range(0, len(missing), _PICTURES_PER_TASK)
    ]
    draw = partial(world.write_drawings, folder, seed=seed)
    processes = workers or os.cpu_count() or 1
    for _, done in in_processes(draw, tasks, processes, doing="draws pictures", remedy=DRAWING_REMEDY):
        progress(done)
    world.write_truth(folder, count, seed)

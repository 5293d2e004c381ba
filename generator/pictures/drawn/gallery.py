"""The drawn world as a folder of picture files, drawn by as many processes as there are cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from generator.core.processes import in_processes
from generator.pictures.drawn import world

REMEDY = "close what needs much memory and run the same command again"
_CHUNK = 40  # pictures a task: a fraction of a second, so that progress shows


def draw_pictures(
    folder: Path,
    count: int,
    seed: int = world.ATLAS_SEED,
    workers: int | None = None,
    progress: Callable[[int], object] = lambda done: None,
    only: Iterable[int] | None = None,
) -> None:
    """Write drawings 0 … count − 1 of a seed as `world.write_pictures` does; those there are left alone.

    only: these of them alone, each with the same bytes as among all; the truth is written for all. progress: called
    with the number of pictures looked after since. Raises AtlasError where the disk refuses.
    """
    wanted = range(count) if only is None else sorted(only)
    missing = [index for index in wanted if not (folder / world.picture_path(index)).exists()]
    progress(len(wanted) - len(missing))
    tasks = [missing[first : first + _CHUNK] for first in range(0, len(missing), _CHUNK)]
    draw = partial(world.write_drawings, folder, seed=seed)
    processes = workers or os.cpu_count() or 1
    for _, done in in_processes(draw, tasks, processes, doing="draws pictures", remedy=REMEDY):
        progress(done)
    world.write_truth(folder, count, seed)

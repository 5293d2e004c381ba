"""Many drawings in one array, drawn by worker processes and kept on disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.core.files import remove
from generator.core.processes import in_processes
from generator.pictures.drawn import world
from generator.pictures.drawn.canvas import DRAWING_SIDE
from generator.pictures.drawn.gallery import DRAWING_REMEDY

_DRAWINGS_PER_TASK = 88  # large enough that sending a task costs little


@cache
def fingerprint() -> str:
    """A digest of two drawings of each class, so that stored drawings are not used after a change of the painters."""
    digest = hashlib.sha256()
    for index in range(2 * len(world.CLASSES)):
        digest.update(world.draw(index).image.tobytes())
    return digest.hexdigest()[:16]


def _draw_from(start: int, count: int, seed: int, every: int) -> NDArray[np.uint8]:
    stop = min(start + _DRAWINGS_PER_TASK, count)
    return np.stack([np.asarray(world.draw(every * number, seed).image) for number in range(start, stop)])


def drawings(
    count: int,
    seed: int,
    folder: Path,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
    every: int = 1,
) -> NDArray[np.uint8]:
    """Drawings 0, every, 2 · every … of a seed, (count, 96, 96, 3); stored in `folder` and read from there the next
    time.

    The label of drawing i is `i % len(CLASSES)`. workers: processes, by default one per core; progress: called with the
    number of drawings done since the last call. Raises AtlasError if a process is killed.
    """
    spacing = "" if every == 1 else f"-every{every}"
    path = folder / f"drawings-{fingerprint()}-{seed}-{count}{spacing}.npy"
    shape = (count, DRAWING_SIDE, DRAWING_SIDE, 3)
    with contextlib.suppress(OSError, ValueError, EOFError):  # damaged files are drawn again
        stored = np.load(path)
        if stored.shape == shape and stored.dtype == np.uint8:
            return stored
    remove(path)
    pictures = np.empty(shape, dtype=np.uint8)
    draw = partial(_draw_from, count=count, seed=seed, every=every)
    processes = workers or os.cpu_count() or 1
    starts = range(0, count, _DRAWINGS_PER_TASK)
    for start, part in in_processes(draw, starts, processes, doing="draws pictures", remedy=DRAWING_REMEDY):
        pictures[start : start + len(part)] = part
        if progress is not None:
            progress(len(part))
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.npy")
    np.save(unfinished, pictures)
    unfinished.replace(path)
    return pictures

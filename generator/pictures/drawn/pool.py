"""Many drawings at once, drawn by worker processes into one array that is kept on disk."""

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
from generator.pictures.drawn.canvas import SIDE
from generator.pictures.drawn.gallery import REMEDY

_CHUNK = 88  # drawings a task: long enough that handing them over costs nothing


@cache
def fingerprint() -> str:
    """A digest of two drawings of every class: drawings that look otherwise must not be taken for these."""
    digest = hashlib.sha256()
    for index in range(2 * len(world.CLASSES)):
        digest.update(world.draw(index).image.tobytes())
    return digest.hexdigest()[:16]


def _chunk(start: int, count: int, seed: int) -> NDArray[np.uint8]:
    stop = min(start + _CHUNK, count)
    return np.stack([np.asarray(world.draw(index, seed).image) for index in range(start, stop)])


def drawings(
    count: int,
    seed: int,
    folder: Path,
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> NDArray[np.uint8]:
    """Drawings 0 … count − 1 of a seed, (count, 96, 96, 3); kept in `folder` and read there the next time.

    The label of drawing i is `i % len(CLASSES)`. `progress` is called with the number of drawings done since.
    """
    path = folder / f"drawings-{fingerprint()}-{seed}-{count}.npy"
    shape = (count, SIDE, SIDE, 3)
    with contextlib.suppress(OSError, ValueError, EOFError):  # damaged ones are drawn again
        kept = np.load(path)
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    remove(path)
    pictures = np.empty(shape, dtype=np.uint8)
    draw = partial(_chunk, count=count, seed=seed)
    processes = workers or os.cpu_count() or 1
    starts = range(0, count, _CHUNK)
    for start, part in in_processes(draw, starts, processes, doing="draws pictures", remedy=REMEDY):
        pictures[start : start + len(part)] = part
        if progress is not None:
            progress(len(part))
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.npy")
    np.save(unfinished, pictures)
    unfinished.replace(path)
    return pictures

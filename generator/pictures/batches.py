"""Decode batches of pictures, in this process or ahead of it in worker processes.

No torch is imported, so that worker processes start quickly."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from generator.core.processes import AHEAD, SharedBytes, in_processes
from generator.core.records import Preprocessing
from generator.pictures.decoding import PictureError, read_picture


@dataclass(frozen=True)
class BatchTask:
    """Pictures to decode. root, paths: their files; indices: their picture indices, handed on with the result; slot:
    the part of the shared memory that takes the pixels."""

    root: str
    indices: tuple[int, ...]
    paths: tuple[str, ...]
    preprocessing: Preprocessing
    slot: int


@dataclass(frozen=True)
class Decoded:
    """The usable pictures of a batch, in order. indices: of the pictures; sizes: width and height of each before
    preprocessing, in px; digests: SHA-256 of each file; pixels: (n, height, width, channels) uint8, None while they
    lie in shared memory; skipped: index and reason of every unusable picture."""

    indices: tuple[int, ...]
    pixels: np.ndarray | None
    sizes: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


def read_ahead(
    root: str,
    indices: np.ndarray,
    paths: tuple[str, ...],
    preprocessing: Preprocessing,
    batch: int,
    workers: int,
) -> Iterator[tuple[Decoded, np.ndarray]]:
    """Yield batches of `batch` pictures in the given order, each with its pixels (n, height, width, channels)
    uint8. The pixels are valid only until the next batch is requested.

    workers: processes that decode ahead of the caller, 0 for none. Raises AtlasError if a process is killed.
    """
    starts = range(0, len(paths), batch)
    workers = min(workers, len(starts))
    slots = AHEAD * workers + 1  # the batches in progress, and the batch that the caller is reading
    shape = (slots, batch, *preprocessing.size, preprocessing.channels)
    tasks = (
        BatchTask(
            root,
            tuple(indices[first : first + batch].tolist()),
            paths[first : first + batch],
            preprocessing,
            task_number % slots,
        )
        for task_number, first in enumerate(starts)
    )
    shared = SharedBytes.of(math.prod(shape)) if workers else None
    try:
        for task, decoded in in_processes(
            _read,
            tasks,
            workers,
            doing="decodes pictures",
            remedy="use fewer workers (--workers), or 0 to decode without any",
            start=_begin,
            given=(shared, shape),
            here=_read_here,
        ):
            if decoded.pixels is not None:
                yield decoded, decoded.pixels
            else:
                assert shared is not None
                slot = np.frombuffer(shared.memory, np.uint8).reshape(shape)[task.slot]
                yield decoded, slot[: len(decoded.indices)]
    finally:
        if shared is not None:
            shared.close()


_slots: list[
    np.ndarray
] = []  # in a worker process: the shared memory, (slots, batch, height, width, channels)


def _begin(shared: SharedBytes | None, shape: tuple[int, ...]) -> None:
    if shared is not None:
        _slots.append(np.frombuffer(shared.memory, np.uint8).reshape(shape))


def _read(task: BatchTask) -> Decoded:
    return _decode(task, _slots[0][task.slot], sent=False) if _slots else _read_here(task)


def _read_here(task: BatchTask) -> Decoded:
    shape = (len(task.paths), *task.preprocessing.size, task.preprocessing.channels)
    return _decode(task, np.empty(shape, np.uint8), sent=True)


def _decode(task: BatchTask, pixels: np.ndarray, *, sent: bool) -> Decoded:
    """Decode into `pixels`, (batch, height, width, channels); sent: whether the result holds the pixels itself."""
    indices: list[int] = []
    sizes: list[tuple[int, int]] = []
    digests: list[str] = []
    skipped: list[tuple[int, str]] = []
    for index, path in zip(task.indices, task.paths, strict=True):
        try:
            picture = read_picture(os.path.join(task.root, path), task.preprocessing)
        except PictureError as error:
            skipped.append((index, str(error)))
            continue
        pixels[len(indices)] = picture.pixels
        indices.append(index)
        sizes.append((picture.width, picture.height))
        digests.append(picture.sha256)
    sent_pixels = pixels[: len(indices)] if sent else None
    return Decoded(tuple(indices), sent_pixels, tuple(sizes), tuple(digests), tuple(skipped))

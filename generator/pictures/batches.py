"""Decoding batches of pictures, in this process or ahead of it in others. No torch: the processes start at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from generator.core.processes import AHEAD, SharedBytes, in_processes
from generator.core.records import Preprocessing
from generator.pictures.decoding import PictureError, read_picture


@dataclass(frozen=True)
class BatchTask:
    """Pictures to decode. root, paths: their files; indices: their numbers, to be handed on; slot: where in the memory
    that the processes share the pixels go."""

    root: str
    indices: tuple[int, ...]
    paths: tuple[str, ...]
    preprocessing: Preprocessing
    slot: int


@dataclass(frozen=True)
class Decoded:
    """A batch's usable pictures, in order. indices, sizes (width and height of the files' pictures, px), digests
    (SHA-256 of the files): of each; pixels: (n, crop, crop, 3) uint8 RGB, None while they lie in shared memory;
    skipped: index and reason of every other picture."""

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
    """Batches of `batch` pictures in the order given, each with its pixels (n, crop, crop, 3) uint8, which are only
    valid until the next is asked for.

    workers: processes that decode ahead of the caller, 0 for none. Raises AtlasError if one is killed.
    """
    starts = range(0, len(paths), batch)
    workers = min(workers, len(starts))
    slots = AHEAD * workers + 1  # those under way, and the one that the caller looks at
    side = preprocessing.crop
    tasks = (
        BatchTask(
            root,
            tuple(indices[first : first + batch].tolist()),
            paths[first : first + batch],
            preprocessing,
            number % slots,
        )
        for number, first in enumerate(starts)
    )
    shared = SharedBytes.of(slots * batch * side * side * 3) if workers else None
    try:
        for task, decoded in in_processes(
            _read,
            tasks,
            workers,
            doing="decodes pictures",
            remedy="use fewer workers (--workers), or 0 to decode without any",
            start=_begin,
            given=(shared, (slots, batch, side, side, 3)),
            here=_read_here,
        ):
            if decoded.pixels is not None:
                yield decoded, decoded.pixels
            else:
                assert shared is not None
                slot = np.frombuffer(shared.memory, np.uint8).reshape(slots, batch, side, side, 3)[task.slot]
                yield decoded, slot[: len(decoded.indices)]
    finally:
        if shared is not None:
            shared.close()


_slots: list[
    np.ndarray
] = []  # of a process that decodes: the memory that it shares, (slots, batch, crop, crop, 3)


def _begin(shared: SharedBytes | None, shape: tuple[int, ...]) -> None:
    if shared is not None:
        _slots.append(np.frombuffer(shared.memory, np.uint8).reshape(shape))


def _read(task: BatchTask) -> Decoded:
    return _decode(task, _slots[0][task.slot], sent=False) if _slots else _read_here(task)


def _read_here(task: BatchTask) -> Decoded:
    side = task.preprocessing.crop
    return _decode(task, np.empty((len(task.paths), side, side, 3), np.uint8), sent=True)


def _decode(task: BatchTask, pixels: np.ndarray, *, sent: bool) -> Decoded:
    """Decode into `pixels`; sent: whether the result holds them."""
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
    found = pixels[: len(indices)] if sent else None
    return Decoded(tuple(indices), found, tuple(sizes), tuple(digests), tuple(skipped))

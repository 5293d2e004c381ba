"""Decode batches of pictures, in this process or ahead of it in worker processes, which also keep what they decode.

No torch is imported, so that worker processes start quickly."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from generator.core.pixel_file import PixelFile, PixelPlace
from generator.core.processes import AHEAD, SharedBytes, in_processes
from generator.core.records import Preprocessing
from generator.pictures.decoding import PictureError, read_picture


@dataclass(frozen=True)
class BatchTask:
    """Pictures of a batch to decode. root, paths: their files; indices: their picture indices; places: theirs in the
    batch, handed on with the result; slot: the part of the shared memory that takes the pixels."""

    root: str
    indices: tuple[int, ...]
    places: tuple[int, ...]
    paths: tuple[str, ...]
    preprocessing: Preprocessing
    slot: int


@dataclass(frozen=True)
class Decoded:
    """The usable pictures of those that were to be decoded of a batch, in order. places: theirs in the batch; sizes:
    width and height of each before preprocessing, in px; digests: SHA-256 of each file; pixels: (n, height, width,
    channels) uint8, None while they lie in shared memory; skipped: place and reason of every unusable picture."""

    places: tuple[int, ...]
    pixels: np.ndarray | None
    sizes: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


NOTHING_DECODED = Decoded((), None, (), (), ())


def all_of(indices: np.ndarray) -> np.ndarray:
    """(n,) bool: every picture is to be decoded."""
    return np.ones(len(indices), bool)


def read_ahead(
    root: str,
    indices: np.ndarray,
    paths: tuple[str, ...],
    preprocessing: Preprocessing,
    batch: int,
    workers: int,
    kept: PixelPlace | None = None,
    wanted: Callable[[np.ndarray], np.ndarray] = all_of,
) -> Iterator[tuple[Decoded, np.ndarray]]:
    """Yield batches of `batch` pictures in the given order, each with the pixels (n, height, width, channels) uint8
    of those that were decoded. The pixels are valid only until the next batch is requested.

    workers: processes that decode ahead of the caller, 0 for none; kept: where to keep what is decoded; wanted: which
    pictures of a batch, given by their indices, are to be decoded, (n,) bool; asked shortly before they are. Raises
    AtlasError if a process is killed.
    """
    starts = range(0, len(paths), batch)
    workers = min(workers, len(starts))
    slots = AHEAD * workers + 1  # the batches in progress, and the batch that the caller is reading
    shape = (slots, batch, *preprocessing.size, preprocessing.channels)

    def task_of(number: int, first: int) -> BatchTask:
        of_batch = indices[first : first + batch]
        places = np.flatnonzero(wanted(of_batch))
        return BatchTask(
            root,
            tuple(of_batch[places].tolist()),
            tuple(places.tolist()),
            tuple(paths[first + place] for place in places.tolist()),
            preprocessing,
            number % slots,
        )

    tasks = (task_of(number, first) for number, first in enumerate(starts))
    shared = SharedBytes.of(math.prod(shape)) if workers else None
    file = None if kept is None else kept.open()
    try:
        for task, decoded in in_processes(
            _read,
            tasks,
            workers,
            doing="decodes pictures",
            remedy="use fewer workers (--workers), or 0 to decode without any",
            start=_begin,
            given=(shared, shape, kept),
            here=partial(_read_here, kept=file),
        ):
            if decoded.pixels is not None:
                yield decoded, decoded.pixels
            else:
                assert shared is not None
                slot = np.frombuffer(shared.memory, np.uint8).reshape(shape)[task.slot]
                yield decoded, slot[: len(decoded.places)]
    finally:
        if shared is not None:
            shared.close()
        if file is not None:
            file.close()


# In a worker process: the shared memory, (slots, batch, height, width, channels), and where decoded pixels are kept.
_slots: list[np.ndarray] = []
_kept: list[PixelFile] = []


def _begin(shared: SharedBytes | None, shape: tuple[int, ...], kept: PixelPlace | None) -> None:
    if shared is not None:
        _slots.append(np.frombuffer(shared.memory, np.uint8).reshape(shape))
    if kept is not None and (file := kept.open()) is not None:
        _kept.append(file)


def _read(task: BatchTask) -> Decoded:
    kept = _kept[0] if _kept else None
    return _decode(task, _slots[0][task.slot], kept, sent=False) if _slots else _read_here(task, kept)


def _read_here(task: BatchTask, kept: PixelFile | None) -> Decoded:
    shape = (len(task.paths), *task.preprocessing.size, task.preprocessing.channels)
    return _decode(task, np.empty(shape, np.uint8), kept, sent=True)


def _decode(task: BatchTask, pixels: np.ndarray, kept: PixelFile | None, *, sent: bool) -> Decoded:
    """Decode into `pixels`, (batch, height, width, channels), and into the file of kept pixels; sent: whether the
    result holds the pixels itself."""
    places: list[int] = []
    sizes: list[tuple[int, int]] = []
    digests: list[str] = []
    skipped: list[tuple[int, str]] = []
    for index, place, path in zip(task.indices, task.places, task.paths, strict=True):
        try:
            picture = read_picture(os.path.join(task.root, path), task.preprocessing)
        except PictureError as error:
            skipped.append((place, str(error)))
            continue
        if kept is not None:
            kept.write(index, picture.pixels, (picture.width, picture.height), picture.sha256)
        pixels[len(places)] = picture.pixels
        places.append(place)
        sizes.append((picture.width, picture.height))
        digests.append(picture.sha256)
    sent_pixels = pixels[: len(places)] if sent else None
    return Decoded(tuple(places), sent_pixels, tuple(sizes), tuple(digests), tuple(skipped))

"""Read pictures in batches: from the file of pixels that were decoded before, and decoding the others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from generator.core.ahead import made_ahead
from generator.core.pixel_file import PixelFile, PixelPlace
from generator.core.records import Preprocessing
from generator.pictures.batches import NOTHING_DECODED, Decoded, all_of, read_ahead
from generator.pictures.reading import PictureSet


@dataclass(frozen=True)
class PictureBatch:
    """Consecutive pictures, without those that cannot be decoded.

    indices: (n,) int64, into PictureSet.files; pixels: (n, height, width, channels) uint8; sizes: width and height of
    each picture before preprocessing, in px; digests: SHA-256 of each file; skipped: index and reason of each picture
    that cannot be decoded.
    """

    indices: Tensor
    pixels: Tensor
    sizes: tuple[tuple[int, int], ...]
    digests: tuple[str, ...]
    skipped: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class KeptPixels:
    """The file with the pixels of pictures that were decoded before. contents: (N, 32) uint8, SHA-256 of each picture's
    file, of which its pixels must be."""

    place: PixelPlace
    contents: np.ndarray


def read_batches(
    pictures: PictureSet,
    indices: Sequence[int] | np.ndarray,
    preprocessing: Preprocessing,
    *,
    batch: int,
    workers: int,
    pin: bool = False,
    kept: KeptPixels | None = None,
) -> Iterator[PictureBatch]:
    """Read pictures in batches, in the order of `indices`. Each batch is the next `batch` pictures, without those that
    cannot be decoded.

    workers: processes that decode ahead while the caller computes; 0 decodes in this process. pin: read into
    page-locked memory, for copying to a GPU. kept: where decoded pixels are kept: pictures that are there are not
    decoded again, and the others are added. Raises AtlasError if a worker process dies.
    """
    chosen = np.asarray(indices, np.int64)
    pin = pin and torch.cuda.is_available()
    begin = partial(torch.cuda.set_device, torch.cuda.current_device()) if pin else None
    file = None if kept is None else kept.place.open()
    reader = _Reader(pictures, chosen, preprocessing, batch, pin, kept, file)
    try:
        if file is not None:
            yield from _ahead(reader.kept(), len(chosen) > batch, begin)
        # Not in a thread where this process decodes: the decoder changes which warnings are shown.
        yield from _ahead(reader.decoded(workers), workers > 0, begin)
    finally:
        if file is not None:
            file.close()


def _ahead(
    batches: Generator[PictureBatch, None, None], is_worth_it: bool, begin: Callable[[], None] | None
) -> Iterator[PictureBatch]:
    return made_ahead(batches, begin=begin) if is_worth_it else batches


class _Reader:
    """Reads pictures in batches: first those that are kept, and from the first batch on that lacks one, with processes
    that decode. file: of the kept pixels, opened."""

    def __init__(
        self,
        pictures: PictureSet,
        indices: np.ndarray,
        preprocessing: Preprocessing,
        batch: int,
        pin: bool,
        kept: KeptPixels | None,
        file: PixelFile | None,
    ) -> None:
        self._pictures, self._preprocessing, self._pin = pictures, preprocessing, pin
        self._kept, self._file = kept, file
        self._indices, self._batch = indices, batch
        self._next = 0  # the first picture that was not read yet

    def kept(self) -> Generator[PictureBatch, None, None]:
        """The first batches, as long as all their pictures are kept."""
        while self._next < len(self._indices):
            of_batch = self._indices[self._next : self._next + self._batch]
            if self._is_missing(of_batch).any():
                return
            self._next += self._batch
            yield self._whole(of_batch, NOTHING_DECODED, np.empty(0))

    def decoded(self, workers: int) -> Generator[PictureBatch, None, None]:
        """The other batches, of which pictures are decoded that are not kept."""
        left = self._indices[self._next :]
        for first, (decoded, pixels) in enumerate(self._decode(left, workers, self._is_missing)):
            of_batch = left[first * self._batch : (first + 1) * self._batch]
            yield self._whole(of_batch, decoded, pixels)

    def _is_missing(self, indices: np.ndarray) -> np.ndarray:
        """(n,) bool: which pictures are not kept."""
        if self._file is None or self._kept is None:
            return all_of(indices)
        return ~self._file.has(indices, self._kept.contents[indices])

    def _decode(
        self, indices: np.ndarray, workers: int, wanted: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[tuple[Decoded, np.ndarray]]:
        return read_ahead(
            str(self._pictures.root),
            indices,
            tuple(self._pictures.files[index].path for index in indices),
            self._preprocessing,
            self._batch,
            workers,
            None if self._kept is None else self._kept.place,
            wanted,
        )

    def _whole(self, indices: np.ndarray, decoded: Decoded, decoded_pixels: np.ndarray) -> PictureBatch:
        """A batch, from what was decoded of it and what is kept; all of it decoded where what is kept is damaged."""
        unusable = {place for place, _ in decoded.skipped}
        usable = [place for place in range(len(indices)) if place not in unusable]
        preprocessing = self._preprocessing
        shape = (len(usable), *preprocessing.size, preprocessing.channels)
        # In memory of its own, because the next batch may be decoded into the same shared memory.
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=self._pin)
        learnt: list[tuple[tuple[int, int], str]] = []
        number_of = {place: number for number, place in enumerate(decoded.places)}
        for place, target in zip(usable, pixels.numpy(), strict=True):
            number = number_of.get(place)
            if number is not None:
                target[:] = decoded_pixels[number]
                learnt.append((decoded.sizes[number], decoded.digests[number]))
                continue
            assert self._file is not None
            of_row = self._file.read(int(indices[place]), target)
            if of_row is None:
                return self._whole(indices, *next(self._decode(indices, 0, all_of)))
            learnt.append(of_row)
        return PictureBatch(
            torch.from_numpy(indices[usable]),
            pixels,
            tuple(size for size, _ in learnt),
            tuple(digest for _, digest in learnt),
            tuple((int(indices[place]), reason) for place, reason in decoded.skipped),
        )

"""A scratch file with the decoded pixels of a job's pictures, which its processes fill and read in any order.

After one page with the key of what the pixels were made from, every picture of the set has a row: its pixels, (H, W, C)
uint8, its width and height as it was, the SHA-256 of its file, and a CRC-32 over key and row. The checksum tells a row
that was never written, was cut short, was damaged, or is another job's.

The file is no memory map: mapped pages would count as the process's memory, and a reader would crash where another
process cuts the file short. Rows begin at whole pages, because machines that share a network drive write back whole
pages: no two rows are ever on the same one."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.core.files import remove

PAGE = 4096  # bytes; of memory, on nearly every machine
_LEARNT = struct.Struct("<II32s")  # width, height, SHA-256
_CHECK = struct.Struct("<I")


@dataclass(frozen=True)
class PixelPlace:
    """Where the pixels of a job's pictures lie. path: of the file; key: fingerprint of what they are made from, in hex;
    pictures: of the set, one row each; shape: height, width and channels of each."""

    path: str
    key: str
    pictures: int
    shape: tuple[int, int, int]

    @property
    def pixel_bytes(self) -> int:
        """Of one picture."""
        return math.prod(self.shape)

    @property
    def stride(self) -> int:
        """Bytes from one row to the next."""
        return -(-(self.pixel_bytes + _LEARNT.size + _CHECK.size) // PAGE) * PAGE

    @property
    def bytes_in_all(self) -> int:
        """Of the file with all rows."""
        return PAGE + self.pictures * self.stride

    @property
    def bytes_taken(self) -> int:
        """On the disk so far; 0 where there is no file."""
        try:
            return os.stat(self.path).st_blocks * 512
        except OSError:
            return 0

    def create(self) -> None:
        """Make the file, without any row, unless one with this key is there. For one process, before the others open
        it. Raises OSError where the disk refuses."""
        if (file := self.open()) is not None:
            file.close()
            return
        self.remove()  # and not cut short: a process of a killed run may still be writing to it
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        half = f"{self.path}.{os.getpid()}.tmp"
        Path(half).write_bytes(self.key.encode())
        os.replace(half, self.path)

    def remove(self) -> None:
        """Remove the file, also where a folder lies in its place."""
        with contextlib.suppress(OSError):
            remove(Path(self.path))

    def open(self) -> PixelFile | None:
        """The file, opened; None where there is none, or one with another key."""
        try:
            descriptor = os.open(self.path, os.O_RDWR)
        except OSError:
            return None
        file = PixelFile(self, descriptor)
        if not file.is_kept:
            file.close()
            return None
        return file


class PixelFile:
    """The file, opened for reading and writing, by any number of processes and threads at once."""

    def __init__(self, place: PixelPlace, descriptor: int) -> None:
        self.place, self._file = place, descriptor
        self._key = place.key.encode()
        self._seed = zlib.crc32(self._key)

    @property
    def is_kept(self) -> bool:
        """Whether it begins with its key: not after a process has given it up."""
        try:
            return os.pread(self._file, len(self._key), 0) == self._key
        except OSError:  # a folder, say
            return False

    def write(self, row: int, pixels: np.ndarray, size: tuple[int, int], sha256: str) -> None:
        """Write the row of a picture. pixels: (H, W, C) uint8; size: width and height before preprocessing; sha256: of
        its file, in hex.

        Where the disk has no room left, or refuses otherwise, the whole file is given up and removed."""
        if not self.is_kept:
            return
        pixels = np.ascontiguousarray(pixels)
        learnt = _LEARNT.pack(*size, bytes.fromhex(sha256))
        record: list[memoryview | bytes] = [
            pixels.data.cast("B"),
            learnt,
            _CHECK.pack(self._check(pixels, learnt)),
        ]
        try:
            written = os.pwritev(self._file, record, self._offset(row))
            if written < sum(map(len, record)):  # as on a disk that is about to be full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._give_up()

    def has(self, rows: np.ndarray, contents: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows were written of files with these contents, (n, 32) uint8 SHA-256. A row may still be
        damaged: `read` says so."""
        wanted = np.ascontiguousarray(contents, np.uint8).reshape(len(rows), 32)
        learnt = (self._learnt(row) for row in rows.tolist())
        of_rows = zip(learnt, wanted, strict=True)
        return np.array([width > 0 and digest == own.tobytes() for (width, digest), own in of_rows], bool)

    def _learnt(self, row: int) -> tuple[int, bytes]:
        """A row's width and SHA-256 as they are in the file; 0 and nothing where it was not written."""
        try:
            learnt = os.pread(self._file, _LEARNT.size, self._offset(row) + self.place.pixel_bytes)
        except OSError:
            return 0, b""
        if len(learnt) < _LEARNT.size:
            return 0, b""
        width, _, digest = _LEARNT.unpack(learnt)
        return width, digest

    def read(self, row: int, pixels: np.ndarray) -> tuple[tuple[int, int], str] | None:
        """Read a row's pixels into `pixels`, (H, W, C) uint8, contiguous; returns the picture's width and height before
        preprocessing, and the SHA-256 of its file. None where the row is not there as it was written."""
        learnt, check = bytearray(_LEARNT.size), bytearray(_CHECK.size)
        try:
            os.preadv(self._file, [pixels.data.cast("B"), learnt, check], self._offset(row))
        except OSError:
            return None
        width, height, digest = _LEARNT.unpack(learnt)
        if width == 0 or _CHECK.unpack(check)[0] != self._check(pixels, learnt):
            return None
        return (width, height), digest.hex()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _offset(self, row: int) -> int:
        return PAGE + row * self.place.stride

    def _check(self, pixels: np.ndarray, learnt: bytes | bytearray) -> int:
        return zlib.crc32(learnt, zlib.crc32(pixels.data.cast("B"), self._seed))

    def _give_up(self) -> None:
        """Return the space to the disk. Cut short, the file has no key any more: other processes see it and write no
        further rows."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        self.place.remove()

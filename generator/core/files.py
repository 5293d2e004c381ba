"""Files on disk: written whole or not at all, and large ones whose records a job writes in any order."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self

import numpy as np

from generator.core.errors import AtlasError


def write_atomically(path: Path, content: bytes | bytearray) -> None:
    """Write a whole file or nothing; raises AtlasError with one sentence where the disk refuses."""
    # The process id keeps two processes of one job (torchrun) from sharing a half-written file.
    half = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(content)
        os.replace(half, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def remove(path: Path) -> None:
    """Remove a file, or the folder that lies in its place."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_array_atomically(path: Path, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
    """Write a (rows, columns) float32 array as a .npy file, whole or not at all, from consecutive parts of its rows: it
    need not fit into memory."""
    half = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(np.ascontiguousarray(part, "<f4").data.cast("B"))
        os.replace(half, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise disk_error(error, path) from error


def disk_error(error: OSError, path: Path) -> AtlasError:
    """The AtlasError for a failed write."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AtlasError(
            "the disk is full", path, "free some space and run the same command again: it resumes"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return AtlasError("this folder cannot be written", path.parent, "choose another with --out")
    return AtlasError(
        f"writing failed ({error.strerror or error})", path, "remove the cause and run the same command again"
    )


class _RandomAccessFile:
    """A file that is read and written at byte offsets. It is no memory map, whose pages would count as this process's
    memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():  # damage: a folder in the place of the file; its records count as never written
                shutil.rmtree(path)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise disk_error(error, path) from error

    def _write(self, content: np.ndarray, offset: int) -> None:
        left = np.ascontiguousarray(content).data.cast("B")
        try:
            while left:  # a write may take less than all of it, on a disk that is about to be full
                written = os.pwrite(self._file, left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _read(self, length: int, offset: int) -> bytes:
        return os.pread(self._file, length, offset).ljust(length, b"\0")  # zeros behind the end of the file

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Records(_RandomAccessFile):
    """Records of one length, written in any order by any process. Each is followed by its CRC-32, which tells a record
    that was never written, was cut short by a kill, or was damaged later."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(path)
        self._length = length  # bytes of a record
        self._stride = length + 4

    def put(self, number: int, content: np.ndarray) -> None:
        """Write a record and its checksum at once."""
        record = np.ascontiguousarray(content).tobytes()
        self._write(np.frombuffer(record + _check(record), np.uint8), number * self._stride)

    def get(self, number: int, start: int = 0, length: int | None = None) -> bytes:
        """A record, or the part of it from byte `start` on; zeros where none was written."""
        return self._read(self._length if length is None else length, number * self._stride + start)

    def intact(self, numbers: np.ndarray) -> np.ndarray:
        """(n,) bool: which records are there as they were written."""
        return np.array([self._is_intact(number) for number in numbers.tolist()], bool)

    def _is_intact(self, number: int) -> bool:
        record = self._read(self._stride, number * self._stride)
        return _check(record[:-4]) == record[-4:]


def _check(record: bytes | memoryview) -> bytes:
    return zlib.crc32(record).to_bytes(4, "little")


class ScoreFile(_Records):
    """Numbers of a pass under way, scores (float32) unless another type is given: one record per picture, with the
    channels of all layers."""

    def __init__(self, path: Path, channels: Sequence[int], dtype: np.dtype | None = None) -> None:
        self._starts = np.concatenate([[0], np.cumsum(channels)]).astype(np.int64)
        self._dtype = np.dtype(np.float32) if dtype is None else dtype
        super().__init__(path, int(self._starts[-1]) * self._dtype.itemsize)

    def write(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """Write the numbers, (n, channels of all layers), of these rows, (n,)."""
        for row, values in zip(rows.tolist(), scores.astype(self._dtype, copy=False), strict=True):
            self.put(row, values)

    def has(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows are there as they were written."""
        return self.intact(rows)

    def read(self, layer: int, rows: np.ndarray) -> np.ndarray:
        """(n, C): the numbers of one layer, by its index; rows never written are zeros."""
        first, last = (int(start) for start in self._starts[layer : layer + 2])
        size = self._dtype.itemsize
        parts = [self.get(row, first * size, (last - first) * size) for row in rows.tolist()]
        return np.frombuffer(b"".join(parts), self._dtype).reshape(len(rows), last - first)


class RowFile:
    """The rows of a .npy file with a float32 matrix, read when they are indexed. It is no memory map, whose pages would
    count as this process's memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self.shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()
        if dtype != np.float32 or len(self.shape) != 2:
            raise ValueError(f"{dtype} {self.shape} instead of a float32 matrix")
        self._file = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, F) float32 of a slice without a step, or of (n,) row numbers."""
        length = self.shape[1]
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            return self._read(first, max(0, last - first))
        return np.concatenate(
            [np.zeros((0, length), np.float32), *(self._read(row, 1) for row in rows.tolist())]
        )

    def _read(self, first: int, count: int) -> np.ndarray:
        bytes_of_row = self.shape[1] * 4
        content = os.pread(self._file, count * bytes_of_row, self._start + first * bytes_of_row)
        return np.frombuffer(content, np.float32).reshape(count, self.shape[1])


class VectorFile(_Records):
    """One float32 vector per row; which rows were written is known."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(path, length * 4)

    def write(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Write the vectors, (n, F), of these rows, (n,)."""
        for row, values in zip(rows.tolist(), vectors.astype(np.float32, copy=False), strict=True):
            self.put(row, values)

    def has(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows are there as they were written."""
        return self.intact(rows)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, F); rows never written are zeros."""
        parts = [self.get(row) for row in rows.tolist()]
        return np.frombuffer(b"".join(parts), np.float32).reshape(len(rows), self._length // 4)


class TileFile(_Records):
    """The tiles of one layer while it is being pictured: (C, S, P, s, s, 3) uint8, written in any order, each with its
    unit's focus: row, column and side in px of the picture. slots: S, of a channel; the first nine are its top-9."""

    def __init__(self, path: Path, panels: int, native: int, slots: int = 9) -> None:
        self.shape = (slots, panels, native, native, 3)
        self._slots = slots
        self._pixels = panels * native * native * 3
        super().__init__(path, self._pixels + 12)

    def write(
        self, channels: np.ndarray, slots: np.ndarray, panels: Sequence[np.ndarray], focus: np.ndarray
    ) -> None:
        """Write the tiles of units, given by (U,) channels and slots: panels, each (U, s, s, 3); focus: (U, 3)."""
        records = np.empty((len(channels), self._stride), np.uint8)
        for panel, start in zip(panels, range(0, self._pixels, self._pixels // len(panels)), strict=True):
            records[:, start : start + panel[0].size] = panel.reshape(len(channels), -1)
        records[:, self._pixels : self._length] = np.ascontiguousarray(focus, "<i4").view(np.uint8)
        for number, record in zip((channels * self._slots + slots).tolist(), records, strict=True):
            record[self._length :] = np.frombuffer(_check(record[: self._length].data), np.uint8)
            self._write(record, number * self._stride)

    def has(self, channels: np.ndarray, slots: np.ndarray) -> np.ndarray:
        """(U,) bool: whether the tiles of each unit, given by (U,) channels and slots, are there as written."""
        return self.intact(channels * self._slots + slots)

    def read(self, channel: int) -> np.ndarray:
        """(S, P, s, s, 3); slots never written are zeros."""
        length = self._slots * self._stride
        slots = np.frombuffer(self._read(length, channel * length), np.uint8)
        return slots.reshape(self._slots, self._stride)[:, : self._pixels].reshape(self.shape)

    def read_focus(self, channels: int) -> np.ndarray:
        """(channels, 9, 3) int32: row, column and side of the focus of each top-9 unit; zeros where there is none."""
        places = (channel * self._slots + slot for channel in range(channels) for slot in range(9))
        parts = [self.get(number, self._pixels, 12) for number in places]
        return np.frombuffer(b"".join(parts), "<i4").reshape(channels, 9, 3).astype(np.int32)

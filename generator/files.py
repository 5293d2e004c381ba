"""Files on disk: whole or not at all, and the large ones that a job fills in any order."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from generator.errors import AtlasError


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


def write_array_atomically(path: Path, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> None:
    """Write a float32 array as a .npy file, whole or not at all, from its rows part by part: it need not fit into the
    memory."""
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
    """The sentence for a disk that refuses."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return AtlasError(
            "the disk is full", path, "free some space and run the same command again: it goes on from here"
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return AtlasError("this folder cannot be written", path.parent, "choose another with --out")
    return AtlasError(
        f"writing failed ({error.strerror or error})", path, "mend the cause and run the same command again"
    )


class _Filled:
    """A file read and written at positions. Not a memory map: its pages never count as this process's memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise disk_error(error, path) from error

    def _write(self, content: np.ndarray, place: int) -> None:
        left = np.ascontiguousarray(content).data.cast("B")
        try:
            while left:  # a write may take less than all of it, on a disk that is about to be full
                written = os.pwrite(self._file, left, place)
                left, place = left[written:], place + written
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _read(self, length: int, place: int) -> bytes:
        return os.pread(self._file, length, place).ljust(length, b"\0")  # behind the end there are zeros

    def close(self) -> None:
        os.close(self._file)


class ScoreFile(_Filled):
    """Scores of a scan under way: row by row all layers' channels, float32."""

    def __init__(self, path: Path, channels: Sequence[int]) -> None:
        super().__init__(path)
        self._starts = np.concatenate([[0], np.cumsum(channels)]).astype(np.int64)

    def write(self, rows: np.ndarray, scores: np.ndarray) -> None:
        """rows: (n,) places; scores: (n, channels of all layers) float32."""
        for row, values in zip(rows.tolist(), scores.astype(np.float32, copy=False), strict=True):
            self._write(values, row * int(self._starts[-1]) * 4)

    def read(self, layer: int, rows: np.ndarray) -> np.ndarray:
        """(n, C) of one layer, by its place among the layers."""
        first, last = (int(start) for start in self._starts[layer : layer + 2])
        whole = int(self._starts[-1])
        parts = [self._read((last - first) * 4, (row * whole + first) * 4) for row in rows.tolist()]
        return np.frombuffer(b"".join(parts), np.float32).reshape(len(rows), last - first)

    def __enter__(self) -> ScoreFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RowFile:
    """The rows of a .npy file with a float32 matrix, read as asked for. Not a memory map, whose pages would count as
    this process's memory."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            self.shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            self._start = file.tell()
        if dtype != np.float32 or len(self.shape) != 2:
            raise ValueError(f"{dtype} {self.shape} instead of a float32 matrix")
        self._path = path

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(n, F) of a slice without steps, or of (n,) places."""
        length = self.shape[1]
        if isinstance(rows, slice):
            first, last, _ = rows.indices(self.shape[0])
            return self._read(first, max(0, last - first))
        return np.concatenate(
            [np.zeros((0, length), np.float32), *(self._read(row, 1) for row in rows.tolist())]
        )

    def _read(self, first: int, count: int) -> np.ndarray:
        length = self.shape[1]
        found = np.fromfile(self._path, np.float32, count * length, offset=self._start + first * length * 4)
        return found.reshape(count, length)


class VectorFile(_Filled):
    """A vector a row, float32, written in any order, by any process, and known to be there or not."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(path)
        self._length = length

    def write(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """rows: (n,) places; vectors: (n, F)."""
        # Behind each vector stands a one, written with it and after it: a row that a kill cut short lacks it.
        marked = np.concatenate([vectors, np.ones((len(vectors), 1))], 1).astype(np.float32)
        for row, values in zip(rows.tolist(), marked, strict=True):
            self._write(values, row * (self._length + 1) * 4)

    def has(self, rows: np.ndarray) -> np.ndarray:
        """(n,) bool: which rows have been written."""
        whole = (self._length + 1) * 4
        return np.array([any(self._read(4, (row + 1) * whole - 4)) for row in rows.tolist()], bool)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, F); rows never written are zeros."""
        parts = [self._read(self._length * 4, row * (self._length + 1) * 4) for row in rows.tolist()]
        return np.frombuffer(b"".join(parts), np.float32).reshape(len(rows), self._length)

    def __enter__(self) -> VectorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class TileFile(_Filled):
    """The tiles of one layer while it is being pictured: (C, 9, P, s, s, 3) uint8, written in any order."""

    def __init__(self, path: Path, panels: int, native: int) -> None:
        super().__init__(path)
        self.shape = (9, panels, native, native, 3)
        self._slot = panels * native * native * 3

    def write(self, channel: int, slot: int, tiles: np.ndarray) -> None:
        """tiles: (P, s, s, 3), the panels of one unit."""
        self._write(tiles, (channel * 9 + slot) * self._slot)

    def read(self, channel: int) -> np.ndarray:
        """(9, P, s, s, 3); slots never written are zeros."""
        return np.frombuffer(self._read(9 * self._slot, channel * 9 * self._slot), np.uint8).reshape(
            self.shape
        )

    def __enter__(self) -> TileFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

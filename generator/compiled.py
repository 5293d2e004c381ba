"""The innermost loops of the scan and of unit gradients, compiled by numba: each goes over a map once, where torch
takes a pass an operation.

Whoever uses them has torch's way too: it serves GPUs, bfloat16, and machines without numba. Maxima,
counts and lists are the same either way; sums may differ in their last bits, which is why `kind` belongs into a scan's
fingerprint. The order of additions is fixed, so that a picture's numbers depend on nothing but the picture."""

from __future__ import annotations

import functools
import importlib.util
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

SILENT = 2.0  # seconds that nobody wonders about

_compiling = threading.Lock()  # of two threads that ask first, the second waits


@dataclass(frozen=True)
class Loops:
    """The loops below, compiled; they take C-contiguous arrays and let other threads run meanwhile."""

    reduce: Callable[..., None]
    enter: Callable[..., None]
    add: Callable[..., None]
    rectify: Callable[..., None]
    unpool: Callable[..., None]
    spread: Callable[..., None]
    spread_narrow: Callable[..., None]


def kind() -> str:
    """Which way sums on a CPU are taken: numba or torch."""
    return "numba" if importlib.util.find_spec("numba") and not _switched_off() else "torch"


def loops() -> Loops | None:
    """The compiled loops, None where numba is not installed. The first call in an installation compiles for some
    seconds; the machine code is kept beside this file, or among the user's caches."""
    with _compiling:
        return _loops()


def prepare(say: Callable[[str], None]) -> None:
    """Have the loops ready; says so where they must be compiled."""
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(loops)
        if wait([task], SILENT).not_done:
            say("compiling the innermost loops for this machine, once: some ten seconds")
        task.result()


def _switched_off() -> bool:
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")


@functools.cache
def _loops() -> Loops | None:
    if kind() == "torch":
        return None
    try:
        from numba import njit

        from generator.spread_loop import spread, spread_narrow
    except ImportError:  # a numba that refuses this NumPy or Python
        return None
    for cache in (True, False):
        try:
            functions = (_reduce, _enter, _add, _rectify, _unpool, spread, spread_narrow)
            compiled = Loops(*(njit(nogil=True, error_model="numpy", cache=cache)(f) for f in functions))
            _try(compiled)
        except (OSError, RuntimeError):  # nowhere to keep the machine code: it is made anew each time
            continue
        return compiled
    return None


def _try(compiled: Loops) -> None:
    """Have all loops compiled for the types they are called with."""
    maps = np.zeros((1, 1, 1, 1), np.float32)
    rows = np.zeros((1, 1, 1), np.float32)
    sums, counts = np.zeros((2, 1, 1)), np.zeros((1, 1), np.int64)
    compiled.reduce(maps, rows, sums[0], sums[1], counts)
    compiled.enter(maps, rows, counts, np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64))
    compiled.add(sums[0], np.zeros(1, np.int64), np.zeros(1, np.int64), 24, 32)
    where, table = np.zeros((1, 1, 1), np.int32), np.zeros((1, 1), np.uint8)
    compiled.rectify(maps, maps, maps.ravel(), ((0, 0, 0), (1, 1), (0, 0), (1, 1)), where, table, True)
    compiled.unpool(maps, where, table, maps.copy(), (1, 1, 1), (0, 0))
    values, weight, result = (np.zeros(size, np.float32) for size in (16, 16 * 64, 64 + 8))
    for spread in (compiled.spread, compiled.spread_narrow):
        spread(values, weight, result, (1, 1, 1, 16), (1, 1, 64), 1, 1, (0, 0))


def _reduce(maps: Any, row_maximum: Any, total: Any, square: Any, active: Any) -> None:
    """Of maps (B, H, W, C) float32 the maxima of rows (B, H, C), and of each map (B, C) its sum, its sum of squares and
    how many values are above zero. A row is summed in float32, the rows in float64. A NaN is in the sums, and need not
    be in the maxima."""
    batch, height, width, channels = maps.shape
    row_total = np.empty(channels, np.float32)
    row_square = np.empty(channels, np.float32)
    for b in range(batch):
        total[b], square[b], active[b] = 0, 0, 0
        count = active[b]
        for h in range(height):
            maximum = row_maximum[b, h]
            maximum[:] = -np.inf
            row_total[:] = 0
            row_square[:] = 0
            for w in range(width):
                values = maps[b, h, w]
                for c in range(channels):
                    value = values[c]
                    maximum[c] = value if value > maximum[c] else maximum[c]
                    row_total[c] += value
                    row_square[c] += value * value
                    count[c] += value > 0
            for c in range(channels):
                total[b, c] += row_total[c]
                square[b, c] += row_square[c]


def _enter(maps: Any, row_maximum: Any, keys: Any, best: Any, place: Any) -> None:
    """Put keys (B, C) where they belong into the lists `best` (C, k), descending, and where the map's maximum stands
    first (row · W + column) into `place` (C, k)."""
    batch, height, width, channels = maps.shape
    last = best.shape[1] - 1
    for b in range(batch):
        for c in range(channels):
            key = keys[b, c]
            if key <= best[c, last]:
                continue
            row = 0
            for h in range(1, height):
                if row_maximum[b, h, c] > row_maximum[b, row, c]:
                    row = h
            column = 0
            for w in range(1, width):
                if maps[b, row, w, c] > maps[b, row, column, c]:
                    column = w
            slot = last
            while slot > 0 and best[c, slot - 1] < key:
                best[c, slot], place[c, slot] = best[c, slot - 1], place[c, slot - 1]
                slot -= 1
            best[c, slot], place[c, slot] = key, row * width + column


def _add(values: Any, high: Any, low: Any, whole_bits: int, bits: int) -> None:
    """Add values (B, C) float64 to the fixed-point sums of moments.FixedSum, `high` and `low` (C,)."""
    up, unit, carried = 2.0**-whole_bits, 2.0**bits, whole_bits + bits
    down, below = 2.0**whole_bits, (np.int64(1) << carried) - 1
    batch, channels = values.shape
    for b in range(batch):
        for c in range(channels):
            whole = np.floor(values[b, c] * up)
            units = low[c] + np.int64(np.rint((values[b, c] - whole * down) * unit))
            high[c] += np.int64(whole) + (units >> carried)
            low[c] = units & below


def _rectify(base: Any, result: Any, other: Any, layout: Any, where: Any, table: Any, guided: Any) -> None:
    """Back through a ReLU, the addition of what a second path brings done on the way.

    base and result: (U, h, w, C), which may be one array; other: a flat array. layout: of the other's values by unit,
    row and column their strides, then their rows and columns (0, 0: there is none), then the first row and column of
    base that they belong to, then how many rows and columns it is to the next. where: (U, h, w), the position's row in
    the table; row 0 lies outside the map. table: (N, C) uint8, 1 where the ReLU was on. guided: whether negative
    gradients stop."""
    strides, size, start, step = layout
    units, height, width, channels = base.shape
    # Sums have an array of their own: base and result may be one, and then nothing would be computed side by side.
    # Elements are indexed one by one, since counting the references to slices of rows would cost more than the rows.
    sums = np.zeros(channels, base.dtype)
    zero = np.zeros(1, base.dtype)[0]
    for u in range(units):
        for i in range(height):
            row = i - start[0]
            in_row = row >= 0 and row % step[0] == 0 and row // step[0] < size[0]
            for j in range(width):
                at = where[u, i, j]
                if at == 0:
                    for c in range(channels):
                        result[u, i, j, c] = zero
                    continue
                column = j - start[1]
                if in_row and column >= 0 and column % step[1] == 0 and column // step[1] < size[1]:
                    first = u * strides[0] + row // step[0] * strides[1] + column // step[1] * strides[2]
                    more = other[first : first + channels]
                    for c in range(channels):
                        sums[c] = base[u, i, j, c] + more[c]
                else:
                    for c in range(channels):
                        sums[c] = base[u, i, j, c]
                if guided:
                    for c in range(channels):
                        result[u, i, j, c] = sums[c] if (table[at, c] != 0) & (sums[c] > 0) else zero
                else:
                    for c in range(channels):
                        result[u, i, j, c] = sums[c] if table[at, c] != 0 else zero


def _unpool(values: Any, where: Any, table: Any, result: Any, pooling: Any, start: Any) -> None:
    """Back through a max-pooling: add each of values (U, h, w, C) to the place in result (U, H, W, C) that it was taken
    from.

    where: (U, h, w), the position's row in the table, (N, C) uint8: which position of its window was the largest
    (row · kernel + column). pooling: kernel, stride, dilation; start: row and column in result of the first window's
    first position, which may lie outside."""
    units, height, width, channels = values.shape
    kernel, stride, dilation = pooling
    zero = np.zeros(1, values.dtype)[0]
    for u in range(units):
        for i in range(height):
            for j in range(width):
                at = where[u, i, j]
                for k in range(kernel * kernel):
                    row = start[0] + i * stride + k // kernel * dilation
                    column = start[1] + j * stride + k % kernel * dilation
                    if row < 0 or row >= result.shape[1] or column < 0 or column >= result.shape[2]:
                        continue
                    for c in range(channels):
                        result[u, row, column, c] += values[u, i, j, c] if table[at, c] == k else zero

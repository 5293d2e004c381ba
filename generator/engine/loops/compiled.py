"""The innermost loops of the scan and of unit gradients, compiled by numba: each passes over a map once, where torch
needs one pass per operation.

Every caller also has a torch implementation, for GPUs, bfloat16 and machines without numba. Maxima, counts and lists
are the same in both; sums may differ in their last bits, so `kind` is part of a scan's fingerprint. The order of
additions is fixed: a picture's numbers depend on nothing but the picture."""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import numpy as np

ANNOUNCED_AFTER = 2.0  # seconds; shorter compilations are not announced

_compiling = threading.Lock()  # if two threads ask for the loops first, the second waits


@dataclass(frozen=True)
class Loops:
    """The loops below, compiled; they take C-contiguous arrays and release the GIL."""

    reduce: Callable[..., None]
    enter: Callable[..., None]
    locate: Callable[..., None]
    keep: Callable[..., None]
    add: Callable[..., None]
    join: Callable[..., None]
    weigh: Callable[..., None]
    rectify: Callable[..., None]
    unpool: Callable[..., None]
    spread: Callable[..., None]
    spread_narrow: Callable[..., None]
    focus: Callable[..., None]
    tile: Callable[..., None]


def kind() -> str:
    """What computes sums on a CPU: numba or torch. Like `loops`, it may compile."""
    return "torch" if loops() is None else "numba"


def loops() -> Loops | None:
    """The compiled loops; None where numba is not installed, is switched off, or does not work (logged once).

    The first call in an installation compiles for some seconds. The machine code is kept next to this file, or among
    the user's caches.
    """
    with _compiling:
        return _loops()


def prepare(say: Callable[[str], None]) -> None:
    """Load the loops; calls `say` with a message where that takes long, because they must be compiled or the disk is
    slow."""
    with ThreadPoolExecutor(1) as pool:
        task = pool.submit(loops)
        if wait([task], ANNOUNCED_AFTER).not_done:
            say("loading the compiled loops; the first run on a machine compiles them, some ten seconds")
        task.result()


def _is_there() -> bool:
    switched_off = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
    return importlib.util.find_spec("numba") is not None and not switched_off


@functools.cache
def _loops() -> Loops | None:
    if not _is_there():
        return None
    trouble: Exception | None = None
    for cache in (True, False):  # where the machine code cannot be kept, it is compiled every time
        try:
            from numba import njit

            from generator.engine.loops.focus_loop import focus
            from generator.engine.loops.spread_loop import spread, spread_narrow
            from generator.engine.loops.tile_loop import tile

            functions = (
                _reduce,
                _enter,
                _locate,
                _keep,
                _add,
                _join,
                _weigh,
                _rectify,
                _unpool,
                spread,
                spread_narrow,
                focus,
                tile,
            )
            compiled = Loops(*(njit(nogil=True, error_model="numpy", cache=cache)(f) for f in functions))
            _try(compiled)
            return compiled
        # Every kind of error: the loops use numba's internals, which another release may lack or have changed.
        except Exception as error:
            trouble = error
    reason = next(iter(str(trouble).strip().splitlines()), "")
    logging.getLogger(__name__).warning(
        f"numba does not work here ({type(trouble).__name__}: {reason}). torch computes instead, which takes longer; "
        "results are the same apart from their last digits"
    )
    return None


def _try(compiled: Loops) -> None:
    """Compile all loops for the types that they are called with; raises ArithmeticError where one gives other numbers
    than Python and NumPy do."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 2, 5)).astype(np.float32)
    rows, sums, counts = maps.max(axis=2), np.zeros((2, 2, 5)), np.zeros((2, 5), np.int64)
    _same(compiled.reduce, _reduce, maps, rows * 0, sums[0], sums[1], counts)
    keys, lists = np.array([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]), np.zeros((2, 5, 2), np.int64)
    _same(compiled.enter, _enter, maps, rows, keys, lists[0], lists[1])
    _same(compiled.locate, _locate, maps, rows, np.array([1]), np.zeros((1, 5), np.int64))
    _same(
        compiled.keep,
        _keep,
        keys,
        maps[:, :, 0].swapaxes(1, 2).copy(),
        lists[0],
        np.zeros((5, 2, 3), np.float32),
    )
    _same(compiled.add, _add, 1e9 * rng.normal(size=(2, 5)), counts[0], counts[1], 24, 32)
    for rectified, everywhere in ((True, False), (False, True)):
        flags, more = (rectified, everywhere), np.zeros((2, 2, 5))
        arrays = (maps * 0, rows * 0, sums[0], sums[1], counts, more[0], more[1])
        _same(compiled.join, _join, maps, maps[::-1].copy(), *flags, *arrays)
    _same(compiled.weigh, _weigh, maps, maps[::-1].copy(), sums[0], rows[:, 0] * 0)
    where, table = np.array([[[0, 1], [2, 1], [1, 2]]] * 2, np.int32), rng.integers(0, 2, (3, 5), np.uint8)
    layout = ((30, 10, 5), (3, 2), (0, 0), (1, 1))
    _same(compiled.rectify, _rectify, maps, maps.copy(), maps.ravel().copy(), layout, where, table, True)
    _same(
        compiled.unpool,
        _unpool,
        maps,
        where,
        table * 3,
        np.zeros((2, 7, 5, 5), np.float32),
        (2, 2, 1),
        (0, 0),
    )
    from generator.engine.loops.focus_loop import focus
    from generator.engine.loops.tile_loop import tile

    pixels, seen = rng.normal(size=(2, 5, 5, 3)).astype(np.float32), np.array([[0, 1, 3, 5], [0, 0, 5, 5]])
    _same(compiled.focus, focus, pixels, seen, 2, 2.0**28, (9, 10), np.zeros((2, 3), np.int64))
    cut, tiles = np.array([[1, 0, 4], [0, 0, 0]]), np.zeros((2, 3, 3, 3), np.uint8)
    _same(compiled.tile, tile, pixels, cut, 0.1, 128, tiles)
    values = rng.normal(size=(1, 2, 2, 16)).astype(np.float32) * rng.integers(0, 2, (1, 2, 2, 16), np.uint8)
    for spread, within in ((compiled.spread, 64), (compiled.spread_narrow, 3)):
        weight = rng.normal(size=(16, 2, 2, within)).astype(np.float32)
        right = np.zeros((1, 3, 3, within), np.float32)
        for row, column in np.ndindex(2, 2):
            right[:, row : row + 2, column : column + 2] += values @ weight[:, row, column]
        # As sparse.py lays weights out, in blocks of 64; a narrow kernel's rows are filled up to 8, all of them to 64.
        laid = weight.reshape(16, -1, 64) if within == 64 else np.zeros((16, 1, 64), np.float32)
        if within != 64:
            for row in range(2):
                laid[:, 0, 8 * row : 8 * row + 2 * within] = weight[:, row].reshape(16, -1)
        result = np.zeros(right.size + 8, np.float32)
        blocks = np.ascontiguousarray(laid.transpose(1, 0, 2)).ravel()
        spread(values.ravel(), blocks, result, values.shape, right.shape[1:], 2, 1, (0, 0))
        _agree(spread, result[: right.size], right.ravel())


def _same(compiled: Callable[..., None], plain: Callable[..., None], *given: Any) -> None:
    """Call both with copies of the arguments, and compare what they wrote to the arrays."""
    first, second = ([x.copy() if isinstance(x, np.ndarray) else x for x in given] for _ in range(2))
    compiled(*first)
    plain(*second)
    for result, right in zip(first, second, strict=True):
        if isinstance(result, np.ndarray):
            _agree(plain, result, right)


def _agree(loop: Callable[..., None], result: np.ndarray, right: np.ndarray) -> None:
    if not np.allclose(result, right, rtol=1e-5, atol=1e-5):
        raise ArithmeticError(f"{loop.__name__.strip('_')} gives wrong numbers")


def _reduce(maps: Any, row_maximum: Any, total: Any, square: Any, active: Any) -> None:
    """Reduce maps (B, H, W, C) float32 to the maxima of rows (B, H, C), and for each map (B, C) to the sum, the sum of
    squares and the number of values above zero. A row is summed in float32, the rows in float64. A NaN shows in the
    sums, but not always in the maxima."""
    batch, height, width, channels = maps.shape
    row_total = np.empty(channels, np.float32)
    row_square = np.empty(channels, np.float32)
    counts = np.empty(channels, np.float32)
    # Maxima are read from one array and written to another: into the same one LLVM would store only what changes, by
    # instructions that are several times as slow where a processor has no AVX-512.
    before, after = np.empty(channels, np.float32), np.empty(channels, np.float32)
    one, zero = np.ones(1, np.float32)[0], np.zeros(1, np.float32)[0]
    for b in range(batch):
        total[b], square[b], active[b] = 0, 0, 0
        for h in range(height):
            before[:] = -np.inf
            row_total[:] = 0
            row_square[:] = 0
            counts[:] = 0
            for w in range(width):
                values = maps[b, h, w]
                for c in range(channels):
                    value = values[c]
                    after[c] = value if value > before[c] else before[c]
                    row_total[c] += value
                    row_square[c] += value * value
                    counts[c] += one if value > zero else zero
                before, after = after, before
            row_maximum[b, h] = before
            for c in range(channels):
                total[b, c] += row_total[c]
                square[b, c] += row_square[c]
                active[b, c] += np.int64(counts[c])


def _enter(maps: Any, row_maximum: Any, keys: Any, best: Any, place: Any) -> None:
    """Insert keys (B, C) into the descending lists `best` (C, k), and the position of the map's first maximum (row · W
    + column) into `place` (C, k)."""
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


def _locate(maps: Any, row_maximum: Any, pictures: Any, place: Any) -> None:
    """Write to `place` (n, C) the position of the first maximum (row · W + column) of the maps (B, H, W, C) of some
    pictures, (n,)."""
    _, height, width, channels = maps.shape
    row = np.empty(channels, np.int64)
    for n in range(len(pictures)):
        b = pictures[n]
        row[:] = 0
        largest = row_maximum[b, 0].copy()
        for h in range(1, height):
            for c in range(channels):
                if row_maximum[b, h, c] > largest[c]:
                    largest[c] = row_maximum[b, h, c]
                    row[c] = h
        for c in range(channels):
            column = 0
            for w in range(width):
                if maps[b, row[c], w, c] == largest[c]:
                    column = w
                    break
            place[n, c] = row[c] * width + column


def _keep(keys: Any, beside: Any, best: Any, kept: Any) -> None:
    """Insert keys (B, C) into the descending lists `best` (C, k), and what stands beside them (B, C, P) into `kept` (C,
    k, P)."""
    batch, channels = keys.shape
    last, readings = best.shape[1] - 1, beside.shape[2]
    for b in range(batch):
        for c in range(channels):
            key = keys[b, c]
            if key <= best[c, last]:
                continue
            slot = last
            while slot > 0 and best[c, slot - 1] < key:
                best[c, slot] = best[c, slot - 1]
                for p in range(readings):
                    kept[c, slot, p] = kept[c, slot - 1, p]
                slot -= 1
            best[c, slot] = key
            for p in range(readings):
                kept[c, slot, p] = beside[b, c, p]


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


def _join(
    shortcut: Any,
    branch: Any,
    rectified: Any,
    everywhere: Any,
    result: Any,
    row_maximum: Any,
    total: Any,
    square: Any,
    active: Any,
    by_shortcut: Any,
    by_branch: Any,
) -> None:
    """Add two maps (B, H, W, C) float32 into `result`, with a ReLU if `rectified`, and reduce the result as `_reduce`
    does. Further the sums (B, C) of either map alone over the positions where their sum is above zero, or over all
    positions. A row is summed in float32, the rows in float64."""
    batch, height, width, channels = shortcut.shape
    row_total = np.empty(channels, np.float32)
    row_square = np.empty(channels, np.float32)
    counts = np.empty(channels, np.float32)
    first = np.empty(channels, np.float32)
    second = np.empty(channels, np.float32)
    before, after = np.empty(channels, np.float32), np.empty(channels, np.float32)  # as in _reduce
    one, zero = np.ones(1, np.float32)[0], np.zeros(1, np.float32)[0]
    for b in range(batch):
        total[b], square[b], active[b], by_shortcut[b], by_branch[b] = 0, 0, 0, 0, 0
        for h in range(height):
            before[:] = -np.inf
            row_total[:] = 0
            row_square[:] = 0
            counts[:] = 0
            first[:] = 0
            second[:] = 0
            for w in range(width):
                left, right, values = shortcut[b, h, w], branch[b, h, w], result[b, h, w]
                # Two loops, because LLVM does not vectorise one that writes to seven arrays.
                for c in range(channels):
                    value = left[c] + right[c]
                    above = value > zero
                    counted = one if everywhere | above else zero  # a factor: a choice would become a jump
                    values[c] = zero if rectified & (value <= zero) else value  # a NaN stays
                    counts[c] += one if above else zero
                    first[c] += counted * left[c]
                    second[c] += counted * right[c]
                for c in range(channels):
                    value = values[c]
                    after[c] = value if value > before[c] else before[c]
                    row_total[c] += value
                    row_square[c] += value * value
                before, after = after, before
            row_maximum[b, h] = before
            for c in range(channels):
                total[b, c] += row_total[c]
                square[b, c] += row_square[c]
                active[b, c] += np.int64(counts[c])
                by_shortcut[b, c] += first[c]
                by_branch[b, c] += second[c]


def _weigh(maps: Any, gradients: Any, total: Any, place: Any) -> None:
    """The sums (B, C) of maps (B, H, W, C) × gradients, and the position (B, C) float32 of the largest product, the
    first of equal ones (row · W + column). A row is summed in float32, the rows in float64. A NaN shows in the sums."""
    batch, height, width, channels = maps.shape
    row_total = np.empty(channels, np.float32)
    # The largest product so far and its place; two arrays as in _reduce.
    before, after = np.empty((2, channels), np.float32), np.empty((2, channels), np.float32)
    for b in range(batch):
        total[b] = 0
        before[0] = -np.inf
        before[1] = 0
        for h in range(height):
            row_total[:] = 0
            for w in range(width):
                values, weights = maps[b, h, w], gradients[b, h, w]
                here = np.float32(h * width + w)
                for c in range(channels):
                    product = values[c] * weights[c]
                    row_total[c] += product
                    is_larger = product > before[0, c]
                    after[0, c] = product if is_larger else before[0, c]
                    after[1, c] = here if is_larger else before[1, c]
                before, after = after, before
            for c in range(channels):
                total[b, c] += row_total[c]
        place[b] = before[1]


def _rectify(base: Any, result: Any, other: Any, layout: Any, where: Any, table: Any, guided: Any) -> None:
    """Back through a ReLU, with a second path's gradient added on the way.

    base and result: (U, h, w, C), which may be one array. other: the second path's gradient, a flat array. layout, of
    `other`: strides by unit, row and column; numbers of rows and columns, (0, 0) for no second path; the row and column
    of base that its first value belongs to; how many rows and columns of base lie between two of its values. where: (U,
    h, w), the position's row in the table; row 0 lies outside the map. table: (N, C) uint8, 1 where the ReLU was on.
    guided: whether negative gradients are set to zero.
    """
    strides, size, start, step = layout
    units, height, width, channels = base.shape
    # Sums have an array of their own: base and result may be one array, which would keep LLVM from vectorising.
    # Elements are indexed one by one: counting references to slices of rows would cost more than the rows.
    sums = np.zeros(channels, base.dtype)
    zero = np.zeros(1, base.dtype)[0]
    # The second path's row or column for each of base's, −1 for none: dividing at every position would cost more.
    row_of, column_of = np.full(height, -1), np.full(width, -1)
    for k in range(size[0]):
        if 0 <= start[0] + k * step[0] < height:
            row_of[start[0] + k * step[0]] = k
    for k in range(size[1]):
        if 0 <= start[1] + k * step[1] < width:
            column_of[start[1] + k * step[1]] = k
    for u in range(units):
        for i in range(height):
            for j in range(width):
                at = where[u, i, j]
                if at == 0:
                    for c in range(channels):
                        result[u, i, j, c] = zero
                    continue
                if row_of[i] >= 0 and column_of[j] >= 0:
                    first = u * strides[0] + row_of[i] * strides[1] + column_of[j] * strides[2]
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
    """Back through a max-pooling: add each of values (U, h, w, C) to the position in result (U, H, W, C) that the pool
    took its value from.

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

"""The smallest square that holds most of a gradient's energy: the compiled loop. methods/focus.py has the definition,
and the same in torch. Imports numba; only compiled.py imports this module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable


def focus(gradients: Any, seen: Any, least: int, levels: float, share: Any, squares: Any) -> None:
    """Write the square of each unit, (U, 3) int64: row, column, side; zeros where there is no energy to hold.

    gradients: (U, s, s, C); seen: (U, 4) int64, top, left, bottom, right of the part with pixels; least: the smallest
    side; levels: steps between zero and the largest energy; share: numerator and denominator of what a square holds."""
    units, frame, _, channels = gradients.shape
    energy, peaks = np.empty((frame, frame)), np.empty(frame)
    sums = np.zeros((frame + 1, frame + 1), np.int64)  # of all pixels above and to the left
    for u in range(units):
        squares[u] = 0
        top, left, bottom, right = seen[u, 0], seen[u, 1], seen[u, 2], seen[u, 3]
        height, width = bottom - top, right - left
        peaks[:width] = 0
        finite = True
        for i in range(height):
            for j in range(width):
                here = 0.0
                for c in range(channels):
                    value = np.float64(gradients[u, top + i, left + j, c])
                    here += value * value
                energy[i, j] = here
                peaks[j] = here if here > peaks[j] else peaks[j]
                finite &= here < np.inf
        peak = peaks[:width].max()
        if peak == 0 or not finite:
            continue
        scale = levels / peak
        for i in range(height):
            row = np.int64(0)
            for j in range(width):
                row += np.int64(np.floor(energy[i, j] * scale + 0.5))
                sums[i + 1, j + 1] = sums[i, j + 1] + row
        total = sums[height, width]
        down, beside = np.int64(0), np.int64(0)  # sums of row · energy and of column · energy
        for i in range(1, height):
            down += total - sums[i, width]
        for j in range(1, width):
            beside += total - sums[height, j]
        middle = ((2 * down + total) // (2 * total), (2 * beside + total) // (2 * total))
        low, high = least, max(least, height, width)
        while low < high:
            side = (low + high) // 2
            if nearest(sums, (height, width), side, share, middle)[0] >= 0:
                high = side
            else:
                low = side + 1
        row, column = nearest(sums, (height, width), low, share, middle)
        squares[u, 0] = start(top, height, row, low, frame, middle[0])
        squares[u, 1] = start(left, width, column, low, frame, middle[1])
        squares[u, 2] = low


@register_jitable
def nearest(sums: Any, size: Any, side: int, share: Any, middle: Any) -> Any:
    """Row and column, in the part with pixels, of the square that holds its share and whose middle lies nearest to
    `middle`; −1 where none of this side does. A side longer than the part takes all of it."""
    height, width = size
    tall, wide = min(side, height), min(side, width)
    enough = share[0] * sums[height, width]
    best, row, column = -1, -1, -1
    for i in range(height - tall + 1):
        if share[1] * (sums[i + tall, width] - sums[i, width]) < enough:
            continue  # all columns together do not suffice
        for j in range(width - wide + 1):
            held = sums[i + tall, j + wide] - sums[i, j + wide] - sums[i + tall, j] + sums[i, j]
            if share[1] * held < enough:
                continue
            down, beside = 2 * i + tall - 2 * middle[0] - 1, 2 * j + wide - 2 * middle[1] - 1
            distance = down * down + beside * beside
            if best < 0 or distance < best:
                best, row, column = distance, i, j
    return row, column


@register_jitable
def start(first: int, length: int, found: int, side: int, frame: int, middle: int) -> int:
    """Where the square begins in its frame. A square longer than the part with pixels reaches beyond it, as evenly
    around the middle as the frame allows."""
    if side <= length:
        return first + found
    wanted = (2 * (first + middle) + 1 - side) // 2
    return max(max(0, first + length - side), min(min(first, frame - side), wanted))

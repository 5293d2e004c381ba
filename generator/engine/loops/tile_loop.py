"""Gradients at the pixels to tiles: the compiled loop. methods/gradients.py says what a tile shows, and has the same in
torch. Imports numba; only compiled.py imports this module."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

BINS = 1024  # by which the value of a rank is looked for
HALF, ONE, WHITE = np.float32(0.5), np.float32(1), np.float32(255)


def tile(gradients: Any, squares: Any, clipped: float, ground: int, tiles: Any) -> None:
    """Write the tile of each unit, (U, n, n, 3) uint8.

    gradients: (U, h, w, C) float32; squares: (U, 3) int64, row, column and side of the part that is shown, all of it
    where the side is 0; clipped: share of the values of such a part that become black or white; ground: around what is
    not square."""
    units, _, _, channels = gradients.shape
    native = tiles.shape[1]
    for u in range(units):
        top, left, side = squares[u, 0], squares[u, 1], squares[u, 2]
        height = side if side > 0 else gradients.shape[1]
        width = side if side > 0 else gradients.shape[2]
        colours = np.zeros((height, width * 3), np.float32)
        for i in range(height):
            for j in range(width):
                for c in range(3):
                    if channels == 1 or c < channels:
                        colours[i, 3 * j + c] = gradients[u, top + i, left + j, c if channels > 1 else 0]
        longer = max(height, width)
        tall = max(1, int(np.rint(height * native / longer)))
        wide = max(1, int(np.rint(width * native / longer)))
        shown = fitted(colours, tall, wide)
        scale = high(shown, clipped) if side > 0 else largest(shown)
        if not scale > 0:
            scale = ONE
        if tall < native or wide < native:
            tiles[u] = ground
        above, before = (native - tall) // 2, (native - wide) // 2
        for i in range(tall):
            for j in range(wide):
                for c in range(3):
                    value = shown[i, 3 * j + c] / scale * HALF + HALF
                    level = np.floor(value * WHITE + HALF)
                    tiles[u, above + i, before + j, c] = min(max(level, 0), 255)


@register_jitable
def fitted(colours: Any, tall: int, wide: int) -> Any:
    """(h, w · 3) → (tall, wide · 3) float32: bilinear, with antialiasing where it shrinks, as torch's interpolate."""
    height, width = colours.shape[0], colours.shape[1] // 3
    if (height, width) == (tall, wide):
        return colours
    lower = np.zeros((tall, width * 3), np.float32)
    for i in range(tall):
        first, last, middle, reach = taps(i, height, tall)
        total = 0.0
        for k in range(first, last):
            total += max(0.0, 1 - abs(k + 0.5 - middle) / reach)
        for k in range(first, last):
            weight = np.float32(max(0.0, 1 - abs(k + 0.5 - middle) / reach) / total)
            for j in range(width * 3):
                lower[i, j] += weight * colours[k, j]
    firsts, lasts = np.empty(wide, np.int64), np.empty(wide, np.int64)
    weights = np.zeros((wide, width), np.float32)
    for j in range(wide):
        first, last, middle, reach = taps(j, width, wide)
        firsts[j], lasts[j] = first, last
        total = 0.0
        for k in range(first, last):
            total += max(0.0, 1 - abs(k + 0.5 - middle) / reach)
        for k in range(first, last):
            weights[j, k - first] = max(0.0, 1 - abs(k + 0.5 - middle) / reach) / total
    result = np.empty((tall, wide * 3), np.float32)
    for i in range(tall):
        for j in range(wide):
            red, green, blue = np.float32(0), np.float32(0), np.float32(0)
            first = firsts[j]
            for k in range(first, lasts[j]):
                weight = weights[j, k - first]
                red += weight * lower[i, 3 * k]
                green += weight * lower[i, 3 * k + 1]
                blue += weight * lower[i, 3 * k + 2]
            result[i, 3 * j], result[i, 3 * j + 1], result[i, 3 * j + 2] = red, green, blue
    return result


@register_jitable
def taps(place: int, length: int, wanted: int) -> Any:
    """The first pixel of `length` that reaches a pixel of the resized line and the one after the last, and of their
    triangle of weights the middle and how far it reaches."""
    scale = length / wanted
    reach, middle = max(scale, 1.0), scale * (place + 0.5)
    return max(int(middle - reach + 0.5), 0), min(int(middle + reach + 0.5), length), middle, reach


@register_jitable
def largest(values: Any) -> Any:
    """The largest absolute value."""
    most = np.float32(0)
    for value in values.ravel():
        if abs(value) > most:
            most = abs(value)
    return most


@register_jitable
def high(values: Any, share: float) -> Any:
    """Of the absolute values the one that this share of them exceed or equal; where it is zero, the largest."""
    most = largest(values)
    if not (most > 0 and most < np.inf):
        return most
    flat = values.ravel()
    left = max(1, int(np.rint(share * flat.size)))
    step = np.float32(BINS - 1) / most
    counts = np.zeros(BINS, np.int64)
    for value in flat:
        counts[min(int(abs(value) * step), BINS - 1)] += 1
    at = BINS - 1
    while counts[at] < left:
        left -= counts[at]
        at -= 1
    among = np.empty(counts[at], np.float32)
    found = 0
    for value in flat:
        if min(int(abs(value) * step), BINS - 1) == at:
            among[found] = abs(value)
            found += 1
    among.sort()
    value = among[found - left]
    return value if value > 0 else most

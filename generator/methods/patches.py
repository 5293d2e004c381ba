"""Receptive-field patches: the part of a picture that a unit sees, in its place on a neutral ground (arXiv:1701.02362,
section 3)."""

from __future__ import annotations

import numpy as np

from generator.core.records import ReceptiveField
from generator.core.sprites import GROUND, shrink


def patch(pixels: np.ndarray, field: ReceptiveField, row: int, column: int, native: int) -> np.ndarray:
    """The patch of one unit, (native, native, 3) uint8.

    pixels: (H, W, 3) uint8, the picture as the network saw it; row, column: of the unit in its map; native: px. Where
    the field hangs over the picture's edge the ground shows; where it is larger than the picture, the patch is the
    whole picture.
    """
    height, width, _ = pixels.shape
    if field.side > min(height, width):
        return shrink(pixels, native)
    top, left, bottom, right = field.box(row, column)
    tile = np.full((field.side, field.side, 3), GROUND, np.uint8)
    seen = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    tile[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]] = seen
    return shrink(tile, native)

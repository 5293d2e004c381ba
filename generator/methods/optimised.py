"""Optimised pictures: the start from the strongest picture, and the size at which they are kept (Olah et al. 2017;
arXiv:1506.06579)."""

from __future__ import annotations

import numpy as np

from generator.core.records import ReceptiveField
from generator.core.sprites import enlarge, enlargement, native_side, shrink
from generator.network.windows import Window


def strongest_in_the_middle(
    pixels: np.ndarray, field: ReceptiveField, row: int, column: int, middle: int, window: Window
) -> np.ndarray:
    """The part of a picture that lies to its strongest unit as `window` lies to the middle unit, (n, n, 3) uint8.

    pixels: (H, W, 3) uint8, the picture as the network saw it; row, column: of the strongest unit; middle: row and
    column of the middle unit; window: rows and columns in px that the middle unit depends on. Beyond the picture's edge
    the edge is carried on.
    """
    height, width, _ = pixels.shape
    positions = np.arange(window.low, window.end)
    rows = np.clip(positions + (row - middle) * field.stride, 0, height - 1)
    columns = np.clip(positions + (column - middle) * field.stride, 0, width - 1)
    return pixels[rows][:, columns]


def kept_picture(pixels: np.ndarray, wanted: int) -> np.ndarray:
    """An optimised picture, (n, n, 3) uint8, at about the wanted side in px: enlarged by a whole factor, or shrunk."""
    native = native_side(pixels.shape[0], pixels.shape[0], wanted)
    return enlarge(shrink(pixels, native), enlargement(native, wanted))

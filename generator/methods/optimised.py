"""Optimised pictures: the start from the strongest picture, and the size at which they are kept (Olah et al. 2017;
arXiv:1506.06579)."""

from __future__ import annotations

import numpy as np

from generator.core.records import ReceptiveField
from generator.core.sprites import enlarge, enlargement, native_side, shrink
from generator.network.windows import Frame


def strongest_in_the_middle(
    pixels: np.ndarray, field: ReceptiveField, row: int, column: int, middle: tuple[int, int], frame: Frame
) -> np.ndarray:
    """The part of a picture that lies to its strongest unit as `frame` lies to the middle unit, (h, w, C) uint8.

    pixels: (H, W, C) uint8, the picture as the network saw it; row, column: of the strongest unit; middle: row and
    column of the middle unit; frame: rows and columns in px that the middle unit depends on. Beyond the picture's edge
    the edge is carried on.
    """
    rows, columns = (
        np.clip(np.arange(window.low, window.end) + (unit - centre) * field.stride, 0, extent - 1)
        for window, unit, centre, extent in zip(frame, (row, column), middle, pixels.shape[:2], strict=True)
    )
    return pixels[rows][:, columns]


def kept_picture(pixels: np.ndarray, wanted: int) -> np.ndarray:
    """An optimised picture, (h, w, 3) uint8, at about the wanted side in px: enlarged by a whole factor, or shrunk."""
    side = max(pixels.shape[:2])
    native = native_side(side, (side, side), wanted)
    return enlarge(shrink(pixels, native), enlargement(native, wanted))

"""Receptive-field patches: the part of a picture that a unit sees, in its place on a neutral ground (arXiv:1701.02362,
section 3)."""

from __future__ import annotations

import numpy as np

from generator.core.records import ReceptiveField
from generator.core.sprites import GROUND, as_colours, framed, shrink


def patches(
    pixels: np.ndarray,
    field: ReceptiveField,
    place: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    native: int,
    shrunk: dict[tuple[int, int], np.ndarray],
) -> np.ndarray:
    """The patches of U units of one layer, (U, native, native, 3) uint8.

    pixels: (n, H, W, C) uint8; place: (U,) of each unit's picture among them; row, column: (U,) of each unit; shrunk:
    pictures that are patches as a whole, by their place and side: each is shrunk once for the units of all layers.
    """
    if field.side > min(pixels.shape[1:3]):
        for p in set(place.tolist()):
            if (p, native) not in shrunk:
                shrunk[p, native] = _whole(pixels[p], native)
        return np.stack([shrunk[p, native] for p in place.tolist()])
    units = zip(place.tolist(), row.tolist(), column.tolist(), strict=True)
    return np.stack([patch(pixels[p], field, r, c, native) for p, r, c in units])


def patch(pixels: np.ndarray, field: ReceptiveField, row: int, column: int, native: int) -> np.ndarray:
    """The patch of one unit, (native, native, 3) uint8.

    pixels: (H, W, C) uint8, the picture as the network saw it; row, column: of the unit in its map; native: px. Where
    the field hangs over the picture's edge the ground shows; where it is larger than the picture's shorter side, the
    patch is the whole picture, a rectangle in the middle of the ground.
    """
    height, width, _ = pixels.shape
    if field.side > min(height, width):
        return _whole(pixels, native)
    top, left, bottom, right = field.box(row, column)
    tile = np.full((field.side, field.side, 3), GROUND, np.uint8)
    seen = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    tile[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]] = as_colours(seen)
    return shrink(tile, native)


def _whole(pixels: np.ndarray, native: int) -> np.ndarray:
    return framed(shrink(as_colours(pixels), native))

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
    squares: np.ndarray | None = None,
) -> np.ndarray:
    """The patches of U units of one layer, (U, native, native, 3) uint8.

    pixels: (n, H, W, C) uint8; place: (U,) of each unit's picture among them; row, column: (U,) of each unit; shrunk:
    pictures that are patches as a whole, by their place and side: each is shrunk once for the units of all layers;
    squares: (U, 3), the focus of each unit in its frame (methods/focus.py), to which its patch is cut; a side of zero
    leaves it whole.
    """
    is_whole = field.side > min(pixels.shape[1:3])
    tiles = np.empty((len(place), native, native, 3), np.uint8)
    cuts = [[0, 0, 0]] * len(place) if squares is None else squares.tolist()
    units = zip(place.tolist(), row.tolist(), column.tolist(), cuts, strict=True)
    for tile, (p, r, c, (top, left, side)) in zip(tiles, units, strict=True):
        if side:
            frame = framed(as_colours(pixels[p])) if is_whole else in_field(pixels[p], field, r, c)
            tile[:] = shrink(frame[top : top + side, left : left + side], native)
        elif is_whole:
            if (p, native) not in shrunk:
                shrunk[p, native] = _whole(pixels[p], native)
            tile[:] = shrunk[p, native]
        else:
            tile[:] = shrink(in_field(pixels[p], field, r, c), native)
    return tiles


def patch(pixels: np.ndarray, field: ReceptiveField, row: int, column: int, native: int) -> np.ndarray:
    """The patch of one unit, (native, native, 3) uint8.

    pixels: (H, W, C) uint8, the picture as the network saw it; row, column: of the unit in its map; native: px. Where
    the field hangs over the picture's edge the ground shows; where it is larger than the picture's shorter side, the
    patch is the whole picture, a rectangle in the middle of the ground.
    """
    if field.side > min(pixels.shape[:2]):
        return _whole(pixels, native)
    return shrink(in_field(pixels, field, row, column), native)


def in_field(pixels: np.ndarray, field: ReceptiveField, row: int, column: int) -> np.ndarray:
    """What the unit sees of a picture, (H, W, C) uint8, at its own size: (side, side, 3) uint8."""
    height, width, _ = pixels.shape
    top, left, bottom, right = field.box(row, column)
    if top >= 0 and left >= 0 and bottom <= height and right <= width:
        return as_colours(pixels[top:bottom, left:right])
    tile = np.full((field.side, field.side, 3), GROUND, np.uint8)
    seen = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    tile[max(-top, 0) :, max(-left, 0) :][: seen.shape[0], : seen.shape[1]] = as_colours(seen)
    return tile


def _whole(pixels: np.ndarray, native: int) -> np.ndarray:
    return framed(shrink(as_colours(pixels), native))

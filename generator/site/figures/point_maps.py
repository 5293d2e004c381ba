"""A map of many points as one picture on transparent ground: what a browser without scripts shows."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1120, 760  # px
MARGIN = 30  # px
SIDE = 30  # px of a thumbnail
ROOM = 1.3  # sides between the middles of two thumbnails
FINER = 3  # drawn so many times larger, then reduced: smooth edges


@dataclass(frozen=True)
class Sheet:
    """Small pictures: square tiles of so many px, row by row in so many columns."""

    pixels: Image.Image
    tile: int
    columns: int

    def cut(self, place: int, side: int) -> Image.Image:
        left, top = place % self.columns * self.tile, place // self.columns * self.tile
        box = (left, top, left + self.tile, top + self.tile)
        return self.pixels.crop(box).resize((side, side), Image.Resampling.BICUBIC)


def point_map(places: np.ndarray, colours: Sequence[str], sheet: Sheet | None, on_sheet: np.ndarray) -> bytes:
    """A WebP file. places: (N, 2) in [0, 1], upwards; colours: of each point; on_sheet: (N,) its place on the sheet or
    −1: it becomes a thumbnail, with a line in its colour below, where there is room."""
    extent = np.maximum(places.max(0), 1e-9)
    scale = min((WIDTH - 2 * MARGIN) / extent[0], (HEIGHT - 2 * MARGIN) / extent[1])
    x = WIDTH / 2 + (places[:, 0] - extent[0] / 2) * scale
    y = HEIGHT / 2 - (places[:, 1] - extent[1] / 2) * scale
    large = Image.new("RGBA", (WIDTH * FINER, HEIGHT * FINER))
    pen = ImageDraw.Draw(large)
    radius = FINER * min(5.0, max(1.3, 115 / len(places) ** 0.5))
    for point in mixed(len(places)).tolist():
        at_x, at_y = x[point] * FINER, y[point] * FINER
        pen.ellipse((at_x - radius, at_y - radius, at_x + radius, at_y + radius), fill=colours[point])
    canvas = large.reduce(FINER)
    if sheet is not None:
        pen = ImageDraw.Draw(canvas)
        for point in with_room(x, y, on_sheet, SIDE * ROOM).tolist():
            left, top = round(x[point] - SIDE / 2), round(y[point] - SIDE / 2)
            canvas.paste(sheet.cut(int(on_sheet[point]), SIDE), (left, top))
            pen.rectangle((left, top + SIDE, left + SIDE - 1, top + SIDE + 2), fill=colours[point])
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def mixed(count: int) -> np.ndarray:
    """The numbers below count in an order that takes from all over: no class then lies on top of all others."""
    return np.argsort(np.arange(count) * 0.6180339887498949 % 1, kind="stable")


def with_room(x: np.ndarray, y: np.ndarray, on_sheet: np.ndarray, room: float) -> np.ndarray:
    """The points that become thumbnails, (T,): each so far from those before it, in either direction."""
    taken: dict[tuple[int, int], list[int]] = {}
    chosen = []
    order = mixed(len(x))
    for point in order[on_sheet[order] >= 0].tolist():
        column, row = int(x[point] // room), int(y[point] // room)
        near = (
            other for i in (-1, 0, 1) for j in (-1, 0, 1) for other in taken.get((column + i, row + j), ())
        )
        if all(abs(x[o] - x[point]) >= room or abs(y[o] - y[point]) >= room for o in near):
            taken.setdefault((column, row), []).append(point)
            chosen.append(point)
    return np.array(chosen, np.int64)

"""A map of many points as one picture on a transparent ground, for browsers without scripts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1120, 760  # px
MARGIN = 30  # px
SIDE = 30  # px of a thumbnail
SPACING = 1.3  # thumbnail sides between the centres of two thumbnails
OVERSAMPLING = 3  # the dots are drawn this many times larger, then reduced: smooth edges


@dataclass(frozen=True)
class Sheet:
    """A sheet of thumbnails: square tiles of `tile` px, row by row in `columns` columns."""

    pixels: Image.Image
    tile: int
    columns: int

    def cut(self, number: int, side: int) -> Image.Image:
        """Tile `number`, resized to `side` px."""
        left, top = number % self.columns * self.tile, number // self.columns * self.tile
        box = (left, top, left + self.tile, top + self.tile)
        return self.pixels.crop(box).resize((side, side), Image.Resampling.BICUBIC)


def point_map(points: np.ndarray, colours: Sequence[str], sheet: Sheet | None, on_sheet: np.ndarray) -> bytes:
    """A WebP file. points: (N, 2) in [0, 1], upwards; colours: N; on_sheet: (N,) each point's tile on the sheet, −1 for
    none. Where there is room, a point is shown as its tile, with a line in its colour below."""
    extent = np.maximum(points.max(0), 1e-9)
    scale = min((WIDTH - 2 * MARGIN) / extent[0], (HEIGHT - 2 * MARGIN) / extent[1])
    x = WIDTH / 2 + (points[:, 0] - extent[0] / 2) * scale
    y = HEIGHT / 2 - (points[:, 1] - extent[1] / 2) * scale
    large = Image.new("RGBA", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING))
    pen = ImageDraw.Draw(large)
    radius = OVERSAMPLING * min(5.0, max(1.3, 115 / len(points) ** 0.5))
    for point in mixed(len(points)).tolist():
        at_x, at_y = x[point] * OVERSAMPLING, y[point] * OVERSAMPLING
        pen.ellipse((at_x - radius, at_y - radius, at_x + radius, at_y + radius), fill=colours[point])
    canvas = large.reduce(OVERSAMPLING)
    if sheet is not None:
        pen = ImageDraw.Draw(canvas)
        for point in with_room(x, y, on_sheet, SIDE * SPACING).tolist():
            left, top = round(x[point] - SIDE / 2), round(y[point] - SIDE / 2)
            canvas.paste(sheet.cut(int(on_sheet[point]), SIDE), (left, top))
            pen.rectangle((left, top + SIDE, left + SIDE - 1, top + SIDE + 2), fill=colours[point])
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", quality=80, method=4)
    return buffer.getvalue()


def mixed(count: int) -> np.ndarray:
    """The numbers below count in a low-discrepancy order: drawn so, no class lies on top of all others."""
    return np.argsort(np.arange(count) * 0.6180339887498949 % 1, kind="stable")


def with_room(x: np.ndarray, y: np.ndarray, on_sheet: np.ndarray, distance: float) -> np.ndarray:
    """(T,) the points that are shown as thumbnails. Taken in mixed order, each is at least `distance` px away from
    those before it, horizontally or vertically."""
    cells: dict[tuple[int, int], list[int]] = {}  # the chosen points by square of `distance` px
    chosen = []
    order = mixed(len(x))
    for point in order[on_sheet[order] >= 0].tolist():
        column, row = int(x[point] // distance), int(y[point] // distance)
        near = (
            other for i in (-1, 0, 1) for j in (-1, 0, 1) for other in cells.get((column + i, row + j), ())
        )
        if all(abs(x[o] - x[point]) >= distance or abs(y[o] - y[point]) >= distance for o in near):
            cells.setdefault((column, row), []).append(point)
            chosen.append(point)
    return np.array(chosen, np.int64)

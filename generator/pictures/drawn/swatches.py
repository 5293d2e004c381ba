"""Painters of surfaces: tilings and bands, each cut as a square or a disc from a larger sheet."""

from __future__ import annotations

import numpy as np

from generator.pictures.drawn.canvas import Canvas, oval
from generator.pictures.drawn.kinds import Kind
from generator.pictures.drawn.palette import Palette, jitter, mix

Rng = np.random.Generator

_SQUARE = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)])
_SCALES = (0.6, 1.6)  # at the upper end larger than the picture, which it then fills


def _cut(pen: Canvas, rng: Rng) -> None:
    pen.keep(oval(0, 0, 1, 1, points=72) if rng.random() < 0.35 else _SQUARE)


def mosaic(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Irregular four-sided tiles with gaps between them."""
    cells = int(rng.integers(6, 10))
    pen.poly(_SQUARE * 1.05, mix(ink.ground, ink.dark, 0.35))
    step = 2.1 / cells
    grid = (
        np.stack(np.meshgrid(np.arange(cells + 1), np.arange(cells + 1), indexing="xy"), axis=-1) * step
        - 1.05
    )
    grid += rng.uniform(-0.24, 0.24, grid.shape) * step  # (cells + 1, cells + 1, 2)
    colours = (ink.body, ink.second, ink.accent, ink.pale, mix(ink.body, ink.dark, 0.4))
    picks = rng.integers(0, len(colours), (cells, cells))
    for i in range(cells):
        for j in range(cells):
            corners = np.array([grid[i, j], grid[i, j + 1], grid[i + 1, j + 1], grid[i + 1, j]])
            middle = corners.mean(axis=0)
            pen.poly(middle + (corners - middle) * 0.86, jitter(colours[picks[i, j]], rng, 0.1))
    _cut(pen, rng)


def brick_wall(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Rows of bricks, each row shifted by half a brick."""
    rows = int(rng.integers(7, 11))
    height = 2.1 / rows
    length = height * rng.uniform(1.9, 2.5)
    pen.poly(_SQUARE * 1.05, mix(ink.body, ink.pale, 0.65))
    gap = height * 0.09
    for i in range(rows):
        top = -1.05 + i * height
        x = -1.4 - (length / 2 if i % 2 else 0.0)
        while x < 1.05:
            pen.rect(x + gap, top + gap, x + length - gap, top + height - gap, jitter(ink.body, rng, 0.2))
            x += length
    _cut(pen, rng)


def honeycomb(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Hexagonal cells."""
    radius = rng.uniform(0.17, 0.27)
    wall = mix(ink.body, ink.dark, 0.45)
    pen.poly(_SQUARE * 1.05, wall)
    angles = np.radians(np.arange(6) * 60 + 30)
    hexagon = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radius
    across, down = radius * np.sqrt(3), radius * 1.5
    for i in range(-int(1.2 / down) - 1, int(1.2 / down) + 2):
        for j in range(-int(1.2 / across) - 1, int(1.2 / across) + 2):
            middle = np.array([(j + 0.5 * (i % 2)) * across, i * down])
            colour = jitter(ink.body, rng, 0.16)
            pen.poly(middle + hexagon * 0.86, colour)
            pen.poly(middle + hexagon * 0.55, mix(colour, ink.pale, 0.25))
    _cut(pen, rng)


def chessboard(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Squares in two alternating colours."""
    cells = int(rng.integers(5, 9))
    first, second = (ink.dark, ink.pale) if rng.random() < 0.4 else (ink.body, mix(ink.body, ink.pale, 0.75))
    step = 2 / cells
    pen.poly(_SQUARE, first)
    for i in range(cells):
        for j in range(i % 2, cells, 2):
            pen.rect(-1 + j * step, -1 + i * step, -1 + (j + 1) * step, -1 + (i + 1) * step, second)
    if rng.random() < 0.4:
        pen.line(_SQUARE * 0.97, 0.09, mix(ink.body, ink.dark, 0.5), closed=True)
    _cut(pen, rng)


def scales(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Overlapping round scales in rows."""
    radius = rng.uniform(0.19, 0.3)
    pen.poly(_SQUARE * 1.05, mix(ink.body, ink.dark, 0.3))
    down = radius * rng.uniform(0.6, 0.75)
    rows, columns = int(2.4 / down) + 1, int(2.4 / (2 * radius)) + 2
    for i in range(rows, -1, -1):  # each row overlaps the row below
        for j in range(columns):
            x = -1.3 + (2 * j + i % 2) * radius
            y = -1.25 + i * down
            colour = jitter(ink.body if (i + j) % 3 else ink.second, rng, 0.14)
            pen.disc(x, y, radius, mix(colour, ink.dark, 0.5))
            pen.disc(x, y - radius * 0.1, radius * 0.88, colour)
            pen.disc(x, y - radius * 0.3, radius * 0.5, mix(colour, ink.pale, 0.18))
    _cut(pen, rng)


def _bands(pen: Canvas, ink: Palette, rng: Rng, middle: np.ndarray, count: int) -> None:
    """Draw `count` parallel bands along the line `middle` (points, 2) in alternating colours."""
    colours = [ink.body, mix(ink.body, ink.pale, 0.7)]
    if rng.random() < 0.4:
        colours = [ink.body, ink.pale, ink.second]
    pen.poly(_SQUARE * 1.05, colours[0])
    step = 2.9 / count
    wide = step * rng.uniform(0.4, 0.6)
    for i in range(count):
        y = -1.45 + (i + 0.5) * step
        run = np.concatenate(
            [middle + np.array([0, y - wide / 2]), middle[::-1] + np.array([0, y + wide / 2])]
        )
        pen.poly(run, colours[1 + i % (len(colours) - 1)])
    _cut(pen, rng)


def stripes(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Straight parallel bands."""
    _bands(pen, ink, rng, np.array([(-1.1, 0.0), (1.1, 0.0)]), int(rng.integers(7, 15)))


def wave(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Parallel bands along a sine wave."""
    x = np.linspace(-1.1, 1.1, 60)
    periods, height = rng.uniform(1.6, 3.2), rng.uniform(0.1, 0.17)
    y = height * np.sin(np.pi * periods * x + rng.uniform(0, 2 * np.pi))
    _bands(pen, ink, rng, np.stack([x, y], axis=1), int(rng.integers(6, 11)))


def zigzag(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Parallel bands along a zigzag line."""
    teeth = int(rng.integers(3, 7))
    x = np.linspace(-1.1, 1.1, 2 * teeth + 1)
    y = rng.uniform(0.1, 0.17) * np.where(np.arange(2 * teeth + 1) % 2, 1.0, -1.0)
    _bands(pen, ink, rng, np.stack([x, y], axis=1), int(rng.integers(6, 11)))


SURFACE_KINDS = (
    Kind("mosaic", "tilings", mosaic, turn=180, scales=_SCALES),
    Kind("brick wall", "tilings", brick_wall, turn=12, scales=_SCALES),
    Kind("honeycomb", "tilings", honeycomb, turn=180, scales=_SCALES),
    Kind("chessboard", "tilings", chessboard, turn=180, scales=_SCALES),
    Kind("scales", "tilings", scales, turn=12, scales=_SCALES),
    Kind("stripes", "bands", stripes, turn=180, scales=_SCALES),
    Kind("wave", "bands", wave, turn=180, scales=_SCALES),
    Kind("zigzag", "bands", zigzag, turn=180, scales=_SCALES),
)

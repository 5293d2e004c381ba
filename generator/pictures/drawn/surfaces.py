"""Backgrounds of several kinds, and clutter scattered on them."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generator.pictures.drawn.canvas import DRAWING_SIDE, Canvas, Place, arc, polar
from generator.pictures.drawn.palette import Colour, Palette, mix

Rng = np.random.Generator
Picture = NDArray[np.float32]  # (96, 96, 3) in [0, 1]; maps of one value are (96, 96)


@cache
def axes() -> tuple[Picture, Picture]:
    """Row and column of each pixel, from −0.5 to 0.5, each (96, 96)."""
    line = ((np.arange(DRAWING_SIDE) + 0.5) / DRAWING_SIDE - 0.5).astype(np.float32)
    rows, columns = np.meshgrid(line, line, indexing="ij")
    return rows, columns


def slope(rng: Rng) -> Picture:
    """A straight gradient from 0 to 1 in a random direction, (96, 96)."""
    rows, columns = axes()
    angle = rng.uniform(0, 2 * np.pi)
    return (0.5 + 0.75 * (np.float32(np.cos(angle)) * columns + np.float32(np.sin(angle)) * rows)).astype(
        np.float32
    )


def clouds(rng: Rng, cells: int) -> Picture:
    """Smooth noise with about `cells` cells per side, mean 0, mostly within ±1, (96, 96)."""
    coarse = Image.fromarray(rng.standard_normal((cells + 2, cells + 2)).astype(np.float32))
    return (
        np.asarray(coarse.resize((DRAWING_SIDE, DRAWING_SIDE), Image.Resampling.BICUBIC), dtype=np.float32)
        * 0.6
    )


def unit(colour: Colour) -> Picture:
    """The colour as fractions in [0, 1], (3,)."""
    return np.asarray(colour, dtype=np.float32) / np.float32(255)


def blend(share: Picture, first: Colour, second: Colour) -> Picture:
    """A picture (96, 96, 3): `first` where the share (96, 96) is 0, `second` where it is 1, mixed in between."""
    return unit(first) + np.clip(share, 0, 1)[..., None] * (unit(second) - unit(first))


def _plain(ink: Palette, rng: Rng) -> Picture:
    return blend(slope(rng), ink.ground, ink.ground_far)


def _halo(ink: Palette, rng: Rng) -> Picture:
    rows, columns = axes()
    away = np.hypot(rows - rng.uniform(-0.3, 0.3), columns - rng.uniform(-0.3, 0.3)) * 1.3
    return blend(away.astype(np.float32), mix(ink.ground, ink.pale, 0.25), ink.ground_far)


def _mottled(ink: Palette, rng: Rng) -> Picture:
    share = 0.5 + 0.45 * clouds(rng, 4) + 0.25 * clouds(rng, 14)
    return blend(share, ink.ground, mix(ink.ground_far, ink.second, 0.12))


def _paper(ink: Palette, rng: Rng) -> Picture:
    grain = (
        0.4
        + 0.16 * rng.standard_normal((DRAWING_SIDE, DRAWING_SIDE)).astype(np.float32)
        + 0.2 * clouds(rng, 30)
    )
    return blend(grain + 0.3 * slope(rng), ink.ground, mix(ink.ground, ink.dark, 0.16))


def _horizon(ink: Palette, rng: Rng) -> Picture:
    rows, _ = axes()
    level = rng.uniform(0.02, 0.34)
    sky = blend(
        (rows + 0.5) / (level + 0.5), mix(ink.ground_far, ink.second, 0.1), mix(ink.ground, ink.pale, 0.2)
    )
    if rng.random() < 0.6:
        sky = sky + 0.10 * np.clip(clouds(rng, 5), 0, 1)[..., None] * (1 - sky)
    near = mix(ink.ground, ink.dark, rng.uniform(0.12, 0.3))
    land = blend((rows - level) / (0.5 - level) + 0.15 * clouds(rng, 20), mix(near, ink.ground, 0.3), near)
    edge = np.clip((rows - level) * DRAWING_SIDE + 0.5, 0, 1)[..., None]
    return sky + edge * (land - sky)


def _lights(ink: Palette, rng: Rng) -> Picture:
    """Bokeh: discs out of focus."""
    ground = blend(slope(rng), ink.ground, ink.ground_far)
    rows, columns = axes()
    for _ in range(int(rng.integers(5, 12))):
        row, column = rng.uniform(-0.55, 0.55, 2).astype(np.float32)
        radius = np.float32(rng.uniform(0.04, 0.13))
        soft = np.clip((radius - np.hypot(rows - row, columns - column)) * 40 + 0.5, 0, 1)
        colour = unit(mix(ink.ground, (ink.second, ink.accent, ink.pale)[int(rng.integers(3))], 0.6))
        ground = ground + (soft * np.float32(rng.uniform(0.15, 0.45)))[..., None] * (colour - ground)
    return ground


def _boards(ink: Palette, rng: Rng) -> Picture:
    """Planks with faint seams and a streaky grain."""
    rows, columns = axes()
    if rng.random() < 0.5:
        rows, columns = columns, rows
    planks = int(rng.integers(3, 6))
    at = (rows + 0.5) * planks + np.float32(rng.random())
    tone = rng.uniform(0.15, 0.7, planks + 2).astype(np.float32)[np.floor(at).astype(int)]
    streaks = clouds(rng, 6)[
        np.floor((rows + 0.5) * 95).astype(int), (np.floor((columns + 0.5) * 12)).astype(int)
    ]
    seam = np.clip(1 - np.abs(at - np.round(at)) * DRAWING_SIDE / planks / 1.2, 0, 1)
    return blend(tone + 0.18 * streaks + 0.5 * seam, ink.ground, mix(ink.ground, ink.dark, 0.22))


_GROUNDS = (_plain, _halo, _mottled, _paper, _horizon, _lights, _boards)
_NIGHTS = (_plain, _halo, _mottled, _lights)


def ground(ink: Palette, rng: Rng, night: bool) -> Picture:
    """A background of a random kind, (96, 96, 3). night: only kinds without daylight."""
    sorts = _NIGHTS if night else _GROUNDS
    return sorts[int(rng.integers(len(sorts)))](ink, rng)


def clutter(ink: Palette, rng: Rng, most: int) -> Canvas | None:
    """A canvas of up to `most` small shapes of no class (leaves, pebbles, confetti, twigs); often None."""
    count = int(rng.integers(0, most + 1))
    if rng.random() < 0.25 or count == 0:
        return None
    sheet = Canvas(Place(row=DRAWING_SIDE / 2, column=DRAWING_SIDE / 2, scale=1.0))
    sort = int(rng.integers(0, 6))
    for _ in range(count):
        x, y = rng.uniform(-1, 1, 2)
        size, turn = float(rng.uniform(0.04, 0.13)), float(rng.uniform(0, 360))
        tone = (ink.second, ink.accent, ink.body, ink.line)[int(rng.integers(4))]
        _bit(
            sheet,
            sort if sort < 5 else int(rng.integers(5)),
            (x, y, size, turn),
            mix(ink.ground, tone, rng.uniform(0.3, 0.75)),
        )
    return sheet


def _bit(sheet: Canvas, sort: int, at: tuple[float, float, float, float], colour: Colour) -> None:
    x, y, size, turn = at
    across, along = np.array(polar(size, turn)), np.array(polar(size, turn + 90))
    centre = np.array([x, y])
    if sort == 0:  # a leaf and its rib
        sheet.ellipse(x, y, size * 1.3, size * 0.5, colour, turn)
    elif sort == 1:
        sheet.ellipse(x, y, size, size * 0.75, colour, turn)
    elif sort == 2:
        sheet.poly(
            np.array([centre + across, centre + along * 0.5, centre - across, centre - along * 0.5]), colour
        )
    elif sort == 3:
        sheet.line(np.array([centre - across * 1.6, centre, centre + across + along * 0.8]), 0.035, colour)
    else:
        sheet.line(arc(x, y, size, turn, turn + 130, 8), 0.045, colour)

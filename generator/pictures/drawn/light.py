"""Lighting: lay a canvas on its background with shadow and raised edges, and finish the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from generator.pictures.drawn.canvas import DRAWING_SIDE, Canvas
from generator.pictures.drawn.surfaces import Picture, axes, clouds, slope, unit

Rng = np.random.Generator

_MARGIN = 4  # pixels, the largest offset of a shadow


@dataclass(frozen=True)
class Light:
    """The direction and hardness of the light in a picture."""

    down: float  # the direction towards which shadows fall, a unit vector
    right: float
    depth: float  # pixels, the offset of the shadow
    softness: float  # pixels, the shadow's blur
    darkness: float  # 0–1
    edge: float  # strength of the raised edge


def choose(rng: Rng) -> Light:
    """A random light, from above; sometimes with hardly any shadow."""
    angle = rng.uniform(-1.1, 1.1)
    return Light(
        down=float(np.cos(angle)),
        right=float(np.sin(angle)),
        depth=float(rng.uniform(0.6, 3.2)),
        softness=float(rng.uniform(0.8, 3.0)),
        darkness=float(rng.uniform(0.1, 0.5)),
        edge=float(rng.uniform(0.1, 0.5)),
    )


def _coverage(cover: Image.Image, blur: float = 0.0) -> Picture:
    """Coverage in [0, 1], (96, 96), blurred by `blur` pixels."""
    blurred = cover.filter(ImageFilter.GaussianBlur(blur)) if blur else cover
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def lay(ground: Picture, sheet: Canvas, light: Light, flat: bool = False) -> Picture:
    """The canvas laid on the background (96, 96, 3). A flat canvas has no shadow and no raised edges."""
    colour, cover = sheet.finished()
    if not flat:
        ground = ground * (1 - np.float32(light.darkness) * _shadow(cover, light))[..., None]
        colour = np.minimum(colour * (1 + _relief(cover, light))[..., None], 1)
    picture = ground * (1 - _coverage(cover))[..., None] + colour
    for glow in sheet.glows:
        rows, columns = axes()
        row, column = glow.row / DRAWING_SIDE - 0.5, glow.column / DRAWING_SIDE - 0.5
        away = ((rows - row) ** 2 + (columns - column) ** 2) * np.float32(DRAWING_SIDE / glow.radius) ** 2
        shine = np.float32(glow.strength) * np.exp(-3.0 * away)[..., None]
        # Added as a screen blend: the sum approaches white and never exceeds it.
        picture = 1 - (1 - picture) * (1 - np.clip(shine, 0, 1) * unit(glow.colour))
    return picture


def _shadow(cover: Image.Image, light: Light) -> Picture:
    down, right = round(light.down * light.depth), round(light.right * light.depth)
    soft = np.pad(_coverage(cover, light.softness), _MARGIN)
    top, left = _MARGIN - down, _MARGIN - right
    return soft[top : top + DRAWING_SIDE, left : left + DRAWING_SIDE]


def _relief(cover: Image.Image, light: Light) -> Picture:
    """Relief: brighter where an edge faces the light, darker where it faces away, with a gentle gradient overall."""
    soft = _coverage(cover, 1.2)
    rise = np.zeros_like(soft)
    rise[1:-1] += light.down * (soft[2:] - soft[:-2])
    rise[:, 1:-1] += light.right * (soft[:, 2:] - soft[:, :-2])
    rows, columns = axes()
    return np.clip(light.edge * rise * 1.6, -0.35, 0.45) - 0.28 * light.edge * (
        light.down * rows + light.right * columns
    )


def finish(picture: Picture, rng: Rng) -> Image.Image:
    """The finished RGB picture: a gradient of light, sometimes a cast shadow, a vignette, a little blur and grain."""
    shade = 1.06 - np.float32(rng.uniform(0.0, 0.26)) * slope(rng)
    if rng.random() < 0.22:  # the shadow of something outside the picture
        edge = np.clip(
            (slope(rng) + 0.08 * clouds(rng, 4) - rng.uniform(0.5, 0.9)) * rng.uniform(6, 16), 0, 1
        )
        shade = shade * (1 - np.float32(rng.uniform(0.12, 0.32)) * edge)
    rows, columns = axes()
    shade = shade * (1 - np.float32(rng.uniform(0.0, 0.5)) * (rows**2 + columns**2))
    warmth = 1 + np.float32(rng.uniform(-0.04, 0.04)) * np.array([1, 0, -1], dtype=np.float32)
    picture = picture * shade[..., None] * warmth
    if rng.random() < 0.6:
        grain = rng.standard_normal((DRAWING_SIDE, DRAWING_SIDE, 1), dtype=np.float32)
        picture = picture + np.float32(rng.uniform(0.0, 0.02)) * grain
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    blur = rng.uniform(-0.5, 0.7)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.25 else image

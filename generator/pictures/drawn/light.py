"""Light: lays a drawn sheet upon its ground with shadow and raised edges, then finishes the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from generator.pictures.drawn.canvas import SIDE, Canvas
from generator.pictures.drawn.surfaces import Picture, axes, clouds, slope, unit

Rng = np.random.Generator

_MARGIN = 4  # pixels, no shadow falls further than this


@dataclass(frozen=True)
class Light:
    """Where the light of one picture comes from and how hard it is."""

    down: float  # the direction towards which shadows fall, a unit vector
    right: float
    depth: float  # pixels, how far the object stands off its ground
    softness: float  # pixels, the shadow's blur
    darkness: float  # 0–1
    edge: float  # strength of the raised edge


def choose(rng: Rng) -> Light:
    """Mostly from above, as light is; sometimes hardly any shadow."""
    angle = rng.uniform(-1.1, 1.1)
    return Light(
        down=float(np.cos(angle)),
        right=float(np.sin(angle)),
        depth=float(rng.uniform(0.6, 3.2)),
        softness=float(rng.uniform(0.8, 3.0)),
        darkness=float(rng.uniform(0.1, 0.5)),
        edge=float(rng.uniform(0.1, 0.5)),
    )


def _numbers(cover: Image.Image, blur: float = 0.0) -> Picture:
    """Coverage, blurred by that many pixels, in [0, 1] (96, 96)."""
    blurred = cover.filter(ImageFilter.GaussianBlur(blur)) if blur else cover
    return np.asarray(blurred, dtype=np.float32) / np.float32(255)


def lay(ground: Picture, sheet: Canvas, light: Light, flat: bool = False) -> Picture:
    """The sheet upon the ground (96, 96, 3); flat sheets cast no shadow and have no raised edge."""
    colour, cover = sheet.finished()
    if not flat:
        ground = ground * (1 - np.float32(light.darkness) * _shadow(cover, light))[..., None]
        colour = np.minimum(colour * (1 + _relief(cover, light))[..., None], 1)
    picture = ground * (1 - _numbers(cover))[..., None] + colour
    for glow in sheet.glows:
        rows, columns = axes()
        row, column = glow.row / SIDE - 0.5, glow.column / SIDE - 0.5
        away = ((rows - row) ** 2 + (columns - column) ** 2) * np.float32(SIDE / glow.radius) ** 2
        shine = np.float32(glow.strength) * np.exp(-3.0 * away)[..., None]
        # Added as light adds on film: it approaches white and never runs over.
        picture = 1 - (1 - picture) * (1 - np.clip(shine, 0, 1) * unit(glow.colour))
    return picture


def _shadow(cover: Image.Image, light: Light) -> Picture:
    down, right = round(light.down * light.depth), round(light.right * light.depth)
    soft = np.pad(_numbers(cover, light.softness), _MARGIN)
    top, left = _MARGIN - down, _MARGIN - right
    return soft[top : top + SIDE, left : left + SIDE]


def _relief(cover: Image.Image, light: Light) -> Picture:
    """Brighter where the edge faces the light, darker where it turns away; a gentle fall across the whole."""
    soft = _numbers(cover, 1.2)
    rise = np.zeros_like(soft)
    rise[1:-1] += light.down * (soft[2:] - soft[:-2])
    rise[:, 1:-1] += light.right * (soft[:, 2:] - soft[:, :-2])
    rows, columns = axes()
    return np.clip(light.edge * rise * 1.6, -0.35, 0.45) - 0.28 * light.edge * (
        light.down * rows + light.right * columns
    )


def finish(picture: Picture, rng: Rng) -> Image.Image:
    """The last look: a fall of light, sometimes a cast shadow, a vignette, a little blur and grain; RGB."""
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
        grain = rng.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
        picture = picture + np.float32(rng.uniform(0.0, 0.02)) * grain
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    blur = rng.uniform(-0.5, 0.7)
    return image.filter(ImageFilter.GaussianBlur(blur)) if blur > 0.25 else image

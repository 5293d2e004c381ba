"""The colours of a drawing, chosen in OKLCH, where equal steps look equal, so that contrast can be controlled."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Colour = tuple[int, int, int]


def oklch(lightness: float, chroma: float, hue: float) -> Colour:
    """sRGB bytes of an OKLCH colour (lightness 0–1, chroma 0–0.3, hue in turns), clipped to the gamut."""
    a = chroma * math.cos(2 * math.pi * hue)
    b = chroma * math.sin(2 * math.pi * hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    return (_byte(red), _byte(green), _byte(blue))


def _byte(linear: float) -> int:
    linear = min(max(linear, 0.0), 1.0)
    encoded = 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055
    return round(255 * encoded)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour `share` of the way from `first` to `second`."""
    red, green, blue = (round(p + (q - p) * share) for p, q in zip(first, second, strict=True))
    return (red, green, blue)


def jitter(colour: Colour, rng: np.random.Generator, amount: float = 0.12) -> Colour:
    """The colour, slightly lighter or darker, so that repeated parts differ."""
    share = float(rng.uniform(-amount, amount))
    return mix(colour, (255, 255, 255) if share > 0 else (0, 0, 0), abs(share))


def _clear(hue: float) -> float:
    """The hue, moved out of the dark yellows, which look brown."""
    hue %= 1.0
    if 0.2 < hue < 0.36:
        return hue + 0.17 if hue > 0.28 else hue - 0.12
    return hue


@dataclass(frozen=True)
class Palette:
    """The colours of a drawing."""

    ground: Colour  # behind everything
    ground_far: Colour  # the second colour of the background: sky or shade
    body: Colour  # the object's main colour, which differs from the ground in lightness
    second: Colour  # another hue at about the body's lightness
    accent: Colour  # a third, saturated hue
    line: Colour  # thin parts: the strongest contrast with the ground
    dark: Colour
    pale: Colour

    @property
    def inverse(self) -> Colour:
        """A colour that is visible on the body: dark on a pale body, pale on a dark body."""
        return self.dark if sum(self.body) > 360 else self.pale


def choose(rng: np.random.Generator, night: bool = False) -> Palette:
    """A random palette: one hue for the background and hues at fixed distances from it for the object.

    night: a dark background."""
    hue = float(rng.random())
    body_hue = hue + float(rng.choice([0.5, 0.38, 0.62, 0.25, 0.75, 0.12])) + float(rng.uniform(-0.05, 0.05))
    second_hue = body_hue + float(rng.choice([0.12, -0.12, 0.3, -0.3]))
    accent_hue = body_hue + float(rng.choice([0.45, 0.55, 0.2, -0.2]))
    chroma = float(rng.uniform(0.015, 0.10))
    hue = _clear(hue)
    if night:
        hue = 0.72 + float(rng.uniform(-0.14, 0.14))
        level = float(rng.uniform(0.16, 0.32))
    elif rng.random() < 0.62:
        level = float(rng.uniform(0.74, 0.94))
    else:
        level = float(rng.uniform(0.28, 0.44))
    bright = level > 0.6
    far = level + float(rng.uniform(-0.14, 0.10))
    body = float(rng.uniform(0.36, 0.56)) if bright else float(rng.uniform(0.70, 0.86))
    if bright:
        body_hue, second_hue = _clear(body_hue), _clear(second_hue)
    strong = float(rng.uniform(0.09, 0.2))
    dark = oklch(float(rng.uniform(0.16, 0.28)), 0.03, hue + 0.5)
    pale = oklch(float(rng.uniform(0.93, 0.98)), 0.015, body_hue)
    return Palette(
        ground=oklch(level, chroma, hue),
        ground_far=oklch(far, chroma * 1.2, hue + float(rng.uniform(-0.1, 0.1))),
        body=oklch(body, strong, body_hue),
        second=oklch(body + (0.06 if bright else -0.06), strong, second_hue),
        accent=oklch(0.62 if bright else 0.76, 0.18, accent_hue),
        line=dark if bright else pale,
        dark=dark,
        pale=pale,
    )

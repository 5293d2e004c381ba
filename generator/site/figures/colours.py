"""Colours for many classes: similar within a group, each readable on light and on dark pages."""

from __future__ import annotations

import math
from collections.abc import Sequence

GOLDEN = 0.618034  # of a turn: consecutive classes then differ much in hue, however many there are
LIGHTNESS = (0.62, 0.52, 0.70)  # of consecutive classes
CHROMA = 0.15
NONE = "#8c8c8c"  # of points without a class


def class_colours(groups: Sequence[str]) -> list[str]:
    """A colour "#rrggbb" per class. groups: each class's group, '' for none. The circle of hues is divided equally
    among the groups, and the classes of a group share its sector; without groups every class has a hue of its own."""
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        return [oklch(LIGHTNESS[n % 3], CHROMA, n * GOLDEN % 1) for n in range(len(groups))]
    colours = []
    seen = dict.fromkeys(names, 0)
    for group in groups:
        number, size = seen[group], groups.count(group)
        seen[group] += 1
        within = 0.0 if size == 1 else number / (size - 1) - 0.5
        hue = (names.index(group) * _stride(len(names)) + 0.6 * within) / len(names)
        colours.append(oklch(LIGHTNESS[number % 3], CHROMA, hue % 1))
    return colours


def _stride(count: int) -> int:
    """A step around a circle of `count` sectors that reaches them all and sets consecutive ones far apart."""
    stride = max(1, round(count * GOLDEN))
    while math.gcd(stride, count) > 1:
        stride += 1
    return stride


def oklch(lightness: float, chroma: float, hue: float) -> str:
    """A colour of Oklab as "#rrggbb". lightness: in [0, 1]; hue: in turns. The chroma of a colour outside sRGB is
    reduced until it lies inside (Ottosson 2020, "A perceptual color space for image processing")."""
    while True:
        a, b = chroma * math.cos(2 * math.pi * hue), chroma * math.sin(2 * math.pi * hue)
        long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        linear = (
            4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
        )
        if all(-1e-4 <= value <= 1 + 1e-4 for value in linear) or chroma < 0.005:
            return "#" + "".join(f"{_encoded(value):02x}" for value in linear)
        chroma *= 0.96


def _encoded(linear: float) -> int:
    """A linear value in [0, 1] → sRGB's 8 bits."""
    value = min(1.0, max(0.0, linear))
    return round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))

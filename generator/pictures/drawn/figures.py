"""Painters of figures: rings, letters, arrows, stars, flowers and animals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from generator.pictures.drawn.canvas import Canvas, Points, oval, polar
from generator.pictures.drawn.kinds import Kind
from generator.pictures.drawn.palette import Palette, mix

Rng = np.random.Generator


def loop(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A rope that crosses itself once."""
    wide = rng.uniform(0.12, 0.22)
    t = np.linspace(-1, 1, 70)
    tall = rng.uniform(0.8, 1.0)
    # A prolate trochoid: the ends run off to the sides and the middle turns once.
    angle = t * rng.uniform(1.25, 1.4) * np.pi
    x = 0.36 * angle / np.pi - 0.62 * np.sin(angle)
    y = tall * (0.05 - 0.72 * np.cos(angle))
    run = np.stack([x, -y * -1], axis=1)
    run /= np.abs(run).max() / 0.9
    edge = mix(ink.body, ink.dark, 0.6)
    cord = mix(ink.body, ink.pale, 0.35)
    for part in (run[:36], run[34:]):  # the second half passes over the first
        pen.line(part, wide * 1.3, edge)
        pen.line(part, wide, ink.body)
        if wide > 0.14:
            pen.line(part, wide * 0.25, cord)


def spiral(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A spiral line."""
    turns = rng.uniform(2.2, 3.8)
    t = np.linspace(0.04, 1, 90)
    angle = 2 * np.pi * turns * t + rng.uniform(0, 2 * np.pi)
    reach = 0.9 * t ** rng.uniform(0.85, 1.25)
    pen.line(np.stack([reach * np.cos(angle), reach * np.sin(angle)], axis=1), 0.46 / turns, ink.body)


def ring(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A ring, plain or with a set stone."""
    wide = rng.uniform(0.14, 0.4)
    pen.ring(0, 0, 0.97 - wide / 2, wide, ink.body)
    if rng.random() < 0.5:
        pen.ring(0, 0, 0.97 - wide / 2, wide * 0.25, mix(ink.body, ink.pale, 0.5))
    elif rng.random() < 0.4:  # a set stone
        pen.disc(0, -0.97 + wide / 2, wide * 0.62, ink.accent)


def concentric_rings(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """Rings around one centre."""
    count = int(rng.integers(3, 6))
    step = 0.97 / (count + rng.uniform(-0.3, 0.2))
    wide = step * rng.uniform(0.42, 0.6)
    second = ink.body if rng.random() < 0.5 else ink.second
    for i in range(count):
        radius = 0.97 - wide / 2 - i * step
        if radius > wide / 2:
            pen.ring(0, 0, radius, wide, second if i % 2 else ink.body)
        elif radius > 0:
            pen.disc(0, 0, radius, second if i % 2 else ink.body)


_LETTERS: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "A": (((-0.72, 0.85), (0.0, -0.85), (0.72, 0.85)), ((-0.44, 0.25), (0.44, 0.25))),
    "E": (((0.52, -0.8), (-0.5, -0.8), (-0.5, 0.8), (0.52, 0.8)), ((-0.5, 0.0), (0.36, 0.0))),
    "F": (((0.54, -0.8), (-0.46, -0.8), (-0.46, 0.85)), ((-0.46, 0.02), (0.36, 0.02))),
    "H": (((-0.58, -0.85), (-0.58, 0.85)), ((0.58, -0.85), (0.58, 0.85)), ((-0.58, 0.0), (0.58, 0.0))),
}


def letter(name: str) -> Callable[[Canvas, Palette, Rng], None]:
    """The painter of a letter. It is made of strokes, because fonts differ between machines."""
    strokes = _LETTERS[name]
    ends = [points[i] for points in strokes[: 2 if name == "H" else 1] for i in (0, -1)]

    def paint(pen: Canvas, ink: Palette, rng: Rng) -> None:
        wide = rng.uniform(0.16, 0.36)
        narrow = rng.uniform(0.8, 1.05)
        serif = rng.random() < 0.3
        outlined = rng.random() < 0.35
        passes = [(wide + 0.12, ink.inverse), (wide, ink.body)] if outlined else [(wide, ink.body)]
        for width, colour in passes:
            for points in strokes:
                pen.line([(x * narrow, y) for x, y in points], width, colour)
            if serif and name in "AHF":
                for x, y in ends:
                    if y > 0 or name == "H":
                        pen.line([((x - 0.2) * narrow, y), ((x + 0.2) * narrow, y)], width * 0.6, colour)

    return paint


def _arrow(pen: Canvas, ink: Palette, rng: Rng, double: bool) -> None:
    shaft, head, length = rng.uniform(0.14, 0.3), rng.uniform(0.42, 0.65), rng.uniform(0.5, 0.7)
    notch = rng.uniform(0.0, 0.16)
    right = [(0.97 - length, -shaft), (0.97 - length - notch, -head), (0.97, 0.0)]
    right += [(0.97 - length - notch, head), (0.97 - length, shaft)]
    if double:
        left = [(-x, y) for x, y in right[::-1]]
    else:
        tail = rng.uniform(0, 0.2) if rng.random() < 0.4 else 0.0
        left = [(-0.97, shaft), (-0.97 + tail, 0.0), (-0.97, -shaft)]
    outline: Points = np.array(right + left)
    pen.poly(outline, ink.body)
    if rng.random() < 0.35:
        pen.line(outline, 0.06, ink.inverse, closed=True)


def arrow(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """An arrow with one head."""
    _arrow(pen, ink, rng, double=False)


def double_arrow(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """An arrow with a head at either end."""
    _arrow(pen, ink, rng, double=True)


def star(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A star with pointed rays, plain or with facets."""
    points = int(rng.choice([4, 5, 5, 6, 8]))
    inner = rng.uniform(0.34, 0.5) * (1.1 if points > 5 else 1.0)
    corners = [polar(0.97 if i % 2 == 0 else inner, i * 180 / points) for i in range(2 * points)]
    pen.poly(corners, ink.body)
    if rng.random() < 0.6:  # facets, lit from one side
        shade = mix(ink.body, ink.dark, 0.35)
        for i in range(0, 2 * points, 2):
            pen.poly([(0, 0), corners[i], corners[i - 1]], shade)


def flower(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A flower: petals around a centre."""
    petals = int(rng.integers(5, 10))
    wide = rng.uniform(0.75, 1.05) * np.pi * 0.55 / petals
    layers = int(rng.integers(1, 3))
    for layer in range(layers):
        size = 1.0 - 0.32 * layer
        colour = mix(ink.body, ink.pale, 0.3 * layer)
        for i in range(petals):
            angle = (i + 0.5 * layer) * 360 / petals
            x, y = polar(0.58 * size, angle)
            pen.ellipse(x, y, wide * size * 1.12, 0.41 * size, mix(colour, ink.dark, 0.35), angle)
            pen.ellipse(x, y, wide * size, 0.38 * size, colour, angle)
            tip, root = polar(0.75 * size, angle), polar(0.3 * size, angle)
            pen.line([root, tip], 0.03, mix(colour, ink.pale, 0.4))
    middle = rng.uniform(0.2, 0.28)
    pen.disc(0, 0, middle, ink.accent)
    for i in range(9):
        x, y = polar(middle * 0.6, i * 40)
        pen.disc(x, y, 0.03, mix(ink.accent, ink.dark, 0.45))


def snowflake(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A snowflake with branched arms."""
    wide = rng.uniform(0.07, 0.12)
    twigs = [(at, at * rng.uniform(0.3, 0.5)) for at in (0.42, 0.66, 0.84)[int(rng.integers(0, 2)) :]]
    lean = rng.uniform(45, 62)
    for arm in range(6):
        pen.line([(0, 0), polar(0.95, arm * 60)], wide, ink.body)
        for at, length in twigs:
            x, y = polar(at, arm * 60)
            for side in (-lean, lean):
                dx, dy = polar(length * 0.75, arm * 60 + side)
                pen.line([(x, y), (x + dx, y + dy)], wide * 0.75, ink.body)
    if rng.random() < 0.5:
        pen.line([polar(0.25, arm * 60) for arm in range(6)], wide * 0.75, ink.body, closed=True)


def fish(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A fish seen from the side."""
    tall = rng.uniform(0.34, 0.5)
    fin = mix(ink.second, ink.dark, 0.15)
    pen.poly([(-0.45, 0), (-0.95, -0.42), (-0.82, 0.0), (-0.95, 0.42)], fin)
    pen.poly([(-0.25, -tall * 0.7), (0.05, -tall - 0.26), (0.35, -tall * 0.75)], fin)
    pen.poly([(-0.05, tall * 0.7), (-0.02, tall + 0.2), (0.25, tall * 0.8)], fin)
    t = np.linspace(0, 2 * np.pi, 48)
    body = np.stack([0.16 + 0.78 * np.cos(t), tall * np.sin(t) * (0.78 + 0.22 * np.cos(t))], axis=1)
    pen.poly(body, ink.body)
    pattern = int(rng.integers(0, 3))
    if pattern == 0:
        for x in (-0.3, -0.05, 0.2):
            half = tall * 0.72 * np.sqrt(max(1 - ((x - 0.16) / 0.78) ** 2, 0))
            pen.line([(x, -half), (x + 0.05, 0), (x, half)], 0.1, mix(ink.body, ink.pale, 0.6))
    elif pattern == 1:
        half = oval(0.05, tall * 0.35, 0.6, tall * 0.4)
        pen.poly(half, mix(ink.body, ink.pale, 0.5))
    pen.line([(0.5, -tall * 0.6), (0.42, 0), (0.5, tall * 0.6)], 0.045, mix(ink.body, ink.dark, 0.4))
    pen.disc(0.66, -tall * 0.2, 0.1, ink.pale)
    pen.disc(0.68, -tall * 0.2, 0.055, ink.dark)
    pen.poly([(-0.0, 0.02), (-0.25, 0.2), (0.12, 0.16)], fin)


def bird(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A bird seen from the side, sometimes with a raised wing."""
    for x in (-0.02, 0.14):
        pen.line([(x, 0.4), (x + 0.02, 0.78)], 0.045, ink.line)
        pen.line([(x - 0.08, 0.8), (x + 0.14, 0.8)], 0.045, ink.line)
    pen.poly(
        [(-0.4, 0.05), (-0.97, rng.uniform(0.05, 0.45)), (-0.9, rng.uniform(-0.2, 0.0)), (-0.3, -0.2)],
        ink.second,
    )
    pen.ellipse(0.0, 0.12, 0.56, 0.38, ink.body, -18)
    pen.ellipse(0.14, 0.24, 0.34, 0.24, mix(ink.body, ink.pale, 0.55), -18)
    pen.poly([(0.72, -0.52), (0.98, -0.4), (0.7, -0.3)], (236, 160, 46))
    pen.disc(0.5, -0.42, 0.3, ink.body)
    pen.disc(0.6, -0.48, 0.085, ink.pale)
    pen.disc(0.62, -0.48, 0.05, ink.dark)
    if rng.random() < 0.5:  # a raised wing
        pen.poly(
            [(0.2, 0.0), (-0.2, -0.9), (-0.42, -0.62), (-0.5, -0.2), (-0.35, 0.12)],
            mix(ink.second, ink.dark, 0.1),
        )
    else:
        pen.ellipse(-0.14, 0.06, 0.44, 0.22, mix(ink.second, ink.dark, 0.1), -8)
        pen.ellipse(-0.22, 0.1, 0.3, 0.12, ink.second, -8)


def butterfly(pen: Canvas, ink: Palette, rng: Rng) -> None:
    """A butterfly from above, with open wings."""
    upper, lower = rng.uniform(0.36, 0.46), rng.uniform(0.3, 0.38)
    edge = mix(ink.body, ink.dark, 0.65)
    for side in (-1, 1):
        pen.ellipse(side * 0.44, 0.4, lower, 0.4, edge, side * -28)
        pen.ellipse(side * 0.43, 0.38, lower * 0.78, 0.31, ink.second, side * -28)
        pen.ellipse(side * 0.5, -0.32, upper, 0.56, edge, side * 38)
        pen.ellipse(side * 0.48, -0.3, upper * 0.8, 0.45, ink.body, side * 38)
        pen.disc(side * 0.58, -0.4, 0.13, ink.pale)
        pen.disc(side * 0.46, 0.44, 0.1, ink.accent)
        pen.line([(0, -0.5), (side * 0.1, -0.75), (side * 0.26, -0.9)], 0.035, ink.line)
    pen.ellipse(0, 0.02, 0.09, 0.56, ink.dark)
    pen.disc(0, -0.52, 0.11, ink.dark)


FIGURE_KINDS = (
    Kind("loop", "rings", loop, turn=180),
    Kind("spiral", "rings", spiral, turn=180),
    Kind("ring", "rings", ring, turn=180),
    Kind("concentric rings", "rings", concentric_rings, turn=180),
    Kind("letter A", "letters", letter("A"), turn=14, mirror=False),
    Kind("letter E", "letters", letter("E"), turn=14, mirror=False),
    Kind("letter F", "letters", letter("F"), turn=14, mirror=False),
    Kind("letter H", "letters", letter("H"), turn=14, mirror=False),
    Kind("arrow", "arrows", arrow, turn=180),
    Kind("double arrow", "arrows", double_arrow, turn=180),
    Kind("star", "blooms", star, turn=180),
    Kind("flower", "blooms", flower, turn=180),
    Kind("snowflake", "blooms", snowflake, turn=180),
    Kind("fish", "animals", fish, turn=25),
    Kind("bird", "animals", bird, turn=12),
    Kind("butterfly", "animals", butterfly, turn=40),
)

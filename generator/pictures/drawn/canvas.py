"""A canvas for one object, drawn in the object's own coordinates at four times the picture's resolution."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from generator.pictures.drawn.palette import Colour

DRAWING_SIDE = 96  # pixels, the side of a finished picture
FINE = 4  # oversampling: drawn this many times larger, then averaged, for smooth edges

Points = Sequence[tuple[float, float]] | NDArray[np.float64]


@dataclass(frozen=True)
class Place:
    """The placement of an object in its picture."""

    row: float  # pixels, the object's centre
    column: float  # pixels
    scale: float  # the object's size as a fraction of the picture's side
    rotation: float = 0.0  # degrees, clockwise on the screen
    mirrored: bool = False


@dataclass
class Glow:
    """Light that is added to the picture. row, column, radius: in pixels of the finished picture."""

    row: float
    column: float
    radius: float
    colour: Colour
    strength: float


@dataclass
class Canvas:
    """A transparent canvas. The object's box is −1 … 1 in both directions, with y downwards."""

    place: Place
    glows: list[Glow] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Four plain bands, the last of which is coverage. With "RGBA", Pillow would multiply and divide by coverage at
        # each reduction, which takes time and is not wanted here.
        self.image = Image.new("RGBX", (DRAWING_SIDE * FINE, DRAWING_SIDE * FINE), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)
        self._half = self.place.scale * DRAWING_SIDE * FINE / 2
        turn = math.radians(self.place.rotation)
        flip = -1.0 if self.place.mirrored else 1.0
        # Rows of the matrix: the directions of the object's x and y axes on the canvas.
        self._matrix = self._half * np.array(
            [[flip * math.cos(turn), flip * math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
        )
        self._centre = np.array([self.place.column, self.place.row]) * FINE

    def _at(self, points: Points) -> list[tuple[float, float]]:
        moved = np.asarray(points, dtype=np.float64).reshape(-1, 2) @ self._matrix + self._centre
        return [(x, y) for x, y in moved.tolist()]

    def _width(self, width: float) -> int:
        # At least three quarters of a finished pixel: a thinner line would vanish.
        return max(round(width * self._half), 3)

    def poly(self, points: Points, colour: Colour) -> None:
        """Draw a filled polygon."""
        self._draw.polygon(self._at(points), fill=colour)

    def line(
        self, points: Points, width: float, colour: Colour, closed: bool = False, round_: bool = True
    ) -> None:
        """Draw a stroke through the points, with round joints and, if `round_`, round ends."""
        at = self._at(points)
        if closed:
            at = [*at, *at[:2]]
        wide = self._width(width)
        self._draw.line(at, fill=colour, width=wide, joint="curve" if len(at) > 2 else None)
        if round_ and not closed and wide > 4:
            for x, y in (at[0], at[-1]):
                r = wide / 2 - 0.5
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a filled circle."""
        ((u, v),) = self._at([(x, y)])
        r = max(radius * self._half, 1.5)
        self._draw.ellipse((u - r, v - r, u + r, v + r), fill=colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """Draw a circle's outline; `radius` is measured to the middle of the line."""
        ((u, v),) = self._at([(x, y)])
        wide = self._width(width)
        r = radius * self._half + wide / 2
        self._draw.ellipse((u - r, v - r, u + r, v + r), outline=colour, width=wide)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Colour, turn: float = 0.0) -> None:
        """Draw a filled ellipse, turned by `turn` degrees about its centre."""
        self.poly(oval(x, y, rx, ry, turn), colour)

    def rect(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """Draw a filled box along the object's axes."""
        self.poly([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add soft light around a point, which takes effect when the canvas is laid on its background."""
        ((u, v),) = self._at([(x, y)])
        self.glows.append(Glow(v / FINE, u / FINE, radius * self._half / FINE, colour, strength))

    def keep(self, outline: Points) -> None:
        """Erase everything outside the outline, to cut a swatch from a larger surface."""
        mask = Image.new("L", self.image.size, 0)
        ImageDraw.Draw(mask).polygon(self._at(outline), fill=255)
        empty = Image.new("RGBX", self.image.size, (0, 0, 0, 0))
        self.image = Image.composite(self.image, empty, mask)
        self._draw = ImageDraw.Draw(self.image)

    def finished(self) -> tuple[NDArray[np.float32], Image.Image]:
        """Colour times coverage (96, 96, 3) in [0, 1], and coverage as a grey image (96×96).

        Undrawn pixels are black with zero coverage, so averaging already multiplies colour by coverage.
        """
        small = self.image.reduce(FINE)
        return np.asarray(small, dtype=np.float32)[..., :3] / np.float32(255), small.getchannel(3)


def oval(
    x: float, y: float, rx: float, ry: float, turn: float = 0.0, points: int = 40
) -> NDArray[np.float64]:
    """Points (points, 2) of an ellipse turned by `turn` degrees."""
    t = np.linspace(0, 2 * math.pi, points, endpoint=False)
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + c * u - s * v, y + s * u + c * v], axis=1)


def arc(
    x: float, y: float, radius: float, start: float, stop: float, points: int = 24
) -> NDArray[np.float64]:
    """Points (points, 2) of a circle's arc from `start` to `stop` degrees (0 right, 90 down)."""
    t = np.radians(np.linspace(start, stop, points))
    return np.stack([x + radius * np.cos(t), y + radius * np.sin(t)], axis=1)


def curve(*controls: tuple[float, float], points: int = 24) -> NDArray[np.float64]:
    """Points (points, 2) of a quadratic or cubic Bézier curve."""
    t = np.linspace(0, 1, points)[:, None]
    p = np.asarray(controls, dtype=np.float64)[:, None, :].repeat(points, axis=1)  # (controls, points, 2)
    while len(p) > 1:
        p = p[:-1] * (1 - t) + p[1:] * t
    return p[0]


def polar(radius: float, degrees: float) -> tuple[float, float]:
    """The point at this distance and direction from the centre; 0 degrees is up, clockwise."""
    t = math.radians(degrees)
    return (radius * math.sin(t), -radius * math.cos(t))


def joined(parts: Iterable[Points]) -> NDArray[np.float64]:
    """Several arrays of points, joined to one (points, 2)."""
    return np.concatenate([np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in parts])

"""Line charts: paths, bands and axes in px. The SVG is in the template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.figures.axis import Axis
from generator.site.formats import power_of_ten

WIDTH, HEIGHT = 400, 220  # px of the field between the axes
LEFT, TOP, BELOW, RIGHT = 46, 12, 40, 12  # px around the field
LEAST = 1e-12  # a logarithmic axis shows smaller values here


@dataclass(frozen=True)
class Series:
    """Repeated measurements along x. values: (repeats, points); style: class of the line in the styles; band: its
    lower and upper ends, (2, points), None for one standard deviation to each side."""

    name: str
    style: str
    x: Sequence[float]
    values: np.ndarray
    band: np.ndarray | None = None

    @property
    def mean(self) -> np.ndarray:
        """(points,)"""
        mean: np.ndarray = self.values.mean(0)
        return mean

    @property
    def spread(self) -> np.ndarray:
        """(points,) sample standard deviation over the repeats; 0 for a single repeat."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.zeros(self.values.shape[1])

    @property
    def ends(self) -> np.ndarray:
        """(2, points): the lower and the upper end of the band."""
        if self.band is not None:
            return self.band
        return np.stack([self.mean - self.spread, self.mean + self.spread])


@dataclass(frozen=True)
class Curve:
    """A series as SVG paths. line: through the means; band: around it."""

    name: str
    style: str
    line: str
    band: str


@dataclass(frozen=True)
class LineChart:
    """width, height: of the whole drawing, in px."""

    curves: tuple[Curve, ...]
    x: Axis
    y: Axis
    width: int = LEFT + WIDTH + RIGHT
    height: int = TOP + HEIGHT + BELOW


def line_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    *,
    logarithmic: bool = False,
    y_ends: tuple[float, float] | None = None,
) -> LineChart:
    """Means as lines, bands around them. logarithmic: to base 10, along y; y_ends: lowest and highest value of the y
    axis, None for round values around the bands."""

    def transformed(values: np.ndarray) -> np.ndarray:
        return np.log10(np.maximum(values, LEAST)) if logarithmic else values

    lows, highs = [], []
    for own in series:
        # Zero has no logarithm: the band ends at a tenth of the mean.
        least = own.mean / 10 if logarithmic else -np.inf
        below, above = own.ends
        lows.append(transformed(np.maximum(below, least)))
        highs.append(transformed(above))
    low, high = min(float(values.min()) for values in lows), max(float(values.max()) for values in highs)
    if logarithmic:
        y = Axis(math.floor(low), math.ceil(high), y_label, whole=True, text=power_of_ten)
    elif y_ends is not None:
        y = Axis(*y_ends, y_label)
    else:
        y = Axis.around((low, high), y_label)
    y = y.along(TOP + HEIGHT, TOP)
    x_values = [value for own in series for value in own.x]
    x = Axis(min(x_values), max(x_values), x_label, start=LEFT, end=LEFT + WIDTH, whole=True)

    def points(own: Series, values: np.ndarray) -> list[tuple[float, float]]:
        return [(x(across), y(up)) for across, up in zip(own.x, values.tolist(), strict=True)]

    curves = []
    for own, bottom, top in zip(series, lows, highs, strict=True):
        band = points(own, top) + points(own, bottom)[::-1]
        line = _path(points(own, transformed(own.mean)))
        curves.append(Curve(own.name, own.style, line, _path(band) + "z"))
    return LineChart(tuple(curves), x, y)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)

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
    """Repeated measurements along x. values: (repeats, points); style: class of the line in the styles."""

    name: str
    style: str
    x: Sequence[float]
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(points,)"""
        mean: np.ndarray = self.values.mean(0)
        return mean

    @property
    def spread(self) -> np.ndarray:
        """(points,) sample standard deviation over the repeats; 0 for a single repeat."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.zeros(self.values.shape[1])


@dataclass(frozen=True)
class Curve:
    """A series as SVG paths. line: through the means; band: one standard deviation to each side."""

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
    series: Sequence[Series], x_label: str, y_label: str, *, logarithmic: bool = False
) -> LineChart:
    """Means as lines, one standard deviation to each side as bands. logarithmic: to base 10, along y."""

    def transformed(values: np.ndarray) -> np.ndarray:
        return np.log10(np.maximum(values, LEAST)) if logarithmic else values

    lows = [
        transformed(np.maximum(s.mean - s.spread, s.mean / 10 if logarithmic else -np.inf)) for s in series
    ]
    highs = [transformed(s.mean + s.spread) for s in series]
    low, high = min(float(values.min()) for values in lows), max(float(values.max()) for values in highs)
    if logarithmic:
        y = Axis(math.floor(low), math.ceil(high), y_label, whole=True, text=power_of_ten)
    else:
        y = Axis.around((low, high), y_label)
    y = y.along(TOP + HEIGHT, TOP)
    abscissae = [value for one in series for value in one.x]
    x = Axis(min(abscissae), max(abscissae), x_label, start=LEFT, end=LEFT + WIDTH, whole=True)

    def points(x_values: Sequence[float], values: np.ndarray) -> list[tuple[float, float]]:
        return [(x(across), y(up)) for across, up in zip(x_values, values.tolist(), strict=True)]

    curves = []
    for one, bottom, top in zip(series, lows, highs, strict=True):
        band = points(one.x, top) + points(one.x, bottom)[::-1]
        line = _path(points(one.x, transformed(one.mean)))
        curves.append(Curve(one.name, one.style, line, _path(band) + "z"))
    return LineChart(tuple(curves), x, y)


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points)

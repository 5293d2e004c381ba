"""Line charts as numbers for a template: paths, bands and ticks. No HTML here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.site.figures.ticks import round_ends, ticks

WIDTH, HEIGHT = 400.0, 220.0  # px of the field between the axes
LEFT, TOP, BELOW, RIGHT = 46.0, 12.0, 40.0, 12.0


@dataclass(frozen=True)
class Series:
    """values: (repeats, points); style: the class of the line; points: only marks with whiskers, no line."""

    name: str
    style: str
    x: Sequence[float]
    values: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.values.mean(0)

    @property
    def spread(self) -> np.ndarray:
        """Sample standard deviation over the repeats; 0 where there is one."""
        return self.values.std(0, ddof=1) if len(self.values) > 1 else np.zeros(self.values.shape[1])


def line_chart(
    series: Sequence[Series], x_label: str, y_label: str, *, logarithmic: bool = False
) -> dict[str, Any]:
    """Means as lines, one standard deviation to each side as bands; logarithmic: of base 10 along y."""

    def transformed(values: np.ndarray) -> np.ndarray:
        return np.log10(np.maximum(values, 1e-12)) if logarithmic else values

    xs = [x for one in series for x in one.x]
    lows = [
        transformed(np.maximum(s.mean - s.spread, s.mean / 10 if logarithmic else -np.inf)) for s in series
    ]
    highs = [transformed(s.mean + s.spread) for s in series]
    low, high = (min(float(v.min()) for v in lows), max(float(v.max()) for v in highs))
    low, high = (math.floor(low), math.ceil(high)) if logarithmic else round_ends(low, high)
    y_ticks = _whole(ticks(low, high)) if logarithmic else ticks(low, high)
    first, last = min(xs), max(xs)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / ((last - first) or 1)
        up = (y - low) / ((high - low) or 1)
        return LEFT + across * WIDTH, TOP + (1 - up) * HEIGHT

    drawn = []
    for one, bottom, top in zip(series, lows, highs, strict=True):
        middle = [at(x, y) for x, y in zip(one.x, transformed(one.mean).tolist(), strict=True)]
        upper = [at(x, y) for x, y in zip(one.x, top.tolist(), strict=True)]
        lower = [at(x, y) for x, y in zip(one.x, bottom.tolist(), strict=True)]
        drawn.append(
            {
                "name": one.name,
                "style": one.style,
                "line": _path(middle),
                "band": _path(upper + lower[::-1]) + "z",
            }
        )
    return {
        "series": drawn,
        "width": LEFT + WIDTH + RIGHT,
        "height": TOP + HEIGHT + BELOW,
        "left": LEFT,
        "right": LEFT + WIDTH,
        "bottom": TOP + HEIGHT,
        "x_ticks": [{"at": _n(at(x, low)[0]), "text": f"{x:g}"} for x in _whole(ticks(first, last))],
        "y_ticks": [
            {"at": _n(at(first, y)[1]), "text": _power(y) if logarithmic else f"{y:g}"} for y in y_ticks
        ],
        "x_label": x_label,
        "y_label": y_label,
    }


def _whole(values: Sequence[float]) -> list[float]:
    return [value for value in values if value == round(value)]


def _power(exponent: float) -> str:
    return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(c)] if c.isdigit() else "⁻" for c in f"{exponent:.0f}")


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

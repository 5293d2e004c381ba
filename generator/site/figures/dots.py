"""Rows of dots along one axis, one dot per repeat, with mean and spread, in px. The SVG is in the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.figures.axis import Axis

FIELD = 320  # px of the axis: with its margins no wider than a telephone
ROW, TOP, BELOW, MARGIN = 36, 2, 40, 16  # px
NAME, DOTS = 12, 25  # px below a row's top


@dataclass(frozen=True)
class DotRow:
    """One row. name_y, y: of its name's baseline and of its dots; low, mean, high: the whisker."""

    name: str
    name_y: float
    y: float
    dots: tuple[float, ...]
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class DotRows:
    """top, bottom: of the field; width, height: of the whole drawing."""

    rows: tuple[DotRow, ...]
    axis: Axis
    bottom: int
    height: int
    top: int = TOP
    width: int = MARGIN + FIELD + MARGIN


def dot_rows(rows: Sequence[tuple[str, np.ndarray]], label: str) -> DotRows:
    """rows: a name and its values (repeats,). A row's whisker is one sample standard deviation to each side."""
    names = [name for name, _ in rows]
    values = [np.asarray(row, np.float64) for _, row in rows]
    means = [float(row.mean()) for row in values]
    spreads = [float(row.std(ddof=1)) if len(row) > 1 else 0.0 for row in values]
    lows = [mean - spread for mean, spread in zip(means, spreads, strict=True)]
    highs = [mean + spread for mean, spread in zip(means, spreads, strict=True)]
    held = [*lows, *highs, *(value for row in values for value in row.tolist())]
    axis = Axis.around(held, label, start=MARGIN, end=MARGIN + FIELD)
    drawn = tuple(
        DotRow(
            name,
            name_y=TOP + ROW * number + NAME,
            y=TOP + ROW * number + DOTS,
            dots=tuple(axis(value) for value in row.tolist()),
            low=axis(low),
            mean=axis(mean),
            high=axis(high),
        )
        for number, (name, row, low, mean, high) in enumerate(
            zip(names, values, lows, means, highs, strict=True)
        )
    )
    bottom = TOP + ROW * len(rows)
    return DotRows(drawn, axis, bottom, bottom + BELOW)

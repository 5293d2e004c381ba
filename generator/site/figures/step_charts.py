"""Small line charts of means with intervals, layer by layer: one chart for each layer of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.site.figures.axis import Axis, px
from generator.site.reading.interval import MeanInterval

WIDTH, HEIGHT = 260, 150  # px of the field between the axes
LEFT, TOP, BELOW, RIGHT = 34, 10, 38, 12  # px around the field
FITTING = 3  # names that stand beside each other below a chart


@dataclass(frozen=True)
class StepLine:
    """A line. means: one for each step, None where it is not known; level: a value that a dashed line marks, None for
    none; text: what it ends in, for readers who do not see the chart."""

    name: str
    style: str
    means: Sequence[MeanInterval | None]
    level: float | None
    text: str


@dataclass(frozen=True)
class DrawnLine:
    """line: path through the means; bars: path of their intervals; level: px of the dashed line, None for none."""

    name: str
    style: str
    line: str
    bars: str
    level: float | None
    text: str


@dataclass(frozen=True)
class StepChart:
    """The chart of one layer. ticks: px and text of some steps; left, right: ends of the field in px."""

    layer: str
    lines: Sequence[DrawnLine]
    ticks: Sequence[tuple[float, str]]
    y: Axis
    width: int = LEFT + WIDTH + RIGHT
    height: int = TOP + HEIGHT + BELOW
    left: int = LEFT
    right: int = LEFT + WIDTH


@dataclass(frozen=True)
class StepFigure:
    """The charts of one atlas. counts: how many things its means are of, in words."""

    name: str
    title: str
    counts: str
    charts: Sequence[StepChart]


def step_chart(layer: str, steps: Sequence[str], lines: Sequence[StepLine]) -> StepChart:
    """steps: names along the horizontal axis."""
    known = [mean for line in lines for mean in line.means if mean is not None]
    levels = [line.level for line in lines if line.level is not None]
    lowest = min([*levels, *(mean.low for mean in known)], default=0.0)
    y = Axis.around((max(-1.0, lowest), 1.0), "ρ").along(TOP + HEIGHT, TOP)
    apart = max(1, len(steps) - 1)
    x = [LEFT + WIDTH * number / apart for number in range(len(steps))]
    named = list(zip(x, steps, strict=True))
    few = named if len(named) <= FITTING else [named[0], named[len(named) // 2], named[-1]]
    return StepChart(layer, [_drawn(line, x, y) for line in lines], [(px(at), text) for at, text in few], y)


def _drawn(line: StepLine, x: Sequence[float], y: Axis) -> DrawnLine:
    known = [(px(at), mean) for at, mean in zip(x, line.means, strict=True) if mean is not None]
    points = "L".join(f"{at} {y(mean.mean)}" for at, mean in known)
    bars = "".join(
        f"M{at} {y(max(-1.0, mean.low))}V{y(min(1.0, mean.high))}"
        for at, mean in known
        if mean.high > mean.low
    )
    level = None if line.level is None else y(line.level)
    return DrawnLine(line.name, line.style, f"M{points}" if points else "", bars, level, line.text)

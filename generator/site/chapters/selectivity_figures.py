"""The figures of the chapter *Selectivity*: means along the network, and entropies above a rising threshold."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo
from generator.site.figures.axis import Axis, Tick, px
from generator.site.formats import round_number
from generator.site.reading.atlas import Atlas
from generator.site.reading.class_report import Band, ClassReport, Entropies

KINDS = {"class": "classes", "group": "groups"}
NAME_HEIGHT, LOWEST_NAME = 13, 178  # px, of the names at the ends of curves


@dataclass(frozen=True)
class Dot:
    """The mean of a layer's channels; x, y in px; low, high: the ends of its interval, in px; directions: the mean of
    random directions, in px; value, directions_value: the two means."""

    layer: str
    stage: int
    x: float
    y: float
    low: float | None
    high: float | None
    directions: float | None
    value: float
    directions_value: float | None


@dataclass(frozen=True)
class ChanceBand:
    """What chance gives, in px."""

    top: float
    height: float


@dataclass(frozen=True)
class Profile:
    """How a mean over channels moves along the network. firsts: the first dot of each stage; paths, direction_paths:
    one per stage."""

    dots: Sequence[Dot]
    firsts: Sequence[Dot]
    paths: Sequence[str]
    direction_paths: Sequence[str]
    chance: ChanceBand | None
    ticks: Sequence[Tick]


def profile(report: ClassReport, key: str, blocks: Sequence[LayerInfo]) -> Profile | None:
    """The profile of a measure; None where fewer than two blocks have it."""
    band = report.chance.get(key)
    known = [
        (place, block, measure)
        for place, block in enumerate(blocks)
        if (measure := report.measure(block.name, key)) is not None and measure.mean is not None
    ]
    if len(known) < 2:
        return None
    values = [measure.mean for _, _, measure in known if measure.mean is not None]
    values += [measure.directions_mean for _, _, measure in known if measure.directions_mean is not None]
    values += [] if band is None else [band.low, band.high]
    across = Axis(0, max(1, len(blocks) - 1), start=44, end=356)
    up = Axis.around(values, start=148, end=12)
    dots = []
    for place, block, measure in known:
        mean = measure.mean or 0.0
        low, high = (None, None) if measure.error is None else report.interval(mean, measure.error)
        directions = measure.directions_mean
        dots.append(
            Dot(
                layer=block.name,
                stage=block.stage,
                x=across(place),
                y=up(mean),
                low=None if low is None else up(low),
                high=None if high is None else up(high),
                directions=None if directions is None else up(directions),
                value=mean,
                directions_value=directions,
            )
        )
    stages = [list(group) for _, group in itertools.groupby(dots, key=lambda dot: dot.stage)]
    return Profile(
        dots,
        [stage[0] for stage in stages],
        [_path([(dot.x, dot.y) for dot in stage]) for stage in stages],
        [_path([(dot.x, dot.directions) for dot in stage if dot.directions is not None]) for stage in stages],
        _chance(band, up),
        up.ticks,
    )


def _chance(band: Band | None, up: Axis) -> ChanceBand | None:
    return None if band is None else ChanceBand(up(band.high), px(up(band.low) - up(band.high)))


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x} {y}" for x, y in points) if points else ""


@dataclass(frozen=True)
class Curve:
    """The mean entropy of a block's channels; x and y of its name in px; depth: its place in the stage, 1 to 6."""

    layer: str
    path: str
    x: float
    y: float
    depth: int


@dataclass(frozen=True)
class StageCurves:
    """The blocks of a stage; by_chance, directions: paths of as many random pictures, and of the random directions of
    the last block, '' where they are not known."""

    stage: int
    curves: Sequence[Curve]
    by_chance: str
    directions: str


@dataclass(frozen=True)
class EntropyCurves:
    """Entropy of the `labels` (classes or groups) above a rising threshold, by stage. from_chance: whether it is drawn
    less that of as many random pictures, from which it differs little where few pictures pass."""

    labels: str
    from_chance: bool
    stages: Sequence[StageCurves]
    across: Sequence[Tick]
    up: Sequence[Tick]


def entropy_curves(atlas: Atlas, report: ClassReport) -> EntropyCurves | None:
    """Of classes; of groups where no block has entropies of classes; None where none has either."""
    for kind, labels in KINDS.items():
        means = {}
        for block in atlas.blocks:
            layer = report.layers.get(block.name)
            curves = None if layer is None else layer.entropies.get(kind)
            if curves is not None and curves.channels is not None:
                means[block.name] = curves
        if means:
            return _entropy_curves(atlas, labels, report.kept_shares, means)
    return None


def _entropy_curves(
    atlas: Atlas, labels: str, shares: Sequence[float], means: Mapping[str, Entropies]
) -> EntropyCurves:
    across = Axis(0, len(shares) - 1, start=40, end=250)
    from_chance = all(curves.by_chance is not None for curves in means.values())

    def shown(curves: Entropies, values: Sequence[float] | None) -> list[float]:
        chance = curves.by_chance if from_chance else None
        return [
            value - level for value, level in zip(values or (), chance or [0.0] * len(shares), strict=False)
        ]

    drawn = [
        value
        for curves in means.values()
        for values in (curves.channels, curves.by_chance, curves.directions)
        for value in shown(curves, values)
    ]
    up = Axis.around(drawn, zero=True, start=170, end=12)

    def path(curves: Entropies, values: Sequence[float] | None) -> str:
        return _path([(across(place), up(value)) for place, value in enumerate(shown(curves, values))])

    stages = []
    for stage in dict.fromkeys(block.stage for block in atlas.blocks):
        blocks = [block.name for block in atlas.stage_blocks(stage) if block.name in means]
        if not blocks:
            continue
        ends = [(shown(means[name], means[name].channels) or [0.0])[-1] for name in blocks]
        heights = _apart([up(end) for end in ends], NAME_HEIGHT)
        curves = [
            Curve(
                layer=name,
                path=path(means[name], means[name].channels),
                x=across(len(shares) - 1) + 4,
                y=height + 4,
                depth=1 + round(5 * (number + 1) / len(blocks)),
            )
            for number, (name, height) in enumerate(zip(blocks, heights, strict=True))
        ]
        last = means[blocks[-1]]
        stages.append(StageCurves(stage, curves, path(last, last.by_chance), path(last, last.directions)))
    ticks = [Tick(across(number), round_number(100 * share)) for number, share in enumerate(shares)]
    return EntropyCurves(labels, from_chance, stages, ticks, up.ticks)


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """The heights moved so that neighbours are at least `least` apart, in their order, and none is too low."""
    order = sorted(range(len(heights)), key=lambda n: heights[n])
    moved = list(heights)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    excess = max([0.0, *(height - LOWEST_NAME for height in moved)])
    return [round(height - excess, 1) for height in moved]

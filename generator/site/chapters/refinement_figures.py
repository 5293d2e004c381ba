"""The figures of the chapter *Refinement*: bars by pair of blocks, profiles along the network, entropy curves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.figures.axis import Axis, Tick
from generator.site.formats import round_number
from generator.site.reading.atlas import Atlas
from generator.site.reading.measures import BY_KEY
from generator.site.reading.refinement import KINDS, Comparison, Kind


@dataclass(frozen=True)
class Sorting:
    """How the channels of a layer are sorted on the page that a part of a bar leads to. up: lowest first."""

    measure: str
    up: bool
    words: str


SORTINGS: Mapping[Kind, Sorting] = {
    "refine": Sorting("gain_previous", False, "agreement gained, highest first"),
    "unclear": Sorting("overlap5_previous", False, "highest 5 % kept, most first"),
    "blur": Sorting("gain_previous", True, "agreement gained, lowest first"),
    "other": Sorting("overlap5_previous", True, "highest 5 % kept, fewest first"),
}
BAR, ROW = 480.0, 22  # px: length of a bar, height of its row
PROFILES = {
    "label_agreement": "label agreement of the top-9",
    "class_auroc": "AUROC of the best class",
    "group_auroc": "AUROC of the best group",
    "shared_previous": "pictures kept of nine",
}
ENTROPIES = {"class_entropy": "classes", "group_entropy": "groups"}
NAME_HEIGHT, LOWEST_NAME = 13, 178  # px, of the names at the ends of curves


@dataclass(frozen=True)
class Part:
    """The channels of one kind; x and width in px."""

    kind: Kind
    count: int
    x: float
    width: float
    sorting: Sorting


@dataclass(frozen=True)
class Bar:
    """A pair of blocks; y in px."""

    pair: Comparison
    y: int
    parts: Sequence[Part]


@dataclass(frozen=True)
class Bars:
    rows: Sequence[Bar]
    width: float
    height: int


def bars(pairs: Sequence[Comparison]) -> Bars:
    """A bar per pair; the widths of its parts are the shares of its channels."""
    rows = [Bar(pair, number * ROW, _parts(pair)) for number, pair in enumerate(pairs)]
    return Bars(rows, BAR, len(rows) * ROW)


def _parts(pair: Comparison) -> list[Part]:
    parts, start = [], 0.0
    counts = pair.counts
    total = max(1, sum(counts.values()))
    for kind in KINDS:
        width = BAR * counts[kind] / total
        parts.append(Part(kind, counts[kind], round(start, 1), round(width, 1), SORTINGS[kind]))
        start += width
    return parts


@dataclass(frozen=True)
class ProfileDot:
    """The mean of a block; x and y in px."""

    layer: str
    stage: int
    x: float
    y: float
    value: float


@dataclass(frozen=True)
class Profile:
    """How a mean over channels moves along the network. firsts: the first dot of each stage; paths: one per stage."""

    name: str
    dots: Sequence[ProfileDot]
    firsts: Sequence[ProfileDot]
    paths: Sequence[str]
    ticks: Sequence[Tick]


def profiles(atlas: Atlas) -> list[Profile]:
    """A profile for each measure that at least two blocks have."""
    return [profile for key, name in PROFILES.items() if (profile := _profile(atlas, key, name)) is not None]


def _profile(atlas: Atlas, key: str, name: str) -> Profile | None:
    means = [(block, _mean(atlas, block.name, key)) for block in atlas.blocks]
    known = [mean for _, mean in means if mean is not None]
    if len(known) < 2:
        return None
    across = Axis(0, max(1, len(means) - 1), start=44, end=356)
    up = Axis.around(known, zero=True, start=148, end=12)
    dots = [
        ProfileDot(block.name, block.stage, across(number), up(mean), mean)
        for number, (block, mean) in enumerate(means)
        if mean is not None
    ]
    stages = [list(group) for _, group in itertools.groupby(dots, key=lambda dot: dot.stage)]
    paths = ["M" + "L".join(f"{dot.x} {dot.y}" for dot in stage) for stage in stages]
    return Profile(name, dots, [stage[0] for stage in stages], paths, up.ticks)


def _mean(atlas: Atlas, layer: str, key: str) -> float | None:
    """Over the active channels that have a value."""
    values = atlas.layer(layer).arrays.get(key)
    if values is None:
        return None
    known = values[BY_KEY[key].present(values) & ~np.array(atlas.layer(layer).dead)]
    return float(known.mean()) if known.size else None


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
    stage: int
    curves: Sequence[Curve]


@dataclass(frozen=True)
class EntropyCurves:
    """Entropy of the `labels` (classes or groups) above a rising threshold, by stage."""

    labels: str
    stages: Sequence[StageCurves]
    across: Sequence[Tick]
    up: Sequence[Tick]


def entropy_curves(atlas: Atlas) -> EntropyCurves | None:
    """Of classes; of groups where no block has entropies of classes; None where none has either."""
    shares = atlas.relations.kept_shares if atlas.relations else ()
    for key, labels in ENTROPIES.items():
        curves = ((block.name, _mean_curve(atlas, block.name, key, len(shares))) for block in atlas.blocks)
        means = {name: values for name, values in curves if values is not None}
        if means:
            return _entropy_curves(atlas, labels, shares, means)
    return None


def _entropy_curves(
    atlas: Atlas, labels: str, shares: Sequence[float], means: Mapping[str, np.ndarray]
) -> EntropyCurves:
    across = Axis(0, len(shares) - 1, start=40, end=250)
    up = Axis.around([value for values in means.values() for value in values], zero=True, start=170, end=12)
    stages = []
    for stage in dict.fromkeys(block.stage for block in atlas.blocks):
        blocks = [block.name for block in atlas.stage_blocks(stage) if block.name in means]
        heights = _apart([up(float(means[name][-1])) for name in blocks], NAME_HEIGHT)
        curves = [
            Curve(
                layer=name,
                path="M" + "L".join(f"{across(n)} {up(float(value))}" for n, value in enumerate(means[name])),
                x=across(len(shares) - 1) + 4,
                y=height + 4,
                depth=1 + round(5 * (number + 1) / len(blocks)),
            )
            for number, (name, height) in enumerate(zip(blocks, heights, strict=True))
        ]
        if curves:
            stages.append(StageCurves(stage, curves))
    ticks = [Tick(across(number), round_number(100 * share)) for number, share in enumerate(shares)]
    return EntropyCurves(labels, stages, ticks, up.ticks)


def _mean_curve(atlas: Atlas, layer: str, key: str, steps: int) -> np.ndarray | None:
    """(steps,): mean over the channels whose entropies are all known."""
    values = atlas.layer(layer).arrays.get(key)
    if values is None or values.ndim != 2 or values.shape[1] != steps:
        return None
    known = values[np.isfinite(values).all(axis=1)]
    return known.mean(axis=0) if len(known) else None


def _apart(heights: Sequence[float], least: float) -> list[float]:
    """The heights moved so that neighbours are at least `least` apart, in their order, and none is too low."""
    order = sorted(range(len(heights)), key=lambda n: heights[n])
    moved = list(heights)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    excess = max([0.0, *(height - LOWEST_NAME for height in moved)])
    return [round(height - excess, 1) for height in moved]

"""The whole range of a channel on its page: the histogram of its scores, and strips of nine pictures along them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from generator.core.records import LayerInfo
from generator.site.formats import correlation, in_words, percent, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_numbers import Layer

WIDTH, HEIGHT = 320, 64  # of the histogram in px
MARGIN = 14  # px at both of its sides, for the texts of the outer ticks
BELOW = 34  # px below the bars, for the ticks and the axis's name
MOST_TICKS = 5
LOWER = 90  # the quantile whose labels are compared with those of the strongest nine


class Tick(NamedTuple):
    """A mark on the histogram's axis: where it lies in px, and its text."""

    position: int
    text: str


@dataclass(frozen=True)
class Strip:
    """Nine pictures at a quantile. name: of the place in the range; low, high: their scores; place: of its middle on
    the histogram's axis in px, None for the strongest nine; agreement: of their labels, None where it is not known;
    labels: the commonest, with how many pictures carry each, of those that more than one carries; pictures: for the
    script, of each picture its number, row and column ('-' for one that is not published); shown by other data where it
    is ''; is_shown: whether a picture is published."""

    name: str
    low: float
    high: float
    place: int | None
    agreement: float | None
    labels: Sequence[tuple[str, int]]
    pictures: str
    is_shown: bool


@dataclass(frozen=True)
class RangeSection:
    """What the section shows. count: of all pictures; inactive: of how many the score is zero or below; view, width,
    height: of the drawing, the height of the bars alone; bars: the histogram as an SVG path, '' where no picture is
    above zero; lines: the strips' places, likewise; ticks: of the axis; sampled: how many pictures can be in the
    strips, None for all; is_cut: whether strips show the units' fields; sentence: on the labels' agreement, ''; sprite:
    of the patches and gradients of the strips' units, '' where these were not pictured; panels: what it shows of each
    strip, one below the other."""

    count: int
    inactive: int
    view: str
    bars: str
    lines: str
    ticks: Sequence[Tick]
    width: int
    height: int
    strips: Sequence[Strip]
    sampled: int | None
    is_cut: bool
    sentence: str
    sprite: str
    panels: Sequence[str]


def range_file(layer: Layer, channel: int) -> str:
    """The picture of a channel's strips with their gradients, in the layer's folder."""
    return f"{channel}-range.{layer.sprite.format}"


def strip_name(quantile: int, count: int) -> str:
    """What a strip of this many pictures is called on the pages.

    >>> strip_name(100, 9), strip_name(100, 4), strip_name(90, 9), strip_name(0, 9)
    ('strongest nine', 'strongest four', '90 % quantile', 'weakest nine')
    """
    ends = {100: "strongest", 0: "weakest"}
    return f"{ends[quantile]} {in_words(count)}" if quantile in ends else f"{quantile} % quantile"


def range_section(atlas: Atlas, info: LayerInfo, channel: int) -> RangeSection | None:
    """None where the atlas has no histogram, and for a dead channel."""
    layer = atlas.layer(info.name)
    counts = layer.arrays.get("histogram")
    if counts is None or layer.dead[channel]:
        return None
    scale = _Scale(counts[channel], layer.arrays["histogram_bins"])
    strips = _strips(atlas, layer, channel, scale)
    return RangeSection(
        count=int(counts[channel].sum()),
        inactive=int(counts[channel, 0]),
        view=f"0 0 {scale.width} {HEIGHT + BELOW}",
        bars=scale.bars(),
        lines="".join(f"M{strip.place} 0v{HEIGHT}" for strip in strips if strip.place is not None),
        ticks=scale.ticks(),
        width=scale.width,
        height=HEIGHT,
        strips=strips,
        sampled=atlas.scored if atlas.scored < len(atlas.pictures) else None,
        is_cut=shows_fields(atlas, info) and any(strip.is_shown for strip in strips),
        sentence=decline_sentence(atlas, layer, channel),
        sprite=range_file(layer, channel) if channel in layer.ranged else "",
        panels=layer.sprite.panels[: 1 + ("patches" in layer.sprite.panels)],
    )


def shows_fields(atlas: Atlas, info: LayerInfo) -> bool:
    """Whether a layer's strips show the units' fields: not where a field is larger than half the picture, where whole
    pictures with the unit's place say more."""
    return 2 * info.receptive_field.side <= min(atlas.input_size)


class _Scale:
    """The axis of a histogram: its bins are equally wide, so the axis is logarithmic."""

    def __init__(self, counts: np.ndarray, bins: np.ndarray) -> None:
        used = 1 + np.flatnonzero(counts[1:])
        chosen = slice(used[0], used[-1] + 1) if used.size else slice(0, 0)
        self._counts, self._bins = counts[chosen].tolist(), bins[chosen].tolist()
        self._step = max(1, (WIDTH - 2 * MARGIN) // max(len(self._counts), 1))
        self.width = 2 * MARGIN + self._step * len(self._counts)

    def bars(self) -> str:
        """The outline of all bars, from left to right."""
        if not self._counts:
            return ""
        highest = max(self._counts)
        # One picture can be seen.
        heights = [max(1, round(HEIGHT * count / highest)) if count else 0 for count in self._counts]
        path, level = f"M{MARGIN} {HEIGHT}", 0
        for height, equal in itertools.groupby(heights):
            path += f"v{level - height}h{self._step * len(list(equal))}"
            level = height
        return f"{path}v{level}z"

    def place(self, value: float) -> int | None:
        """Where an activation lies in px; None beyond the axis."""
        for number, (low, high) in enumerate(self._bins):
            if low <= value < high:
                is_open = low <= 0 or math.isinf(high)
                inside = 0.5 if is_open else math.log(value / low) / math.log(high / low)
                return round(MARGIN + (number + inside) * self._step)
        return None

    def ticks(self) -> list[Tick]:
        """Powers of ten with 2 and 5 times them, as many as there is room for; where that leaves fewer than two, the
        ends of the axis."""
        ends = [value for low, high in self._bins for value in (low, high) if 0 < value < math.inf]
        if not ends:
            return []
        low, high = min(ends), max(ends)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [f * 10.0**power for power in powers for f in factors if low <= f * 10.0**power <= high]
            if len(values) <= MOST_TICKS:
                break
        step = -(-len(values) // MOST_TICKS)
        values = values[::step] if len(values) > 1 else [low, high]
        places = [self.place(value) for value in values]
        if places[-1] is None:  # the upper end belongs to no bin
            places[-1] = self.width - MARGIN
        return [Tick(x, significant(value)) for x, value in zip(places, values, strict=True) if x is not None]


class KnownStrip(NamedTuple):
    """A channel's pictures at a quantile, strongest first, with their scores and the rows and columns of their units;
    agreement: of their labels, None where it is not known."""

    quantile: int
    pictures: Sequence[int]
    values: Sequence[float]
    units: Sequence[tuple[int, int]]
    agreement: float | None


def known_strips(atlas: Atlas, layer: Layer, channel: int) -> Iterator[KnownStrip]:
    """The strips that a channel has; none in an atlas without them, and for a dead channel."""
    images, agreements = layer.arrays.get("strip_image"), layer.arrays.get("strip_agreement")
    if images is None:
        return
    for number, quantile in enumerate(atlas.label_range.quantiles):
        there = np.flatnonzero(images[channel, number] >= 0)
        if there.size:
            pictures, values, units = (
                layer.arrays[f"strip_{name}"][channel, number, there].tolist()
                for name in ("image", "value", "unit")
            )
            agreement = float("nan") if agreements is None else float(agreements[channel, number])
            yield KnownStrip(
                quantile, pictures, values, units, agreement if math.isfinite(agreement) else None
            )


def _strips(atlas: Atlas, layer: Layer, channel: int, scale: _Scale) -> list[Strip]:
    result = []
    for quantile, pictures, values, units, agreement in known_strips(atlas, layer, channel):
        counted = Counter(label for label in map(atlas.picture_labels.__getitem__, pictures) if label)
        result.append(
            Strip(
                name=strip_name(quantile, len(pictures)),
                low=values[-1],
                high=values[0],
                place=None if quantile == 100 else scale.place(values[len(values) // 2]),
                agreement=agreement,
                labels=[(label, count) for label, count in counted.most_common(2) if count > 1],
                pictures=""
                if quantile == 100
                else " ".join(
                    f"{picture},{row},{column}" if picture in atlas.published else "-"
                    for picture, (row, column) in zip(pictures, units, strict=True)
                ),
                is_shown=not atlas.published.isdisjoint(pictures),
            )
        )
    return result


def decline_sentence(atlas: Atlas, layer: Layer, channel: int) -> str:
    """That the labels of the strongest nine agree and those at the 90 % quantile do not, '' where that is not so."""
    chance = atlas.label_range
    falls = layer.arrays.get("agreement_falls")
    if falls is None or not falls[channel] or chance.low is None or chance.high is None:
        return ""
    level = float(layer.arrays["level_90"][channel])
    active = f", where the activation is {percent(level)} % of the top nine's" if math.isfinite(level) else ""
    top, lower = layer.arrays["strip_agreement"][channel, [0, chance.quantiles.index(LOWER)]].tolist()
    return (
        f"Its label agreement falls from {correlation(top)} among the top nine to {correlation(lower)} at the "
        f"{LOWER} % quantile (random nines: {correlation(chance.low)} to {correlation(chance.high)}){active}."
    )


@dataclass(frozen=True)
class LayerRange:
    """How many of a layer's channels have strips at both places and how many decline, and the same of random
    directions of the layer, None where there are none."""

    channels: int
    falls: int
    directions_share: float | None


def layer_range(atlas: Atlas, name: str) -> LayerRange | None:
    """None where the labels say nothing."""
    counts = atlas.label_range.layers.get(name)
    if counts is None or not counts["channels"]:
        return None
    directions = counts["directions"]
    return LayerRange(
        counts["channels"], counts["falls"], counts["directions_fall"] / directions if directions else None
    )

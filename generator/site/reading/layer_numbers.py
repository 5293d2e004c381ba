"""One layer's numbers as the pages need them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from generator.core.records import LayerInfo, SpriteInfo
from generator.site.reading.histogram import histogram
from generator.site.reading.measure import Measure
from generator.site.reading.measures import MEASURES

Number = int | float | None
PLACES = 96  # steps between a layer's lowest and highest value


@dataclass(frozen=True)
class MeasureColumn:
    """A statistic of all channels of a layer. values, present, places: by channel the value, whether there is one, and
    where it lies between the layer's lowest and highest (0 to PLACES); bars: the histogram's heights, in twelfths of
    the highest."""

    measure: Measure
    values: Sequence[float]
    present: Sequence[bool]
    places: Sequence[int]
    bars: Sequence[int]


def dead_channels(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(C,) bool: which of a layer's channels no picture activates."""
    dead: np.ndarray = arrays["dead"].astype(bool) if "dead" in arrays else arrays["top_image"][:, 0] < 0
    return dead


def in_few_digits(values: np.ndarray) -> list[Number]:
    """(C,) numbers, floats in as few digits as give them back; None where there is none (NaN or infinite)."""
    if values.dtype.kind != "f":
        return [int(value) for value in values.tolist()]
    finite = np.isfinite(values).tolist()
    # str of a float32 gives its fewest digits; a double is written by repr.
    texts = map(repr, values.tolist()) if values.dtype == np.float64 else map(str, values)
    return [float(text) if known else None for text, known in zip(texts, finite, strict=True)]


@dataclass
class Layer:
    """One layer's numbers, turned into lists once, because a page is written for every channel of it.

    images, values, units: by channel the nine pictures (−1 where there are fewer), the activations, and the units' rows
    and columns, strongest first; pictured: the channels that have a sprite; ranged: those whose strips have tiles too;
    published: the numbers of the whole pictures that the site shows.
    """

    info: LayerInfo
    sprite: SpriteInfo
    arrays: dict[str, np.ndarray]
    images: list[list[int]] = field(init=False)
    values: list[list[float]] = field(init=False)
    units: list[list[list[int]]] = field(init=False)
    dead: list[bool] = field(init=False)
    pictured: set[int] = field(default_factory=set)
    ranged: set[int] = field(default_factory=set)
    published: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.images = self.arrays["top_image"].tolist()
        self.values = self.arrays["top_value"].tolist()
        self.units = self.arrays["top_unit"].tolist()
        self.dead = dead_channels(self.arrays).tolist()

    @cached_property
    def measures(self) -> list[MeasureColumn]:
        """The listed statistics that at least one channel has."""
        columns = []
        for measure in MEASURES:
            values = self.arrays.get(measure.key)
            if not measure.listed or values is None or values.shape != (self.info.channels,):
                continue
            present = measure.present(values) & ~np.array(self.dead)
            if not present.any():
                continue
            low, high, bars = histogram(values, present)
            shares = np.clip(np.nan_to_num((values - low) / ((high - low) or 1.0)), 0, 1)
            places = (shares * PLACES).round().astype(int).tolist()
            columns.append(MeasureColumn(measure, values.tolist(), present.tolist(), places, bars))
        return columns

    @cached_property
    def numbers(self) -> dict[str, list[Number]]:
        """By name every array of one number per channel: the columns of channels.csv. Floats in as few digits as give
        the float32 back; None where there is no number."""
        return {
            name: in_few_digits(values)
            for name, values in sorted(self.arrays.items())
            if values.shape == (self.info.channels,)
        }

    @cached_property
    def tops(self) -> list[list[tuple[int, float, int, int]]]:
        """By channel its nine pictures, strongest first: picture, value to three digits, row, column."""
        return [
            [
                (image, float(f"{value:.3g}"), row, column)
                for image, value, (row, column) in zip(*nine, strict=True)
                if image >= 0
            ]
            for nine in zip(self.images, self.values, self.units, strict=True)
        ]

    @cached_property
    def correlations(self) -> list[float | None]:
        """By channel the rank correlation with the block before, None where there is none."""
        values = self.arrays.get("spearman_previous")
        if values is None:
            return [None] * self.info.channels
        return [value if math.isfinite(value) else None for value in values.tolist()]

    def has_tiles(self, channel: int) -> bool:
        """Whether the channel is active and has a sprite."""
        return channel in self.pictured and not self.dead[channel]

    @cached_property
    def _focus(self) -> list[list[list[int]]] | None:
        focus = self.arrays.get("top_focus")
        return None if focus is None else focus.tolist()

    def focus_of(self, channel: int) -> list[list[int]]:
        """Of the channel's nine pictures the row, column and side in px of the square to which the tiles are cut; a
        side of zero where they are not."""
        return [[0, 0, 0]] * len(self.images[channel]) if self._focus is None else self._focus[channel]

    def is_whole(self, channel: int) -> bool:
        """Whether whole pictures stand in place of the channel's tiles: it has no sprite."""
        if self.dead[channel] or channel in self.pictured:
            return False
        return not self.published.isdisjoint(self.images[channel])

    def absence(self, channel: int) -> str:
        """Why the channel shows neither tiles nor whole pictures, or ''."""
        if self.dead[channel]:
            return "dead on these pictures"
        shown = self.has_tiles(channel) or self.is_whole(channel)
        return "" if shown else "not pictured in this atlas"

    def nine(self, channel: int) -> list[int]:
        """The numbers of the channel's nine pictures, strongest first."""
        return [image for image in self.images[channel] if image >= 0]

    def shared_with(self, other: Layer) -> list[int]:
        """For every channel: how many of its top-9 pictures are also top-9 pictures of the same channel of `other`."""
        mine, theirs = self.arrays["top_image"], other.arrays["top_image"]
        count = min(len(mine), len(theirs))
        same = (mine[:count, :, None] == theirs[:count, None, :]) & (mine[:count] >= 0)[:, :, None]
        return [int(value) for value in same.sum((1, 2))]

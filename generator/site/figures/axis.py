"""The axis of a figure: which values it spans, where they lie in px, and what its ticks say.

Every figure of the site places its values with `Axis` and writes its coordinates with `px`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from generator.site.formats import round_number

MARGIN = 0.04  # of the span, beyond the outermost values of an axis without round ends
EQUAL = 1e-9  # a span below this is rounding error: round ends would meet


class Tick(NamedTuple):
    """A mark on an axis: where it lies in px, and its text."""

    position: float
    text: str


def px(value: float) -> float:
    """A coordinate to a tenth of a pixel; a whole number as int, so that every template writes it in its shortest form.

    >>> px(12.04), px(12.06)
    (12, 12.1)
    """
    rounded = round(float(value), 1)
    return int(rounded) if rounded.is_integer() else rounded


def round_step(span: float, about: int = 5) -> float:
    """1, 2 or 5 times a power of ten, so that a span holds about `about` of them (at most 1.3 times as many)."""
    power = 10.0 ** math.floor(math.log10(span / about))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= about * 1.3)


def round_values(low: float, high: float, about: int = 5) -> list[float]:
    """About `about` round values from low to high.

    >>> round_values(0, 5), round_values(-0.3, 0.82)
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8])
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low] if math.isfinite(low) else []
    step = round_step(span, about)
    first, last = math.ceil(low / step - EQUAL), math.floor(high / step + EQUAL)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def round_ends(low: float, high: float, about: int = 5) -> tuple[float, float]:
    """The narrowest range with round ends that holds low and high.

    >>> round_ends(0.3, 9.1)
    (0.0, 10.0)
    """
    step = round_step((high - low) or 1.0, about)
    return (
        round(math.floor(low / step + EQUAL) * step, 12) + 0.0,
        round(math.ceil(high / step - EQUAL) * step, 12) + 0.0,
    )


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` lie from `start` to `end` px; on an upward axis `end` is the smaller.

    label: written along the axis; marks: the values that get a tick, with their texts (None: round values); whole: of
    round values only whole numbers get a tick; text: how a round value is written.
    """

    low: float
    high: float
    label: str = ""
    marks: Sequence[tuple[float, str]] | None = None
    start: float = 0.0
    end: float = 1.0
    whole: bool = False
    text: Callable[[float], str] = round_number

    @classmethod
    def around(
        cls,
        values: Iterable[float],
        label: str = "",
        *,
        zero: bool = False,
        start: float = 0.0,
        end: float = 1.0,
    ) -> Axis:
        """An axis with round ends that holds the values, and zero if `zero` is set."""
        known = list(values)
        low, high = min(known, default=0.0), max(known, default=1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if high - low < EQUAL:
            high = low + 1
        return cls(*round_ends(low, high), label, start=start, end=end)

    @classmethod
    def over(cls, values: Iterable[float], label: str, *, include: float | None = None) -> Axis:
        """An axis that holds all finite values and `include`, with a small margin at both ends."""
        known = [value for value in values if math.isfinite(value)]
        known += [] if include is None else [include]
        low, high = (min(known), max(known)) if known else (0.0, 1.0)
        margin = MARGIN * ((high - low) or abs(high) or 1.0)
        return cls(low - margin, high + margin, label)

    def along(self, start: float, end: float) -> Axis:
        """The same axis from `start` to `end` px."""
        return dataclasses.replace(self, start=start, end=end)

    def __call__(self, value: float) -> float:
        """px; a value beyond the axis lies at its end."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return px(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start))

    @property
    def middle(self) -> float:
        return px((self.start + self.end) / 2)

    @property
    def ticks(self) -> list[Tick]:
        """The marks, or else round values; with their texts."""
        marks = self.marks
        if marks is None:
            values = round_values(self.low, self.high)
            marks = [(value, self.text(value)) for value in values if not self.whole or value == round(value)]
        return [Tick(self(value), text) for value, text in marks]

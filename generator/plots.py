"""Where things stand in a figure: scales and their ticks. The figures themselves are SVG in the templates."""

from __future__ import annotations

import math
from dataclasses import dataclass

from generator.measures import significant


@dataclass(frozen=True)
class Scale:
    """Maps low … high to start … end px."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: list[float], start: float, end: float, *, zero: bool = True) -> Scale:
        """A scale that holds the values, ends on round numbers and, if asked to, holds zero."""
        low, high = min(values, default=0.0), max(values, default=1.0)
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            high = low + 1
        step = _step(high - low)
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, start, end)

    def __call__(self, value: float) -> float:
        """px, to a tenth; a value beyond the scale stands at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(px, text) at round numbers."""
        step = _step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(self(n * step), significant(round(n * step, 9))) for n in range(first, last + 1)]


def _step(length: float) -> float:
    """A round step that divides a length into four to nine parts."""
    power = 10.0 ** math.floor(math.log10(length))
    return next(power * part for part in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if length / (power * part) <= 9)

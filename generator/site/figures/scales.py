"""Where things stand in a figure: scales and their ticks. The figures themselves are SVG in the templates."""

from __future__ import annotations

from dataclasses import dataclass

from generator.site.figures.ticks import round_ends, ticks
from generator.site.reading.measures import significant


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
        if high - low < 1e-9:  # all but equal: what is left is rounding, and round ends would meet
            high = low + 1
        return cls(*round_ends(low, high), start, end)

    def __call__(self, value: float) -> float:
        """px, to a tenth; a value beyond the scale stands at its end."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + min(max(share, 0.0), 1.0) * (self.end - self.start), 1)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """(px, text) at round numbers."""
        return [(self(value), significant(value)) for value in ticks(self.low, self.high)]

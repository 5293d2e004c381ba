"""A number with its interval over pictures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval of 95 %; None for an end that there is not."""

    value: float
    low: float | None = None
    high: float | None = None

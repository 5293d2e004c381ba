"""Round numbers along an axis."""

from __future__ import annotations

import math


def round_step(span: float, about: int = 5) -> float:
    """1, 2 or 5 times a power of ten, so that a span holds about so many of them (at most 1.3 times as many)."""
    power = 10.0 ** math.floor(math.log10(span / about))
    return next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= about * 1.3)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values from low to high, about so many.

    >>> ticks(0, 5), ticks(-0.3, 0.82, 4)
    ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [-0.2, 0.0, 0.2, 0.4, 0.6, 0.8])
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low] if math.isfinite(low) else []
    step = round_step(span, about)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(n * step, 12) + 0.0 for n in range(first, last + 1)]


def round_ends(low: float, high: float, about: int = 5) -> tuple[float, float]:
    """The narrowest range with round ends that holds low and high.

    >>> round_ends(0.3, 9.1)
    (0.0, 10.0)
    """
    step = round_step((high - low) or 1.0, about)
    return (
        round(math.floor(low / step + 1e-9) * step, 12) + 0.0,
        round(math.ceil(high / step - 1e-9) * step, 12) + 0.0,
    )

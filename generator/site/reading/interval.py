"""A number with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval of 95 % over pictures; None for an end that there is not."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95 % interval. count: things that it is of."""

    mean: float
    low: float
    high: float
    count: int


def mean_from_json(found: Mapping[str, Any]) -> MeanInterval | None:
    """None where too few things had a value."""
    if found["mean"] is None:
        return None
    return MeanInterval(float(found["mean"]), float(found["low"]), float(found["high"]), int(found["count"]))

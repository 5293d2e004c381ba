"""Means of a few values with their intervals by Student's t."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from scipy.stats import t

LEAST = 3  # with fewer values there is no interval


@dataclass(frozen=True)
class Mean:
    """A mean over units with its 95 % interval by Student's t. count: units; NaN where too few are there."""

    mean: float
    low: float
    high: float
    count: int

    def known(self) -> dict[str, float | None]:
        """Its fields by name, None for NaN, as JSON has them."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


def mean_of(values: np.ndarray, bound: float = 1.0) -> Mean:
    """The mean of values (U,), of which NaN do not count. bound: no value can lie further from zero, and so no end of
    the interval does."""
    known = values[np.isfinite(values)]
    if len(known) < LEAST:
        nan = float("nan")
        return Mean(nan, nan, nan, len(known))
    middle = float(known.mean())
    reach = float(t.ppf(0.975, len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5)
    return Mean(middle, max(-bound, middle - reach), min(bound, middle + reach), len(known))

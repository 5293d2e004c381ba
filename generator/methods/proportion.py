"""The interval of a proportion: Wilson 1927, Journal of the American Statistical Association 22."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson_interval(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The proportions p that a score test does not reject: |hits / trials − p| ≤ z √(p (1 − p) / trials), with the
    normal quantile z of the confidence. The trials are taken as independent."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = hits / trials, z * z / trials
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(weight * share * (1 - share) + weight * weight / 4) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)

"""How far a mean rank correlation would move with other pictures: its standard error by the infinitesimal jackknife.

Each picture's influence on the correlation is computed in closed form: by its own two ranks, and by the ranks of all
other pictures, which it shifts (Hampel 1974, Journal of the American Statistical Association 69). The influence on a
mean over channels is the mean of the influences, so channels need not be independent. The shift of the vectors that a
partial correlation leaves out is not counted; coverage on drawn pictures is as for ρ (tests/test_matching.py).
"""

from __future__ import annotations

import numpy as np

from generator.core.ordering import TiedOrder

STEP = 128  # channels at a time


def mean_error(
    ranks: np.ndarray, left: np.ndarray, other: np.ndarray, right: np.ndarray
) -> tuple[float, float]:
    """The mean over channels of the correlations of equal columns, and its standard error over pictures.

    ranks, other: (N, C) centred ranks of both layers; left, right: (N, C) what is correlated: these ranks, or what a
    regression leaves of them. Channels in which one of them is constant are left out; NaN where none remains.
    """
    count = len(ranks)
    influence, total, channels = np.zeros(count), 0.0, 0
    for first in range(0, ranks.shape[1], STEP):
        part = slice(first, first + STEP)
        known = left[:, part].any(axis=0) & right[:, part].any(axis=0)
        x, y = ranks[:, part][:, known], other[:, part][:, known]
        one, two = (_unit(values[:, part][:, known]) for values in (left, right))
        rho = (one * two).sum(axis=0)
        x_order, y_order = TiedOrder.of(x), TiedOrder.of(y)
        # By how much the correlated values rise where a rank rises by one.
        x_slope, y_slope = 2 / (one * x).sum(axis=0), 2 / (two * y).sum(axis=0)
        crossed = one * two + x_slope * x_order.above(two) + y_slope * y_order.above(one)
        own = one * one + 2 * x_slope * x_order.above(one)
        theirs = two * two + 2 * y_slope * y_order.above(two)
        influence += (crossed - rho / 2 * (own + theirs)).sum(axis=1)
        total, channels = total + float(rho.sum()), channels + int(known.sum())
    if not channels:
        return float("nan"), float("nan")
    influence -= influence.mean()
    return total / channels, float(np.sqrt((influence**2).sum())) / channels


def _unit(values: np.ndarray) -> np.ndarray:
    """Columns of length 1, float64."""
    scaled = values.astype(np.float64)
    scaled /= np.sqrt((scaled * scaled).sum(axis=0))
    return scaled

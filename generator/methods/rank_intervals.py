"""How far a mean rank correlation would move with other pictures: its standard error by the infinitesimal jackknife.

Each picture's influence on the correlation is computed in closed form: by its own two ranks, and by the ranks of all
other pictures, which it shifts (Hampel 1974, Journal of the American Statistical Association 69). The influence on a
mean over channels is the mean of the influences, so channels need not be independent. The shift of the vectors that a
partial correlation leaves out is not counted; coverage on drawn pictures is as for ρ (tests/test_matching.py).
"""

from __future__ import annotations

import numpy as np

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
        x_order, y_order = _Order.of(x), _Order.of(y)
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


class _Order:
    """The order of each column of ranks, and where groups of equal ranks begin and end in it; (N, C) each."""

    def __init__(self, order: np.ndarray, start: np.ndarray, end: np.ndarray) -> None:
        self._order, self._start, self._end = order, start, end

    @classmethod
    def of(cls, ranks: np.ndarray) -> _Order:
        order = np.argsort(ranks, axis=0, kind="stable")
        ordered = np.take_along_axis(ranks, order, 0)
        count = len(ranks)
        rows = np.arange(count)[:, None]
        new = np.ones(ranks.shape, bool)
        new[1:] = ordered[1:] != ordered[:-1]
        start = np.maximum.accumulate(np.where(new, rows, 0), axis=0)
        last = np.ones(ranks.shape, bool)
        last[:-1] = new[1:]
        end = np.minimum.accumulate(np.where(last, rows + 1, count)[::-1], axis=0)[::-1]
        return cls(order, start, end)

    def above(self, values: np.ndarray) -> np.ndarray:
        """By row, the sum of the values of all rows of higher rank, those of equal rank counted half."""
        ordered = np.take_along_axis(values, self._order, 0)
        sums = np.zeros((len(values) + 1, values.shape[1]))
        sums[:-1] = np.cumsum(ordered[::-1], axis=0)[::-1]
        halves = (np.take_along_axis(sums, self._start, 0) + np.take_along_axis(sums, self._end, 0)) / 2
        result = np.empty_like(halves)
        np.put_along_axis(result, self._order, halves, 0)
        return result

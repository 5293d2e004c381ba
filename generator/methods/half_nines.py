"""What the statistics of nine pictures would be if only half of the pictures were there, each twice.

Of a half, nine places take the channel's five strongest pictures there: four of them twice, the fifth once. Pairs are
those of different pictures. `resampling` says how intervals and reliability follow from the two halves.
"""

from __future__ import annotations

import numpy as np

from generator.core.records import TOP

TIMES = 2  # each picture of a half
FIVE = -(-TOP // TIMES)
WEIGHTS = np.minimum(TOP - TIMES * np.arange(FIVE), TIMES)  # 2, 2, 2, 2, 1
_ONE, _OTHER = np.triu_indices(FIVE, 1)
_PAIRS = WEIGHTS[_ONE] * WEIGHTS[_OTHER]


def five_of_half(order: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The strongest pictures of a half; order: (C, D) pictures from the strongest down, −1 for none; member: (N,) bool.
    Returns (C, 5), −1 throughout where the ranking has fewer of this half."""
    inside = member[order] & (order >= 0)
    place = np.cumsum(inside, axis=1, dtype=np.int16)
    full = place[:, -1] >= FIVE
    result = np.full((len(order), FIVE), -1, order.dtype)
    result[full] = order[full][inside[full] & (place[full] <= FIVE)].reshape(-1, FIVE)
    return result


def half_similarity(five: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """(C,): the mean similarity of the pairs of different pictures; five: (C, 5) rows of similarity (K, K), −1 where
    there is none."""
    pairs = similarity[five[:, _ONE], five[:, _OTHER]]
    mean = (pairs.astype(np.float64) * _PAIRS).sum(axis=1) / _PAIRS.sum()
    return np.where((five >= 0).all(axis=1), mean, np.nan)


def half_purity(five: np.ndarray) -> np.ndarray:
    """(C,): the share of the commonest class among the nine places; five: (C, 5) classes."""
    share = ((five[:, :, None] == five[:, None, :]) * WEIGHTS).sum(axis=2).max(axis=1) / TOP
    return np.where((five >= 0).all(axis=1), share, np.nan)


def half_entropy(five: np.ndarray) -> np.ndarray:
    """(C,): the entropy of the classes in the nine places, in bits; five: (C, 5) classes."""
    share = ((five[:, :, None] == five[:, None, :]) * WEIGHTS).sum(axis=2) / TOP
    bits = -(np.log2(share) * WEIGHTS).sum(axis=1) / TOP
    return np.where((five >= 0).all(axis=1), np.abs(bits), np.nan)


def widened_error(error: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """The standard error of an agreement of nine pictures: that of the halves, and what one of the nine more or less
    changes. A picture takes part in 8 of 36 pairs; a step of s adds s² / 12 (Sheppard). Without it the interval of nine
    pictures of one class, which all halves repeat, would have no width. Shape of both: (C,)."""
    step = (TOP - 1) / (TOP * (TOP - 1) / 2) * agreement
    result: np.ndarray = np.sqrt(error**2 + step**2 / 12)
    return result

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


def first_of_half(order: np.ndarray, member: np.ndarray, count: int = FIVE) -> np.ndarray:
    """The strongest pictures of a half; order: (C, D) pictures from the strongest down, −1 for none; member: (N,) bool.
    Returns (C, count), −1 throughout where the ranking has fewer of this half."""
    inside = member[order] & (order >= 0)
    place = np.cumsum(inside, axis=1, dtype=np.int16)
    full = place[:, -1] >= count
    result = np.full((len(order), count), -1, order.dtype)
    result[full] = order[full][inside[full] & (place[full] <= count)].reshape(-1, count)
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


def kept_on_halves(
    order: np.ndarray,
    other: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray],
    slots_of_other: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """How many of nine places the equal rows of two rankings share on each half, (P, C) float64 each: of a picture the
    fewer of the places that it takes in the two.

    order, other: (C, D) pictures; slots, slots_of_other: of both halves, (P, C, D), from `resampling.both_halves`."""
    same = (order[:, :, None] == other[:, None, :]) & (order[:, :, None] >= 0)  # (C, D, D)
    present, place = same.any(axis=2)[None], same.argmax(axis=2)[None]  # (1, C, D): in the other list

    def count(mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        there = np.where(present, np.take_along_axis(theirs, np.broadcast_to(place, theirs.shape), 2), 0)
        return np.minimum(mine, there).sum(axis=2).astype(np.float64)

    return count(slots[0], slots_of_other[0]), count(slots[1], slots_of_other[1])


def widened_error(error: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """The standard error of an agreement of nine pictures: that of the halves, and what one of the nine more or less
    changes. A picture takes part in 8 of 36 pairs; a step of s adds s² / 12 (Sheppard). Without it the interval of nine
    pictures of one class, which all halves repeat, would have no width. Shape of both: (C,)."""
    step = (TOP - 1) / (TOP * (TOP - 1) / 2) * agreement
    result: np.ndarray = np.sqrt(error**2 + step**2 / 12)
    return result

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


def half_similarity(five: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """(…): the mean similarity of the pairs of different pictures; five: (…, 5) rows of similarity (K, K), −1 where
    there is none."""
    pairs = similarity[five[..., _ONE], five[..., _OTHER]]
    mean = (pairs.astype(np.float64) * _PAIRS).sum(axis=-1) / _PAIRS.sum()
    return np.where((five >= 0).all(axis=-1), mean, np.nan)


def half_purity(five: np.ndarray) -> np.ndarray:
    """(…): the share of the commonest class among the nine places; five: (…, 5) classes."""
    return np.where((five >= 0).all(axis=-1), _places(five).max(axis=0) / TOP, np.nan)


def half_entropy(five: np.ndarray) -> np.ndarray:
    """(…): the entropy of the classes in the nine places, in bits; five: (…, 5) classes."""
    of_places = np.log2(np.maximum(np.arange(TOP + 1), 1) / TOP)  # by how many places a class has
    logs = of_places[_places(five)]
    bits = -sum((weight * log for weight, log in zip(WEIGHTS, logs, strict=True)), start=0.0) / TOP
    return np.where((five >= 0).all(axis=-1), np.abs(bits), np.nan)


def _places(five: np.ndarray) -> np.ndarray:
    """(5, …) uint8: how many of the nine places have the class of each picture."""
    classes = np.ascontiguousarray(np.moveaxis(five, -1, 0))
    places = np.empty(classes.shape, np.uint8)
    places[:] = WEIGHTS.reshape(-1, *[1] * (five.ndim - 1))
    for one, other in zip(_ONE.tolist(), _OTHER.tolist(), strict=True):
        same = (classes[one] == classes[other]).astype(np.uint8)
        places[one] += same * np.uint8(WEIGHTS[other])
        places[other] += same * np.uint8(WEIGHTS[one])
    return places


def kept_on_halves(
    order: np.ndarray,
    other: np.ndarray,
    slots: tuple[np.ndarray, np.ndarray],
    slots_of_other: tuple[np.ndarray, np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """How many of nine places the equal rows of two rankings share on each half, (P, C) float64 each: of a picture the
    fewer of the places that it takes in the two.

    order, other: (C, D) pictures; slots, slots_of_other: of both halves, (P, C, D), from `resampling.both_halves`."""
    channel, mine, theirs = common_places(order, other)
    channels = len(order)

    def count(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        fewer = np.minimum(one[:, channel, mine], two[:, channel, theirs])  # (P, common pictures)
        return np.stack([np.bincount(channel, row, channels) for row in fewer])

    return count(slots[0], slots_of_other[0]), count(slots[1], slots_of_other[1])


def common_places(order: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pictures that equal rows of two rankings have in common: row, and place in either; (C, D), (C, D) → (n,)
    int64 each."""
    same = (order[:, :, None] == other[:, None, :]) & (order[:, :, None] >= 0)  # (C, D, D)
    row, mine, theirs = np.nonzero(same)
    return row, mine, theirs


def widened_error(error: np.ndarray, agreement: np.ndarray) -> np.ndarray:
    """The standard error of an agreement of nine pictures: that of the halves, and what one of the nine more or less
    changes. A picture takes part in 8 of 36 pairs; a step of s adds s² / 12 (Sheppard). Without it the interval of nine
    pictures of one class, which all halves repeat, would have no width. Shape of both: (C,)."""
    step = (TOP - 1) / (TOP * (TOP - 1) / 2) * agreement
    result: np.ndarray = np.sqrt(error**2 + step**2 / 12)
    return result

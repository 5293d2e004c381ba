"""Nine pictures at fixed quantiles of a channel's scores: what the channel responds to below its strongest pictures.

The pictures above zero are put in the order of their scores, equal scores in an order that the caller gives. A strip
is the nine pictures in a row whose middle one lies nearest to the quantile; at an end of the order, the last nine. It
depends on the scores alone, not on the order in which the pictures are numbered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from generator.core.records import TOP
from generator.methods.resampling import falling_order

# In per cent of the pictures above zero that lie below; the first are the strongest nine, the last the weakest.
QUANTILES = (100, 99, 90, 75, 50, 0)
MOST_SHARED = TOP // 2  # pictures of a strip that a stronger strip may show too


@dataclass(frozen=True)
class Strips:
    """rows: (C, QUANTILES, 9) int32, the rows of the scores, strongest first; −1 where the channel has no such strip;
    counted: (C,) int32, how many scores lie above zero."""

    rows: np.ndarray
    counted: np.ndarray


def tie_order(paths: Sequence[str]) -> np.ndarray:
    """(N,) the place of each picture among equal scores, by the SHA-256 of its path: an order that has nothing to do
    with folders, which often are classes."""
    digests = [sha256(path.encode("utf-8", "surrogateescape")).digest() for path in paths]
    place = np.empty(len(paths), np.int64)
    place[sorted(range(len(paths)), key=lambda number: (digests[number], paths[number]))] = np.arange(
        len(paths)
    )
    return place


def middle(quantile: int, counted: np.ndarray | int) -> np.ndarray:
    """The place of a quantile in the ascending order of `counted` scores, from 0, rounded half up."""
    return (2 * quantile * (np.asarray(counted, np.int64) - 1) + 100) // 200


def starts(counted: np.ndarray) -> np.ndarray:
    """(C, QUANTILES): where each strip begins in the ascending order of `counted` (C,) scores; −1 where more than
    MOST_SHARED of its nine are in a stronger strip. The strongest strip is there whatever the number of scores."""
    first: np.ndarray = np.full((len(counted), len(QUANTILES)), -1, np.int64)
    last = np.maximum(counted - TOP, 0)
    first[:, 0] = last
    for number, quantile in enumerate(QUANTILES[1:], 1):
        start = np.clip(middle(quantile, counted) - TOP // 2, 0, last)
        before = first[:, :number]
        shared = np.where(before >= 0, TOP - np.abs(before - start[:, None]), 0).max(axis=1)
        first[:, number] = np.where((shared <= MOST_SHARED) & (counted >= TOP), start, -1)
    return first


def strips(scores: np.ndarray, ties: np.ndarray) -> Strips:
    """scores: (N, C) float32; ties: (N,) from `tie_order`, the lower one stands for the stronger."""
    by_place, scores = np.argsort(ties), np.asarray(scores)
    falling = falling_order(scores[by_place]).T  # (C, N), the strongest first
    counted = (scores > 0).sum(axis=0)
    begin = starts(counted)
    # A strip's first place from above; of fewer than nine pictures the last places stay empty.
    first = np.maximum(counted[:, None] - TOP - begin, 0)
    place = first[:, :, None] + np.arange(TOP)  # (C, Q, 9)
    known = (begin >= 0)[:, :, None] & (place < counted[:, None, None])
    chosen = np.take_along_axis(falling[:, None, :], np.where(known, place, 0), 2)
    rows = np.where(known, by_place[chosen], -1).astype(np.int32)
    return Strips(rows, counted.astype(np.int32))

"""Nine pictures at fixed quantiles of a channel's scores: what the channel responds to below its strongest pictures.

The pictures above zero are put in the order of their scores, equal scores in an order that the caller gives. A strip
is the nine pictures in a row whose middle one lies nearest to the quantile; at an end of the order, the last nine. It
depends on the scores alone, not on the order in which the pictures are numbered.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from generator.core.records import TOP

# In per cent of the pictures above zero that lie below; the first are the strongest nine, the last the weakest.
QUANTILES = (100, 99, 90, 75, 50, 0)
MOST_SHARED = TOP // 2  # pictures of a strip that a stronger strip may show too
CHANNELS_AT_ONCE = 64


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
    scores = np.asarray(scores)
    by_place = np.argsort(ties)
    low = (len(ties) - 1 - ties).astype(np.uint64)

    def of(first: int) -> tuple[np.ndarray, np.ndarray]:
        part = np.ascontiguousarray(scores[:, first : first + CHANNELS_AT_ONCE].T)  # (c, N)
        # Floats above zero have the order of their bits; what follows them decides between equal ones.
        bits = np.where(part > 0, part, np.float32(0)).view(np.uint32).astype(np.uint64)
        keys = np.sort(np.where(bits > 0, bits << np.uint64(32) | low, np.uint64(0)), axis=1)
        counted = (bits > 0).sum(axis=1)
        begin = starts(counted)
        at = begin[:, :, None] + np.arange(TOP)[::-1]  # (c, Q, 9) of the counted, strongest first
        known = (begin >= 0)[:, :, None] & (at < counted[:, None, None])
        place = np.where(known, len(ties) - counted[:, None, None] + at, 0)
        chosen = np.take_along_axis(keys[:, None, :], place, 2) & np.uint64(0xFFFFFFFF)
        rows = by_place[len(ties) - 1 - chosen.astype(np.int64)]
        return np.where(known, rows, -1).astype(np.int32), counted.astype(np.int32)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = list(pool.map(of, range(0, scores.shape[1], CHANNELS_AT_ONCE)))
    rows, counted = (np.concatenate(part) for part in zip(*parts, strict=True))
    # Where fewer than nine are above zero, the first places of the strongest strip are the empty ones.
    few = counted < TOP
    rows[few, 0] = np.take_along_axis(rows[few, 0], np.argsort(rows[few, 0] < 0, axis=1, kind="stable"), 1)
    return Strips(rows, counted)

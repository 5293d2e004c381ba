"""How far a number would move with other pictures: intervals from half of the pictures against the other half.

Pictures are the sample: channels of a network are few, fixed and correlated. The pictures are divided into two random
halves HALVINGS times (repeated balanced half-sampling, McCarthy 1969, Review of the International Statistical Institute
37). A statistic T has the standard error √ mean ((T(half) − T(other half)) / 2)², each half counting every one of its
pictures twice. For a mean this is the usual standard error. For statistics of the nine strongest pictures it is closer
than the bootstrap, which fills nine places with copies of some five pictures and counts what pairs of pictures have in
common three times in place of once: intervals of a difference then cover 98 to 99.6 % in place of 95 %.

The bound is `bound()` standard errors. With Student's t of 20 degrees of freedom (2.09) intervals of nominally 95 %
cover 93 to 98 % on drawn pictures, where new sets of pictures can be drawn at will (benchmarks/coverage.py).
"""

from __future__ import annotations

import functools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from generator.core.ordering import lowest, rising
from generator.core.records import TOP

HALVINGS = 100
LEVEL = 0.95
# Standard errors of an interval whose error follows in closed form, from each picture\'s influence.
NORMAL = 1.96
DEGREES = 20  # of freedom of Student's t; chosen by the coverage on drawn pictures
RELIABLE = 0.5  # split-half reliability from which on channels of a layer are ranked by a measure
SEED = 20170106  # the day of arXiv:1701.02362
ALONE = 10  # halvings in which each half has nine pictures of its own: for split-half reliability
SORTED = 64  # channels at a time that one thread sorts
DEPTH = 40  # pictures of a channel's ranking that are enough for nine of any half: one half in ten million has fewer


@functools.lru_cache(maxsize=4)  # the same for every layer and pair of layers
def halvings(pictures: int, count: int = HALVINGS) -> np.ndarray:
    """(count, N) bool, read-only: which pictures are in the first half of each halving; the others are the second half.
    Of an odd number the first half has one picture less."""
    random = np.random.default_rng([SEED, pictures])
    member = np.zeros((count, pictures), bool)
    for row in member:
        row[random.permutation(pictures)[: pictures // 2]] = True
    member.flags.writeable = False
    return member


def standard_error(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The standard error of a statistic from its values on both halves of every halving, (P, …) each → (…) float64.

    NaN where fewer than half of the halvings have both values.
    """
    differences = (first.astype(np.float64) - second.astype(np.float64)) / 2
    known = np.isfinite(differences)
    count = known.sum(axis=0)
    squares = np.where(known, differences, 0) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(2 * count >= len(differences), np.sqrt(squares.sum(axis=0) / count), np.nan)


def left_out_error(values: np.ndarray) -> np.ndarray:
    """The standard error of a statistic from its values without each group of pictures, (G, …) → (…) float64.

    √ ((G − 1) / G · Σ (Tᵢ − mean)²), the delete-a-group jackknife (Kott 2001, Journal of Official Statistics 17). NaN
    where a value is."""
    groups = len(values)
    spread = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    error: np.ndarray = np.sqrt((groups - 1) / groups * spread)
    return error


def bound(comparisons: int = 1, degrees: int = DEGREES) -> float:
    """How many standard errors an interval reaches to each side, at a level of 95 % for all comparisons together
    (Bonferroni). degrees: of freedom of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 1 - (1 - LEVEL) / 2 / max(1, comparisons)))


def falling_order(scores: np.ndarray) -> np.ndarray:
    """Each channel's pictures from the highest score down, (N, C) → (N, C) int32; of equal scores the picture with the
    lower number comes first, as in the scan. Channels are sorted in as many threads as there are cores."""
    result = np.empty((scores.shape[1], len(scores)), np.int32)

    def sort(first: int) -> None:
        part = slice(first, first + SORTED)
        result[part] = rising(np.ascontiguousarray(-scores[:, part].T))

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(sort, range(0, scores.shape[1], SORTED)))
    return result.T


def highest(scores: np.ndarray, count: int) -> np.ndarray:
    """The first `count` rows of `falling_order`, without the order of the others; (N, C) → (count, C) int32."""
    result = np.empty((scores.shape[1], count), np.int32)
    for first in range(0, scores.shape[1], SORTED):
        part = slice(first, first + SORTED)
        result[part] = lowest(np.ascontiguousarray(-scores[:, part].T), count)
    return result.T


def ranking(
    scores: np.ndarray, *, signed: bool, depth: int = DEPTH, order: np.ndarray | None = None
) -> np.ndarray:
    """The first `depth` of each channel's pictures in falling order; (N, C) → (C, depth) int32.

    −1 where there is no further picture or, unless the layer is signed, where its score is not above zero. order: the
    `falling_order`, where it is known.
    """
    count, channels = scores.shape
    kept = min(depth, count)
    head = highest(scores, kept) if order is None else order[:kept]  # (kept, C)
    valid = np.full(head.shape, True) if signed else np.take_along_axis(scores, head, 0) > 0
    result = np.full((channels, depth), -1, np.int32)
    result[:, :kept] = np.where(valid, head, -1).T
    return result


def slots(order: np.ndarray, members: np.ndarray, times: int = 2) -> np.ndarray:
    """How many of nine places each ranked picture takes if only the pictures of a set are there, each `times` times.

    order: (C, D) pictures, −1 for none; members: (P, N) bool, the sets. Returns (P, C, D) uint8; a row's sum is below
    nine where the ranking has too few pictures of this set.
    """
    taken = _by_rank(order, members)  # (D, C, P)
    taken *= times
    left = np.full(taken.shape[1:], TOP, np.uint8)
    for rank in taken:  # from the strongest picture down
        np.minimum(rank, left, out=rank)
        left -= rank
    return np.ascontiguousarray(taken.transpose(2, 1, 0))


def both_halves(order: np.ndarray, member: np.ndarray, times: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """`slots` for every halving; (C, D) and (P, N) → (P, C, D) uint8 for the first halves and for the second."""
    return slots(order, member, times), slots(order, ~member, times)


def first_of(order: np.ndarray, members: np.ndarray, count: int, *, whole: bool = True) -> np.ndarray:
    """The `count` strongest pictures of several sets; order: (C, D) pictures from the strongest down, −1 for none;
    members: (P, N) bool. Returns (P, C, count), −1 where the ranking has fewer of this set; whole: −1 throughout
    there."""
    inside = _by_rank(order, members)
    total = np.zeros(inside.shape[1:], np.uint16)  # pictures of the set so far
    places = np.zeros((count, *total.shape), np.uint16)  # in the ranking
    for rank in inside:
        total += rank
        for number in range(count):
            places[number] += total <= number
    rows = np.arange(len(order))[:, None]
    chosen = order[rows, np.minimum(places, order.shape[1] - 1)]  # (count, C, P)
    for number in range(count):
        chosen[number][total < count if whole else total <= number] = -1
    return np.ascontiguousarray(chosen.transpose(2, 1, 0))


def _by_rank(order: np.ndarray, members: np.ndarray) -> np.ndarray:
    """(D, C, P) uint8: whether the picture of each rank is in each set; (C, D) and (P, N)."""
    of_picture = np.zeros((members.shape[1] + 1, len(members)), np.uint8)
    of_picture[:-1] = members.T  # the last row is that of no picture, −1
    return of_picture[order.T]


def of_directions(values: np.ndarray, errors: np.ndarray, channels: int) -> float:
    """How far the mean over channels less the mean over random directions would move with other directions: a variance.
    If channels were nothing but directions, both means would be of random ones.

    values, errors: of the directions, with their standard errors over pictures, whose part in the variance is left
    out, because the halves count it; channels: how many there are."""
    known = np.isfinite(values) & np.isfinite(errors)
    count = int(known.sum())
    if count < 2 or not channels:
        return float("nan")
    between = float(values[known].var(ddof=1)) - float((errors[known] ** 2).mean())
    return max(0.0, between) * (1 / channels + 1 / count)


def known_mean(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis of the values that are finite, (…, N) → (…) float64; NaN where none is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: np.ndarray = np.where(known, values, 0).sum(axis=-1, dtype=np.float64) / known.sum(axis=-1)
    return mean


def rounded(value: float | np.floating[Any] | np.ndarray) -> float | None:
    """A number as it stands in JSON: to six digits, None where it is not finite."""
    number = float(value)
    return round(number, 6) if np.isfinite(number) else None


def reliability(first: np.ndarray, second: np.ndarray) -> float:
    """Split-half reliability: Pearson's correlation, over channels, of a measure on one half of the pictures with the
    same measure on the other half; (P, C) each, the mean over the halvings. NaN where it is not defined."""
    x, y = first.astype(np.float64), second.astype(np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    count = known.sum(axis=1, keepdims=True)

    def centred(values: np.ndarray) -> np.ndarray:
        mean = np.where(known, values, 0).sum(axis=1, keepdims=True) / count
        return np.where(known, values - mean, 0)

    def differ(values: np.ndarray) -> np.ndarray:
        low, high = (np.where(known, values, end) for end in (np.inf, -np.inf))
        return np.asarray(low.min(axis=1, initial=np.inf) < high.max(axis=1, initial=-np.inf))

    with np.errstate(invalid="ignore", divide="ignore"):
        x, y, defined = centred(x), centred(y), (count[:, 0] > 2) & differ(x) & differ(y)
        values = (x * y).sum(axis=1) / np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    values = np.clip(values[defined], -1, 1)
    return float(values.mean()) if len(values) else float("nan")

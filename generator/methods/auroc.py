"""How well a channel's scores tell the pictures of one class from all others: AUROC and average precision.

The AUROC of a class is the chance that a picture of the class has a higher score than another picture, equal scores
counted half (Mann and Whitney 1947, Annals of Mathematical Statistics 18). It is read from ranks, for all classes at
once. The best of many classes is high by chance alone: it is chosen on half of the pictures, and its AUROC is that on
the other half.

The interval is DeLong's (1988, Biometrics 44) over the pictures of that half, with one more picture in the class that
lies above half of the others, as Agresti and Coull (1998) add to a share. Without it intervals of 95 % near 1 cover 60
to 90 % and have no width at 1; with it, from ten pictures of a class on, 92 to 100 %, for scores that are shifted,
wider, or high on a part of the class alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields

import numpy as np
from scipy.sparse import csr_array

from generator.core.ordering import TiedOrder, flat_places
from generator.methods.resampling import bound

# Pictures that a class needs in each half: of fewer, intervals cover less. Of ten the AUROC of a random order has a
# standard deviation of 0.09.
FEWEST = 10
SPLITS = 16  # halvings of the pictures; the first one gives the numbers, all of them the reliability
SEED = 1947
AT_ONCE = 2**17  # scores that one thread ranks at once


@dataclass(frozen=True)
class LabelSet:
    """The classes, or the groups, of N pictures. of_picture: (N,) number of each picture's class; enough: (K,) bool,
    the classes with at least FEWEST pictures in both halves of every halving."""

    of_picture: np.ndarray
    enough: np.ndarray

    @classmethod
    def of(cls, of_picture: np.ndarray, halves: np.ndarray, kinds: int) -> LabelSet:
        """halves: (H, N) bool, the first halves."""
        counts = [np.bincount(of_picture[part], minlength=kinds) for half in halves for part in (half, ~half)]
        fewest: np.ndarray = np.min(counts, axis=0) if counts else np.zeros(kinds)
        # A class that is everywhere has no other pictures to be told from.
        total = np.bincount(of_picture, minlength=kinds)
        return cls(of_picture, (fewest >= FEWEST) & (total <= len(of_picture) - 2 * FEWEST))

    @property
    def carries_statements(self) -> bool:
        """Whether any class has enough pictures."""
        return bool(self.enough.any())


@dataclass(frozen=True)
class BestClass:
    """The best class of each channel, (C,) each. best: its number, −1 where no class has enough pictures; chosen: its
    AUROC on the half that it was chosen on, the highest of all classes there; auroc, low, high, precision, prevalence:
    on the other half its AUROC, the ends of its interval, its average precision, and its share of the pictures, which
    is the average precision of a random order.

    auroc_by_half: (2, H, C), of every halving, and precision_by_half: (2, 1, C), of the first one: the value on each
    half of the class that is best on the other half.
    """

    best: np.ndarray
    chosen: np.ndarray
    auroc: np.ndarray
    low: np.ndarray
    high: np.ndarray
    precision: np.ndarray
    prevalence: np.ndarray
    auroc_by_half: np.ndarray
    precision_by_half: np.ndarray


def balanced_halvings(strata: Sequence[np.ndarray], pictures: int, count: int = SPLITS) -> np.ndarray:
    """(count, N) bool: the first halves of random halvings that divide every stratum as evenly as they can.

    strata: (N,) numbers, the coarsest first (groups, classes): of each that has an even number of pictures, half.
    """
    random = np.random.default_rng([SEED, pictures])
    halves = np.zeros((count, pictures), bool)
    for half in halves:
        # Strata come in random order too: of classes with one picture each, any may lie in either half.
        shuffled = [random.permutation(int(stratum.max(initial=0)) + 1)[stratum] for stratum in strata]
        order = np.lexsort((random.permutation(pictures), *reversed(shuffled)))
        half[order[random.integers(2) :: 2]] = True
    return halves


@dataclass(frozen=True)
class _Ranked:
    """The order of N pictures by C channels. order: (C, N) pictures by rising score; below, upto: (C, N), for each
    picture where the run of its score begins and ends in that order; the last three as positions in flattened arrays:
    of order in one of shape (C, N), of the others in one of shape (C, N + 1)."""

    order: np.ndarray
    below: np.ndarray
    upto: np.ndarray
    order_at: np.ndarray
    below_at: np.ndarray
    upto_at: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> _Ranked:
        """scores: (N, C)."""
        ranked = TiedOrder.of(scores)
        wide = len(scores) + 1
        return cls(
            ranked.order,
            ranked.start,
            ranked.end,
            flat_places(ranked.order),
            flat_places(ranked.start, wide),
            flat_places(ranked.end, wide),
        )

    def counted(self, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many members have a lower score than each picture, and how many one that is not higher; member: (C, N)
        bool → (C, N) int32 each."""
        ordered = member.ravel()[self.order_at]
        sums = np.zeros((ordered.shape[0], ordered.shape[1] + 1), np.int32)
        np.cumsum(ordered, axis=1, dtype=np.int32, out=sums[:, 1:])
        flat = sums.ravel()
        return flat[self.below_at], flat[self.upto_at]

    def counted_in(self, halves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same for the members of every half, (H, N) bool → (N, C, H) each, in whole numbers that hold the sum of
        all ranks."""
        channels, count = self.order.shape
        inside = np.ascontiguousarray(halves.T).view(np.uint8)  # (N, H)
        sums = np.zeros((channels, count + 1, len(halves)), np.int32 if 2 * count**2 < 2**31 else np.int64)
        np.cumsum(inside[self.order], axis=1, dtype=sums.dtype, out=sums[:, 1:])
        flat = sums.reshape(-1, len(halves))
        # np.take copies whole rows, several times as fast as indexing does.
        return np.take(flat, self.below_at.T, axis=0), np.take(flat, self.upto_at.T, axis=0)


def _aurocs(
    ranked: _Ranked, halves: np.ndarray, counted: tuple[np.ndarray, np.ndarray], sets: Sequence[LabelSet]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Of every class of each label set, on the first halves and on the second ones, (K, C, H) each; −1 for a class
    without enough pictures. counted: of the first halves, from `counted_in`."""
    channels, count = ranked.order.shape
    # Twice a picture's average rank in its half, less one: a whole number, so that sums are exact in any order.
    ranks = counted[0] + counted[1]
    inside = np.ascontiguousarray(halves.T).astype(ranks.dtype)  # (N, H)
    everything = (ranked.below + ranked.upto).T.astype(ranks.dtype)  # (N, C)
    # Summed once for the pictures that have the same class in every set, (F, C, H), then for the classes.
    finest, place = np.unique([labels.of_picture for labels in sets], axis=1, return_inverse=True)
    member = csr_array(
        (np.ones(count, ranks.dtype), (place.ravel(), np.arange(count))), (finest.shape[1], count)
    )
    shape = (finest.shape[1], channels, len(halves))
    first = (member @ (ranks & -inside[:, None]).reshape(count, -1)).reshape(shape)
    second = first - (member @ ranks.reshape(count, -1)).reshape(shape)
    half, picture = np.nonzero(~halves)
    outside = csr_array(
        (np.ones(len(half), ranks.dtype), (place.ravel()[picture] * len(halves) + half, picture)),
        (len(halves) * finest.shape[1], count),
    )
    second += (outside @ everything).reshape(-1, len(halves), channels).transpose(0, 2, 1)
    sizes = [member @ each for each in (inside, 1 - inside)]  # (F, H) pictures
    results = []
    for labels, of_finest in zip(sets, finest, strict=True):
        kinds = len(labels.enough)
        united = csr_array(
            (np.ones(len(of_finest), ranks.dtype), (of_finest, np.arange(len(of_finest)))),
            (kinds, len(of_finest)),
        )
        both = []
        for size, summed in zip(sizes, (first, second), strict=True):
            own = (united @ size).astype(np.float64)[:, None]  # (K, 1, H)
            sums = (united @ summed.reshape(len(of_finest), -1)).reshape(kinds, *shape[1:]) + own
            with np.errstate(invalid="ignore", divide="ignore"):
                values = (sums - own * (own + 1)) / (2 * own * (size.sum(axis=0) - own))
            both.append(np.where(labels.enough[:, None, None], values, -1))
        results.append((both[0], both[1]))
    return results


@dataclass(frozen=True)
class _Half:
    """The pictures of a half. member: (N,) bool; below, upto: (C, N), how many of them have a lower score than each
    picture, and how many one that is not higher."""

    member: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    def precision(self, own: np.ndarray, below: np.ndarray) -> np.ndarray:
        """(C,): the average precision of the pictures `own` (C, N) among this half's; below: how many of `own` have a
        lower score than each picture."""
        count = own.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            at = (count - below) / (self.member.sum() - self.below)
        result: np.ndarray = np.where(own, at, 0).sum(axis=1) / count[:, 0]
        return result

    def interval(self, own: np.ndarray, below: np.ndarray, upto: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C,) each: the ends of the interval of the AUROC of `own` (C, N); below, upto: how many of them have a lower
        score than each picture, and one that is not higher."""
        others = self.member & ~own
        inside, outside = own.sum(axis=1), others.sum(axis=1)
        # For each picture of the class the share of the others below it, for each other one that of the class above it.
        of_own = ((self.below - below) + (self.upto - upto)) / (2 * outside[:, None])
        of_others = (2 * inside[:, None] - below - upto) / (2 * inside[:, None])
        mean, squares = _moments(of_own, own)
        squares += (mean - 0.5) ** 2 * inside / (inside + 1)  # the added picture
        middle = (mean * inside + 0.5) / (inside + 1)
        _, other_squares = _moments(of_others, others)
        reach = bound() * np.sqrt(
            squares / (inside * (inside + 1)) + other_squares / (outside * (outside - 1))
        )
        return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)


def _moments(values: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row's chosen values the mean, and the sum of squared differences from it; (C, N), (C, N) → (C,) each."""
    mean = np.where(where, values, 0).sum(axis=1) / where.sum(axis=1)
    return mean, np.where(where, (values - mean[:, None]) ** 2, 0).sum(axis=1)


def best_classes(scores: np.ndarray, halves: np.ndarray, sets: Sequence[LabelSet]) -> list[BestClass]:
    """The best class of every channel in each of the label sets.

    scores: (N, C), of labelled pictures; halves: (H, N) bool, from `balanced_halvings`. Of equally good classes the one
    with the lowest number is taken. A channel with the same score everywhere has an AUROC of 0.5 in every class.
    """
    count, channels = scores.shape
    step = max(1, AT_ONCE // max(1, count))

    def part(first: int) -> list[BestClass]:
        return _of_channels(np.asarray(scores[:, first : first + step]), halves, sets)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = list(pool.map(part, range(0, channels, step)))
    return [_joined([each[number] for each in parts]) for number in range(len(sets))]


def _of_channels(scores: np.ndarray, halves: np.ndarray, sets: Sequence[LabelSet]) -> list[BestClass]:
    results = [_nothing(scores.shape[1], len(halves)) for _ in sets]
    used = [
        (labels, result) for labels, result in zip(sets, results, strict=True) if labels.carries_statements
    ]
    if not used:
        return results
    ranked = _Ranked.of(scores)
    counted = ranked.counted_in(halves)
    aurocs = _aurocs(ranked, halves, counted, [labels for labels, _ in used])
    below, upto = (np.ascontiguousarray(values[:, :, 0].T) for values in counted)
    both = (
        _Half(halves[0], below, upto),
        _Half(~halves[0], ranked.below - below, ranked.upto - upto),
    )
    for (labels, result), values in zip(used, aurocs, strict=True):
        for read_on in (1, 0):
            best = values[1 - read_on].argmax(axis=0)  # (C, H)
            auroc = np.take_along_axis(values[read_on], best[None], 0)[0]
            result.auroc_by_half[read_on] = auroc.T
            first = best[:, :1]  # of the first halving
            own = both[read_on].member & (labels.of_picture == first)
            own_below, own_upto = ranked.counted(own)
            precision = both[read_on].precision(own, own_below)
            result.precision_by_half[read_on][0] = precision
            if read_on:
                result.best[:], result.chosen[:] = first[:, 0], values[0][:, :, 0].max(axis=0)
                result.auroc[:], result.precision[:] = auroc[:, 0], precision
                result.low[:], result.high[:] = both[1].interval(own, own_below, own_upto)
                result.prevalence[:] = own.sum(axis=1) / both[1].member.sum()
    return results


def _nothing(channels: int, splits: int) -> BestClass:
    def empty(*shape: int) -> np.ndarray:
        return np.full(shape, np.nan, np.float32)

    shapes = {"auroc_by_half": (2, splits, channels), "precision_by_half": (2, 1, channels)}
    values = {each.name: empty(*shapes.get(each.name, (channels,))) for each in fields(BestClass)}
    return BestClass(**{**values, "best": np.full(channels, -1, np.int32)})


def _joined(parts: Sequence[BestClass]) -> BestClass:
    return BestClass(
        *(np.concatenate([getattr(part, each.name) for part in parts], axis=-1) for each in fields(BestClass))
    )

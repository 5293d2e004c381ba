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

from generator.methods.resampling import bound
from generator.core.ordering import TiedOrder

# Pictures that a class needs in each half: of fewer, intervals cover less. Of ten the AUROC of a random order has a
# standard deviation of 0.09.
FEWEST = 10
SPLITS = 16  # halvings of the pictures; the first one gives the numbers, all of them the reliability
SEED = 1947
CHANNELS_AT_ONCE = 128


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
    picture where the run of its score begins and ends in that order, as positions in an array of shape (C, N + 1)."""

    order: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray) -> _Ranked:
        """scores: (N, C)."""
        ranked = TiedOrder.of(scores)
        channels, count = ranked.order.shape
        row = (count + 1) * np.arange(channels)[:, None]
        return cls(ranked.order, ranked.start + row, ranked.end + row)

    def counted(self, member: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How many members have a lower score than each picture, and how many one that is not higher; member: (N,) or
        (C, N) bool → (C, N) int32 each."""
        ordered = member[self.order] if member.ndim == 1 else np.take_along_axis(member, self.order, 1)
        sums = np.zeros((ordered.shape[0], ordered.shape[1] + 1), np.int32)
        np.cumsum(ordered, axis=1, dtype=np.int32, out=sums[:, 1:])
        flat = sums.ravel()
        return flat[self.below], flat[self.upto]


@dataclass(frozen=True)
class _Half:
    """The pictures of a half. member: (N,) bool; below, upto: as `_Ranked.counted` gives them."""

    ranked: _Ranked
    member: np.ndarray
    below: np.ndarray
    upto: np.ndarray

    @classmethod
    def both(
        cls, ranked: _Ranked, member: np.ndarray, whole: tuple[np.ndarray, np.ndarray]
    ) -> tuple[_Half, _Half]:
        """A half and the other one; whole: the counts of all pictures."""
        below, upto = ranked.counted(member)
        other = cls(ranked, ~member, whole[0] - below, whole[1] - upto)
        return cls(ranked, member, below, upto), other

    def aurocs(self, labels: LabelSet) -> np.ndarray:
        """Of every class, (C, K); −1 for a class without enough pictures."""
        # Twice the average rank is a whole number, so that sums are exact in any order.
        ranks = (self.below + self.upto + 1)[:, self.member].T.astype(np.float64)
        classes = labels.of_picture[self.member]
        count, kinds = len(classes), len(labels.enough)
        member = csr_array((np.ones(count), (classes, np.arange(count))), (kinds, count))
        inside = np.bincount(classes, minlength=kinds).astype(np.float64)[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            values = (member @ ranks - inside * (inside + 1)) / (2 * inside * (count - inside))
        return np.where(labels.enough[:, None], values, -1).T

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
    channels = scores.shape[1]

    def part(first: int) -> list[BestClass]:
        return _of_channels(np.asarray(scores[:, first : first + CHANNELS_AT_ONCE]), halves, sets)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = list(pool.map(part, range(0, channels, CHANNELS_AT_ONCE)))
    return [_joined([each[number] for each in parts]) for number in range(len(sets))]


def _of_channels(scores: np.ndarray, halves: np.ndarray, sets: Sequence[LabelSet]) -> list[BestClass]:
    results = [_nothing(scores.shape[1], len(halves)) for _ in sets]
    used = [
        (labels, result) for labels, result in zip(sets, results, strict=True) if labels.carries_statements
    ]
    if not used:
        return results
    ranked = _Ranked.of(scores)
    whole = ranked.counted(np.full(len(scores), True))
    for split, half in enumerate(halves):
        both = _Half.both(ranked, half, whole)
        for labels, result in used:
            values = [each.aurocs(labels) for each in both]
            for read_on in (1, 0):
                best = values[1 - read_on].argmax(axis=1)[:, None]
                auroc = np.take_along_axis(values[read_on], best, 1)[:, 0]
                result.auroc_by_half[read_on][split] = auroc
                if split:
                    continue
                own = both[read_on].member & (labels.of_picture == best)
                below, upto = ranked.counted(own)
                precision = both[read_on].precision(own, below)
                result.precision_by_half[read_on][split] = precision
                if read_on:
                    result.best[:], result.chosen[:] = best[:, 0], values[0].max(axis=1)
                    result.auroc[:], result.precision[:] = auroc, precision
                    result.low[:], result.high[:] = both[1].interval(own, below, upto)
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

"""How a channel changes from one block to a later one of its stage (arXiv:1701.02362, section 4): two findings.

Identity: whether the channel number still means the same pictures, held against channels of other numbers on the same
pictures. Gain: by how much the label agreement of its nine pictures rises, with an interval from resampling pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from generator.core.correspondence import STRONG_PICTURES, rank_correlations, shared_counts
from generator.core.ordering import TiedOrder
from generator.core.records import TOP, ReceptiveField
from generator.methods.half_nines import FIVE, half_similarity, kept_on_halves, widened_error
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.methods.resampling import (
    ALONE,
    DEGREES,
    both_halves,
    bound,
    falling_order,
    first_of,
    halvings,
    known_mean,
    ranking,
    standard_error,
)

OVERLAPS = (0.01, 0.05, 0.1)  # shares of the pictures whose highest ones are compared
IDENTITY_OVERLAP = 0.05  # the one that decides on identity
FALSE_SHARE = 0.1  # of the verdicts on single channels that may be false
REPEATED = 0.9  # of the halvings in which a gain must have its sign on both halves
FEWEST = 20  # random directions that show a spread
UNTIED_LEVEL = 0.99  # of untied pairs, which a channel must exceed to be called the same
OVERLAP_HALVINGS = 20  # for the standard error of an overlap
CHUNK = 64  # channels at a time
# The variance that whole numbers add to a count of pictures, of all and of the halves: 1/12 each (Sheppard). Without it
# the intervals of channels that keep none or all nine would have no width.
WHOLE = 1 / 6
UNKNOWN, UNCLEAR, BLURS, REFINES = -1, 0, 1, 2  # codes of a verdict


# -- places in common --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StrongestUnits:
    """A layer's strongest pictures (C, 9), −1 where there are fewer, their units (C, 9, 2), and its receptive field."""

    image: np.ndarray
    unit: np.ndarray
    receptive_field: ReceptiveField

    @property
    def places(self) -> np.ndarray:
        """(C, 9, 2): the centres of the units' receptive fields in px of the input, row and column."""
        return self.receptive_field.centre + self.unit * float(self.receptive_field.stride)


def shared_places(units: StrongestUnits, other: StrongestUnits) -> np.ndarray:
    """How many of each channel's strongest pictures are in the other list too, at the same place of the picture:
    the centres of the two receptive fields are at most one stride (the larger one) apart in each direction; (C,) int32.
    """
    near = np.abs(units.places[:, :, None] - other.places[:, None, :]).max(axis=3)  # (C, 9, 9)
    near = near <= max(units.receptive_field.stride, other.receptive_field.stride)
    same = (units.image[:, :, None] == other.image[:, None, :]) & (units.image[:, :, None] >= 0)
    return (same & near).any(axis=2).sum(axis=1).astype(np.int32)


# -- correlations ------------------------------------------------------------------------------------------------------


def rank_correlation(scores: np.ndarray, other_scores: np.ndarray, chunk: int = CHUNK) -> np.ndarray:
    """Spearman's ρ of each channel's scores over all pictures; (N, C), (N, C) → (C,), NaN where one is constant.

    Ties, such as the many zeros of a channel that is seldom active, get their average rank.
    """
    count, channels = scores.shape
    rho = np.full(channels, np.nan, np.float32)
    if count < 3:
        return rho
    for first in range(0, channels, chunk):
        part = slice(first, first + chunk)
        ranks = (_Ranks.of(np.asarray(each[:, part])) for each in (scores, other_scores))
        rho[part] = _Moments.of(*ranks).rho
    return rho


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's ρ of each channel and its standard error over pictures, (C,) float32 each, NaN where one of the two is
    constant; mean_error: of the mean ρ of the channels that have one.

    The errors are those of the infinitesimal jackknife (Jaeckel 1972; Efron 1982, chapter 6): the root of the mean
    square of the pictures' influences, which include what a picture does to the ranks of all others.
    """

    rho: np.ndarray
    error: np.ndarray
    mean_error: float

    @classmethod
    def of(cls, scores: np.ndarray, other_scores: np.ndarray, chunk: int = CHUNK) -> RankCorrelation:
        """From the scores of N pictures in two blocks, (N, C) each."""
        count, channels = scores.shape
        rho, error = (np.full(channels, np.nan, np.float32) for _ in range(2))
        total = np.zeros(count)
        if count < 3:
            return cls(rho, error, float("nan"))
        for first in range(0, channels, chunk):
            part = slice(first, first + chunk)
            rho[part], error[part], influence = _correlated(
                np.asarray(scores[:, part]), np.asarray(other_scores[:, part])
            )
            total += np.where(np.isfinite(rho[part]), influence, 0).sum(axis=1)
        known = int(np.isfinite(rho).sum())
        mean = math.sqrt(float((total**2).mean()) / count) / known if known else float("nan")
        return cls(rho, error, mean)


def _correlated(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, v = _Ranks.of(x), _Ranks.of(y)
    moments = _Moments.of(u, v)
    with np.errstate(invalid="ignore", divide="ignore"):
        moved = u.centred * v.centred - moments.covariance + u.influence(v.centred) + v.influence(u.centred)
        spread = [
            (own.centred**2 - square + 2 * own.influence(own.centred)) / square
            for own, square in zip((u, v), moments.squares, strict=True)
        ]
        influence = moved / moments.scale - moments.unclipped * (spread[0] + spread[1]) / 2
        error = np.sqrt((influence**2).mean(axis=0) / len(x))
    return moments.rho, np.where(moments.scale > 0, error, np.nan), influence


@dataclass(frozen=True)
class _Ranks:
    """Ranks of columns. centred: (N, c) average ranks as shares of N, minus their mean; order: of the scores."""

    centred: np.ndarray
    order: TiedOrder

    @classmethod
    def of(cls, scores: np.ndarray) -> _Ranks:
        order = TiedOrder.of(scores)
        ranks = ((order.start + order.end) / 2 / len(scores)).T
        return cls(ranks - ranks.mean(axis=0), order)

    def influence(self, weights: np.ndarray) -> np.ndarray:
        """How the mean of rank × weight moves when a picture's rank group gains a picture, (N, c): the mean weight of
        the pictures above it (equal ones count half), minus what their ranks held before."""
        return self.order.above(weights) / len(weights) - (self.centred * weights).mean(axis=0)


@dataclass(frozen=True)
class _Moments:
    """Of the ranks of two blocks, (c,) each: covariance, the mean squares of both, and ρ from them."""

    covariance: np.ndarray
    squares: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(cls, u: _Ranks, v: _Ranks) -> _Moments:
        return cls(
            (u.centred * v.centred).mean(axis=0),
            ((u.centred**2).mean(axis=0), (v.centred**2).mean(axis=0)),
        )

    @property
    def scale(self) -> np.ndarray:
        """0 where one of the two is constant."""
        return np.sqrt(self.squares[0] * self.squares[1])

    @property
    def unclipped(self) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.scale > 0, self.covariance / self.scale, np.nan)

    @property
    def rho(self) -> np.ndarray:
        """NaN where one of the two is constant."""
        return np.clip(self.unclipped, -1, 1)


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each column; (N, C), (N, C) → (C,) float64, NaN where a column is constant."""
    x = x - x.mean(axis=0)
    y = y - y.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
        return np.where(scale > 0, (x * y).sum(axis=0) / scale, np.nan)


# -- one block on the pictures whose scores are kept -------------------------------------------------------------------


@dataclass(frozen=True)
class Halves:
    """A measure on both halves of every halving, (P, C) each."""

    first: np.ndarray
    second: np.ndarray

    def __sub__(self, other: Halves) -> Halves:
        return Halves(self.first - other.first, self.second - other.second)

    @classmethod
    def of(cls, member: np.ndarray, measure: Callable[[np.ndarray], np.ndarray]) -> Halves:
        """member: (P, N) bool, the first halves; measure: (P, C) numbers from as many halves, (P, N) bool."""
        return cls(measure(member), measure(~member))

    @property
    def error(self) -> np.ndarray:
        """(C,): the standard error."""
        return standard_error(self.first, self.second)

    def mean(self, channels: np.ndarray) -> Halves:
        """The mean over some channels where it is finite, (P,) each. channels: (C,) bool."""
        return Halves(known_mean(self.first[:, channels]), known_mean(self.second[:, channels]))


@dataclass(frozen=True)
class BlockSample:
    """What the comparison needs of a block. order: (C, D) each channel's pictures, highest first, −1 for none; slots:
    of both halves, (P, C, D); alone_slots: of the first halving, each half with nine pictures of its own; highest: by
    share of OVERLAPS which pictures are each channel's highest, (N, C) bool; overlapping: the same of the halves, (N,
    C) uint32, a bit for each halving; agreement: (C,) float64; agreements: on the halves; alone: of each half's own
    nine. The last three are None without labels."""

    order: np.ndarray
    slots: tuple[np.ndarray, np.ndarray]
    highest: tuple[np.ndarray, ...]
    overlapping: tuple[np.ndarray, np.ndarray]
    agreement: np.ndarray | None
    agreements: Halves | None
    alone: Halves | None
    alone_slots: tuple[np.ndarray, np.ndarray]

    @classmethod
    def of(
        cls, scores: np.ndarray, classes: Classes | None, *, signed: bool, overlaps: bool = True
    ) -> BlockSample:
        """From the scores (N, C) of N pictures and their classes (None: not labelled, or not enough). overlaps: whether
        the highest pictures are wanted."""
        count = len(scores)
        member = halvings(count)
        full = falling_order(scores)
        positive = np.full(scores.shape, True) if signed else scores > 0
        order = ranking(scores, signed=signed, order=full)
        order[np.ptp(scores, axis=0) == 0] = -1  # dead: the score says nothing about pictures
        doubled = both_halves(order, member)
        whole = agreements = by_itself = None
        if classes is not None:
            whole = _agreement(order[:, :TOP], classes)
            agreements = Halves.of(
                member, lambda halves: _half_agreement(first_of(order, halves, FIVE), classes)
            )
            by_itself = Halves.of(
                member[:ALONE], lambda halves: _agreement(first_of(order, halves, TOP), classes)
            )
        highest: tuple[np.ndarray, ...] = ()
        overlapping = (np.zeros(0, np.uint32), np.zeros(0, np.uint32))
        if overlaps:
            highest = tuple(_highest(full, positive, math.ceil(share * count)) for share in OVERLAPS)
            overlapping = _highest_of_halves(full, positive, member[:OVERLAP_HALVINGS])
        return cls(
            order=order,
            slots=doubled,
            highest=highest,
            overlapping=overlapping,
            agreement=whole,
            agreements=agreements,
            alone=by_itself,
            alone_slots=both_halves(order, member[:1], times=1),
        )

    @property
    def agreement_error(self) -> np.ndarray:
        """(C,): the standard error of the label agreement."""
        assert self.agreement is not None
        assert self.agreements is not None
        return widened_error(self.agreements.error, self.agreement)

    @property
    def nine(self) -> np.ndarray:
        """(C, 9): the nine strongest of these pictures."""
        return self.order[:, :TOP]


def _agreement(nine: np.ndarray, classes: Classes) -> np.ndarray:
    """The label agreement of nine pictures, (…, 9) → (…) float64; NaN without nine labelled pictures."""
    rows = classes_of_nine(nine.reshape(-1, nine.shape[-1]), classes.of_picture)
    return agreement(rows, classes).astype(np.float64).reshape(nine.shape[:-1])


def _half_agreement(five: np.ndarray, classes: Classes) -> np.ndarray:
    """The same where each of a half's pictures counts twice, (…, 5) → (…) float64."""
    return classes.scaled(half_similarity(classes_of_nine(five, classes.of_picture), classes.similarity))


def _highest(order: np.ndarray, positive: np.ndarray, number: int) -> np.ndarray:
    """Which pictures are among each channel's `number` highest positive scores; order: (N, C) → (N, C) bool."""
    result = np.zeros(order.shape, bool)
    np.put_along_axis(result, order[:number], True, 0)
    return result & positive


def _highest_of_halves(
    order: np.ndarray, positive: np.ndarray, member: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of the first halves and of the second ones the highest IDENTITY_OVERLAP of their pictures: (N, C) uint32, a bit
    for each of the halvings, at most 32."""
    number = max(1, math.ceil(IDENTITY_OVERLAP * len(order) / 2))
    # Far enough down the ranking to hold the highest of any half.
    depth = min(len(order), 2 * number + 8 * math.ceil(math.sqrt(number)) + 8)
    head = order[:depth]
    inside = np.ascontiguousarray(member.T)  # (N, P)
    bits = np.uint32(1) << np.arange(len(member), dtype=np.uint32)
    rank = np.arange(1, depth + 1)[:, None, None]
    halves = np.zeros((2, *order.shape), np.uint32)
    for first in range(0, order.shape[1], CHUNK):
        part = slice(first, first + CHUNK)
        mine = inside[head[:, part]]  # (depth, c, P)
        counts = np.cumsum(mine, axis=0, dtype=np.int32)
        for half, chosen in zip(
            halves, (mine & (counts <= number), ~mine & (rank - counts <= number)), strict=True
        ):
            np.put_along_axis(half[:, part], head[:, part], (chosen * bits).sum(axis=2, dtype=np.uint32), 0)
    halves[:, ~positive] = 0
    return halves[0], halves[1]


# -- two blocks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Untied:
    """Of pairs of channels of different numbers on the same pictures: means, and the limit of IDENTITY_OVERLAP (the
    UNTIED_LEVEL quantile). overlaps: by share of OVERLAPS."""

    shared: float
    rho: float
    overlaps: tuple[float, ...]
    overlap_limit: float


@dataclass(frozen=True)
class Change:
    """How the channels of a block compare with the same numbers of an earlier one, (C,) each. *_error: standard errors
    over pictures. known: whether both channels are active; overlaps: (C, 3), of the highest pictures by share of
    OVERLAPS; identity: whether the number keeps its pictures; before, after: label agreements, None without labels;
    kept, overlapped: on the halves, the latter at IDENTITY_OVERLAP; kept_alone: with nine of each half's own."""

    known: np.ndarray
    shared: np.ndarray
    rho: RankCorrelation
    overlaps: np.ndarray
    identity: np.ndarray
    before: np.ndarray | None
    after: np.ndarray | None
    gains: Gains | None
    untied: Untied
    kept: Halves
    kept_alone: Halves
    overlapped: Halves

    @property
    def shared_error(self) -> np.ndarray:
        return np.sqrt(self.kept.error**2 + WHOLE)

    @property
    def judged(self) -> np.ndarray:
        """Which channels are active and have a gain."""
        return self.known & np.isfinite(self.gains.gain) if self.gains else np.zeros_like(self.known)

    def verdict(self, spread: Spread) -> np.ndarray:
        """(C,) int8: REFINES or BLURS where the channel keeps its pictures, the interval of its gain excludes zero, the
        gain is beyond what random directions show (FALSE_SHARE of such verdicts are expected to be false), and its sign
        repeats on other pictures; UNCLEAR otherwise, UNKNOWN where there is no gain. spread: of the directions."""
        if self.gains is None:
            return np.full(len(self.known), UNKNOWN, np.int8)
        gain, error, alone = self.gains.gain, self.gains.halves.error, self.gains.alone
        known = self.judged & np.isfinite(error)
        clear = known & self.identity & (error > 0)
        if clear.any():
            ratio = np.zeros(len(known))
            ratio[clear] = gain[clear] / error[clear]
            beyond = (ratio - spread.middle) / spread.width
            found = np.zeros_like(clear)
            found[clear] = discoveries(beyond[clear])
            same = (np.sign(alone.first) == np.sign(gain)) & (np.sign(alone.second) == np.sign(gain))
            clear &= found & (np.abs(ratio) > bound()) & (np.sign(beyond) == np.sign(ratio))
            clear &= same.mean(axis=0) >= REPEATED
        code = np.where(gain > 0, REFINES, BLURS)
        return np.where(known, np.where(clear, code, UNCLEAR), UNKNOWN).astype(np.int8)


@dataclass(frozen=True)
class Spread:
    """How gains of random directions, in standard errors, are distributed: the middle, and the width as a multiple of
    what Student's t has, at least 1. above, below: shares whose own interval lies above and below zero."""

    middle: float
    width: float
    above: float
    below: float

    @classmethod
    def of(cls, gain: np.ndarray, error: np.ndarray) -> Spread:
        """From the gains of random directions and their standard errors, (R,) each."""
        known = np.isfinite(gain) & np.isfinite(error) & (error > 0)
        if known.sum() < FEWEST:
            return cls(0.0, 1.0, float("nan"), float("nan"))
        ratio = gain[known] / error[known]
        low, middle, high = np.quantile(ratio, [0.025, 0.5, 0.975])
        width = max(1.0, float(high - low) / (2 * bound()))
        return cls(float(middle), width, float((ratio > bound()).mean()), float((ratio < -bound()).mean()))


@dataclass(frozen=True)
class Gains:
    """By how much label agreements rise from one block to another: of each of C channels or directions, (C,), and on
    the halves; alone: with nine of each half's own."""

    gain: np.ndarray
    halves: Halves
    alone: Halves

    @classmethod
    def between(cls, before: BlockSample, after: BlockSample) -> Gains | None:
        """None without labels."""
        if before.agreement is None or before.agreements is None or before.alone is None:
            return None
        if after.agreement is None or after.agreements is None or after.alone is None:
            return None
        return cls(
            after.agreement - before.agreement,
            after.agreements - before.agreements,
            after.alone - before.alone,
        )


def discoveries(ratios: np.ndarray) -> np.ndarray:
    """Which of these values, Student's t if nothing changed, are too large: Benjamini and Hochberg's (1995) procedure
    at FALSE_SHARE, two-sided; (n,) → (n,) bool."""
    from scipy.special import stdtr

    p = 2 * stdtr(DEGREES, -np.abs(ratios))
    order = np.argsort(p, kind="stable")
    passing = p[order] <= FALSE_SHARE * np.arange(1, len(p) + 1) / len(p)
    result = np.zeros(len(p), bool)
    if passing.any():
        result[order[: int(np.flatnonzero(passing)[-1]) + 1]] = True
    return result


def compare(
    before: BlockSample,
    after: BlockSample,
    scores: tuple[np.ndarray, np.ndarray],
    ranks: tuple[np.ndarray, np.ndarray],
) -> Change:
    """Two blocks of a stage. scores: of the earlier and the later block, (N, C) each; ranks: their centred ranks."""
    shared = shared_counts(before.nine, after.nine)  # (C, C)
    overlaps = [
        (one.astype(np.float32).T @ other.astype(np.float32)) / max(1, math.ceil(share * len(one)))
        for one, other, share in zip(before.highest, after.highest, OVERLAPS, strict=True)
    ]
    known = (before.order[:, 0] >= 0) & (after.order[:, 0] >= 0)
    untied = _untied(shared, overlaps, rank_correlations(*ranks), known)
    own = np.diagonal(shared).astype(np.int32)
    own_overlaps = np.stack([np.diagonal(each) for each in overlaps], axis=1)
    decisive = own_overlaps[:, OVERLAPS.index(IDENTITY_OVERLAP)]
    identity = known & (own >= STRONG_PICTURES) & (decisive > untied.overlap_limit)
    kept = Halves(*kept_on_halves(before.order, after.order, before.slots, after.slots))
    kept_alone = Halves(*kept_on_halves(before.order, after.order, before.alone_slots, after.alone_slots))
    return Change(
        known=known,
        shared=own,
        rho=RankCorrelation.of(*scores),
        overlaps=own_overlaps.astype(np.float32),
        identity=identity,
        before=before.agreement,
        after=after.agreement,
        gains=Gains.between(before, after),
        untied=untied,
        kept=kept,
        kept_alone=kept_alone,
        overlapped=_overlapped(before.overlapping, after.overlapping, len(before.highest[0])),
    )


def _untied(shared: np.ndarray, overlaps: list[np.ndarray], rho: np.ndarray, known: np.ndarray) -> Untied:
    other = ~np.eye(len(shared), dtype=bool) & known[:, None] & known[None, :]
    if not other.any():
        return Untied(np.nan, np.nan, tuple(np.nan for _ in overlaps), 0.0)
    values = [np.asarray(each)[other] for each in (shared, *overlaps)]
    means = [float(each.mean(dtype=np.float64)) for each in values]
    decisive = values[1 + OVERLAPS.index(IDENTITY_OVERLAP)]
    correlations = rho[other]
    finite = correlations[np.isfinite(correlations)]
    return Untied(
        shared=means[0],
        rho=float(finite.mean(dtype=np.float64)) if finite.size else np.nan,
        overlaps=tuple(means[1:]),
        overlap_limit=float(np.quantile(decisive, UNTIED_LEVEL, method="higher")),
    )


def _overlapped(
    before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], pictures: int
) -> Halves:
    """The overlap at IDENTITY_OVERLAP on halves, (OVERLAP_HALVINGS, C) each."""
    number = max(1, math.ceil(IDENTITY_OVERLAP * pictures / 2))
    halvings_bits = np.arange(OVERLAP_HALVINGS, dtype=np.uint32)

    def overlap(early: np.ndarray, late: np.ndarray) -> np.ndarray:
        common = np.ascontiguousarray((early & late).T)  # (C, N)
        channel, picture = np.nonzero(common)
        bits = (common[channel, picture][:, None] >> halvings_bits) & 1  # (n, P)
        rows = csr_array(
            (np.ones(len(channel), np.uint32), (channel, np.arange(len(channel)))),
            (len(common), len(channel)),
        )
        return (rows @ bits).T / number

    return Halves(*(overlap(early, late) for early, late in zip(before, after, strict=True)))


def congruence(halves: Halves, channels: np.ndarray) -> float:
    """How far a difference repeats on other pictures: Σ xy / √(Σ x² Σ y²) over channels (Tucker's congruence), x on one
    half of the pictures and y on the other; the mean over halvings. Unlike a correlation it counts a change that all
    channels share as repeated. NaN where there is nothing to compare."""
    values = []
    for one, other in zip(halves.first[:, channels], halves.second[:, channels], strict=True):
        known = np.isfinite(one) & np.isfinite(other)
        scale = math.sqrt(float((one[known] ** 2).sum() * (other[known] ** 2).sum()))
        if scale > 0:
            values.append(float((one[known] * other[known]).sum()) / scale)
    return float(np.mean(values)) if values else float("nan")

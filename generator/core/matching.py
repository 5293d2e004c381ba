"""Which channels of two layers match, measured against what random directions of a layer give on the same pictures.

All channels of a network order pictures alike to some degree: a picture with much contrast has high scores everywhere.
The partial rank correlation ρ′ leaves this out. What remains by chance is not that of independent numbers either,
because the two layers represent much the same contents. A random direction is a weighted sum of a layer's channels with
random weights. It has everything that its layer represents and is no channel's counterpart, so its matches say how many
to expect by chance.

All results are the same for any number of threads: every sum that a matrix product takes is exact in float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import (
    CHUNK,
    SEED,
    STRONG_PICTURES,
    LayerResponses,
    centred_ranks,
    rank_correlations,
    shared_counts,
    strengths,
)
from generator.core.ordering import lowest
from generator.core.records import TOP

MATCHES = 5  # listed per channel
EXPECTED = 0.05  # matches of a channel expected by chance in all that it is compared with
BAND = 0.95  # of the untied pairs lie in the band that figures show
DIRECTIONS = 1024  # random directions of a layer, at least
RESOLVED = 10  # random pairs above a level, at least, for their count to be a quantile
REGRESSED = 64  # channels at a time: what is computed of them stays in the cache
FINE = 2.0**24  # residuals are rounded to multiples of 1 / FINE
COARSE = 2.0**8  # standardised scores and random weights are rounded to multiples of 1 / COARSE
DIRECTION_BITS = 2.0**20  # of the vectors that are regressed out


# -- partial rank correlation ------------------------------------------------------------------------------------------


def common_vectors(*ranks: np.ndarray) -> np.ndarray:
    """What all channels of each layer share about the pictures: the layers' mean centred ranks; (N, C) each → (N, K)
    int64, each scaled to 2²⁰ and rounded."""
    vectors: np.ndarray = np.stack([layer.sum(axis=1, dtype=np.int64) for layer in ranks], axis=1)
    largest = np.maximum(np.abs(vectors).max(axis=0, initial=0), 1)
    scaled: np.ndarray = np.rint(vectors * (DIRECTION_BITS / largest)).astype(np.int64)
    return scaled


def unit_residuals(ranks: np.ndarray, common: np.ndarray) -> np.ndarray:
    """What a regression on the common vectors leaves of each channel's centred ranks, scaled to length 1.

    ranks: (N, C) int32, common: (N, K) int64. Returns (N, C) float64, multiples of 2⁻²⁴, so that sums of products of
    two such columns are exact in any order; 0 throughout where nothing is left.
    """
    gram = (common.T @ common).astype(np.float64)  # whole numbers: exact, and not by a threaded library
    inverse = np.linalg.pinv(gram, rcond=1e-9, hermitian=True)
    result = np.empty(ranks.shape, np.float64)
    for first in range(0, ranks.shape[1], REGRESSED):
        part = ranks[:, first : first + REGRESSED].astype(np.int64)
        products = (common.T @ part).astype(np.float64)
        rest = part.astype(np.float64)
        for vector, weights in zip(common.T, inverse, strict=True):
            slope = sum(weight * product for weight, product in zip(weights, products, strict=True))
            rest -= vector[:, None] * slope
        largest = _largest(rest)
        gone = largest <= 1e-6 * _largest(part)
        rest *= 2.0**22 / np.where(gone, 1, largest)
        np.rint(rest, out=rest)
        whole = rest.astype(np.int64)
        squares = (whole * whole).sum(axis=0)
        rest *= np.where(gone, 0, FINE / np.sqrt(np.maximum(squares, 1)))
        result[:, first : first + REGRESSED] = np.rint(rest) / FINE
    return result


def _largest(values: np.ndarray) -> np.ndarray:
    """Each column's largest absolute value, 0 without rows."""
    return np.asarray(np.maximum(values.max(axis=0, initial=0), -values.min(axis=0, initial=0)))


def products_of(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Correlations of unit residuals, (N, A), (N, B) → (A, B) float32; NaN where nothing was left of a channel."""
    result = np.empty((left.shape[1], right.shape[1]), np.float32)
    for first in range(0, left.shape[1], CHUNK):
        result[first : first + CHUNK] = left[:, first : first + CHUNK].T @ right
    np.clip(result, -1, 1, out=result)
    result[~left.any(axis=0)] = np.nan
    result[:, ~right.any(axis=0)] = np.nan
    return result


# -- matches -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Criterion:
    """When two channels match: if they share at least `shared` of their nine pictures, or if ρ′ is above `partial`."""

    shared: int
    partial: float

    def met(self, shared: np.ndarray, partial: np.ndarray) -> np.ndarray:
        """Whether pairs with these numbers match; bool of their shape."""
        with np.errstate(invalid="ignore"):
            return np.asarray((shared >= self.shared) | (partial > self.partial))


@dataclass(frozen=True)
class Matching:
    """Every two channels of two layers; (A, B) each.

    shared: pictures in both top-9 lists; rho: Spearman's ρ; partial: ρ′; both NaN where they are not defined; strength:
    the mean of shared / 9 and of ρ′ where it is positive; is_match: whether the two match.
    """

    shared: np.ndarray
    rho: np.ndarray
    partial: np.ndarray
    strength: np.ndarray
    is_match: np.ndarray

    def transposed(self) -> Matching:
        """The same, seen from the second layer."""
        return Matching(self.shared.T, self.rho.T, self.partial.T, self.strength.T, self.is_match.T)

    def matches(self, count: int = MATCHES) -> dict[str, np.ndarray]:
        """Each channel's best matches, strongest first, ties by the lower number: channel int32, −1 where there are
        fewer; shared int16; rho and partial float32; (A, count) each."""
        count = min(count, self.strength.shape[1])
        best = np.argsort(-np.where(self.is_match, self.strength, -1), axis=1, kind="stable")[:, :count]
        match, shared, rho, partial = (
            np.take_along_axis(values, best, 1)
            for values in (self.is_match, self.shared, self.rho, self.partial)
        )
        return {
            "channel": np.where(match, best, -1).astype(np.int32),
            "shared": np.where(match, shared, 0).astype(np.int16),
            "rho": np.where(match, rho, np.nan).astype(np.float32),
            "partial": np.where(match, partial, np.nan).astype(np.float32),
        }


@dataclass(frozen=True)
class ScoredLayer(LayerResponses):
    """A layer's responses with the scores behind them: (N, C), of the pictures whose numbers are `pictures`, (N,)."""

    scores: np.ndarray
    pictures: np.ndarray

    @classmethod
    def of(cls, top_image: np.ndarray, scores: np.ndarray, pictures: np.ndarray) -> ScoredLayer:
        """From the top-9 images, −1 throughout for inactive channels, and the scores."""
        return cls(top_image, centred_ranks(scores), scores, pictures)

    def only_scored(self) -> np.ndarray:
        """(C, 9): the channels' top-9 images, those alone whose scores are stored."""
        return np.where(np.isin(self.top_image, self.pictures), self.top_image, -1)


@dataclass(frozen=True)
class RandomDirections:
    """Random directions of a layer. repeats: how many times as many as it has active channels; ranks: (N, D) centred
    ranks of their values; top_image: (D, 9) the pictures with the largest values."""

    repeats: int
    ranks: np.ndarray
    top_image: np.ndarray

    @classmethod
    def of(cls, layer: ScoredLayer) -> RandomDirections:
        """Sums of the standardised scores of all active channels with independent normal weights."""
        active = layer.active & (np.ptp(layer.ranks, axis=0) > 0)
        scores = layer.scores[:, active].astype(np.float64)
        scores -= scores.mean(axis=0)
        standard = np.rint(scores * (COARSE / scores.std(axis=0)))
        channels = standard.shape[1]
        repeats = -(-DIRECTIONS // max(1, channels))
        random = np.random.default_rng([SEED, channels])
        weights = np.rint(COARSE * random.standard_normal((channels, repeats * channels)))
        values = standard @ weights  # whole numbers below 2⁵³: exact
        if np.abs(values).max(initial=0) < 2**31:
            values = values.astype(np.int32)  # sorted faster
        ranks = centred_ranks(values)
        return cls(repeats, ranks, layer.pictures[_first(ranks)])


def _first(ranks: np.ndarray) -> np.ndarray:
    """The rows of each column's nine highest ranks, ties by the lower row; (N, D) → (D, 9), fewer of fewer rows."""
    return lowest(np.ascontiguousarray(-ranks.T), TOP)


@dataclass(frozen=True)
class Chance:
    """Random directions of the first layer against the second layer's active channels.

    criterion: what makes a match; shared, partial: of every pair, (repeats, A, B).
    """

    criterion: Criterion
    shared: np.ndarray
    partial: np.ndarray

    @property
    def is_match(self) -> np.ndarray:
        """(repeats, A, B) bool: the matches by chance."""
        return self.criterion.met(self.shared, self.partial)

    @property
    def matched(self) -> float:
        """How many channels of the second layer match at least one of as many directions as the first has channels."""
        return float(self.is_match.any(axis=1).sum() / len(self.shared))

    def matching(self, least: int = 1) -> float:
        """How many of as many directions as the first layer has channels match at least `least` channels."""
        return float((self.is_match.sum(axis=2) >= least).sum() / len(self.shared))

    def best(self) -> tuple[np.ndarray, np.ndarray]:
        """Of every channel of the second layer and its strongest random direction: ρ′ and shared pictures, each
        (repeats, B)."""
        chosen = strengths(self.shared, self.partial).argmax(axis=1)[:, None]
        partial, shared = (
            np.take_along_axis(values, chosen, 1)[:, 0] for values in (self.partial, self.shared)
        )
        return partial, shared

    def best_of_directions(self) -> np.ndarray:
        """Of every random direction and its most similar channel of the second layer: ρ′, (repeats, A)."""
        chosen = strengths(self.shared, self.partial).argmax(axis=2)[..., None]
        values: np.ndarray = np.take_along_axis(self.partial, chosen, 2)[..., 0]
        return values


@dataclass(frozen=True)
class Compared:
    """Two layers compared: their matching, what chance gives (None where a layer has no active channel), and the unit
    residuals of both layers, (N, A) and (N, B)."""

    matching: Matching
    chance: Chance | None
    left: np.ndarray
    right: np.ndarray


def compared(
    source: ScoredLayer,
    target: ScoredLayer,
    directions: RandomDirections | None = None,
    searched: int | None = None,
) -> Compared:
    """Compare two layers of the same pictures.

    directions: those of the source, where they are known already. searched: how many channels each is compared with in
    all; without it, those of the larger layer.
    """
    common = common_vectors(source.ranks, target.ranks)
    left, right = unit_residuals(source.ranks, common), unit_residuals(target.ranks, common)
    shared = shared_counts(source.top_image, target.top_image)
    partial = products_of(left, right)
    active = np.flatnonzero(target.active)
    chance = None
    if len(active) and source.active.any():
        directions = directions or RandomDirections.of(source)
        drawn = products_of(unit_residuals(directions.ranks, common), right[:, active])
        same = shared_counts(directions.top_image, target.only_scored()[active])
        searched = searched or max(int(source.active.sum()), len(active))
        shape = (directions.repeats, -1, len(active))
        chance = Chance(criterion(same, drawn, searched), same.reshape(shape), drawn.reshape(shape))
        is_match = chance.criterion.met(shared, partial) & source.active[:, None] & target.active[None, :]
    else:
        is_match = np.zeros(shared.shape, bool)
    rho = rank_correlations(source.ranks, target.ranks)
    return Compared(Matching(shared, rho, partial, strengths(shared, partial), is_match), chance, left, right)


def criterion(shared: np.ndarray, partial: np.ndarray, searched: int) -> Criterion:
    """What random pairs reach so seldom that a channel compared with `searched` others has EXPECTED matches by chance:
    half of them by shared pictures and half by ρ′. shared, partial: of the random pairs."""
    share = EXPECTED / 2 / searched
    counts = np.bincount(shared.ravel(), minlength=TOP + 2)
    reached = counts[::-1].cumsum()[::-1] / shared.size  # of pairs, with at least this many
    pictures = next(count for count in range(STRONG_PICTURES, TOP + 2) if reached[count] <= share)
    return Criterion(pictures, level(partial[np.isfinite(partial)], share))


def level(values: np.ndarray, share: float) -> float:
    """The correlation above which lies this share of the values, rounded up to four digits.

    Where fewer than RESOLVED values are above it, Fisher's z beyond the last resolved quantile is taken as normal, with
    the spread that this quantile has.
    """
    from scipy.special import ndtri

    if not values.size:
        return 1.0
    resolved = max(share, min(RESOLVED / values.size, 0.5))
    rank = values.size - 1 - int(resolved * values.size)
    reached = float(np.partition(values, rank)[rank])
    if resolved > share:
        middle, edge = (np.arctanh(min(v, 1 - 1e-7)) for v in (float(np.median(values)), reached))
        reached = float(np.tanh(middle + (edge - middle) * ndtri(1 - share) / ndtri(1 - min(resolved, 0.4))))
    return min(1.0, float(np.ceil(reached * 1e4) / 1e4))

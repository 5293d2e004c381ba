"""How far two layers correspond: means over channels with intervals over pictures, next to untied pairs and chance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generator.core.correspondence import shared_counts_of_sets, strengths, strongest_match
from generator.core.matching import BAND, Compared, Criterion, ScoredLayer
from generator.core.records import TOP
from generator.methods.half_nines import FIVE, kept_on_halves
from generator.methods.rank_intervals import mean_error
from generator.methods.resampling import both_halves, bound, first_of, halvings, rounded, standard_error

SEARCHES = 30  # halvings in which the best matches are searched again
SAMPLE = 256  # channels of the second layer, at most, whose matches are searched again
PAIRS_AT_ONCE = 2**21  # pairs of channels, on several halves, whose shared pictures are counted at once: 4 MB
HUBS = 5  # pictures named per layer


@dataclass(frozen=True)
class Ranked:
    """A layer with the order of its strongest pictures: (C, D) rows of its scores, −1 for none (resampling.ranking)."""

    layer: ScoredLayer
    order: np.ndarray


def correspondence(source: Ranked, target: Ranked, both: Compared, *, tied: bool) -> dict[str, Any]:
    """What relations.json says of a pair of layers; values that are not known are left out.

    tied: whether the network adds channels of equal numbers, so that these are no untied pairs.

    channels: active ones of the target. match_shared, match_partial: the criterion of a match. untied_*: mean, spread
    (standard deviation) and band of the pairs of active channels, without equal numbers where tied. best_*: means over
    channels of the target and their most similar channel, of another number where tied; chance_*: the same for as many
    random directions. matched, matching, several: channels of the target with a match, of the source with a match, and
    with several, of another number where tied; *_expected: as many by chance. repeated: the share of the matches on
    half of the pictures that are matches on the other half. Where both layers have as many channels, same_*: means
    over equal numbers; same_best: the share whose most similar channel has their own number; same_matched: the share
    that match. *_margin: half the width of the interval of 95 % over pictures.
    """
    matching, chance = both.matching, both.chance
    rows, columns = np.flatnonzero(source.layer.active), np.flatnonzero(target.layer.active)
    result: dict[str, Any] = {"channels": len(columns)}
    if chance is None:
        return result
    untied = np.ones((len(rows), len(columns)), bool)
    if tied:
        untied &= rows[:, None] != columns
    corner = np.ix_(rows, columns)
    rho, partial, shared, strength, is_match = (
        values[corner]
        for values in (
            matching.rho,
            matching.partial,
            matching.shared,
            matching.strength,
            matching.is_match & ~_equal(matching.shared.shape, tied),
        )
    )
    result |= {"match_shared": chance.criterion.shared, "match_partial": chance.criterion.partial}
    result |= _untied(rho[untied], partial[untied], shared[untied])
    best = strongest_match(np.where(untied, strength, -1).T)
    at = np.arange(len(columns))
    found = untied[best, at]  # a single channel has no other number
    of_chance = chance.best()
    result |= {
        "best_rho": _mean(rho[best, at][found]),
        "best_partial": _mean(partial[best, at][found]),
        "best_shared": _mean(shared[best, at][found]),
        "chance_partial": _mean(of_chance[0]),
        "chance_shared": _mean(of_chance[1]),
        "matched": int(is_match.any(axis=0).sum()),
        "matched_expected": round(chance.matched, 2),
        "matching": int(is_match.any(axis=1).sum()),
        "matching_expected": round(chance.matching(), 2),
        "several": int((is_match.sum(axis=1) > 1).sum()),
        "several_expected": round(chance.matching(2), 2),
    }
    search = _searched(source, target, both, chance.criterion, tied=tied)
    result |= {"repeated": search.repeated, "best_partial_margin": search.margin(search.best)}
    if len(source.layer.top_image) == len(target.layer.top_image):
        result |= _same(source, target, both) | {"same_best_margin": search.margin(search.own)}
    return {name: value for name, value in result.items() if value is not None}


def _equal(shape: tuple[int, int], tied: bool) -> np.ndarray:
    """(A, B) bool: the pairs of equal numbers, where they are tied."""
    return np.eye(*shape, dtype=bool) if tied else np.zeros(shape, bool)


def _untied(rho: np.ndarray, partial: np.ndarray, shared: np.ndarray) -> dict[str, float | None]:
    """Means, spread and band of untied pairs."""
    known = partial[np.isfinite(partial)]
    band = np.quantile(known, [(1 - BAND) / 2, (1 + BAND) / 2]) if known.size else [np.nan, np.nan]
    return {
        "untied_rho": _mean(rho),
        "untied_rho_spread": _mean(rho, np.std),
        "untied_partial": _mean(partial),
        "untied_partial_spread": _mean(partial, np.std),
        "untied_partial_low": _mean(np.asarray(band[0])),
        "untied_partial_high": _mean(np.asarray(band[1])),
        "untied_shared": _mean(shared),
    }


def _same(source: Ranked, target: Ranked, both: Compared) -> dict[str, float | None]:
    """What holds of channels of equal numbers that are active in both layers."""
    active = np.flatnonzero(source.layer.active & target.layer.active)
    if not len(active):
        return {}
    matching = both.matching
    x, y = source.layer.ranks[:, active], target.layer.ranks[:, active]
    rho, rho_error = mean_error(x, x, y, y)
    partial, partial_error = mean_error(x, both.left[:, active], y, both.right[:, active])
    best = strongest_match(np.where(source.layer.active[:, None], matching.strength, -1).T[active])
    return {
        "same_rho": rounded(rho),
        "same_rho_margin": rounded(bound() * rho_error),
        "same_partial": rounded(partial),
        "same_partial_margin": rounded(bound() * partial_error),
        "same_shared": _mean(matching.shared[active, active]),
        "same_shared_margin": rounded(
            bound() * shared_error(source.order[active], target.order[active], len(x))
        ),
        "same_best": _mean(best == active),
        "same_matched": _mean(matching.is_match[active, active]),
    }


def shared_error(order: np.ndarray, other: np.ndarray, pictures: int) -> float:
    """The standard error of the mean number of shared pictures of equal rows of two rankings, (C, D) each."""
    member = halvings(pictures)
    halves = kept_on_halves(order, other, both_halves(order, member), both_halves(other, member))
    return float(standard_error(*(half.mean(axis=1) for half in halves)))


# -- searches on halves of the pictures --------------------------------------------------------------------------------


@dataclass
class _Search:
    """Searches for the best matches on both halves of every halving. own: share whose most similar channel has their
    own number; best: mean ρ′ of the most similar (other) channel; again, matches: matches found on both halves, and on
    one half."""

    own: list[tuple[float, float]] = field(default_factory=list)
    best: list[tuple[float, float]] = field(default_factory=list)
    again: int = 0
    matches: int = 0

    @property
    def repeated(self) -> float | None:
        return round(2 * self.again / self.matches, 6) if self.matches else None

    @staticmethod
    def margin(values: list[tuple[float, float]]) -> float | None:
        halves = np.array(values, np.float64).reshape(-1, 2)
        return rounded(bound() * float(standard_error(halves[:, 0], halves[:, 1]))) if len(halves) else None


def _searched(source: Ranked, target: Ranked, both: Compared, criterion: Criterion, *, tied: bool) -> _Search:
    """Search the matches of at most SAMPLE channels of the target, evenly spaced, on halves of the pictures.

    A half's most similar channel is found with each picture counted twice, as in all intervals; its matches are those
    of a set of half as many pictures, by the same criterion.
    """
    rows, columns = np.flatnonzero(source.layer.active), np.flatnonzero(target.layer.active)
    sample = columns[np.linspace(0, len(columns) - 1, min(SAMPLE, len(columns))).round().astype(int)]
    own = rows[:, None] == sample
    left, right = both.left[:, rows], both.right[:, sample]
    order, other = source.order[rows], target.order[sample]
    search = _Search()
    members = halvings(len(left), SEARCHES)
    correlations, counts = _half_correlations(left, right, members), _half_shared(order, other, members)
    for partials, halves in zip(correlations, counts, strict=True):
        found, shares, means = [], [], []
        for partial, (shared, alone) in zip(partials, halves, strict=True):
            strength = strengths(shared, partial)
            best = strongest_match(strength.T)
            shares.append(float(own[best, np.arange(len(sample))].mean()))
            apart = strongest_match(np.where(own, -1, strength).T) if tied else best
            best_partial = partial[apart, np.arange(len(sample))]
            best_partial = best_partial[np.isfinite(best_partial)]
            means.append(float(best_partial.mean(dtype=np.float64)) if best_partial.size else float("nan"))
            met = criterion.met(alone, partial)
            found.append(met & ~own if tied else met)
        search.own.append((shares[0], shares[1]))
        search.best.append((means[0], means[1]))
        search.again += int((found[0] & found[1]).sum())
        search.matches += int(found[0].sum() + found[1].sum())
    return search


def _half_correlations(
    left: np.ndarray, right: np.ndarray, members: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Correlations of unit residuals over the pictures of each half; (N, A), (N, B), (P, N) → P times two (A, B).

    The residuals are multiples of 2⁻²⁴, so that the sums over one half are exactly those over all pictures less those
    over the other half.
    """
    whole = left.T @ right
    sums = [_half_sums(values, members) for values in (left, right, left * left, right * right)]
    for half, member in enumerate(members):
        rows = np.flatnonzero(member)
        first = np.take(left, rows, axis=0).T @ np.take(right, rows, axis=0)
        sides = (first, len(rows)), (whole - first, len(member) - len(rows))
        correlations = [
            _correlation(products, count, *(values[side][half] for values in sums))
            for side, (products, count) in enumerate(sides)
        ]
        yield correlations[0], correlations[1]


def _half_sums(values: np.ndarray, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums of (N, C) over the first halves and over the second ones, (P, C) each; exact like those of products."""
    inside = members.astype(np.float64)
    return inside @ values, (1 - inside) @ values


def _correlation(
    products: np.ndarray,
    count: int,
    sums: np.ndarray,
    others: np.ndarray,
    squares: np.ndarray,
    other_squares: np.ndarray,
) -> np.ndarray:
    """From sums over `count` rows: of products of two sets of columns, (A, B), of the columns, and of their squares;
    (A,) and (B,) each. NaN where a column is constant."""
    spread = np.sqrt(np.maximum(squares - sums * sums / count, 0))
    other_spread = np.sqrt(np.maximum(other_squares - others * others / count, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = spread[:, None] * other_spread
        scale[scale <= 1e-9] = np.nan
        values: np.ndarray = (products - sums[:, None] * others / count) / scale
    return values


def _half_shared(
    order: np.ndarray, other: np.ndarray, members: np.ndarray
) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Pictures in the top-9 of both of every two channels if only a half's pictures are there, each twice, and each
    once: (A, D), (B, D), (P, N) → P times, of both halves, two (A, B) int16."""
    halves = np.stack([members, ~members], axis=1).reshape(-1, members.shape[1])  # (2 P, N)
    mine, theirs = (first_of(ranks, halves, TOP, whole=False) for ranks in (order, other))
    together = 2 * max(1, PAIRS_AT_ONCE // (2 * len(order) * len(other)))
    for first in range(0, len(halves), together):
        part = slice(first, first + together)
        # Each twice, nine places take four pictures twice and the fifth once.
        five, four, nine = (
            shared_counts_of_sets(mine[part, :, :count], theirs[part, :, :count])
            for count in (FIVE, FIVE - 1, TOP)
        )
        counts = list(zip(five + four, nine, strict=True))
        yield from (counts[place : place + 2] for place in range(0, len(counts), 2))


# -- hub pictures ------------------------------------------------------------------------------------------------------


def hubs(top_image: np.ndarray, pictures: int) -> dict[str, Any]:
    """The pictures that are among the top-9 of most channels, ties by the lower number, and in how many channels each
    picture would be if all were so equally often."""
    counts = np.bincount(top_image[top_image >= 0], minlength=pictures)
    active = int((top_image[:, 0] >= 0).sum())
    most = np.argsort(-counts, kind="stable")[:HUBS]
    return {
        "channels": active,
        "expected": round(min(TOP, pictures) * active / max(1, pictures), 6),
        "pictures": [
            {"picture": int(picture), "channels": int(counts[picture])} for picture in most if counts[picture]
        ],
    }


def _mean(values: np.ndarray, how: Any = np.mean) -> float | None:
    """The mean of the finite values, to six digits as in the tables; None where there is none."""
    known = np.asarray(values)[np.isfinite(values)].astype(np.float64)
    return rounded(float(how(known))) if known.size else None

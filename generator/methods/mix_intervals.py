"""How far the numbers of the residual stream would move with other pictures: the mix ratio of every channel, the
medians of a block, and rank correlations over its channels.

Pictures are resampled, never channels: see resampling.py. Ratios explode where their denominator is small, so errors
are computed on the balance m = (O(I*) − O(B*)) / (O(I*) + O(B*)), from −1 to 1, and carried over to M = (1 + m) / (1 −
m). A channel's error comes from nine pictures of each side and is itself uncertain: its square is averaged with the
median square of the block's channels (as in moderated t statistics, Smyth 2004, Statistical Applications in Genetics
and Molecular Biology 3). Intervals of nominally 95 % then cover 93 to 96 % on drawn pictures; without the average, 88
to 94 % (benchmarks/coverage_stream.py).

The error of a rank correlation over channels comes from leaving out a random quarter of the pictures (delete-d
jackknife, Shao and Wu 1989, Annals of Statistics 17). Halves are too small for it: their ratios are less certain than
those of all pictures, which weakens every correlation, and so the difference of two halves. No torch: processes start
at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import shared_pictures
from generator.core.ordering import average_ranks
from generator.methods.mixing import FEW, SKIPS
from generator.methods.resampling import (
    ALONE,
    SEED,
    both_halves,
    bound,
    halvings,
    ranking,
    reliability,
    slots,
    standard_error,
)

OWN = 0.5  # weight of a channel's own squared error; the rest is that of the block's median
# For the error of a rank correlation over channels a random share of the pictures is left out, TIMES times.
LEFT_OUT, TIMES = 0.25, 40
_EXACT = 2.0**20  # influences are rounded to 1 / _EXACT: their sums are then exact in any order


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SampleNumbers:
    """What a block's kept pictures say. (C,) float64 each: ratio_low, ratio_high: interval of the mix ratio, `high`
    infinite where it has no upper end; correlation, correlation_error: Spearman's ρ of Block with Input over the
    pictures that drive Input above zero, and its standard error. ratio_median, correlation_median: over the channels,
    None where no channel has one; associations: of the mix ratio with other numbers, over the channels; repeats: the
    split-half reliability of mix_ratio (as the balance) and block_correlation, NaN where there is none."""

    ratio_low: np.ndarray
    ratio_high: np.ndarray
    correlation: np.ndarray
    correlation_error: np.ndarray
    ratio_median: Interval | None
    correlation_median: Interval | None
    associations: dict[str, Interval | None]
    repeats: dict[str, float]


def balance(at_input: np.ndarray, at_block: np.ndarray) -> np.ndarray:
    """m = (a − b) / (a + b) of the outputs at the input's and at the branch's pictures, what is below zero counting as
    zero; NaN where neither is above zero. A missing value counts as zero, as in mix_ratio."""
    a, b = (np.maximum(np.nan_to_num(values), 0) for values in (at_input, at_block))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(a + b > 0, (a - b) / (a + b), np.nan)


def ratio_of(balances: np.ndarray) -> np.ndarray:
    """M = (1 + m) / (1 − m), infinite for m = 1; m is cut at −1 and 1."""
    m = np.clip(balances, -1, 1)
    with np.errstate(divide="ignore"):
        return (1 + m) / (1 - m)


def moderated(error: np.ndarray) -> np.ndarray:
    """Each channel's standard error after its square was averaged with the median square of all; (C,) → (C,)."""
    known = np.isfinite(error)
    if not known.any():
        return error
    return np.sqrt(OWN * error**2 + (1 - OWN) * np.median(error[known] ** 2))


def sample_numbers(
    at_input: np.ndarray,
    at_block: np.ndarray,
    outputs: tuple[np.ndarray, np.ndarray],
    others: Mapping[str, np.ndarray],
    *,
    signed: bool,
) -> SampleNumbers:
    """at_input, at_block: Input and Block at the centre on the kept pictures, (N, C) float32; outputs: the block's mean
    output at the nine pictures of each side, of all pictures, (C,) each; others: numbers of the channels that no
    picture moves, (C,) by name; signed: whether no ReLU follows the sum."""
    if not len(at_input):  # a picture that drives nothing counts as none
        at_input = at_block = np.zeros((1, at_input.shape[1]), np.float32)
    total = at_input + at_block
    output = total if signed else np.maximum(total, 0)
    member = halvings(len(at_input))
    whole = balance(*outputs)
    orders = {"input": ranking(at_input, signed=False), "block": ranking(at_block, signed=False)}
    of_halves = {side: both_halves(order, member) for side, order in orders.items()}
    halves = [
        balance(*(_means(order, of_halves[side][half], output) for side, order in orders.items()))
        for half in (0, 1)
    ]
    error = moderated(standard_error(*halves))
    reach = bound() * error
    # For reliability each half has nine pictures of its own.
    of_alone = {side: both_halves(order, member[:ALONE], times=1) for side, order in orders.items()}
    alone = [
        balance(*(_means(order, of_alone[side][half], output) for side, order in orders.items()))
        for half in (0, 1)
    ]
    rho, influence, counted = rank_influence(at_input, at_block)
    rho_halves = [_part_correlations(rho, influence, counted, rows) for rows in (member, ~member)]
    # The same without a quarter of the pictures.
    rest = _all_but_a_quarter(len(at_input))
    of_rest = {side: slots(order, rest, 1) for side, order in orders.items()}
    left_out = balance(*(_means(order, of_rest[side], output) for side, order in orders.items()))
    everything = slots(orders["input"], np.ones((1, len(at_input)), bool), 1)
    moved = {
        "block_at_input": (
            _means(orders["input"], everything, at_block)[0],
            _means(orders["input"], of_rest["input"], at_block),
        ),
        "block_correlation": (rho, _part_correlations(rho, influence, counted, rest)),
    }
    fixed = {name: (values, np.broadcast_to(values, left_out.shape)) for name, values in others.items()}
    return SampleNumbers(
        # A ratio without a denominator stands as SKIPS: its interval begins there or below.
        ratio_low=np.where(whole >= 1, np.minimum(ratio_of(whole - reach), SKIPS), ratio_of(whole - reach)),
        ratio_high=ratio_of(whole + reach),
        correlation=rho,
        correlation_error=_influence_error(influence, counted),
        ratio_median=_median_ratio(whole, halves),
        correlation_median=median_interval(rho, *rho_halves),
        associations={
            name: _association(_stored(whole), _stored(left_out), *values)
            for name, values in (fixed | moved).items()
        },
        repeats={
            "mix_ratio": reliability(*alone),
            "block_correlation": reliability(*(part[:ALONE] for part in rho_halves)),
        },
    )


def _all_but_a_quarter(pictures: int) -> np.ndarray:
    """(TIMES, N) bool: each row holds all pictures but a random share of LEFT_OUT."""
    random = np.random.default_rng([SEED, pictures, TIMES])
    kept = np.ones((TIMES, pictures), bool)
    for row in kept:
        row[random.permutation(pictures)[: round(LEFT_OUT * pictures)]] = False
    return kept


def _means(order: np.ndarray, weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean of `values` (N, C) over the nine places of every part of the pictures, (P, C). order: (C, D); weights: (P,
    C, D)."""
    ranked = np.take_along_axis(values, np.maximum(order, 0).T, axis=0).T.astype(np.float64)  # (C, D)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([(part * ranked).sum(axis=1) / part.sum(axis=1) for part in weights])


def median_interval(values: np.ndarray, first: np.ndarray, second: np.ndarray) -> Interval | None:
    """The median over the channels with its interval. values: (C,); first, second: on both halves, (P, C). Ends are NaN
    where the halves do not have enough values; None where no channel has a value."""
    known = np.isfinite(values)
    if not known.any():
        return None
    error = standard_error(*(_medians(half[:, known]) for half in (first, second)))
    value, reach = float(np.median(values[known])), bound() * float(error)
    return Interval(value, value - reach, value + reach)


def _medians(values: np.ndarray) -> np.ndarray:
    """(P, C) → (P,), NaN where no channel has a value."""
    if np.isfinite(values).all() and values.size:
        return np.asarray(np.median(values, axis=1))
    rows = [row[np.isfinite(row)] for row in values]
    return np.array([np.median(row) if len(row) else np.nan for row in rows])


def _median_ratio(whole: np.ndarray, halves: list[np.ndarray]) -> Interval | None:
    on_balance = median_interval(whole, *halves)
    if on_balance is None:
        return None
    low, high = ratio_of(np.array([on_balance.low, on_balance.high])).tolist()
    return Interval(float(np.nanmedian(_stored(whole))), low, high)


def _stored(balances: np.ndarray) -> np.ndarray:
    """The mix ratios of these balances as mix_ratio defines them: SKIPS where the output at Block's pictures is 0."""
    return np.where(balances >= 1, SKIPS, ratio_of(balances))


# -- rank correlations -----------------------------------------------------------------------------------------


def rank_influence(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spearman's ρ of each column of x and y over the rows where x is above zero, and how each row moves it; (N, C)
    each.

    Returns ρ (C,) float64, NaN where fewer than FEW rows are left or one column is constant; the influence of each row
    (N, C) float32, of mean zero, 0 for rows that do not count; which rows count (N, C) bool. With F and G the shares of
    values below x and y, ρ = 12 E[F G] − 3, and a row's influence is 12 (F(x) G(y) + E[G(Y); X ≥ x] + E[F(X); Y ≥ y])
    less its mean.
    """
    rho = np.full(x.shape[1], np.nan)
    influence, counted = np.zeros(x.shape, np.float32), x > 0
    for channel in np.flatnonzero(counted.sum(axis=0) >= FEW).tolist():
        rows = counted[:, channel]
        first, second = x[rows, channel], y[rows, channel]
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            continue
        count = len(first)
        orders = [np.argsort(values, kind="stable") for values in (first, second)]
        below = [
            (average_ranks(values, order) - 0.5) / count
            for values, order in zip((first, second), orders, strict=True)
        ]
        centred = [part - part.mean() for part in below]
        scale = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
        rho[channel] = (centred[0] * centred[1]).sum() / scale
        above = []
        for order, other in zip(orders, below[::-1], strict=True):
            sums = np.empty(count)
            sums[order[::-1]] = np.cumsum(other[order[::-1]]) / count
            above.append(sums)
        effect = 12 * (below[0] * below[1] + above[0] + above[1])
        influence[rows, channel] = effect - effect.mean()
    return rho, influence, counted


def _influence_error(influence: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """The standard error of ρ: the influences' standard deviation over the root of their number, (C,)."""
    count = counted.sum(axis=0)
    squares = (influence.astype(np.float64) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(squares / (count - 1) / count)
    return np.where((count >= FEW) & (squares > 0), error, np.nan)


def _part_correlations(
    rho: np.ndarray, influence: np.ndarray, counted: np.ndarray, member: np.ndarray
) -> np.ndarray:
    """ρ on parts of the pictures to first order, (P, C): ρ plus the mean influence of the part's rows. member: (P, N)
    bool."""
    rows = member.astype(np.float64)
    sums = rows @ np.rint(influence.astype(np.float64) * _EXACT) / _EXACT
    with np.errstate(invalid="ignore", divide="ignore"):
        return rho + sums / (rows @ counted.astype(np.float64))


def _association(
    whole: np.ndarray, left_out: np.ndarray, other: np.ndarray, other_left_out: np.ndarray
) -> Interval | None:
    """Spearman's ρ of the mix ratio with another number over the channels, with its interval over pictures; None where
    it is not defined. whole, other: (C,); left_out, other_left_out: without a quarter of the
    pictures, (TIMES, C)."""
    value = rank_correlation(whole, other)
    if value is None:
        return None
    found = [rank_correlation(one, two) for one, two in zip(left_out, other_left_out, strict=True)]
    values = np.array([each for each in found if each is not None])
    if len(values) < TIMES:
        return Interval(value, float("nan"), float("nan"))
    reach = bound() * float(np.sqrt((1 - LEFT_OUT) / LEFT_OUT) * np.std(values, ddof=1))
    return Interval(value, max(-1.0, value - reach), min(1.0, value + reach))


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float | None:
    """Spearman's ρ over the channels that have both, (C,) each; None where fewer than FEW have, or one is constant."""
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < FEW or np.ptp(x[known]) == 0 or np.ptp(y[known]) == 0:
        return None
    ranks = [average_ranks(values, np.argsort(values)) for values in (x[known], y[known])]
    centred = [part - part.mean() for part in ranks]
    scale = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / scale)


# -- shares ----------------------------------------------------------------------------------------------------


def share_intervals(image: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, Interval | None]:
    """The standard error of each channel's mean share, (C,), and the median over the channels with its interval.

    image, share: the nine pictures of each channel (−1 for none) and the shares of their units, (C, 9). Only pictures
    among these are known, so a half's list ends with them.
    """
    known = (image >= 0) & np.isfinite(share)
    pictures, numbers = np.unique(image, return_inverse=True)
    order = np.where(known, numbers.reshape(image.shape), -1)
    weights = both_halves(order, halvings(len(pictures)))
    values = np.nan_to_num(share.astype(np.float64))
    halves = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for part in weights:
            halves.append(np.stack([(one * values).sum(axis=1) / one.sum(axis=1) for one in part]))
        mean = np.where(known, values, 0).sum(axis=1) / known.sum(axis=1)
    return moderated(standard_error(*halves)), median_interval(mean, *halves)


# -- the two lists ---------------------------------------------------------------------------------------------


def overlap(input_image: np.ndarray, block_image: np.ndarray) -> np.ndarray:
    """How many pictures each channel's two lists share; (C, 9) each, −1 for none → (C,) uint8."""
    return shared_pictures(input_image, block_image).astype(np.uint8)


def untied_overlap(input_image: np.ndarray, block_image: np.ndarray) -> float:
    """How many pictures the list of one channel's Input shares with the list of another channel's Block, on average
    over all pairs of different channels; (C, 9) each, −1 for none. NaN for one channel alone."""
    channels = len(input_image)
    if channels < 2:
        return float("nan")
    size = int(max(input_image.max(), block_image.max(), 0)) + 1
    counts = [np.bincount(image[image >= 0], minlength=size) for image in (input_image, block_image)]
    pairs = int((counts[0] * counts[1]).sum()) - int(overlap(input_image, block_image).sum())
    return pairs / (channels * (channels - 1))

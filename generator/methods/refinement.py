"""How a channel changes from one block to the next of its stage (arXiv:1701.02362, section 4)."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from generator.core.correspondence import CLEAR_GAIN, SEED, STRONG_CORRELATION, STRONG_PICTURES
from generator.core.records import ReceptiveField

ROUNDS = 999  # permutations of a test: the smallest p value is 1 in 1,000
CHANGES = (
    "change",
    "blur",
    "stay",
    "refine",
)  # by their code in `change_previous`; −1: no block before, or dead


def shared_pictures(top_image: np.ndarray, other_top_image: np.ndarray) -> np.ndarray:
    """How many of each channel's strongest pictures are in the other list too; (C, 9), (C, 9) → (C,) int32."""
    same = (top_image[:, :, None] == other_top_image[:, None, :]) & (top_image[:, :, None] >= 0)  # (C, 9, 9)
    return same.any(axis=2).sum(axis=1).astype(np.int32)


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


def rank_correlation(scores: np.ndarray, other_scores: np.ndarray, chunk: int = 64) -> np.ndarray:
    """Spearman's ρ of each channel's scores over all pictures; (N, C), (N, C) → (C,), NaN where one is constant.

    Ties, such as the many zeros of a channel that is seldom active, get their average rank.
    """
    count, channels = scores.shape
    result = np.full(channels, np.nan, np.float32)
    if count < 2:
        return result

    def correlate(first: int) -> None:
        part = slice(first, first + chunk)
        ranks = rankdata(scores[:, part], axis=0)
        other_ranks = rankdata(other_scores[:, part], axis=0)
        result[part] = correlation(ranks, other_ranks)

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # sorting lets other threads work
        list(pool.map(correlate, range(0, channels, chunk)))
    return result


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each column; (N, C), (N, C) → (C,) float64, NaN where a column is constant."""
    x = x - x.mean(axis=0)
    y = y - y.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
        return np.where(scale > 0, (x * y).sum(axis=0) / scale, np.nan)


def refinement_scores(agreement: np.ndarray, earlier: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """The refinement score of every channel (last axis: later) against every earlier one; (B,), (A,), (A, B) → (A, B).

    max(ρ, 0) × (agreement later − agreement earlier): how much more alike the top nine pictures have become, weighted
    by how similarly the two channels still rank the pictures. −1 … 1, NaN where either agreement is unknown.
    """
    return np.maximum(np.nan_to_num(rho), 0) * (agreement[None, :] - earlier[:, None])


def kinds(shared: np.ndarray, rho: np.ndarray, score: np.ndarray) -> np.ndarray:
    """How each channel changes from block to block, (C,) int8 by CHANGES.

    refine, blur: it still matches its earlier self (3 pictures shared or ρ ≥ 0.5), and its score is 0.05 or more, or
    −0.05 or less. Of the others, those that keep 3 pictures stay, and those that do not change.
    """
    with np.errstate(invalid="ignore"):
        match = (shared >= STRONG_PICTURES) | (rho >= STRONG_CORRELATION)
        gain = np.where(score >= CLEAR_GAIN, 3, np.where(score <= -CLEAR_GAIN, 1, -1))
    rest = np.where(shared >= STRONG_PICTURES, 2, 0)
    return np.where(match & (gain >= 0), gain, rest).astype(np.int8)


@dataclass(frozen=True)
class Permuted:
    """One pair's part in a test: the sum over its channels as they are, the sums as chance would have them (ROUNDS,),
    and how many channels take part. Sums of several pairs add up to a stage's or a network's test."""

    observed: float
    permuted: np.ndarray
    channels: int

    def __add__(self, other: Permuted) -> Permuted:
        return Permuted(
            self.observed + other.observed, self.permuted + other.permuted, self.channels + other.channels
        )

    @property
    def p(self) -> float:
        """The chance of as large a sum, one-sided: (1 + those as large) / (1 + ROUNDS)."""
        return (1 + int((self.permuted >= self.observed).sum())) / (1 + len(self.permuted))


def _exact(values: np.ndarray) -> np.ndarray:
    """As multiples of 2⁻³², so that no sum of them depends on its order."""
    return np.round(np.asarray(values, np.float64) * 2.0**32) / 2.0**32


def permuted(values: np.ndarray, stream: int, rounds: int = ROUNDS) -> Permuted:
    """A quantity of pairs of channels, summed over equal numbers and over permuted ones; (A, A) → the part of a test.

    The null hypothesis: which earlier channel carries a later one's number does not matter. A channel whose value with
    itself is unknown (NaN) takes no part. stream: numbers the pair, so that each has permutations of its own.
    """
    known = np.isfinite(np.diagonal(values))
    values = _exact(values[np.ix_(known, known)])
    random = np.random.default_rng([SEED, stream])
    columns = np.arange(len(values))
    sums = [values[random.permutation(len(values)), columns].sum() for _ in range(rounds)]
    return Permuted(float(np.trace(values)), np.array(sums), len(values))


def exchanged(values: np.ndarray, stream: int, rounds: int = ROUNDS) -> Permuted:
    """A signed quantity of each channel, summed as it is and with every channel's two blocks exchanged at random, which
    turns its sign; (C,), NaN where unknown.

    The null hypothesis: nothing tells the later block from the earlier. It takes the channels as independent.
    """
    values = _exact(values[np.isfinite(values)])
    random = np.random.default_rng([SEED, stream])
    signs = random.integers(0, 2, (rounds, len(values)), np.int8).astype(np.float64) * 2 - 1
    return Permuted(float(values.sum()), signs @ values, len(values))

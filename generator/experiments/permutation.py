"""Permutation tests of quantities of pairs of channels, as the experiments with trained designs use them.

They take channels as the sample, and a quantity that rises for any pairing of channels passes them: an atlas does not
use them (see generator/methods/refinement.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import SEED

ROUNDS = 999  # permutations of a test: the smallest p value is 1 in 1,000


def refinement_scores(agreement: np.ndarray, earlier: np.ndarray, rho: np.ndarray) -> np.ndarray:
    """The refinement score of every channel (last axis: later) against every earlier one; (B,), (A,), (A, B) → (A, B).

    max(ρ, 0) × (agreement later − agreement earlier): how much more alike the top nine pictures have become, weighted
    by how similarly the two channels still rank the pictures. −1 … 1, NaN where either agreement is unknown.
    """
    return np.maximum(np.nan_to_num(rho), 0) * (agreement[None, :] - earlier[:, None])


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

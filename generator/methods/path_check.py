"""Whether optimised pictures take the same path through the network as natural ones (Geirhos et al., arXiv:2306.04719,
section 4): how alike the activations are that they cause in the layers below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from generator.methods.resampling import SEED

NUMBERS = 4096  # of a layer's activations, at most, that are compared


@dataclass(frozen=True)
class PathAgreement:
    """Mean rank correlations of one channel in one layer; NaN where there is no pair.

    optimised: the optimised picture and each natural one; same: two natural ones of the channel; other: a natural one
    of this channel and one of another.
    """

    optimised: float
    same: float
    other: float


def chosen_numbers(count: int) -> np.ndarray:
    """Which of a layer's `count` activations are compared: all, or NUMBERS drawn at random, the same ones always."""
    if count <= NUMBERS:
        return np.arange(count)
    return np.sort(np.random.default_rng([SEED, count]).choice(count, NUMBERS, replace=False))


def path_agreement(optimised: np.ndarray, natural: np.ndarray, others: np.ndarray) -> PathAgreement:
    """optimised: (D,) activations; natural, others: (m, D), (n, D) of this channel's and of another's pictures."""
    own = _standard_ranks(natural)
    across = own @ _standard_ranks(others).T
    among = (own @ own.T)[np.triu_indices(len(own), 1)]
    of_optimised = own @ _standard_ranks(optimised[None])[0]
    return PathAgreement(_mean(of_optimised), _mean(among), _mean(across.ravel()))


def _standard_ranks(activations: np.ndarray) -> np.ndarray:
    """Ranks of mean zero and length one, (m, D): their products are Spearman's correlations; NaN for a constant."""
    ranks = rankdata(activations, axis=1)
    centred = ranks - ranks.mean(1, keepdims=True)
    length = np.sqrt((centred**2).sum(1, keepdims=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        standard: np.ndarray = np.where(length > 0, centred / length, np.nan)
    return standard


def _mean(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")

"""How far the scale criteria tell channels apart that truly do not mind the size of what they answer to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from generator.methods.mixing import FEW


def driving_class(answers: np.ndarray) -> np.ndarray:
    """For each channel the class that drives it most at any size; (classes, sizes, C) → (C,) int64."""
    return answers.max(axis=1).argmax(axis=0)


def curves(answers: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Each channel's answers to one class by size; (classes, sizes, C) and the classes (C,) → (C, sizes)."""
    return answers[of, :, np.arange(answers.shape[2])]


def invariance(answers: np.ndarray, octave: int) -> np.ndarray:
    """The least answer over the greatest within an octave that holds the greatest, in [0, 1]; of the octaves that do,
    the one in which it is largest counts.

    answers: (C, sizes), the sizes in equal ratios; octave: how many neighbouring ones span an octave. An answer below
    zero counts as none; NaN where the greatest is not above zero.
    """
    windows = np.lib.stride_tricks.sliding_window_view(answers, octave, axis=1)  # (C, windows, octave)
    peak = answers.argmax(axis=1)[:, None]
    first = np.arange(windows.shape[1])
    holds = (first <= peak) & (peak < first + octave)
    least = np.where(holds, np.maximum(windows.min(axis=2), 0), 0).max(axis=1)
    most = answers.max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, least / most, np.nan)


@dataclass(frozen=True)
class Separation:
    """How well a yes or no tells large values from small ones. auc: the chance that a channel with yes has the larger
    value than one with no, ties counting half; p: of the two-sided Mann–Whitney test."""

    auc: float
    p: float
    yes: int
    no: int


def separation(holds: np.ndarray, values: np.ndarray) -> Separation | None:
    """Of the channels with a value; None where either answer is too seldom."""
    known = np.isfinite(values)
    yes, no = values[known & holds], values[known & ~holds]
    if min(len(yes), len(no)) < FEW:
        return None
    found = stats.mannwhitneyu(yes, no, alternative="two-sided")
    return Separation(float(found.statistic) / (len(yes) * len(no)), float(found.pvalue), len(yes), len(no))


def as_dict(found: Any) -> dict[str, Any] | None:
    """A result's fields, None for none."""
    return None if found is None else dict(vars(found))

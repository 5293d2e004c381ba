"""How well the scale criteria identify channels whose response does not depend on the size of what is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from generator.methods.mixing import FEW


def driving_class(responses: np.ndarray) -> np.ndarray:
    """For each channel the class with the largest response at any size; (classes, sizes, C) → (C,) int64."""
    return responses.max(axis=1).argmax(axis=0)


def curves(responses: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Each channel's responses to one class by size; (classes, sizes, C) and the classes (C,) → (C, sizes)."""
    return responses[of, :, np.arange(responses.shape[2])]


def invariance(responses: np.ndarray, octave: int) -> np.ndarray:
    """The smallest response as a share of the largest, within an octave of sizes that holds the largest, in [0, 1]; of
    several such octaves, the one with the largest share counts.

    responses: (C, sizes), the sizes in equal ratios; octave: how many neighbouring sizes span an octave. A response
    below zero counts as zero; NaN where the largest is not above zero.
    """
    windows = np.lib.stride_tricks.sliding_window_view(responses, octave, axis=1)  # (C, windows, octave)
    peak = responses.argmax(axis=1)[:, None]
    first = np.arange(windows.shape[1])
    holds = (first <= peak) & (peak < first + octave)
    least = np.where(holds, np.maximum(windows.min(axis=2), 0), 0).max(axis=1)
    most = responses.max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, least / most, np.nan)


@dataclass(frozen=True)
class Separation:
    """How well a criterion separates large values from small ones. auc: the probability that a channel that meets it
    has a larger value than one that does not, ties counting half; p: of the two-sided Mann–Whitney test; yes, no:
    numbers of channels."""

    auc: float
    p: float
    yes: int
    no: int


def separation(holds: np.ndarray, values: np.ndarray) -> Separation | None:
    """The separation among the channels with a value; None where fewer than FEW channels meet the criterion, or fail
    it."""
    known = np.isfinite(values)
    yes, no = values[known & holds], values[known & ~holds]
    if min(len(yes), len(no)) < FEW:
        return None
    test = stats.mannwhitneyu(yes, no, alternative="two-sided")
    return Separation(float(test.statistic) / (len(yes) * len(no)), float(test.pvalue), len(yes), len(no))


def as_dict(result: Any) -> dict[str, Any] | None:
    """A result's fields, None for none."""
    return None if result is None else dict(vars(result))

"""The statistics that the site knows: how each is named, written and defined. A new one is one entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


def significant(value: float) -> str:
    """Three significant digits, without an exponent unless the value is tiny.

    >>> [significant(v) for v in (0.0, 0.01234, 4.306, 1234.6)]
    ['0', '0.0123', '4.31', '1,235']
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}".replace("-", "−")


def percent(value: float) -> str:
    """A share as a percentage; a share that is not zero never reads as zero.

    >>> [percent(v) for v in (0.0, 0.0004, 0.034, 0.384)]
    ['0', '0.04', '3.4', '38']
    """
    hundredfold = 100 * value
    if hundredfold >= 10 or hundredfold == 0:
        return f"{hundredfold:.0f}"
    return f"{hundredfold:.1f}" if hundredfold >= 0.1 else f"{hundredfold:.1g}"


def correlation(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def count(value: float) -> str:
    return f"{value:.0f}"


@dataclass(frozen=True)
class Measure:
    """One statistic of a channel; its key is the array's name and the anchor of its definition."""

    key: str
    name: str
    unit: str
    definition: str
    format: Callable[[float], str]
    missing: float = float("nan")  # the value that stands for "there is none"

    def present(self, values: np.ndarray) -> np.ndarray:
        """Which channels have a value."""
        return np.isfinite(values) & (values != self.missing)


ACTIVATION = "act."

MEASURES: tuple[Measure, ...] = (
    Measure(
        "max",
        "strongest",
        ACTIVATION,
        "The largest value of the channel's activation map over all positions of all pictures, in the "
        "network's own units (activations have no physical unit; compare them within a layer only).",
        significant,
    ),
    Measure(
        "mean",
        "mean",
        ACTIVATION,
        "The mean of the channel's activation over all positions of all pictures.",
        significant,
    ),
    Measure(
        "std",
        "spread",
        ACTIVATION,
        "The standard deviation of the channel's activation over all positions of all pictures.",
        significant,
    ),
    Measure(
        "active_pictures",
        "active on",
        "% of pictures",
        "The share of pictures in which the channel's activation is above zero at one position or more.",
        percent,
    ),
    Measure(
        "active_positions",
        "active at",
        "% of positions",
        "The share of all positions of all pictures at which the channel's activation is above zero.",
        percent,
    ),
    Measure(
        "shared_previous",
        "pictures kept",
        "of 9",
        "How many of the channel's nine pictures are also among the nine of the same channel number in the "
        "previous block of the stage. The addition of a residual block ties the two channels together; "
        "between stages there is no such tie, so the first block of a stage has no value.",
        count,
        missing=-1,
    ),
    Measure(
        "spearman_previous",
        "rank correlation",
        "ρ",
        "Spearman's rank correlation, over the pictures, of the channel's score (its spatial maximum in the "
        "picture) with the score of the same channel number in the previous block of the stage: 1 where both "
        "blocks put the pictures in the same order, 0 where the orders have nothing to do with each other.",
        correlation,
    ),
    Measure(
        "pearson_previous",
        "linear correlation",
        "r",
        "Pearson's linear correlation of the same two scores.",
        correlation,
    ),
)

BY_KEY = {measure.key: measure for measure in MEASURES}
BINS = 24


def histogram(values: np.ndarray, present: np.ndarray) -> tuple[float, float, list[int]]:
    """Lowest value, highest value, and the bars' heights in twelfths of the highest bar; a bar never
    rounds to nothing.
    """
    shown = values[present].astype(np.float64)
    if shown.size == 0:
        return 0.0, 0.0, [0] * BINS
    low, high = float(shown.min()), float(shown.max())
    counts, _ = np.histogram(shown, bins=BINS, range=(low, high if high > low else low + 1.0))
    heights = np.where(counts > 0, np.maximum(1, np.round(12 * counts / max(1, counts.max()))), 0)
    return low, high, [int(height) for height in heights]

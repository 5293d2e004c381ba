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
    text = f"{value:.2f}".replace("-", "−")
    return "0.00" if text == "−0.00" else text


def signed(value: float) -> str:
    """Two decimals with their sign.

    >>> [signed(v) for v in (0.123, -0.05, 0.001)]
    ['+0.12', '−0.05', '0.00']
    """
    text = f"{value:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


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
        "ascent_value",
        "optimised",
        ACTIVATION,
        "The activation of the unit in the middle of the channel's map (or, where the profile says so, the mean of the "
        "map) for the channel's optimised picture as it is shown: rounded to 8 bits, unmoved. Beside *strongest* it "
        "says how far the picture goes beyond the best patch.",
        significant,
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
    Measure(
        "places_previous",
        "places kept",
        "of 9",
        "Of the pictures kept, how many also have the unit at the same place: the middles of the two units' receptive "
        "fields are at most one stride apart, to the side and up or down.",
        count,
        missing=-1,
    ),
    Measure(
        "refinement_previous",
        "refinement",
        "score",
        "How much more of one kind the nine pictures have become since the previous block of the stage, counted as far "
        "as the channel still orders the pictures alike: max(ρ, 0) × (label agreement here − label agreement there), "
        "from −1 to 1. From 0.05 on the channel refines, from −0.05 down it blurs; see the page Method.",
        signed,
    ),
    Measure(
        "label_purity",
        "label purity",
        "% of the nine",
        "The share of the nine pictures that carry the commonest of their labels. Needs nine labelled pictures, and a "
        "set in which some label has two.",
        percent,
    ),
    Measure(
        "label_entropy",
        "label entropy",
        "bits",
        "The entropy of the nine pictures' labels: 0 where all are alike, log₂ 9 = 3.17 where all differ.",
        correlation,
    ),
    Measure(
        "group_purity",
        "group purity",
        "% of the nine",
        "The share of the nine pictures whose labels fall into the commonest of their groups, where a hierarchy of "
        "classes is given. It is cut, from its root down, into the largest groups that hold at most an eighth of the "
        "pictures; classes.csv lists them.",
        percent,
    ),
    Measure(
        "label_agreement",
        "label agreement",
        "above chance",
        "How near each other the nine pictures' classes are: the mean similarity of their 36 pairs, set between that "
        "of two pictures of the whole set (0) and that of one class (1). Two classes have the similarity of Lin (1998) "
        "by the hierarchy where one is given, otherwise 0.",
        correlation,
    ),
    Measure(
        "selectivity",
        "selectivity",
        "0 … 1",
        "How much less mixed than chance the classes of the channel's strongest pictures are, far beyond the nine: "
        "1 − H / H₀ for the tenth of its positive scores that is highest, where H is the entropy of those pictures' "
        "labels and H₀ the mean entropy of as many pictures taken at random.",
        correlation,
    ),
    Measure(
        "group_selectivity",
        "group selectivity",
        "0 … 1",
        "The same with the groups of the hierarchy in place of the classes.",
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

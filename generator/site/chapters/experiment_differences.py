"""Differences between networks that were trained with the same seeds: means with intervals, and tests.

The seeds are the sample. Networks are compared seed by seed, because a seed decides the first weights and the batches
of all of them. A difference is called clear, absent or not decided: that a difference was not found is no evidence that
there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from generator.site.chapters.experiment_tables import Table, listed
from generator.site.formats import (
    ABSENT,
    fixed,
    interval,
    mean_and_spread,
    or_absent,
    p_value,
    signed,
)

LEVEL = 0.05  # a corrected p value below it makes a difference clear
MARGIN = 2.0  # percentage points: differences of error within it are called none


class Estimate(NamedTuple):
    """The mean over the seeds and its 95 % interval, None with one seed."""

    mean: float
    limits: tuple[float, float] | None

    def text(self, digits: int = 1) -> str:
        """The mean, in brackets the interval.

        >>> Estimate(1.25, (0.5, 2.0)).text(), Estimate(1.25, None).text()
        ('1.2 (0.5 to 2.0)', '1.2')
        """
        limits = "" if self.limits is None else f" ({interval(*self.limits, digits)})"
        return f"{fixed(self.mean, digits)}{limits}"

    def signed_text(self, digits: int = 1) -> str:
        """The mean with its sign, then the interval, to stand in brackets.

        >>> Estimate(1.25, (-0.5, 3.0)).signed_text()
        '+1.2; −0.5 to 3.0'
        """
        limits = "" if self.limits is None else f"; {interval(*self.limits, digits)}"
        return f"{signed(self.mean, digits)}{limits}"

    def within(self, low: float, high: float) -> Estimate:
        """The same, the interval cut to what the quantity can be."""
        if self.limits is None:
            return self
        return Estimate(self.mean, (max(low, self.limits[0]), min(high, self.limits[1])))


def estimate(values: np.ndarray) -> Estimate:
    """Of one value per seed, (seeds,): Student's t with n − 1 degrees of freedom, for values that vary normally."""
    mean = float(values.mean())
    if len(values) < 2:
        return Estimate(mean, None)
    half = float(half_width(values[:, None])[0])
    return Estimate(mean, (mean - half, mean + half))


def half_width(values: np.ndarray) -> np.ndarray:
    """Half of the 95 % interval of the mean over the seeds, (seeds, points) → (points,); 0 with one seed."""
    from scipy.special import stdtrit

    count = len(values)
    if count < 2:
        return np.zeros(values.shape[1])
    half: np.ndarray = stdtrit(count - 1, 0.975) * values.std(axis=0, ddof=1) / np.sqrt(count)
    return half


def band_of(values: np.ndarray) -> np.ndarray:
    """The ends of the 95 % interval of the mean over the seeds, (seeds, points) → (2, points)."""
    half = half_width(values)
    return np.stack([values.mean(0) - half, values.mean(0) + half])


@dataclass(frozen=True)
class Difference:
    """A network less the first of its table. lower, higher: seeds; p: of the two-sided paired t test that the mean
    difference is zero, corrected by Holm for all differences of the table; jointly: the interval that holds with 95 %
    confidence together with those of all differences of the table; both None with one seed; seeds: all of them."""

    name: str
    estimate: Estimate
    lower: int
    higher: int
    p: float | None
    jointly: tuple[float, float] | None
    seeds: int

    @property
    def is_clear(self) -> bool:
        return self.p is not None and self.p < LEVEL

    def is_none(self, margin: float) -> bool:
        """Whether the joint interval lies within the margin: the seeds show that there is no larger difference."""
        limits = self.jointly
        return limits is not None and -margin < limits[0] and limits[1] < margin

    def verdict(self, margin: float) -> str:
        """What the seeds show, in words."""
        if self.is_clear:
            direction = "lower" if self.estimate.mean < 0 else "higher"
            return f"{direction}, within the margin" if self.is_none(margin) else direction
        return "no difference" if self.is_none(margin) else "not decided"

    @property
    def seeds_text(self) -> str:
        """How many seeds agree with the mean's sign."""
        direction, count = ("lower", self.lower) if self.estimate.mean < 0 else ("higher", self.higher)
        return f"{count} {direction}"


def differences(
    names: Sequence[str], values: Sequence[np.ndarray], *, correct: bool = True
) -> list[Difference]:
    """The other networks less the first. values: (seeds,) of each network; correct: whether the p values are corrected
    for their number."""
    found = [difference(name, own - values[0]) for name, own in zip(names[1:], values[1:], strict=True)]
    return corrected(found) if correct else found


def difference(name: str, values: np.ndarray) -> Difference:
    """Of one difference per seed, (seeds,); its p is not corrected."""
    from scipy.special import stdtr

    p = None
    if len(values) > 1:
        error = values.std(ddof=1) / np.sqrt(len(values))
        if error > 0:
            p = float(2 * stdtr(len(values) - 1, -abs(values.mean()) / error))
        else:
            p = float(values.mean() == 0)
    found = estimate(values)
    lower, higher = int((values < 0).sum()), int((values > 0).sum())
    return Difference(name, found, lower, higher, p, found.limits, len(values))


def corrected(family: Sequence[Difference]) -> list[Difference]:
    """The same, corrected for their number. The p values by Holm (1979, Scandinavian Journal of Statistics 6): the
    smallest is multiplied by the number of tests, the next by one less, and none is smaller than one before it. The
    joint intervals by Bonferroni: each at a level whose distance from 100 % is 5 % divided by the number of tests."""
    tested = sorted((each.p, number) for number, each in enumerate(family) if each.p is not None)
    result, least = list(family), 0.0
    for rank, (p, number) in enumerate(tested):
        least = max(least, min(1.0, (len(tested) - rank) * p))
        each = family[number]
        result[number] = replace(each, p=least, jointly=_joint_limits(each, len(tested)))
    return result


def _joint_limits(each: Difference, tests: int) -> tuple[float, float] | None:
    from scipy.special import stdtrit

    if each.estimate.limits is None:
        return None
    mean, (low, high) = each.estimate.mean, each.estimate.limits
    wider = stdtrit(each.seeds - 1, 1 - 0.025 / tests) / stdtrit(each.seeds - 1, 0.975)
    half = float((high - low) / 2 * wider)
    return mean - half, mean + half


def compared(
    first: str,
    values: np.ndarray,
    others: Sequence[Difference],
    quantity: str,
    unit: str = "%",
    digits: int = 1,
    margin: float = MARGIN,
) -> str:
    """A sentence that compares the other networks with the first, whose values are (seeds,).

    margin: within which a difference is called none."""

    def with_effects(chosen: Sequence[Difference]) -> str:
        return listed([f"{each.name} ({each.estimate.signed_text(digits)})" for each in chosen])

    clear = [each for each in others if each.is_clear]
    none = [each for each in others if not each.is_clear and each.is_none(margin)]
    undecided = [each for each in others if not each.is_clear and not each.is_none(margin)]
    parts = [f"clearly different with {with_effects(clear)}"] if clear else []
    if none:
        points = " percentage points" if unit == "%" else ""
        parts.append(f"not different by {fixed_margin(margin)}{points} or more with {with_effects(none)}")
    if undecided:
        parts.append(f"not decided with {with_effects(undecided)}")
    own = " ".join([mean_and_spread(values, digits), unit]).strip()
    points = "differences in percentage points" if unit == "%" else "differences"
    seeds = f"means over {len(values)} seeds; 95 % intervals" if len(values) > 1 else "of one seed"
    return f"Against {first} ({own}), the {quantity} is {'; '.join(parts)} ({points}, {seeds})."


def fixed_margin(margin: float) -> str:
    """
    >>> fixed_margin(2.0), fixed_margin(0.05)
    ('2', '0.05')
    """
    return f"{margin:g}"


def differences_table(
    others: Sequence[Difference], head: str, digits: int = 1, margin: float = MARGIN
) -> Table:
    """A table of the differences. head: of the first column; margin: within which a difference is called none."""
    return Table(
        (head, "difference", "95 % interval", "95 % for all rows", "seeds", "p, corrected", "shown"),
        [
            [
                each.name,
                signed(each.estimate.mean, digits),
                ABSENT if each.estimate.limits is None else interval(*each.estimate.limits, digits),
                ABSENT if each.jointly is None else interval(*each.jointly, digits),
                each.seeds_text,
                or_absent(each.p, p_value),
                each.verdict(margin),
            ]
            for each in others
        ],
    )

"""Differences between trained networks over the seeds: intervals and corrected tests, against SciPy and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import ttest_rel

from generator.site.chapters.experiment_differences import (
    band_of,
    compared,
    differences,
    differences_table,
    estimate,
)
from generator.site.formats import interval


def test_a_comparison_calls_clear_what_the_seeds_show() -> None:
    values = [np.array(v) for v in ([50.0, 52.0, 48.0], [40.0, 42.5, 38.2], [60.0, 53.0, 49.0])]
    others = differences(["A", "B", "C"], values)
    assert compared("A", values[0], others, "error") == (
        "Against A (50.0 ± 2.0 %), the error is clearly different with B (−9.8; −10.4 to −9.1); not decided "
        "with C (+4.0; −8.9 to 16.9) (differences in percentage points, means over 3 seeds; 95 % intervals)."
    )
    rows = differences_table(others, "against A").rows
    assert [row[:3] + row[4:5] + row[6:] for row in rows] == [
        ["B", "−9.8", "−10.4 to −9.1", "3 lower", "lower"],
        ["C", "+4.0", "−8.9 to 16.9", "3 higher", "not decided"],
    ]
    for row, each in zip(rows, others, strict=True):
        low, high = ttest_rel(values[1 + rows.index(row)], values[0]).confidence_interval(1 - 0.05 / 2)
        assert each.jointly == pytest.approx((low, high)) and row[3] == interval(low, high)


def test_three_seeds_of_one_direction_are_not_called_clear() -> None:
    values = [np.zeros(3), np.array([1.0, 5.0, 20.0])]
    (only,) = differences(["A", "B"], values)
    assert only.higher == 3 and not only.is_clear
    assert only.verdict(2) == "not decided"


def test_no_difference_is_said_only_where_the_whole_interval_lies_within_the_margin() -> None:
    """Two one-sided tests at 2.5 % each: the interval lies within the margin where both reject."""
    rng = np.random.default_rng(5)
    said = set()
    for spread in (0.3, 1, 3, 9):
        for shift in (0, 1.5, 4):
            first = rng.normal(20, 2, 10)
            second = first + rng.normal(shift, spread, 10)
            (only,) = differences(["A", "B"], [first, second])
            above = ttest_rel(second - 2, first, alternative="less").pvalue < 0.025
            below = ttest_rel(second + 2, first, alternative="greater").pvalue < 0.025
            assert only.is_none(2) == (above and below)
            differs = ttest_rel(second, first).pvalue < 0.05
            expected = "no difference" if above and below else "not decided"
            if differs:
                direction = "lower" if second.mean() < first.mean() else "higher"
                expected = f"{direction}, within the margin" if above and below else direction
            assert only.verdict(2) == expected
            said.add(expected)
    assert said >= {"no difference", "not decided", "higher"}


def test_a_sentence_tells_none_from_not_decided() -> None:
    base = np.array([10.0, 12.0, 11.0, 9.0])
    none = base + np.array([0.1, -0.1, 0.2, -0.2])
    unclear = base + np.array([5.0, -5.0, 9.0, 0.0])
    others = differences(["A", "B", "C"], [base, none, unclear])
    sentence = compared("A", base, others, "error")
    assert "not different by 2 percentage points or more with B (0.0; " in sentence
    assert "; not decided with C (" in sentence
    assert "not different by 0.5 or more with B" in compared("A", base, others, "ρ", "", margin=0.5)


def test_no_difference_is_corrected_for_the_number_of_rows_too() -> None:
    """A row that says so alone does not among others, where its interval at the family's level leaves the margin."""
    base = np.array([10.0, 12.0, 11.0, 9.0, 10.5])
    near = base + np.array([1.2, -1.4, 0.9, -1.1, 1.3])
    (alone,) = differences(["A", "B"], [base, near])
    low, high = ttest_rel(near, base).confidence_interval(0.95)
    assert -2 < low < high < 2 and alone.verdict(2) == "no difference"
    others = [base + shift for shift in np.random.default_rng(1).normal(0, 9, (5, 5))]
    among = differences(list("ABCDEFG"), [base, near, *others])[0]
    low, high = ttest_rel(near, base).confidence_interval(1 - 0.05 / 6)
    assert among.jointly == pytest.approx((low, high)) and not -2 < low < high < 2
    assert among.verdict(2) == "not decided"
    assert among.estimate.limits == alone.estimate.limits


def test_in_at_most_5_percent_of_families_is_a_real_difference_called_none() -> None:
    """All differences lie on the margin; uncorrected, about one family in eight would hold a wrong "no difference"."""
    rng = np.random.default_rng(11)
    wrong = {True: 0, False: 0}
    for _ in range(1500):
        values = [np.zeros(5), *(2 + rng.normal(0, 0.3, (6, 5)))]
        for correct in wrong:
            found = differences(list("ABCDEFG"), values, correct=correct)
            wrong[correct] += any(each.is_none(2) for each in found)
    assert wrong[True] / 1500 < 0.05 < wrong[False] / 1500


def test_differences_are_those_of_paired_t_tests_corrected_by_the_closed_principle() -> None:
    rng = np.random.default_rng(4)
    values = [rng.normal(size=3) for _ in range(6)]
    found = differences(["first", *"abcde"], values)
    tests = [ttest_rel(own, values[0]) for own in values[1:]]
    raw = np.array([test.pvalue for test in tests])
    for each, test in zip(found, tests, strict=True):
        interval = test.confidence_interval(0.95)
        assert each.estimate.limits == pytest.approx((interval.low, interval.high))
    for number, each in enumerate(found):
        # Rejected where every intersection of hypotheses that holds it is, by Bonferroni.
        families = [
            family
            for size in range(1, 6)
            for family in itertools.combinations(range(5), size)
            if number in family
        ]
        closed = max(min(1.0, len(family) * raw[list(family)].min()) for family in families)
        assert each.p == pytest.approx(closed)


def test_one_seed_has_no_interval_and_no_p_value() -> None:
    values = [np.array([50.0]), np.array([40.0])]
    (only,) = differences(["A", "B"], values)
    assert only.p is None and only.estimate.limits is None
    sentence = compared("A", values[0], [only], "error")
    assert "not decided with B (−10.0) (differences in percentage points, of one seed)" in sentence
    assert differences_table([only], "").rows == [["B", "−10.0", "–", "–", "1 lower", "–", "not decided"]]


def test_equal_differences_in_all_seeds_have_an_interval_of_no_width() -> None:
    base = np.array([1.0, 2.0, 3.0])
    same, shifted = differences(["A", "B", "C"], [base, base, base + 2])
    assert same.p == 1 and shifted.p == 0 and shifted.estimate.limits == (2, 2)


def test_a_band_is_the_interval_point_by_point() -> None:
    values = np.random.default_rng(6).normal(size=(5, 4))
    low, high = band_of(values)
    for point in range(4):
        assert (low[point], high[point]) == pytest.approx(estimate(values[:, point]).limits)


def test_nominal_95_percent_of_the_intervals_over_three_seeds_cover() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(3, 2, (4000, 3))
    covers = sum(low <= 3 <= high for low, high in (estimate(values).limits for values in drawn))
    assert 0.94 < covers / 4000 < 0.96

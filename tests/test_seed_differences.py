"""Differences between trained networks over the seeds: intervals and corrected tests, against SciPy and by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import ttest_rel

from generator.site.chapters.experiment_differences import (
    compared,
    differences,
    differences_table,
    estimate,
    sign_test,
)


def test_a_comparison_calls_clear_what_the_seeds_show() -> None:
    values = [np.array(v) for v in ([50.0, 52.0, 48.0], [40.0, 42.5, 38.2], [60.0, 53.0, 49.0])]
    others = differences(["A", "B", "C"], values)
    assert compared("A", values[0], others, "error") == (
        "Against A (50.0 ± 2.0 %), the error is clearly different with B (−9.8; −10.4 to −9.1); not clearly different "
        "with C (+4.0; −8.9 to 16.9) (differences in percentage points, means over 3 seeds; 95 % intervals)."
    )
    rows = differences_table(others, "against A").rows
    assert [row[:4] for row in rows] == [
        ["B", "−9.8", "−10.4 to −9.1", "3 lower"],
        ["C", "+4.0", "−8.9 to 16.9", "3 higher"],
    ]


def test_three_seeds_of_one_direction_are_not_called_clear() -> None:
    values = [np.zeros(3), np.array([1.0, 5.0, 20.0])]
    (only,) = differences(["A", "B"], values)
    assert only.higher == 3 and not only.is_clear
    assert "p = 0.25" in sign_test(3)


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
    assert "not clearly different with B (−10.0) (differences in percentage points, of one seed)" in sentence
    assert differences_table([only], "").rows == [["B", "−10.0", "–", "1 lower", "–"]]


def test_equal_differences_in_all_seeds_have_an_interval_of_no_width() -> None:
    base = np.array([1.0, 2.0, 3.0])
    same, shifted = differences(["A", "B", "C"], [base, base, base + 2])
    assert same.p == 1 and shifted.p == 0 and shifted.estimate.limits == (2, 2)


def test_nominal_95_percent_of_the_intervals_over_three_seeds_cover() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.normal(3, 2, (4000, 3))
    covers = sum(low <= 3 <= high for low, high in (estimate(values).limits for values in drawn))
    assert 0.94 < covers / 4000 < 0.96

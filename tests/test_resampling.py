"""Intervals over pictures: halves, their standard error, and rankings cut to nine."""

from __future__ import annotations

import numpy as np
import pytest

from generator.methods.resampling import (
    both_halves,
    bound,
    halvings,
    ranking,
    reliability,
    slots,
    standard_error,
)


def test_the_error_of_a_mean_is_the_usual_one():
    values = np.random.default_rng(0).normal(3, 2, (500, 40))
    member = halvings(500)
    first = np.stack([values[row].mean(axis=0) for row in member])
    second = np.stack([values[~row].mean(axis=0) for row in member])
    usual = values.std(axis=0, ddof=1) / np.sqrt(500)
    np.testing.assert_allclose(standard_error(first, second), usual, rtol=0.25)
    assert standard_error(first, second).mean() == pytest.approx(usual.mean(), rel=0.03)


def test_halves_are_halves_and_the_same_in_every_run():
    member = halvings(11, 30)
    assert member.shape == (30, 11) and (member.sum(axis=1) == 5).all()
    assert len({row.tobytes() for row in member}) > 20
    np.testing.assert_array_equal(member, halvings(11, 30))


def test_the_bound_widens_with_the_comparisons():
    assert bound() == pytest.approx(2.086, abs=1e-3)
    assert bound(16) == pytest.approx(3.35, abs=0.01)


def test_a_ranking_is_the_scan_s_order():
    scores = np.array([[1.0, 0], [3, -1], [3, 2], [0, 5]], np.float32)
    assert ranking(scores, signed=False, depth=5).tolist() == [[1, 2, 0, -1, -1], [3, 2, -1, -1, -1]]
    assert ranking(scores, signed=True, depth=5).tolist() == [[1, 2, 0, 3, -1], [3, 2, 0, 1, -1]]


def test_nine_places_are_filled_from_the_top_and_the_last_picture_takes_what_is_left():
    order = np.array([[4, 0, 1, 7, 6, 5, 3, 2, -1]])
    member = np.array([True, True, False, False, True, True, True, True])
    assert slots(order, member[None])[0].tolist() == [[2, 2, 2, 2, 1, 0, 0, 0, 0]]
    assert slots(order, ~member[None])[0].tolist() == [
        [0, 0, 0, 0, 0, 0, 2, 2, 0]
    ]  # too few: the sum is below nine
    assert slots(order, np.ones((1, 8), bool), times=1).sum() == 8


def test_both_halves_are_complements():
    order = ranking(np.random.default_rng(1).random((300, 5)).astype(np.float32), signed=False)
    first, second = both_halves(order, halvings(300, 7))
    assert (
        first.shape == second.shape == (7, 5, 40) and (first.sum(2) == 9).all() and (second.sum(2) == 9).all()
    )
    assert not ((first > 0) & (second > 0)).any()


def test_reliability_is_pearson_s_correlation_of_the_halves():
    random = np.random.default_rng(2)
    truth = random.normal(0, 1, 400)
    first, second = (truth + random.normal(0, 1, (5, 400)) for _ in range(2))
    expected = np.mean([np.corrcoef(one, two)[0, 1] for one, two in zip(first, second, strict=True)])
    assert reliability(first, second) == pytest.approx(expected) and expected == pytest.approx(0.5, abs=0.1)
    assert np.isnan(reliability(np.zeros((2, 9)), np.zeros((2, 9))))

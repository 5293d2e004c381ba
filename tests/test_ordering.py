"""The order of values in rows: that of NumPy's stable sort and SciPy's ranks, for all kinds of values and ties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from generator.core.correspondence import centred_ranks, shared_counts, shared_counts_of_sets
from generator.core.ordering import TiedOrder, lowest, rising
from generator.methods.resampling import falling_order, first_of, halvings, ranking

RANDOM = np.random.default_rng(7)
ROWS = {
    "normal": RANDOM.standard_normal((5, 301)).astype(np.float32),
    "half zeros": np.maximum(RANDOM.standard_normal((5, 301)), 0).astype(np.float32),
    "zeros of both signs": RANDOM.choice(np.array([-0.0, 0.0, 1e-45, -1e-45], np.float32), (5, 301)),
    "extremes": RANDOM.choice(
        np.array([np.inf, -np.inf, 3e38, -3e38, 0, np.nan, -np.nan], np.float32), (5, 301)
    ),
    "whole numbers": RANDOM.integers(-(2**31), 2**31, (5, 301)),
    "small whole numbers": RANDOM.integers(-3, 3, (5, 301)).astype(np.int8),
    "whole numbers beyond 32 bits": RANDOM.integers(-(2**40), 2**40, (5, 301)),
    "float64": RANDOM.standard_normal((5, 301)),
    "float16": RANDOM.standard_normal((5, 301)).astype(np.float16),
    "one": np.ones((5, 1), np.float32),
    "none": np.ones((5, 0), np.float32),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
def test_the_order_is_that_of_a_stable_sort(rows):
    expected = np.argsort(rows, axis=1, kind="stable")
    np.testing.assert_array_equal(rising(rows), expected)
    for count in (0, 1, 9, 150, 400):
        np.testing.assert_array_equal(lowest(rows, count), expected[:, :count])


@pytest.mark.parametrize("name", ["normal", "half zeros", "zeros of both signs", "whole numbers", "float64"])
def test_equal_values_share_their_rank(name):
    rows = ROWS[name]
    expected = 2 * rankdata(rows, axis=1) - (rows.shape[1] + 1)
    np.testing.assert_array_equal(TiedOrder.of(rows.T).centred_ranks, expected)
    np.testing.assert_array_equal(centred_ranks(rows.T), expected.T)


def test_what_lies_above_is_summed_with_equal_ones_counted_half():
    rows, weights = ROWS["half zeros"], RANDOM.standard_normal((5, 301))
    above = (rows[:, None] > rows[:, :, None]) + 0.5 * (rows[:, None] == rows[:, :, None])  # (C, N, N)
    found = TiedOrder.of(rows.T).above(weights.T)
    np.testing.assert_allclose(found.T, np.einsum("cij,cj->ci", above, weights), atol=1e-9)


def test_a_ranking_is_the_head_of_the_whole_order():
    scores = ROWS["half zeros"].T
    whole = ranking(scores, signed=True, order=falling_order(scores))
    np.testing.assert_array_equal(ranking(scores, signed=True), whole)


def test_the_first_pictures_of_a_half_are_those_of_the_ranking_without_the_others():
    scores = np.maximum(RANDOM.standard_normal((60, 12)) - 1, 0).astype(np.float32)  # some have few pictures
    order, members = ranking(scores, signed=False), halvings(60, 6)
    for whole in (True, False):
        found = first_of(order, members, 5, whole=whole)
        for member, half in zip(members, found, strict=True):
            for row, five in zip(order, half, strict=True):
                own = [picture for picture in row if picture >= 0 and member[picture]][:5]
                expected = own + [-1] * (5 - len(own))
                assert five.tolist() == (expected if len(own) == 5 or not whole else [-1] * 5)


def test_shared_pictures_of_several_sets_are_those_of_each_set():
    one, other = RANDOM.integers(-1, 40, (4, 7, 9)), RANDOM.integers(-1, 40, (4, 6, 9))
    for lists in (one, other):  # no picture twice in a list
        for row in lists.reshape(-1, 9):
            row[:] = np.pad(np.unique(row[row >= 0]), (0, 9), constant_values=-1)[:9]
    counts = shared_counts_of_sets(one, other)
    for number in range(4):
        np.testing.assert_array_equal(counts[number], shared_counts(one[number], other[number]))
        for a, b in np.ndindex(7, 6):
            both = set(one[number, a].tolist()) & set(other[number, b].tolist()) - {-1}
            assert counts[number, a, b] == len(both)

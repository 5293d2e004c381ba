"""Axes: where values lie, which values get a tick, and how coordinates and ticks are written."""

from __future__ import annotations

import doctest
import itertools
import math

import pytest

from generator.site.figures import axis as axis_module
from generator.site.figures.axis import Axis, px, round_values
from generator.site.formats import power_of_ten, round_number


@pytest.mark.parametrize(("low", "high"), [(0, 7), (-0.013, 0.04), (3, 3.5), (0, 1234)])
def test_ticks_are_round_and_lie_inside(low: float, high: float) -> None:
    values = round_values(low, high)
    assert 3 <= len(values) <= 8
    assert low - 1e-9 <= values[0] and values[-1] <= high + 1e-9
    steps = {round(after - before, 9) for before, after in itertools.pairwise(values)}
    assert len(steps) == 1
    assert f"{steps.pop():e}"[0] in "125"


def test_an_axis_without_length_has_one_tick() -> None:
    assert round_values(2, 2) == [2]
    assert round_values(math.nan, 2) == []


def test_an_axis_with_round_ends_holds_its_values_and_zero() -> None:
    axis = Axis.around([0.13, 0.86], zero=True, start=0, end=100)
    assert (axis.low, axis.high) == (0, 1)
    assert [tick.text for tick in axis.ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert Axis.around([0.63, 0.86]).low == 0.6


def test_ticks_lie_where_their_values_do() -> None:
    axis = Axis.around([-0.13, 0.86], start=0, end=100)
    assert (axis.low, axis.high) == (pytest.approx(-0.2), pytest.approx(1.0))
    assert [tick.text for tick in axis.ticks] == ["−0.2", "0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [tick.position for tick in axis.ticks] == pytest.approx([0, 16.7, 33.3, 50, 66.7, 83.3, 100])


def test_an_axis_may_run_upwards_and_cuts_values_off_at_its_ends() -> None:
    axis = Axis(0, 10, start=200, end=100)
    assert [axis(value) for value in (0, 2.5, 10, 11, -1)] == [200, 175, 100, 100, 200]
    assert axis.middle == 150


def test_an_axis_of_values_that_differ_by_rounding_error_has_a_length() -> None:
    axis = Axis.around([0.0, 7.9e-18], zero=True, start=148, end=12)
    assert axis(0.0) == 148 and axis.high > axis.low


def test_an_axis_of_one_value_draws_it_at_its_start() -> None:
    assert Axis(1, 1, start=46, end=446)(1) == 46


def test_an_axis_over_values_leaves_a_margin_and_out_what_is_not_finite() -> None:
    axis = Axis.over([1.0, math.nan, math.inf, 2.0], "x", include=0.0)
    assert (axis.low, axis.high) == (pytest.approx(-0.08), pytest.approx(2.08))
    assert (Axis.over([], "x").low, Axis.over([], "x").high) == (pytest.approx(-0.04), pytest.approx(1.04))


def test_given_marks_replace_round_values() -> None:
    axis = Axis(0, 180, "direction", [(0, "0°"), (90, "90°")], end=180)
    assert axis.ticks == [(0, "0°"), (90, "90°")]


def test_only_whole_numbers_get_a_tick_where_that_is_asked() -> None:
    assert [text for _, text in Axis(1, 2).ticks] == ["1", "1.2", "1.4", "1.6", "1.8", "2"]
    assert [text for _, text in Axis(1, 2, whole=True).ticks] == ["1", "2"]
    assert [text for _, text in Axis(-2, 1, whole=True, text=power_of_ten).ticks] == [
        "10⁻²",
        "10⁻¹",
        "10⁰",
        "10¹",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0"), (-5.0, "−5"), (0.25, "0.25"), (1500.0, "1,500"), (1e6, "1,000,000")]
)
def test_a_tick_is_written_as_numbers_are_on_the_pages(value: float, text: str) -> None:
    assert round_number(value) == text


def test_coordinates_are_tenths_in_their_shortest_form() -> None:
    assert [str(px(value)) for value in (12.0, 12.04, 12.06, -0.01, 1234.5)] == [
        "12",
        "12",
        "12.1",
        "0",
        "1234.5",
    ]
    assert math.isnan(px(math.nan))


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(axis_module)
    assert results.attempted >= 3 and not results.failed

"""How pages write numbers: what the formatters promise, on values that are easily written wrong."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from generator.site import formats
from generator.site.templates import environment

MINUS = "\N{MINUS SIGN}"


def test_the_examples_in_the_docstrings_hold() -> None:
    results = doctest.testmod(formats)
    assert results.attempted >= 15 and not results.failed


# picture_size takes two numbers of px.
NEVER_NEGATIVE = {
    "p_value",
    "p_in_words",
    "percent",
    "percent_at_most",
    "multiply_adds",
    "kilobytes",
    "megabytes",
    "picture_size",
}


@pytest.mark.parametrize("name", sorted(formats.FILTERS.keys() - NEVER_NEGATIVE))
def test_a_negative_number_has_a_true_minus(name: str) -> None:
    form = formats.FILTERS[name]
    number = np.array([-3.25]) if name == "mean_and_spread" else -3.25
    text = form(number, 2) if name == "fixed" else form(number)
    assert text.startswith(MINUS) and "-" not in text


@pytest.mark.parametrize(
    "name", sorted(formats.FILTERS.keys() - {"fixed", "in_words", "mean_and_spread", "picture_size"})
)
@pytest.mark.parametrize("tiny", [3.2e-7, 4e-18, 1e-299])
def test_a_tiny_number_has_no_hyphen(name: str, tiny: float) -> None:
    assert "-" not in formats.FILTERS[name](tiny)


@pytest.mark.parametrize("p", [0.0, 2e-266, 1e-7, 0.00099])
def test_a_p_value_is_never_smaller_than_a_thousandth(p: float) -> None:
    assert formats.p_value(p) == "< 0.001" and formats.p_in_words(p) == "p < 0.001"


@pytest.mark.parametrize("zero", [0.0, -0.0, 0.004, -0.004, np.float32(-0.001)])
def test_zero_has_no_sign(zero: float) -> None:
    assert formats.correlation(zero) == formats.signed(zero) == formats.fixed(zero, 2) == "0.00"
    assert formats.mean_and_spread(np.array([zero]), 2) == "0.00"


@pytest.mark.parametrize("value", [0.005, 0.015, 0.125, 0.285, 1.005, 2.675, 0.9949999, 0.995])
@pytest.mark.parametrize("digits", [0, 1, 2])
@pytest.mark.parametrize("kind", [float, np.float32, np.float64])
def test_rounding_is_that_of_the_exact_binary_value(value: float, digits: int, kind: type) -> None:
    """numpy's own rounding multiplies first, and differs in the last digit."""
    from decimal import ROUND_HALF_EVEN, Decimal

    exact = Decimal(float(kind(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN)
    assert formats.fixed(kind(value), digits) == str(exact)


def test_a_whole_number_has_separators_and_keeps_every_digit() -> None:
    assert formats.integer(2**60 + 1) == "1,152,921,504,606,846,977"
    assert formats.integer(np.int64(999)) == "999" and formats.integer(np.uint32(1000)) == "1,000"


def test_a_share_that_is_not_zero_does_not_read_as_zero() -> None:
    for share in 10.0 ** -np.arange(1, 9):
        assert float(formats.percent(float(share)).replace(MINUS, "-")) > 0


def test_a_missing_number_is_a_dash() -> None:
    assert formats.or_absent(None, formats.correlation) == "–" == formats.or_absent(np.nan, formats.percent)
    assert formats.or_absent(0.0, formats.correlation) == "0.00"


def test_the_templates_have_every_formatter() -> None:
    template = environment().from_string(
        "{{ 12345|integer }} {{ (-0.5)|correlation }} {{ 0.0123|significant(2) }}"
    )
    assert template.render() == f"12,345 {MINUS}0.50 0.012"
    assert formats.FILTERS.items() <= environment().filters.items()


def test_in_templates_a_missing_number_is_a_dash_unless_they_say_otherwise() -> None:
    template = environment().from_string('{{ none|fixed(2) }}{{ none|correlation(absent="?") }}')
    assert template.render() == "–?"

"""How the pages write numbers. Pages and figures keep numbers as numbers; these functions turn them into text.

All write a true minus (−, U+2212). FILTERS are those of the templates, where a missing number (None) is written as –.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_CEILING, Context, Decimal
from numbers import Integral
from typing import Any

import numpy as np

from generator.core.records import Size, size_words

ABSENT = "–"  # stands in tables where there is no number
# That is written: a smaller one depends on the assumptions of its test more than on the data.
SMALLEST_P = 0.001


def _true_minus(text: str) -> str:
    return text.replace("-", "−")


def integer(value: float) -> str:
    """A whole number with thousands separators; others are rounded.

    >>> integer(12), integer(25557032), integer(-4096)
    ('12', '25,557,032', '−4,096')
    """
    return _true_minus(f"{value:,}" if isinstance(value, Integral) else f"{value:,.0f}")


def fixed(value: float, digits: int) -> str:
    """A fixed count of decimals, without a minus before zero.

    >>> fixed(0.125, 1), fixed(-0.04, 1), fixed(2.5, 2)
    ('0.1', '0.0', '2.50')
    """
    text = f"{value:.{digits}f}"
    return _true_minus(text if text.strip("-0.") else text.lstrip("-"))


def one_decimal(value: float) -> str:
    """
    >>> one_decimal(2.25)
    '2.2'
    """
    return fixed(value, 1)


def significant(value: float, digits: int = 3) -> str:
    """Three significant digits, more before the decimal point; without an exponent unless the value is tiny.

    >>> [significant(v) for v in (0.0, 0.01234, 4.306, 999.7, 1234.6, -0.5)], significant(123.4, 2)
    (['0', '0.0123', '4.31', '1,000', '1,235', '−0.5'], '123')
    """
    if abs(value) >= 10**digits - 0.5:
        return integer(value)
    return _true_minus(f"{value:.{digits}g}")


def round_number(value: float) -> str:
    """A number that is round by choice: a tick of an axis, a setting.

    >>> [round_number(v) for v in (0.25, -2.0, 1500.0, 1e-7)]
    ['0.25', '−2', '1,500', '1e−07']
    """
    return integer(value) if value == round(value) else _true_minus(f"{value:g}")


def picture_size(size: Size) -> str:
    """A height and a width in px.

    >>> picture_size((224, 224))
    '224 × 224 px'
    """
    return size_words(size)


def in_words(count: int) -> str:
    """A count up to nine in words.

    >>> in_words(1), in_words(9), in_words(1024)
    ('one', 'nine', '1,024')
    """
    words = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    return words[count] if 0 <= count < len(words) else integer(count)


def signed(value: float, digits: int = 2) -> str:
    """A fixed count of decimals with the sign, which zero has not.

    >>> [signed(v) for v in (0.123, -0.05, 0.001)], signed(2.25, 1)
    (['+0.12', '−0.05', '0.00'], '+2.2')
    """
    text = f"{value:+.{digits}f}"
    return _true_minus(text if text.strip("+-0.") else text.lstrip("+-"))


def with_sign(value: float) -> str:
    """Three significant digits with the sign, which zero has not.

    >>> [with_sign(v) for v in (4.306, -0.01234, 0.0, 1234.6)]
    ['+4.31', '−0.0123', '0', '+1,235']
    """
    text = significant(value)
    return f"+{text}" if value > 0 else text


def correlation(value: float) -> str:
    """A correlation, an area or a ratio: two decimals.

    >>> correlation(0.456), correlation(-0.004)
    ('0.46', '0.00')
    """
    return fixed(value, 2)


def percent(value: float) -> str:
    """A share as a percentage; a share that is not zero never reads as zero.

    >>> [percent(v) for v in (0.0, 0.0004, 0.034, 0.384)]
    ['0', '0.04', '3.4', '38']
    """
    hundredfold = 100 * value
    if hundredfold >= 10 or hundredfold == 0:
        return f"{hundredfold:.0f}"
    return f"{hundredfold:.1f}" if hundredfold >= 0.1 else _true_minus(f"{hundredfold:.1g}")


def percent_at_most(value: float) -> str:
    """A bound of a share as a percentage with two significant digits, rounded up.

    >>> [percent_at_most(v) for v in (0.0, 0.000412, 0.0007, 0.0341, 0.9901)]
    ['0', '0.042', '0.07', '3.5', '100']
    """
    bound = Context(prec=2, rounding=ROUND_CEILING).create_decimal(Decimal(repr(float(value))) * 100)
    return f"{bound.normalize():f}"


def percent_fixed(value: float, digits: int = 0) -> str:
    """A share as a percentage with a fixed count of decimals.

    >>> percent_fixed(0.0449), percent_fixed(0.7613, 1)
    ('4', '76.1')
    """
    return fixed(100 * value, digits)


def p_value(p: float) -> str:
    """The p-value of a test to three decimals, without its letter.

    >>> [p_value(p) for p in (0.001, 0.0341, 1.0, 2e-266)]
    ['0.001', '0.034', '1.00', '< 0.001']
    """
    if p < SMALLEST_P:
        return f"< {SMALLEST_P}"
    return f"{p:.2f}" if p >= 0.0995 else f"{p:.3f}"


def p_in_words(p: float) -> str:
    """The p-value of a test with its letter.

    >>> p_in_words(0.0421), p_in_words(3.2e-7)
    ('p = 0.042', 'p < 0.001')
    """
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def multiply_adds(value: int, digits: int = 2) -> str:
    """A count of multiply-adds: in billions, of a small network in millions.

    >>> multiply_adds(4_089_184_256), multiply_adds(40_551_424)
    ('4.09 × 10⁹', '40.6 × 10⁶')
    """
    return f"{value / 1e9:.{digits}f} × 10⁹" if value >= 1e8 else f"{significant(value / 1e6)} × 10⁶"


def power_of_ten(exponent: float) -> str:
    """
    >>> power_of_ten(-3.0), power_of_ten(12)
    ('10⁻³', '10¹²')
    """
    return "10" + f"{exponent:.0f}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def kilobytes(size: float, digits: int = 0) -> str:
    """A size in bytes.

    >>> kilobytes(15_400), kilobytes(15_440, 1)
    ('15 KB', '15.4 KB')
    """
    return f"{size / 1e3:,.{digits}f} KB"


def megabytes(size: float, digits: int = 0) -> str:
    """A size in bytes.

    >>> megabytes(1_204_000_000)
    '1,204 MB'
    """
    return f"{size / 1e6:,.{digits}f} MB"


def interval(low: float, high: float, digits: int = 1) -> str:
    """
    >>> interval(0.12, 3)
    '0.1 to 3.0'
    """
    return f"{fixed(low, digits)} to {fixed(high, digits)}"


def mean_and_spread(values: Sequence[float] | np.ndarray, digits: int = 1) -> str:
    """Mean ± sample standard deviation; the mean alone where there is one value.

    >>> mean_and_spread([1.0, 2.0, 3.0]), mean_and_spread([-0.01])
    ('2.0 ± 1.0', '0.0')
    """
    numbers = np.asarray(values)
    mean = fixed(float(numbers.mean()), digits)
    return f"{mean} ± {numbers.std(ddof=1):.{digits}f}" if len(numbers) > 1 else mean


def readable_path(path: str) -> str:
    """A path as text for a page: bytes that are not UTF-8 are replaced.

    >>> readable_path("a" + chr(0xDCFF)) == "a" + chr(0xFFFD)
    True
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def or_absent(value: float | None, form: Callable[[float], str], absent: str = ABSENT) -> str:
    """The number in a form, or what stands where there is none (None or NaN).

    >>> or_absent(0.5, correlation), or_absent(None, correlation), or_absent(float("nan"), percent, "")
    ('0.50', '–', '')
    """
    return absent if value is None or np.isnan(value) else form(value)


def _filter(form: Callable[..., str]) -> Callable[..., str]:
    """The form as a filter of the templates: where there is no number, it writes `absent`."""

    @functools.wraps(form)
    def write(value: Any, *digits: int, absent: str = ABSENT) -> str:
        return absent if value is None else form(value, *digits)

    return write


FILTERS: Mapping[str, Callable[..., str]] = {
    form.__name__: _filter(form)
    for form in (
        integer, in_words, fixed, one_decimal, significant, round_number, signed, with_sign, correlation, percent,
        percent_at_most, percent_fixed, p_value, p_in_words, multiply_adds, kilobytes, megabytes, mean_and_spread,
        picture_size,
    )
}  # fmt: skip

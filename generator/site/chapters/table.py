"""The page of a chapter that is one table: templates/table.html."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from generator.site.formats import integer, or_absent


@dataclass(frozen=True)
class Column:
    """heading: with the unit; form: how its numbers are written, one of `formats.py`."""

    heading: str
    form: Callable[[float], str] = integer

    def text(self, value: float | None) -> str:
        return or_absent(value, self.form)


@dataclass(frozen=True)
class Row:
    """name: in the first column; href: where it leads from the page; values: of the columns, None where missing."""

    name: str
    href: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class TablePage:
    """sentence: below the heading, says what the table shows; first: heading of the column of names."""

    heading: str
    sentence: str
    first: str
    columns: Sequence[Column]
    rows: Sequence[Row]

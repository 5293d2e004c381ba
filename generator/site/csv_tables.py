"""Tables as CSV, for those who compute further with the numbers of a page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from generator.core.csv_tables import csv_bytes


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A CSV file as text: a line of column names, then the rows."""
    return csv_bytes(columns, rows).decode("utf-8", "surrogateescape")


def field(value: float | None) -> str:
    """A float in full (float32) precision, '' where it is missing.

    >>> field(1 / 3), field(float("nan")), field(None)
    ('0.333333', '', '')
    """
    return f"{value:.6g}" if value is not None and math.isfinite(value) else ""

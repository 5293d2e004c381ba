"""Tables as CSV, for those who compute further with the numbers of a page."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()


def field(value: float | None) -> str:
    """A float in full (float32) precision, '' where it is missing.

    >>> field(1 / 3), field(float("nan")), field(None)
    ('0.333333', '', '')
    """
    return f"{value:.6g}" if value is not None and math.isfinite(value) else ""

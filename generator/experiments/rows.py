"""Tables of the experiments as CSV files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from generator.core.csv_tables import csv_bytes

Rows = Sequence[Mapping[str, Any]]


def csv_of(rows: Rows) -> bytes:
    """A CSV file of rows with equal columns, floats to six significant digits."""
    columns = list(rows[0])
    cells = (
        [f"{row[name]:.6g}" if isinstance(row[name], float) else row[name] for name in columns]
        for row in rows
    )
    return bytes(csv_bytes(columns, cells))

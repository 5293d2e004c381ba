"""Tables as CSV files: the one place that writes them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any

# Python's csv writer quotes a field for what ends a line: with "\n" alone, a name with "\r" would cut its line.
LINE_END = "\r\n"


class _Lines(bytearray):
    """A file for csv.writer, which writes one line at a time; only the bytes of the lines are held."""

    def write(self, line: str) -> None:
        self += f"{line.removesuffix(LINE_END)}\n".encode("utf-8", "surrogateescape")


def csv_bytes(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytearray:
    """A CSV file: a line of column names, then the rows. Lines end with "\\n"."""
    content = _Lines()
    table = csv.writer(content, lineterminator=LINE_END)
    table.writerow(columns)
    table.writerows(rows)
    return content

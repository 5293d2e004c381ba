"""The entries before and after each entry of a list, for the arrows of its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Entry = TypeVar("Entry")


def with_neighbours(entries: Sequence[Entry]) -> list[tuple[Entry | None, Entry, Entry | None]]:
    """
    >>> with_neighbours("abc")
    [(None, 'a', 'b'), ('a', 'b', 'c'), ('b', 'c', None)]
    """
    ends = [None, *entries, None]
    return list(zip(ends, entries, ends[2:], strict=False))

"""Items made ahead of time, in a thread of their own."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(
    items: Generator[Item, None, None], waiting: int = 1, begin: Callable[[], object] | None = None
) -> Generator[Item, None, None]:
    """The same items, while a thread makes the next ones: at most `waiting` are there before they are asked for, and
    one is being made. Errors are raised where their item would have come. begin: called first in the thread.

    The generator runs in that thread alone, and is closed there once no more items are asked for."""
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead", initializer=begin) as thread:
        under_way = deque(thread.submit(next, items, end) for _ in range(waiting + 1))
        try:
            while (item := under_way.popleft().result()) is not end:
                under_way.append(thread.submit(next, items, end))
                yield item  # type: ignore[misc]
        finally:
            for future in under_way:
                future.cancel()
            thread.submit(items.close).result()

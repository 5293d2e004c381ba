"""Work on several batches at once, in threads that each compute alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_rounds(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[list[tuple[Item, Result]]]:
    """Results of `work` in rounds of one item per thread: yields each round's items with their results, in order, and
    begins the next round only when it is asked for. Within a thread torch computes with that thread alone."""
    waiting = iter(items)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead = list(islice(waiting, threads))
        while ahead:
            tasks = [pool.submit(work, item) for item in ahead]
            following = list(islice(waiting, threads))  # batches are decoded meanwhile
            yield [(item, task.result()) for item, task in zip(ahead, tasks, strict=True)]
            ahead = following

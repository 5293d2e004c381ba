"""Items made ahead in a thread: the same ones, in order, and no more of them than was asked for."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from generator.core.ahead import made_ahead


class _Source:
    """Makes the numbers from 0, and keeps which thread made each. fails: the number that raises instead."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails = fails
        self.threads: list[threading.Thread] = []
        self.made = threading.Semaphore(0)
        self.closed_in: threading.Thread | None = None

    def numbers(self, count: int) -> Generator[int, None, None]:
        try:
            for number in range(count):
                if number == self.fails:
                    raise ValueError(number)
                self.threads.append(threading.current_thread())
                self.made.release()
                yield number
        finally:
            self.closed_in = threading.current_thread()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
def test_all_items_come_in_their_order_from_one_thread(count: int) -> None:
    source = _Source()
    assert list(made_ahead(source.numbers(count))) == list(range(count))
    assert len(set(source.threads)) <= 1 and threading.main_thread() not in source.threads


def test_an_error_comes_after_the_items_before_it() -> None:
    items = made_ahead(_Source(fails=3).numbers(9))
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        next(items)


def test_no_more_is_made_than_one_waiting_and_one_under_way() -> None:
    source = _Source()
    items = made_ahead(source.numbers(100))
    assert next(items) == 0
    for _ in range(3):  # the one that was taken and two more
        assert source.made.acquire(timeout=10)
    assert not source.made.acquire(timeout=0.2)
    items.close()


def test_a_loop_that_is_left_closes_the_generator_in_its_thread() -> None:
    source = _Source()
    for item in made_ahead(source.numbers(100)):
        if item == 5:
            break
    assert source.closed_in is source.threads[0]
    assert not source.threads[0].is_alive()

"""Processes that work for another one and must not outlive it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any

from generator.errors import AtlasError

MOST_PROCESSES = 8


@contextlib.contextmanager
def side_by_side(
    pages: int, worth: int, start: Callable[..., None], given: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor | None]:
    """Processes for work on so many pages, or None where it is better done here: there are fewer than `worth`, or there
    is one core. Each serves this one and begins with start(*given). Raises AtlasError if one dies."""
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    # A new process runs the main module again: without a file (a program read from stdin) it could not.
    if pages < worth or processes < 2 or not hasattr(sys.modules["__main__"], "__file__"):
        yield None
        return
    # Not forked: the caller may have computed with torch, whose threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(processes, context, _begin, (start, given)) as pool:
            yield pool
    except BrokenProcessPool as error:
        raise AtlasError(
            "a process that worked on the pages died, most likely for want of memory",
            remedy="run the same command again",
        ) from error


def _begin(start: Callable[..., None], given: tuple[Any, ...]) -> None:
    serve_parent()
    start(*given)


def serve_parent() -> None:
    """Call it as a worker starts: Ctrl-C is left to the parent, and the worker ends when the parent does, however that
    came about. A process that is killed ends nobody: its workers would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)

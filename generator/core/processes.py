"""Processes that work for this one: they decode pictures, draw, encode sprites, write pages and check links.

They are started by loky and not by multiprocessing, whose processes import the caller's script again: a script without
`if __name__ == "__main__"` would then begin its computation again in each of them.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import mmap
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import connection, reduction
from typing import Any, TypeVar

from generator.core.errors import AtlasError

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_PROCESSES = 8  # more wait for the disk, or fill the memory
AHEAD = 2  # tasks per process that are submitted before their results are taken
_ENVIRONMENT = {
    # Each process has one core: threads of its own would only slow the others down.
    **dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
    ),
    # In bytes, of glibc: a process keeps the memory of the last picture for the next one. Otherwise it would return
    # it to the system and fault its pages in again, which takes an eighth of the time of drawing.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
}
# What starting processes raises on a machine without semaphores or memory, or where child processes are forbidden.
_REFUSALS = (OSError, ImportError, NotImplementedError, AssertionError)


def usual_processes() -> int:
    """One per core, at most MOST_PROCESSES."""
    return min(os.cpu_count() or 1, MOST_PROCESSES)


def page_processes(pages: int, worth: int) -> int:
    """The number of processes to use for this many pages: 0 where there are fewer than `worth`, or only one core."""
    processes = usual_processes()
    return 0 if pages < worth or processes < 2 else processes


def in_processes(
    function: Callable[[Task], Result],
    tasks: Iterable[Task],
    processes: int,
    *,
    doing: str,
    remedy: str,
    start: Callable[..., None] | None = None,
    given: tuple[Any, ...] = (),
    here: Callable[[Task], Result] | None = None,
    in_order: bool = True,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Task, Result]]:
    """Do tasks in processes, yielding each with its result, in the tasks' order or as they are done.

    Each process imports the function's module and not the caller's script, begins with start(*given), and ends when
    this process does. At most AHEAD tasks per process are under way. What a task raises is raised here. With 0
    processes, or where none can be started, this process does all: by `here`, if given, instead of start and function.
    meanwhile: called once the first tasks are under way.

    Raises AtlasError if a process is killed: "a process that `doing` was killed", and the remedy.
    """
    waiting = iter(tasks)
    first = list(islice(waiting, AHEAD * processes))
    pool = _Pool.open(min(processes, len(first)), start, given, function, first) if first else None
    if pool is None:
        if here is None and start is not None:
            start(*given)
        for task in chain(first, waiting):
            yield task, (here or function)(task)
        meanwhile()
        return
    done = False
    try:
        meanwhile()
        while pool.running:
            future = next(iter(pool.running)) if in_order else pool.next_done()
            result = future.result()
            task = pool.running.pop(future)
            for following in islice(waiting, 1):
                pool.submit(function, following)
            yield task, result
        done = True
    except BrokenProcessPool as error:
        raise _explained(error, doing, remedy) from error
    finally:
        # After an error, Ctrl-C or a loop that was left, tasks under way are abandoned.
        pool.close(kill=not done)


def in_workers(
    make: Callable[..., Callable[[Task], Result]],
    given: tuple[Any, ...],
    tasks: Iterable[Task],
    processes: int,
    *,
    doing: str,
    remedy: str,
    here: Callable[[Task], Result] | None = None,
    in_order: bool = True,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Task, Result]]:
    """As `in_processes`, where what the tasks share takes long to read: every process calls make(*given) once and
    applies the function that this returns to its tasks. Without processes this one does so, or calls `here`."""
    return in_processes(
        _apply_made,
        tasks,
        processes,
        doing=doing,
        remedy=remedy,
        start=_make,
        given=(make, given),
        here=here,
        in_order=in_order,
        meanwhile=meanwhile,
    )


def _explained(error: BrokenProcessPool, doing: str, remedy: str) -> AtlasError:
    from loky.process_executor import TerminatedWorkerError

    if isinstance(error, TerminatedWorkerError):
        return AtlasError(f"a process that {doing} was killed, probably out of memory", remedy=remedy)
    reason = str(error.__cause__ or error).strip().strip('"').strip().splitlines()[-1]
    return AtlasError(f"a process that {doing} does not work: {reason}", remedy=remedy)


class _Pool:
    """Processes, and which task each of the futures under way belongs to, in the order of the tasks."""

    def __init__(self, processes: int, start: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
        from loky.backend.context import LokyContext
        from loky.process_executor import ProcessPoolExecutor

        self.running: dict[Future[Any], Any] = {}
        # Nothing is ever sent. The processes wait for this end to close, which happens however this process ends.
        self._theirs, self._ours = multiprocessing.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(
            processes,
            # By its class: once scikit-learn is imported, the name "loky" stands for joblib's own copy of it, whose
            # processes import joblib as they start.
            context=LokyContext(),
            initializer=_begin,
            initargs=(self._theirs, start, given),
            env=_ENVIRONMENT,
        )

    @classmethod
    def open(
        cls,
        processes: int,
        start: Callable[..., None] | None,
        given: tuple[Any, ...],
        function: Callable[[Any], Any],
        tasks: list[Any],
    ) -> _Pool | None:
        """Processes that have begun with these tasks; None where none can be started, which is logged once."""
        pool = None
        try:
            pool = cls(processes, start, given)
            with _uninterrupted():
                for task in tasks:
                    pool.submit(function, task)
        except BaseException as error:
            if pool is not None:
                pool.close(kill=True)
            if not isinstance(error, _REFUSALS):
                raise
            _log_once(f"no processes can be started here, so that one does all the work: {error!r}")
            return None
        return pool

    def submit(self, function: Callable[[Any], Any], task: Any) -> None:
        self.running[self._executor.submit(_work, function, task)] = task

    def next_done(self) -> Future[Any]:
        finished = wait(self.running, return_when=FIRST_COMPLETED).done
        return next(future for future in self.running if future in finished)

    def close(self, *, kill: bool) -> None:
        # loky warns where it cannot look for processes of its processes (no pgrep): ours have none.
        warnings.filterwarnings("ignore", "Failed to kill subprocesses")
        self._executor.shutdown(wait=True, kill_workers=kill)
        self._ours.close()
        self._theirs.close()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes started meanwhile ignore Ctrl-C, which a terminal sends to all: only this process acts on it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # by loky otherwise, and starting it lets the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@functools.cache
def _log_once(sentence: str) -> None:
    logging.getLogger(__name__).warning(sentence)


# -- in the processes ------------------------------------------------------------------------------------------------

_failed: list[Exception] = []  # why this process could not begin


def _begin(
    lifeline: connection.Connection, start: Callable[..., None] | None, given: tuple[Any, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    try:
        if start is not None:
            start(*given)
    except Exception as error:  # raised by the first task instead: from there it reaches the caller unchanged
        _failed.append(error)


_made: list[Callable[[Any], Any]] = []  # the function of this process that `in_workers` had made last


def _make(make: Callable[..., Callable[[Any], Any]], given: tuple[Any, ...]) -> None:
    _made[:] = [make(*given)]


def _apply_made(task: Any) -> Any:
    return _made[0](task)


def _end_with(lifeline: connection.Connection) -> None:
    connection.wait([lifeline])
    os._exit(1)


def _work(function: Callable[[Any], Any], task: Any) -> Any:
    if _failed:
        raise _failed[0]
    return function(task)


# -- memory that they share ------------------------------------------------------------------------------------------


class SharedBytes:
    """Memory that processes are given as they start, for results too large to be sent. It has no name that could be
    left behind, and is freed when the last process that holds it ends.

    memory: of the requested size; zeros at first.
    """

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor, self._size = descriptor, size
        self.memory = mmap.mmap(descriptor, size)

    @classmethod
    def of(cls, size: int) -> SharedBytes | None:
        """Memory of `size` bytes; None where the system has none: outside Linux, for 0 bytes, and where it refuses."""
        try:
            descriptor = os.memfd_create("pictures")
        except (AttributeError, OSError):
            return None
        try:
            os.ftruncate(descriptor, size)
            return cls(descriptor, size)
        except (OSError, ValueError):
            os.close(descriptor)
            return None

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self._descriptor), self._size)

    def close(self) -> None:
        """Release this process's hold. An array that is a view of the memory keeps it open."""
        os.close(self._descriptor)


def _received(descriptor: Any, size: int) -> SharedBytes:
    return SharedBytes(descriptor.detach(), size)

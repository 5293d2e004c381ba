"""Stages in the background: those that need no device run in threads of their own, while a GPU computes the others, and
on a CPU beside each other."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from threadpoolctl import threadpool_limits

from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.table import Stage

AT_ONCE = 2  # stages in the background, on more than one core


class BackgroundStages:
    """The stages that run in the background. Under torchrun the leading process runs those that are its own, and each
    process its share of the others."""

    def __init__(
        self, pool: ThreadPoolExecutor, run: Run, perform: Callable[[Stage, Inputs, Run], None]
    ) -> None:
        self._pool, self._run, self._perform = pool, run, perform
        self._begun: dict[str, Future[None]] = {}
        self._failed = threading.Event()  # a stage: those that wait for a thread are not begun any more

    def begin(self, stage: Stage, inputs: Inputs) -> None:
        """Begin a stage. It runs as soon as a thread is free and the stages that it needs are done."""
        needed = [self._begun[name] for name in stage.needs if name in self._begun]
        # Its times stand in the summary.
        silent = replace(self._run, reporter=self._run.reporter.silent())

        def work() -> None:
            if not self._run.ranks.leads and stage.ranks == "leader":
                return
            for future in needed:
                future.result()
            if self._failed.is_set():
                return
            try:
                self._perform(stage, inputs, silent)
            except BaseException:
                self._failed.set()
                raise
            self._run.reporter.stages += silent.reporter.stages
            for note in silent.reporter.notes:
                self._run.reporter.note(note)

        self._begun[stage.name] = self._pool.submit(work)

    def holds(self, names: Collection[str]) -> bool:
        """Whether any of these stages runs, or ran, in the background."""
        return not self._begun.keys().isdisjoint(names)

    def check(self) -> None:
        """Raise the error of a stage that has failed, if there is one."""
        self.wait_for([name for name, future in self._begun.items() if future.done()])

    def wait_for(self, names: Collection[str]) -> None:
        """Wait for those of these stages that run in the background; raise the error of one that fails."""
        for name in names:
            if name in self._begun:
                self._begun[name].result()

    def wait(self) -> None:
        """Wait for all; raise the error of one that fails."""
        if all(future.done() for future in self._begun.values()):
            self.check()
            return
        with self._run.reporter.waiting("in the background"):
            self.wait_for(list(self._begun))


@contextlib.contextmanager
def background_stages(run: Run, perform: Callable[[Stage, Inputs, Run], None]) -> Iterator[BackgroundStages]:
    """A context: stages begun inside it are complete when it ends.

    After an error, stages that have not started are dropped. Running ones are waited for, because they write to the
    atlas."""
    at_once = min(AT_ONCE, os.cpu_count() or 1)
    # Matrix products in one thread: a stage that sets and lifts this limit by itself would change the order of the sums
    # of another one meanwhile.
    with (
        threadpool_limits(1, user_api="blas"),
        ThreadPoolExecutor(at_once, thread_name_prefix="background") as pool,
    ):
        stages = BackgroundStages(pool, run, perform)
        try:
            yield stages
            stages.wait()
            run.ranks.meet()
        finally:
            pool.shutdown(cancel_futures=True)

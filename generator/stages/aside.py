"""Stages that need no device run in threads of their own while a GPU works on the pictures."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from generator.core.progress import Reporter
from generator.stages.inputs import Inputs
from generator.stages.run import Run
from generator.stages.table import Stage

AT_ONCE = 2  # stages beside the others; each uses several cores


class Aside:
    """The stages that run beside the others. Under torchrun only the leading process runs any."""

    def __init__(
        self, pool: ThreadPoolExecutor, run: Run, perform: Callable[[Stage, Inputs, Run], None]
    ) -> None:
        self._pool, self._run, self._perform = pool, run, perform
        self._begun: dict[str, Future[None]] = {}

    def begin(self, stage: Stage, inputs: Inputs) -> None:
        """Begin a stage as soon as a thread is free and the stages that it needs are done."""
        needed = [self._begun[name] for name in stage.needs if name in self._begun]
        # Two progress bars would overwrite each other: this stage is silent, and its times stand in the summary.
        silent = replace(self._run, reporter=Reporter(quiet=True))

        def work() -> None:
            if not self._run.ranks.leads:
                return
            for future in needed:
                future.result()
            self._perform(stage, inputs, silent)
            self._run.reporter.stages += silent.reporter.stages
            for note in silent.reporter.notes:
                self._run.reporter.note(note)

        self._begun[stage.name] = self._pool.submit(work)

    def holds(self, names: Collection[str]) -> bool:
        """Whether any of these stages was begun here."""
        return not self._begun.keys().isdisjoint(names)

    def check(self) -> None:
        """Raise what a finished stage has raised."""
        self.wait_for([name for name, future in self._begun.items() if future.done()])

    def wait_for(self, names: Collection[str]) -> None:
        """Wait for those of these stages that were begun here, and raise what one of them has raised."""
        for name in names:
            if name in self._begun:
                self._begun[name].result()

    def wait(self) -> None:
        """Wait for all, and raise what one of them has raised."""
        self.wait_for(list(self._begun))


@contextlib.contextmanager
def aside(run: Run, perform: Callable[[Stage, Inputs, Run], None]) -> Iterator[Aside]:
    """Stages begun inside are done at the end. After an error those that have not started are dropped, and the running
    ones are waited for: they write to the atlas."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="beside") as pool:
        stages = Aside(pool, run, perform)
        try:
            yield stages
            stages.wait()
            run.ranks.meet()
        finally:
            pool.shutdown(cancel_futures=True)

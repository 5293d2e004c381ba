"""Progress of a job: bars with rate and time left on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text

PLAIN_SECONDS = 5.0  # between two plain lines


class Advance(Protocol):
    """Called with the number of things done since the last call."""

    def __call__(self, done: int = 1) -> None: ...


@dataclass
class StageTime:
    """What one stage did: how many things, of what, in how many seconds."""

    name: str
    unit: str
    count: int = 0
    seconds: float = 0.0


@dataclass
class Reporter:
    """Shows the progress of one job. quiet: say nothing but keep the times."""

    quiet: bool = False
    stages: list[StageTime] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, quiet=self.quiet)

    def say(self, line: str) -> None:
        """One line that stays."""
        self._console.print(line, markup=False, soft_wrap=True)

    def note(self, line: str) -> None:
        """A line said now and once more in the summary."""
        self.notes.append(line)
        self.say(line)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        """A stage of `total` things, of which `done` were done by an earlier run."""
        record = StageTime(name, unit)
        self.stages.append(record)
        start = time.monotonic()
        if done:
            self.say(f"{name}: {done:,} of {total:,} {unit} were done by an earlier run")
        show = _bar if self._console.is_terminal and not self.quiet else _lines
        try:
            with show(self._console, record, total, done) as advance:
                yield advance
        finally:
            record.seconds = time.monotonic() - start

    @contextmanager
    def stages_by_call(self, unit: str) -> Iterator[Callable[[str, int, int], None]]:
        """For a room that knows no reporter: a callable (what, done, total) that opens a stage for each `what`."""
        current: list[tuple[str, int]] = []
        opened = ExitStack()
        advance: Advance = lambda done=1: None  # noqa: E731

        def report(what: str, done: int, total: int) -> None:
            nonlocal advance
            if not current or current[0][0] != what:
                opened.close()
                advance = opened.enter_context(self.stage(what, total, unit))
                current[:] = [(what, 0)]
            advance(done - current[0][1])
            current[:] = [(what, done)]

        with opened:
            yield report

    def summary(self, closing: str) -> None:
        """Seconds and counts of every stage, and a closing line."""
        for stage in self.stages:
            self.say(f"  {stage.name:<22}{stage.count:>9,} {stage.unit:<10}{stage.seconds:>8.1f} s")
        self.say(closing)


class _RateColumn(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")


@contextmanager
def _bar(console: Console, record: StageTime, total: int, done: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(record.unit),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console, speed_estimate_period=60) as progress:
        task = progress.add_task(record.name, total=total, completed=done)

        def advance(done: int = 1) -> None:
            record.count += done
            progress.advance(task, done)

        yield advance


@contextmanager
def _lines(console: Console, record: StageTime, total: int, earlier: int) -> Iterator[Advance]:
    start = last = time.monotonic()

    def advance(done: int = 1) -> None:
        nonlocal last
        record.count += done
        now = time.monotonic()
        if now - last >= PLAIN_SECONDS:
            last = now
            rate = record.count / (now - start)
            left = (total - earlier - record.count) / rate if rate else 0.0
            position = f"{earlier + record.count:,} of {total:,} {record.unit}"
            console.print(f"{record.name}: {position}, {rate:,.1f}/s, {left:,.0f} s left", soft_wrap=True)
            sys.stderr.flush()

    yield advance
    seconds = time.monotonic() - start
    if seconds >= 2:
        console.print(f"{record.name}: {record.count:,} {record.unit} in {seconds:.1f} s", soft_wrap=True)

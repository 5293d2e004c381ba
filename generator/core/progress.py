"""Progress of a job: bars with rate and time left on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.text import Text

PLAIN_SECONDS = 5.0  # between two plain lines
NARROW = 72  # columns of a terminal: below, a bar would leave no room for the numbers
SILENT = 2.0  # seconds; what takes less is not announced
# Replacements for signs that a terminal's encoding lacks.
PLAIN_SIGNS = str.maketrans({"×": "x", "–": "-", "—": "-", "−": "-", "…": "...", "’": "'", "³": "3"})


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
    """Shows the progress of one job. quiet: print nothing, but record the times."""

    quiet: bool = False
    stages: list[StageTime] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, emoji=False, quiet=self.quiet)

    def say(self, line: str) -> None:
        """Print one line. Control characters are escaped, because names of files and classes may hold anything."""
        text = encodable(printable(line), self._console.encoding)
        self._console.print(text, markup=False, soft_wrap=True)

    def note(self, line: str) -> None:
        """Print a line now, and once more in the summary."""
        self.notes.append(line)
        self.say(line)

    def silent(self) -> Reporter:
        """A reporter that prints nothing, for a stage that runs beside others: two progress bars would overwrite each
        other."""
        return Reporter(quiet=True)

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
    def waiting(self, name: str, unit: str = "") -> Iterator[Advance]:
        """Work of unknown length: shows how long it has taken so far, and the number of things done if `advance` is
        called."""
        record = StageTime(name, unit)
        start = time.monotonic()
        show = _spinner if self._console.is_terminal else _heartbeat
        with show(self._console, record) if not self.quiet else _counting(record) as advance:
            yield advance
        record.seconds = time.monotonic() - start
        if record.seconds >= SILENT:  # else not worth a line, here and in the summary
            self.stages.append(record)

    @contextmanager
    def stages_by_call(self, unit: str) -> Iterator[Callable[[str, int, int], None]]:
        """For code that does not know the reporter: a callable (name, done, total) that opens a stage for each name."""
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
        """Seconds and counts of every stage, the notes, and a closing line."""
        for stage in self.stages:
            count = f"{stage.count:>9,}" if stage.unit else " " * 9
            unit = stage.unit.removesuffix("s") if stage.count == 1 else stage.unit
            self.say(f"  {stage.name:<22}{count} {unit:<10}{stage.seconds:>8.1f} s")
        for note in dict.fromkeys(self.notes):
            self.say(f"  {note}")
        self.say(closing)


def printable(text: str) -> str:
    r"""Text as one line without control characters: line breaks, escape sequences, marks that change the direction of
    writing and bytes that are no UTF-8 are escaped, as \n, \x1b, \u202e and \xff."""
    return "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)


def _escaped(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # how Python decodes a byte of a file name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


def encodable(text: str, encoding: str) -> str:
    """The text with characters that the encoding lacks replaced by the nearest one that it has, or escaped."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN_SIGNS).encode(encoding, "backslashreplace").decode(encoding)
    return text


class _RateColumn(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.1f}/s")


@contextmanager
def _bar(console: Console, record: StageTime, total: int, done: int) -> Iterator[Advance]:
    columns: tuple[ProgressColumn, ...] = (
        TextColumn("{task.description:<22}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(record.unit),
        _RateColumn(),
        TimeRemainingColumn(),
    )
    if console.width < NARROW:
        columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeRemainingColumn())
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
    if seconds >= SILENT:
        console.print(f"{record.name}: {record.count:,} {record.unit} in {seconds:.1f} s", soft_wrap=True)


@contextmanager
def _counting(record: StageTime) -> Iterator[Advance]:
    def advance(done: int = 1) -> None:
        record.count += done

    yield advance


@contextmanager
def _spinner(console: Console, record: StageTime) -> Iterator[Advance]:
    spinner = SpinnerColumn("line")  # of signs that every terminal has
    columns = (spinner, TextColumn("{task.description}"), TimeElapsedColumn())
    with RichProgress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(record.name, total=None)

        def advance(done: int = 1) -> None:
            record.count += done
            progress.update(task, description=f"{record.name}: {record.count:,} {record.unit}")

        yield advance


@contextmanager
def _heartbeat(console: Console, record: StageTime) -> Iterator[Advance]:
    """Print a line at intervals, from a thread of its own, because the work may report nothing for long."""
    start, over = time.monotonic(), threading.Event()

    def so_far(ending: str = "") -> str:
        count = f"{record.count:,} {record.unit} in " if record.count else ""
        return f"{record.name}: {count}{time.monotonic() - start:.1f} s{ending}"

    def beat() -> None:
        pause = SILENT
        while not over.wait(pause):
            console.print(so_far(" so far"), soft_wrap=True)
            sys.stderr.flush()
            pause = PLAIN_SECONDS

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        with _counting(record) as advance:
            yield advance
    finally:
        over.set()
        thread.join()
    if time.monotonic() - start >= SILENT:
        console.print(so_far(), soft_wrap=True)

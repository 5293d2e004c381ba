"""What the console shows: one line a line, whatever names hold; something to read whenever work takes long."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from generator.core import progress
from generator.core.progress import Reporter, encodable, printable

STEERING = [
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\n",
    "\r",
    "\x9b31m",
    "\u202e",
    "\u2028",
    "\x00",
    "\x7f",
    "\udcff",
]


def _until(condition: Callable[[], bool]) -> bool:
    """Wait until it holds, a minute at most."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize("sign", STEERING, ids=lambda sign: ascii(sign))
def test_nothing_in_a_name_steers_the_terminal(sign, capsys):
    Reporter().say(f"before{sign}after")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1 and shown.endswith("after\n") and shown.startswith("before")
    assert shown.removesuffix("\n").isprintable()


def test_what_is_written_out_can_be_told():
    assert printable("a\x1bb\nc\udcffd\u202ee") == r"a\x1bb\nc\xffd\u202ee"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_bar_shows_its_count_whole_in_terminals_of_any_width(width):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, color_system=None, width=width)
    with progress._bar(console, progress.StageTime("patches and gradients", "units"), 1200, 0) as advance:
        advance(345)
    assert " 345/1200 " in shown.getvalue()


def test_one_thing_is_told_in_the_singular(capsys):
    reporter = Reporter()
    for count in (1, 2):
        with reporter.stage(f"stage {count}", count, "layers") as advance:
            advance(count)
    reporter.summary("the end")
    first, second, _ = capsys.readouterr().err.splitlines()
    assert " 1 layer " in first and " 2 layers " in second


@pytest.mark.parametrize("name", ["cat :smile: .png", "[red]cat[/red].png", "Käuzchen 猫 😀.png", "a\\b.png"])
def test_ordinary_names_are_shown_as_they_are(name, capsys):
    Reporter().say(name)
    assert capsys.readouterr().err == f"{name}\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "koi8-r"])
def test_signs_that_a_terminal_lacks_are_replaced_by_near_ones(encoding):
    shown = encodable("224 × 224 px — 猫", encoding)
    shown.encode(encoding)
    assert shown.startswith("224 ") and "224 px" in shown and r"\u732b" in shown
    assert encodable("plain", encoding) == "plain"


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1:strict", "utf-8"])
def test_a_terminal_of_any_encoding_gets_the_lines(encoding):
    code = "from generator.core.progress import Reporter; Reporter().say('3 × 4 — 猫')"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONIOENCODING": encoding}, capture_output=True, check=True
    )
    assert done.stderr.strip()


def test_a_quiet_reporter_says_nothing_and_keeps_the_times(capsys):
    reporter = Reporter(quiet=True)
    reporter.say("line")
    with reporter.waiting("work") as advance:
        advance(2)
    assert capsys.readouterr() == ("", "")


def test_work_of_unknown_length_is_heard_of_while_it_lasts_and_a_short_one_is_not(monkeypatch):
    monkeypatch.setattr(progress, "SILENT", 0.2)
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.2)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    reporter = Reporter()
    threads = threading.active_count()
    with reporter.waiting("long", "files") as advance:
        advance(7)
        assert _until(lambda: sys.stderr.getvalue().count("\n") >= 2)
        message = sys.stderr.getvalue()
    assert "long: 7 files" in message and "so far" in message
    assert [stage.name for stage in reporter.stages] == ["long"]
    assert threading.active_count() == threads
    monkeypatch.setattr(progress, "SILENT", 60)
    before = sys.stderr.getvalue()
    with reporter.waiting("short"):
        pass
    assert sys.stderr.getvalue() == before and [stage.name for stage in reporter.stages] == ["long"]


def test_a_failure_amid_such_work_ends_its_lines(monkeypatch):
    monkeypatch.setattr(progress, "SILENT", 0.05)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    threads = threading.active_count()

    def work() -> None:
        with Reporter().waiting("work"):
            assert threading.active_count() > threads
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        work()
    assert threading.active_count() == threads

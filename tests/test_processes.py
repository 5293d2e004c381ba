"""Processes that work for another: they import no caller's script, outlive nobody, and what ends them is said."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import operator
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import loky.process_executor
import pytest

from generator.core import processes
from generator.core.errors import AtlasError
from generator.core.processes import AHEAD, SharedBytes, in_processes, in_workers

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SAID = {"doing": "tests", "remedy": "use fewer workers"}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def run_alone(code: str) -> subprocess.CompletedProcess[str]:
    """What a Python process of its own says."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True)


def slowly(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def refuse(number: int) -> int:
    if number == 3:
        raise AtlasError("three", "here", "give four")
    return number


def counting(start: int):
    counter = itertools.count(start)
    return lambda task: next(counter)


def begin_badly(sentence: str) -> None:
    raise AtlasError(sentence)


# -- what they do ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2])
def test_results_come_with_their_tasks_in_order(count):
    tasks = [0.2, 0.0, 0.05, 0.0, 0.0]
    assert list(in_processes(slowly, iter(tasks), count, **SAID)) == [(task, task) for task in tasks]


def wait_for(path: Path) -> bool:
    """Until the file is there, a minute at most."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return path.exists()


def wait_or_touch(task: tuple[str, Path]) -> bool:
    verb, path = task
    if verb == "wait":
        return wait_for(path)
    path.touch()
    return True


def test_results_come_as_they_are_done_where_order_does_not_matter(tmp_path):
    """The first task waits for what the last one writes, so the one between them comes before it."""
    tasks = [("wait", tmp_path / "last"), ("touch", tmp_path / "first"), ("touch", tmp_path / "last")]
    done = list(in_processes(wait_or_touch, tasks, 2, in_order=False, **SAID))
    assert sorted(done) == sorted((task, True) for task in tasks)
    assert done[0][0] == tasks[1]


@pytest.mark.parametrize("count", [0, 1])
def test_what_tasks_share_is_made_once_a_process(count):
    counters = in_workers(counting, (10,), "abc", count, **SAID)
    assert list(counters) == [("a", 10), ("b", 11), ("c", 12)]


def test_only_so_many_tasks_are_taken_ahead():
    taken = []
    tasks = (taken.append(number) or number for number in range(20))
    for done, _ in enumerate(in_processes(refuse_none, tasks, 2, **SAID), 1):
        assert len(taken) <= done + AHEAD * 2
    assert len(taken) == 20


def refuse_none(number: int) -> int:
    return number


@pytest.mark.parametrize("count", [0, 2])
def test_what_a_task_raises_is_raised_as_it_is(count):
    with pytest.raises(AtlasError, match="three: here — give four"):
        list(in_processes(refuse, range(9), count, **SAID))


@pytest.mark.parametrize("count", [0, 1])
def test_what_a_process_cannot_begin_for_is_raised_as_it_is(count):
    with pytest.raises(AtlasError, match="no templates"):
        list(in_processes(refuse_none, [1], count, start=begin_badly, given=("no templates",), **SAID))


def test_no_tasks_start_no_process():
    assert list(in_processes(refuse_none, [], 2, **SAID)) == []
    assert not multiprocessing.active_children()


def test_each_has_one_thread():
    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    assert [value for _, value in in_processes(os.getenv, names, 1, **SAID)] == ["1"] * 3


def faults_of_a_second_picture(size: int) -> int:
    import resource

    bytearray(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@LINUX
def test_each_keeps_the_memory_of_a_picture_for_the_next():
    """Of 4 MB, 1,024 pages of memory."""
    ((_, faults),) = in_processes(faults_of_a_second_picture, [4 * 2**20], 1, **SAID)
    assert faults < 100


ROOMS = [
    "pictures.batches", "stages.sprite_encoding", "site.render", "site.links", "pictures.drawn.gallery",
    "pictures.drawn.pool", "pictures.drawn.scales",
]  # fmt: skip


def test_none_loads_torch():
    loaded = "(__import__('generator.{}'), [name for name in ('torch', 'pandas') if name in __import__('sys').modules])"
    for _, (_, heavy) in in_processes(eval, [loaded.format(room) for room in ROOMS], 1, **SAID):
        assert heavy == []


PACKAGES = r"multiprocessing|loky|joblib|subprocess|concurrent\.futures\.process|torch\.utils\.data"
STARTING = rf"^\s*(?:from|import) +(?:{PACKAGES})\b"


def test_none_loads_what_this_process_loaded_for_itself():
    """joblib registers its own loky under the same name, and its processes import joblib."""
    code = """
        import loky.backend, joblib, sys
        from generator.core.processes import in_processes
        loaded = "[name for name in ('joblib', 'numpy') if name in __import__('sys').modules]"
        print(*(names for _, names in in_processes(eval, [loaded], 1, doing="tests", remedy="none")))
    """
    assert run_alone(code).stdout == "[]\n"


def test_one_helper_serves_all():
    """Whoever started processes by itself would have to see to their end, to Ctrl-C and to the caller's script."""
    found = {
        path.name
        for path in (ROOT / "generator").rglob("*.py")
        if re.search(rf"{STARTING}|\bProcessPoolExecutor\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert found == {"processes.py"}


@LINUX
def test_what_a_process_writes_into_shared_memory_is_read_here():
    shared = SharedBytes.of(8)
    assert shared is not None
    list(in_processes(operator.methodcaller("write", 3), [_Cell(shared)], 0, **SAID))
    assert shared.memory[3] == 7
    list(in_processes(_write_there, [5, 6], 1, start=_take, given=(shared,), **SAID))
    assert list(shared.memory[:]) == [0, 0, 0, 7, 0, 7, 7, 0]
    shared.close()


class _Cell:
    def __init__(self, shared: SharedBytes) -> None:
        self.memory = shared.memory

    def write(self, at: int) -> None:
        self.memory[at] = 7


_taken: list[SharedBytes] = []


def _take(shared: SharedBytes) -> None:
    _taken.append(shared)


def _write_there(at: int) -> None:
    _Cell(_taken[0]).write(at)


# -- how they end ----------------------------------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_one_that_is_killed_is_said_in_one_sentence(in_order, end):
    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(children[0].pid, end)

    threading.Thread(target=kill, daemon=True).start()
    sentence = "a process that tests was killed, probably out of memory — use fewer workers"
    with pytest.raises(AtlasError) as caught:
        list(in_processes(slowly, [600.0] * 4, 2, in_order=in_order, **SAID))
    assert str(caught.value) == sentence
    assert not multiprocessing.active_children()


@pytest.mark.alone
def test_those_whose_results_nobody_wants_are_ended_at_once():
    start = time.monotonic()
    results = in_processes(slowly, [0.0, 600.0, 600.0], 2, **SAID)
    next(results)
    results.close()
    assert time.monotonic() - start < 300
    assert not multiprocessing.active_children()


WORKING = """
import os, time
from generator.core.processes import in_processes

# One write per line, so that the lines of two processes cannot mix.
line = "b'%d ' % __import__('os').getpid() + bytes([10])"
tasks = [f"(__import__('os').write(1, {line}), __import__('time').sleep(600))"] * 2
for _ in in_processes(eval, tasks, 2, doing="tests", remedy="none"):
    pass
"""


def _started(code: str) -> subprocess.Popen[str]:
    """Python running code, the leader of a session, as if at a terminal: what a shell runs in the background ignores
    Ctrl-C, and so would all that it starts."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def _gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has fetched yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.alone
@LINUX
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_none_outlives_the_process_that_it_works_for(end):
    """SIGINT as a terminal sends it: to all at once."""
    process = _started(WORKING)
    assert process.stdout is not None
    workers = [int(process.stdout.readline()) for _ in range(2)]
    assert not any(map(_gone, workers))
    if end == signal.SIGINT:
        os.killpg(process.pid, end)
    else:
        process.send_signal(end)
    _, errors = process.communicate(timeout=120)  # its pipes close when the last of them has ended
    deadline = time.monotonic() + 60
    while not all(map(_gone, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert all(map(_gone, workers))
    assert errors.count("Traceback") == (end == signal.SIGINT)
    assert errors.count("KeyboardInterrupt") == (end == signal.SIGINT)


@LINUX
def test_ctrl_c_while_they_start_leaves_none_and_no_words_of_theirs():
    code = "import sys; print('ready', flush=True)\n" + WORKING
    for pause in (0.1, 0.4):
        process = _started(code)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(pause)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=120)
        assert errors.count("Traceback") <= 1, errors


# -- where none can be started ---------------------------------------------------------------------------------------

REFUSALS = [
    FileNotFoundError(2, "No such file or directory"),  # no /dev/shm
    PermissionError(13, "Permission denied"),
    ImportError("This platform lacks a functioning sem_open implementation"),
    NotImplementedError("system provides too few semaphores"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["__init__", "submit"])
def test_where_none_can_be_started_all_is_done_here_and_that_is_said_once(
    refusal, where, monkeypatch, caplog
):
    def refuse(*given, **named):
        raise refusal

    monkeypatch.setattr(loky.process_executor.ProcessPoolExecutor, where, refuse)
    processes._log_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert list(in_processes(refuse_none, range(9), 2, **SAID)) == [(n, n) for n in range(9)]
    (record,) = caplog.records
    assert "no processes can be started here" in record.message


def test_a_process_that_may_have_none_of_its_own_does_all_itself():
    """A child of multiprocessing that is a daemon."""
    code = """
        import multiprocessing
        from generator.core.processes import in_processes

        def work():
            print([result for _, result in in_processes(abs, [-1, -2], 2, doing="tests", remedy="none")])

        child = multiprocessing.get_context("fork").Process(target=work, daemon=True)
        child.start()
        child.join()
    """
    done = run_alone(code)
    assert done.stdout == "[1, 2]\n" and "no processes can be started here" in done.stderr


# -- the caller's script ---------------------------------------------------------------------------------------------

# Draws pictures and decodes them, in two processes each.
SCRIPT = """
with open({trace!r}, "a") as file:
    file.write("begun\\n")

from pathlib import Path

import numpy as np

from generator.pictures.batches import read_ahead
from generator.pictures.drawn.gallery import draw_pictures
from generator.pictures.drawn.world import picture_path
from generator.core.records import Preprocessing

draw_pictures(Path({folder!r}), 60, workers=2)
paths = tuple(str(picture_path(index)) for index in range(60))
preprocessing = Preprocessing(32, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
batches = read_ahead({folder!r}, np.arange(60), paths, preprocessing, batch=20, workers=2)
print([len(pixels) for _, pixels in batches])
"""
THREADED = """
import threading
thread = threading.Thread(target=exec, args=({script!r}, {{}}))
thread.start()
thread.join()
"""
NOTEBOOK = "exec(compile({script!r}, '<cell 1>', 'exec'), {{'__name__': '__main__'}})"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["file", "stdin", "command", "module", "thread", "notebook"])
def test_a_script_without_a_guard_is_run_once(way, tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "script.py"
    script = SCRIPT.format(trace=str(trace), folder=str(tmp_path / "pictures"))
    script = {"thread": THREADED, "notebook": NOTEBOOK}.get(way, "{script}").format(script=script)
    path.write_text(script)
    command, given = {
        "stdin": (["-"], script),
        "command": (["-c", script], None),
        "module": (["-m", "script"], None),
    }.get(way, ([str(path)], None))
    done = subprocess.run(
        [sys.executable, *command],
        input=given,
        env=ENVIRONMENT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[20, 20, 20]\n", 0), done.stderr
    assert trace.read_text() == "begun\n"
    assert done.stderr == ""

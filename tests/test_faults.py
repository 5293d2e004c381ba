"""What may go wrong during a run: it ends with the same bytes as an undisturbed one, or in one sentence and a folder
from which the next run goes on."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from interrupting import Calling, Interrupting, file_bytes
from PIL import Image
from small_job import PICTURED, command

from generator.core import files
from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.engine.gradients import unit_gradients
from generator.engine.scan import scan
from generator.stages import checkpointed_pass, picture_reading, profile, unit_pictures
from generator.stages import run as runs
from generator.stages.pipeline import compute

pytestmark = pytest.mark.slow  # whole atlases are computed


@pytest.fixture(autouse=True)
def _one_thread():
    """A scan takes a batch a thread in a round: with one thread there are rounds enough here to break in between."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
QUIET = Reporter(quiet=True)


def _ends_the_same(small, folder, atlas):
    compute(profile.load(str(small)), folder, Reporter(quiet=True))
    assert file_bytes(folder) == file_bytes(atlas.folder)


# -- the same bytes for any way to compute them ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (64, 2), (33, 1)])
def test_batch_size_and_workers_change_no_byte(small, atlas, tmp_path, batch, workers):
    chosen = profile.load(str(small)).changed(compute={"batch": batch, "workers": workers})
    compute(chosen, tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.slow
def test_a_run_may_go_on_with_another_batch_size(small, atlas, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
    chosen = profile.load(str(small))
    with pytest.raises(KeyboardInterrupt):
        compute(chosen, tmp_path, Interrupting("scan", 33))
    compute(chosen.changed(compute={"batch": 64}), tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.slow
def test_the_order_of_files_on_the_disk_changes_no_byte(small, atlas, pictures, tmp_path):
    """The same files, written in the opposite order into folders made in the opposite order."""
    mine = tmp_path / pictures.name
    for path in sorted(pictures.rglob("*"), reverse=True):
        if path.is_file():
            place = mine / path.relative_to(pictures)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    there = tmp_path / "there"
    compute(profile.load(str(small)).changed(pictures={"folder": str(mine)}), there, Reporter(quiet=True))
    ours, theirs = file_bytes(there), file_bytes(atlas.folder)
    assert ours.pop(".inputs.json") != theirs.pop(".inputs.json")  # it holds the folder's place
    assert ours == theirs


def test_the_date_is_the_one_that_source_date_epoch_sets(small, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1000000000")
    chosen = profile.load(str(small)).changed(layers={"which": ["conv1"], "channels": 1})
    assert compute(chosen, tmp_path, QUIET).manifest().date == "2001-09-09"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(AtlasError, match="SOURCE_DATE_EPOCH"):
        compute(chosen, tmp_path / "other", QUIET)


# -- memory ----------------------------------------------------------------------------------------------------------


class _Full:
    """A function that has memory for so many pictures at once and raises the error of a device without more."""

    def __init__(self, function, size, room: int, error: Exception) -> None:
        self._function, self._size, self._room, self._error = function, size, room, error
        self.refused = 0

    def __call__(self, *arguments, **options):
        if self._size(*arguments) > self._room:
            self.refused += 1
            raise self._error
        return self._function(*arguments, **options)


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
    MemoryError(),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [ERRORS[0], *(pytest.param(error, marks=pytest.mark.long) for error in ERRORS[1:])],
    ids=lambda error: type(error).__name__,
)
def test_out_of_memory_in_the_scan_halves_the_forward_and_loses_nothing(
    small,
    atlas,
    tmp_path,
    monkeypatch,
    error,
):
    full = _Full(scan._scan_forward, lambda _n, _b, _s, size, *_: size, 8, error)
    monkeypatch.setattr(scan, "_scan_forward", full)
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), tmp_path, reporter)
    assert full.refused >= 2
    assert sum("out of memory" in note for note in reporter.notes) == 1
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.slow
def test_out_of_memory_amid_the_scan_keeps_what_was_saved(small, atlas, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
    whole, calls = scan._scan_forward, []

    def fails_once(network, batch, state, size, *rest):
        calls.append((batch.indices.tolist()[0], size))
        found = whole(network, batch, state, size, *rest)
        if len(calls) == 3:  # after the state took the pictures in: they must not count twice
            raise ERRORS[0]
        return found

    monkeypatch.setattr(scan, "_scan_forward", fails_once)
    compute(profile.load(str(small)), tmp_path, Reporter(quiet=True))
    assert [size for _, size in calls].count(16) and calls[0][0] not in [
        first for first, size in calls if size == 16
    ]
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["forward", "gradients"])
def test_out_of_memory_in_the_pictures_of_units_takes_fewer_at_once(
    small,
    atlas,
    tmp_path,
    monkeypatch,
    where,
):
    if where == "forward":
        full = _Full(unit_pictures.forward_switches, lambda _n, pictures, *_: len(pictures), 4, ERRORS[0])
        monkeypatch.setattr(unit_pictures, "forward_switches", full)
    else:
        engine = unit_gradients.UnitGradients
        full = _Full(engine.gradients, lambda _e, _s, _layer, units: len(units), 10, ERRORS[1])
        monkeypatch.setattr(engine, "gradients", lambda *arguments: full(*arguments))
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), tmp_path, reporter)
    assert full.refused
    assert sum("out of memory" in note for note in reporter.notes) == 1
    units = next(stage for stage in reporter.stages if stage.name == "patches and gradients")
    assert units.count == sum(
        (atlas.arrays.layer(layer.name)["top_image"][:PICTURED] >= 0).sum()
        for layer in atlas.manifest().layers
    )
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


def test_without_memory_for_one_picture_it_is_one_sentence_and_the_next_run_goes_on(
    small,
    atlas,
    tmp_path,
    monkeypatch,
):
    with monkeypatch.context() as patch:
        patch.setattr(scan, "_scan_forward", _Full(None, lambda *_: 1, 0, ERRORS[0]))
        with pytest.raises(AtlasError, match="not enough memory for a single picture"):
            compute(profile.load(str(small)), tmp_path, QUIET)
    _ends_the_same(small, tmp_path, atlas)


@pytest.mark.parametrize(("batch", "forwards"), [(1, 1), (32, 1), (33, 2), (256, 8)])
def test_forwards_are_of_one_size_for_any_batch(batch, forwards):
    profile = SimpleNamespace(compute=SimpleNamespace(batch=batch))
    assert picture_reading.forwards_per_read(SimpleNamespace(profile=profile, forward=32)) == forwards


# -- the disk --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage",
    [
        "scan",
        "patches and gradients",
        "connections",
        pytest.param("statistics", marks=pytest.mark.long),
        pytest.param("sprites", marks=pytest.mark.long),
    ],
)
def test_a_disk_that_fills_up_is_one_sentence_and_the_next_run_goes_on(
    small,
    atlas,
    tmp_path,
    monkeypatch,
    stage,
):
    """From some moment of the stage on every write fails."""
    reporter = Calling(stage, lambda: full.append(True))
    full: list[bool] = []
    replace, pwrite = os.replace, os.pwrite

    def refuse(function):
        def refused(*arguments):
            if full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return function(*arguments)

        return refused

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", refuse(replace))
        patch.setattr(files.os, "pwrite", refuse(pwrite))
        patch.setattr(runs.os, "cpu_count", lambda: 1)  # sprites in this process, where writes fail
        with pytest.raises(AtlasError, match="the disk is full"):
            compute(profile.load(str(small)), tmp_path, reporter)
    assert not (tmp_path / "manifest.json").exists()
    _ends_the_same(small, tmp_path, atlas)


def _tmpfs(folder: Path, size: str) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    return (
        shutil.which("mount") is not None
        and not subprocess.run(command, check=False, capture_output=True).returncode
    )


@pytest.mark.slow
def test_a_really_full_disk(small, atlas, tmp_path):
    """A tmpfs too small for the atlas; then it is made larger, and the run goes on."""
    folder = tmp_path / "disk"
    if not _tmpfs(folder, "600k"):
        pytest.skip("mounting a tmpfs is not allowed here")
    try:
        for size in ("300k", "600k"):
            subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)
            with pytest.raises(AtlasError, match="the disk is full"):
                compute(profile.load(str(small)), folder / "a", QUIET)
        subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
        _ends_the_same(small, folder / "a", atlas)
    finally:
        subprocess.run(["umount", str(folder)], check=False)


@pytest.mark.slow
def test_a_file_size_limit_is_one_sentence(small, tmp_path):
    """As `ulimit -f` sets it: every write beyond fails with EFBIG."""
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = subprocess.run(
        command(small, tmp_path / "a"),
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=limit,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("atlas:")]) == 1


def test_a_read_only_folder_is_one_sentence(small, tmp_path):
    folder = tmp_path / "closed"
    if os.geteuid() == 0:  # root may write anywhere: only a read-only file system stops it
        if not _tmpfs(folder, "1m"):
            pytest.skip("root, and mounting is not allowed")
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    else:
        folder.mkdir(mode=0o555)
    try:
        with pytest.raises(AtlasError, match=r"cannot be written.*--out"):
            compute(profile.load(str(small)), folder / "atlas", QUIET)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["umount", str(folder)], check=False)


# -- pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "stage"),
    [
        ("vanishes", "scan"),
        ("changes", "patches and gradients"),
        pytest.param("vanishes", "patches and gradients", marks=pytest.mark.long),
        pytest.param("changes", "scan", marks=pytest.mark.long),
    ],
)
def test_pictures_that_change_or_vanish_amid_a_run_never_end_up_in_a_finished_atlas(
    small,
    pictures,
    tmp_path,
    stage,
    what,
):
    """After the scan, where its pixels are not kept: then pictures are decoded again."""
    mine = Path(shutil.copytree(pictures, tmp_path / "mine"))
    chosen = profile.load(str(small)).changed(
        pictures={"folder": str(mine)}, compute={"cache": stage == "scan"}
    )
    victims = sorted(mine.rglob("*.png"))[-40:]

    def disturb() -> None:
        for victim in victims:
            if what == "vanishes":
                victim.unlink()
            else:
                Image.fromarray(np.full((36, 40, 3), 9, np.uint8)).save(victim)

    folder = tmp_path / "atlas"
    with pytest.raises(AtlasError, match="changed or vanished during the run"):
        compute(chosen, folder, Calling(stage, disturb))
    assert not (folder / "manifest.json").exists()
    compute(chosen, folder, Reporter(quiet=True))  # of the pictures as they are now
    compute(chosen, tmp_path / "fresh", Reporter(quiet=True))
    assert file_bytes(folder) == file_bytes(tmp_path / "fresh")


def test_a_folder_that_vanishes_amid_a_run_is_one_sentence(small, pictures, tmp_path):
    mine = Path(shutil.copytree(pictures, tmp_path / "mine"))
    chosen = profile.load(str(small)).changed(pictures={"folder": str(mine)})
    with pytest.raises(AtlasError):
        compute(chosen, tmp_path / "atlas", Calling("scan", lambda: shutil.rmtree(mine)))
    assert not (tmp_path / "atlas" / "manifest.json").exists()


# -- processes -------------------------------------------------------------------------------------------------------


def _kill_the_first(killed: list[int]) -> None:
    """The first of the processes that decode or encode, before it can have done anything."""
    while not (children := multiprocessing.active_children()):
        time.sleep(0.01)
    killed.append(children[0].pid)
    os.kill(children[0].pid, signal.SIGKILL)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("stage", ["scan", "sprites"])
def test_a_killed_worker_is_one_sentence_and_the_next_run_goes_on(
    small,
    atlas,
    tmp_path,
    monkeypatch,
    stage,
):
    monkeypatch.setattr(runs.os, "cpu_count", lambda: 2)
    chosen = profile.load(str(small)).changed(compute={"workers": 2})
    killed: list[int] = []

    class Killing(Reporter):
        def stage(self, name, total, unit, done=0):
            if name == stage:
                threading.Thread(target=_kill_the_first, args=(killed,), daemon=True).start()
            return super().stage(name, total, unit, done)

    with pytest.raises(
        AtlasError, match=r"a process that (decodes pictures|encodes sprites) was killed.*use fewer"
    ):
        compute(chosen, tmp_path, Killing(quiet=True))
    assert killed and not (tmp_path / "manifest.json").exists()
    _ends_the_same(small, tmp_path, atlas)


@pytest.mark.alone
@pytest.mark.slow
def test_a_terminated_run_goes_on(small, atlas, tmp_path):
    process = subprocess.Popen(
        command(small, tmp_path / "a"), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr or ():
        if "fingerprints" in line or "scan" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate()
    done = subprocess.run(command(small, tmp_path / "a"), env=ENVIRONMENT, capture_output=True, check=False)
    assert done.returncode == 0
    assert file_bytes(tmp_path / "a") == file_bytes(atlas.folder)


@pytest.mark.alone
@pytest.mark.slow
def test_workers_do_not_outlive_a_killed_run(small, tmp_path, monkeypatch):
    """They hold the pipe that their parent's messages went into: it closes when the last of them has ended."""
    text = small.read_text().replace("workers = 0", "workers = 2")
    (tmp_path / "small.toml").write_text(text)
    line = command(tmp_path / "small.toml", tmp_path / "a")
    process = subprocess.Popen(line, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (tmp_path / "a" / "work" / "scan" / "scores.f32").exists():
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)

"""The atlas folder: nothing half-written, one writer, every file the reader needs."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from generator.core.errors import AtlasError
from generator.core.files import ScoreFile, TileFile, disk_error, write_atomically
from generator.core.records import PictureRecord
from generator.core.store import Store, fingerprint


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(AtlasError, match="the disk is full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_read_only_folder_is_one_sentence(tmp_path):
    error = disk_error(OSError(errno.EROFS, "Read-only file system"), tmp_path / "x")
    assert "cannot be written" in str(error) and "--out" in str(error)


def _hold(folder, held, release):
    with Store(folder).locked():
        held.set()
        release.wait(20)


def test_a_second_process_says_so_and_stops(tmp_path):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(tmp_path, held, release))
    other.start()
    try:
        assert held.wait(20)
        with pytest.raises(AtlasError, match="another process"), Store(tmp_path).locked():
            pass
    finally:
        release.set()
        other.join()
    with Store(tmp_path).locked():
        pass  # the lock went with the process


@pytest.mark.alone
def test_the_lock_goes_with_a_process_that_is_killed(tmp_path):
    code = """
import sys, time
from generator.core.store import Store
with Store(sys.argv[1]).locked():
    print("locked", flush=True)
    time.sleep(600)
"""
    root = Path(__file__).resolve().parent.parent
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
    )
    assert other.stdout is not None and other.stdout.readline()
    start = time.monotonic()
    with (
        pytest.raises(AtlasError, match=r"another process is computing .* --out"),
        Store(tmp_path).locked(),
    ):
        pass
    assert time.monotonic() - start < 60  # it does not wait for the other, which sleeps
    other.kill()
    other.communicate()
    with Store(tmp_path).locked():
        pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_no_other_process(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(AtlasError, match=r"cannot be locked .* network drives.* --out"),
        Store(tmp_path).locked(),
    ):
        pass


def test_images_survive_any_name(tmp_path):
    names = ["a,b.png", 'quote".png', "new\nline.png", "<script>.png", "caf\udce9.png"]
    records = [PictureRecord(i, name, -1, name, 1, 2) for i, name in enumerate(names)]
    store = Store(tmp_path)
    store.tables.write_images(records)
    assert store.tables.images() == records


def test_layer_arrays_come_back_and_their_bytes_depend_on_nothing_else(tmp_path):
    arrays = {"top_value": np.arange(18, dtype=np.float32).reshape(2, 9), "dead": np.array([True, False])}
    contents = []
    for name, order in (("one", 1), ("two", -1)):
        store = Store(tmp_path / name)
        store.arrays.write_layer("res2a", "top", dict(list(arrays.items())[::order]))
        contents.append(store.arrays.layer_path("res2a", "top").read_bytes())
        stored = store.arrays.layer("res2a", "top")
        assert all(np.array_equal(array, stored[key]) for key, array in arrays.items())
    assert contents[0] == contents[1]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x00" * 100])
def test_a_damaged_layer_is_one_sentence(tmp_path, content):
    store = Store(tmp_path)
    store.arrays.write_layer("res2a", "top", {"top_value": np.ones(1)})
    write_atomically(store.arrays.layer_path("res2a", "statistics"), content)
    with pytest.raises(AtlasError, match="cannot be read"):
        store.arrays.layer("res2a")


def test_no_atlas_and_a_damaged_manifest_are_told_apart(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(AtlasError, match="no atlas here"):
        store.manifest()
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(AtlasError, match="cannot be read"):
        store.manifest()
    (tmp_path / "manifest.json").write_text('{"schema": 99}')
    with pytest.raises(AtlasError, match="schema 99"):
        store.manifest()


def test_tiles_written_in_any_order_are_read_by_channel(tmp_path):
    rng = np.random.default_rng(0)
    tiles = rng.integers(0, 256, (5, 9, 2, 4, 4, 3), dtype=np.uint8)
    focus = rng.integers(-9, 99, (5, 9, 3))
    with TileFile(tmp_path / "tiles", 2, 4) as file:
        for places in np.split(rng.permutation(45), [1, 20]):
            units = places // 9, places % 9
            file.write(*units, list(tiles[units].swapaxes(0, 1)), focus[units])
        assert all(np.array_equal(file.read(channel), tiles[channel]) for channel in range(5))
        assert np.array_equal(file.read_focus(5), focus)


def test_scores_written_in_any_order_are_read_by_layer(tmp_path):
    scores = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    with ScoreFile(tmp_path / "scores", [3, 4]) as file:
        for rows in ([4, 1], [0, 5, 2]):
            file.write(np.array(rows), scores[rows])
        assert np.array_equal(file.read(1, np.array([0, 2, 5])), scores[[0, 2, 5], 3:])
        assert np.array_equal(file.read(0, np.array([1])), scores[[1], :3])


def test_a_stamp_holds_until_it_is_taken_back(tmp_path):
    store = Store(tmp_path)
    assert store.work.stamp("scan") is None
    store.work.write_stamp("scan", "key")
    assert store.work.stamp("scan") == "key"
    store.work.unstamp("scan")
    assert store.work.stamp("scan") is None


def test_rendering_needs_no_module_that_windows_lacks(root):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('fcntl', 'resource', 'termios')));"
        "import generator.site.render, generator.core.store; generator.core.store.Store(sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code, str(root)], env=environment, check=True)


def test_equal_inputs_equal_fingerprint():
    assert fingerprint({"a": 1, "b": (1, 2)}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint(1) != fingerprint("1")

"""The file of decoded pixels gives back what was written of the same bytes, or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from generator.core.pixel_file import PAGE, PixelFile, PixelPlace

SHAPE = (7, 5, 3)


def picture(number: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, shape, np.uint8)


def sha256(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def contents(rows: list[int]) -> np.ndarray:
    """(n, 32) uint8"""
    return np.array([list(bytes.fromhex(sha256(row))) for row in rows], np.uint8).reshape(-1, 32)


@pytest.fixture
def place(tmp_path: Path) -> PixelPlace:
    place = PixelPlace(str(tmp_path / "work" / "pixels.u8"), "ab" * 32, 10, SHAPE)
    place.create()
    return place


def opened(place: PixelPlace) -> PixelFile:
    file = place.open()
    assert file is not None
    return file


def filled(place: PixelPlace, rows: list[int]) -> PixelFile:
    file = opened(place)
    for row in rows:
        file.write(row, picture(row), (40 + row, 30), sha256(row))
    return file


def read(file: PixelFile, row: int) -> tuple[np.ndarray, tuple[tuple[int, int], str] | None]:
    pixels = np.full(file.place.shape, 77, np.uint8)
    return pixels, file.read(row, pixels)


def test_a_row_comes_back_with_size_and_digest_whoever_opens_the_file(place: PixelPlace) -> None:
    filled(place, [3, 0, 9]).close()
    place.create()  # a later run of the same job
    file = opened(place)
    assert file.has(np.arange(10), contents(list(range(10)))).tolist() == [n in (0, 3, 9) for n in range(10)]
    for row in (0, 3, 9):
        pixels, learnt = read(file, row)
        assert (pixels == picture(row)).all()
        assert learnt == ((40 + row, 30), sha256(row))
    assert os.path.getsize(place.path) <= place.bytes_in_all


def test_a_row_that_was_never_written_is_not_there_even_of_a_file_without_a_digest(place: PixelPlace) -> None:
    """A file that could not be read has a digest of zeros, as a hole in the file has."""
    file = filled(place, [5])
    assert not file.has(np.array([2, 8]), np.zeros((2, 32), np.uint8)).any()
    assert read(file, 2)[1] is None and read(file, 8)[1] is None


def test_pixels_of_other_bytes_are_not_taken(place: PixelPlace) -> None:
    file = filled(place, [1])
    assert not file.has(np.array([1]), contents([2])).any()


def test_a_file_made_from_something_else_is_not_read_and_begun_again(place: PixelPlace) -> None:
    old = filled(place, [1, 2])
    other = replace(place, key="cd" * 32)
    assert other.open() is None
    other.create()
    assert place.open() is None
    old.write(4, picture(4), (1, 1), sha256(4))  # a process of the killed run, which has not noticed
    file = opened(other)
    assert not file.has(np.arange(10), contents(list(range(10)))).any()


def test_rows_of_another_key_are_not_read_where_they_lie_in_the_file(place: PixelPlace) -> None:
    """As after two machines have begun different files under one name."""
    filled(place, [1]).close()
    other = replace(place, key="cd" * 32)
    with open(place.path, "r+b") as file:
        file.write(other.key.encode())
    assert read(opened(other), 1)[1] is None


@pytest.mark.parametrize("where", ["pixels", "size", "digest", "checksum"])
def test_a_row_with_one_wrong_bit_is_not_read(place: PixelPlace, where: str) -> None:
    filled(place, [1, 2]).close()
    end = place.pixel_bytes
    offset = {"pixels": 17, "size": end, "digest": end + 20, "checksum": end + 41}[where]
    with open(place.path, "r+b") as file:
        file.seek(PAGE + place.stride + offset)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    kept = opened(place)
    assert read(kept, 1)[1] is None
    assert read(kept, 2)[1] is not None


def test_a_file_that_was_cut_short_lacks_the_rows_behind_the_cut(place: PixelPlace) -> None:
    filled(place, [0, 1, 2]).close()
    os.truncate(place.path, PAGE + 2 * place.stride + 50)
    file = opened(place)
    assert read(file, 1)[1] is not None
    assert read(file, 2)[1] is None
    assert file.has(np.arange(3), contents([0, 1, 2])).tolist() == [True, True, False]


def test_a_folder_in_its_place_gives_way(place: PixelPlace) -> None:
    os.unlink(place.path)
    os.mkdir(place.path)
    assert place.open() is None
    place.create()
    assert read(filled(place, [1]), 1)[1] is not None


def test_no_two_rows_share_a_page(tmp_path: Path) -> None:
    for shape in ((224, 224, 3), (32, 32, 3), (1, 1, 1), (64, 64, 1), (31, 33, 4)):
        place = PixelPlace(str(tmp_path / "x"), "ab" * 32, 3, shape)
        assert place.stride % PAGE == 0
        assert place.stride - PAGE < place.pixel_bytes + 44 <= place.stride


# -- a disk that refuses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refusal", ["error", "half"])
def test_on_a_full_disk_the_file_is_given_up_by_all_who_have_it_open(
    place: PixelPlace, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    file, other = filled(place, [1, 2]), opened(place)
    really = os.pwritev

    def full(descriptor: int, buffers: list[bytes], offset: int) -> int:
        if refusal == "error":
            raise OSError(errno.ENOSPC, "No space left on device")
        return really(descriptor, [bytes(buffers[0])[:50]], offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        file.write(3, picture(3), (1, 1), sha256(3))
    assert not os.path.exists(place.path) and place.bytes_taken == 0
    assert os.fstat(other._file).st_size == 0  # its space is free before the last process closes it
    assert (
        not other.is_kept and read(other, 1)[1] is None and not other.has(np.array([1]), contents([1])).any()
    )
    other.write(4, picture(4), (1, 1), sha256(4))
    assert os.fstat(other._file).st_size == 0
    assert place.open() is None


def test_a_limit_of_the_file_size_is_no_error(tmp_path: Path) -> None:
    """As `ulimit -f` sets it."""
    code = f"""
import os, resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_pixel_file import *
resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE * 3, PAGE * 3))
place = PixelPlace({str(tmp_path / "p")!r}, "ab" * 32, 10, SHAPE)
place.create()
filled(place, [0, 1, 5])
print(os.path.exists(place.path))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


# -- kills -------------------------------------------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, {tests!r})
from test_pixel_file import *
place = PixelPlace({path!r}, "ab" * 32, {rows}, (224, 224, 3))
file = opened(place)
print("begun", flush=True)
for row in range({first}, {rows}, 2):
    file.write(row, picture(row, place.shape), (400, 300), sha256(row))
"""


@pytest.mark.slow
def test_after_a_kill_every_row_is_whole_or_not_there(tmp_path: Path) -> None:
    """Two processes write; both are killed at a random moment, long before they are done."""
    rows = 10_000
    place = PixelPlace(str(tmp_path / "p"), "ab" * 32, rows, (224, 224, 3))
    place.create()
    tests = str(Path(__file__).parent)
    codes = [WRITER.format(tests=tests, path=place.path, rows=rows, first=n) for n in (0, 1)]
    writers = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in codes]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == b"begun\n"
    time.sleep(random.uniform(0.05, 0.3))
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    file = opened(place)
    written = file.has(np.arange(rows), contents(list(range(rows))))
    assert 0 < written.sum() < rows
    for row in np.flatnonzero(written).tolist():
        pixels, learnt = read(file, row)
        assert learnt == ((400, 300), sha256(row)) and (pixels == picture(row, place.shape)).all()


def test_reading_takes_no_memory_of_the_process(tmp_path: Path) -> None:
    place = PixelPlace(str(tmp_path / "p"), "ab" * 32, 400, (224, 224, 3))
    place.create()
    file, pixels = opened(place), picture(0, place.shape)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for row in range(400):
        file.write(row, pixels, (1, 1), sha256(0))
        assert file.read(row, pixels) is not None
    taken = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert taken < place.bytes_in_all / 4

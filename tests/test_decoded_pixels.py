"""Every picture is decoded once per run: what later passes read is what the first one decoded, for any disk, kill and
damage, and the atlas has the bytes of a run that keeps nothing."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from interrupting import Calling, Interrupting, file_bytes
from PIL import Image
from small_job import COUNT, command, rough_picture

from generator.__main__ import main
from generator.core import pixel_file
from generator.core.pixel_file import PAGE, PixelPlace
from generator.core.progress import Reporter
from generator.core.records import Preprocessing
from generator.pictures import batches
from generator.pictures.batch_reader import KeptPixels, PictureBatch, read_batches
from generator.pictures.decoding import PictureError, read_picture
from generator.pictures.reading import PictureSet, find_pictures
from generator.stages import checkpointed_pass, decoded_pixels, profile
from generator.stages.decoded_pixels import ATLAS_BYTES, Room
from generator.stages.pipeline import compute

PREPROCESSING = Preprocessing(32, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
BROKEN = (2, 6)


# -- reading in batches ------------------------------------------------------------------------------------------------


@pytest.fixture
def some(tmp_path: Path) -> tuple[PictureSet, KeptPixels]:
    """Eleven pictures, two of them broken, and an empty file for their pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(11):
        rough_picture(rng, (40 + number, 36)).save(folder / f"{number:02d}.png")
    for number in BROKEN:
        (folder / f"{number:02d}.png").write_text("text")
    pictures = find_pictures(folder)
    digests = np.zeros((11, 32), np.uint8)
    for place, file in enumerate(pictures.files):
        try:
            digest = read_picture(folder / file.path, PREPROCESSING).sha256
        except PictureError:
            continue
        digests[place] = np.frombuffer(bytes.fromhex(digest), np.uint8)
    place = PixelPlace(str(tmp_path / "work" / "pixels.u8"), "ab" * 32, 11, (32, 32, 3))
    place.create()
    return pictures, KeptPixels(place, digests)


def read(
    pictures: PictureSet, order: list[int], kept: KeptPixels | None, *, batch: int = 4, workers: int = 0
) -> list[PictureBatch]:
    return list(read_batches(pictures, order, PREPROCESSING, batch=batch, workers=workers, kept=kept))


def same(ours: list[PictureBatch], theirs: list[PictureBatch]) -> bool:
    """Whether all of it is equal."""

    def plain(batch: PictureBatch) -> tuple[object, ...]:
        pixels = batch.pixels.shape, batch.pixels.numpy().tobytes()
        return batch.indices.tolist(), *pixels, batch.sizes, batch.digests, batch.skipped

    return [plain(batch) for batch in ours] == [plain(batch) for batch in theirs]


def lose(pictures: PictureSet, numbers: set[int]) -> None:
    """Make these pictures' files unreadable: who needs them decoded misses them."""
    for number in numbers:
        (pictures.root / pictures.files[number].path).unlink()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_what_was_read_once_is_read_again_without_its_files(
    some: tuple[PictureSet, KeptPixels], workers: int
) -> None:
    pictures, kept = some
    usable = [number for number in range(11) if number not in BROKEN]
    everything, again = read(pictures, list(range(11)), None), read(pictures, usable[::-1], None, batch=2)
    assert same(read(pictures, list(range(11)), kept, workers=workers), everything)
    lose(pictures, set(usable))
    assert same(read(pictures, usable[::-1], kept, batch=2, workers=workers), again)
    assert same(read(pictures, list(range(11)), kept, workers=workers), everything)


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_rows_that_are_there_are_used_and_the_others_decoded(
    some: tuple[PictureSet, KeptPixels], workers: int
) -> None:
    """As after a kill: of some batches all are there, of some a part, of some none."""
    pictures, kept = some
    order = [0, 1, 3, 4, 5, 2, 7, 6, 8, 10, 9]
    everything = read(pictures, order, None)
    there = {0, 1, 3, 4, 7, 10}
    read(pictures, sorted(there), kept)
    lose(pictures, there)
    assert same(read(pictures, order, kept, workers=workers), everything)
    lose(pictures, set(range(11)) - there - set(BROKEN))  # those are kept by now
    assert same(read(pictures, order, kept), everything)


def test_a_damaged_row_is_decoded_and_written_again(some: tuple[PictureSet, KeptPixels]) -> None:
    pictures, kept = some
    order = [0, 1, 3, 4, 5, 7]
    everything = read(pictures, order, kept)
    with open(kept.place.path, "r+b") as file:
        file.seek(PAGE + 3 * kept.place.stride + 100)
        file.write(b"damage")
    assert same(read(pictures, order, kept), everything)
    lose(pictures, set(order))
    assert same(read(pictures, order, kept), everything)


def test_pixels_of_a_file_that_was_another_one_are_not_taken(some: tuple[PictureSet, KeptPixels]) -> None:
    pictures, kept = some
    read(pictures, [0, 1], kept)
    shutil.copy(pictures.root / pictures.files[5].path, pictures.root / pictures.files[1].path)
    contents = kept.contents.copy()
    contents[1] = contents[5]
    (batch,) = read(pictures, [0, 1, 5], KeptPixels(kept.place, contents))
    assert (batch.pixels[1] == batch.pixels[2]).all() and batch.sizes[1] == batch.sizes[2]


def test_no_process_is_started_where_all_is_kept(
    some: tuple[PictureSet, KeptPixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, kept = some
    order = [0, 1, 3, 4, 5, 7]
    everything = read(pictures, order, kept)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("processes were asked for")

    monkeypatch.setattr(batches.SharedBytes, "of", refuse)
    assert same(read(pictures, order, kept, workers=2), everything)


# -- whole runs --------------------------------------------------------------------------------------------------------

QUIET = Reporter(quiet=True)


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
def test_a_whole_run_decodes_each_picture_once(tiny, tiny_atlas, tmp_path, monkeypatch):
    decoded: Counter[str] = Counter()

    def counting(path, preprocessing):
        decoded[str(path)] += 1
        return read_picture(path, preprocessing)

    monkeypatch.setattr(batches, "read_picture", counting)
    compute(tiny, tmp_path, QUIET)
    assert len(decoded) == len(list(Path(tiny.pictures.folder).iterdir()))
    assert set(decoded.values()) == {1}
    assert file_bytes(tmp_path) == file_bytes(tiny_atlas.folder)


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
def test_a_run_that_keeps_nothing_ends_with_the_same_bytes(tiny, tiny_atlas, tmp_path):
    reporter = Calling("patches and gradients", lambda: files.extend((tmp_path / "work").iterdir()))
    files: list[Path] = []
    compute(tiny.changed(compute={"cache": False}), tmp_path, reporter)
    assert files and not [path for path in files if path.name.startswith("pixels")]
    assert not [note for note in reporter.notes if "pixels" in note]
    assert file_bytes(tmp_path) == file_bytes(tiny_atlas.folder)


@pytest.mark.slow
def test_pictures_that_change_after_the_scan_do_not_matter(tiny, tmp_path):
    """All later passes see what the scan saw, even where the pictures are gone. Dreams are of another size: a picture
    of the set that one starts from is decoded for it."""
    mine = Path(shutil.copytree(tiny.pictures.folder, tmp_path / "mine"))
    chosen = tiny.changed(pictures={"folder": str(mine)}).model_copy(update={"deepdream": None})
    folder = tmp_path / "atlas"
    compute(chosen, tmp_path / "undisturbed", QUIET)

    def disturb() -> None:
        for number, path in enumerate(sorted(mine.rglob("*.png"))):
            if number % 2:
                path.unlink()
            else:
                Image.fromarray(np.full((36, 40, 3), 9, np.uint8)).save(path)

    compute(chosen, folder, Calling("statistics", disturb))
    assert file_bytes(folder) == file_bytes(tmp_path / "undisturbed")


@pytest.mark.slow
def test_the_summary_says_how_large_the_file_was_and_it_is_gone(small, atlas, tmp_path):
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), tmp_path, reporter)
    (note,) = [note for note in reporter.notes if "pixels" in note]
    assert f"{COUNT * PAGE / 1e6:.1f} MB" in note and str(tmp_path / "work") in note
    assert not (tmp_path / "work").exists()
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


# -- a run that goes on ------------------------------------------------------------------------------------------------


def _stopped(small: Path, folder: Path, stage: str, after: int) -> Path:
    """A run that was stopped in a stage; returns its file of pixels."""
    with pytest.raises(KeyboardInterrupt):
        compute(profile.load(str(small)), folder, Interrupting(stage, after))
    return folder / "work" / "pixels.u8"


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        "zeros",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("none", "cut", "foreign", "folder", "gone")
        ),
    ],
)
def test_a_stopped_run_goes_on_with_what_is_there(small, atlas, tmp_path, monkeypatch, damage):
    monkeypatch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
    pixels = _stopped(small, tmp_path / "atlas", "scan", 33)
    content = pixels.read_bytes()
    if damage == "zeros":
        pixels.write_bytes(content[: PAGE + 500] + bytes(len(content) - PAGE - 500))
    elif damage == "cut":
        pixels.write_bytes(content[: len(content) // 2 + 1])
    elif damage == "foreign":  # of a run with other settings
        pixels.write_bytes(b"0" * 64 + content[64:])
    elif damage in ("folder", "gone"):
        pixels.unlink()
        if damage == "folder":
            pixels.mkdir()
    compute(profile.load(str(small)), tmp_path / "atlas", QUIET)
    assert file_bytes(tmp_path / "atlas") == file_bytes(atlas.folder)


@pytest.mark.slow
def test_a_run_with_other_settings_reads_nothing_of_the_one_before(small, tmp_path):
    folder, chosen = tmp_path / "atlas", profile.load(str(small))
    _stopped(small, folder, "statistics", 1)
    other = chosen.changed(pictures={"interpolation": "nearest"})
    compute(other, folder, QUIET)
    compute(other.changed(compute={"cache": False}), tmp_path / "fresh", QUIET)
    assert file_bytes(folder) == file_bytes(tmp_path / "fresh")


@pytest.mark.slow
def test_a_run_that_goes_on_without_keeping_removes_what_was_kept(small, atlas, tmp_path):
    pixels = _stopped(small, tmp_path, "statistics", 1)
    assert pixels.exists()
    chosen = profile.load(str(small)).changed(compute={"cache": False})
    seen: list[bool] = []
    compute(chosen, tmp_path, Calling("patches and gradients", lambda: seen.append(pixels.exists())))
    assert seen == [False]
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.alone
@pytest.mark.slow
def test_runs_that_are_killed_while_their_processes_decode_end_with_the_same_bytes(small, atlas, tmp_path):
    folder, environment = tmp_path / "atlas", {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    pixels = folder / "work" / "pixels.u8"
    line = [*command(small, folder), "--workers", "2"]
    for rows in (1, 30):
        running = subprocess.Popen(
            line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while running.poll() is None and not (pixels.exists() and pixels.stat().st_size > rows * PAGE):
            time.sleep(0.002)
        running.kill()
        running.wait()
    compute(profile.load(str(small)), folder, QUIET)
    assert file_bytes(folder) == file_bytes(atlas.folder)


# -- a disk without room -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_disk_without_room_for_both_goes_to_the_atlas(small, atlas, tmp_path, monkeypatch):
    pixels, seen = tmp_path / "work" / "pixels.u8", []
    monkeypatch.setattr(decoded_pixels.shutil, "disk_usage", lambda _: SimpleNamespace(free=ATLAS_BYTES))
    reporter = Calling("patches and gradients", lambda: seen.append(pixels.exists()))
    compute(profile.load(str(small)), tmp_path, reporter)
    assert seen == [False]
    (note,) = [note for note in reporter.notes if "pixels" in note]
    assert "not kept" in note and "2.0 GB are free" in note
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


def test_room_is_what_pixels_and_atlas_take_together() -> None:
    assert Room(100, 50, 150).suffices
    assert not Room(100, 50, 149).suffices


@pytest.mark.slow
@pytest.mark.parametrize("after", [50, pytest.param(0, marks=pytest.mark.long)])
def test_a_disk_that_is_full_amid_the_run_costs_the_pixels_alone_and_one_note(
    small, atlas, tmp_path, monkeypatch, after
):
    really, written = os.pwritev, []

    def full(descriptor, buffers, offset):
        if len(written) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(offset)
        return really(descriptor, buffers, offset)

    monkeypatch.setattr(pixel_file.os, "pwritev", full)
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), tmp_path, reporter)
    assert len(written) == after
    (note,) = [note for note in reporter.notes if "pixels" in note]
    assert "disk did not take" in note
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


# -- asking for it -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("line", [["compute"], ["site"]])
def test_the_command_line_says_whether_pixels_will_be_kept(small, tmp_path, line):
    out = ["--out", str(tmp_path / "a")] if line == ["compute"] else ["--build", str(tmp_path)]
    for option, words in ((), "kept on the disk"), (("--no-cache",), "decoded for each pass"):
        result = CliRunner().invoke(main, [*line, str(small), *out, "--dry-run", *option])
        (said,) = [text for text in result.output.splitlines() if text.startswith("pixels ")]
        assert words in said

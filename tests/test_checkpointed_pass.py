"""A pass that may be interrupted: its sums are the same whatever was cut, damaged or too large at once."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from damages import TO_FILES, TO_PARTS

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.stages import checkpointed_pass
from generator.stages import run as runs
from generator.stages.checkpointed_pass import CheckpointedPass, Parts, halving, in_threads
from generator.stages.ranks import Ranks
from generator.stages.run import Run

COUNT, KEY = 17, "made from this"
TOTAL = sum((piece + 1) ** 2 for piece in range(COUNT))
FULL = torch.OutOfMemoryError("CUDA out of memory")


class Sums:
    """The sum of squares of the pieces, counted from 1, and how many there are."""

    def __init__(self, total: int = 0, count: int = 0) -> None:
        self.total, self.count = total, count

    def merge(self, other: Sums) -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def arrays(self) -> dict[str, np.ndarray]:
        return {"total": np.array([self.total]), "count": np.array([self.count])}


@pytest.fixture(autouse=True)
def _saves_at_once(monkeypatch):
    monkeypatch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
    for room in (checkpointed_pass, runs):  # collects the garbage of the whole test run, which takes a second
        monkeypatch.setattr(room, "free_memory", lambda device: None)


def _run(folder, ranks=None) -> Run:
    ranks = ranks or Ranks()
    return Run(Store(folder), torch.device("cpu"), Reporter(quiet=True), ranks)


def _pass(run, key=KEY, intact=lambda sums, pieces: True) -> CheckpointedPass[Sums]:
    found = CheckpointedPass(
        run,
        "toy",
        key,
        "the toy",
        empty=Sums,
        read=lambda arrays, _: Sums(int(arrays["total"][0]), int(arrays["count"][0])),
        intact=intact,
    )
    if run.ranks.leads:
        found.begin()
    return found


class Adding:
    """The pass's work: counts what it does, and stops, as Ctrl-C does, after some pieces."""

    def __init__(self, stop: int = 10**9, room: int = COUNT) -> None:
        self.pieces: list[int] = []
        self.stop, self.room, self.sizes = stop, room, []

    def __call__(self, sums, pieces, done, at_once):
        assert not set(pieces) & set(done)
        self.sizes.append(at_once)
        for first in range(0, len(pieces), at_once):
            some = pieces[first : first + at_once]
            sums.total += (some[0] + 1) ** 2  # when the memory ends, the state is in the midst of a piece
            if len(some) > self.room:
                raise FULL
            sums.total += sum((piece + 1) ** 2 for piece in some[1:])
            sums.count += len(some)
            self.pieces += some
            yield some
            if len(self.pieces) >= self.stop:
                raise KeyboardInterrupt


def _interrupted(folder, stop=9) -> None:
    with pytest.raises(KeyboardInterrupt):
        _pass(_run(folder)).complete(COUNT, 1, Adding(stop))


def _finished(folder, work=None, key=KEY) -> tuple[int, int, list[str]]:
    run = _run(folder)
    sums = _pass(run, key).complete(COUNT, 1, work or Adding())
    return sums.total, sums.count, run.reporter.notes


def test_interrupted_anywhere_again_and_again_each_piece_is_done_once(tmp_path):
    done = []
    for stop in (1, 2, 3, 5):
        work = Adding(stop)
        with pytest.raises(KeyboardInterrupt):
            _pass(_run(tmp_path)).complete(COUNT, 1, work)
        done += work.pieces
    last = Adding()
    assert _finished(tmp_path, last) == (TOTAL, COUNT, [])
    assert sorted(done + last.pieces) == list(range(COUNT))


@pytest.mark.parametrize("damage", TO_PARTS, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("which", ["rank-0", "merged"])
def test_a_damaged_part_costs_its_own_pieces_and_one_note(tmp_path, damage, which):
    _interrupted(tmp_path, 5)
    _interrupted(tmp_path, 4)  # now there are a merged part of five pieces and one of four
    damage(tmp_path / "work" / "toy" / f"{which}.npz")
    work = Adding()
    total, count, notes = _finished(tmp_path, work)
    assert (total, count) == (TOTAL, COUNT)
    assert len(notes) == 1 and "the toy is damaged" in notes[0]
    assert len(work.pieces) == COUNT - (5 if which == "rank-0" else 4)
    assert _finished(tmp_path) == (TOTAL, COUNT, [])


def test_all_parts_damaged_are_one_note(tmp_path):
    _interrupted(tmp_path, 5)
    _interrupted(tmp_path, 4)
    for path in (tmp_path / "work" / "toy").glob("*.npz"):
        path.write_bytes(b"")
    total, count, notes = _finished(tmp_path)
    assert (total, count, len(notes)) == (TOTAL, COUNT, 1)


def test_a_flipped_bit_anywhere_is_found_or_changes_nothing(tmp_path):
    """Some bytes of a zip file mean nothing; whatever is read is what was written."""
    parts = Parts(_run(tmp_path), "toy", KEY, "the toy")
    written = {"a": np.arange(5), "b": np.array(["x", "yz"])}
    parts.save("p", written)
    path = tmp_path / "work" / "toy" / "p.npz"
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << place // 3 % 8
        path.write_bytes(changed)
        found = parts.load("p")
        refused += found is None
        assert found is None or all(np.array_equal(found[name], array) for name, array in written.items())
    assert refused > len(whole) / 9
    assert len(parts.run.reporter.notes) == 1


def test_what_was_made_from_something_else_is_dropped_without_a_note(tmp_path):
    _interrupted(tmp_path)
    work = Adding()
    assert _finished(tmp_path, work, "made from that") == (TOTAL, COUNT, [])
    assert len(work.pieces) == COUNT


def test_a_part_of_another_fingerprint_is_no_part_of_this_one(tmp_path):
    _interrupted(tmp_path)
    (tmp_path / "work" / "stamps" / "toy-of").write_text("made from that")
    assert Parts(_run(tmp_path), "toy", "made from that", "the toy").load("rank-0") is None


def test_a_kill_between_merging_and_dropping_counts_no_piece_twice(tmp_path):
    _interrupted(tmp_path, 6)
    folder = tmp_path / "work" / "toy"
    before = (folder / "rank-0.npz").read_bytes()
    _interrupted(tmp_path, 1)
    (folder / "rank-1.npz").write_bytes(before)  # its pieces stand in the merged part
    assert _finished(tmp_path) == (TOTAL, COUNT, [])


def test_pieces_whose_other_files_are_damaged_are_done_again(tmp_path):
    _interrupted(tmp_path)
    answers = iter([False, True, True, True])
    run, work = _run(tmp_path), Adding()
    sums = _pass(run, intact=lambda sums, pieces: next(answers)).complete(COUNT, 1, work)
    assert (sums.total, len(work.pieces), len(run.reporter.notes)) == (TOTAL, COUNT, 1)


def test_a_disk_that_keeps_nothing_is_one_sentence(tmp_path):
    with pytest.raises(AtlasError, match=r"the toy cannot be read back.*check the disk"):
        _pass(_run(tmp_path), intact=lambda sums, pieces: False).complete(COUNT, 1, Adding())


def test_several_processes_do_every_piece_once_and_all_get_the_whole(tmp_path):
    barrier = threading.Barrier(3)

    class Meeting(Ranks):
        def meet(self) -> None:
            barrier.wait(20)

    _interrupted(tmp_path, 4)
    works, totals = [Adding() for _ in range(3)], [0] * 3

    def process(rank: int) -> None:
        sums = _pass(_run(tmp_path, Meeting(rank, 3))).complete(COUNT, 1, works[rank])
        totals[rank] = sums.total

    threads = [threading.Thread(target=process, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert totals == [TOTAL] * 3
    assert sorted(piece for work in works for piece in work.pieces) == list(range(4, COUNT))


@pytest.mark.parametrize("room", [1, 2, 3, 5])
def test_out_of_memory_halves_what_is_done_at_once_and_counts_no_piece_twice(tmp_path, room):
    run, work = _run(tmp_path), Adding(room=room)
    sums = _pass(run).complete(COUNT, 16, work)
    assert (sums.total, sums.count) == (TOTAL, COUNT)
    assert (
        work.sizes == [size for size in (16, 8, 4, 2, 1) if 2 * size > room and size >= 1][: len(work.sizes)]
    )
    assert work.sizes[-1] <= room < 2 * work.sizes[-1] + 1
    assert len([note for note in run.reporter.notes if "out of memory" in note]) == 1


def test_without_room_for_one_it_is_one_sentence_and_what_was_saved_stays(tmp_path):
    _interrupted(tmp_path, 6)
    with pytest.raises(AtlasError, match="not enough memory for a single picture"):
        _pass(_run(tmp_path)).complete(COUNT, 4, Adding(room=0))
    work = Adding()
    assert _finished(tmp_path, work) == (TOTAL, COUNT, [])
    assert len(work.pieces) == COUNT - 6


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path):
    def fails(sums, pieces, done, at_once):
        yield []
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes"):
        _pass(_run(tmp_path)).complete(COUNT, 4, fails)


def test_a_save_every_fifteen_seconds(tmp_path, monkeypatch):
    assert checkpointed_pass.CHECKPOINT_SECONDS == -1.0  # of these tests alone
    monkeypatch.undo()
    assert checkpointed_pass.CHECKPOINT_SECONDS == 15.0
    clock, saved = [0.0], []
    monkeypatch.setattr(checkpointed_pass.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(Parts, "save", lambda self, name, arrays: saved.append(clock[0]))

    def slow(sums, pieces, done, at_once):
        for piece in pieces:
            clock[0] += 4
            yield [piece]

    monkeypatch.setattr(checkpointed_pass, "ROUNDS", 1)
    with pytest.raises(AtlasError):
        _pass(_run(tmp_path)).complete(COUNT, 1, slow)
    assert saved == [16, 32, 48, 64, 68]


def test_halving_gives_the_result_and_stops_at_one(tmp_path):
    tried = []

    def attempt(size: int) -> str:
        tried.append(size)
        if size > 3:
            raise FULL
        return f"with {size}"

    assert halving(_run(tmp_path), 20, attempt) == "with 2" and tried == [20, 10, 5, 2]

    def never(size: int) -> str:
        raise FULL

    with pytest.raises(AtlasError, match=r"not enough memory for a single picture.*buy some"):
        halving(_run(tmp_path), 4, never, "buy some")


def test_threads_give_back_what_did_not_fit(tmp_path):
    counted = []

    def work(thing: int) -> int:
        if thing % 3 == 0:
            raise FULL
        return thing

    assert sorted(in_threads(_run(tmp_path), range(7), work, counted.append)) == [0, 3, 6]
    assert sorted(counted) == [1, 2, 4, 5]

    def broken(thing: int) -> int:
        raise ValueError("other")

    with pytest.raises(ValueError, match="other"):
        in_threads(_run(tmp_path), range(3), broken, counted.append)


@pytest.mark.parametrize("damage", TO_FILES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("kind", ["scores", "vectors", "tiles"])
def test_records_that_were_damaged_are_known(tmp_path, kind, damage):
    """Of the large files that a run fills in any order: each record is there as it was written, or known not to be."""
    from generator.core.files import ScoreFile, TileFile, VectorFile

    values = np.random.default_rng(0).random((18, 12)).astype(np.float32)
    rows, path = np.arange(18), tmp_path / "file"

    def opened():
        return {"scores": lambda: ScoreFile(path, [5, 7]), "vectors": lambda: VectorFile(path, 12)}.get(
            kind, lambda: TileFile(path, 1, 4)
        )()

    def has(file):
        return file.has(rows // 9, rows % 9) if kind == "tiles" else file.has(rows)

    def read(file, row):
        if kind == "scores":
            return np.concatenate([file.read(layer, rows[[row]])[0] for layer in (0, 1)])
        return file.read(row // 9)[row % 9].ravel() if kind == "tiles" else file.read(rows[[row]])[0]

    expected = values.view(np.uint8) if kind == "tiles" else values
    with opened() as file:
        assert not has(file).any()
        if kind == "tiles":
            file.write(rows // 9, rows % 9, [expected.reshape(18, 4, 4, 3)], np.ones((18, 3), int))
        else:
            file.write(rows, values)
        assert has(file).all()
    damage(path)
    with opened() as file:
        there = has(file)
        assert not there.all()
        assert all(np.array_equal(read(file, row), expected[row]) for row in np.flatnonzero(there))
        assert damage.__name__ not in ("truncate", "cut_the_end", "one_bit") or there.any()

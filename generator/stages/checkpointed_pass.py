"""A pass that may be interrupted at any moment and ends with the same numbers: what every long stage shares.

A pass consists of pieces, numbered from 0. Each is done once, by whichever process. What some pieces brought is a part,
a file under work/<pass>/ that carries a digest of its arrays and of what they were made from. A part that does not hold
what was written is dropped, and its pieces are done again. When the memory does not suffice, half as much is computed
at once, from the last save on."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch

from generator.core.errors import AtlasError
from generator.core.named_arrays import below, named
from generator.engine.device import free_memory, is_out_of_memory, one_thread_each
from generator.stages.run import Run

CHECKPOINT_SECONDS = 15.0  # work lost to a kill at most
MERGED = "merged"  # the part that holds what earlier runs did
ROUNDS = 4  # times that missing pieces are done in one run, before the disk is taken to be broken
DIGEST, PIECES, STATE = "digest", "pieces", "state"

Item = TypeVar("Item")
Result = TypeVar("Result")


class State(Protocol):
    """What some pieces brought, which does not depend on the order in which they were done."""

    def merge(self, other: Self) -> None:
        """Take in what other pieces brought."""

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as flat arrays."""


S = TypeVar("S", bound=State)


Batches = Generator[list[int], None, None]  # yields the numbers of batches
# Does pieces in order and yields the numbers of those done since the last yield: the state then holds these and all
# before. Called with the state, the pieces, those of earlier runs, and how much may be computed at once.
Work = Callable[[S, list[int], Collection[int], int], Generator[Sequence[int], None, None]]


def halving(run: Run, at_once: int, attempt: Callable[[int], Result], remedy: str | None = None) -> Result:
    """attempt(at_once), again with half as much after every time that the memory did not suffice. Raises AtlasError
    where it does not suffice for one; remedy: what to do then, where it is not to give smaller pictures."""
    while True:
        try:
            return attempt(at_once)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Here the error, and with it the frames that hold memory, is gone.
        at_once = run.smaller(at_once, remedy)


def in_threads(
    run: Run, items: Sequence[Item], work: Callable[[Item], int], advance: Callable[[int], object]
) -> list[Item]:
    """Work on items in as many threads as there are cores, each on one at a time, and call `advance` with every
    result. Returns those for which the memory did not suffice, to be done alone."""
    too_large = []
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        pool = opened.enter_context(
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
        )
        opened.callback(pool.shutdown, cancel_futures=True)
        tasks = {pool.submit(work, item): item for item in items}
        for task in as_completed(tasks):
            try:
                advance(task.result())
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                too_large.append(tasks[task])
    if too_large:
        free_memory(run.device)
    return too_large


def note_damage(run: Run, what: str) -> None:
    """Say once that something an interrupted run left cannot be used. what: the pass, as people call it."""
    note = f"what an interrupted run left of {what} is damaged: that part is computed again"
    if note not in run.reporter.notes:
        run.reporter.note(note)


class Parts:
    """The parts of one pass on disk. name: of its folder under work/; key: fingerprint of all that its numbers depend
    on; what: the pass, as people call it."""

    def __init__(self, run: Run, name: str, key: str, what: str) -> None:
        self.run, self.name, self.key, self.what = run, name, key, what

    def begin(self) -> None:
        """Drop what an earlier run made from something else. For the leading process alone."""
        store, stamp = self.run.store, f"{self.name}-of"
        if store.work.stamp(stamp) != self.key:
            store.work.drop_parts(self.name)
            store.work.write_stamp(stamp, self.key)

    def names(self) -> list[str]:
        """Of the parts that are saved, damaged ones too."""
        return self.run.store.work.part_names(self.name)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a part's arrays, with the digest that `load` checks."""
        digest = np.array(part_digest(self.key, arrays))
        self.run.store.work.write_part(name, {**arrays, DIGEST: digest}, self.name)

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """A part's arrays as they were saved; None where there is none, and where it is damaged: then it is dropped,
        and one note says so."""
        if name not in self.names():
            return None
        try:
            arrays = self.run.store.work.read_part(name, self.name)
            if str(arrays.pop(DIGEST)) == part_digest(self.key, arrays):
                return arrays
        except Exception:
            pass  # a damaged zip file or header may raise nearly anything
        note_damage(self.run, self.what)
        self.run.store.work.drop_part(name, self.name)
        return None

    def drop(self) -> None:
        """Remove all that the pass has saved."""
        self.run.store.work.drop_parts(self.name)


def part_digest(key: str, arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays by name, with their types and shapes, and of the fingerprint of what they were made from."""
    digest = hashlib.sha256(key.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{array.dtype.str}\0{arrays[name].shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@dataclass
class _Part(Generic[S]):
    """pieces: the numbers of those done."""

    state: S
    pieces: list[int]


class CheckpointedPass(Parts, Generic[S]):
    """A pass whose parts are merged. empty: makes a state that holds no piece; read: makes one of its arrays, on a
    device; intact: whether what a state and its pieces wrote to other files is still there."""

    def __init__(
        self,
        run: Run,
        name: str,
        key: str,
        what: str,
        *,
        empty: Callable[[], S],
        read: Callable[[Mapping[str, np.ndarray], torch.device], S],
        intact: Callable[[S, list[int]], bool] = lambda state, pieces: True,
    ) -> None:
        super().__init__(run, name, key, what)
        self._empty, self._read, self._intact = empty, read, intact

    def complete(self, count: int, at_once: int, work: Work[S]) -> S:
        """Do the pieces 0 … count − 1 that no earlier run did, and return what all of them brought.

        Every process of a torchrun calls it and does its share; each is given the whole. Raises AtlasError where what
        was saved cannot be read back again and again."""
        ranks = self.run.ranks
        for _ in range(ROUNDS):
            if ranks.leads:
                self._merge()
            ranks.meet()  # from here on the parts of earlier runs are one, and nobody else touches it
            part = self._load(MERGED, torch.device("cpu")) or _Part(self._empty(), [])
            done = set(part.pieces)
            missing = [piece for piece in range(count) if piece not in done]
            if not missing:
                return part.state
            del part
            self._do(ranks.share(missing), done, at_once, work)
            ranks.meet()
        raise AtlasError(
            f"what was saved of {self.what} cannot be read back",
            self.run.store.work.pass_folder(self.name),
            "check the disk, or choose another folder with --out",
        )

    def bring(self, state: S, pieces: list[int]) -> None:
        """Keep what was done elsewhere, instead of all parts. For the leading process alone."""
        for name in self.names():
            self.run.store.work.drop_part(name, self.name)
        self._save(MERGED, _Part(state, pieces))

    def _do(self, mine: list[int], done: set[int], at_once: int, work: Work[S]) -> None:
        """Do pieces and save them, with less at once after the memory did not suffice."""
        while mine:
            try:
                self._attempt(mine, done, at_once, work)
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
            at_once = self.run.smaller(at_once)
            # The state was in the midst of a piece: go on from what is on disk, as after a kill.
            part = self._load(self._own, torch.device("cpu"))
            saved = set(part.pieces) if part else set()
            mine, done = [piece for piece in mine if piece not in saved], done | saved

    def _attempt(self, mine: list[int], done: set[int], at_once: int, work: Work[S]) -> None:
        part = self._load(self._own, self.run.device) or _Part(self._empty(), [])
        saved = time.monotonic()
        with contextlib.closing(work(part.state, mine, done, at_once)) as steps:
            for pieces in steps:
                part.pieces += pieces
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self._save(self._own, part)
                    saved = time.monotonic()
        self._save(self._own, part)

    @property
    def _own(self) -> str:
        """The part that this process writes."""
        return f"rank-{self.run.ranks.rank}"

    def _merge(self) -> None:
        """Make one part of all that are on disk, so that the next run may have any number of processes."""
        whole: _Part[S] | None = None
        names = sorted(self.names(), key=lambda name: name != MERGED)
        for name in names:
            part = self._load(name, torch.device("cpu"))
            if part is None:
                continue
            if whole is None:
                whole = part
            elif not set(whole.pieces) & set(part.pieces):  # else killed between merging and dropping
                whole.state.merge(part.state)
                whole.pieces += part.pieces
        if whole is not None and not self._intact(whole.state, whole.pieces):
            note_damage(self.run, self.what)
            self.drop()
        elif whole is not None and names != [MERGED]:
            self._save(MERGED, whole)
            for name in names:
                if name != MERGED:
                    self.run.store.work.drop_part(name, self.name)

    def _save(self, name: str, part: _Part[S]) -> None:
        state = named(STATE, part.state.arrays())
        self.save(name, {**state, PIECES: np.array(part.pieces, np.int64)})

    def _load(self, name: str, device: torch.device) -> _Part[S] | None:
        arrays = self.load(name)
        if arrays is None:
            return None
        pieces = arrays.pop(PIECES).tolist()
        state = below(STATE, arrays)
        return _Part(self._read(state, device), pieces)

"""What the pictures themselves say of the residual stream. The scan's forward passes bring it along; where they do not,
a pass of its own reads it. A killed run resumes after its last save.

The arithmetic is in engine/scan/stream_state.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from generator.core.files import ScoreFile
from generator.core.named_arrays import below, named
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.stream import StreamSteps
from generator.engine.scan.stream_state import StreamReading, StreamState, read_stream
from generator.engine.scan.unit_parts import BlockUnits
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.stages import keys
from generator.stages.checkpointed_pass import Batches, CheckpointedPass
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import picture_changed, read_pictures, usable_files
from generator.stages.run import Run

PASS = "stream-readings"


def readings_pass(inputs: Inputs, run: Run) -> CheckpointedPass[StreamState]:
    """The pass, whose pieces are the forward batches of the picture set."""
    return CheckpointedPass(
        run,
        PASS,
        keys.stream_readings(inputs),
        "the readings in the residual stream",
        empty=lambda: StreamState(inputs.stream_plan, run.device),
        read=StreamState.from_arrays,
        intact=lambda _, batches: _has_sample(inputs, run, batches),
    )


# -- along the scan ----------------------------------------------------------------------------------------------------


@dataclass
class AlongTheScan:
    """What forward passes of the scan said. key: of the pass of which it is a part; batches: the numbers of the forward
    batches."""

    key: str
    state: StreamState
    batches: list[int] = field(default_factory=list)

    def merge(self, other: AlongTheScan) -> None:
        """Take over what other batches brought."""
        self.state.merge(other.state)
        self.batches += other.batches

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as flat arrays."""
        own = {"key": np.array(self.key), "batches": np.array(self.batches, np.int64)}
        return {**own, **named("state", self.state.arrays())}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], device: torch.device | str, key: str
    ) -> AlongTheScan | None:
        """The part that `arrays` came from; None where there is none, or one of another pass."""
        if not key or str(arrays.get("key", "")) != key:
            return None
        state = StreamState.from_arrays(below("state", arrays), device)
        return cls(key, state, arrays["batches"].tolist())


def key_along(inputs: Inputs, run: Run) -> str:
    """The key of the pass that the scan brings along, '' for none: where nobody asks for it, where it is done, and
    where the scan computes in a faster precision than the stream is read in."""
    wanted = inputs.reads_stream and inputs.profile.compute.precision == "fp32"
    is_done = wanted and run.store.work.stamp("stream") == keys.stream(inputs)
    return keys.stream_readings(inputs) if wanted and not is_done else ""


def begin_along_the_scan(inputs: Inputs, run: Run) -> None:
    """Withdraw what an earlier run read of something else."""
    if key_along(inputs, run):
        readings_pass(inputs, run).begin()


def begun(inputs: Inputs, run: Run) -> AlongTheScan | None:
    """An empty part, None where the scan brings nothing along."""
    key = key_along(inputs, run)
    return AlongTheScan(key, StreamState(inputs.stream_plan, run.device)) if key else None


@contextlib.contextmanager
def along_the_scan(
    inputs: Inputs, run: Run, network: Network, part: AlongTheScan | None
) -> Iterator[StreamReading | None]:
    """What the scan is to read besides, into a part."""
    if part is None:
        yield None
        return
    with _reading(inputs, run, network, part.state) as reading:
        yield reading


def take_over(inputs: Inputs, run: Run, part: AlongTheScan | None) -> None:
    """Keep what a complete scan brought. For the leading process alone."""
    if part is not None:
        readings_pass(inputs, run).bring(part.state, part.batches)


# -- the pass of its own -----------------------------------------------------------------------------------------------


def complete_readings(inputs: Inputs, run: Run) -> StreamState:
    """The readings of all pictures. Every process of a torchrun calls it, and reads its share of what the scan did not
    bring."""
    readings = readings_pass(inputs, run)
    if run.ranks.leads:
        readings.begin()
    run.ranks.meet()

    def work(state: StreamState, batches: list[int], done: Collection[int], forward: int) -> Batches:
        return _read_batches(inputs, run, state, batches, done, forward)

    return readings.complete(inputs.forwards, inputs.forward, work)


def sample_file(inputs: Inputs, run: Run) -> ScoreFile:
    """The file of the readings at the centre, one row per picture whose scores the scan keeps: Input, then Block, of
    every block."""
    channels = [block.channels for block in inputs.stream_plan.blocks for _ in ("input", "block")]
    return run.store.work.score_file(channels, PASS)


def _has_sample(inputs: Inputs, run: Run, batches: list[int]) -> bool:
    """Whether the file of the sample has what these batches have of it."""
    files = usable_files(inputs, run)
    mine = inputs.sample_rows[files[np.isin(files // inputs.forward, np.array(batches, np.int64))]]
    with sample_file(inputs, run) as readings:
        return bool(readings.has(mine[mine >= 0]).all())


@contextlib.contextmanager
def _reading(inputs: Inputs, run: Run, network: Network, state: StreamState) -> Iterator[StreamReading]:
    with sample_file(inputs, run) as file:
        steps = StreamSteps.of(network, inputs.stream_plan)
        yield StreamReading(steps, state, inputs.sample_rows, file.write)


def _read_batches(
    inputs: Inputs, run: Run, state: StreamState, mine: list[int], done: Collection[int], forward: int
) -> Batches:
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    units = _units(inputs, run)
    with _reading(inputs, run, network, state) as reading:

        def read(pixels: Tensor, images: Tensor) -> None:
            places = images.numpy()
            of_block = {name: BlockUnits(*table.of(places)) for name, table in units.items()}
            read_stream(network, pixels, images, reading, of_block, forward)

        yield from in_forwards(inputs, run, "stream readings", mine, done, forward, read)


def _units(inputs: Inputs, run: Run) -> dict[str, ByPicture]:
    """The top-9 units of every residual block's channels: channel, slot, row, column and value."""
    files, of_block = usable_files(inputs, run), {}
    for block in inputs.stream_plan.blocks:
        numbers = run.store.arrays.layer(block.name, "top")
        channel, slot = np.nonzero(numbers["top_image"] >= 0)
        row, column = numbers["top_unit"][channel, slot].astype(np.int64).T
        picture, value = numbers["top_image"][channel, slot], numbers["top_value"][channel, slot]
        of_block[block.name] = ByPicture(files[picture], channel, slot, row, column, value)
    return of_block


# -- reading pictures once more ----------------------------------------------------------------------------------------


class ByPicture:
    """Rows of a table, looked up by their picture. pictures: (U,) int64 places in the picture set; columns: (U,)
    each."""

    def __init__(self, pictures: np.ndarray, *columns: np.ndarray) -> None:
        order = np.argsort(pictures, kind="stable")
        self._pictures = pictures[order]
        self._columns = [column[order] for column in columns]

    def of(self, places: np.ndarray) -> Iterator[Tensor]:
        """The rows of these pictures, ascending, in which all of the table are that lie between the first and the last:
        of each its picture's index among them, then the columns."""
        rows = slice(*np.searchsorted(self._pictures, [places[0], places[-1] + 1]))
        picture = np.searchsorted(places, self._pictures[rows])
        for column in (picture, *(column[rows] for column in self._columns)):
            yield torch.from_numpy(np.ascontiguousarray(column))


def in_forwards(
    inputs: Inputs,
    run: Run,
    name: str,
    mine: list[int],
    done: Collection[int],
    forward: int,
    read: Callable[[Tensor, Tensor], None],
    most: int | None = None,
) -> Batches:
    """Call `read` with the usable pictures of forward batches, in threads, and yield the numbers of the batches that
    were read.

    name: of the stage that is reported; done: the batches of earlier runs; forward: pictures that the network takes at
    once; read: takes their pixels (n, H, W, C) and their places in the picture set (n,), n ≤ forward; most: threads, at
    most, however many the CPU has."""
    earlier = _usable_in(inputs, run, done)
    total = earlier + _usable_in(inputs, run, mine)
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage(name, total, "pictures", earlier))

        def read_all(batch: tuple[int, PictureBatch]) -> None:
            pixels, images = batch[1].pixels, batch[1].indices
            for first in range(0, len(images), forward):
                read(pixels[first : first + forward], images[first : first + forward])

        batches = zip(mine, _read_forwards(inputs, run, mine), strict=True)
        for finished in in_rounds(read_all, batches, min(threads, most or threads)):
            for (_, pictures), _ in finished:
                advance(len(pictures.indices))
            yield [number for (number, _), _ in finished]


def _read_forwards(inputs: Inputs, run: Run, batches: list[int]) -> Iterator[PictureBatch]:
    """The usable pictures of forward batches: one that could be used in the scan, and cannot be decoded now, has
    changed."""
    usable = set(usable_files(inputs, run).tolist())
    places = np.concatenate([np.empty(0, np.int64), *(inputs.span(batch) for batch in batches)])
    for pictures in read_pictures(inputs, run, places, batch=inputs.forward):
        if len(pictures.skipped) and (changed := usable & {place for place, _ in pictures.skipped}):
            raise picture_changed(inputs.pictures.files[min(changed)].path)
        yield pictures


def _usable_in(inputs: Inputs, run: Run, batches: Collection[int]) -> int:
    """How many usable pictures forward batches have."""
    numbers = np.array(sorted(batches), np.int64)
    return int(np.isin(usable_files(inputs, run) // inputs.forward, numbers).sum())

"""The pass over the pictures that reads the residual stream. A killed run resumes after its last save.

The arithmetic is in engine/scan/stream.py; residual_stream_tables.py turns the readings into the files of the atlas."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor

from generator.core.files import ScoreFile
from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.stream import BlockReadings, BlockUnits, StreamPlan, StreamState, read_stream
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.stages import keys
from generator.stages.checkpointed_pass import CheckpointedPass
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import read_again, usable_files
from generator.stages.residual_stream_tables import write_stream
from generator.stages.run import Run
from generator.stages.scan import Batches, sample

PASS = "stream"


def read_streams(inputs: Inputs, run: Run) -> None:
    """Read every residual block on every picture and write stream.npz of each, and stream.json."""
    stream = CheckpointedPass(
        run,
        PASS,
        keys.stream(inputs),
        "the pass over the residual stream",
        empty=lambda: StreamState(inputs.stream_plan, run.device),
        read=StreamState.from_arrays,
        intact=lambda _, batches: _has_sample(inputs, run, batches),
    )
    if run.ranks.leads:
        stream.begin()
    run.ranks.meet()

    def work(state: StreamState, batches: list[int], done: Collection[int], forward: int) -> Batches:
        return _read_batches(inputs, run, state, batches, done, forward)

    size = inputs.stream_plan.batch
    state = stream.complete(-(-len(usable_files(inputs, run)) // size), size, work)
    if run.ranks.leads:
        write_stream(inputs, run, state, PASS, sampled(inputs, run)[1])
    run.ranks.meet()


def sampled(inputs: Inputs, run: Run) -> tuple[np.ndarray, int]:
    """For every picture its row in the sample whose readings are kept, −1 where it is not in it, (N,) int64; and how
    many rows there are. The pictures are those whose scores the scan keeps."""
    files = usable_files(inputs, run)
    in_sample = np.flatnonzero(np.isin(files, sample(inputs)))
    rows = np.full(len(files), -1, np.int64)
    rows[in_sample] = np.arange(len(in_sample))
    return rows, len(in_sample)


def _sample_file(inputs: Inputs, run: Run) -> ScoreFile:
    """The file of the readings, one row per picture of the sample: Input, then Block, of every block, at the centre."""
    channels = [block.channels for block in inputs.stream_plan.blocks for _ in ("input", "block")]
    return run.store.work.score_file(channels, PASS)


def _has_sample(inputs: Inputs, run: Run, batches: list[int]) -> bool:
    """Whether the file of the sample has the readings of all pictures of these batches that belong to the sample."""
    size, (rows, _) = inputs.stream_plan.batch, sampled(inputs, run)
    mine = np.concatenate([rows[:0], *(rows[batch * size : (batch + 1) * size] for batch in batches)])
    with _sample_file(inputs, run) as readings:
        return bool(readings.has(mine[mine >= 0]).all())


def _read_batches(
    inputs: Inputs, run: Run, state: StreamState, mine: list[int], done: Collection[int], forward: int
) -> Batches:
    """Add batches to the state, yielding the numbers of those added. done: those of earlier runs; forward: pictures
    that the network takes at once."""
    plan, files = inputs.stream_plan, usable_files(inputs, run)
    size, count = plan.batch, len(files)
    spans = {number: np.arange(number * size, min((number + 1) * size, count)) for number in mine}
    earlier = sum(min(size, count - number * size) for number in done)
    total = sum(map(len, spans.values())) + earlier
    rows, _ = sampled(inputs, run)
    use_tf32(False)
    network = inputs.network.to(run.device, torch.float32)
    units = _Units(inputs, run)
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        sample_file = opened.enter_context(_sample_file(inputs, run))
        advance = opened.enter_context(run.reporter.stage("residual stream", total, "pictures", earlier))
        asked = files[np.concatenate([files[:0], *spans.values()])]
        batches = zip(spans, read_again(inputs, run, asked, batch=size), strict=True)

        def read(
            numbered: tuple[int, PictureBatch],
        ) -> tuple[dict[str, BlockReadings], dict[str, BlockUnits]]:
            number, batch = numbered
            units_here = units.within(spans[number])
            return read_in_forwards(network, batch.pixels, plan, units_here, forward), units_here

        for finished in in_rounds(read, batches, threads):
            for (number, _), (readings, units_here) in finished:
                pictures = spans[number]
                state.update(torch.from_numpy(pictures), readings, units_here)
                _keep_sample(sample_file, readings, rows[pictures])
                advance(len(pictures))
                yield [number]


def read_in_forwards(
    network: Network, pixels: Tensor, plan: StreamPlan, units: Mapping[str, BlockUnits], forward: int
) -> dict[str, BlockReadings]:
    """The readings of one batch, from forward batches of `forward` pictures. units: of each block, by picture."""
    parts = []
    for first in range(0, len(pixels), forward):
        batch = pixels[first : first + forward]
        own = {name: _units_between(of_block, first, first + len(batch)) for name, of_block in units.items()}
        parts.append(read_stream(network, batch, replace(plan, batch=forward), own))
    return {name: _joined([part[name] for part in parts]) for name in parts[0]}


def _units_between(units: BlockUnits, first: int, last: int) -> BlockUnits:
    """The units of pictures first … last − 1, which become pictures 0, 1 …"""
    inside = (units.picture >= first) & (units.picture < last)
    columns = {column.name: getattr(units, column.name)[inside] for column in fields(BlockUnits)}
    return BlockUnits(**{**columns, "picture": columns["picture"] - first})


def _joined(readings: list[BlockReadings]) -> BlockReadings:
    names = [column.name for column in fields(BlockReadings)]
    return BlockReadings(*(torch.cat([getattr(part, name) for part in readings]) for name in names))


def _keep_sample(file: ScoreFile, readings: Mapping[str, BlockReadings], rows: np.ndarray) -> None:
    inside = torch.from_numpy(rows >= 0)
    if inside.any():
        sides = [side for read in readings.values() for side in (read.input, read.block)]
        chosen = torch.cat(sides, 1)[inside.to(sides[0].device)]
        file.write(rows[rows >= 0], chosen.cpu().numpy())


class _Units:
    """The top-9 units of every residual block's channels, looked up by their picture."""

    def __init__(self, inputs: Inputs, run: Run) -> None:
        self._tables: dict[str, np.ndarray] = {}  # (U, 5): picture, channel, slot, row, column, by picture
        for block in inputs.stream_plan.blocks:
            numbers = run.store.arrays.layer(block.name, "top")
            channel, slot = np.nonzero(numbers["top_image"] >= 0)
            picture, place = numbers["top_image"][channel, slot], numbers["top_unit"][channel, slot]
            table = np.column_stack([picture, channel, slot, place]).astype(np.int64)
            self._tables[block.name] = table[np.argsort(picture, kind="stable")]

    def within(self, pictures: np.ndarray) -> dict[str, BlockUnits]:
        """The units in a span of pictures, by block."""
        first, last = int(pictures[0]), int(pictures[-1])
        of_block = {}
        for name, table in self._tables.items():
            part = table[np.searchsorted(table[:, 0], first) : np.searchsorted(table[:, 0], last, "right")]
            columns = (part - [first, 0, 0, 0, 0]).T
            of_block[name] = BlockUnits(*(torch.from_numpy(column.copy()) for column in columns))
        return of_block

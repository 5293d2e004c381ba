"""The residual stream: what the pictures say of it, and a pass over two rescaled copies of each. A killed run resumes
after its last save.

The arithmetic is in engine/scan/; residual_stream_tables.py turns the readings into the files of the atlas."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

import numpy as np
import torch

from generator.engine.device import one_thread_each, use_tf32
from generator.engine.rounds import in_rounds
from generator.engine.scan.stream_rescaled import (
    READ_ON,
    RESCALED,
    Listed,
    RescaledReader,
    RescaledState,
    read_rescaled,
)
from generator.engine.scan.stream_state import StreamState
from generator.pictures.batch_reader import PictureBatch
from generator.stages import keys
from generator.stages.checkpointed_pass import Batches, CheckpointedPass
from generator.stages.inputs import Inputs
from generator.stages.residual_stream_tables import Stream, write_stream
from generator.stages.run import Run
from generator.stages.stream_readings import complete_readings, read_forwards, usable_in

PASS = "stream"


def read_streams(inputs: Inputs, run: Run) -> None:
    """Write stream.npz of every residual block, and stream.json, from what the scan brought along and from the rescaled
    pictures."""
    state = complete_readings(inputs, run)
    rescaled = _complete_rescaled(inputs, run, state) if inputs.profile.stream.rescaled else None
    if run.ranks.leads:
        write_stream(inputs, run, Stream.of(inputs, run, state, rescaled))
    run.ranks.meet()


def _complete_rescaled(inputs: Inputs, run: Run, state: StreamState) -> RescaledState:
    """Read all pictures, enlarged and reduced. Every process of a torchrun calls it and reads its share."""
    rescaled = CheckpointedPass(
        run,
        PASS,
        keys.stream(inputs),
        "the pass over the residual stream",
        empty=lambda: RescaledState(inputs.stream_plan, run.device),
        read=RescaledState.from_arrays,
    )
    if run.ranks.leads:
        rescaled.begin()
    run.ranks.meet()
    lists = _Lists(state)

    def work(part: RescaledState, batches: list[int], done: Collection[int], forward: int) -> Batches:
        return _read_batches(inputs, run, part, lists, batches, done, forward)

    return rescaled.complete(inputs.forwards, inputs.forward, work)


def _read_batches(
    inputs: Inputs,
    run: Run,
    state: RescaledState,
    lists: _Lists,
    mine: list[int],
    done: Collection[int],
    forward: int,
) -> Batches:
    """Add batches to the state, yielding the numbers of those added. done: those of earlier runs; forward: pictures
    that the network takes at once."""
    earlier = usable_in(inputs, run, done)
    total = earlier + usable_in(inputs, run, mine)
    use_tf32(False)
    reader = RescaledReader.of(inputs.network.to(run.device, torch.float32), inputs.stream_plan)
    with contextlib.ExitStack() as opened:
        threads = opened.enter_context(one_thread_each(run.device))
        advance = opened.enter_context(run.reporter.stage("residual stream", total, "pictures", earlier))

        def read(batch: tuple[int, PictureBatch]) -> None:
            pixels, images = batch[1].pixels, batch[1].indices
            for first in range(0, len(images), forward):
                part, numbers = pixels[first : first + forward], images[first : first + forward]
                state.update(read_rescaled(reader, part, forward), lists.of(numbers.numpy()))

        batches = zip(mine, read_forwards(inputs, run, mine), strict=True)
        for finished in in_rounds(read, batches, threads):
            for (_, pictures), _ in finished:
                advance(len(pictures.indices))
            yield [number for (number, _), _ in finished]


class _Lists:
    """The entries of the blocks' lists, looked up by their picture, for the side that is read again on it."""

    def __init__(self, state: StreamState) -> None:
        self._tables: dict[tuple[str, str], np.ndarray] = {}  # (U, 3): picture, channel, slot, by picture
        for block in state.plan.blocks:
            for side in RESCALED:
                images = state.tops[block.name, READ_ON[side]].images.cpu().numpy()
                channel, slot = np.nonzero(images >= 0)
                table = np.column_stack([images[channel, slot], channel, slot]).astype(np.int64)
                self._tables[block.name, side] = table[np.argsort(table[:, 0], kind="stable")]

    def of(self, images: np.ndarray) -> Mapping[tuple[str, str], Listed]:
        """The entries that are these pictures, ascending."""
        found = {}
        for key, table in self._tables.items():
            part = table[slice(*np.searchsorted(table[:, 0], [images[0], images[-1] + 1]))]
            columns = (np.searchsorted(images, part[:, 0]), part[:, 1], part[:, 2])
            found[key] = Listed(*(torch.from_numpy(np.ascontiguousarray(column)) for column in columns))
        return found

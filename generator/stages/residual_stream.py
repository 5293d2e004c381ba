"""The residual stream: what the pictures say of it, and a pass over two rescaled copies of each. A killed run resumes
after its last save.

The arithmetic is in engine/scan/; residual_stream_tables.py turns the readings into the files of the atlas."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from generator.engine.device import use_tf32
from generator.engine.scan.stream_rescaled import (
    READ_ON,
    RESCALED,
    Listed,
    RescaledReader,
    RescaledState,
    read_rescaled,
)
from generator.engine.scan.stream_state import StreamState
from generator.stages import keys
from generator.stages.checkpointed_pass import Batches, CheckpointedPass
from generator.stages.feeds import write_feeds
from generator.stages.inputs import Inputs
from generator.stages.residual_stream_tables import Stream, write_stream
from generator.stages.run import Run
from generator.stages.stream_readings import ByPicture, complete_readings, in_forwards

PASS = "stream"


def read_streams(inputs: Inputs, run: Run) -> None:
    """Write stream.npz and feeds.npz of every residual block, stream.json and feeds.json, from what the scan brought
    along and from the rescaled pictures."""
    state = complete_readings(inputs, run)
    rescaled = _complete_rescaled(inputs, run, state) if inputs.profile.stream.rescaled else None
    if run.ranks.leads:
        write_stream(inputs, run, Stream.of(inputs, run, state, rescaled))
        write_feeds(inputs, run, state)
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
    lists = _lists(state)

    def work(part: RescaledState, batches: list[int], done: Collection[int], forward: int) -> Batches:
        use_tf32(False)
        reader = RescaledReader.of(inputs.network.to(run.device, torch.float32), inputs.stream_plan)

        def read(pixels: Tensor, images: Tensor) -> None:
            places = images.numpy()
            listed = {key: Listed(*table.of(places)) for key, table in lists.items()}
            part.update(read_rescaled(reader, pixels, forward), listed)

        yield from in_forwards(inputs, run, "residual stream", batches, done, forward, read)

    return rescaled.complete(inputs.forwards, inputs.forward, work)


def _lists(state: StreamState) -> dict[tuple[str, str], ByPicture]:
    """The entries of the blocks' lists by block, and by the side that is read again on their pictures: channel and
    slot."""
    lists = {}
    for block in state.plan.blocks:
        for side in RESCALED:
            images = state.tops[block.name, READ_ON[side]].images.cpu().numpy()
            channel, slot = np.nonzero(images >= 0)
            lists[block.name, side] = ByPicture(images[channel, slot], channel, slot)
    return lists

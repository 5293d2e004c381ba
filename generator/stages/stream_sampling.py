"""What the kept pictures say of every residual block, one block per process: intervals, and rank correlations of what a
block adds with what comes along its shortcut. No torch: the processes start at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.core.processes import in_processes
from generator.core.store import Store
from generator.methods.mix_intervals import SampleNumbers, sample_numbers

WORTH = 2_000_000  # readings; a process takes a second to start, in which this many are ranked


@dataclass(frozen=True)
class BlockRead:
    """What is known of a block from all pictures: see mix_intervals.sample_numbers."""

    outputs: tuple[np.ndarray, np.ndarray]
    others: Mapping[str, np.ndarray]
    signed: bool


@dataclass(frozen=True)
class SampleTask:
    """One block. folder: of the atlas; channels: of every side in the file of readings, Input then Block of each block;
    place: of the block among them; rows: of the file that are there."""

    folder: Path
    pass_: str
    channels: tuple[int, ...]
    place: int
    rows: np.ndarray
    read: BlockRead


def run_task(task: SampleTask) -> SampleNumbers:
    """The numbers of one block."""
    with Store(task.folder).work.score_file(task.channels, task.pass_) as readings:
        at_input, at_block = (readings.read(2 * task.place + side, task.rows) for side in (0, 1))
    return sample_numbers(at_input, at_block, task.read.outputs, task.read.others, signed=task.read.signed)


def sampled_blocks(
    folder: Path, pass_: str, blocks: Sequence[BlockRead], rows: np.ndarray, processes: int
) -> Iterator[SampleNumbers]:
    """The numbers of every block, in order. rows: (n,) of the file of readings; processes: at most."""
    channels = [len(block.outputs[0]) for block in blocks for _ in ("input", "block")]
    tasks = [
        SampleTask(folder, pass_, tuple(channels), place, rows, block) for place, block in enumerate(blocks)
    ]
    count = min(processes, len(blocks)) if sum(channels) * len(rows) >= WORTH else 0
    for _, numbers in in_processes(
        run_task,
        tasks,
        count if count > 1 else 0,
        doing="resamples the pictures of the residual stream",
        remedy="use fewer workers (--workers 1) and run the command again: it goes on from here",
    ):
        yield numbers

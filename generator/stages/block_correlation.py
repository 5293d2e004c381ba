"""Spearman's ρ of what a block adds against what comes along its shortcut, one block per process. No torch: the
processes start at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from generator.core.processes import in_processes
from generator.core.store import Store
from generator.methods.mixing import rank_correlation_where

WORTH = 2_000_000  # readings; a process takes a second to start, in which this many are ranked


@dataclass(frozen=True)
class CorrelationTask:
    """One block. folder: of the atlas; channels: of every side in the file of readings, Input then Block of each block;
    place: of the block among them; rows: pictures in the file."""

    folder: Path
    pass_: str
    channels: tuple[int, ...]
    place: int
    rows: int


def run_task(task: CorrelationTask) -> np.ndarray:
    """(C,) float32, ρ over the pictures whose Input is above zero; NaN where it is not defined."""
    rows = np.arange(task.rows)
    with Store(task.folder).work.score_file(task.channels, task.pass_) as readings:
        at_input, at_block = (readings.read(2 * task.place + side, rows) for side in (0, 1))
    return rank_correlation_where(at_input, at_block, at_input > 0)


def block_correlations(
    folder: Path, pass_: str, channels: Sequence[int], rows: int, processes: int
) -> Iterator[np.ndarray]:
    """The correlations of every block, in order. channels: of Input and Block of each block; processes: at most."""
    blocks = len(channels) // 2
    tasks = [CorrelationTask(folder, pass_, tuple(channels), place, rows) for place in range(blocks)]
    count = min(processes, blocks) if sum(channels) * rows >= WORTH else 0
    for _, correlation in in_processes(
        run_task,
        tasks,
        count if count > 1 else 0,
        doing="correlates what blocks add with what they are given",
        remedy="use fewer workers (--workers 1) and run the command again: it goes on from here",
    ):
        yield correlation

"""What the comparisons of designs write: how each run learned, beside what its network costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from generator.architecture import cost
from generator.experiments.training import Training

if TYPE_CHECKING:
    from generator.experiments.running import Workshop

DEPTH = 14  # layers with weights: two blocks a stage


def learned(workshop: Workshop, runs: Sequence[Training]) -> list[dict[str, Any]]:
    """A row an epoch of each run, with parameters and multiply-adds of one picture."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        _, found = workshop.trained(run)
        price = cost(run.network(workshop.setting).to("meta"), workshop.setting.side)
        who = {"kind": run.kind, "depth": run.depth, "seed": run.seed, **price}
        rows += [{**who, "epoch": epoch, **row} for epoch, row in enumerate(found["curve"], 1)]
    return rows

"""What the comparisons of designs write: how each run learned, beside what its network costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.runs import DesignRun, Run, Training, network_of
from generator.experiments.setting import Setting
from generator.network.architecture import cost

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

DEPTH = 14  # layers with weights: two blocks a stage


def beside_residual(setting: Setting, kinds: Sequence[str]) -> list[Training]:
    """The residual network with option A and its variants, seed by seed."""
    found: list[Training] = []
    for seed in setting.seeds:
        found += [Run(True, DEPTH, seed), *(DesignRun(kind, DEPTH, seed) for kind in kinds)]
    return found


def learned(workshop: Workshop, runs: Sequence[Training]) -> list[dict[str, Any]]:
    """A row an epoch of each run, with parameters and multiply-adds of one picture."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        _, found = workshop.trained(run)
        price = cost(network_of(run, workshop.setting).to("meta"), workshop.setting.side)
        who = {"kind": run.kind, "depth": run.depth, "seed": run.seed, **price}
        rows += [{**who, "epoch": epoch, **row} for epoch, row in enumerate(found["curve"], 1)]
    return rows

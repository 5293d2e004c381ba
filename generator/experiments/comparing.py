"""Runs and rows shared by the comparisons of designs: learning curves with the cost of each network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.runs import DesignRun, Run, Training, network_of
from generator.experiments.setting import Setting
from generator.network.architecture import cost

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

COMPARED_DEPTH = 14  # layers with weights: two blocks per stage


def runs_with_residual(setting: Setting, kinds: Sequence[str]) -> list[Training]:
    """For each seed, a run of the residual network with option A and a run of each of the designs `kinds`."""
    runs: list[Training] = []
    for seed in setting.seeds:
        runs += [Run(True, COMPARED_DEPTH, seed), *(DesignRun(kind, COMPARED_DEPTH, seed) for kind in kinds)]
    return runs


def learning_curves(workshop: Workshop, runs: Sequence[Training]) -> list[dict[str, Any]]:
    """One row per epoch of each run, with the parameters of its network and the multiply-adds per picture."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        _, notes = workshop.trained(run)
        costs = cost(network_of(run, workshop.setting).to("meta"), workshop.setting.side)
        columns = {"kind": run.kind, "depth": run.depth, "seed": run.seed, **costs}
        rows += [{**columns, "epoch": epoch, **row} for epoch, row in enumerate(notes["curve"], 1)]
    return rows

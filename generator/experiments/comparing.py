"""Runs and rows shared by the comparisons of designs: learning curves with the cost of each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.runs import DesignRun, Run, Training, network_of
from generator.experiments.setting import Setting
from generator.network.architecture import cost

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

COMPARED_DEPTH = 20  # layers with weights: three blocks per stage
DEEP = 56  # nine blocks per stage


def runs_with_residual(setting: Setting, kinds: Sequence[str], depth: int = COMPARED_DEPTH) -> list[Training]:
    """For each seed, a run of the residual network with option A and a run of each of the designs `kinds`."""
    runs: list[Training] = []
    for seed in setting.seeds:
        runs += [Run(True, depth, seed), *(DesignRun(kind, depth, seed) for kind in kinds)]
    return runs


def curve_of(notes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per epoch of a training. fit_error: the error on all training drawings as they are, after the last epoch;
    '' stands where something was not measured."""
    rows: list[dict[str, Any]] = [
        {"epoch": epoch, **{"test_error": ""}, **row, "fit_error": ""}
        for epoch, row in enumerate(notes["curve"], 1)
    ]
    rows[-1]["fit_error"] = notes["train_error"]
    names = ("epoch", "train_loss", "train_error", "test_error", "fit_error")
    return [{name: row[name] for name in names} for row in rows]


def learning_curves(workshop: Workshop, runs: Sequence[Training]) -> list[dict[str, Any]]:
    """One row per epoch of each run, with the parameters of its network and the multiply-adds per picture."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        _, notes = workshop.trained(run)
        costs = cost(network_of(run, workshop.setting).to("meta"), workshop.setting.side)
        columns = {"kind": run.kind, "depth": run.depth, "seed": run.seed, **costs}
        rows += [{**columns, **row} for row in curve_of(notes)]
    return rows

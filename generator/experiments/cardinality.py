"""More paths at equal cost, and what depth, width or paths give at twice the cost (arXiv:1611.05431, Tables 3, 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import learned
from generator.experiments.runs import PathRun
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

PATHS = (1, 2, 4, 8, 32)
# Blocks a stage, paths, and cost of a block: deeper, wider, more paths.
TWICE = ((2, 1, 1), (1, 1, 2), (1, 64, 2))


def runs(setting: Setting) -> list[PathRun]:
    """Equal cost first, then twice the cost."""
    equal = [PathRun(1, paths, 1, seed) for seed in setting.seeds for paths in PATHS]
    return equal + [PathRun(*how, seed) for seed in setting.seeds for how in TWICE]


def tables(workshop: Workshop, runs: Sequence[PathRun]) -> Mapping[str, list[dict[str, Any]]]:
    """cardinality: a row an epoch of each run, with paths, widths by stage, blocks a stage."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        what = {
            "cardinality": run.cardinality,
            "widths": "-".join(map(str, run.widths(workshop.setting))),
            "blocks": run.blocks,
            "factor": run.factor,
        }
        rows += [{**what, **row} for row in learned(workshop, [run])]
    return {"cardinality": rows}

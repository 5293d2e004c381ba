"""Cardinality: more paths at equal cost, and depth, width or paths at twice the cost (arXiv:1611.05431, Tables 3,
4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import learning_curves
from generator.experiments.runs import PathRun
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

CARDINALITIES = (1, 2, 4, 8, 32)
# Blocks per stage, paths, and relative cost of a block: deeper, wider, more paths.
TWICE_THE_COST = ((2, 1, 1), (1, 1, 2), (1, 64, 2))


def runs(setting: Setting) -> list[PathRun]:
    """The runs at equal cost, then those at twice the cost."""
    equal = [PathRun(1, paths, 1, seed) for seed in setting.seeds for paths in CARDINALITIES]
    return equal + [PathRun(*design, seed) for seed in setting.seeds for design in TWICE_THE_COST]


def tables(workshop: Workshop, runs: Sequence[PathRun]) -> Mapping[str, list[dict[str, Any]]]:
    """cardinality: one row per epoch of each run, with paths, widths by stage and blocks per stage."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        design = {
            "cardinality": run.cardinality,
            "widths": "-".join(map(str, run.widths(workshop.setting))),
            "blocks": run.blocks,
            "factor": run.factor,
        }
        rows += [{**design, **row} for row in learning_curves(workshop, [run])]
    return {"cardinality": rows}

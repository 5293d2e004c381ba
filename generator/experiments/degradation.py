"""Plain against residual networks at two depths: does depth make the training error worse (arXiv:1512.03385,
section 4.1), and how do gradients fare?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.runs import Run, plain_and_residual
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop


def runs(setting: Setting) -> list[Run]:
    """Plain and residual networks of every depth."""
    return plain_and_residual(setting)


def tables(workshop: Workshop, runs: Sequence[Run]) -> Mapping[str, list[dict[str, Any]]]:
    """degradation: a row an epoch of each run; gradients: a row a convolution of each run, at the start and the end."""
    curves: list[dict[str, Any]] = []
    gradients: list[dict[str, Any]] = []
    for run in runs:
        _, found = workshop.trained(run)
        who = {"kind": run.kind, "depth": run.depth, "seed": run.seed}
        curves += [{**who, "epoch": epoch, **row} for epoch, row in enumerate(found["curve"], 1)]
        for when, norms in found["gradients"].items():
            gradients += [
                {**who, "when": when, "layer": layer, "norm": norm} for layer, norm in enumerate(norms, 1)
            ]
    return {"degradation": curves, "gradients": gradients}

"""Plain and residual networks of several depths: does depth increase the training error, and how large are the
gradients (arXiv:1512.03385, section 4.1)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import curve_of
from generator.experiments.runs import Run, plain_and_residual
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop


def runs(setting: Setting) -> list[Run]:
    """The plain and the residual network of every depth."""
    return plain_and_residual(setting)


def tables(workshop: Workshop, runs: Sequence[Run]) -> Mapping[str, list[dict[str, Any]]]:
    """degradation: one row per epoch of each run; gradients: one row per convolution of each run, at the start and the
    end of training."""
    curves: list[dict[str, Any]] = []
    gradients: list[dict[str, Any]] = []
    for run in runs:
        _, notes = workshop.trained(run)
        columns = {"kind": run.kind, "depth": run.depth, "seed": run.seed}
        curves += [{**columns, **row} for row in curve_of(notes)]
        for when, norms in notes["gradients"].items():
            gradients += [
                {**columns, "when": when, "layer": layer, "norm": norm} for layer, norm in enumerate(norms, 1)
            ]
    return {"degradation": curves, "gradients": gradients}

"""Kinds of shortcut: options A, B, C (arXiv:1512.03385, section 4.1), and shortcuts that are scaled, gated or dropped
(arXiv:1603.05027, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import learning_curves, runs_with_residual
from generator.experiments.runs import Training
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

SHORTCUT_DESIGNS = (
    "projection where sizes change",
    "projection everywhere",
    "scaled",
    "exclusive gate",
    "dropout",
)


def runs(setting: Setting) -> list[Training]:
    """The residual network with option A and the networks with other shortcuts."""
    return runs_with_residual(setting, SHORTCUT_DESIGNS)


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """shortcuts: one row per epoch of each run."""
    return {"shortcuts": learning_curves(workshop, runs)}

"""The order of norm and ReLU: after the addition, or before the convolutions (arXiv:1603.05027, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import DEEP, learning_curves, runs_with_residual
from generator.experiments.runs import Training
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

PRE_ACTIVATION_DESIGNS = ("ReLU-only pre-activation", "full pre-activation")


def runs(setting: Setting) -> list[Training]:
    """The original residual network and its two pre-activation variants, at the greatest depth."""
    return runs_with_residual(setting, PRE_ACTIVATION_DESIGNS, min(DEEP, max(setting.depths)))


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """order: one row per epoch of each run."""
    return {"order": learning_curves(workshop, runs)}

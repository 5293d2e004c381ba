"""Where norm and ReLU stand: behind the addition, or before the convolutions (arXiv:1603.05027, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.comparing import beside_residual, learned
from generator.experiments.runs import Training
from generator.experiments.setting import Setting

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

KINDS = ("ReLU-only pre-activation", "full pre-activation")


def runs(setting: Setting) -> list[Training]:
    """The original residual network and its two pre-activation variants."""
    return beside_residual(setting, KINDS)


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """order: a row an epoch of each run."""
    return {"order": learned(workshop, runs)}

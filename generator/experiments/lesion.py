"""Lesion study: the accuracy after removing one block at a time (arXiv:1605.06431, section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from generator.experiments.runs import Run, plain_and_residual
from generator.experiments.setting import Setting
from generator.experiments.training import accuracy
from generator.network.models.study.networks import StudyNetwork

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop


def runs(setting: Setting) -> list[Run]:
    """The plain and the residual network of every depth."""
    return plain_and_residual(setting)


def tables(workshop: Workshop, runs: Sequence[Run]) -> Mapping[str, list[dict[str, Any]]]:
    """lesion: one row per block of each run's network. Blocks that change the shape of their input cannot be
    removed."""
    rows: list[dict[str, Any]] = []
    drawings = workshop.pictures
    for run in runs:
        network, _ = workshop.trained(run)
        assert isinstance(network, StudyNetwork)
        whole = accuracy(network, drawings.held_out, drawings.held_out_labels)
        for path, block in network.blocks():
            if not block.keeps_shape:
                continue
            block.removed = True
            without = accuracy(network, drawings.held_out, drawings.held_out_labels)
            block.removed = False
            rows.append(
                {
                    "kind": run.kind, "depth": run.depth, "seed": run.seed, "block": path,
                    "accuracy": whole, "accuracy_without": without,
                }
            )  # fmt: skip
    return {"lesion": rows}

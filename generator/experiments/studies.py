"""Atlases of the networks that the experiments trained, one of each kind, to accompany their report."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from generator.core.files import write_atomically
from generator.core.progress import Reporter
from generator.experiments.running import EXPERIMENTS
from generator.experiments.setting import Setting
from generator.experiments.workshop import Workshop
from generator.network.models import study
from generator.pictures.drawn.world import CLASSES
from generator.stages.pipeline import compute
from generator.stages.profile import Profile


def compute_studies(
    names: Iterable[str],
    setting: Setting,
    folder: Path,
    reporter: Reporter | None = None,
    device: str = "cpu",
) -> list[Path]:
    """Compute atlases of the first seed's networks of these experiments; returns the folders, folder/atlases/<name>.

    An atlas has as many drawings as the experiments hold out, from a seed of which no network has seen a drawing. A
    network that is not trained yet is trained first.
    """
    workshop = Workshop(setting, folder, reporter or Reporter(), device)
    runs = {
        study.name_of(run.kind, run.depth, setting.width, setting.side): run
        for name in names
        for run in EXPERIMENTS[name].runs(setting)
        if run.seed == setting.seeds[0]
    }
    classes = folder / "classes.txt"
    write_atomically(classes, "".join(f"{name}\n" for name in CLASSES).encode())
    atlases = []
    for model, run in runs.items():
        workshop.trained(run)
        atlases.append(folder / "atlases" / model.replace("/", "-"))
        profile = Profile.model_validate(
            {
                "name": atlases[-1].name,
                "title": study.title_of(run.kind, run.depth),
                "network": {"model": model, "weights": str(workshop.weights(run)), "classes": str(classes)},
                "pictures": {"drawn": setting.held_out, "trained_on": False},
            }
        )
        compute(profile, atlases[-1], reporter)
    return atlases

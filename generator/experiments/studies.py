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
from generator.pictures.drawn.gallery import draw_pictures
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

    An atlas has as many drawings as the experiments hold out, of the classes that the networks were trained on, from a
    seed of which no network has seen a drawing; they are kept in folder/atlas-drawings. A network that is not trained
    yet is trained first.
    """
    reporter = reporter or Reporter()
    workshop = Workshop(setting, folder, reporter, device)
    runs = {
        study.name_of(run.kind, run.depth, setting.width, setting.side): run
        for name in names
        for run in EXPERIMENTS[name].runs(setting)
        if run.seed == setting.seeds[0]
    }
    classes = folder / "classes.txt"
    write_atomically(classes, "".join(f"{name}\n" for name in CLASSES).encode())
    pictures, numbers = folder / "atlas-drawings", range(0, setting.held_out * setting.every, setting.every)
    with reporter.stage("drawing pictures", len(numbers), "pictures") as advance:
        draw_pictures(pictures, numbers.stop, progress=advance, only=numbers)
    atlases = []
    for model, run in runs.items():
        workshop.trained(run)
        atlases.append(folder / "atlases" / model.replace("/", "-"))
        profile = Profile.model_validate(
            {
                "name": atlases[-1].name,
                "title": study.title_of(run.kind, run.depth),
                "network": {"model": model, "weights": str(workshop.weights(run)), "classes": str(classes)},
                "pictures": {"folder": str(pictures), "labels": "folders", "trained_on": False},
            }
        )
        compute(profile, atlases[-1], reporter)
    return atlases

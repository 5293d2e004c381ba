"""Run experiments and write their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from generator.core.files import write_atomically
from generator.core.progress import Reporter
from generator.experiments import (
    cardinality,
    degradation,
    lesion,
    order,
    refinement,
    shortcuts,
    zero_blocks,
)
from generator.experiments.permutation import ROUNDS
from generator.experiments.rows import Rows, csv_of
from generator.experiments.runs import Training
from generator.experiments.setting import Setting
from generator.experiments.training import MOMENTUM, PROBE
from generator.experiments.workshop import Workshop
from generator.network.models.study.designs import DROPPED, GATE, SCALE
from generator.pictures.drawn.world import CLASSES

EXPERIMENTS: Mapping[str, Any] = {
    "degradation": degradation,
    "lesion": lesion,
    "shortcuts": shortcuts,
    "order": order,
    "cardinality": cardinality,
    "refinement": refinement,
    "zero-blocks": zero_blocks,
}

SEEDS_OF = {"degradation": 10, "lesion": 10}  # seeds of an experiment
FEWER_SEEDS = 5  # of the others


def setting_file(name: str) -> str:
    """The file that says with which setting the tables of an experiment were made."""
    return f"setting-{name}.json"


def own_setting(name: str, setting: Setting) -> Setting:
    """The setting of one experiment: with the seeds that it asks for, at most those of `setting`."""
    return replace(setting, seeds=setting.seeds[: SEEDS_OF.get(name, FEWER_SEEDS)])


def run_experiments(
    names: Iterable[str],
    setting: Setting,
    folder: Path,
    reporter: Reporter | None = None,
    device: str = "cpu",
    processes: int = 0,
) -> list[Path]:
    """Run experiments and write their tables and settings; returns the files, folder/results/*.

    names: keys of EXPERIMENTS; folder: also keeps drawings and trained networks, so that an interrupted call resumes;
    device: on which the networks are trained; processes: that train a network each at the same time, 0 for this one
    alone. The same setting gives the same numbers on the same machine, with any number of processes. The tables of an
    experiment are written as soon as its networks are trained.
    """
    reporter = reporter or Reporter()
    workshop = Workshop(setting, folder, reporter, device)
    written = []
    for name in names:
        own = own_setting(name, setting)
        runs: list[Training] = EXPERIMENTS[name].runs(own)
        with reporter.stage(f"training for {name}", len(runs), "networks") as advance:
            workshop.train_all(runs, processes, advance)
        measure: Callable[[Workshop, Sequence[Training]], Mapping[str, Rows]] = EXPERIMENTS[name].tables
        with reporter.stage(name, 1, "tables") as advance:
            found = {f"{table}.csv": csv_of(rows) for table, rows in measure(workshop, runs).items()}
            record = {**asdict(own), **constants(own), "device": workshop.device.type}
            found[setting_file(name)] = (json.dumps(record, indent=1) + "\n").encode()
            for file, content in found.items():
                write_atomically(folder / "results" / file, content)
                written.append(folder / "results" / file)
            advance()
    return written


def constants(setting: Setting) -> dict[str, Any]:
    """What the report states besides the setting's fields. classes: that are used; outputs: of the classifier;
    momentum: of SGD; probe: drawings over which gradients are measured; rounds: of each permutation test; scale,
    dropped, gate: of the shortcut designs."""
    return {
        "classes": setting.classes,
        "outputs": len(CLASSES),
        "momentum": MOMENTUM,
        "probe": PROBE,
        "rounds": ROUNDS,
        "scale": SCALE,
        "dropped": DROPPED,
        "gate": GATE,
    }

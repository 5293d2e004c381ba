"""Run experiments and write their tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from generator.core.csv_tables import csv_bytes
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

Rows = Sequence[Mapping[str, Any]]


def run_experiments(
    names: Iterable[str], setting: Setting, folder: Path, reporter: Reporter | None = None
) -> list[Path]:
    """Run experiments and write their tables; returns the CSV files, folder/results/*.csv.

    names: keys of EXPERIMENTS; folder: also keeps drawings and trained networks, so that an interrupted call resumes.
    The same setting gives the same numbers on the same machine.
    """
    reporter = reporter or Reporter()
    workshop = Workshop(setting, folder, reporter)
    names = list(names)
    runs: dict[str, list[Training]] = {name: EXPERIMENTS[name].runs(setting) for name in names}
    every = list(dict.fromkeys(run for needed in runs.values() for run in needed))
    with reporter.stage("training", len(every), "networks") as advance:
        for run in every:
            workshop.trained(run)
            advance()
    written = []
    for name in names:
        measure: Callable[[Workshop, Sequence[Training]], Mapping[str, Rows]] = EXPERIMENTS[name].tables
        with reporter.stage(name, 1, "tables") as advance:
            for table, rows in measure(workshop, runs[name]).items():
                path = folder / "results" / f"{table}.csv"
                write_atomically(path, _csv(rows))
                written.append(path)
            advance()
    record = {**asdict(setting), **constants()}
    write_atomically(folder / "results" / "setting.json", (json.dumps(record, indent=1) + "\n").encode())
    return written


def constants() -> dict[str, float]:
    """Constants of all settings, which the report states. classes: of the drawn world; momentum: of SGD; probe:
    drawings over which gradients are measured; rounds: of each permutation test; scale, dropped, gate: of the shortcut
    designs."""
    return {
        "classes": len(CLASSES),
        "momentum": MOMENTUM,
        "probe": PROBE,
        "rounds": ROUNDS,
        "scale": SCALE,
        "dropped": DROPPED,
        "gate": GATE,
    }


def _csv(rows: Rows) -> bytes:
    """A CSV file of rows with equal columns, floats to six significant digits."""
    columns = list(rows[0])
    cells = (
        [f"{row[name]:.6g}" if isinstance(row[name], float) else row[name] for name in columns]
        for row in rows
    )
    return bytes(csv_bytes(columns, cells))

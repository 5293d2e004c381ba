"""Runs experiments: every training once, kept with its weights, so that a run that was stopped goes on."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from generator.demo import pool
from generator.demo.world import CLASSES, HELD_OUT_SEED, TRAIN_SEED
from generator.device import one_thread_each
from generator.experiments import cardinality, degradation, lesion, order, refinement, shortcuts, zero_blocks
from generator.experiments.runs import ResumedRun, Training
from generator.experiments.setting import Setting
from generator.experiments.training import MOMENTUM, PROBE, build, reduced, train
from generator.files import write_atomically
from generator.methods.refinement import ROUNDS
from generator.models.study.designs import DROPPED, GATE, SCALE
from generator.progress import Reporter
from generator.store import fingerprint

CODE = 1  # raise it when a change of the code changes any number: trainings are then done anew
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


class Workshop:
    """The trainings of a setting in a folder: trained when first asked for, read from then on."""

    def __init__(self, setting: Setting, folder: Path, reporter: Reporter) -> None:
        self.setting, self.folder, self.reporter = setting, folder, reporter
        self._pictures: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """To learn from, and held out."""
        if self._pictures is None:
            drawn = []
            for count, seed in ((self.setting.pictures, TRAIN_SEED), (self.setting.held_out, HELD_OUT_SEED)):
                with self.reporter.stage("drawing", count, "pictures") as advance:
                    found = pool.drawings(count, seed, self.folder / "drawings", progress=advance)
                drawn.append(reduced(found, self.setting.side))
            self._pictures = (drawn[0], drawn[1])
        return self._pictures

    def weights(self, run: Training) -> Path:
        """Where a run's weights are kept once it is trained; the notes lie beside them."""
        common = {
            name: value for name, value in asdict(self.setting).items() if name not in ("depths", "seeds")
        }
        key = fingerprint(CODE, asdict(run), common, pool.fingerprint())[:16]
        name = f"{run.kind.replace(' ', '_')}-{run.depth}-{run.seed}-{key}.safetensors"
        return self.folder / "runs" / name

    def trained(self, run: Training) -> tuple[nn.Module, dict[str, Any]]:
        """A run's network and what was noted."""
        weights = self.weights(run)
        notes = weights.with_suffix(".json")
        if not notes.is_file():
            with one_thread_each(torch.device("cpu")):  # how a sum is shared changes its last bits
                network, found = self._train(run)
            state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
            write_atomically(weights, safetensors.torch.save(state))
            write_atomically(notes, json.dumps({"run": asdict(run), **found}).encode())
        network = build(run, self.setting)
        network.load_state_dict(safetensors.torch.load_file(weights))
        return network.to(memory_format=torch.channels_last).eval(), json.loads(notes.read_text("utf-8"))

    def _train(self, run: Training) -> tuple[nn.Module, dict[str, Any]]:
        if not isinstance(run, ResumedRun):
            return train(run, self.setting, *self.pictures)
        network = build(run, self.setting)
        network.load_state_dict(
            self.trained(run.before)[0].state_dict(), strict=False
        )  # the new blocks have none
        again = replace(self.setting, epochs=run.epochs, rate=run.rate)
        return train(run, again, *self.pictures, network)


def run_experiments(
    names: Iterable[str], setting: Setting, folder: Path, reporter: Reporter | None = None
) -> list[Path]:
    """Run experiments and write their tables; returns the CSV files, folder/results/*.csv.

    Stopped at any moment and called again it goes on; the same setting gives the same numbers on the same machine.
    """
    reporter = reporter or Reporter()
    workshop = Workshop(setting, folder, reporter)
    names = list(names)
    runs: dict[str, list[Training]] = {name: EXPERIMENTS[name].runs(setting) for name in names}
    every = list(dict.fromkeys(run for some in runs.values() for run in some))
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
    said = {**asdict(setting), **constants()}
    write_atomically(folder / "results" / "setting.json", (json.dumps(said, indent=1) + "\n").encode())
    return written


def constants() -> dict[str, float]:
    """What every setting shares and the report states. classes: of the drawn world; momentum: of SGD; probe: drawings
    of the batch whose gradients are measured; rounds: of each test; scale, dropped, gate: of the shortcuts' designs."""
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
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    )
    return text.getvalue().encode()

"""The trainings of a setting. Each is done once and stored with its weights, so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from generator.core.files import remove, write_atomically
from generator.core.processes import in_workers
from generator.core.progress import Reporter
from generator.core.store import fingerprint
from generator.engine.device import choose_device, one_thread_each
from generator.experiments.runs import ResumedRun, Training
from generator.experiments.setting import Setting
from generator.experiments.training import Drawings, build, labels_of, reduced, train
from generator.pictures.drawn import pool
from generator.pictures.drawn.world import HELD_OUT_SEED, TRAIN_SEED

CODE = 2  # raise it when a change of the code changes any number: trainings are then repeated


DIGEST = "sha256"  # the key in a training's notes of the digest of notes and weights


def _digest(weights: bytes, notes: dict[str, Any]) -> str:
    return fingerprint(hashlib.sha256(weights).hexdigest(), notes)


def _trainer(setting: Setting, folder: Path, device: str) -> Callable[[Training], None]:
    """What a process does with a run."""
    return Workshop(setting, folder, Reporter(quiet=True), device)._train_here


class Workshop:
    """The trainings of a setting in a folder. A network is trained when first requested and read afterwards."""

    def __init__(self, setting: Setting, folder: Path, reporter: Reporter, device: str = "cpu") -> None:
        self.setting, self.folder, self.reporter = setting, folder, reporter
        self.device = choose_device(device)  # on which networks are trained; they are measured on the CPU
        self._pictures: Drawings | None = None

    @property
    def pictures(self) -> Drawings:
        """The drawings to train on and the held-out drawings."""
        if self._pictures is None:
            drawn: list[torch.Tensor] = []
            for count, seed in ((self.setting.pictures, TRAIN_SEED), (self.setting.held_out, HELD_OUT_SEED)):
                with self.reporter.stage("drawing", count, "pictures") as advance:
                    images = pool.drawings(
                        count, seed, self.folder / "drawings", progress=advance, every=self.setting.every
                    )
                drawn.append(reduced(images, self.setting.side))
            labels = [labels_of(self.setting, len(pictures)) for pictures in drawn]
            self._pictures = Drawings(drawn[0], drawn[1], labels[0], labels[1])
        return self._pictures

    def weights(self, run: Training) -> Path:
        """The file of a run's weights once it is trained. The notes lie next to it, with the suffix .json."""
        common = {
            name: value for name, value in asdict(self.setting).items() if name not in ("depths", "seeds")
        }
        elsewhere = () if self.device.type == "cpu" else (self.device.type,)  # its last bits differ
        key = fingerprint(CODE, asdict(run), common, pool.fingerprint(), *elsewhere)[:16]
        name = f"{run.kind.replace(' ', '_')}-{run.depth}-{run.seed}-{key}.safetensors"
        return self.folder / "runs" / name

    def trained(self, run: Training) -> tuple[nn.Module, dict[str, Any]]:
        """A run's network in eval mode and its notes (the run, and the record of `training.train`); trains it if
        necessary."""
        weights = self.weights(run)
        notes_file = weights.with_suffix(".json")
        stored = self._stored(run)
        if stored is None:
            for path in (weights, notes_file):
                remove(path)
            # The order of additions, and so the last bits, depends on the threads.
            with one_thread_each(torch.device("cpu")):
                network, record = self._train(run)
            state = {name: tensor.contiguous() for name, tensor in network.cpu().state_dict().items()}
            content = safetensors.torch.save(state)
            notes = json.loads(json.dumps({"run": asdict(run), **record}))
            write_atomically(weights, content)
            write_atomically(notes_file, json.dumps({**notes, DIGEST: _digest(content, notes)}).encode())
            stored = state, notes
        network = build(run, self.setting)
        network.load_state_dict(stored[0])
        return network.to(memory_format=torch.channels_last).eval(), stored[1]

    def train_all(
        self, runs: Sequence[Training], processes: int = 0, advance: Callable[[], None] = lambda: None
    ) -> None:
        """Train what is not trained yet, in this many processes at the same time; advance: called after each run."""
        left = [run for run in runs if processes == 0 or self._stored(run) is None]
        for _ in range(len(runs) - len(left)):
            advance()
        if left and processes:
            _ = self.pictures  # drawn once, before the processes read them
        # Those that resume the training of another one come after it.
        for resumed in (False, True):
            for _ in in_workers(
                _trainer,
                (self.setting, self.folder, str(self.device)),
                [run for run in left if isinstance(run, ResumedRun) == resumed],
                processes,
                doing="trained a network",
                remedy="try fewer --jobs",
                here=self._train_here,
                in_order=False,
            ):
                advance()

    def _train_here(self, run: Training) -> None:
        self.trained(run)

    def _stored(self, run: Training) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The weights and notes of a finished training; None where there is none, or where they are damaged, which is
        reported."""
        weights = self.weights(run)
        notes_file = weights.with_suffix(".json")
        if not notes_file.exists():
            return None
        try:
            content, notes = weights.read_bytes(), json.loads(notes_file.read_bytes())
            digest = notes.pop(DIGEST, None)
            if digest is None or digest == _digest(content, notes):  # earlier versions stored no digest
                return safetensors.torch.load(content), notes
        except (OSError, ValueError, AttributeError, TypeError, safetensors.SafetensorError):
            pass
        self.reporter.note(f"{weights.name} is damaged: its network is trained again")
        return None

    def _train(self, run: Training) -> tuple[nn.Module, dict[str, Any]]:
        drawings = self.pictures.to(self.device)
        network = build(run, self.setting)
        if not isinstance(run, ResumedRun):
            return train(network, run.seed, self.setting, drawings)
        before = self.trained(run.before)[0].state_dict()
        network.load_state_dict(before, strict=False)  # the new blocks have no weights there
        again = replace(self.setting, epochs=run.epochs, rate=run.rate)
        return train(network, run.seed, again, drawings)

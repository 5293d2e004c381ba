"""The trainings of a setting. Each is done once and stored with its weights, so that an interrupted run resumes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from generator.core.files import remove, write_atomically
from generator.core.progress import Reporter
from generator.core.store import fingerprint
from generator.engine.device import one_thread_each
from generator.experiments.runs import ResumedRun, Training
from generator.experiments.setting import Setting
from generator.experiments.training import build, reduced, train
from generator.pictures.drawn import pool
from generator.pictures.drawn.world import HELD_OUT_SEED, TRAIN_SEED

CODE = 1  # raise it when a change of the code changes any number: trainings are then repeated


DIGEST = "sha256"  # the key in a training's notes of the digest of notes and weights


def _digest(weights: bytes, notes: dict[str, Any]) -> str:
    return fingerprint(hashlib.sha256(weights).hexdigest(), notes)


class Workshop:
    """The trainings of a setting in a folder. A network is trained when first requested and read afterwards."""

    def __init__(self, setting: Setting, folder: Path, reporter: Reporter) -> None:
        self.setting, self.folder, self.reporter = setting, folder, reporter
        self._pictures: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def pictures(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The drawings to train on and the held-out drawings, (N, 3, side, side) each."""
        if self._pictures is None:
            drawn = []
            for count, seed in ((self.setting.pictures, TRAIN_SEED), (self.setting.held_out, HELD_OUT_SEED)):
                with self.reporter.stage("drawing", count, "pictures") as advance:
                    images = pool.drawings(count, seed, self.folder / "drawings", progress=advance)
                drawn.append(reduced(images, self.setting.side))
            self._pictures = (drawn[0], drawn[1])
        return self._pictures

    def weights(self, run: Training) -> Path:
        """The file of a run's weights once it is trained. The notes lie next to it, with the suffix .json."""
        common = {
            name: value for name, value in asdict(self.setting).items() if name not in ("depths", "seeds")
        }
        key = fingerprint(CODE, asdict(run), common, pool.fingerprint())[:16]
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
            with one_thread_each(
                torch.device("cpu")
            ):  # the order of additions, and so the last bits, depends on the threads
                network, record = self._train(run)
            state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
            content = safetensors.torch.save(state)
            notes = json.loads(json.dumps({"run": asdict(run), **record}))
            write_atomically(weights, content)
            write_atomically(notes_file, json.dumps({**notes, DIGEST: _digest(content, notes)}).encode())
            stored = state, notes
        network = build(run, self.setting)
        network.load_state_dict(stored[0])
        return network.to(memory_format=torch.channels_last).eval(), stored[1]

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
        if not isinstance(run, ResumedRun):
            return train(run, self.setting, *self.pictures)
        network = build(run, self.setting)
        network.load_state_dict(
            self.trained(run.before)[0].state_dict(), strict=False
        )  # the new blocks have no weights there
        again = replace(self.setting, epochs=run.epochs, rate=run.rate)
        return train(run, again, *self.pictures, network)

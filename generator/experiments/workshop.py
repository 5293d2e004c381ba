"""The trainings of one setting: each is done once and kept with its weights, so that an interrupted run resumes."""

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

CODE = 1  # raise it when a change of the code changes any number: trainings are then done anew


DIGEST = "sha256"  # in the notes: of them and of the weights


def _digest(weights: bytes, notes: dict[str, Any]) -> str:
    return fingerprint(hashlib.sha256(weights).hexdigest(), notes)


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
        kept = self._kept(run)
        if kept is None:
            for path in (weights, notes):
                remove(path)
            with one_thread_each(torch.device("cpu")):  # how a sum is shared changes its last bits
                network, found = self._train(run)
            state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
            content = safetensors.torch.save(state)
            said = json.loads(json.dumps({"run": asdict(run), **found}))
            write_atomically(weights, content)
            write_atomically(notes, json.dumps({**said, DIGEST: _digest(content, said)}).encode())
            kept = state, said
        network = build(run, self.setting)
        network.load_state_dict(kept[0])
        return network.to(memory_format=torch.channels_last).eval(), kept[1]

    def _kept(self, run: Training) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The weights and notes of a training that was done; None where it was not, or they are damaged, which a note
        says."""
        weights = self.weights(run)
        notes = weights.with_suffix(".json")
        if not notes.exists():
            return None
        try:
            content, said = weights.read_bytes(), json.loads(notes.read_bytes())
            digest = said.pop(DIGEST, None)
            if digest is None or digest == _digest(content, said):  # earlier versions kept none
                return safetensors.torch.load(content), said
        except (OSError, ValueError, AttributeError, TypeError, safetensors.SafetensorError):
            pass
        self.reporter.note(f"{weights.name} is damaged: that network is trained again")
        return None

    def _train(self, run: Training) -> tuple[nn.Module, dict[str, Any]]:
        if not isinstance(run, ResumedRun):
            return train(run, self.setting, *self.pictures)
        network = build(run, self.setting)
        network.load_state_dict(
            self.trained(run.before)[0].state_dict(), strict=False
        )  # the new blocks have none
        again = replace(self.setting, epochs=run.epochs, rate=run.rate)
        return train(run, again, *self.pictures, network)

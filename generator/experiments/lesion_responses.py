"""What a trained network and each of its lesions make of pictures, batch by batch. The blocks before a lesion are run
once for all lesions, and a stopped run resumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.records import Skipped
from generator.core.store import fingerprint
from generator.engine.scan.moments import channel_maxima
from generator.experiments.block_lesions import (
    Block,
    Lesion,
    blocks_of,
    is_near,
    lesions_of,
    run_blocks,
    run_lesion,
)
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch, read_batches
from generator.pictures.reading import PictureSet
from generator.stages.accuracy import accuracy_basis
from generator.stages.checkpointed_pass import Parts
from generator.stages.run import Run

VERSION = 2  # of what a batch measures; a change of its numbers raises it
BATCH = 20  # pictures whose maps of all blocks are held at once
WHOLE = -1  # in place of a lesion's number: the network as it is
PASS = "lesions"  # the folder of its parts


@dataclass
class BatchResponses:
    """What the networks make of some pictures. scores: the channels' largest values, (B, C), by the network (its
    lesion's number, WHOLE without one) and the place of a block; correct: whether the pictures whose class is known are
    classified correctly, (labelled,) bool by network, none where there is no accuracy; skipped: pictures that cannot be
    used."""

    scores: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    correct: dict[int, np.ndarray] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        """As they are kept on disk."""
        skipped = json.dumps([[file.path, file.reason] for file in self.skipped])
        return {
            **{f"scores {number} {place}": values for (number, place), values in self.scores.items()},
            **{f"correct {number}": values for number, values in self.correct.items()},
            "skipped": np.frombuffer(skipped.encode(), np.uint8),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> BatchResponses:
        """From what `arrays` returned."""
        batch = cls()
        for name, values in arrays.items():
            match name.split():
                case ["scores", number, place]:
                    batch.scores[int(number), int(place)] = values
                case ["correct", number]:
                    batch.correct[int(number)] = values
                case _:
                    batch.skipped += [Skipped(*file) for file in json.loads(values.tobytes())]
        return batch


@dataclass(frozen=True)
class Responses:
    """What one network makes of all pictures. number: of its lesion, WHOLE without one."""

    batches: Sequence[BatchResponses]
    number: int

    def scores(self, place: int) -> np.ndarray:
        """The largest values of the channels of the block at this place, (N, C)."""
        key = (self.number, place)
        return np.concatenate([batch.scores[key] for batch in self.batches if key in batch.scores])

    def correct(self) -> np.ndarray:
        """Of the pictures whose class is known, (labelled,) bool; empty where there is no accuracy."""
        return np.concatenate([batch.correct.get(self.number, np.zeros(0, bool)) for batch in self.batches])


@dataclass(frozen=True)
class LesionedNetwork:
    """A network with all its lesions. labels: each picture's class, (N,) int64, −1 where it is unknown, or None without
    an accuracy; accuracy: how labels and outputs were matched, or why there is no accuracy."""

    network: Network
    blocks: Sequence[Block]
    lesions: Sequence[Lesion]
    labels: Tensor | None
    accuracy: str

    @classmethod
    def of(cls, network: Network, pictures: PictureSet) -> LesionedNetwork:
        """Raises AtlasError for a network without blocks, or whose blocks cannot be taken apart."""
        blocks = blocks_of(network)
        basis = accuracy_basis(network, pictures)
        labels, sentence = None, basis.sentence
        if basis.numbers is not None and _reads_averages(network, blocks[-1].module):
            labels = torch.tensor(basis.numbers)
        elif basis.numbers is not None:
            sentence = "no accuracy: the classifier does not read the averages of the last block's maps"
        return cls(network, blocks, lesions_of(blocks), labels, sentence)

    def measured_blocks(self, lesion: Lesion) -> list[int]:
        """Places of the blocks whose channels are measured: the last that the lesion changes, the next, and the
        network's last."""
        last = len(self.blocks) - 1
        return sorted({lesion.last, min(lesion.last + 1, last), last})

    @torch.no_grad()
    def responses(self, pictures: PictureSet, batch: PictureBatch) -> BatchResponses:
        """The batch's pictures through the whole network and with each lesion. Raises AtlasError where the blocks do
        not follow one another."""
        found = BatchResponses()
        found.skipped = [Skipped(pictures.files[index].path, reason) for index, reason in batch.skipped]
        if not len(batch.indices):
            return found
        labels = None if self.labels is None else self.labels[batch.indices]
        inputs = self._block_inputs(batch.pixels)
        outputs = run_blocks(inputs[0], self.blocks)
        if len(inputs) != len(self.blocks) or not all(map(is_near, outputs[:-1], inputs[1:])):
            raise AtlasError(
                "the network's blocks do not follow one another",
                self.network.model,
                "give a residual network",
            )
        for place, maps in enumerate(outputs):
            found.scores[WHOLE, place] = channel_maxima(maps).numpy()
        if labels is not None:
            found.correct[WHOLE] = self._correct(outputs[-1], labels)
        for number, lesion in enumerate(self.lesions):
            changed = run_lesion(inputs[lesion.first], self.blocks, lesion)
            for place in self.measured_blocks(lesion):
                found.scores[number, place] = channel_maxima(changed[place - lesion.last]).numpy()
            if labels is not None:
                found.correct[number] = self._correct(changed[-1], labels)
        return found

    def _block_inputs(self, pixels: Tensor) -> list[Tensor]:
        """What each block reads in a run of the whole network, (B, C, H, W) each; pixels: (B, H, W, 3) uint8."""
        inputs: list[Tensor] = []
        hooks = [
            block.module.register_forward_pre_hook(lambda _, given: inputs.append(given[0].clone()))
            for block in self.blocks
        ]
        self.network.module(self.network.prepare(pixels))
        for hook in hooks:
            hook.remove()
        return inputs

    def _correct(self, maps: Tensor, labels: Tensor) -> np.ndarray:
        """Whether the pictures whose class is known are classified correctly, (labelled,) bool. maps: of the last
        block, (B, C, H, W)."""
        known = labels >= 0
        correct: np.ndarray = (_outputs(self.network.module, maps).argmax(1) == labels)[known].numpy()
        return correct


def read_responses(lesioned: LesionedNetwork, pictures: PictureSet, run: Run) -> list[BatchResponses]:
    """The responses to all pictures, in batches. run: its folder keeps what was measured, so that a stopped run
    resumes."""
    parts = Parts(run, PASS, _key(lesioned, pictures), "the lesions")
    parts.begin()
    batches: dict[int, BatchResponses] = {}
    missing: list[int] = []
    firsts = range(0, len(pictures), BATCH)
    for first in firsts:
        arrays = parts.load(str(first))
        if arrays is None:
            missing += range(first, min(first + BATCH, len(pictures)))
        else:
            batches[first] = BatchResponses.of(arrays)
    done = len(pictures) - len(missing)
    read = read_batches(pictures, missing, lesioned.network.preprocessing, batch=BATCH, workers=0)
    with run.reporter.stage("lesions", len(pictures), "pictures", done) as advance:
        for first, batch in zip(missing[::BATCH], read, strict=True):
            batches[first] = lesioned.responses(pictures, batch)
            parts.save(str(first), batches[first].arrays())
            advance(len(batch.indices) + len(batch.skipped))
    return [batches[first] for first in firsts]


def _key(lesioned: LesionedNetwork, pictures: PictureSet) -> str:
    """The fingerprint of all that a batch's numbers depend on."""
    network, labels = lesioned.network, lesioned.labels
    return fingerprint(
        VERSION,
        BATCH,
        network.graph.digest([len(network.graph) - 1, *network.steps]),
        [block.path for block in lesioned.blocks],
        network.preprocessing.settings,
        pictures.listing,
        None if labels is None else labels.tolist(),
    )


# -- the classifier ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def _reads_averages(network: Network, last: nn.Module) -> bool:
    """Whether the outputs are the last linear layer of the averages of the last block's maps, tried on noise."""
    maps: list[Tensor] = []
    hook = last.register_forward_hook(lambda _module, _given, out: maps.append(out.clone()))
    size = (1, *network.preprocessing.size, network.preprocessing.channels)
    noise = torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = network.module(network.prepare(noise))
    hook.remove()
    classifier = _classifier(network.module)
    if classifier is None or classifier.in_features != maps[0].shape[1]:
        return False
    outputs = _outputs(network.module, maps[0])
    return outputs.shape == expected.shape and torch.allclose(outputs, expected, rtol=1e-3, atol=1e-3)


def _outputs(module: nn.Module, maps: Tensor) -> Tensor:
    """The network's outputs from the maps of its last block, (B, C, H, W) → (B, K)."""
    classifier = _classifier(module)
    assert classifier is not None
    outputs: Tensor = classifier(maps.mean((2, 3)))
    return outputs


def _classifier(module: nn.Module) -> nn.Linear | None:
    """The last linear layer."""
    return next((part for part in reversed([*module.modules()]) if isinstance(part, nn.Linear)), None)

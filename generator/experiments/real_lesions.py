"""Lesions of a trained network: one block without its branch, without its shortcut, or blocks in another order
(arXiv:1605.06431, sections 4.1 and 4.3; arXiv:1612.07771, section 5). Nothing is trained.

Measured are the accuracy, and how many of its top-9 pictures a channel of the blocks behind keeps. The network is run
batch by batch; the blocks before a lesion are run once for all lesions.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.files import write_atomically
from generator.core.progress import Reporter
from generator.core.records import TOP, Skipped
from generator.experiments.lesion_parts import Parts
from generator.experiments.rows import csv_of
from generator.network import models
from generator.network.network import Network
from generator.pictures.decoding import PictureError, read_picture
from generator.pictures.reading import PictureSet, find_pictures
from generator.stages.accuracy import accuracy_basis
from generator.stages.checkpointed_pass import part_digest

VERSION = 1  # of what a batch measures; a change of its numbers raises it
BATCH = 20  # pictures whose maps of all blocks are held at once
WHOLE = -1  # in place of a lesion's number: the network as it is
GROUPS = 10  # of pictures, each left out once, from which the standard error of a mean over channels follows

Way = Literal["branch removed", "shortcut removed", "swapped", "reversed"]


@dataclass(frozen=True)
class Lesion:
    """way: 'swapped': with the next block; 'reversed': all blocks of the stage but its first, in reverse order; first,
    last: places of the blocks that differ; order: the places in which these blocks are run."""

    way: Way
    first: int
    last: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """path: of its module; stage: number; movable: whether it is not the first of its stage, and so returns maps of the
    shape of its input."""

    path: str
    module: nn.Module
    stage: int
    movable: bool


class LesionTables(NamedTuple):
    """lesions: one row per lesion, with the accuracy and what channels behind it keep; blocks: one row per block, with
    how many of its top-9 pictures a channel keeps from the block's input to its output; accuracy: how labels and
    outputs were matched, or why there is no accuracy; pictures: that were used; skipped: those that cannot be used."""

    lesions: list[dict[str, Any]]
    blocks: list[dict[str, Any]]
    accuracy: str
    pictures: int
    skipped: list[Skipped]


@dataclass
class _Batch:
    """What the networks make of some pictures. scores: the channels' largest values, (B, C), by the network (its
    lesion's number, WHOLE without one) and the place of a block; right: whether the pictures whose class is known are
    classified correctly, by network, none where there is no accuracy; skipped: pictures that cannot be used."""

    scores: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    right: dict[int, np.ndarray] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)

    def arrays(self) -> dict[str, np.ndarray]:
        """As they are kept on disk."""
        skipped = json.dumps([[file.path, file.reason] for file in self.skipped])
        return {
            **{f"scores {number} {place}": values for (number, place), values in self.scores.items()},
            **{f"right {number}": values for number, values in self.right.items()},
            "skipped": np.frombuffer(skipped.encode(), np.uint8),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> _Batch:
        batch = cls()
        for name, values in arrays.items():
            match name.split():
                case ["scores", number, place]:
                    batch.scores[int(number), int(place)] = values
                case ["right", number]:
                    batch.right[int(number)] = values
                case _:
                    batch.skipped += [Skipped(*file) for file in json.loads(values.tobytes())]
        return batch


class _Seen:
    """What one network makes of all pictures. number: of its lesion."""

    def __init__(self, batches: Sequence[_Batch], number: int) -> None:
        self.batches, self.number = batches, number

    def of(self, place: int) -> np.ndarray:
        """(N, C)"""
        return np.concatenate(
            [
                batch.scores[self.number, place]
                for batch in self.batches
                if (self.number, place) in batch.scores
            ]
        )

    def right(self) -> np.ndarray:
        """Of the pictures whose class is known, (labelled,) bool; empty where there is no accuracy."""
        return np.concatenate([batch.right.get(self.number, np.zeros(0, bool)) for batch in self.batches])


def lesions_of(blocks: Sequence[Block]) -> list[Lesion]:
    """All lesions: of every block its branch and its shortcut; every two neighbours of a stage but its first block; and
    all of these of a stage, where there are more than two."""
    single = [
        Lesion(way, place, place, (place,))
        for way in ("branch removed", "shortcut removed")
        for place in range(len(blocks))
    ]
    swaps, reversals = [], []
    for stage in dict.fromkeys(block.stage for block in blocks):
        movable = [n for n, block in enumerate(blocks) if block.stage == stage and block.movable]
        swaps += [Lesion("swapped", a, b, (b, a)) for a, b in pairwise(movable)]
        if len(movable) > 2:
            reversals.append(Lesion("reversed", movable[0], movable[-1], tuple(reversed(movable))))
    return [*single, *swaps, *reversals]


def blocks_of(network: Network) -> list[Block]:
    """The residual blocks that the weights reach, in forward order. Raises AtlasError where there are none, and where
    one is not the ReLU of its branch plus its shortcut."""
    layers = [layer for layer in network.layers if layer.kind == "block"]
    found: list[Block] = []
    network.module.eval()
    for layer in layers:
        module = network.module.get_submodule(layer.path)
        if not _can_be_taken_apart(module):
            raise AtlasError(
                f"the block {layer.path} is not the ReLU of a branch plus a shortcut",
                network.model,
                "give a network whose blocks are, such as resnet50 or resnet20-cifar",
            )
        movable = bool(found) and found[-1].stage == layer.stage
        found.append(Block(layer.path, module, layer.stage, movable))
    if not found:
        raise AtlasError("the network has no residual blocks", network.model)
    return found


def _ways(module: nn.Module) -> tuple[str, str] | None:
    """The names of the branch's last norm and of the shortcut."""
    norm = next((name for name in ("bn3", "bn2") if hasattr(module, name)), None)
    shortcut = next((name for name in ("downsample", "shortcut") if hasattr(module, name)), None)
    return None if norm is None or shortcut is None else (norm, shortcut)


@torch.no_grad()
def _can_be_taken_apart(module: nn.Module) -> bool:
    """Whether the block is the ReLU of its branch plus its shortcut, tried on noise of both signs."""
    ways = _ways(module)
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    if ways is None or first is None:
        return False
    x = torch.randn(2, first.in_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    shortcut = getattr(module, ways[1])
    straight = x if shortcut is None else shortcut(x)
    with _without(module, "branch removed"):
        if not torch.allclose(module(x), straight.relu(), rtol=1e-4, atol=1e-4):
            return False
    with _without(module, "shortcut removed"):
        branch = module(x)
    # Where the rectified branch is above zero, it is the branch.
    above = branch > 0
    return bool((branch >= 0).all()) and torch.allclose(
        module(x)[above], (branch + straight).relu()[above], rtol=1e-4, atol=1e-4
    )


class _Zeros(nn.Module):
    """Zeros of the input's shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class _Zero(nn.Module):
    """One zero, which is added to anything."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(())


@contextmanager
def _without(module: nn.Module, way: Way) -> Iterator[None]:
    """The block without its branch or its shortcut. The ReLU after the addition stays."""
    ways = _ways(module)
    assert ways is not None
    norm, shortcut = ways
    name, instead = (norm, _Zeros()) if way == "branch removed" else (shortcut, _Zero())
    kept = getattr(module, name)
    setattr(module, name, instead)
    try:
        yield
    finally:
        setattr(module, name, kept)


def write_lesions(
    model: str,
    weights: str | None,
    images: Path,
    limit: int | None,
    out: Path,
    reporter: Reporter | None = None,
) -> list[Path]:
    """Write the tables of a network and what they were made of into the folder `out`; returns the files. A run that was
    stopped resumes.

    model, weights: as `models.load` takes them; images: a folder of pictures; limit: the largest number of them
    that is used, evenly spaced."""
    reporter = reporter or Reporter()
    network = models.load(model, weights).to("cpu", torch.float32)
    pictures = find_pictures(images, limit=limit)
    name = model.replace("/", "-")
    unfinished = out / f"unfinished-{name}"
    found = lesion_tables(network, pictures, reporter, unfinished)
    skipped = [*pictures.passed_over, *found.skipped]
    if skipped:
        named = f"the first {skipped[0].path} ({skipped[0].reason})"
        reporter.note(f"{len(skipped):,} of the folder's files cannot be used, {named}")
    about = {
        "model": network.model,
        "weights": network.weights.source,
        "sha256": network.weights.sha256,
        "pictures": found.pictures,
        "folder": pictures.source,
        "accuracy": found.accuracy,
        "groups": GROUPS,
        "skipped": [[file.path, file.reason] for file in skipped],
    }
    contents = {
        f"lesions-{name}.csv": csv_of(found.lesions),
        f"blocks-{name}.csv": csv_of(found.blocks),
        f"lesions-{name}.json": (json.dumps(about, indent=1) + "\n").encode(),
    }
    for file, content in contents.items():
        write_atomically(out / file, content)
    shutil.rmtree(unfinished, ignore_errors=True)
    return [out / file for file in contents]


@torch.no_grad()
def lesion_tables(
    network: Network,
    pictures: PictureSet,
    reporter: Reporter | None = None,
    unfinished: Path | None = None,
) -> LesionTables:
    """What every lesion changes. Pictures whose class is not known do not count for the accuracy. unfinished: a folder
    that keeps what was measured, so that a stopped run resumes.

    Raises AtlasError for a network without blocks, whose blocks cannot be taken apart or do not follow one another, and
    where fewer than TOP pictures can be used."""
    reporter = reporter or Reporter()
    blocks = blocks_of(network)
    lesions = lesions_of(blocks)
    numbers, accuracy = _basis(network, pictures, blocks)
    parts = None if unfinished is None else Parts(unfinished, _key(network, pictures, numbers, blocks))
    pieces = [range(n, min(n + BATCH, len(pictures))) for n in range(0, len(pictures), BATCH)]
    kept = {piece: parts.load(str(piece.start)) for piece in pieces} if parts else {}
    earlier = {piece: _Batch.of(arrays) for piece, arrays in kept.items() if arrays is not None}
    done = sum(map(len, earlier))
    batches: list[_Batch] = []
    with reporter.stage("lesions", len(pictures), "pictures", done) as advance:
        for piece in pieces:
            if piece in earlier:
                batches.append(earlier[piece])
                continue
            batches.append(_answers(network, pictures, piece, numbers, blocks, lesions))
            if parts:
                parts.save(str(piece.start), batches[-1].arrays())
            advance(len(piece))
    skipped = [file for batch in batches for file in batch.skipped]
    count = len(pictures) - len(skipped)
    if count < TOP:
        first = f", the first file {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise AtlasError(
            f"{count} usable picture{'' if count == 1 else 's'}{first}",
            pictures.root,
            f"lesions need at least {TOP}",
        )
    whole = _Seen(batches, WHOLE)
    if numbers is not None and not len(whole.right()):
        accuracy = "no accuracy: no usable picture has a label that names an output"
    name = {"network": network.model}
    return LesionTables(
        lesions=[
            {**name, **_row(blocks, lesion, whole, _Seen(batches, number))}
            for number, lesion in enumerate(lesions)
        ],
        blocks=[{**name, **row} for row in _rows_of_blocks(blocks, whole)],
        accuracy=accuracy,
        pictures=count,
        skipped=skipped,
    )


def _key(network: Network, pictures: PictureSet, numbers: Tensor | None, blocks: Sequence[Block]) -> str:
    """The fingerprint of all that a batch's numbers depend on."""
    state = {name: values.numpy() for name, values in network.module.state_dict().items()}
    record = (
        VERSION,
        BATCH,
        network.model,
        [block.path for block in blocks],
        repr(network.preprocessing),
        pictures.listing,
        None if numbers is None else numbers.tolist(),
    )
    return part_digest(repr(record), state)


def _basis(network: Network, pictures: PictureSet, blocks: Sequence[Block]) -> tuple[Tensor | None, str]:
    """Each picture's class, (N,), −1 where it is unknown, or None without an accuracy; and the sentence on it."""
    basis = accuracy_basis(network, pictures)
    if basis.numbers is None:
        return None, basis.sentence
    if not _reads_averages(network, blocks[-1].module):
        return None, "no accuracy: the classifier does not read the averages of the last block's maps"
    return torch.tensor(basis.numbers), basis.sentence


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
    found = _scores(network.module, maps[0])
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-3)


def _answers(
    network: Network,
    pictures: PictureSet,
    places: Sequence[int],
    numbers: Tensor | None,
    blocks: Sequence[Block],
    lesions: Sequence[Lesion],
) -> _Batch:
    """The pictures of these places through the whole network and with each lesion."""
    batch, pixels, used = _Batch(), [], []
    for place in places:
        path = pictures.files[place].path
        try:
            pixels.append(read_picture(pictures.root / path, network.preprocessing).pixels)
            used.append(place)
        except PictureError as error:
            batch.skipped.append(Skipped(path, str(error)))
    if not used:
        return batch
    labels = None if numbers is None else numbers[used]
    module = network.module
    inputs: list[Tensor] = []
    hooks = [
        block.module.register_forward_pre_hook(lambda _, given: inputs.append(given[0].clone()))
        for block in blocks
    ]
    module(network.prepare(torch.from_numpy(np.stack(pixels))))
    for hook in hooks:
        hook.remove()
    outputs = _run(inputs[0], [block.module for block in blocks])
    if len(inputs) != len(blocks) or any(
        not torch.allclose(found, given, rtol=1e-4, atol=1e-4)
        for found, given in zip(outputs, inputs[1:], strict=False)
    ):
        raise AtlasError(
            "the network's blocks do not follow one another", network.model, "give a residual network"
        )
    for place, maps in enumerate(outputs):
        batch.scores[WHOLE, place] = maps.amax((2, 3)).numpy()
    if labels is not None:
        batch.right[WHOLE] = _right(module, outputs[-1], labels)
    for number, lesion in enumerate(lesions):
        others = _lesioned(inputs[lesion.first], blocks, lesion)
        for place in _places_behind(blocks, lesion):
            batch.scores[number, place] = others[place - lesion.last].amax((2, 3)).numpy()
        if labels is not None:
            batch.right[number] = _right(module, others[-1], labels)
    return batch


def _right(module: nn.Module, maps: Tensor, labels: Tensor) -> np.ndarray:
    """Whether the pictures whose class is known are classified correctly, (labelled,) bool."""
    known = labels >= 0
    right: np.ndarray = (_scores(module, maps).argmax(1) == labels)[known].numpy()
    return right


def _lesioned(x: Tensor, blocks: Sequence[Block], lesion: Lesion) -> list[Tensor]:
    """The outputs from the last changed block on."""
    if len(lesion.order) == 1:
        own = blocks[lesion.first].module
        with _without(own, lesion.way):
            x = own(x)
    else:
        for place in lesion.order:
            x = blocks[place].module(x)
    return [x, *_run(x, [block.module for block in blocks[lesion.last + 1 :]])]


def _run(x: Tensor, parts: Sequence[Callable[[Tensor], Tensor]]) -> list[Tensor]:
    outputs = []
    for part in parts:
        x = part(x)
        outputs.append(x)
    return outputs


def _scores(module: nn.Module, maps: Tensor) -> Tensor:
    classifier = _classifier(module)
    assert classifier is not None
    scores: Tensor = classifier(maps.mean((2, 3)))
    return scores


def _classifier(module: nn.Module) -> nn.Linear | None:
    """The last linear layer."""
    return next((part for part in reversed([*module.modules()]) if isinstance(part, nn.Linear)), None)


def _places_behind(blocks: Sequence[Block], lesion: Lesion) -> list[int]:
    """The last changed block itself, the next, and the network's last."""
    last = len(blocks) - 1
    return sorted({lesion.last, min(lesion.last + 1, last), last})


# -- what channels keep ------------------------------------------------------------------------------------------


def top_nine(scores: np.ndarray) -> np.ndarray:
    """The nine pictures of the largest scores of each channel, (N, C) → (C, 9) int64; ties go to the earlier picture,
    and −1 stands where a score is not above zero, as in an atlas."""
    order = np.argsort(-scores, axis=0, kind="stable")[:TOP]
    return np.where(np.take_along_axis(scores, order, 0) > 0, order, -1).T


def shared_by_channel(tops: np.ndarray, others: np.ndarray) -> np.ndarray:
    """How many pictures each channel's list shares with the channel's other list; (C, 9) each → (C,)."""
    same = (tops[:, :, None] == others[:, None, :]) & (tops >= 0)[:, :, None]
    counts: np.ndarray = same.sum((1, 2))
    return counts


def kept_and_chance(scores: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """The mean number of pictures that the top-9 of a channel share in both networks, over the channels that any
    picture activates in the first, and the same of channels of different numbers; (N, C) each."""
    tops, other_tops = top_nine(scores), top_nine(others)
    active = tops[:, 0] >= 0
    tops, other_tops, count = tops[active], other_tops[active], int(active.sum())
    own = int(shared_by_channel(tops, other_tops).sum())
    # A picture in the lists of n channels here and of m there is shared by n · m pairs of channels.
    here, there = (np.bincount(lists[lists >= 0], minlength=len(scores)) for lists in (tops, other_tops))
    different = (int(here @ there) - own) / (count * (count - 1)) if count > 1 else float("nan")
    return own / max(1, count), different


def kept_error(scores: np.ndarray, others: np.ndarray) -> float:
    """The standard error of the mean number kept for the choice of the pictures: the jackknife that leaves out one of
    GROUPS groups of every GROUPS-th picture."""
    group = np.arange(len(scores)) % GROUPS
    found = []
    for left_out in range(min(GROUPS, len(scores))):
        tops, other_tops = top_nine(scores[group != left_out]), top_nine(others[group != left_out])
        active = tops[:, 0] >= 0
        found.append(shared_by_channel(tops[active], other_tops[active]).mean())
    count, means = len(found), np.array(found)
    return float(np.sqrt((count - 1) / count * ((means - means.mean()) ** 2).sum()))


def _rows_of_blocks(blocks: Sequence[Block], whole: _Seen) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for place, block in enumerate(blocks):
        row: dict[str, Any] = {
            "stage": block.stage,
            "block": block.path,
            "kept": "",
            "error": "",
            "chance": "",
        }
        if block.movable:
            before, now = whole.of(place - 1), whole.of(place)
            kept, chance = kept_and_chance(before, now)
            row |= {"kept": kept, "error": kept_error(before, now), "chance": chance}
        rows.append({**row, "pictures": len(whole.of(place))})
    return rows


def _row(blocks: Sequence[Block], lesion: Lesion, whole: _Seen, seen: _Seen) -> dict[str, Any]:
    """A lesion's row. `here`: the last changed block's own output, `next`: the block behind it, where that is of the
    same stage, `last`: the network's last block. labelled: pictures whose class is known, of which the counts of right
    ones are; these cells are empty where there is no accuracy."""
    row: dict[str, Any] = {
        "way": lesion.way,
        "stage": blocks[lesion.first].stage,
        "block": blocks[lesion.first].path,
        "until": blocks[lesion.last].path,
        "pictures": len(whole.of(0)),
        "labelled": "",
        "right": "",
        "right_after": "",
        "lost": "",
        "gained": "",
    }
    before, now = whole.right(), seen.right()
    if len(before):
        row |= {
            "labelled": len(before),
            "right": int(before.sum()),
            "right_after": int(now.sum()),
            "lost": int((before & ~now).sum()),
            "gained": int((~before & now).sum()),
        }
    end = len(blocks) - 1
    has_next = lesion.last < end and blocks[lesion.last + 1].stage == blocks[lesion.last].stage
    places = {"here": lesion.last, "next": lesion.last + 1 if has_next else None, "last": end}
    for name, place in places.items():
        row |= {f"{name}_kept": "", f"{name}_error": "", f"{name}_chance": ""}
        if place is not None:
            scores, others = whole.of(place), seen.of(place)
            kept, chance = kept_and_chance(scores, others)
            row |= {
                f"{name}_kept": kept,
                f"{name}_error": kept_error(scores, others),
                f"{name}_chance": chance,
            }
    return row

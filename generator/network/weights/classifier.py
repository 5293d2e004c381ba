"""The classifier that a weights file has: the network's own with any number of outputs, a Sequential of linear layers
in its place, one outside the network, or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from generator.network.weights.reading import COUNTER, Entry

# Names of a classifier outside the network that it belongs to (mmpretrain's `head.fc`, Hugging Face's `classifier.1`).
_NAMES = (
    "fc", "classifier", "head", "cls_head", "class_head", "classifier_head", "classification_head",
    "linear", "linear_head", "last_linear", "clf", "cls", "logits",
)  # fmt: skip
# Parts of a training without classes (MoCo, SimSiam, SwAV, BYOL, Barlow Twins): what it puts in the place of the
# classifier is none.
_NO_CLASSES = re.compile(
    r"(online_)?(predictor|prediction_head|projector|projection_head|queue(_ptr)?|prototypes)"
)
_BATCH_NORM = {"weight", "bias", "running_mean", "running_var"}


@dataclass(frozen=True)
class Classifier:
    """A classifier as a file has it. outputs: None where there is none; tensors: by the names in the network; module:
    what takes the place of the network's own, None where that fits; used: the entries that it is read from; note: what
    is to be said about it, '' for nothing."""

    outputs: int | None = None
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    module: nn.Module | None = None
    used: tuple[Entry, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Wanted:
    """The network's own classifier: its path, the shape of its weight, and whether it has a bias."""

    path: str
    shape: tuple[int, ...]
    has_bias: bool


def find_classifier(
    wanted: Wanted, own: Mapping[str, Entry], entries: Sequence[Entry], prefix: tuple[str, ...]
) -> Classifier:
    """The classifier of the network whose tensors stand under a prefix of a file.

    own: the entries under the prefix by the network's names; entries: all of the file.
    """
    ours = {id(entry) for entry in own.values()}
    outside = (part for entry in entries if id(entry) not in ours for part in entry.full.split("."))
    if part := next((part for part in outside if _NO_CLASSES.fullmatch(part)), ""):
        return Classifier(note=f"no classifier: it was trained without classes ({part} is in the file)")
    exact = own.get(f"{wanted.path}.weight")
    if exact is not None and exact.tensor.dim() in (2, 4):
        return _exact(wanted, exact, own.get(f"{wanted.path}.bias"))
    found: list[Classifier] = []
    for around in (prefix[:end] for end in range(len(prefix), -1, -1)):
        names = (wanted.path, *_NAMES) if around == prefix else _NAMES
        for name in dict.fromkeys(names):
            below = [entry for entry in entries if _starts(entry, (*around, *name.split(".")))]
            if below and len(wanted.shape) == 2:
                found.append(_sequential(wanted, below, (*around, *name.split(".")), around == prefix))
        if found:
            break
    usable = [each for each in found if each.outputs is not None]
    if len(usable) == 1:
        return usable[0]
    if len(usable) > 1:
        return Classifier(note=f"no classifier: {len(usable)} would fit, none is taken")
    return found[0] if found else Classifier(note="no classifier in the file")


def _below(entry: Entry, path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(entry.full.split("."))[len(path) :]


def _starts(entry: Entry, path: tuple[str, ...]) -> bool:
    return tuple(entry.full.split("."))[: len(path)] == path and len(_below(entry, path)) > 0


def _exact(wanted: Wanted, weight: Entry, bias: Entry | None) -> Classifier:
    """The network's own classifier with the file's number of outputs."""
    shape = tuple(weight.tensor.shape)
    if shape[1:] != wanted.shape[1:]:
        reads, gives = (" × ".join(map(str, each[1:])) for each in (shape, wanted.shape))
        return Classifier(
            note=f"no classifier: {weight.full} reads {reads} features, the network gives {gives}"
        )
    tensors = {"weight": weight.tensor} | ({} if bias is None else {"bias": bias.tensor})
    return _one(wanted, tensors, (weight,) if bias is None else (weight, bias))


def _one(
    wanted: Wanted, tensors: Mapping[str, Tensor], used: tuple[Entry, ...], note: str = ""
) -> Classifier:
    """One linear layer in the place of the network's own, which may have a bias where this has none."""
    weight = tensors["weight"]
    if len(wanted.shape) == 2:
        weight = weight.flatten(1)
    module = None
    if wanted.has_bias and "bias" not in tensors and len(wanted.shape) == 2:
        module = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    own = {f"{wanted.path}.{name}": tensor for name, tensor in {**tensors, "weight": weight}.items()}
    return Classifier(weight.shape[0], own, module, used, note)


@dataclass(frozen=True)
class _Part:
    """A layer of a Sequential. place: its number among the modules, None where it is not numbered."""

    tensors: dict[str, Tensor]
    place: int | None

    @property
    def is_linear(self) -> bool:
        weight = self.tensors.get("weight")
        flat = weight is not None and (weight.dim() == 2 or (weight.dim() == 4 and weight[0, 0].numel() == 1))
        return flat and set(self.tensors) <= {"weight", "bias"}

    @property
    def is_norm(self) -> bool:
        return set(self.tensors) == _BATCH_NORM and self.tensors["weight"].dim() == 1

    @property
    def sizes(self) -> tuple[int, int]:
        """Of its input and its output."""
        weight = self.tensors["weight"]
        return (weight.shape[1] if self.is_linear else weight.shape[0]), weight.shape[0]


def _sequential(
    wanted: Wanted, entries: Sequence[Entry], path: tuple[str, ...], is_inside: bool
) -> Classifier:
    """A classifier of several parts, built from the shapes of its tensors."""
    around = entries[0].path
    where = ".".join(path).removeprefix(f"{around}." if around else "")
    parts = _parts(entries, path)
    known = all(part.is_linear or part.is_norm for part in parts)
    linear = [part for part in parts if part.is_linear]
    if not known or not linear:
        return Classifier(note=f"no classifier: {where} is no sequence of linear layers")
    if len(linear) > 1 and not is_inside:
        return Classifier(
            note=f"no classifier: {where}, outside the network, has {len(linear)} linear layers"
        )
    sizes = [part.sizes for part in parts]
    if sizes[0][0] != wanted.shape[1]:
        return Classifier(
            note=f"no classifier: {where} reads {sizes[0][0]:,} features, the network gives {wanted.shape[1]:,}"
        )
    if any(before[1] != after[0] for before, after in pairwise(sizes)):
        return Classifier(note=f"no classifier: the layers of {where} do not follow one another")
    if len(parts) == 1:
        name = entries[0].name.rpartition(".")[0]
        return _one(wanted, parts[0].tensors, tuple(entries), f"classifier: {name}")
    modules, tensors, rectified = _built(parts, wanted.path)
    note = f"classifier: {where}" + (", a ReLU between its linear layers is assumed" if rectified else "")
    return Classifier(sizes[-1][1], tensors, nn.Sequential(*modules), tuple(entries), note)


def _parts(entries: Sequence[Entry], path: tuple[str, ...]) -> list[_Part]:
    """The layers of a Sequential in order: by their numbers, or where they have none as the file has them."""
    layers: dict[tuple[str, ...], dict[str, Tensor]] = {}
    for entry in entries:
        below = _below(entry, path)
        if below[-1] != COUNTER:
            layers.setdefault(below[:-1], {})[below[-1]] = entry.tensor
    numbered = all(
        len(layer) == 1 and layer[0].isdecimal() and layer[0].isascii() for layer in layers if layer
    )
    parts = [
        _Part(tensors, int(layer[0]) if numbered and layer else None) for layer, tensors in layers.items()
    ]
    return sorted(parts, key=lambda part: part.place or 0) if numbered else parts


def _built(parts: Sequence[_Part], path: str) -> tuple[list[nn.Module], dict[str, Tensor], bool]:
    """The modules, their tensors by the network's names, and whether a ReLU was put in."""
    modules: list[nn.Module] = []
    tensors: dict[str, Tensor] = {}
    rectified = _rectified(parts)
    for index, part in enumerate(parts):
        weight = part.tensors["weight"]
        if part.is_linear:
            has_bias = "bias" in part.tensors
            modules.append(nn.Linear(weight.shape[1], weight.shape[0], bias=has_bias, device="meta"))
        else:
            modules.append(nn.BatchNorm1d(weight.shape[0], device="meta"))
        for name, tensor in part.tensors.items():
            is_matrix = name == "weight" and part.is_linear
            tensors[f"{path}.{len(modules) - 1}.{name}"] = tensor.flatten(1) if is_matrix else tensor
        if index in rectified:
            modules.append(nn.ReLU())
    return modules, tensors, bool(rectified)


def _rectified(parts: Sequence[_Part]) -> set[int]:
    """The parts behind which a ReLU is assumed: one between every two linear layers, where the numbers of the modules
    first leave room for it; none where they leave no room, and the last place where there are no numbers."""
    linear = [index for index, part in enumerate(parts) if part.is_linear]
    behind: set[int] = set()
    for first, second in pairwise(linear):
        places = [part.place for part in parts[first : second + 1]]
        if None in places:
            behind.add(second - 1)
            continue
        numbers = [place for place in places if place is not None]
        room = [k for k, (a, b) in enumerate(pairwise(numbers)) if b - a > 1]
        behind |= {first + k for k in room[:1]}
    return behind

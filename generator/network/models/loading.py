"""A model's module with its weights: random ones, published ones, or those of a file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generator.core.checksums import file_sha256
from generator.core.errors import AtlasError
from generator.core.records import ASSUMED, IN_FILE, PUBLISHED, Preprocessing, WeightsInfo
from generator.network.models.model import IMAGENET, Model, Published
from generator.network.models.own_module import as_built, own_copy, seeded
from generator.network.weights.classifier import Classifier, Wanted, find_classifier
from generator.network.weights.fitting import as_float, fit
from generator.network.weights.initial import he_initialise, state_sha256
from generator.network.weights.matching import Match, Sought, find_match, foreign, left_over
from generator.network.weights.metadata import normaliser, read_classes, read_preprocessing
from generator.network.weights.naming import namings
from generator.network.weights.reading import COUNTER, Entry, WeightsFile, named, read_weights

_FILES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".tar", ".pkl")  # names that are meant as files

_WITHOUT_CLASSIFIER = "no accuracy, no map of the pictures, and no explanation of one picture"


@dataclass(frozen=True)
class Loaded:
    """A module with its weights. classes: names of the outputs, as the weights give them; outputs: how many there are,
    the model's own number where the weights have no classifier; last: path of the last usable block, None where the
    weights are whole."""

    module: nn.Module
    preprocessing: Preprocessing
    info: WeightsInfo
    classes: tuple[str, ...]
    outputs: int
    last: str | None = None


def load_weights(model: Model, weights: str | Path | None, seed: int, key: str | None = None) -> Loaded:
    """The module with these weights; see `models.load`. key: which of several sets of tensors in a file."""
    if str(weights) == "random":
        if key is not None:
            raise AtlasError("random weights are no file with keys", key, "leave out --weights-key")
        return _random(model, seed)
    if weights is None and model.is_own:
        return _as_built(model)
    published = _choose(model, weights)
    file = read_weights(published.path)
    module = blank(model, model.outputs)
    sought = _sought(model, module)
    match = find_match(file, sought, key)
    _refuse_other_stem(match, sought, file)
    classifier = _classifier(model, sought, match, file)
    outputs = classifier.outputs or model.outputs
    if outputs != model.outputs:
        module = blank(model, outputs)
    module = _adapted(module, sought, match, classifier)
    body = {name: match.own[name].tensor for name in sought.body if name in match.own}
    state = {
        name: as_float(name, tensor, published.path)
        for name, tensor in {**body, **classifier.tensors}.items()
        if not name.endswith(COUNTER)
    }
    blocks = [tap for tap in model.taps_of(module) if tap.kind == "block"]
    remedy = "give a weights file of this model" + (
        ", or build the network as it was trained: --arg key=value" if model.is_own else ""
    )
    last = fit(
        module,
        state,
        [block.path for block in blocks],
        source=published.path,
        holds=file.holds,
        remedy=remedy,
    )
    if unknown := foreign(file, match, sought, classifier.used):
        raise AtlasError(
            f"the weights file has tensors that the network lacks: {named(unknown, 3)}",
            published.path,
            "give a weights file of this model, or name the network that the file belongs to",
        )
    usual = published.preprocessing or model.preprocessing
    layer = normaliser(file.entries, match.prefix, usual.channels)
    notes = _notes(file, sought, match, (*classifier.used, *(() if layer is None else layer.entries)))
    if last is not None:
        name = next(block.name for block in blocks if block.path == last)
        notes.insert(0, f"the file ends at {name}: the network is used up to there")
    elif classifier.note and classifier.outputs is None:
        notes.append(f"{classifier.note}: {_WITHOUT_CLASSIFIER}")
    elif classifier.note:
        notes.append(classifier.note)
    info = WeightsInfo(published.name, file_sha256(published.path), note="; ".join(notes))
    names = read_classes(published.path) or published.classes
    written = read_preprocessing(published.path) or ({} if layer is None else layer.preprocessing)
    return Loaded(module, _preprocessing(model, published, outputs, written), info, names, outputs, last)


def blank(model: Model, outputs: int) -> nn.Module:
    """The module on the meta device: initialising a large one, only to be overwritten by a file, takes seconds. Your
    own may need numbers that no file holds."""
    if model.is_own:
        return own_copy(model.build(outputs))
    if model.needs_numbers:
        return model.build(outputs)
    with torch.device("meta"):
        return model.build(outputs)


def _random(model: Model, seed: int) -> Loaded:
    with seeded(seed):
        module = blank(model, model.outputs)
    if not (model.is_own or model.needs_numbers):
        module = module.to_empty(device="cpu")
    he_initialise(module, seed)
    note = f"random weights (He), seed {seed}"
    if model.counts:
        note += f"; {model.counts} = {model.outputs:,}, the number of outputs"
    info = WeightsInfo("random", state_sha256(module.state_dict()), True, note)
    untrained = replace(model.preprocessing, source="the model's own; random weights were trained with none")
    return Loaded(module, untrained, info, (), model.outputs)


def _as_built(model: Model) -> Loaded:
    """Your own module with the numbers that it has."""
    module, source = as_built(model)
    info = WeightsInfo(source, state_sha256(module.state_dict()))
    return Loaded(module, _assumed(model, model.preprocessing), info, (), model.outputs)


def _choose(model: Model, weights: str | Path | None) -> Published:
    """The weights that the user names, with what is known about them."""
    if weights is None and not model.weights:
        raise AtlasError(f"{model.name} has no weights of its own", remedy="bring a file: --weights FILE")
    text = model.weights[0] if weights is None else str(weights)
    known = {name.lower(): name for name in model.weights}
    name = known.get(text.rsplit(".", 1)[-1].lower())  # also `ResNet50_Weights.IMAGENET1K_V2`
    if name is not None and model.fetch is not None:
        return model.fetch(name)
    path = Path(text)
    if not path.exists() and path.suffix.lower() not in _FILES:
        choices = ", ".join((*model.weights, "random"))
        raise AtlasError(
            f"unknown weights for {model.name}", text, f"give a file that is there, or one of {choices}"
        )
    about = model.recognise(path)
    if about is None:
        return Published(path.name, path, is_known=False)
    return replace(about, name=path.name, path=path)


# -- from a file -------------------------------------------------------------------------------------------------------


def _sought(model: Model, module: nn.Module) -> Sought:
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in module.state_dict().items()
        if not name.endswith(COUNTER)
    }
    head = model.head.removesuffix(".weight") if model.head in shapes else ""
    # Your own network is taken as it is written, its first convolution too.
    stem = "" if model.is_own else next((name for name, shape in shapes.items() if len(shape) == 4), "")
    body = [name for name in shapes if not (head and name.startswith(head + "."))]
    return Sought(shapes, head, stem, namings(module, body, _Own(model)))


class _Own:
    """From the names in a model's published files to those of its module."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, name: str) -> str:
        name = self.model.rename(name)
        for theirs, ours in self.model.aliases.items():
            if name.startswith(theirs):
                name = ours + name[len(theirs) :]
        return name


def _classifier(model: Model, sought: Sought, match: Match, file: WeightsFile) -> Classifier:
    if not sought.head:
        return Classifier()
    if model.is_own:  # and its classifier
        own_tensors = {name: match.own[name] for name in match.own if sought.is_head(name)}
        weight = own_tensors.get(f"{sought.head}.weight")
        if weight is None and match.fits == len(sought.body):
            raise AtlasError(
                f"the weights file has all of the network but its classifier, {sought.head}",
                file.path,
                f"write the function without one: torch.nn.Identity() for {sought.head}",
            )
        tensors = {name: entry.tensor for name, entry in own_tensors.items()}
        outputs = None if weight is None else weight.tensor.shape[0]
        return Classifier(outputs, tensors, used=tuple(own_tensors.values()))
    wanted = Wanted(
        sought.head, sought.shapes[f"{sought.head}.weight"], f"{sought.head}.bias" in sought.shapes
    )
    return find_classifier(wanted, match.own, file.entries, match.prefix)


def _refuse_other_stem(match: Match, sought: Sought, file: WeightsFile) -> None:
    """Raises AtlasError where all fits but the size of the first convolution's kernel."""
    entry = match.own.get(sought.stem)
    if entry is None or match.fits != len(sought.body) - 1 or sought.fits(sought.stem, entry.tensor):
        return
    shape, wanted = tuple(entry.tensor.shape), sought.shapes[sought.stem]
    if len(shape) != 4 or shape[0] != wanted[0]:
        return
    raise AtlasError(
        f"the first convolution in the file is {shape[2]} × {shape[3]}, the network's {wanted[2]} × {wanted[3]}; such "
        "a network may also lack the max-pooling behind it, which no weights file can say",
        file.path,
        "write the network as it was trained in a Python file: --model file.py:name",
    )


def _adapted(module: nn.Module, sought: Sought, match: Match, classifier: Classifier) -> nn.Module:
    """The module with the file's classifier and its number of input channels."""
    if classifier.module is not None:
        _replace(module, sought.head, classifier.module)
    elif sought.head and classifier.outputs is None and match.fits == len(sought.body):
        # A whole network without a classifier, not a truncated file.
        _replace(module, sought.head, nn.Identity())
    stem = match.own.get(sought.stem)
    if stem is not None and sought.fits(sought.stem, stem.tensor) and len(stem.tensor.shape) == 4:
        path = sought.stem.rpartition(".")[0]
        convolution = module.get_submodule(path)
        channels = stem.tensor.shape[1]
        if (
            isinstance(convolution, nn.Conv2d)
            and convolution.groups == 1
            and channels != convolution.in_channels
        ):
            other = copy.copy(convolution)
            other._parameters = dict(convolution._parameters)
            other.in_channels = channels
            other.weight = nn.Parameter(torch.empty(stem.tensor.shape, device="meta"))
            _replace(module, path, other)
    return module


def _replace(module: nn.Module, path: str, part: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, part)


def _notes(file: WeightsFile, sought: Sought, match: Match, used: Sequence[Entry]) -> list[str]:
    """What is to be said of how the tensors were found. used: entries that were read besides the network's body."""
    notes = []
    if match.prefix:
        notes.append(f"the tensors under {match.where}")
    if match.others:
        notes.append(f"not those under {named(match.others, 3)}, which fit too (--weights-key)")
    if match.naming.words:
        notes.append(match.naming.words)
    stem = match.own.get(sought.stem)
    if (
        stem is not None
        and len(stem.tensor.shape) == 4
        and stem.tensor.shape[1] != sought.shapes[sought.stem][1]
    ):
        channels = stem.tensor.shape[1]
        notes.append(f"{channels} input channel{'' if channels == 1 else 's'}")
    if rest := left_over(file, match, sought, used):
        notes.append(f"left out: {rest}")
    return notes


def _preprocessing(
    model: Model, published: Published, outputs: int, written: Mapping[str, Any]
) -> Preprocessing:
    """The preprocessing of the weights: as the file states it, else as it was published, else the model's usual one,
    which is then an assumption. written: what the file states."""
    usual = published.preprocessing or model.preprocessing
    if written:
        return replace(usual, **written, source=IN_FILE)
    is_known = published.is_known or usual.source == PUBLISHED
    if is_known and outputs == model.outputs:  # another number of outputs means that it was trained further
        return replace(usual, source=PUBLISHED)
    return usual if usual.source not in ("", PUBLISHED) else _assumed(model, usual)


def _assumed(model: Model, usual: Preprocessing) -> Preprocessing:
    """A preprocessing, for weights that do not say theirs."""
    return replace(usual, source=f"{ASSUMED}{_whose(model)} mean and std")


def _whose(model: Model) -> str:
    usual = model.preprocessing
    return "ImageNet's" if (usual.mean, usual.std) == (IMAGENET.mean, IMAGENET.std) else f"{model.name}'s"

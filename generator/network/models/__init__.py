"""The registry of networks, and loading a network by its name.

>>> from generator.network import models
>>> network = models.load("resnet20-cifar", "resnet20_cifar10.safetensors")  # doctest: +SKIP
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from generator.core.checksums import file_sha256
from generator.core.errors import AtlasError
from generator.core.head import HeadKind, head_of
from generator.core.records import ASSUMED, IN_FILE, PUBLISHED, Preprocessing, WeightsInfo
from generator.network.class_names import read_class_list
from generator.network.models import (
    alexnet,
    densenet,
    drawn,
    resnet,
    resnet_caffe,
    resnet_cifar,
    resnet_preact,
    study,
    timm_models,
)
from generator.network.models.model import IMAGENET, Model, Published
from generator.network.network import Network
from generator.network.weights import (
    SUFFIXES,
    fit,
    he_initialise,
    read_classes,
    read_preprocessing,
    read_state_dict,
    state_sha256,
)

MODELS: dict[str, Model] = {
    model.name: model
    for family in (drawn, resnet, resnet_caffe, resnet_cifar, resnet_preact, alexnet, densenet)
    for model in family.MODELS
}


def names() -> tuple[str, ...]:
    """The names of all models."""
    return tuple(MODELS)


def find(name: str) -> Model:
    """The model of this name (`timm/…`: of timm, `study/…`: of the experiments); raises AtlasError with the nearest
    names."""
    for family in (timm_models, study):
        if name.startswith(family.PREFIX):
            return family.find(name)
    if name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=3)
        remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(MODELS)}"
        raise AtlasError("unknown model", name, remedy)
    return MODELS[name]


def load(
    name: str,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    classes: Path | None = None,
    head: HeadKind | None = None,
) -> Network:
    """A network with its weights.

    weights: a .safetensors, .pt or .pth file, a name that the model publishes (`IMAGENET1K_V1`, `built-in`),
    'random' (seeded He initialisation), or None for the model's default;
    seed: of random weights; classes: a file with one class name per line, in the order of the outputs; for a single
    output its class, or both classes, its own second; head: how the outputs are read (core/head.py), by default softmax
    or, for a single output, sigmoid. Raises AtlasError for an unknown model, for weights that are missing, damaged or
    another network's, and for a wrong number of classes.
    """
    model = find(name)
    loaded = _load(model, weights, seed)
    network = Network.from_module(
        name,
        loaded.module,
        model.taps(loaded.module),
        loaded.preprocessing,
        loaded.info,
        classes=_class_names(model, loaded, classes, head),
        last=loaded.last,
    )
    if network.outputs is not None:
        head_of(network.outputs, head)  # one that does not fit is refused here
    if head is None and len(loaded.classes) == network.outputs != 1:
        head = "softmax"  # a published network, or one whose file names its classes: nothing is assumed
    return replace(network, given_head=head)


def load_module(name: str, weights: str | Path | None = None, *, seed: int = 0) -> nn.Module:
    """The torch module behind `load`, in eval mode, for tests and benchmarks.

    With truncated weights, what lies behind their end stays on torch's meta device.
    """
    return _load(find(name), weights, seed).module.eval()


def blank(name: str, outputs: int | None = None) -> nn.Module:
    """A model's module without numbers, on torch's meta device; outputs: None for the model's own number."""
    model = find(name)
    return _blank(model, outputs or model.outputs)


@dataclass(frozen=True)
class _Loaded:
    module: nn.Module
    preprocessing: Preprocessing
    info: WeightsInfo
    classes: tuple[str, ...]
    outputs: int
    last: str | None = None


def _load(model: Model, weights: str | Path | None, seed: int) -> _Loaded:
    if str(weights) == "random":
        return _random(model, seed)
    published = _choose(model, weights)
    state = _renamed(model, read_state_dict(published.path))
    head = state.get(model.head)
    outputs = (
        model.outputs if head is None or head.dim() not in (2, 4) else head.shape[0]
    )  # a fine-tuned network may have another number
    module = _blank(model, outputs)
    blocks = [tap for tap in model.taps(module) if tap.kind == "block"]
    last = fit(module, state, [block.path for block in blocks], source=published.path)
    note = ""
    if last is not None:
        name = next(block.name for block in blocks if block.path == last)
        note = f"the file ends at {name}: the network is used up to there"
    info = WeightsInfo(published.name, file_sha256(published.path), note=note)
    names = read_classes(published.path) or published.classes
    return _Loaded(module, _preprocessing(model, published, outputs), info, names, outputs, last)


def _preprocessing(model: Model, published: Published, outputs: int) -> Preprocessing:
    """The preprocessing of the weights: as the file states it, else as it was published, else the model's usual one,
    which is then an assumption."""
    own = published.preprocessing or model.preprocessing
    if written := read_preprocessing(published.path):
        return replace(own, **written, source=IN_FILE)
    is_known = published.is_known or own.source == PUBLISHED
    if is_known and outputs == model.outputs:  # another number of outputs means that it was trained further
        return replace(own, source=PUBLISHED)
    if own.source not in ("", PUBLISHED):
        return own
    return replace(own, source=f"{ASSUMED}{_whose(model)} mean and std")


def _whose(model: Model) -> str:
    own = model.preprocessing
    return "ImageNet's" if (own.mean, own.std) == (IMAGENET.mean, IMAGENET.std) else f"{model.name}'s"


def _random(model: Model, seed: int) -> _Loaded:
    module = _blank(model, model.outputs).to_empty(device="cpu")
    he_initialise(module, seed)
    info = WeightsInfo("random", state_sha256(module.state_dict()), True, f"random weights (He), seed {seed}")
    untrained = replace(model.preprocessing, source="the model's own; random weights were trained with none")
    return _Loaded(module, untrained, info, (), model.outputs)


def _blank(model: Model, outputs: int) -> nn.Module:
    """The module on the meta device: initialising a large one, only to be overwritten by a file, takes seconds."""
    with torch.device("meta"):
        return model.build(outputs)


def _choose(model: Model, weights: str | Path | None) -> Published:
    """The weights that the user names, with what is known about them."""
    if weights is None and not model.weights:
        raise AtlasError(
            f"{model.name} has no weights of its own",
            remedy="bring a file: --weights file.safetensors (or .pt, .pth)",
        )
    text = model.weights[0] if weights is None else str(weights)
    known = {name.lower(): name for name in model.weights}
    name = known.get(text.rsplit(".", 1)[-1].lower())  # also `ResNet50_Weights.IMAGENET1K_V2`
    if name is not None and model.fetch is not None:
        return model.fetch(name)
    path = Path(text)
    if path.suffix.lower() not in SUFFIXES and not path.exists():
        choices = ", ".join((*model.weights, "random"))
        raise AtlasError(
            f"unknown weights for {model.name}",
            text,
            f"give a file ({', '.join(SUFFIXES)}) or one of {choices}",
        )
    about = model.recognise(path)
    if about is None:
        return Published(path.name, path, is_known=False)
    return replace(about, name=path.name, path=path)


def _renamed(model: Model, state: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {model.rename(name): tensor for name, tensor in state.items()}
    for foreign, own in model.aliases.items():
        state = {own + key[len(foreign) :] if key.startswith(foreign) else key: t for key, t in state.items()}
    return state


def _class_names(model: Model, loaded: _Loaded, path: Path | None, head: HeadKind | None) -> tuple[str, ...]:
    """Class names from the user's file, else from the weights, else those that the number of outputs determines, else
    numbers."""
    if path is not None:
        names = read_class_list(path)
        if not _fits(names, loaded.outputs):
            raise AtlasError(
                f"the file names {_many(len(names), 'class')}, the network has {_many(loaded.outputs, 'output')}",
                path,
                "write one class name per line, in the order of the outputs"
                if loaded.outputs > 1
                else "write the class that the output stands for, or two lines: the other class, then this one",
            )
        return names
    if loaded.info.random:
        return ()  # a random classifier has no classes
    names = loaded.classes or model.class_names(loaded.outputs)
    if _fits(names, loaded.outputs):
        return names
    if head == "none":
        return tuple(f"output {number}" for number in range(loaded.outputs))
    return tuple(f"class {number}" for number in range(max(2, loaded.outputs)))


def _many(count: int, noun: str) -> str:
    plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def _fits(names: tuple[str, ...], outputs: int) -> bool:
    """Whether there is a name for every output; a single output may have the names of both its classes."""
    return len(names) == outputs or (outputs == 1 and len(names) == 2)

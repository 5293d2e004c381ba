"""The registry of networks, and loading a network by its name.

>>> from generator.network import models
>>> network = models.load("resnet20-cifar", "resnet20_cifar10.safetensors")  # doctest: +SKIP
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from generator.core.checksums import file_sha256
from generator.core.errors import AtlasError
from generator.core.head import HeadKind, head_of
from generator.core.records import ASSUMED, GIVEN, IN_FILE, PUBLISHED, Preprocessing, Size, WeightsInfo
from generator.network.class_names import read_class_list
from generator.network.models import (
    alexnet,
    densenet,
    drawn,
    own,
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
    """The names of all models, those last that installed packages offer."""
    return (*MODELS, *(name for name in own.names() if name not in MODELS))


def find(name: str, arguments: Mapping[str, Any] | None = None, classes: int | None = None) -> Model:
    """The model of this name (`timm/…`: of timm, `study/…`: of the experiments; `file.py:name`, `package.module:name`
    and entry points: your own, see own.py), its builder called with further arguments.

    classes: the number of outputs of your own network where neither the weights nor its callable say it. Raises
    AtlasError with the nearest names, and for arguments that do not fit."""
    arguments = arguments or {}
    for family in (timm_models, study):
        if name.startswith(family.PREFIX):
            return own.with_arguments(family.find(name), arguments)
    if name in MODELS:
        return own.with_arguments(MODELS[name], arguments)
    if own.is_own(name):
        return own.find(name, arguments, classes)
    near = difflib.get_close_matches(name, names(), n=3)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names())}; or file.py:name"
    raise AtlasError("unknown model", name, remedy)


def load(
    name: str | nn.Module,
    weights: str | Path | None = None,
    *,
    seed: int = 0,
    classes: Path | None = None,
    head: HeadKind | None = None,
    args: Mapping[str, Any] | None = None,
    size: int | Size | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    layers: Mapping[str, str] | None = None,
) -> Network:
    """A network with its weights.

    name: of a model (`find`), or a torch module, which is copied and stays as it is;
    weights: a .safetensors, .pt or .pth file, a name that the model publishes (`IMAGENET1K_V1`, `built-in`),
    'random' (seeded He initialisation), or None for the model's default, which for a module is its own numbers;
    seed: of random weights; classes: a file with one class name per line, in the order of the outputs; for a single
    output its class, or both classes, its own second; head: how the outputs are read (core/head.py), by default softmax
    or, for a single output, sigmoid; args: further arguments of the model's function;
    size: side in px, or height and width, of the pictures as the network gets them (for your own network they are
    resized to it); mean, std: of the colours, from 0
    to 1, with which it was trained; left out, as the weights or the model say, which for your own network is assumed;
    layers: names for layers, by the paths of their modules.
    Raises AtlasError for an unknown model, for weights that are missing, damaged or another network's, and for a wrong
    number of classes.
    """
    if isinstance(name, nn.Module):
        model = own.of_module(name)
    else:
        named = None if classes is None else len(read_class_list(classes))
        model = find(name, args, named)
    loaded = _load(model, weights, seed)
    preprocessing = _given(model, loaded.preprocessing, size, mean, std)
    taps = None if model.taps is None else model.taps(loaded.module)
    with own.other_sizes(model, loaded.module, preprocessing):
        network = Network.from_module(
            model.name,
            loaded.module,
            taps,
            preprocessing,
            loaded.info,
            last=loaded.last,
            names=layers or {},
        )
    loaded = replace(loaded, outputs=network.outputs or loaded.outputs)
    network = replace(network, classes=() if loaded.last else _class_names(model, loaded, classes, head))
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
    """A listed model's module without numbers, on torch's meta device; outputs: None for the model's own number."""
    model = find(name)
    return _blank(model, outputs or model.outputs)


def _given(
    model: Model,
    usual: Preprocessing,
    size: int | Size | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Preprocessing:
    """A preprocessing with the size, mean and std that are given."""
    changes: dict[str, Any] = {}
    if size is not None:
        side = max(size) if isinstance(size, tuple) else size
        changes = {"crop": size, "resize": side if model.is_own else usual.resize}
    given = {name: values for name, values in (("mean", mean), ("std", std)) if values is not None}
    changes |= {name: tuple(float(value) for value in values) for name, values in given.items()}
    if len(given) == 2:
        changes["source"] = GIVEN
    elif given:
        (other,) = {"mean", "std"} - set(given)
        changes["source"] = usual.source.replace("mean and std", other)
    return replace(usual, **changes)


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
    if weights is None and model.is_own:
        return _as_built(model)
    published = _choose(model, weights)
    state = _renamed(model, read_state_dict(published.path))
    head = state.get(model.head)
    outputs = (
        model.outputs if head is None or head.dim() not in (2, 4) else head.shape[0]
    )  # a fine-tuned network may have another number
    module = _blank(model, outputs)
    blocks = [tap for tap in model.taps_of(module) if tap.kind == "block"]
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
    usual = published.preprocessing or model.preprocessing
    if written := read_preprocessing(published.path):
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


def _random(model: Model, seed: int) -> _Loaded:
    with own.seeded(seed):
        module = _blank(model, model.outputs)
    if not model.is_own:
        module = module.to_empty(device="cpu")
    he_initialise(module, seed)
    note = f"random weights (He), seed {seed}"
    if model.counts:
        note += f"; {model.counts} = {model.outputs:,}, the number of outputs"
    info = WeightsInfo("random", state_sha256(module.state_dict()), True, note)
    untrained = replace(model.preprocessing, source="the model's own; random weights were trained with none")
    return _Loaded(module, untrained, info, (), model.outputs)


def _as_built(model: Model) -> _Loaded:
    """Your own module with the numbers that it has."""
    module, source = own.as_built(model)
    info = WeightsInfo(source, state_sha256(module.state_dict()))
    return _Loaded(module, _assumed(model, model.preprocessing), info, (), model.outputs)


def _blank(model: Model, outputs: int) -> nn.Module:
    """The module on the meta device: initialising a large one, only to be overwritten by a file, takes seconds. One's
    own may need numbers that no file holds."""
    if model.is_own:
        return own.copied(model.build(outputs))
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
    for foreign, usual in model.aliases.items():
        state = {
            usual + key[len(foreign) :] if key.startswith(foreign) else key: t for key, t in state.items()
        }
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

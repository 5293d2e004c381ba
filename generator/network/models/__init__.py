"""The registry of networks, and loading a network by its name.

>>> from generator.network import models
>>> network = models.load("resnet20-cifar", "resnet20_cifar10.safetensors")  # doctest: +SKIP
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from generator.core.errors import AtlasError
from generator.core.head import HeadKind, head_of
from generator.core.records import Preprocessing, Size, source_of
from generator.network.class_names import read_class_list
from generator.network.models import (
    alexnet,
    densenet,
    drawn,
    efficientnet_lite,
    own,
    resnet,
    resnet_caffe,
    resnet_cifar,
    resnet_preact,
    study,
    timm_models,
)
from generator.network.models.loading import Loaded, load_weights
from generator.network.models.loading import blank as blank_module
from generator.network.models.model import Model
from generator.network.models.own_module import other_sizes
from generator.network.network import Network

MODELS: dict[str, Model] = {
    model.name: model
    for family in (
        drawn,
        resnet,
        resnet_caffe,
        resnet_cifar,
        resnet_preact,
        alexnet,
        densenet,
        efficientnet_lite,
    )
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
    weights_key: str | None = None,
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
    weights: a file, a name that the model publishes (`IMAGENET1K_V1`, `built-in`), 'random' (seeded He
    initialisation), or None for the model's default, which for a module is its own numbers; weights_key: where in a
    file with several sets of tensors the network's stand (`state_dict_ema`, `teacher`), None to look for them;
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
    loaded = load_weights(model, weights, seed, weights_key)
    preprocessing = _given(model, loaded.preprocessing, size, mean, std)
    taps = None if model.taps is None else model.taps(loaded.module)
    with other_sizes(model, loaded.module, preprocessing):
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
    if network.outputs is not None:
        network = replace(network, classes=_class_names(model, loaded, classes, head))
    head = head or network.given_head  # that of the network's own softmax or sigmoid
    if network.outputs is not None:
        head_of(network.outputs, head)  # one that does not fit is refused here
    if head is None and len(loaded.classes) == network.outputs != 1:
        head = "softmax"  # a published network, or one whose file names its classes: nothing is assumed
    return replace(network, given_head=head)


def load_module(name: str, weights: str | Path | None = None, *, seed: int = 0) -> nn.Module:
    """The torch module behind `load`, in eval mode, for tests and benchmarks.

    With truncated weights, what lies behind their end is zero.
    """
    return load_weights(find(name), weights, seed).module.eval()


def blank(name: str, outputs: int | None = None) -> nn.Module:
    """A listed model's module without numbers, on torch's meta device; outputs: None for the model's own number."""
    model = find(name)
    return blank_module(model, outputs or model.outputs)


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
    return replace(usual, **changes, source=source_of(usual.source, list(given)))


def _class_names(model: Model, loaded: Loaded, path: Path | None, head: HeadKind | None) -> tuple[str, ...]:
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

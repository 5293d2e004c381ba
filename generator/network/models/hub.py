"""Networks whose modules and weights torchvision publishes, as entries of the registry."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
import torchvision
from torch import nn
from torchvision.models import Weights

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing
from generator.network.models.model import IMAGENET, Model, Published
from generator.network.network import Tap


def torchvision_model(
    name: str,
    text: str,
    parameters: int,
    taps: Callable[[nn.Module], tuple[Tap, ...]],
    *,
    head: str = "fc.weight",
    rename: Callable[[str], str] = lambda name: name,
) -> Model:
    """The entry of a torchvision model; parameters: as torchvision's own page states them."""
    return Model(
        name,
        text,
        build=functools.partial(_build, name),
        taps=taps,
        preprocessing=IMAGENET,
        parameters=parameters,
        weights=("DEFAULT", *_enums(name)),
        fetch=functools.partial(_fetch, name),
        recognise=functools.partial(_recognise, name),
        class_names=imagenet_names,
        head=head,
        rename=rename,
    )


def _build(name: str, outputs: int, **arguments: Any) -> nn.Module:
    module: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=outputs, **arguments)
    return module


def _enums(name: str) -> dict[str, Weights]:
    enum = torchvision.models.get_model_weights(name)
    return {weights.name: weights for weights in enum}


def _cached(weights: Weights) -> Path:
    """Where torch keeps the download, or would keep it."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name


def _about(weights: Weights) -> Published:
    transforms = weights.transforms()
    return Published(
        weights.name,
        _cached(weights),
        tuple(weights.meta["categories"]),
        Preprocessing(
            transforms.resize_size[0],
            transforms.crop_size[0],
            tuple(transforms.mean),
            tuple(transforms.std),
            interpolation=transforms.interpolation.value,
        ),
    )


def _fetch(name: str, weights_name: str) -> Published:
    enum = torchvision.models.get_model_weights(name)
    weights = enum.DEFAULT if weights_name == "DEFAULT" else enum[weights_name]
    about = _about(weights)
    if not about.path.is_file():
        try:
            weights.get_state_dict(progress=True, check_hash=True, weights_only=True)
        except Exception as error:  # URLError, HTTPError, a wrong hash, a full disk: the remedy is the same
            raise AtlasError(
                f"the weights {weights.name} of {name} could not be downloaded ({error})",
                weights.url,
                "bring a file: --weights FILE, or try --weights random",
            ) from error
    return about


def _recognise(name: str, path: Path) -> Published | None:
    """What is known about a file that still has torchvision's own name, which contains a hash; else None."""
    return next(
        (_about(weights) for weights in _enums(name).values() if _cached(weights).name == path.name), None
    )


@functools.cache
def imagenet_names(outputs: int) -> tuple[str, ...]:
    """ImageNet's classes in their usual order for 1,000 outputs, else ()."""
    if outputs != 1000:
        return ()
    return tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])

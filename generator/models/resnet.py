"""torchvision's ResNets, ResNeXts and wide ResNet with the weights that torchvision publishes.

arXiv:1512.03385 (ResNet), arXiv:1611.05431 (ResNeXt), arXiv:1605.07146 (wide ResNet). torchvision puts the
stride into the 3×3 convolution of a projection block ("ResNet v1.5"); the Caffe original is in
resnet_caffe.py.
"""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import urlparse

import torch
import torchvision
from torch import nn
from torchvision.models import Weights

from generator.errors import AtlasError
from generator.models.model import IMAGENET, Model, Published, residual_taps
from generator.records import Preprocessing


def _build(name: str, outputs: int) -> nn.Module:
    module: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=outputs)
    return module


def _enums(name: str) -> dict[str, Weights]:
    enum = torchvision.models.get_model_weights(name)
    return {weights.name: weights for weights in enum}


def _cached(weights: Weights) -> Path:
    """Where torch keeps (or would keep) the download."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(weights.url).path).name


def _about(weights: Weights) -> Published:
    transforms = weights.transforms()
    return Published(
        weights.name,
        _cached(weights),
        tuple(weights.meta["categories"]),
        Preprocessing(
            transforms.resize_size[0], transforms.crop_size[0], tuple(transforms.mean), tuple(transforms.std)
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
                "bring a file: --weights file.safetensors (or .pth), or try --weights random",
            ) from error
    return about


def _recognise(name: str, path: Path) -> Published | None:
    """A file that still has torchvision's own name, hash and all, is what that name says."""
    return next(
        (_about(weights) for weights in _enums(name).values() if _cached(weights).name == path.name), None
    )


@functools.cache
def _class_names(outputs: int) -> tuple[str, ...]:
    """A thousand outputs are ImageNet's classes in their usual order."""
    if outputs != 1000:
        return ()
    return tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


def _model(name: str, text: str, parameters: int, *, numbered: bool = False) -> Model:
    return Model(
        name,
        text,
        build=functools.partial(_build, name),
        taps=functools.partial(residual_taps, numbered=numbered),
        preprocessing=IMAGENET,
        parameters=parameters,
        weights=("DEFAULT", *_enums(name)),
        fetch=functools.partial(_fetch, name),
        recognise=functools.partial(_recognise, name),
        class_names=_class_names,
    )


MODELS = (
    _model("resnet18", "ResNet-18 (arXiv:1512.03385), torchvision", 11_689_512),
    _model("resnet34", "ResNet-34 (arXiv:1512.03385), torchvision", 21_797_672),
    _model("resnet50", "ResNet-50 (arXiv:1512.03385), torchvision: stride in the 3×3", 25_557_032),
    _model(
        "resnet101",
        "ResNet-101 (arXiv:1512.03385), torchvision: stride in the 3×3",
        44_549_160,
        numbered=True,
    ),
    _model(
        "resnet152",
        "ResNet-152 (arXiv:1512.03385), torchvision: stride in the 3×3",
        60_192_808,
        numbered=True,
    ),
    _model("resnext50_32x4d", "ResNeXt-50 32×4d (arXiv:1611.05431), torchvision", 25_028_904),
    _model("resnext101_32x8d", "ResNeXt-101 32×8d (arXiv:1611.05431), torchvision", 88_791_336),
    _model("wide_resnet50_2", "Wide ResNet-50-2 (arXiv:1605.07146), torchvision", 68_883_240),
)

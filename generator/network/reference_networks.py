"""The blueprints of the papers' networks, and variants that explain published figures. They are committed as
reference_networks.json, so that the site needs no torch; `python -m tools.reference_networks` writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from generator.core.blueprint import Blueprint, blueprint_to_json
from generator.network import models
from generator.network.architecture import blueprint, cost

NETWORKS = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet50-caffe", "resnext50_32x4d",
    "resnext101_32x8d", "wide_resnet50_2", "preact_resnet50", "resnet20-cifar", "resnet32-cifar",
    "resnet44-cifar", "resnet56-cifar", "resnet110-cifar", "densenet121", "alexnet", "demo",
)  # fmt: skip
# arXiv:1611.05431, table 2: cardinality and width of the bottleneck at equal cost.
CARDINALITIES = ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4))
PAPERS_SIDE = 224  # px, the input for which the papers count
_CONV2 = 56  # px, the map of the stage for which arXiv:1611.05431 states a block's cost


def reference_blueprint(name: str) -> Blueprint:
    """A network of the registry, for its own picture size and number of outputs."""
    model = models.find(name)
    module = models.blank(name)
    return blueprint(name, module, model.taps_of(module), model.preprocessing.size)


def reference(names: Iterable[str] = NETWORKS) -> dict[str, Any]:
    """The JSON's contents: networks; variants by network and kind as {parameters, multiply_adds}; the table of
    cardinalities; and what torchvision states about its own networks."""
    names = tuple(names)
    return {
        "networks": [blueprint_to_json(reference_blueprint(name)) for name in names],
        "variants": {name: dict(_variants(name)) for name in names if name in _RESNETS},
        "torchvision": {name: stated for name in names if (stated := torchvisions_own(name))},
        "cardinality": [cardinality_row(groups, width) for groups, width in CARDINALITIES],
    }


_RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")


def _variants(name: str) -> Iterator[tuple[str, dict[str, int]]]:
    if name not in ("resnet18", "resnet34"):
        yield "stride in the 1×1", cost(_original_strides(_blank(name)), PAPERS_SIDE)
    small = _blank(name, outputs=10)
    with torch.device("meta"):
        small.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    small.maxpool = nn.Identity()
    yield "3×3 stem and 10 outputs", cost(small, 32)


def _blank(name: str, outputs: int = 1000) -> nn.Module:
    with torch.device("meta"):
        module: nn.Module = torchvision.models.get_model(name, num_classes=outputs)
    return module


def _original_strides(module: nn.Module) -> nn.Module:
    """Stride 2 moved to the first 1×1 convolution, where arXiv:1512.03385 has it."""
    for block in module.modules():
        if isinstance(block, Bottleneck):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
    return module


def torchvisions_own(name: str) -> dict[str, float] | None:
    """Parameters and multiply-adds (10⁹, which torchvision calls GFLOPS) as its weights' metadata states them."""
    if name not in torchvision.models.list_models():
        return None
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    return {"parameters": meta["num_params"], "giga_multiply_adds": meta["_ops"]}


def cardinality_row(groups: int, width: int) -> dict[str, int]:
    """A ResNeXt-50 with `groups` paths of `width` channels: the cost of a block of its first stage and of the whole."""
    with torch.device("meta"):
        block = Bottleneck(256, 64, groups=groups, base_width=width)
        whole = ResNet(Bottleneck, [3, 4, 6, 3], groups=groups, width_per_group=width)
    of_block = cost(block.eval(), _CONV2, channels=256)
    of_whole = cost(whole, PAPERS_SIDE)
    return {
        "groups": groups,
        "width": width,
        "block_parameters": sum(
            p.numel() for p in block.parameters() if p.dim() == 4
        ),  # as the paper: without norms
        "block_multiply_adds": of_block["multiply_adds"],
        **of_whole,
    }

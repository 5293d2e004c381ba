"""The papers' networks as computed by `python -m tools.reference_networks`, which writes reference_networks.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from generator.core.blueprint import Blueprint, blueprint_from_json

NAMES = {
    "resnet18": "ResNet-18", "resnet34": "ResNet-34", "resnet50": "ResNet-50", "resnet101": "ResNet-101",
    "resnet152": "ResNet-152", "resnet50-caffe": "ResNet-50, the Caffe original",
    "resnext50_32x4d": "ResNeXt-50 32×4d", "resnext101_32x8d": "ResNeXt-101 32×8d",
    "wide_resnet50_2": "Wide ResNet-50-2", "preact_resnet50": "ResNet-50, pre-activation",
    "resnet20-cifar": "ResNet-20 for CIFAR", "resnet32-cifar": "ResNet-32 for CIFAR",
    "resnet44-cifar": "ResNet-44 for CIFAR", "resnet56-cifar": "ResNet-56 for CIFAR",
    "resnet110-cifar": "ResNet-110 for CIFAR", "densenet121": "DenseNet-121", "alexnet": "AlexNet, one tower",
    "demo": "the demo's network",
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """What a published figure may be of instead of the network as it is computed here."""

    name: str
    parameters: int
    multiply_adds: int


@dataclass(frozen=True)
class CardinalityRow:
    """A ResNet-50 whose blocks split their 3×3 convolution into groups (arXiv:1611.05431, Table 2): costs of a block of
    the first stage, and of the whole network."""

    groups: int
    width: int
    block_parameters: int
    block_multiply_adds: int
    parameters: int
    multiply_adds: int

    @property
    def name(self) -> str:
        return f"{self.groups} × {self.width}d"

    @property
    def inner(self) -> int:
        """Channels of the 3×3 convolution."""
        return self.groups * self.width


@dataclass(frozen=True)
class Reference:
    """reference_networks.json: what `python -m tools.reference_networks` has computed. variants: by network."""

    networks: Mapping[str, Blueprint]
    variants: Mapping[str, Sequence[Variant]]
    cardinality: Sequence[CardinalityRow]


def reference_json() -> Mapping[str, Any]:
    """The file's content as it was written."""
    text = (resources.files("generator.site") / "data" / "reference_networks.json").read_text("utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


@cache
def reference() -> Reference:
    """The networks that the package knows with their costs, read from its data once."""
    data = reference_json()
    networks = [blueprint_from_json(network) for network in data["networks"]]
    return Reference(
        networks={network.model: network for network in networks},
        variants={
            network: [Variant(name, **costs) for name, costs in variants.items()]
            for network, variants in data["variants"].items()
        },
        cardinality=[CardinalityRow(**row) for row in data["cardinality"]],
    )


def blueprints() -> Mapping[str, Blueprint]:
    """The papers' networks by name."""
    return reference().networks

"""Figures that papers and documentation state of the networks, beside what is computed. Citations, in one table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from generator.blueprint import Blueprint, blueprint_from_json

Quantity = Literal["parameters", "multiply_adds"]

HE = ("He et al., Table 1", "https://arxiv.org/abs/1512.03385")
HE_CIFAR = ("He et al., Table 6", "https://arxiv.org/abs/1512.03385")
XIE = ("Xie et al., Table 1", "https://arxiv.org/abs/1611.05431")
ZAGORUYKO = ("Zagoruyko and Komodakis, Table 8", "https://arxiv.org/abs/1605.07146")
RUIZ = (
    "Ruiz, Understanding and visualizing ResNets",
    "https://towardsdatascience.com/understanding-and-visualizing-resnets-442284831be8",
)
TORCHVISION = ("torchvision's table", "https://docs.pytorch.org/vision/stable/models.html")


@dataclass(frozen=True)
class Figure:
    """text: as printed, in millions of parameters or 10⁹ multiply-adds."""

    network: str
    quantity: Quantity
    text: str
    source: tuple[str, str]

    @property
    def unit(self) -> float:
        return 1e6 if self.quantity == "parameters" else 1e9

    def agrees(self, value: float) -> str:
        """'rounded', 'cut' (where the figure is the value's first digits) or ''."""
        digits = len(self.text.partition(".")[2])
        scaled = value / self.unit
        if f"{scaled:.{digits}f}" == self.text:
            return "rounded"
        return "cut" if f"{math.floor(scaled * 10**digits) / 10**digits:.{digits}f}" == self.text else ""


def _figures(quantity: Quantity, source: tuple[str, str], **texts: str) -> list[Figure]:
    return [Figure(name.replace("_cifar", "-cifar"), quantity, text, source) for name, text in texts.items()]


FIGURES: tuple[Figure, ...] = (
    *_figures("multiply_adds", HE, resnet18="1.8", resnet34="3.6", resnet50="3.8", resnet101="7.6", resnet152="11.3"),
    Figure("resnet50-caffe", "multiply_adds", "3.8", HE),
    *_figures(
        "parameters", HE_CIFAR,
        resnet20_cifar="0.27", resnet32_cifar="0.46", resnet44_cifar="0.66", resnet56_cifar="0.85",
        resnet110_cifar="1.7",
    ),
    *_figures("parameters", XIE, resnet50="25.5", resnext50_32x4d="25.0"),
    *_figures("multiply_adds", XIE, resnet50="4.1", resnext50_32x4d="4.2"),
    *_figures("parameters", ZAGORUYKO, wide_resnet50_2="68.9"),
    *_figures("parameters", RUIZ, resnet50="23.521", resnet101="42.513", resnet152="58.157"),
    *_figures(
        "parameters", TORCHVISION,
        resnet18="11.7", resnet34="21.8", resnet50="25.6", resnet101="44.5", resnet152="60.2",
        resnext101_32x8d="88.8", densenet121="8.0", alexnet="61.1",
    ),
)  # fmt: skip

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

# What a variant of a network is, by its name in reference_networks.json.
VARIANTS = {
    "stride in the 1×1": "torchvision moves stride 2 to the 3×3 convolution of a bottleneck; with it in the first 1×1, "
    "as published",
    "3×3 stem and 10 outputs": "the figure is of the network for CIFAR-10: with a 3×3 stem and ten outputs",
}


@cache
def reference() -> Mapping[str, Any]:
    """What `python -m tools.reference_networks` has computed."""
    text = (resources.files("generator") / "reference_networks.json").read_text("utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


@cache
def blueprints() -> Mapping[str, Blueprint]:
    """The papers' networks by name."""
    found = (blueprint_from_json(network) for network in reference()["networks"])
    return {blueprint.model: blueprint for blueprint in found}


def printed(value: float, quantity: Quantity, digits: int) -> str:
    """In the unit of the figures, with so many digits after the point."""
    return f"{value / (1e6 if quantity == 'parameters' else 1e9):,.{digits}f}"


def explanation(figure: Figure) -> str:
    """Why the published figure is what it is: by the network as computed here, or by the variant that gives it."""
    own = blueprints()[figure.network]
    digits = len(figure.text.partition(".")[2]) + (1 if figure.quantity == "multiply_adds" else 0)
    if how := figure.agrees(getattr(own, figure.quantity)):
        return "the same" if how == "rounded" else "the same: the source cuts instead of rounding"
    for name, values in reference()["variants"].get(figure.network, {}).items():
        if how := figure.agrees(values[figure.quantity]):
            number = printed(values[figure.quantity], figure.quantity, digits)
            return f"{VARIANTS[name]}: {number}{'' if how == 'rounded' else ', which the source cuts'}"
    return "not explained"


def comparisons(network: str) -> list[dict[str, Any]]:
    """The published figures of a network, each with what is computed and why it differs."""
    rows = []
    for figure in FIGURES:
        if figure.network == network:
            value = getattr(blueprints()[network], figure.quantity)
            digits = len(figure.text.partition(".")[2])
            rows.append(
                {
                    "figure": figure,
                    "computed": printed(value, figure.quantity, max(digits, 2)),
                    "explanation": explanation(figure),
                }
            )
    return rows

"""Figures that papers and documentation state of the networks, next to what is computed here.

published.csv holds them all, one per row: the figure as printed, its source and address, the line of the source that
states it, and where and when that line was read. `checked` is empty where the source could not be reached: the
pages then say so."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from generator.core.blueprint import Blueprint, blueprint_from_json

# What is compared with the networks as computed here; the other rows are quoted by the experiments' report.
COMPARED = ("parameters", "multiply_adds")


@dataclass(frozen=True)
class Figure:
    """text: as printed, in millions of parameters or 10⁹ multiply-adds; source: its name and address; line: the line
    of the source that states it, as read; checked: where it was read, '' where the source was not reached."""

    network: str
    quantity: str
    text: str
    source: tuple[str, str]
    line: str = ""
    checked: str = ""

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


def _read() -> tuple[Figure, ...]:
    text = (resources.files("generator.site") / "data" / "published.csv").read_text("utf-8")
    return tuple(
        Figure(
            row["network"],
            row["quantity"],
            row["figure"],
            (row["source"], row["address"]),
            row["line"],
            row["checked"],
        )
        for row in csv.DictReader(text.splitlines())
    )


QUOTED = _read()
FIGURES = tuple(figure for figure in QUOTED if figure.quantity in COMPARED)


def quoted(network: str, quantity: str) -> float:
    """The number that a source states of a network; raises LookupError where published.csv has none."""
    for figure in QUOTED:
        if (figure.network, figure.quantity) == (network, quantity):
            return float(figure.text)
    raise LookupError(f"{quantity} of {network}")


@dataclass(frozen=True)
class Quotations:
    """The numbers of papers that the experiments' report quotes.

    updates: of a training on CIFAR-10 (He et al.); layers, most_layers: of the networks of the paper on pre-activation;
    paths, path_width: of ResNeXt-50; gain: percentage points of top-1 error that more paths take away at equal cost, by
    layers; gate_bias: the best initial bias of an exclusive gate.
    """

    updates: int
    layers: int
    most_layers: int
    paths: int
    path_width: int
    gain: Mapping[int, float]
    gate_bias: int


def quotations() -> Quotations:
    """Raises LookupError where published.csv lacks one."""

    def gain(layers: int) -> float:
        names = (f"ResNet-{layers}, 1×64d", f"ResNeXt-{layers}, 32×4d")
        one_path, many_paths = (quoted(name, "top1_error") for name in names)
        return round(one_path - many_paths, 1)

    return Quotations(
        updates=int(quoted("CIFAR-10", "updates")),
        layers=int(quoted("CIFAR-10", "layers")),
        most_layers=int(quoted("pre-activation", "layers")),
        paths=int(quoted("ResNeXt-50, 32×4d", "paths")),
        path_width=int(quoted("ResNeXt-50, 32×4d", "path_width")),
        gain={layers: gain(layers) for layers in (50, 101)},
        gate_bias=int(quoted("exclusive gating", "gate_bias")),
    )


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
    text = (resources.files("generator.site") / "data" / "reference_networks.json").read_text("utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


@cache
def blueprints() -> Mapping[str, Blueprint]:
    """The papers' networks by name."""
    found = (blueprint_from_json(network) for network in reference()["networks"])
    return {blueprint.model: blueprint for blueprint in found}


def printed(value: float, quantity: str, digits: int) -> str:
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

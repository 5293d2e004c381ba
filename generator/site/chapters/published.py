"""Figures that papers and documentation state of the networks, next to what is computed here.

published.csv holds them all, one per row: the figure as printed, its source and address, the line of the source that
states it, and where and when that line was read. `checked` is empty where the source could not be reached: the
pages then say so."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from generator.core.blueprint import Blueprint
from generator.site.chapters.reference_networks import NAMES, Variant, blueprints, reference
from generator.site.formats import fixed

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

    @property
    def digits(self) -> int:
        """Decimals of the figure as printed."""
        return len(self.text.partition(".")[2])

    def agrees(self, value: float) -> str:
        """'rounded', 'cut' (where the figure is the value's first digits) or ''."""
        digits, scaled = self.digits, value / self.unit
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


# What a variant of a network is, by its name in reference_networks.json.
VARIANTS = {
    "stride in the 1×1": "torchvision moves stride 2 to the 3×3 convolution of a bottleneck; with it in the first 1×1, "
    "as published",
    "3×3 stem and 10 outputs": "the figure is of the network for CIFAR-10: with a 3×3 stem and ten outputs",
}


def cost(network: Blueprint | Variant, quantity: str) -> int:
    return network.parameters if quantity == "parameters" else network.multiply_adds


def printed(value: float, figure: Figure, digits: int) -> str:
    """A cost in the figure's unit."""
    return fixed(value / figure.unit, digits)


def explanation(figure: Figure) -> str:
    """Why the published figure is what it is: by the network as computed here, or by the variant that gives it."""
    digits = figure.digits + (1 if figure.quantity == "multiply_adds" else 0)
    if how := figure.agrees(cost(blueprints()[figure.network], figure.quantity)):
        return "the same" if how == "rounded" else "the same: the source cuts instead of rounding"
    for variant in reference().variants.get(figure.network, ()):
        value = cost(variant, figure.quantity)
        if how := figure.agrees(value):
            number = printed(value, figure, digits)
            return (
                f"{VARIANTS[variant.name]}: {number}{'' if how == 'rounded' else ', which the source cuts'}"
            )
    return "not explained"


@dataclass(frozen=True)
class PublishedComparison:
    """A published figure of a network, what is computed here, and why the two differ. network: its name on the
    pages."""

    network: str
    figure: Figure
    computed: str
    explanation: str


def comparisons(network: str) -> list[PublishedComparison]:
    """All published figures of a network."""
    blueprint = blueprints()[network]
    return [
        PublishedComparison(
            NAMES[network],
            figure,
            printed(cost(blueprint, figure.quantity), figure, max(figure.digits, 2)),
            explanation(figure),
        )
        for figure in FIGURES
        if figure.network == network
    ]

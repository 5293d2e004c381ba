"""The report's sections on shortcuts, order and cardinality, from the committed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from generator.site.chapters.experiment_differences import (
    Difference,
    compared,
    corrected,
    differences,
    differences_table,
)
from generator.site.chapters.experiment_tables import Row, Rows, Table, by_seed, kinds_of
from generator.site.figures.dots import DotRows, dot_rows
from generator.site.formats import fixed, integer, interval, mean_and_spread

Kind = tuple[str, int]  # a kind of network and its depth
ERROR = "error on held-out drawings"
TRAINING = "training error"
HEADS = ("parameters", "multiply-adds, 10⁶", "training error, %", "held-out error, %")
# By quantity its column. The training error is measured after the training, on the drawings as they are.
COLUMNS = {TRAINING: "fit_error", ERROR: "test_error"}

# By kind in the table: name on the page; the kind that the others are compared with comes first.
SHORTCUTS = {
    "residual": "zero padding (A)",
    "projection where sizes change": "projection where sizes change (B)",
    "projection everywhere": "projection everywhere (C)",
    "scaled": "both paths scaled",
    "exclusive gate": "exclusive gate",
    "dropout": "dropout on the shortcut",
}
ORDER = {
    "residual": "original order",
    "ReLU-only pre-activation": "ReLU-only pre-activation",
    "full pre-activation": "full pre-activation",
}


@dataclass(frozen=True)
class Comparison:
    """Networks of one depth compared. summary: the result in words; dots: figures, one dot per seed; differences: from
    the first network, in the quantities compared_in; train: lowest and highest training error; margins: within which
    differences are called none, where these are not the usual."""

    summary: str
    depth: int
    dots: Sequence[DotRows]
    differences: Table
    table: Table
    compared_in: str = ""
    train: str = ""
    margins: str = ""


@dataclass(frozen=True)
class Cardinality:
    """Networks of different cardinality compared.

    twice: whether networks of twice the cost were run; most: % by which multiply-adds differ at equal cost; train,
    test: lowest and highest error of all networks and seeds; paths: the largest number of paths, and narrowest: their
    width in channels.
    """

    summary: str
    twice: bool
    most: float
    train: str
    test: str
    paths: str
    narrowest: str
    dots: Sequence[DotRows]
    differences: Table
    table: Table


class Cost(NamedTuple):
    parameters: int
    multiply_adds: int


def errors(rows: Rows, kinds: Sequence[Kind], column: str) -> list[np.ndarray]:
    """Of each kind in % after the last epoch, (seeds,)."""
    return [100 * by_seed(rows, *kind, column)[:, -1] for kind in kinds]


def cost_of(row: Row) -> Cost:
    return Cost(int(row["parameters"]), int(row["multiply_adds"]))


def cost_cells(cost: Cost) -> list[str]:
    """Parameters and millions of multiply-adds."""
    return [integer(cost.parameters), fixed(cost.multiply_adds / 1e6, 2)]


def _cost(rows: Rows, kind: Kind) -> Cost:
    return cost_of(next(row for row in rows if (row["kind"], int(row["depth"])) == kind))


def _compared_designs(rows: Rows, names: Mapping[str, str]) -> Comparison:
    """The designs compared with the first in the training error and the held-out error; the p values are corrected for
    all of them."""
    kinds = [kind for name in names for kind in kinds_of(rows) if kind[0] == name]
    found = {quantity: errors(rows, kinds, column) for quantity, column in COLUMNS.items()}
    shown = [names[kind[0]] for kind in kinds]
    body = [
        [name, *cost_cells(_cost(rows, kind)), *(mean_and_spread(values[n]) for values in found.values())]
        for n, (name, kind) in enumerate(zip(shown, kinds, strict=True))
    ]
    others = differences_by_quantity(shown, found)
    return Comparison(
        summary=" ".join(
            compared(shown[0], values[0], others[quantity], quantity) for quantity, values in found.items()
        ),
        depth=kinds[0][1],
        dots=[
            dot_rows(list(zip(shown, values, strict=True)), quantity + ", %")
            for quantity, values in found.items()
        ],
        differences=differences_table(
            [
                replace(each, name=f"{quantity}: {each.name}")
                for quantity, own in others.items()
                for each in own
            ],
            f"against {shown[0]}",
        ),
        table=Table(("network", *HEADS), body),
        compared_in=" and ".join(found).capitalize(),
        train=_range(found[TRAINING]),
    )


def differences_by_quantity(
    names: Sequence[str], found: Mapping[str, Sequence[np.ndarray]]
) -> dict[str, list[Difference]]:
    """By quantity the other networks less the first; the p values are corrected for all quantities together. found: by
    quantity (seeds,) of each network."""
    family = corrected(
        [each for values in found.values() for each in differences(names, values, correct=False)]
    )
    each_has = len(names) - 1
    return {quantity: family[n * each_has : (n + 1) * each_has] for n, quantity in enumerate(found)}


def shortcuts(rows: Rows) -> Comparison:
    return _compared_designs(rows, SHORTCUTS)


def order(rows: Rows) -> Comparison:
    return _compared_designs(rows, ORDER)


class Way(NamedTuple):
    """How a network of the cardinality study is made, as its table says. widths: of a path, per stage, joined by '-';
    factor: its cost, relative to the others."""

    kind: str
    depth: str
    paths: str
    widths: str
    factor: str

    @property
    def first_width(self) -> str:
        return self.widths.partition("-")[0]

    def costs_as(self, other: Way) -> bool:
        return (self.depth, self.factor) == (other.depth, other.factor)

    def name_beside(self, first: Way) -> str:
        """paths × width, and in what it differs from networks of the first one's cost."""
        name = f"{self.paths}\u00a0×\u00a0{self.first_width}d"
        if self.depth != first.depth:
            return f"{name}, deeper"
        if self.factor != first.factor:
            return f"{name}, wider" if self.paths == "1" else f"{name}, more paths"
        return name


def cardinality(rows: Rows) -> Cardinality:
    """Networks of several paths against the network of one path and equal cost, and against networks of twice its cost
    where these were run."""
    ways = list(
        dict.fromkeys(
            Way(row["kind"], row["depth"], row["cardinality"], row["widths"], row["factor"]) for row in rows
        )
    )
    kinds = [(way.kind, int(way.depth)) for way in ways]
    shown = [way.name_beside(ways[0]) for way in ways]
    train, test = (errors(rows, kinds, column) for column in COLUMNS.values())
    costs = [_cost(rows, kind) for kind in kinds]
    relative = [cost.multiply_adds / costs[0].multiply_adds for cost in costs]
    equal = [n for n, way in enumerate(ways) if way.costs_as(ways[0])]
    twice = [n for n in range(len(ways)) if n not in equal]
    others = differences(shown, test)

    def against_first(chosen: Sequence[int]) -> str:
        return compared(shown[0], test[0], [others[n - 1] for n in chosen if n], ERROR)

    summary = against_first(equal)
    if twice:
        times = interval(min(relative[n] for n in twice), max(relative[n] for n in twice), 2)
        summary += f" At {times} times the multiply-adds, a{against_first(twice)[1:]}"
    body = [
        [
            name,
            way.widths.replace("-", ", "),
            way.depth,
            *cost_cells(cost),
            mean_and_spread(train_error),
            mean_and_spread(test_error),
        ]
        for name, way, cost, train_error, test_error in zip(shown, ways, costs, train, test, strict=True)
    ]
    return Cardinality(
        summary=summary,
        twice=bool(twice),
        most=100 * max(abs(relative[n] - 1) for n in equal),
        train=_range(train),
        test=_range(test),
        paths=ways[equal[-1]].paths,
        narrowest=ways[equal[-1]].first_width,
        dots=[dot_rows(list(zip(shown, test, strict=True)), ERROR + ", %")],
        differences=differences_table(others, f"against {shown[0]}"),
        table=Table(("paths × width", "width by stage", "layers", *HEADS), body),
    )


def _range(values: Sequence[np.ndarray]) -> str:
    return interval(min(v.min() for v in values), max(v.max() for v in values))

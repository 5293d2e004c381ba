"""The report's numbers on shortcuts, order and cardinality, from the committed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from generator.site.chapters.experiment_tables import Row, by_seed, compared, kinds_of
from generator.site.figures.dots import dot_rows
from generator.site.formats import fixed, integer, mean_and_spread

Kind = tuple[str, int]
ERROR = "error on held-out drawings"
HEADS = ("parameters", "multiply-adds, 10⁶", "training error, %", "held-out error, %")


def errors(rows: Sequence[Row], kinds: Sequence[Kind], column: str) -> list[np.ndarray]:
    """In % after the last epoch, by seed, of each kind."""
    return [100 * by_seed(rows, *kind, column)[:, -1] for kind in kinds]


def _cost(rows: Sequence[Row], kind: Kind) -> tuple[int, int]:
    """Parameters and multiply-adds."""
    row = next(row for row in rows if (row["kind"], int(row["depth"])) == kind)
    return int(row["parameters"]), int(row["multiply_adds"])


def _of_designs(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, Any]:
    """Sentence, figure and table of designs of one depth; names: the kinds, the one compared against first."""
    kinds = [kind for name in names for kind in kinds_of(rows) if kind[0] == name]
    test, train = (errors(rows, kinds, column) for column in ("test_error", "train_error"))
    shown = [names[kind[0]] for kind in kinds]
    body = [
        [
            name,
            integer(_cost(rows, kind)[0]),
            fixed(_cost(rows, kind)[1] / 1e6, 2),
            mean_and_spread(learned),
            mean_and_spread(tested),
        ]
        for name, kind, learned, tested in zip(shown, kinds, train, test, strict=True)
    ]
    return {
        "says": compared(shown, test, ERROR),
        "depth": kinds[0][1],
        "dots": [dot_rows(list(zip(shown, test, strict=True)), ERROR + ", %")],
        "heads": ("network", *HEADS),
        "rows": body,
    }


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


def shortcuts(rows: Sequence[Row]) -> dict[str, Any]:
    return _of_designs(rows, SHORTCUTS)


def order(rows: Sequence[Row]) -> dict[str, Any]:
    return _of_designs(rows, ORDER)


def cardinality(rows: Sequence[Row]) -> dict[str, Any]:
    """The networks of equal cost against the one with a single path, and those of twice its cost, where they were run;
    most: % by which multiply-adds differ at equal cost; narrowest: width of a path where there are most."""
    ways = list(
        dict.fromkeys((r["kind"], r["depth"], r["cardinality"], r["widths"], r["factor"]) for r in rows)
    )
    kinds = [(kind, int(depth)) for kind, depth, *_ in ways]
    shown = [
        f"{paths}\u00a0×\u00a0{widths.split('-')[0]}d{_more(depth != ways[0][1], factor != ways[0][4], paths)}"
        for _, depth, paths, widths, factor in ways
    ]
    test, train = (errors(rows, kinds, column) for column in ("test_error", "train_error"))
    costs = [_cost(rows, kind) for kind in kinds]
    equal = [n for n, way in enumerate(ways) if (way[1], way[4]) == (ways[0][1], ways[0][4])]
    twice = [n for n in range(len(ways)) if n not in equal]
    says = compared([shown[n] for n in equal], [test[n] for n in equal], ERROR)
    if twice:
        dearer = [costs[n][1] / costs[0][1] for n in twice]
        against = compared([shown[n] for n in [0, *twice]], [test[n] for n in [0, *twice]], ERROR)
        says += f" At {min(dearer):.2f} to {max(dearer):.2f} times the multiply-adds, a{against[1:]}"
    body = [
        [
            name,
            way[3].replace("-", ", "),
            way[1],
            integer(price[0]),
            fixed(price[1] / 1e6, 2),
            mean_and_spread(learned),
            mean_and_spread(tested),
        ]
        for name, way, price, learned, tested in zip(shown, ways, costs, train, test, strict=True)
    ]
    return {
        "says": says,
        "twice": bool(twice),
        "most": f"{100 * max(abs(costs[n][1] / costs[0][1] - 1) for n in equal):.1f}",
        "train": _range(train),
        "test": _range(test),
        "paths": ways[equal[-1]][2],
        "narrowest": ways[equal[-1]][3].split("-")[0],
        "dots": [dot_rows(list(zip(shown, test, strict=True)), ERROR + ", %")],
        "heads": ("paths × width", "width by stage", "layers", *HEADS),
        "rows": body,
    }


def _range(values: Sequence[np.ndarray]) -> str:
    """Lowest and highest of all networks and seeds."""
    return f"{min(v.min() for v in values):.1f} to {max(v.max() for v in values):.1f}"


def _more(deeper: bool, costlier: bool, paths: str) -> str:
    if deeper:
        return ", deeper"
    if not costlier:
        return ""
    return ", wider" if paths == "1" else ", more paths"

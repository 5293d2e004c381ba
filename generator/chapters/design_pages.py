"""The report's numbers on shortcuts and order, from the committed tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from generator.chapters.experiment_tables import Row, by_seed, compared, kinds_of, with_spread
from generator.figures.dots import dot_rows

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
            f"{_cost(rows, kind)[0]:,}",
            f"{_cost(rows, kind)[1] / 1e6:.2f}",
            with_spread(learned),
            with_spread(tested),
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
    "scaled": "both ways × 0.5",
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

"""The report on the papers' designs compared, from the committed tables. No torch here."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from generator.figures.charts import Series, line_chart

TABLES = ("degradation", "gradients", "lesion")
Row = Mapping[str, str]


@cache
def results() -> Mapping[str, Any] | None:
    """The committed tables and their setting; None where nothing has been run."""
    folder = resources.files("generator") / "experiments" / "results"
    if not all((folder / f"{name}.csv").is_file() for name in TABLES):
        return None
    tables = {
        name: list(csv.DictReader((folder / f"{name}.csv").read_text("utf-8").splitlines()))
        for name in TABLES
    }
    return {**tables, "setting": json.loads((folder / "setting.json").read_text("utf-8"))}


def kinds_of(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """The kinds of network in a table, plain before residual, shallow before deep."""
    return sorted({(row["kind"], int(row["depth"])) for row in rows})


def by_seed(rows: Sequence[Row], kind: str, depth: int, column: str, **where: str) -> np.ndarray:
    """A column of one kind of network, (seeds, points), in the table's order."""
    chosen = [
        row
        for row in rows
        if (row["kind"], int(row["depth"])) == (kind, depth) and all(row[k] == v for k, v in where.items())
    ]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array([[float(row[column]) for row in chosen if int(row["seed"]) == seed] for seed in seeds])


def experiments_page() -> dict[str, Any] | None:
    """Everything the report says; None where nothing has been run."""
    found = results()
    if found is None:
        return None
    return {
        "setting": found["setting"],
        "degradation": degradation(found["degradation"]),
        "gradients": gradients(found["gradients"]),
        "lesion": lesion(found["lesion"]),
    }


def _style(kind: str, depth: int, depths: Sequence[int]) -> str:
    return f"{kind} {'deep' if depth == max(depths) else 'shallow'}"


def with_spread(values: np.ndarray, digits: int = 1) -> str:
    """Mean ± sample standard deviation of numbers over the seeds."""
    spread = values.std(ddof=1) if len(values) > 1 else float("nan")
    text = (
        f"{values.mean():.{digits}f} ± {spread:.{digits}f}"
        if len(values) > 1
        else f"{values.mean():.{digits}f}"
    )
    return text.replace("-", "−")


def degradation(rows: Sequence[Row]) -> dict[str, Any]:
    """Curves of training and test error, and what they come to at the end."""
    kinds = kinds_of(rows)
    depths = [depth for _, depth in kinds]
    charts = []
    for column, label in (
        ("train_error", "training error, %"),
        ("test_error", "error on held-out drawings, %"),
    ):
        series = []
        for kind, depth in kinds:
            values = 100 * by_seed(rows, kind, depth, column)
            epochs = list(range(1, values.shape[1] + 1))
            series.append(Series(f"{kind}, {depth} layers", _style(kind, depth, depths), epochs, values))
        charts.append(line_chart(series, "epoch", label))
    ends = {
        (kind, depth): {
            column: 100 * by_seed(rows, kind, depth, column)[:, -1]
            for column in ("train_error", "test_error")
        }
        for kind, depth in kinds
    }
    table = [
        {
            "name": f"{kind}, {depth} layers",
            "train": with_spread(e["train_error"]),
            "test": with_spread(e["test_error"]),
        }
        for (kind, depth), e in ends.items()
    ]
    shallow, deep = min(depths), max(depths)
    rise = {
        kind: ends[kind, deep]["train_error"].mean() - ends[kind, shallow]["train_error"].mean()
        for kind in ("plain", "residual")
    }
    return {"charts": charts, "table": table, "says": _says(rise, shallow, deep)}


def _says(rise: Mapping[str, float], shallow: int, deep: int) -> str:
    """The result as a sentence made from the numbers."""

    def moved(kind: str) -> str:
        way = "higher" if rise[kind] > 0 else "lower"
        return f"{abs(rise[kind]):.1f} percentage points {way} with {deep} layers than with {shallow}"

    return (
        f"At the end the training error is {moved('plain')} without shortcuts, and {moved('residual')} with them "
        "(means over the seeds)."
    )


def gradients(rows: Sequence[Row]) -> dict[str, Any]:
    """The gradient's norm layer by layer, in the deepest networks."""
    depth = max(int(row["depth"]) for row in rows)
    charts = []
    for when, label in (("start", "before training"), ("end", "after training")):
        series = [
            Series(f"{kind}, {depth} layers", f"{kind} deep", range(1, values.shape[1] + 1), values)
            for kind in ("plain", "residual")
            if (values := by_seed(rows, kind, depth, "norm", when=when)).size
        ]
        charts.append(line_chart(series, "convolution", f"gradient norm, {label}", logarithmic=True))
    return {"charts": charts, "depth": depth}


def lesion(rows: Sequence[Row]) -> dict[str, Any]:
    """The share of a network's accuracy that is lost when a block is left out."""
    kinds = kinds_of(rows)
    depth = max(depth for _, depth in kinds)
    drops = {
        (kind, d): 100 * (1 - by_seed(rows, kind, d, "accuracy_without") / by_seed(rows, kind, d, "accuracy"))
        for kind, d in kinds
    }
    blocks = [row["block"] for row in rows if row["kind"] == "plain" and int(row["depth"]) == depth]
    names = list(dict.fromkeys(blocks))
    series = [
        Series(f"{kind}, {depth} layers", f"{kind} deep", range(1, len(names) + 1), drops[kind, depth])
        for kind in ("plain", "residual")
    ]
    table = [
        {
            "name": f"{kind}, {d} layers",
            "accuracy": with_spread(100 * by_seed(rows, kind, d, "accuracy")[:, 0]),
            "mean": with_spread(values.mean(1)),
            "most": with_spread(values.max(1)),
            "blocks": values.shape[1],
        }
        for (kind, d), values in drops.items()
    ]
    plain, residual = (drops[kind, depth].mean() for kind in ("plain", "residual"))
    return {
        "charts": [line_chart(series, "block left out", "accuracy lost, % of the whole network's")],
        "table": table,
        "names": ", ".join(names),
        "says": f"With {depth} layers, leaving out one block costs the plain network {plain:.1f} % of its accuracy on "
        f"average, the residual one {residual:.1f} %.",
    }

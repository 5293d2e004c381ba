"""The report on the papers' designs compared, from the committed tables. No torch here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from generator.core.records import study_name
from generator.site.chapters.design_pages import cardinality, order, shortcuts
from generator.site.chapters.experiment_tables import (
    Row,
    by_seed,
    committed,
    kinds_of,
    results,
)
from generator.site.chapters.feature_pages import refinement, zero_blocks
from generator.site.chapters.published import quotations
from generator.site.figures.charts import Series, line_chart
from generator.site.formats import mean_and_spread
from generator.site.reading.atlas import Atlas

# Sections that are shown where their tables are committed.
SECTIONS: tuple[tuple[str, tuple[str, ...], Callable[..., dict[str, Any]]], ...] = (
    ("shortcuts", ("shortcuts",), shortcuts),
    ("order", ("order",), order),
    ("cardinality", ("cardinality",), cardinality),
    ("refinement", ("refinement",), refinement),
    ("zero_blocks", ("zero_blocks", "zero_features", "zero_branches", "zero_hidden"), zero_blocks),
)


def experiments_page(atlases: Sequence[Atlas] = ()) -> dict[str, Any] | None:
    """Everything the report says; None where nothing has been run. atlases: of the site, of which those of the
    experiments' networks are linked."""
    found = results()
    if found is None:
        return None
    return {
        "setting": found["setting"],
        "derived": derived(found["setting"]),
        "quoted": quotations(),
        "atlases": {name: looked_at(rows, atlases) for name, rows in found.items() if name != "setting"},
        "degradation": degradation(found["degradation"]),
        "gradients": gradients(found["gradients"]),
        "lesion": lesion(found["lesion"]),
        **{
            name: make(*(found[table] for table in tables))
            if all(table in found for table in tables)
            else None
            for name, tables, make in SECTIONS
        },
        "files_all": [f"{name}.csv" for name in committed()],
    }


def derived(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers that follow from the setting. updates: of a whole training; chance: % of drawings that a guess names
    rightly; per_class: drawings to learn from; gate: a gate's value before training, where its input is zero."""
    return {
        "updates": setting["epochs"] * (setting["pictures"] // setting["batch"]),
        "chance": f"{100 / setting['classes']:.1f}",
        "per_class": setting["pictures"] // setting["classes"],
        "gate": f"{1 / (1 + math.exp(-setting['gate'])):.4f}",
    }


def looked_at(rows: Sequence[Row], atlases: Sequence[Atlas]) -> list[Atlas]:
    """The atlases of a table's networks, in the site's order."""
    kinds = {(row["kind"], row.get("depth")) for row in rows}
    # A table without depths is of networks that have one depth each.
    models = {study_name(kind, int(depth)) for kind, depth in kinds if depth}
    beginnings = {study_name(kind, 0).removesuffix("0") for kind, depth in kinds if not depth}
    return [
        atlas
        for atlas in atlases
        if atlas.manifest.model in models or atlas.manifest.model.rpartition("-")[0] + "-" in beginnings
    ]


def _style(kind: str, depth: int, depths: Sequence[int]) -> str:
    return f"{kind} {'deep' if depth == max(depths) else 'shallow'}"


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
            "train": mean_and_spread(e["train_error"]),
            "test": mean_and_spread(e["test_error"]),
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
            "accuracy": mean_and_spread(100 * by_seed(rows, kind, d, "accuracy")[:, 0]),
            "mean": mean_and_spread(values.mean(1)),
            "most": mean_and_spread(values.max(1)),
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

"""The report on the papers' designs compared, from the committed tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from generator.core.records import study_name
from generator.site.chapters.chapter import SharedChapter
from generator.site.chapters.experiment_designs import Cardinality, Comparison, cardinality, order, shortcuts
from generator.site.chapters.experiment_differences import LEVEL, Estimate, estimate, sign_test
from generator.site.chapters.experiment_features import ZeroBlocks, refinement, zero_blocks
from generator.site.chapters.experiment_tables import (
    SETTING_FILE,
    Rows,
    StudySetting,
    Table,
    by_seed,
    kinds_of,
    results,
)
from generator.site.chapters.published import Quotations, quotations
from generator.site.figures.charts import LineChart, Series, line_chart
from generator.site.formats import fixed, interval, mean_and_spread
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site

Section = TypeVar("Section")
KINDS = ("plain", "residual")


@dataclass(frozen=True)
class Degradation:
    """Curves of training and test error, and the errors at the end."""

    summary: str
    charts: Sequence[LineChart]
    table: Table


@dataclass(frozen=True)
class Gradients:
    """The gradient's norm layer by layer, in networks of `depth` layers."""

    depth: int
    charts: Sequence[LineChart]


@dataclass(frozen=True)
class Lesion:
    """The share of its accuracy that a network loses without one of its blocks. blocks: of the charts, in order."""

    summary: str
    charts: Sequence[LineChart]
    table: Table
    blocks: Sequence[str]


@dataclass(frozen=True)
class ExperimentsPage:
    """The variables of experiments.html. A section is None where its tables are not committed; atlases: by table, those
    of the site that show its networks; files: all that can be downloaded; sign_test: how often all seeds agree by
    chance; level: below which a corrected p is called clear; drawings: half of the widest 95 % interval of an accuracy
    on as many drawings as are held out."""

    setting: StudySetting
    sign_test: str
    level: float
    drawings: float
    quoted: Quotations
    atlases: Mapping[str, Sequence[Atlas]]
    degradation: Degradation
    gradients: Gradients
    lesion: Lesion
    shortcuts: Comparison | None
    order: Comparison | None
    cardinality: Cardinality | None
    refinement: Comparison | None
    zero_blocks: ZeroBlocks | None
    files: Sequence[str]


def experiments_page(atlases: Sequence[Atlas] = ()) -> ExperimentsPage | None:
    """None where nothing was run. atlases: of the site."""
    committed = results()
    if committed is None:
        return None
    tables = committed.tables

    def section(make: Callable[..., Section], *names: str) -> Section | None:
        return make(*(tables[name] for name in names)) if all(name in tables for name in names) else None

    return ExperimentsPage(
        setting=committed.setting,
        sign_test=sign_test(len(committed.setting.seeds)),
        level=LEVEL,
        drawings=1.96 * math.sqrt(0.25 / committed.setting.held_out),
        quoted=quotations(),
        atlases={name: atlases_of(rows, atlases) for name, rows in tables.items()},
        degradation=degradation(tables["degradation"]),
        gradients=gradients(tables["gradients"]),
        lesion=lesion(tables["lesion"]),
        shortcuts=section(shortcuts, "shortcuts"),
        order=section(order, "order"),
        cardinality=section(cardinality, "cardinality"),
        refinement=section(refinement, "refinement"),
        zero_blocks=section(zero_blocks, "zero_blocks", "zero_features", "zero_branches", "zero_hidden"),
        files=[*(f"{name}.csv" for name in tables), SETTING_FILE],
    )


def atlases_of(rows: Rows, atlases: Sequence[Atlas]) -> list[Atlas]:
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


def degradation(rows: Rows) -> Degradation:
    """Whether depth alone makes the training error worse."""
    kinds = kinds_of(rows)
    shallow, deep = min(depth for _, depth in kinds), max(depth for _, depth in kinds)
    percent = {
        (kind, depth, column): 100 * by_seed(rows, kind, depth, column)
        for kind, depth in kinds
        for column in ("train_error", "test_error")
    }

    def chart(column: str, label: str) -> LineChart:
        series = []
        for kind, depth in kinds:
            values = percent[kind, depth, column]
            style = f"{kind} {'deep' if depth == deep else 'shallow'}"
            series.append(Series(_name(kind, depth), style, range(1, values.shape[1] + 1), values))
        return line_chart(series, "epoch", label)

    ends = {key: values[:, -1] for key, values in percent.items()}
    rise = {
        kind: estimate(ends[kind, deep, "train_error"] - ends[kind, shallow, "train_error"]) for kind in KINDS
    }
    return Degradation(
        summary=_summary_of_degradation(rise, shallow, deep),
        charts=[
            chart("train_error", "training error, %"),
            chart("test_error", "error on held-out drawings, %"),
        ],
        table=Table(
            ("network", "training error, %", "held-out error, %"),
            [
                [
                    _name(kind, depth),
                    mean_and_spread(ends[kind, depth, "train_error"]),
                    mean_and_spread(ends[kind, depth, "test_error"]),
                ]
                for kind, depth in kinds
            ],
        ),
    )


def _name(kind: str, depth: int) -> str:
    return f"{kind}, {depth} layers"


def _summary_of_degradation(rise: Mapping[str, Estimate], shallow: int, deep: int) -> str:
    """rise: of the training error from the shallow to the deep network, in percentage points, by kind."""

    def moved(kind: str) -> str:
        direction = "higher" if rise[kind].mean > 0 else "lower"
        points = f"{fixed(abs(rise[kind].mean), 1)} percentage points {direction}"
        limits = rise[kind].limits
        if limits is None:
            return points
        low, high = limits
        unclear = ", not clearly different" if low <= 0 <= high else ""
        return f"{points} (95 % interval {interval(low, high)}{unclear})"

    return (
        f"With {deep} layers the training error at the end is, without shortcuts, {moved('plain')} than with "
        f"{shallow}; with shortcuts {moved('residual')}. Means over the seeds."
    )


def gradients(rows: Rows) -> Gradients:
    """The gradient's norm layer by layer, in the deepest networks."""
    depth = max(int(row["depth"]) for row in rows)

    def chart(when: str, label: str) -> LineChart:
        series = [
            Series(_name(kind, depth), f"{kind} deep", range(1, values.shape[1] + 1), values)
            for kind in KINDS
            if (values := by_seed(rows, kind, depth, "norm", when=when)).size
        ]
        return line_chart(series, "convolution", f"gradient norm, {label}", logarithmic=True)

    return Gradients(depth, [chart("start", "before training"), chart("end", "after training")])


def lesion(rows: Rows) -> Lesion:
    """The share of a network's accuracy that is lost without one block."""
    kinds = kinds_of(rows)
    deep = max(depth for _, depth in kinds)
    accuracy = {(kind, depth): 100 * by_seed(rows, kind, depth, "accuracy") for kind, depth in kinds}
    lost = {
        (kind, depth): 100
        * (1 - by_seed(rows, kind, depth, "accuracy_without") / by_seed(rows, kind, depth, "accuracy"))
        for kind, depth in kinds
    }
    blocks = list(
        dict.fromkeys(row["block"] for row in rows if (row["kind"], int(row["depth"])) == ("plain", deep))
    )
    series = [
        Series(_name(kind, deep), f"{kind} deep", range(1, len(blocks) + 1), lost[kind, deep])
        for kind in KINDS
    ]
    plain, residual = (estimate(lost[kind, deep].mean(1)).within(-np.inf, 100) for kind in KINDS)
    heads = (
        "network",
        "blocks tried",
        "accuracy of the whole, % (95 % interval)",
        "lost without one block: mean, %",
        "maximum, %",
    )
    return Lesion(
        summary=f"With {deep} layers, leaving out one block costs the plain network {plain.text()} % of its accuracy "
        f"on average, the residual one {residual.text()} %"
        + (" (means over the seeds; in brackets 95 % intervals)." if plain.limits else "."),
        charts=[line_chart(series, "block left out", "accuracy lost, % of the whole network's")],
        table=Table(
            heads,
            [
                [
                    _name(kind, depth),
                    str(values.shape[1]),
                    estimate(accuracy[kind, depth][:, 0]).within(0, 100).text(),
                    mean_and_spread(values.mean(1)),
                    mean_and_spread(values.max(1)),
                ]
                for (kind, depth), values in lost.items()
            ],
        ),
        blocks=blocks,
    )


def write(site: Site, atlases: Sequence[Atlas]) -> None:
    report = experiments_page(atlases)
    if report is None:
        return
    CHAPTER.write_page(site, report)
    folder = Path(__file__).parents[1] / "data" / "experiments"
    for name in report.files:
        site.copy(folder / name, f"networks/data/{name}")


CHAPTER = SharedChapter(
    name="experiments",
    title="Designs, compared",
    template="experiments.html",
    present=lambda atlases: results() is not None,
    write=write,
)

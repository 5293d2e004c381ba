"""The report's sections on depth: errors of plain and residual networks, gradients, and blocks left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.chapters.experiment_differences import (
    MARGIN,
    Difference,
    band_of,
    corrected,
    difference,
    differences_table,
    estimate,
    fixed_margin,
)
from generator.site.chapters.experiment_tables import Rows, Table, by_seed, kinds_of, listed
from generator.site.figures.charts import LineChart, Series, line_chart
from generator.site.formats import fixed

KINDS = ("plain", "residual")
FIT = "fit_error"  # the column of the training error that is compared


@dataclass(frozen=True)
class Degradation:
    """Curves of training and held-out error, the errors at the end, and their differences: of each kind between depths,
    and between the kinds at each depth. depths: of the networks; seeds: of each."""

    summary: str
    depths: Sequence[int]
    seeds: int
    charts: Sequence[LineChart]
    differences: Table
    table: Table


@dataclass(frozen=True)
class Gradients:
    """The gradient's norm layer by layer, in networks of `depth` layers."""

    depth: int
    charts: Sequence[LineChart]


@dataclass(frozen=True)
class Lesion:
    """The share of its accuracy that a network loses without one of its blocks. differences: between the kinds; blocks:
    of the charts, in order."""

    summary: str
    charts: Sequence[LineChart]
    differences: Table
    table: Table
    blocks: Sequence[str]


def degradation(rows: Rows) -> Degradation:
    """Whether depth alone makes the training error worse."""
    kinds = kinds_of(rows)
    depths = sorted({depth for _, depth in kinds})
    ends = {
        (kind, depth, column): 100 * by_seed(rows, kind, depth, column)[:, -1]
        for kind, depth in kinds
        for column in (FIT, "train_error", "test_error")
    }
    by_depth, by_kind = rises(ends, depths), gains(ends, depths)
    family = corrected([*by_depth, *by_kind])
    by_depth, by_kind = family[: len(by_depth)], family[len(by_depth) :]
    return Degradation(
        summary=_summary(by_depth, by_kind, depths),
        depths=depths,
        seeds=len(ends[kinds[0][0], depths[0], FIT]),
        charts=[
            _curves(rows, kind, depths, column, label)
            for column, label in (
                ("train_error", "training error"),
                ("test_error", "error on held-out drawings"),
            )
            for kind in KINDS
        ],
        differences=differences_table(family, "training error"),
        table=Table(
            (
                "network",
                "training error, %",
                "training error during the last epoch, %",
                "held-out error, %",
            ),
            [
                [
                    _name(kind, depth),
                    *(
                        estimate(ends[kind, depth, column]).within(0, 100).text()
                        for column in (FIT, "train_error", "test_error")
                    ),
                ]
                for kind, depth in kinds
            ],
        ),
    )


def rises(ends: dict[tuple[str, int, str], np.ndarray], depths: Sequence[int]) -> list[Difference]:
    """Of each kind, the training error of the deeper networks less that of the shallowest; seed by seed."""
    return [
        difference(
            f"{kind}, {depth} less {depths[0]} layers", ends[kind, depth, FIT] - ends[kind, depths[0], FIT]
        )
        for kind in KINDS
        for depth in depths[1:]
    ]


def gains(ends: dict[tuple[str, int, str], np.ndarray], depths: Sequence[int]) -> list[Difference]:
    """At each depth, the training error of the residual network less that of the plain one; seed by seed."""
    return [
        difference(
            f"residual less plain, {depth} layers", ends["residual", depth, FIT] - ends["plain", depth, FIT]
        )
        for depth in depths
    ]


def _summary(by_depth: Sequence[Difference], by_kind: Sequence[Difference], depths: Sequence[int]) -> str:
    """by_depth: in the order of `rises`; by_kind: in that of `gains`."""
    count = len(depths) - 1
    sentences = []
    for kind, own in zip(KINDS, (by_depth[:count], by_depth[count:]), strict=True):
        found = [
            f"{_in_words(each)} with {depth} layers" for depth, each in zip(depths[1:], own, strict=True)
        ]
        than = f"Against the {kind} network of {depths[0]} layers, the training error of {kind} networks is"
        sentences.append(f"{than} {listed(found)}.")
    sentences.append(
        f"Against the plain network of {depths[-1]} layers, the training error of the residual network of "
        f"{depths[-1]} layers is {_in_words(by_kind[-1])}."
    )
    return " ".join(sentences) + " In brackets differences in percentage points with 95 % intervals."


def _in_words(each: Difference) -> str:
    verdict = each.verdict(MARGIN)
    if verdict == "no difference":
        verdict = f"not different by {fixed_margin(MARGIN)} percentage points or more"
    verdict = verdict.replace(
        ", within the margin", f" by less than {fixed_margin(MARGIN)} percentage points"
    )
    return f"{verdict} ({each.estimate.signed_text()})"


def _name(kind: str, depth: int) -> str:
    return f"{kind}, {depth} layers"


def _curves(rows: Rows, kind: str, depths: Sequence[int], column: str, label: str) -> LineChart:
    """The error epoch by epoch, as in Figure 6 of the paper; 0 … 100 % in all charts, so that they can be compared."""
    tested = sorted({int(row["epoch"]) for row in rows if row[column]})
    series = []
    for place, depth in enumerate(depths):
        values = 100 * by_seed(rows, kind, depth, column)
        style = f"{kind} depth{place + 1 + (4 - len(depths))}"
        series.append(Series(f"{depth} layers", style, tested, values, band_of(values)))
    return line_chart(series, "epoch", f"{kind}: {label}, %", y_ends=(0, 100))


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
        Series(
            _name(kind, deep),
            f"{kind} deep",
            range(1, len(blocks) + 1),
            lost[kind, deep],
            np.minimum(band_of(lost[kind, deep]), 100),
        )
        for kind in KINDS
    ]
    depths = sorted({depth for _, depth in kinds})
    family = corrected(
        [
            difference(
                f"residual less plain, {depth} layers",
                lost["residual", depth].mean(1) - lost["plain", depth].mean(1),
            )
            for depth in depths
        ]
    )
    heads = (
        "network",
        "blocks tried",
        "accuracy of the whole, % (95 % interval)",
        "lost without one block: mean, % (95 % interval)",
        "maximum, % (95 % interval)",
    )
    return Lesion(
        summary=_summary_of_lesions(lost, accuracy, depths),
        differences=differences_table(family, "accuracy lost"),
        charts=[line_chart(series, "block left out", "accuracy lost, % of the whole network's")],
        table=Table(
            heads,
            [
                [
                    _name(kind, depth),
                    str(values.shape[1]),
                    estimate(accuracy[kind, depth][:, 0]).within(0, 100).text(),
                    estimate(values.mean(1)).within(-np.inf, 100).text(),
                    estimate(values.max(1)).within(-np.inf, 100).text(),
                ]
                for (kind, depth), values in lost.items()
            ],
        ),
        blocks=blocks,
    )


def _summary_of_lesions(
    lost: dict[tuple[str, int], np.ndarray],
    accuracy: dict[tuple[str, int], np.ndarray],
    depths: Sequence[int],
) -> str:
    """lost: % of the accuracy, (seeds, blocks), by kind and depth; accuracy: % of the whole network, alike."""
    sentences = []
    for depth in depths:
        if lost["plain", depth].shape[1] < 2 and depth != depths[-1]:
            continue  # a single block
        plain, residual = (
            f"{estimate(lost[kind, depth].mean(1)).within(-np.inf, 100).text()} % of its accuracy "
            f"of {fixed(float(accuracy[kind, depth].mean()), 1)} %"
            for kind in KINDS
        )
        sentences.append(
            f"With {depth} layers, leaving out one block costs the plain network on average {plain}, the residual "
            f"network {residual}."
        )
    brackets = " In brackets 95 % intervals over the seeds." if len(next(iter(lost.values()))) > 1 else ""
    return " ".join(sentences) + brackets

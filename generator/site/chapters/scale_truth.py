"""How the criteria of scale invariance fare where the sizes in the pictures are known (scale_truth.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Plot
from generator.site.formats import correlation, p_in_words, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.stream import TestResult

CERTAIN = 0.01  # a p value below this is taken as a difference
SIDES = ("input", "block", "output")


@dataclass(frozen=True)
class Agreement:
    """Of channels that meet a criterion with their true invariance. auc: area under the ROC curve; yes, no: channels
    that meet the criterion, and others."""

    auc: float
    p: float
    yes: int
    no: int


@dataclass(frozen=True)
class TruthRow:
    """A block, or all of them. median: true invariance; criteria, invariant: agreement of both criteria, and of the
    criteria and a mixing ratio, with the invariance; gain: of the latter with the gain in invariance; rank, rank_gain:
    rank correlation of ΔB + ΔI with both. None where there are too few channels."""

    block: str
    median: float | None
    criteria: Agreement | None
    invariant: Agreement | None
    gain: Agreement | None
    rank: TestResult | None
    rank_gain: TestResult | None


@dataclass(frozen=True)
class Responses:
    """A channel's responses to the class that drives it most, by size, drawn. invariance: its true one."""

    block: str
    channel: int
    class_name: str
    invariance: float
    svg: Markup


@dataclass(frozen=True)
class ScaleTruth:
    """drawings: of each class at each size; scales: the sizes, as shares of the picture's side; whole: all blocks."""

    gist: str
    scales: Sequence[float]
    drawings: int
    classes: int
    blocks: Sequence[TruthRow]
    whole: TruthRow
    curves: Sequence[Responses]


def scale_truth(atlas: Atlas) -> ScaleTruth | None:
    """None where the pictures are not drawn."""
    report = atlas.store.tables.read_json("scale_truth.json")
    if not report:
        return None
    whole = _row(report["whole"])
    return ScaleTruth(
        gist=truth_gist(whole.invariant),
        scales=report["scales"],
        drawings=report["drawings"],
        classes=report["classes"],
        blocks=[_row(block) for block in report["blocks"]],
        whole=whole,
        curves=[_responses(curve, report["scales"]) for curve in report["curves"]],
    )


def _row(data: Mapping[str, Any]) -> TruthRow:
    return TruthRow(
        block=data.get("block", ""),
        median=data.get("median"),
        criteria=_agreement(data["criteria"]),
        invariant=_agreement(data["invariant"]),
        gain=_agreement(data["gain"]),
        rank=_result(data["rank"]),
        rank_gain=_result(data["rank_gain"]),
    )


def _agreement(data: Mapping[str, Any] | None) -> Agreement | None:
    return None if data is None else Agreement(**data)


def _result(data: Mapping[str, Any] | None) -> TestResult | None:
    return None if data is None else TestResult(**data)


def truth_gist(agreement: Agreement | None) -> str:
    """One sentence on whether the criteria tell truly invariant channels from others."""
    if agreement is None:
        return "Too few channels meet the criteria to compare them with the true invariance."
    numbers = f"(area under the ROC curve {correlation(agreement.auc)}, {p_in_words(agreement.p)})"
    if agreement.p >= CERTAIN:
        return f"Here the criteria do not tell truly invariant channels from the others {numbers}."
    if agreement.auc > 0.5:
        return (
            f"Here the criteria tell truly invariant channels from the others better than chance {numbers}."
        )
    return f"Here the channels that meet the criteria are truly less invariant than the others {numbers}."


def _responses(data: Mapping[str, Any], scales: Sequence[float]) -> Responses:
    """Along the shortcut, from the branch, and leaving the block."""
    octaves = np.log2(scales).tolist()
    marks = [(octave, significant(scale, 2)) for octave, scale in zip(octaves, scales, strict=True)]
    x = Axis(octaves[0] - 0.1, octaves[-1] + 0.1, "size, of the picture's side", marks)
    values = [value for side in SIDES for value in data["answers"][side]]
    name = f"{data['block']} {data['channel']}: responses to {data['class']} by size"
    plot = Plot(name, x, Axis.over(values, "act. above the ground's", include=0.0), 300, 200)
    for side in SIDES:
        plot.curve(list(zip(octaves, data["answers"][side], strict=True)), side)
    return Responses(data["block"], data["channel"], data["class"], data["invariance"], plot.svg())

"""How well the measures of scale invariance find invariant channels where the sizes in the pictures are known: on the
atlas's own drawings (scale_truth.json), for all other atlases on those of the demo network (data/scale_validation.json,
which `python -m tools.scale_validation` writes)."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup

from generator.site.figures.axis import Axis
from generator.site.figures.svg_plots import Plot
from generator.site.formats import correlation, interval, significant
from generator.site.reading.atlas import Atlas

GOOD = 0.8  # the area under the ROC curve that a measure must reach before a page ranks channels by it; set beforehand
CHANCE = 0.5
SIDES = ("input", "block", "output")
RANKING = ("zoom_invariance", "zoom_correlation")  # the measures that a page would rank by
NAMES = {
    "criteria": "ΔB and ΔI above 0",
    "invariant": "ΔB and ΔI above 0, mix ratio near 1 (Longon's three criteria)",
    "scale_sum": "ΔB + ΔI",
    "corrected": "ΔB′ and ΔI′ with intervals above 0",
    "corrected_sum": "ΔB′ + ΔI′",
    "zoom_invariance": "zoom invariance",
    "zoom_correlation": "zoom correlation",
}


@dataclass(frozen=True)
class Area:
    """The area under the ROC curve and its interval at 95 % over the drawings."""

    auc: float
    low: float
    high: float

    @property
    def in_words(self) -> str:
        return f"{correlation(self.auc)} ({interval(self.low, self.high, 2)})"


Areas = Mapping[str, Area]  # by measure


@dataclass(frozen=True)
class BlockRow:
    """A block, or all of them. median: true invariance; reliability: of the true invariance on half of the drawings,
    None where it is not defined."""

    block: str
    median: float | None
    reliability: float | None
    areas: Areas


@dataclass(frozen=True)
class Source:
    """Whose validation it is, where it is not the atlas's own."""

    network: str
    sha256: str
    pictures: int
    date: str


@dataclass(frozen=True)
class RandomWeights:
    """The same architecture with random weights on the same pictures: shares of the channels with a positive ΔB, a
    positive ΔI, both, and all three criteria."""

    channels: int
    block: float
    input: float
    both: float
    invariant: float


@dataclass(frozen=True)
class Responses:
    """A channel's responses to the class that drives it most, by size, drawn. invariance: on these drawings."""

    block: str
    channel: int
    class_name: str
    invariance: float
    invariant: bool
    svg: Markup


@dataclass(frozen=True)
class Validation:
    """drawings: of each class at each size; scales: the sizes, as shares of the picture's side; driving: how many
    classes a channel's invariance is measured on; whole: all blocks; source: None for the atlas's own."""

    scales: Sequence[float]
    drawings: int
    classes: int
    driving: int
    blocks: Sequence[BlockRow]
    whole: BlockRow
    curves: Sequence[Responses]
    source: Source | None
    random: RandomWeights

    @property
    def named(self) -> Sequence[tuple[str, str, Area]]:
        """Key, name and area of every measure that was validated."""
        return [(key, name, self.whole.areas[key]) for key, name in NAMES.items() if key in self.whole.areas]

    @property
    def usable(self) -> str:
        """The measure that finds invariant channels best, '' where none does so well enough."""
        known = [(self.whole.areas[key].auc, key) for key in RANKING if key in self.whole.areas]
        return max(known)[1] if known and max(known)[0] >= GOOD else ""

    @property
    def sentences(self) -> str:
        """What stands first on the page."""
        where = (
            f"On drawings of known size, made for the {self.source.network} network and not for this one,"
            if self.source
            else "On drawings of known size"
        )
        areas, parts = self.whole.areas, []
        if "invariant" in areas:
            area = areas["invariant"]
            verdict = "do not find" if area.low <= CHANCE else "hardly find" if area.auc < GOOD else "find"
            parts.append(
                f"{where} Longon's criteria {verdict} the invariant channels: area under the ROC curve "
                f"{correlation(area.auc)} (95 % interval {interval(area.low, area.high, 2)}; {CHANCE} is chance)."
            )
        zooms = [f"{NAMES[key]} {areas[key].in_words}" for key in RANKING if key in areas]
        if zooms:
            parts.append(f"The measures at five zooms: {', '.join(zooms)}.")
        needed = correlation(GOOD).rstrip("0")
        if self.usable:
            parts.append(
                f"Channels are ranked by {NAMES[self.usable]}, which reaches the {needed} that we set beforehand."
            )
        else:
            parts.append(
                f"None reaches the {needed} that we set beforehand, so this page ranks no channels and calls none "
                "scale invariant."
            )
        return " ".join(parts)


def validation(atlas: Atlas) -> Validation:
    """The atlas's own where its pictures are drawn, else the demo network's."""
    own = atlas.store.tables.read_json("scale_truth.json")
    shipped = shipped_validation()
    if own and own.get("whole", {}).get("auc"):
        return _validation(own, None, shipped["random"])
    return _validation(shipped["truth"], Source(**shipped["source"]), shipped["random"])


@functools.cache
def shipped_validation() -> Mapping[str, Any]:
    """What data/scale_validation.json holds."""
    text = (resources.files("generator.site") / "data" / "scale_validation.json").read_text("utf-8")
    data: Mapping[str, Any] = json.loads(text)
    return data


def _validation(report: Mapping[str, Any], source: Source | None, random: Mapping[str, Any]) -> Validation:
    curves = report.get("curves", ())
    return Validation(
        scales=report["scales"],
        drawings=report["drawings"],
        classes=report["classes"],
        driving=report["driving"],
        blocks=[_row(block) for block in report.get("blocks", ())],
        whole=_row(report["whole"]),
        curves=[_responses(curve, report["scales"]) for curve in curves],
        source=source,
        random=RandomWeights(**random),
    )


def _row(data: Mapping[str, Any]) -> BlockRow:
    areas = {
        name: Area(area["auc"], area["low"], area["high"])
        for name, area in data["auc"].items()
        if area is not None
    }
    return BlockRow(data.get("block", ""), data.get("median"), data.get("reliability"), areas)


def _responses(data: Mapping[str, Any], scales: Sequence[float]) -> Responses:
    """Along the shortcut, from the branch, and leaving the block."""
    octaves = np.log2(scales).tolist()
    marks = [(octave, significant(scale, 2)) for octave, scale in zip(octaves, scales, strict=True)]
    x = Axis(octaves[0] - 0.1, octaves[-1] + 0.1, "size, of the picture's side", marks)
    values = [value for side in SIDES for value in data["answers"][side]]
    name = f"{data['block']} {data['channel']}: responses to {data['class']} by size"
    plot = Plot(name, x, Axis.over(values, "above the background", include=0.0), 200)
    for side in SIDES:
        plot.curve(list(zip(octaves, data["answers"][side], strict=True)), side)
    return Responses(
        data["block"], data["channel"], data["class"], data["invariance"], data["invariant"], plot.svg()
    )

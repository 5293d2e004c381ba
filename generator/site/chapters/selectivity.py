"""The chapter *Selectivity*: what channels have to do with classes, next to chance and to random directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.chapters.chapter import Chapter
from generator.site.chapters.selectivity_figures import EntropyCurves, Profile, entropy_curves, profile
from generator.site.reading.atlas import Atlas
from generator.site.reading.class_report import Band, ClassReport, LayerMeasure
from generator.site.reading.interval import Interval
from generator.site.reading.measure import Measure
from generator.site.reading.measures import BY_KEY
from generator.site.writing import Site

SHOWN = (
    "class_auroc", "group_auroc", "class_precision", "group_precision", "label_agreement", "label_purity",
    "group_purity", "visual_agreement",
)  # fmt: skip
LISTED = 60  # classes with their best channels; where there are more, those whose channels are best on the first half


@dataclass(frozen=True)
class LayerRow:
    """A measure in one layer."""

    layer: str
    channels: int
    mean: Interval
    directions: Interval
    difference: Interval | None
    reliability: float | None
    repeats: bool


@dataclass(frozen=True)
class MeasureSection:
    """chance: of nine random pictures, or of pictures in random order; chosen: what the best class of a random order
    has on the half that it is chosen on; above, below: in how many layers the channels' mean is above or below that of
    random directions, with an interval that excludes zero; compared: in how many it could be; repeats: in how many the
    measure repeats."""

    measure: Measure
    chance: Band | None
    chosen: Band | None
    profile: Profile | None
    rows: Sequence[LayerRow]
    above: int
    below: int
    compared: int
    repeats: int


@dataclass(frozen=True)
class BestChannel:
    """The channel with the highest AUROC for a class on the half of the pictures that it is chosen on (`chosen`); the
    other numbers are those of the other half."""

    name: str
    layer: str
    channel: int
    chosen: float
    area: Interval
    precision: float
    prevalence: float


@dataclass(frozen=True)
class BestChannels:
    """kind: classes or groups; total: how many have enough pictures; unclaimed: those for which no channel is best."""

    kind: str
    entries: Sequence[BestChannel]
    total: int
    left_out: int
    unclaimed: int


@dataclass(frozen=True)
class SelectivityPage:
    """alone: whether each class has one picture."""

    report: ClassReport
    alone: bool
    sections: Sequence[MeasureSection]
    curves: EntropyCurves | None
    best: Sequence[BestChannels]


def present(atlas: Atlas) -> bool:
    report = atlas.class_report
    return report is not None and any(layer.measures for layer in report.layers.values())


def write(site: Site, atlas: Atlas) -> None:
    CHAPTER.write_page(site, atlas, selectivity_page(atlas))


def selectivity_page(atlas: Atlas) -> SelectivityPage:
    """The network's page, for an atlas where the chapter is present."""
    report = atlas.class_report
    assert report is not None
    sections = [section for key in SHOWN if (section := _section(atlas, report, key)) is not None]
    best = [_best_channels(atlas, report, kind) for kind in ("class", "group")]
    return SelectivityPage(
        report=report,
        alone=bool(atlas.class_labels) and not atlas.labels_repeat,
        sections=sections,
        curves=entropy_curves(atlas, report),
        best=[each for each in best if each.entries],
    )


def _section(atlas: Atlas, report: ClassReport, key: str) -> MeasureSection | None:
    rows = [
        _row(report, layer.name, measure)
        for layer in atlas.layers
        if (measure := report.measure(layer.name, key)) is not None
    ]
    if not rows:
        return None
    compared = [row.difference for row in rows if row.difference and row.difference.low is not None]
    return MeasureSection(
        measure=BY_KEY[key],
        chance=report.chance.get(key),
        chosen=report.chance.get(f"{key}_chosen"),
        profile=profile(report, key, atlas.blocks or atlas.layers),
        rows=rows,
        above=sum(each.low is not None and each.low > 0 for each in compared),
        below=sum(each.high is not None and each.high < 0 for each in compared),
        compared=len(compared),
        repeats=sum(row.repeats for row in rows),
    )


def _row(report: ClassReport, layer: str, measure: LayerMeasure) -> LayerRow:
    reliability = measure.reliability
    return LayerRow(
        layer=layer,
        channels=measure.channels,
        mean=_interval(report, measure.mean, measure.error) or Interval(float("nan"), None, None),
        directions=Interval(
            float("nan") if measure.directions_mean is None else measure.directions_mean,
            measure.directions_low,
            measure.directions_high,
        ),
        difference=_interval(report, measure.difference, measure.difference_error),
        reliability=reliability,
        repeats=reliability is not None and reliability >= report.reliable,
    )


def _interval(report: ClassReport, value: float | None, error: float | None) -> Interval | None:
    if value is None:
        return None
    return Interval(value, *((None, None) if error is None else report.interval(value, error)))


def _best_channels(atlas: Atlas, report: ClassReport, kind: str) -> BestChannels:
    entries: dict[int, BestChannel] = {}
    names = atlas.kind_names(kind)
    for layer in atlas.layers:
        arrays = atlas.layer(layer.name).arrays
        if f"best_{kind}" not in arrays or report.does_not_repeat(layer.name, f"{kind}_auroc"):
            continue
        best, chosen = arrays[f"best_{kind}"], arrays[f"{kind}_auroc_chosen"]
        for number in np.unique(best[best >= 0]).tolist():
            channel = int(np.argmax(np.where(best == number, chosen, -np.inf)))
            if number in entries and entries[number].chosen >= chosen[channel]:
                continue
            area, low, high, precision, prevalence = (
                float(arrays[f"{kind}_{key}"][channel])
                for key in ("auroc", "auroc_low", "auroc_high", "precision", "prevalence")
            )
            entries[number] = BestChannel(
                names[number],
                layer.name,
                channel,
                float(chosen[channel]),
                Interval(area, low, high),
                precision,
                prevalence,
            )
    total = report.enough.get(kind, 0)
    listed = sorted(entries.values(), key=lambda entry: -entry.chosen)[:LISTED]
    return BestChannels(
        "groups" if kind == "group" else "classes",
        sorted(listed, key=lambda entry: entry.name.casefold()),
        total,
        len(entries) - len(listed),
        total - len(entries),
    )


CHAPTER = Chapter(
    name="selectivity",
    title="Selectivity",
    template="selectivity.html",
    summary="what channels have to do with classes, next to chance and to random directions",
    present=present,
    write=write,
    styles=("relations",),
)

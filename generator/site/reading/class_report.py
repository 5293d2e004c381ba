"""What classes.json says of an atlas's class measures: chance, random directions, errors and reliability."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Record = TypeVar("Record")


@dataclass(frozen=True)
class Band:
    """What chance gives: mean, standard deviation, and the middle 95 %."""

    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class LayerMeasure:
    """A measure of a layer. channels, directions: how many have it; mean, directions_mean: over them; directions_low,
    directions_high: the middle 95 % of the directions; difference: of the means; error, difference_error: standard
    errors over pictures; reliability: split-half. None where it is not known."""

    channels: int
    mean: float | None
    error: float | None
    directions: int
    directions_mean: float | None
    directions_low: float | None
    directions_high: float | None
    difference: float | None
    difference_error: float | None
    reliability: float | None


@dataclass(frozen=True)
class Entropies:
    """The mean entropy above each threshold: of a layer's channels, of random directions, and of as many pictures drawn
    at random. None where no channel has all of them."""

    channels: Sequence[float] | None
    directions: Sequence[float] | None
    by_chance: Sequence[float] | None


@dataclass(frozen=True)
class LayerClasses:
    """By measure, and by kind of label (class, group)."""

    measures: Mapping[str, LayerMeasure]
    entropies: Mapping[str, Entropies]


@dataclass(frozen=True)
class VisualSource:
    """Whose final features say how alike pictures look. network: the title of the other network, '' for the atlas's
    own; pictures: how many have features."""

    network: str
    own: bool
    pictures: int


@dataclass(frozen=True)
class ClassReport:
    """fewest: pictures that a class needs in each half; reliable: the reliability from which on a measure repeats;
    level: of intervals and bands; bound: standard errors that an interval reaches to each side; enough: by kind, how
    many classes have enough pictures for an AUROC."""

    hierarchy: str | None
    classes: int
    groups: Sequence[str]
    kept_shares: Sequence[float]
    fewest: int
    reliable: float
    level: float
    bound: float
    enough: Mapping[str, int]
    visual: VisualSource | None
    chance: Mapping[str, Band]
    layers: Mapping[str, LayerClasses]

    def measure(self, layer: str, key: str) -> LayerMeasure | None:
        """A measure of a layer, None where it has none."""
        known = self.layers.get(layer)
        return None if known is None else known.measures.get(key)

    def does_not_repeat(self, layer: str, key: str) -> bool:
        """Whether another set of pictures would order the layer's channels otherwise; False where that is not known."""
        measure = self.measure(layer, key)
        return measure is not None and (measure.reliability is None or measure.reliability < self.reliable)

    def interval(self, value: float, error: float) -> tuple[float, float]:
        """The ends of the 95 % interval of a value."""
        return value - self.bound * error, value + self.bound * error


def class_report_from_json(data: Mapping[str, Any] | None) -> ClassReport | None:
    """From classes.json; None where an earlier version wrote it."""
    if not data or "layers" not in data:
        return None
    layers = {
        name: LayerClasses(
            {key: _record(LayerMeasure, measure) for key, measure in layer["measures"].items()},
            {kind: _record(Entropies, curves) for kind, curves in layer["entropies"].items()},
        )
        for name, layer in data["layers"].items()
    }
    read = {
        "visual": _record(VisualSource, data["visual"]) if data.get("visual") else None,
        "chance": {name: _record(Band, band) for name, band in data["chance"].items()},
        "layers": layers,
    }
    return _record(ClassReport, {**data, **read})


def _record(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """A record made of those entries that are its fields."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names})

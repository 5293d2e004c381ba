"""What a layer's pictures say about classes, with its uncertainty: for channels, and alike for random directions of the
layer's scores and for pictures in random order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.core.records import TOP
from generator.methods.auroc import BestClass, LabelSet, balanced_halvings, best_classes
from generator.methods.half_nines import (
    FIVE,
    half_entropy,
    half_purity,
    half_similarity,
    widened_error,
)
from generator.methods.purity import (
    KEPT_SHARES,
    Classes,
    agreement,
    classes_of_nine,
    entropy,
    expected_entropies,
    purity,
    threshold_entropies,
)
from generator.methods.resampling import (
    first_of,
    halvings,
    known_mean,
    of_directions,
    ranking,
    reliability,
    rounded,
    standard_error,
)
from generator.methods.visual import Looks

NINES = ("label_agreement", "label_purity", "label_entropy", "group_purity", "visual_agreement")
KINDS = ("class", "group")
AREAS = tuple(f"{kind}_{measure}" for kind in KINDS for measure in ("auroc", "precision"))
RANDOM_NINES = 4000
RANDOM_ORDERS = 1000
CHANNELS_AT_ONCE = 64  # whose halves one thread measures
SEED = 1701
Halves = tuple[np.ndarray, np.ndarray]  # (P, C) each: of the first and of the second half of every halving


@dataclass(frozen=True)
class Labels:
    """What is known of the pictures. rows: (N,) the numbers of those whose scores are kept; looks: None where there are
    no final features; cosines: (N, N) of the kept ones.

    labelled: (L,) which of the N have a label; halves: (H, L) their halvings; sets, expected: by kind (class, group)
    the labels for AUROC, and the expected entropies, None where no two pictures share one.
    """

    classes: Classes
    rows: np.ndarray
    looks: Looks | None
    cosines: np.ndarray | None
    labelled: np.ndarray
    halves: np.ndarray
    sets: Mapping[str, LabelSet]
    expected: Mapping[str, np.ndarray | None]

    @classmethod
    def of(cls, classes: Classes, rows: np.ndarray, looks: Looks | None) -> Labels:
        of_class = classes.of_picture[rows]
        has_groups = classes.labelled and classes.groups is not None
        of_group = classes.group_of_picture[rows] if has_groups else of_class
        labelled = np.flatnonzero(of_class >= 0)
        halves = balanced_halvings((of_group[labelled], of_class[labelled]), len(labelled))
        sets = {"class": LabelSet.of(of_class[labelled], halves, len(classes.names))}
        if has_groups:
            sets["group"] = LabelSet.of(of_group[labelled], halves, len(classes.group_names))

        def table(numbers: np.ndarray) -> np.ndarray:
            return expected_entropies(np.bincount(numbers[labelled]))

        return cls(
            classes,
            rows,
            looks,
            None if looks is None else looks.cosines(rows),
            labelled,
            halves,
            sets,
            {
                "class": table(of_class) if classes.repeat else None,
                "group": table(of_group) if has_groups else None,
            },
        )

    def of_nine(self, nine: np.ndarray) -> dict[str, np.ndarray]:
        """Those NINES that are defined, (C,) float32 each; nine: (C, 9) numbers of pictures."""
        classes, result = self.classes, {}
        labels = classes_of_nine(nine, classes.of_picture)
        if classes.has_agreement:
            result["label_agreement"] = agreement(labels, classes)
        if classes.repeat:
            result |= {"label_purity": purity(labels), "label_entropy": entropy(labels)}
        if self.expected["group"] is not None:
            result["group_purity"] = purity(classes_of_nine(nine, classes.group_of_picture))
        if self.looks is not None:
            result["visual_agreement"] = self.looks.agreement(nine)
        return result

    def of_halves(self, order: np.ndarray) -> dict[str, Halves]:
        """The same for both halves of every halving; order: (C, D) rows of the scores, strongest first."""
        member = halvings(len(self.rows))

        def values(first: int) -> list[dict[str, np.ndarray]]:
            part = order[first : first + CHANNELS_AT_ONCE]
            return [self._of_five(first_of(part, rows, FIVE)) for rows in (member, ~member)]

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            parts = list(pool.map(values, range(0, len(order), CHANNELS_AT_ONCE)))
        first, second = (
            {name: np.concatenate([part[side][name] for part in parts], axis=1) for name in parts[0][side]}
            for side in (0, 1)
        )
        return {name: (first[name], second[name]) for name in first}

    def _of_five(self, five: np.ndarray) -> dict[str, np.ndarray]:
        """Of the five strongest pictures of each half, (P, C, 5): (P, C) float32 each."""
        classes, result = self.classes, {}
        pictures = np.where(five >= 0, self.rows[five], -1)
        labels = np.where(five >= 0, classes.of_picture[pictures], -1)
        if classes.has_agreement:
            result["label_agreement"] = classes.scaled(half_similarity(labels, classes.similarity))
        if classes.repeat:
            result |= {"label_purity": half_purity(labels), "label_entropy": half_entropy(labels)}
        if self.expected["group"] is not None:
            result["group_purity"] = half_purity(np.where(five >= 0, classes.group_of_picture[pictures], -1))
        if self.looks is not None and self.cosines is not None:
            result["visual_agreement"] = self.looks.scaled(half_similarity(five, self.cosines))
        return {name: values.astype(np.float32) for name, values in result.items()}


@dataclass(frozen=True)
class Measured:
    """What was measured of C channels, or of what is treated like them. nine: the statistics of their nine strongest
    pictures; halves: of every measure its values on both halves; best, entropies: by kind."""

    nine: dict[str, np.ndarray]
    halves: dict[str, Halves]
    best: dict[str, BestClass]
    entropies: dict[str, np.ndarray]
    entropies_by_chance: dict[str, np.ndarray]

    @property
    def values(self) -> dict[str, np.ndarray]:
        """Every measure, (C,) each."""
        areas = {
            f"{kind}_{name}": getattr(best, name)
            for kind, best in self.best.items()
            for name in ("auroc", "precision")
        }
        return {**self.nine, **areas}


def measure(labels: Labels, scores: np.ndarray, *, signed: bool, top: np.ndarray | None = None) -> Measured:
    """Measure the columns of scores (N, C). signed: whether they have no ReLU; top: (C, 9) numbers of the nine
    strongest pictures, where they are known for more pictures than have scores."""
    scores = np.asarray(scores)
    order = ranking(scores, signed=signed)
    if top is None:
        strongest = order[:, :TOP]
        top = np.where(strongest >= 0, labels.rows[strongest], -1)
    halves = labels.of_halves(order)
    below = scores if len(labels.labelled) == len(scores) else scores[labels.labelled]
    kinds = [kind for kind, labelling in labels.sets.items() if labelling.carries_statements]
    found = best_classes(below, labels.halves, [labels.sets[kind] for kind in kinds]) if kinds else []
    best = dict(zip(kinds, found, strict=True))
    for kind, each in best.items():
        halves[f"{kind}_auroc"] = each.auroc_by_half[0], each.auroc_by_half[1]
        halves[f"{kind}_precision"] = each.precision_by_half[0], each.precision_by_half[1]
    entropies, by_chance = {}, {}
    for kind, expected in labels.expected.items():
        if expected is None:
            continue
        of_picture = labels.classes.of_picture if kind == "class" else labels.classes.group_of_picture
        above = threshold_entropies(scores, of_picture[labels.rows], expected, signed=signed)
        entropies[kind], by_chance[kind] = above.entropy, above.by_chance
    return Measured(labels.of_nine(top), halves, best, entropies, by_chance)


def channel_arrays(measured: Measured, dead: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of classes.npz: statistics (C,), and entropies (C, T) above each threshold. NaN, or −1 for the number
    of a class, where there is none: for dead channels, and for what these labels do not carry."""
    count = len(dead)
    nothing: np.ndarray = np.full(count, np.nan, np.float32)
    none: np.ndarray = np.full((count, len(KEPT_SHARES)), np.nan, np.float32)

    def alive(values: np.ndarray) -> np.ndarray:
        return np.where(dead, np.nan, values).astype(np.float32)

    result = {name: alive(measured.nine.get(name, nothing)) for name in NINES}
    for name in ("label_agreement", "visual_agreement"):
        halves = measured.halves.get(name)
        result[f"{name}_error"] = nothing
        if halves is not None:
            result[f"{name}_error"] = alive(widened_error(standard_error(*halves), result[name]))
    for kind in KINDS:
        best = measured.best.get(kind)
        result[f"best_{kind}"] = (
            np.full(count, -1, np.int32) if best is None else np.where(dead, -1, best.best).astype(np.int32)
        )
        for key, name in (
            ("auroc", "auroc"),
            ("auroc_low", "low"),
            ("auroc_high", "high"),
            ("auroc_chosen", "chosen"),
            ("precision", "precision"),
            ("prevalence", "prevalence"),
        ):
            result[f"{kind}_{key}"] = nothing if best is None else alive(getattr(best, name))
        result[f"{kind}_entropy"] = measured.entropies.get(kind, none)
    return result


def layer_report(channels: Measured, directions: Measured, dead: np.ndarray) -> dict[str, Any]:
    """What holds of a layer: by measure the mean over its channels and over random directions, how far they differ,
    with standard errors over pictures, and how well the measure repeats on the other half of the pictures."""
    measures = {
        name: _measure_report(name, channels, directions, dead)
        for name, values in channels.values.items()
        if np.isfinite(values[~dead]).any()
    }
    entropies = {
        kind: {
            "channels": _curve(channels.entropies[kind]),
            "directions": _curve(directions.entropies[kind]),
            "by_chance": _curve(channels.entropies_by_chance[kind]),
        }
        for kind in channels.entropies
    }
    return {"measures": measures, "entropies": entropies}


def _measure_report(
    name: str, channels: Measured, directions: Measured, dead: np.ndarray
) -> dict[str, float | int | None]:
    """What holds of one measure of a layer."""
    alive, first, second = (
        np.where(dead, np.nan, values) for values in (channels.values[name], *channels.halves[name])
    )
    others = directions.values[name]
    means, other_means = (
        [known_mean(half) for half in halves] for halves in ((first, second), directions.halves[name])
    )
    # What is best on one half is read on the other: both ways round use all pictures.
    crossed = name in AREAS
    difference = (
        (np.mean(means) - np.mean(other_means)) if crossed else known_mean(alive) - known_mean(others)
    )
    low, high = _quantiles(others)
    count = int(np.isfinite(alive).sum())
    variance_of_directions = of_directions(others, standard_error(*directions.halves[name]), count)
    error = _error([a - b for a, b in zip(means, other_means, strict=True)])
    return {
        "channels": count,
        "mean": rounded(known_mean(alive)),
        "error": rounded(_error(means)),
        "directions": int(np.isfinite(others).sum()),
        "directions_mean": rounded(known_mean(others)),
        "directions_low": low,
        "directions_high": high,
        "difference": rounded(difference),
        "difference_error": rounded(np.sqrt(error**2 + variance_of_directions)),
        "reliability": rounded(reliability(first, second)),
    }


def by_chance(labels: Labels) -> dict[str, Any]:
    """What nine pictures drawn at random give, and what the best class of pictures in random order gives: mean,
    standard deviation and the range of the middle 95 %."""
    random = np.random.default_rng([SEED, len(labels.rows)])
    of_all = labels.classes.of_picture
    drawn_from = np.flatnonzero(of_all >= 0) if labels.classes.has_agreement else np.arange(len(of_all))
    values: dict[str, np.ndarray] = {}
    if len(drawn_from) >= TOP:
        nine = np.stack([random.choice(drawn_from, TOP, replace=False) for _ in range(RANDOM_NINES)])
        values |= labels.of_nine(nine)
    kinds = [kind for kind, labelling in labels.sets.items() if labelling.carries_statements]
    if kinds:
        orders = random.random((len(labels.labelled), RANDOM_ORDERS), np.float32)
        found = best_classes(orders, labels.halves[:1], [labels.sets[kind] for kind in kinds])
        for kind, best in zip(kinds, found, strict=True):
            values |= {
                f"{kind}_auroc": best.auroc,
                f"{kind}_auroc_chosen": best.chosen,
                f"{kind}_precision": best.precision,
            }
    return {name: _band(each) for name, each in values.items() if np.isfinite(each).any()}


def _band(values: np.ndarray) -> dict[str, float | None]:
    known = values[np.isfinite(values)].astype(np.float64)
    low, high = _quantiles(known)
    return {
        "mean": rounded(known.mean()),
        "sd": rounded(known.std(ddof=1)),
        "low": low,
        "high": high,
    }


def _quantiles(values: np.ndarray) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)].astype(np.float64)
    if not known.size:
        return None, None
    low, high = np.quantile(known, (0.025, 0.975))
    return rounded(low), rounded(high)


def _error(means: list[np.ndarray]) -> float:
    """NaN from a single halving, whose one difference says little."""
    return float(standard_error(means[0], means[1])) if means[0].size > 1 else float("nan")


def _curve(values: np.ndarray) -> list[float | None] | None:
    """(C, T) → mean over the channels whose values are all known."""
    known = values[np.isfinite(values).all(axis=1)].astype(np.float64)
    return [rounded(value) for value in known.mean(axis=0)] if len(known) else None

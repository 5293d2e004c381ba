"""The report's section on lesions of trained networks, from the committed tables of `atlas lesions`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from generator.core.records import TOP
from generator.site.chapters.experiment_tables import Row, Rows, Table, listed, read_table, read_text
from generator.site.figures.charts import LineChart, Series, line_chart
from generator.site.formats import ABSENT, fixed, integer, interval, signed

NORMAL = 1.959964  # the 97.5 % quantile of the normal distribution
STUDENT = 2.262157  # of Student's t with 9 degrees of freedom: ten groups of pictures


class Network(NamedTuple):
    """file: how its tables are called; name: on the page; origin: of the weights with which the committed tables were
    made."""

    file: str
    name: str
    origin: str


NETWORKS = (
    Network(
        "resnet50",
        "ResNet-50",
        "those of Stock et al. (arXiv:1907.05686), who quantised and fine-tuned a trained network",
    ),
    Network(
        "resnet50-caffe",
        "ResNet-50 of He et al. (Caffe)",
        "published by He et al.; the file ends with their block res4f, before the last stage and the classifier",
    ),
    Network(
        "resnet20-cifar",
        "ResNet-20 (CIFAR-10)",
        "trained by others after section 4.2 of He et al., and published",
    ),
    Network(
        "study-residual-56",
        "ResNet-56 of half the width (drawn world)",
        "trained by this project, the first seed of the question of depth above",
    ),
    Network("demo", "the demo's network", "trained by this project on its drawn world"),
)
# By `way` in the tables: in words, and the class of its lines.
WAYS = {
    "branch removed": ("without its branch", "residual deep"),
    "shortcut removed": ("without its shortcut", "plain deep"),
    "swapped": ("swapped with the next", "residual shallow"),
    "reversed": ("blocks in reverse order", ""),
}
LINES = ("branch removed", "shortcut removed", "swapped")


@dataclass(frozen=True)
class Wounded:
    """One network's lesions. file: how its tables are called; about: pictures, weights and labels; labelled: pictures
    whose class is known, 0 without an accuracy; origin: of the weights; sentence: what its channels keep of their nine
    pictures; charts: accuracy, where there is one, and pictures kept, by block; blocks:
    their names in order; table: one row per lesion."""

    name: str
    file: str
    about: Mapping[str, str | int]
    labelled: int
    origin: str
    sentence: str
    charts: Sequence[LineChart]
    blocks: Sequence[str]
    table: Table


@dataclass(frozen=True)
class RealLesions:
    """networks: each with its lesions; summary: of all; groups: of pictures, from which the standard errors of pictures
    kept follow; files: the committed tables."""

    summary: str
    networks: Sequence[Wounded]
    overview: Table
    groups: int
    files: Sequence[str]


class Change(NamedTuple):
    """The change of accuracy by a lesion, in percentage points, and its 95 % interval."""

    points: float
    low: float
    high: float

    def text(self) -> str:
        return f"{signed(self.points, 1)} ({interval(self.low, self.high)})"


def change_of(lost: int, gained: int, pictures: int) -> Change:
    """From the pictures that are classified wrongly only after the lesion, and rightly only after it. pictures: whose
    class is known.

    The interval is Wald's for paired proportions after half a picture is added to each cell of the 2 × 2 table (Agresti
    & Min 2005, Statistics in Medicine 24)."""
    down, up, count = lost + 0.5, gained + 0.5, pictures + 2
    middle = (up - down) / count
    half = NORMAL * np.sqrt(up + down - (up - down) ** 2 / count) / count
    points = 100 * (gained - lost) / pictures
    return Change(points, 100 * max(-1.0, middle - half), 100 * min(1.0, middle + half))


def real_lesions() -> RealLesions | None:
    """None where no network's tables are committed."""
    found, files, groups = [], [], 0
    rows_of: dict[str, tuple[Rows, Rows]] = {}
    for network in NETWORKS:
        own = [f"lesions-{network.file}.csv", f"blocks-{network.file}.csv", f"lesions-{network.file}.json"]
        texts = [read_text(name) for name in own]
        if texts[2] is None or None in texts:
            continue
        about = json.loads(texts[2])
        lesions, blocks = (_with_short_names(read_table(name)) for name in own[:2])
        rows_of[network.name] = lesions, blocks
        groups = about["groups"]
        files += own
        found.append(_wounded(network, about, lesions, blocks))
    if not found:
        return None
    return RealLesions(
        summary=_summary(rows_of), networks=found, overview=_overview(rows_of), groups=groups, files=files
    )


def _with_short_names(rows: Rows) -> list[Row]:
    """The rows, blocks without the name of the module that the networks of the experiments are wrapped in."""
    names = [name for name in ("block", "until") if name in rows[0]]
    return [{**row, **{name: row[name].removeprefix("network.") for name in names}} for row in rows]


def _changed(row: Row) -> Change:
    return change_of(int(row["lost"]), int(row["gained"]), int(row["labelled"]))


def identity_rows(rows: Rows, way: str, blocks: Rows) -> list[Row]:
    """The lesions of one way, of all blocks but the first of each stage."""
    same = {row["block"] for row in blocks if row["kept"]}
    return [row for row in rows if row["way"] == way and row["block"] in same]


def _overview(rows_of: Mapping[str, tuple[Rows, Rows]]) -> Table:
    """One row per network and way: the median and the ends over all blocks but the first of each stage."""
    body = []
    for name, (rows, blocks) in rows_of.items():
        for way, (words, _) in WAYS.items():
            chosen = identity_rows(rows, way, blocks)
            if not chosen:
                continue
            body.append(
                [
                    name,
                    words,
                    str(len(chosen)),
                    blocks[-1]["block"],
                    _spanned([_changed(row).points for row in chosen if row["lost"]], 1),
                    _spanned([float(row["last_kept"]) for row in chosen], 1),
                    _spanned([float(row["last_chance"]) for row in chosen], 2),
                ]
            )
    heads = (
        "network",
        "lesion",
        "tried",
        "last block",
        "accuracy, percentage points",
        "pictures kept, of nine",
        "by chance",
    )
    return Table(heads, body)


def _spanned(values: Sequence[float], digits: int) -> str:
    """The median, in brackets the ends."""
    if not values:
        return ABSENT
    return f"{fixed(float(np.median(values)), digits)} ({interval(min(values), max(values), digits)})"


def _summary(rows_of: Mapping[str, tuple[Rows, Rows]]) -> str:
    parts = []
    for name, (rows, blocks) in rows_of.items():
        medians = {
            way: float(np.median([_changed(row).points for row in chosen]))
            for way in LINES
            if (chosen := [row for row in identity_rows(rows, way, blocks) if row["lost"]])
        }
        if medians:
            points = [f"{signed(medians[way], 1)} {WAYS[way][0]}" for way in LINES if way in medians]
            parts.append(f"{name}: {listed(points)}")
    return (
        "Over all blocks but the first of each stage, the median change of accuracy in percentage points is, for "
        + "; for ".join(parts)
        + "."
    )


def _wounded(network: Network, about: Mapping[str, str | int], rows: Rows, blocks: Rows) -> Wounded:
    names = [row["block"] for row in blocks]
    place = {name: number for number, name in enumerate(names, 1)}
    charts = []
    if any(row["lost"] for row in rows):
        series = []
        for way in LINES:
            changes = [(place[row["block"]], _changed(row)) for row in rows if row["way"] == way]
            if changes:
                points = np.array([[change.points for _, change in changes]])
                ends = np.array([(change.low, change.high) for _, change in changes]).T
                series.append(Series(WAYS[way][0], WAYS[way][1], [x for x, _ in changes], points, ends))
        charts.append(line_chart(series, "block", "change of accuracy, percentage points"))
    kept = []
    for way in LINES:
        chosen = [row for row in rows if row["way"] == way and row["block"] != names[-1]]
        if chosen:
            last = np.array([float(row["last_kept"]) for row in chosen])
            half = STUDENT * np.array([float(row["last_error"]) for row in chosen])
            numbers = [place[row["block"]] for row in chosen]
            ends = np.clip([last - half, last + half], 0, TOP)
            kept.append(Series(WAYS[way][0], WAYS[way][1], numbers, last[None], ends))
    charts.append(
        line_chart(kept, "block", f"pictures of nine that channels of {names[-1]} keep", y_ends=(0, TOP))
    )
    return Wounded(
        name=network.name,
        file=network.file,
        about=about,
        labelled=int(rows[0]["labelled"] or 0),
        origin=network.origin,
        sentence=_sentence(rows, blocks),
        charts=charts,
        blocks=names,
        table=_table(rows),
    )


def _sentence(rows: Rows, blocks: Rows) -> str:
    """Refinement beside lesions: what one block changes in its own channels, and what its absence changes behind it."""
    own = [float(row["kept"]) for row in blocks if row["kept"]]
    chance = [float(row["chance"]) for row in blocks if row["kept"]]
    behind = [
        float(row["next_kept"]) for row in identity_rows(rows, "branch removed", blocks) if row["next_kept"]
    ]
    without = [
        float(row["next_kept"]) for row in identity_rows(rows, "shortcut removed", blocks) if row["next_kept"]
    ]
    text = (
        f"From the input of a block to its output a channel keeps {_spanned(own, 1)} of its nine pictures "
        f"(median over {integer(len(own))} blocks, in brackets the ends; {_spanned(chance, 1)} are shared by channels "
        "of different numbers)."
    )
    if behind:
        text += (
            " Where a block has lost its branch, the channels of the next block of its stage keep "
            f"{_spanned(behind, 1)} of their nine; where it has lost its shortcut, {_spanned(without, 1)}."
        )
    return text


def _table(rows: Rows) -> Table:
    heads = (
        "lesion",
        "block",
        "accuracy, percentage points (95 % interval)",
        "kept in the block itself",
        "in the next",
        "in the last (95 % interval)",
    )
    body = []
    for row in rows:
        last, error = float(row["last_kept"]), float(row["last_error"])
        limits = interval(max(0.0, last - STUDENT * error), min(float(TOP), last + STUDENT * error))
        body.append(
            [
                WAYS[row["way"]][0],
                row["block"] if row["block"] == row["until"] else f"{row['block']} to {row['until']}",
                _changed(row).text() if row["lost"] else ABSENT,
                fixed(float(row["here_kept"]), 1),
                fixed(float(row["next_kept"]), 1) if row["next_kept"] else ABSENT,
                f"{fixed(last, 1)} ({limits})",
            ]
        )
    return Table(heads, body)

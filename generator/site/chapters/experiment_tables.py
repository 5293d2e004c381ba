"""The committed tables of the experiments and their setting, and what the report reads from them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

Row = Mapping[str, str]  # of a table, by column
Rows = Sequence[Row]

TABLES = ("degradation", "gradients", "lesion")  # the report is shown where these are
MORE = (  # each shown where it is
    "shortcuts",
    "order",
    "cardinality",
    "refinement",
    "refinement_pairs",
    "zero_blocks",
    "zero_features",
    "zero_branches",
    "zero_hidden",
)
SETTING_FILE = "setting.json"


@dataclass(frozen=True)
class StudySetting:
    """setting.json: what all studies have in common.

    pictures, held_out: drawings to learn from and to test on; classes: of the drawings; side: px; width: channels of
    the first stage; depths: layers of the shallow and the deep networks; seeds: one training each; rate: learning rate
    at the start; decay: of the weights; probe: drawings of the batch on which gradients are measured; rounds: of a
    permutation test; scale: factor on the branch and the shortcut where both are scaled; dropped: probability with
    which dropout zeroes a value; gate: bias of a gate at the start.
    """

    pictures: int
    held_out: int
    side: int
    width: int
    depths: Sequence[int]
    seeds: Sequence[int]
    epochs: int
    batch: int
    rate: float
    decay: float
    classes: int
    momentum: float
    probe: int
    rounds: int
    scale: float
    dropped: float
    gate: float

    @property
    def updates(self) -> int:
        """Of a whole training."""
        return self.epochs * (self.pictures // self.batch)

    @property
    def chance(self) -> float:
        """Accuracy of a guess."""
        return 1 / self.classes

    @property
    def per_class(self) -> int:
        """Drawings of each class to learn from."""
        return self.pictures // self.classes

    @property
    def first_gate(self) -> float:
        """A gate's value before training, where its input is zero."""
        return 1 / (1 + math.exp(-self.gate))


@dataclass(frozen=True)
class Results:
    """tables: by name."""

    tables: Mapping[str, Rows]
    setting: StudySetting


def _folder() -> Traversable:
    return resources.files("generator.site") / "data" / "experiments"


@cache
def results() -> Results | None:
    """The committed tables and their setting; None where nothing was run."""
    files = {name: _folder() / f"{name}.csv" for name in (*TABLES, *MORE)}
    if not all(files[name].is_file() for name in TABLES):
        return None
    tables = {
        name: list(csv.DictReader(file.read_text("utf-8").splitlines()))
        for name, file in files.items()
        if file.is_file()
    }
    return Results(tables, StudySetting(**json.loads((_folder() / SETTING_FILE).read_text("utf-8"))))


def kinds_of(rows: Rows) -> list[tuple[str, int]]:
    """The kinds of network in a table with their depths: plain before residual, shallow before deep."""
    return sorted({(row["kind"], int(row["depth"])) for row in rows})


def by_seed(rows: Rows, kind: str, depth: int, column: str, **where: str) -> np.ndarray:
    """A column of one kind of network, (seeds, points), in the table's order. where: values of other columns."""
    chosen = [
        row
        for row in rows
        if (row["kind"], int(row["depth"])) == (kind, depth)
        and all(row[name] == value for name, value in where.items())
    ]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array([[float(row[column]) for row in chosen if int(row["seed"]) == seed] for seed in seeds])


def listed(names: Sequence[str]) -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


@dataclass(frozen=True)
class Table:
    """A table of the report as text. The first cell of each row names a network."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]

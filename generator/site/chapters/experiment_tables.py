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

# By experiment its tables. The report is shown where those of the first two are, and the others where they are.
TABLES = {
    "degradation": ("degradation", "gradients"),
    "lesion": ("lesion",),
    "shortcuts": ("shortcuts",),
    "order": ("order",),
    "cardinality": ("cardinality",),
    "refinement": ("refinement", "refinement_pairs"),
    "zero-blocks": ("zero_blocks", "zero_features", "zero_branches", "zero_hidden"),
}
NEEDED = ("degradation", "lesion")


@dataclass(frozen=True)
class StudySetting:
    """setting-<experiment>.json: how the networks of its tables were trained.

    pictures, held_out: drawings to learn from and to test on; every: 4 where every fourth class of the drawn world is
    used; classes: how many these are; outputs: of the classifier; side: px; width: channels of the first stage; depths:
    layers of the plain and residual networks; seeds: one training each; rate: highest learning rate; warm: epochs over
    which it rises, before it falls to zero along half a cosine; decay: of the weights; shift: px by which drawings are
    padded before they are cropped at random; tested: epochs between two tests on the held-out drawings; probe: drawings
    of the batch on which gradients are measured; rounds: of a permutation test; scale: factor on the branch and the
    shortcut where both are scaled; dropped: probability with which dropout zeroes a value; gate: bias of a gate at the
    start; device: on which they were trained.
    """

    pictures: int
    held_out: int
    every: int
    side: int
    width: int
    depths: Sequence[int]
    seeds: Sequence[int]
    epochs: int
    batch: int
    rate: float
    warm: float
    decay: float
    shift: int
    tested: int
    classes: int
    outputs: int
    momentum: float
    probe: int
    rounds: int
    scale: float
    dropped: float
    gate: float
    device: str

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
    """tables: by name; settings: by experiment; files: all that is committed."""

    tables: Mapping[str, Rows]
    settings: Mapping[str, StudySetting]
    files: Sequence[str]


def _folder() -> Traversable:
    return resources.files("generator.site") / "data" / "experiments"


@cache
def results() -> Results | None:
    """The committed tables and their settings; None where nothing was run."""
    folder = _folder()
    whole = {
        name: tables
        for name, tables in TABLES.items()
        if all(
            (folder / file).is_file() for file in (*(f"{table}.csv" for table in tables), setting_file(name))
        )
    }
    if not all(name in whole for name in NEEDED):
        return None
    settings = {
        name: StudySetting(**json.loads((folder / setting_file(name)).read_text("utf-8"))) for name in whole
    }
    tables = {table: read_table(f"{table}.csv") for found in whole.values() for table in found}
    files = [f"{table}.csv" for table in tables] + [setting_file(name) for name in whole]
    return Results(tables, settings, files)


def setting_file(name: str) -> str:
    """The file that says how the networks of an experiment were trained."""
    return f"setting-{name}.json"


def read_table(file: str) -> Rows:
    """The rows of a committed table."""
    return list(csv.DictReader((_folder() / file).read_text("utf-8").splitlines()))


def read_text(file: str) -> str | None:
    """The content of a committed file, None where it is not there."""
    path = _folder() / file
    return path.read_text("utf-8") if path.is_file() else None


def kinds_of(rows: Rows) -> list[tuple[str, int]]:
    """The kinds of network in a table with their depths: plain before residual, shallow before deep."""
    return sorted({(row["kind"], int(row["depth"])) for row in rows})


def by_seed(rows: Rows, kind: str, depth: int, column: str, **where: str) -> np.ndarray:
    """A column of one kind of network, (seeds, points), in the table's order, without its empty
    cells. where: values of other columns."""
    chosen = [
        row
        for row in rows
        if (row["kind"], int(row["depth"])) == (kind, depth)
        and all(row[name] == value for name, value in where.items())
    ]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array(
        [[float(row[column]) for row in chosen if int(row["seed"]) == seed and row[column]] for seed in seeds]
    )


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

"""The committed tables of the experiments, and what is read out of them. No torch here."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from generator.site.formats import mean_and_spread, signed

TABLES = ("degradation", "gradients", "lesion")
# Those of the later experiments, each shown where it has been run.
MORE = (
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
Row = Mapping[str, str]


@cache
def results() -> Mapping[str, Any] | None:
    """The committed tables and their setting; None where nothing has been run."""
    folder = resources.files("generator.site") / "data" / "experiments"
    if not all((folder / f"{name}.csv").is_file() for name in TABLES):
        return None
    tables = {
        name: list(csv.DictReader((folder / f"{name}.csv").read_text("utf-8").splitlines()))
        for name in (*TABLES, *MORE)
        if (folder / f"{name}.csv").is_file()
    }
    return {**tables, "setting": json.loads((folder / "setting.json").read_text("utf-8"))}


def committed() -> tuple[str, ...]:
    """The tables that there are, by name."""
    return tuple(name for name in (*TABLES, *MORE) if name in (results() or {}))


def kinds_of(rows: Sequence[Row]) -> list[tuple[str, int]]:
    """The kinds of network in a table, plain before residual, shallow before deep."""
    return sorted({(row["kind"], int(row["depth"])) for row in rows})


def by_seed(rows: Sequence[Row], kind: str, depth: int, column: str, **where: str) -> np.ndarray:
    """A column of one kind of network, (seeds, points), in the table's order."""
    chosen = [
        row
        for row in rows
        if (row["kind"], int(row["depth"])) == (kind, depth) and all(row[k] == v for k, v in where.items())
    ]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array([[float(row[column]) for row in chosen if int(row["seed"]) == seed] for seed in seeds])


def listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def compared(
    names: Sequence[str], values: Sequence[np.ndarray], what: str, unit: str = "%", digits: int = 1
) -> str:
    """The others against the first, seed by seed, as a sentence; values: (seeds,) each."""
    groups: dict[str, list[str]] = {"lower": [], "higher": [], "": []}
    for name, found in zip(names[1:], values[1:], strict=True):
        away = found - values[0]
        way = "lower" if (away < 0).all() else "higher" if (away > 0).all() else ""
        groups[way].append(f"{name} ({signed(float(away.mean()), digits)})")
    said = [f"{way} in every seed with {listed(some)}" for way, some in groups.items() if some and way]
    if groups[""]:
        said.append(f"lower in some seeds and not in others with {listed(groups[''])}")
    first = " ".join([mean_and_spread(values[0], digits), unit]).strip()
    differences = "differences in percentage points" if unit == "%" else "differences"
    return (
        f"Against {names[0]} ({first}), the {what} is {'; '.join(said)} "
        f"({differences}, means over {len(values[0])} seeds)."
    )

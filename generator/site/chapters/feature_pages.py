"""The report's numbers on features: refinement with and without shortcuts, and what added blocks do to channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.site.chapters.experiment_tables import (
    Row,
    by_seed,
    compared,
    kinds_of,
    listed,
)
from generator.site.figures.charts import Series, line_chart
from generator.site.figures.dots import dot_rows
from generator.site.formats import fixed, integer, mean_and_spread, signed

REFINED = {"plain": "plain", "residual": "residual", "full pre-activation": "pre-activation"}
# Column of the table: its digits, its factor and its head.
NUMBERS = {
    "kept": (1, 1, "pictures kept, of 9"),
    "rho": (2, 1, "ρ"),
    "own_match": (0, 100, "own best match, %"),
    "gain": (3, 1, "gain of agreement"),
    "score": (3, 1, "refinement score"),
    "permuted_score": (3, 1, "… paired at random"),
    "match_score": (3, 1, "… with the best match"),
}
LEVEL = 0.05  # a seed whose p is below it counts


def refinement(rows: Sequence[Row]) -> dict[str, Any]:
    """The scores of each kind of network, mean over its channels, seed by seed."""
    kinds = [kind for name in REFINED for kind in kinds_of(rows) if kind[0] == name]
    shown = [REFINED[kind] for kind, _ in kinds]

    def column(name: str) -> list[np.ndarray]:
        return [by_seed(rows, *kind, name)[:, 0] for kind in kinds]

    values = {name: column(name) for name in NUMBERS}
    larger_p = [
        np.maximum(*pair) for pair in zip(column("correspondence_p"), column("direction_p"), strict=True)
    ]
    said = [int((found < LEVEL).sum()) for found in larger_p]
    body = [
        [
            name,
            *(mean_and_spread(times * values[key][n], digits) for key, (digits, times, _) in NUMBERS.items()),
            f"{said[n]} of {len(larger_p[n])}",
        ]
        for n, name in enumerate(shown)
    ]
    tests = [f"{some} of {len(larger_p[0])} ({name})" for name, some in zip(shown, said, strict=True)]

    def each(key: str, unit: str = "") -> str:
        digits, times, _ = NUMBERS[key]
        means = (mean_and_spread(times * found, digits).partition(" ")[0] for found in values[key])
        return listed([f"{mean}{unit} ({name})" for name, mean in zip(shown, means, strict=True)])

    return {
        "says": compared(shown, values["score"], "refinement score of channels of equal number", "", 3)
        + f" Channels paired at random score {each('permuted_score')}; both tests (p < {LEVEL:g}) find refinement in "
        f"{listed(tests)} seeds. The best match in the block before has a channel's own number in "
        f"{each('own_match', ' %')} of the channels; with the best match, whatever its number, the score is "
        f"{each('match_score')}.",
        "depth": kinds[0][1],
        "dots": [
            dot_rows(
                list(zip(shown, values["score"], strict=True)), "refinement score, mean over the channels"
            ),
            dot_rows(
                list(zip(shown, values["kept"], strict=True)), "pictures of nine kept from block to block"
            ),
        ],
        "heads": ("network", *(head for *_, head in NUMBERS.values()), f"p < {LEVEL:g}"),
        "rows": body,
    }


STACKS = {
    "stack": "trained",
    "stack resumed": "resumed without blocks",
    "stack resumed with blocks": "resumed with blocks",
}
LINES = (
    ("without blocks", "plain deep", "stack resumed", "layer"),
    ("with blocks: the layer", "residual shallow", "stack resumed with blocks", "layer"),
    ("with blocks: behind its new block", "residual deep", "stack resumed with blocks", "after"),
)


def zero_blocks(
    networks: Sequence[Row], features: Sequence[Row], branches: Sequence[Row], bare: Sequence[Row]
) -> dict[str, Any]:
    """Errors before and after training is resumed, what stays of each layer's channels, what each block changes; bare:
    the networks whose hidden layer has no norm."""

    def of(kind: str, column: str) -> np.ndarray:
        return np.array([100 * float(row[column]) for row in networks if row["kind"] == kind])

    test = {kind: of(kind, "test_error") for kind in STACKS}
    body = []
    for kind, name in STACKS.items():
        row = next(row for row in networks if row["kind"] == kind)
        cost = (integer(int(row["parameters"])), fixed(int(row["multiply_adds"]) / 1e6, 2))
        body.append([name, *cost, mean_and_spread(of(kind, "train_error")), mean_and_spread(test[kind])])
    charts = []
    for column, label in (("kept", "pictures of nine kept"), ("rho", "ρ with the scores before")):
        values = [by_layer(features, kind, place, column) for _, _, kind, place in LINES]
        series = [
            Series(name, style, range(1, found.shape[1] + 1), found)
            for (name, style, *_), found in zip(LINES, values, strict=True)
        ]
        charts.append(line_chart(series, "layer", label))
    kept = [f"{by_layer(features, kind, place, 'kept').mean():.1f}" for _, _, kind, place in LINES]
    changes: dict[str, list[float]] = {}
    for row in branches:
        changes.setdefault(row["block"], []).append(100 * float(row["change"]))
    errors = [mean_and_spread(found) for found in test.values()]
    without = listed([f"{100 * float(row['test_error']):.1f}" for row in bare])
    away = test["stack resumed with blocks"] - test["stack resumed"]
    return {
        "says": f"The trained network errs on {errors[0]} % of the held-out drawings; resumed without the blocks on "
        f"{errors[1]} %, resumed with them on {errors[2]} % ({listed([signed(value, 1) for value in away.tolist()])} "
        f"percentage points, seed by seed). A channel keeps {kept[0]} of its nine pictures when training is resumed "
        f"alone; with the blocks {kept[1]} in front of its new block and {kept[2]} behind it.",
        "hidden": "The hidden layer has batch norm because without it the network errs, after the same training, on "
        f"{without} % of the held-out drawings, seed by seed",
        "epochs": networks[-1]["epochs"],
        "rate": f"{float(networks[-1]['rate']) / float(networks[0]['rate']):g}",
        "charts": charts,
        "heads": ("network", "parameters", "multiply-adds, 10⁶", "training error, %", "held-out error, %"),
        "rows": body,
        "branch_heads": ("new block", "changes its input by, %"),
        "branch_rows": [[name, mean_and_spread(np.array(found))] for name, found in changes.items()],
    }


def by_layer(features: Sequence[Row], kind: str, place: str, column: str) -> np.ndarray:
    """A column of the layers' table, (seeds, layers)."""
    chosen = [row for row in features if (row["kind"], row["place"]) == (kind, place)]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array([[float(row[column]) for row in chosen if int(row["seed"]) == seed] for seed in seeds])

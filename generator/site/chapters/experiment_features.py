"""The report's sections on features: refinement with and without shortcuts, and what added blocks do to channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from generator.site.chapters.experiment_designs import HEADS, Comparison, cost_cells, cost_of
from generator.site.chapters.experiment_tables import Rows, Table, by_seed, compared, kinds_of, listed
from generator.site.figures.charts import LineChart, Series, line_chart
from generator.site.figures.dots import dot_rows
from generator.site.formats import fixed, mean_and_spread, round_number, signed

REFINED = {"plain": "plain", "residual": "residual", "full pre-activation": "pre-activation"}


class Score(NamedTuple):
    """A column of the table refinement.csv. factor: that turns it into the unit of its head."""

    digits: int
    factor: int
    head: str


SCORES = {
    "kept": Score(1, 1, "pictures kept, of 9"),
    "rho": Score(2, 1, "ρ"),
    "own_match": Score(0, 100, "own best match, %"),
    "gain": Score(3, 1, "gain of agreement"),
    "score": Score(3, 1, "refinement score"),
    "permuted_score": Score(3, 1, "… paired at random"),
    "match_score": Score(3, 1, "… with the best match"),
}
LEVEL = 0.05  # a seed with p below it counts


def refinement(rows: Rows) -> Comparison:
    """The scores of each kind of network: means over its channels, seed by seed."""
    kinds = [kind for name in REFINED for kind in kinds_of(rows) if kind[0] == name]
    shown = [REFINED[kind] for kind, _ in kinds]

    def column(name: str) -> list[np.ndarray]:
        return [by_seed(rows, *kind, name)[:, 0] for kind in kinds]

    values = {name: column(name) for name in SCORES}
    tests = zip(column("correspondence_p"), column("direction_p"), strict=True)
    larger_p = [np.maximum(*pair) for pair in tests]
    seeds = len(larger_p[0])
    significant = [f"{int((p < LEVEL).sum())} of {seeds}" for p in larger_p]
    body = [
        [
            name,
            *(mean_and_spread(score.factor * values[key][n], score.digits) for key, score in SCORES.items()),
            significant[n],
        ]
        for n, name in enumerate(shown)
    ]

    def each(key: str, unit: str = "") -> str:
        score = SCORES[key]
        means = [fixed(float((score.factor * own).mean()), score.digits) for own in values[key]]
        return listed([f"{mean}{unit} ({name})" for name, mean in zip(shown, means, strict=True)])

    seeds_found = listed([f"{count} ({name})" for name, count in zip(shown, significant, strict=True)])
    score_label = "refinement score, mean over the channels"
    kept_label = "pictures of nine kept from block to block"
    return Comparison(
        summary=compared(shown, values["score"], "refinement score of channels of equal number", "", 3)
        + f" Channels paired at random score {each('permuted_score')}; both tests (p < {round_number(LEVEL)}) find "
        f"refinement in {seeds_found} seeds. The best match in the block before has the channel's own number in "
        f"{each('own_match', ' %')} of the channels; with the best match, whatever its number, the score is "
        f"{each('match_score')}.",
        depth=kinds[0][1],
        dots=[
            dot_rows(list(zip(shown, values["score"], strict=True)), score_label),
            dot_rows(list(zip(shown, values["kept"], strict=True)), kept_label),
        ],
        table=Table(
            ("network", *(score.head for score in SCORES.values()), f"p < {round_number(LEVEL)}"), body
        ),
    )


@dataclass(frozen=True)
class ZeroBlocks:
    """Residual blocks added to a trained network.

    hidden: why its hidden layer has batch norm; epochs: of the resumed training; rate: its first learning rate,
    relative to that of the training before; branches: how much each new block changes its input.
    """

    summary: str
    hidden: str
    epochs: str
    rate: float
    charts: Sequence[LineChart]
    table: Table
    branches: Table


STACKS = {
    "stack": "trained",
    "stack resumed": "trained further without blocks",
    "stack resumed with blocks": "trained further with blocks",
}


class Line(NamedTuple):
    """A line of the charts. style: class in the styles; kind, place: of the rows of zero_features.csv."""

    name: str
    style: str
    kind: str
    place: str


LINES = (
    Line("without blocks", "plain deep", "stack resumed", "layer"),
    Line("with blocks: the layer", "residual shallow", "stack resumed with blocks", "layer"),
    Line("with blocks: after its new block", "residual deep", "stack resumed with blocks", "after"),
)


def zero_blocks(networks: Rows, features: Rows, branches: Rows, bare: Rows) -> ZeroBlocks:
    """Errors before and after the resumed training, what stays of each layer's channels, what each block changes. bare:
    the networks whose hidden layer has no norm."""

    def of(kind: str, column: str) -> np.ndarray:
        return np.array([100 * float(row[column]) for row in networks if row["kind"] == kind])

    test = {kind: of(kind, "test_error") for kind in STACKS}
    body = []
    for kind, name in STACKS.items():
        cost = cost_of(next(row for row in networks if row["kind"] == kind))
        train_error = mean_and_spread(of(kind, "train_error"))
        body.append([name, *cost_cells(cost), train_error, mean_and_spread(test[kind])])
    changes: dict[str, list[float]] = {}
    for row in branches:
        changes.setdefault(row["block"], []).append(100 * float(row["change"]))
    without = listed([fixed(100 * float(row["test_error"]), 1) for row in bare])
    return ZeroBlocks(
        summary=_summary_of_zero_blocks(test, features),
        hidden="The hidden layer has batch norm because without it the network errs, after the same training, on "
        f"{without} % of the held-out drawings, seed by seed",
        epochs=networks[-1]["epochs"],
        rate=float(networks[-1]["rate"]) / float(networks[0]["rate"]),
        charts=[
            _features_chart(features, "kept", "pictures of nine kept"),
            _features_chart(features, "rho", "ρ with the scores before"),
        ],
        table=Table(("network", *HEADS), body),
        branches=Table(
            ("new block", "changes its input by, %"),
            [[name, mean_and_spread(np.array(percent))] for name, percent in changes.items()],
        ),
    )


def _summary_of_zero_blocks(test: dict[str, np.ndarray], features: Rows) -> str:
    """test: error in % by kind, (seeds,)."""
    errors = [mean_and_spread(error) for error in test.values()]
    kept = [fixed(by_layer(features, line, "kept").mean(), 1) for line in LINES]
    differences = test["stack resumed with blocks"] - test["stack resumed"]
    points = listed([signed(difference, 1) for difference in differences.tolist()])
    return (
        f"The trained network errs on {errors[0]} % of the held-out drawings; after further training without the "
        f"blocks it errs on {errors[1]} %, with them on {errors[2]} % ({points} percentage points, seed by seed). A "
        f"channel keeps {kept[0]} of its nine pictures in further training without blocks; with blocks {kept[1]} "
        f"before its new block and {kept[2]} after it."
    )


def _features_chart(features: Rows, column: str, label: str) -> LineChart:
    values = [by_layer(features, line, column) for line in LINES]
    series = [
        Series(line.name, line.style, range(1, own.shape[1] + 1), own)
        for line, own in zip(LINES, values, strict=True)
    ]
    return line_chart(series, "layer", label)


def by_layer(features: Rows, line: Line, column: str) -> np.ndarray:
    """A column of zero_features.csv, (seeds, layers)."""
    chosen = [row for row in features if (row["kind"], row["place"]) == (line.kind, line.place)]
    seeds = sorted({int(row["seed"]) for row in chosen})
    return np.array([[float(row[column]) for row in chosen if int(row["seed"]) == seed] for seed in seeds])

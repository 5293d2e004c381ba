"""The report's sections on features: refinement with and without shortcuts, and what added blocks do to channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from generator.site.chapters.experiment_designs import HEADS, Comparison, cost_cells, cost_of
from generator.site.chapters.experiment_differences import (
    MARGIN,
    Difference,
    compared,
    corrected,
    difference,
    differences_table,
)
from generator.site.chapters.experiment_tables import Rows, Table, by_seed, kinds_of, listed
from generator.site.figures.charts import LineChart, Series, line_chart
from generator.site.figures.dots import dot_rows
from generator.site.formats import fixed, mean_and_spread

REFINED = {"plain": "plain", "residual": "residual", "full pre-activation": "pre-activation"}
KEPT_MARGIN = 0.5  # pictures of nine: differences of pictures kept within it are called none


class Score(NamedTuple):
    """A column of the table refinement.csv. factor: that turns it into the unit of its head; margin: within which a
    difference between networks is called none, None where they are not compared in it."""

    digits: int
    factor: int
    head: str
    margin: float | None = None


SCORES = {
    "kept": Score(1, 1, "pictures kept, of 9", margin=KEPT_MARGIN),
    "rho": Score(2, 1, "ρ", margin=0.05),
    "own_match": Score(0, 100, "own best match, %"),
    "gain": Score(3, 1, "gain of agreement", margin=0.02),
    "score": Score(3, 1, "ρ × gain"),
    "permuted_score": Score(3, 1, "… paired at random"),
    "match_score": Score(3, 1, "… with the best match"),
}


def refinement(rows: Rows) -> Comparison:
    """The scores of each kind of network: means over its channels, seed by seed. That channels keep their number and
    that their labels agree more are two findings, compared apart."""
    kinds = [kind for name in REFINED for kind in kinds_of(rows) if kind[0] == name]
    shown = [REFINED[kind] for kind, _ in kinds]
    values = {
        name: [score.factor * by_seed(rows, *kind, name)[:, 0] for kind in kinds]
        for name, score in SCORES.items()
    }
    body = [
        [name, *(mean_and_spread(values[key][n], score.digits) for key, score in SCORES.items())]
        for n, name in enumerate(shown)
    ]
    pairs = [
        (key, name, own - values[key][0])
        for key, score in SCORES.items()
        if score.margin is not None
        for name, own in zip(shown[1:], values[key][1:], strict=True)
    ]
    family = corrected([difference(name, by_seed_difference) for _, name, by_seed_difference in pairs])

    def of(key: str) -> list[Difference]:
        return [each for each, (name, _, _) in zip(family, pairs, strict=True) if name == key]

    def sentence(key: str, quantity: str) -> str:
        margin = SCORES[key].margin
        assert margin is not None
        return compared(shown[0], values[key][0], of(key), quantity, "", SCORES[key].digits, margin)

    tables = [
        differences_table(
            [replace(each, name=f"{SCORES[key].head}: {each.name}") for each in of(key)],
            f"against {shown[0]}",
            SCORES[key].digits,
            score.margin,
        )
        for key, score in SCORES.items()
        if score.margin is not None
    ]
    own = listed(
        [
            f"{fixed(float(match.mean()), 0)} % ({name})"
            for name, match in zip(shown, values["own_match"], strict=True)
        ]
    )
    return Comparison(
        summary=sentence("kept", "number of pictures of nine that a channel keeps from block to block")
        + f" The best match in the block before has the channel's own number in {own} of the channels. "
        + sentence("gain", "gain of label agreement from block to block"),
        depth=kinds[0][1],
        dots=[
            dot_rows(
                list(zip(shown, values["kept"], strict=True)), "pictures of nine kept from block to block"
            ),
            dot_rows(list(zip(shown, values["gain"], strict=True)), "gain of label agreement"),
        ],
        differences=_joined(tables),
        table=Table(("network", *(score.head for score in SCORES.values())), body),
        margins=listed(
            [f"{score.margin:g} ({score.head})" for score in SCORES.values() if score.margin is not None]
        ),
    )


def _joined(tables: Sequence[Table]) -> Table:
    """The rows of tables with the same heads, one table after the other."""
    return Table(tables[0].heads, [row for table in tables for row in table.rows])


@dataclass(frozen=True)
class ZeroBlocks:
    """Residual blocks added to a trained network.

    hidden: what the hidden layer's batch norm changes; epochs: of the resumed training; rate: its first learning rate,
    relative to that of the training before; differences: with blocks less without, after the same further training;
    kept_margin: pictures of nine, within which a difference of pictures kept is called none; branches: how much each
    new block changes its input.
    """

    summary: str
    hidden: str
    epochs: str
    rate: float
    charts: Sequence[LineChart]
    differences: Table
    kept_margin: float
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

    errors = {
        column: {
            kind: np.array([100 * float(row[column]) for row in networks if row["kind"] == kind])
            for kind in STACKS
        }
        for column in ("train_error", "test_error")
    }
    body = []
    for kind, name in STACKS.items():
        cost = cost_of(next(row for row in networks if row["kind"] == kind))
        body.append([name, *cost_cells(cost), *(mean_and_spread(own[kind]) for own in errors.values())])
    kept = {line: by_layer(features, line, "kept").mean(1) for line in LINES}  # (seeds,) each
    against = what_blocks_change(errors, kept)
    changes: dict[str, list[float]] = {}
    for row in branches:
        changes.setdefault(row["block"], []).append(100 * float(row["change"]))
    without = np.array([100 * float(row["test_error"]) for row in bare])
    return ZeroBlocks(
        summary=_summary_of_zero_blocks(errors["test_error"], kept, against),
        hidden="Without the hidden layer's batch norm the network errs on "
        f"{mean_and_spread(without)} % of the held-out drawings after the same training",
        epochs=networks[-1]["epochs"],
        rate=float(networks[-1]["rate"]) / float(networks[0]["rate"]),
        charts=[
            _features_chart(features, "kept", "pictures of nine kept"),
            _features_chart(features, "rho", "ρ with the scores before"),
        ],
        differences=_joined(
            [differences_table([each], "with blocks less without", 1, margin) for each, margin in against]
        ),
        kept_margin=KEPT_MARGIN,
        table=Table(("network", *HEADS), body),
        branches=Table(
            ("new block", "changes its input by, %"),
            [[name, mean_and_spread(np.array(percent))] for name, percent in changes.items()],
        ),
    )


def what_blocks_change(
    errors: Mapping[str, Mapping[str, np.ndarray]], kept: Mapping[Line, np.ndarray]
) -> list[tuple[Difference, float]]:
    """The networks that were trained further with blocks less those without, each with the margin within which it is
    called none: training error and held-out error, and the pictures that a channel keeps, before and after its new
    block. errors: in %, by column and kind, (seeds,); kept: (seeds,)."""
    without, before, after = LINES
    pairs = [
        (name, errors[column]["stack resumed with blocks"] - errors[column]["stack resumed"], MARGIN)
        for column, name in (("train_error", "training error"), ("test_error", "held-out error"))
    ]
    pairs += [
        (f"pictures kept, {place} its new block", kept[line] - kept[without], KEPT_MARGIN)
        for line, place in ((before, "before"), (after, "after"))
    ]
    family = corrected([difference(name, by_seed_difference) for name, by_seed_difference, _ in pairs])
    return [(each, margin) for each, (_, _, margin) in zip(family, pairs, strict=True)]


def _summary_of_zero_blocks(
    test: Mapping[str, np.ndarray],
    kept: Mapping[Line, np.ndarray],
    against: Sequence[tuple[Difference, float]],
) -> str:
    """test: error in % by kind, (seeds,); kept: pictures of nine, (seeds,); against: as `what_blocks_change` gives
    them."""
    errors = [mean_and_spread(error) for error in test.values()]
    means = [fixed(float(own.mean()), 1) for own in kept.values()]
    _, held_out, before, after = [
        f"{each.verdict(margin)}; {each.estimate.signed_text()}" for each, margin in against
    ]
    return (
        f"The trained network errs on {errors[0]} % of the held-out drawings; after further training without the "
        f"blocks it errs on {errors[1]} %, with them on {errors[2]} % ({held_out} percentage points). A channel keeps "
        f"{means[0]} of its nine pictures in further training without blocks; with blocks {means[1]} before its new "
        f"block ({before}) and {means[2]} after it ({after}). In brackets what the seeds show, the difference and its "
        "95 % interval."
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

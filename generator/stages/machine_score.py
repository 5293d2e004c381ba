"""The machine interpretability score of every channel outside blocks, by the final features of the pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.core.store import fingerprint
from generator.methods.directions import along, random_directions
from generator.methods.machine_score import EACH, TRIALS, by_chance, extremes, machine_scores
from generator.methods.resampling import known_mean, rounded
from generator.methods.strips import tie_order
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run
from generator.stages.visual_features import visual_features

CODE = 1  # raise it when a change of this file or of methods/machine_score.py changes a number
PRODUCT = "machine_score"  # of a layer's arrays


def key(inputs: Inputs) -> str:
    """The scan, and the features."""
    return fingerprint("machine score", CODE, keys.scan(inputs), keys.visual_features(inputs))


def score_channels(inputs: Inputs, run: Run) -> None:
    """Write machine_score.npz of every layer outside blocks, and machine_score.json: whose features they are, what
    chance gives, and by layer the mean over its channels and over random directions. Without features, or with too few
    pictures, the scores are missing."""
    store, layers = run.store, inputs.scan_plan.located
    for layer in layers:
        store.arrays.drop_layer(layer.name, PRODUCT)
    visual, scored = visual_features(inputs, run), store.tables.scored_pictures()
    with_features = scored if visual is None else scored[visual.looks.place[scored] >= 0]
    if visual is None or len(with_features) < 2 * EACH:
        store.tables.write_json("machine_score.json", {})
        return
    rows = np.flatnonzero(visual.looks.place[scored] >= 0)
    files = usable_files(inputs, run)
    ties = tie_order([inputs.pictures.files[files[number]].path for number in with_features.tolist()])
    cosines = visual.looks.cosines(with_features)
    reports: dict[str, dict[str, float | None]] = {}
    with run.reporter.stage("machine scores", len(layers), "layers") as advance:
        for layer in layers:
            scores = np.asarray(store.arrays.scores(layer.name))[rows]
            dead = store.arrays.layer(layer.name, "statistics")["dead"]
            # A channel that too few pictures activate has no strong pictures to show.
            few = dead if layer.signed else (scores > 0).sum(axis=0) < EACH
            found = machine_scores(extremes(scores, ties), cosines)
            found = np.where(dead | few, np.float32(np.nan), found)
            store.arrays.write_layer(layer.name, PRODUCT, {"machine_score": found})
            others = machine_scores(extremes(along(scores, random_directions(layer.channels)), ties), cosines)
            reports[layer.name] = {
                "mean": rounded(known_mean(found)),
                "directions_mean": rounded(known_mean(others)),
            }
            advance()
    low, high = by_chance(cosines)
    report: dict[str, Any] = {
        "network": visual.network,
        "own": visual.own,
        "pictures": len(with_features),
        "trials": TRIALS,
        "chance": {"low": rounded(low), "high": rounded(high)},
        "layers": reports,
    }
    store.tables.write_json("machine_score.json", report)

"""How far the labels of every channel's pictures agree along the range of its scores."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from generator.core.store import fingerprint
from generator.methods import range_labels
from generator.methods.directions import along, random_directions
from generator.methods.strips import QUANTILES, strips, tie_order
from generator.stages import keys
from generator.stages.classes import picture_classes
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run

CODE = 1  # raise it when a change of this file or of methods/range_labels.py changes a number
PRODUCT = "range_labels"  # of a layer's arrays


def key(inputs: Inputs) -> str:
    """The scan and the labels, with the classes' hierarchy."""
    return fingerprint("label range", [CODE, keys.CLASSES], keys.classes(inputs))


def measure_range(inputs: Inputs, run: Run) -> None:
    """Write range_labels.npz of every layer with strips, and what holds of each layer (label_range.json)."""
    store, layers = run.store, inputs.scan_plan.located
    files = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    _, _, classes = picture_classes(inputs, files)
    by_chance = range_labels.chance(classes)
    scored = store.tables.scored_pictures()
    ties = tie_order([files[number].path for number in scored.tolist()])
    reports: dict[str, dict[str, int]] = {}
    with run.reporter.stage("labels along the range", len(layers), "layers") as advance:
        for layer in layers:
            numbers = store.arrays.layer(layer.name, "range")
            images, values = numbers["strip_image"], numbers["strip_value"]
            result = {"level_90": range_labels.level(values, images)}
            if by_chance is not None:
                agreement = range_labels.agreements(images, classes)
                result |= {
                    "strip_agreement": agreement,
                    "agreement_90": agreement[:, range_labels.LOWER].copy(),
                    "agreement_decline": range_labels.decline(agreement, by_chance),
                    "agreement_falls": range_labels.falls(agreement, by_chance),
                }
                random = along(np.asarray(store.arrays.scores(layer.name)), random_directions(layer.channels))
                rows = strips(random - random.min(axis=0), ties).rows  # above zero, as after a ReLU
                others = range_labels.agreements(np.where(rows >= 0, scored[rows], -1), classes)
                reports[layer.name] = {
                    "channels": _compared(agreement),
                    "falls": int(result["agreement_falls"].sum()),
                    "directions": _compared(others),
                    "directions_fall": int(range_labels.falls(others, by_chance).sum()),
                }
            store.arrays.write_layer(layer.name, PRODUCT, result)
            advance()
    report = {
        "quantiles": list(QUANTILES),
        "chance": None if by_chance is None else {name: round(x, 6) for name, x in asdict(by_chance).items()},
        "layers": reports,
    }
    store.tables.write_json("label_range.json", report)


def _compared(agreement: np.ndarray) -> int:
    """How many channels have both strips."""
    return int(np.isfinite(agreement[:, [0, range_labels.LOWER]]).all(axis=1).sum())

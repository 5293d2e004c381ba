"""What every channel's strongest pictures and its scores say about the pictures' classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.core.hierarchy import Hierarchy, nodes_of
from generator.core.store import Store
from generator.methods.auroc import FEWEST, SPLITS
from generator.methods.directions import along, random_directions
from generator.methods.purity import KEPT_SHARES, Classes
from generator.methods.resampling import HALVINGS, LEVEL, RELIABLE, bound
from generator.pictures.reading import PictureFile
from generator.stages.class_measures import Labels, by_chance, channel_arrays, layer_report, measure
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run
from generator.stages.visual_features import VisualFeatures, visual_features

PRODUCT = "classes"  # of a layer's arrays


def describe_classes(inputs: Inputs, run: Run) -> None:
    """Write classes.npz of every layer, the classes as they were used (classes.csv), the halves of the pictures on
    which a best class is chosen and measured (halves.csv), and what holds of them all and of each layer
    (classes.json)."""
    layers, store = inputs.network.layers, run.store
    pictures = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    hierarchy, _, classes = picture_classes(inputs, pictures)
    write_classes(store, pictures, hierarchy, classes)
    visual = visual_features(inputs, run)
    reports = {}
    with run.reporter.stage("classes", len(layers) + 1, "layers") as advance:
        looks = None if visual is None else visual.looks
        labels = Labels.of(classes, store.tables.scored_pictures(), looks)
        _write_halves(store, labels)
        chance = by_chance(labels)
        advance()
        for layer in layers:
            numbers = store.arrays.layer(layer.name, "top", "statistics")
            scores = np.asarray(store.arrays.scores(layer.name))
            channels = measure(labels, scores, signed=not layer.rectified, top=living_top(numbers))
            random = along(scores, random_directions(layer.channels))
            directions = measure(labels, random, signed=True)
            store.arrays.write_layer(layer.name, PRODUCT, channel_arrays(channels, numbers["dead"]))
            reports[layer.name] = layer_report(channels, directions, numbers["dead"])
            advance()
    report = {
        "hierarchy": None if hierarchy is None else hierarchy.source,
        "classes": len(classes.names),
        "groups": [hierarchy.titles.get(name, name) for name in classes.group_names] if hierarchy else [],
        "chance_similarity": round(classes.baseline, 6),
        "kept_shares": list(KEPT_SHARES),
        "halvings": HALVINGS,
        "splits": SPLITS,
        "fewest": FEWEST,
        "reliable": RELIABLE,
        "level": LEVEL,
        "bound": round(bound(), 6),
        "enough": {kind: int(labelling.enough.sum()) for kind, labelling in labels.sets.items()},
        "visual": _visual_report(visual),
        "chance": chance,
        "layers": reports,
    }
    store.tables.write_json("classes.json", report)


def _visual_report(visual: VisualFeatures | None) -> dict[str, Any] | None:
    if visual is None:
        return None
    return {
        "network": visual.network,
        "own": visual.own,
        "pictures": len(visual.looks.vectors),
        "chance_similarity": round(visual.looks.baseline, 6),
    }


def picture_classes(
    inputs: Inputs, files: Sequence[PictureFile]
) -> tuple[Hierarchy | None, list[str] | None, Classes]:
    """The hierarchy that holds for the pictures, the place of each in it ('' without a label), and the pictures'
    classes. The hierarchy is the profile's, else the drawn world's own, else WordNet where every label is a class of
    ImageNet; None where there is none."""
    hierarchy: Hierarchy | None = inputs.hierarchy
    given = inputs.profile.pictures.hierarchy is not None
    wnid = {
        (label_class.number, label_class.name): label_class.wnid for label_class in inputs.pictures.classes
    }
    wnids = [wnid.get((file.label_id, file.label), "") for file in files]
    pictures = [(file.label, file.path) for file in files]
    nodes = nodes_of(inputs.hierarchy, pictures, strict=given, wnids=wnids)
    if not given and not (nodes and any(nodes)):
        hierarchy = None
    return hierarchy, nodes, Classes.of([(file.label_id, file.label) for file in files], nodes, hierarchy)


def write_classes(
    store: Store, files: Sequence[PictureFile], hierarchy: Hierarchy | None, classes: Classes
) -> None:
    """classes.csv: one row per class, with its group in the hierarchy."""
    rows: dict[int, list[Any]] = {}
    for file, number in zip(files, classes.of_picture.tolist(), strict=True):
        if number >= 0 and number not in rows:
            group = "" if classes.groups is None else classes.group_names[classes.groups[number]]
            title = group if hierarchy is None else hierarchy.titles.get(group, group)
            rows[number] = [file.label_id, file.label, title]
    store.tables.write(
        "classes.csv", ["label_id", "label", "group"], [rows[number] for number in sorted(rows)]
    )


def _write_halves(store: Store, labels: Labels) -> None:
    """halves.csv: one row per labelled picture whose scores are kept. half: 1 where a channel's best class is chosen on
    it, 2 where the class is measured on it."""
    pictures = labels.rows[labels.labelled]
    halves = np.where(labels.halves[0], 1, 2)
    store.tables.write(
        "halves.csv", ["picture", "half"], zip(pictures.tolist(), halves.tolist(), strict=True)
    )


def living_top(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """The top-9 pictures of every channel, (C, 9); −1 throughout for a dead channel."""
    return np.where(numbers["dead"][:, None], -1, numbers["top_image"])

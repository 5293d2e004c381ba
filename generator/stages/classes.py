"""What every channel's strongest pictures and its scores say about the pictures' classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.core.hierarchy import Hierarchy, nodes_of
from generator.core.records import LayerInfo
from generator.core.store import Store
from generator.methods.purity import (
    KEPT_SHARES,
    SELECTIVE_SHARE,
    Classes,
    agreement,
    classes_of_nine,
    entropy,
    expected_entropies,
    purity,
    selectivity,
)
from generator.pictures.reading import PictureFile
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run

PRODUCT = "classes"  # of a layer's arrays


def describe_classes(inputs: Inputs, run: Run) -> None:
    """Write classes.npz of every layer, the classes as they were used (classes.csv) and what holds of them all
    (classes.json)."""
    layers, store = inputs.network.layers, run.store
    pictures = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    hierarchy, classes = picture_classes(inputs, pictures)
    write_classes(store, pictures, hierarchy, classes)
    with run.reporter.stage("classes", len(layers), "layers") as advance:
        expected = Expected.of(classes, store.tables.scored_pictures())
        for layer in layers:
            store.arrays.write_layer(layer.name, PRODUCT, label_numbers(store, layer, classes, expected))
            advance()
    report = {
        "hierarchy": None if hierarchy is None else hierarchy.source,
        "classes": len(classes.names),
        "groups": [hierarchy.titles.get(name, name) for name in classes.group_names] if hierarchy else [],
        "chance_similarity": round(classes.baseline, 6),
        "kept_shares": list(KEPT_SHARES),
    }
    store.tables.write_json("classes.json", report)


def picture_classes(inputs: Inputs, files: Sequence[PictureFile]) -> tuple[Hierarchy | None, Classes]:
    """The pictures' classes and the hierarchy that holds for them: the profile's, else the drawn world's own, else
    WordNet where every label is a class of ImageNet; None where there is none."""
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
    return hierarchy, Classes.of([(file.label_id, file.label) for file in files], nodes, hierarchy)


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


@dataclass(frozen=True)
class Expected:
    """The entropies that chance would give the classes and the groups of the pictures whose scores are kept (`rows`);
    None where they say nothing."""

    rows: np.ndarray
    classes: np.ndarray | None
    groups: np.ndarray | None

    @classmethod
    def of(cls, classes: Classes, rows: np.ndarray) -> Expected:
        """From the pictures' classes, for the pictures of these rows."""

        def table(of_picture: np.ndarray) -> np.ndarray:
            here = of_picture[rows]
            return expected_entropies(np.bincount(here[here >= 0]))

        grouped = classes.labelled and classes.groups is not None
        return cls(
            rows,
            table(classes.of_picture) if classes.repeat else None,
            table(classes.group_of_picture) if grouped else None,
        )


def label_numbers(
    store: Store, layer: LayerInfo, classes: Classes, expected: Expected
) -> dict[str, np.ndarray]:
    """What a layer's pictures say about classes: statistics (C,), and entropies (C, T) above each threshold.

    NaN throughout where nothing is labelled; for single classes also where no class has two pictures.
    """
    top_image, scores = (
        living_top(store.arrays.layer(layer.name, "top", "statistics")),
        store.arrays.scores(layer.name),
    )
    signed = not layer.rectified
    nothing: np.ndarray = np.full(layer.channels, np.nan, np.float32)
    none: np.ndarray = np.full((layer.channels, len(KEPT_SHARES)), np.nan, np.float32)
    names = ("label_purity", "label_entropy", "label_agreement", "selectivity", "group_purity")
    result: dict[str, np.ndarray] = dict.fromkeys((*names, "group_selectivity"), nothing)
    result |= {"class_entropy": none, "group_entropy": none}
    step = KEPT_SHARES.index(SELECTIVE_SHARE)
    if classes.labelled and (classes.repeat or classes.groups is not None):
        result["label_agreement"] = agreement(classes_of_nine(top_image, classes.of_picture), classes)
    if expected.classes is not None:
        nine = classes_of_nine(top_image, classes.of_picture)
        above = selectivity(scores, classes.of_picture[expected.rows], expected.classes, signed=signed)
        result |= {"label_purity": purity(nine), "label_entropy": entropy(nine)}
        result |= {"selectivity": above.selectivity[:, step], "class_entropy": above.entropy}
    if expected.groups is not None:
        of_group = classes.group_of_picture
        above = selectivity(scores, of_group[expected.rows], expected.groups, signed=signed)
        result["group_purity"] = purity(classes_of_nine(top_image, of_group))
        result |= {"group_selectivity": above.selectivity[:, step], "group_entropy": above.entropy}
    return result


def living_top(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """The top-9 pictures of every channel, (C, 9); −1 throughout for a dead channel."""
    return np.where(numbers["dead"][:, None], -1, numbers["top_image"])

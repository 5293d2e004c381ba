"""The channels of every class and of every group of classes: whose pictures are among their nine strongest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from generator.core.hierarchy import Hierarchy
from generator.core.store import fingerprint
from generator.methods.category_channels import CHANCE, Category, categories_of, channels_found
from generator.stages import keys
from generator.stages.classes import living_top, picture_classes
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run

CODE = 2  # raise it when a change of this file or of methods/category_channels.py changes a number


def key(inputs: Inputs) -> str:
    """The scan, the labels, and the hierarchy with its names and the list of words."""
    tree = inputs.hierarchy
    words = [(group.name, *group.words, "", *group.members) for group in tree.word_groups]
    return fingerprint("categories", CODE, keys.classes(inputs), sorted(tree.titles.items()), words)


def find_channels(inputs: Inputs, run: Run) -> None:
    """Write the categories (categories.json) and the channels that are found for each (categories.npz)."""
    store, layers = run.store, inputs.network.layers
    files = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    hierarchy, nodes, classes = picture_classes(inputs, files)
    known = classes.of_picture >= 0
    counts = np.bincount(classes.of_picture[known], minlength=len(classes.names))
    places = [""] * len(classes.names)
    for number, node in zip(classes.of_picture.tolist(), nodes or (), strict=False):
        if number >= 0:
            places[number] = node
    tree = hierarchy if all(places) else None
    categories = categories_of(classes.names, places, tree, counts, len(files))
    scored, found = store.tables.scored_pictures(), []
    with run.reporter.stage("categories", len(layers), "layers") as advance:
        for layer in layers:
            top = living_top(store.arrays.layer(layer.name, "top", "statistics"))
            scores = store.arrays.scores(layer.name)
            found.append(channels_found(categories, classes.of_picture, top, scores, scored))
            advance()
    store.arrays.write_categories(
        {
            "layer": np.repeat(np.arange(len(layers), dtype=np.int32), [len(each.channel) for each in found]),
            "channel": np.concatenate([each.channel for each in found]),
            "category": np.concatenate([each.category for each in found]),
            "count": np.concatenate([each.count for each in found]),
            "precision": np.concatenate([each.precision for each in found]),
        }
    )
    report = {
        "pictures": len(files),
        "labelled": int(known.sum()),
        "hierarchy": None if tree is None else tree.source,
        "chance": CHANCE,
        "layers": [layer.name for layer in layers],
        "categories": _rows(categories, tree),
    }
    store.tables.write_json("categories.json", report)


def _rows(categories: Sequence[Category], tree: Hierarchy | None) -> list[dict[str, object]]:
    """The categories with the hierarchy's titles in place of its names."""

    def title(name: str) -> str:
        return name if tree is None else tree.titles.get(name, name)

    return [
        asdict(category)
        | {
            "name": title(category.name) if category.kind == "group" else category.name,
            "also": [title(name) for name in category.also],
            "probability": float(f"{category.probability:.4g}"),
        }
        for category in categories
    ]

"""The categories of an atlas as the pages need them: classes and groups of classes, and their channels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from generator.core.records import TOP, PictureRecord
from generator.core.store import Store

MOST_ON_A_PAGE = 4  # categories named on a channel's page


@dataclass(frozen=True)
class Category:
    """number: its place in the list; name: different for all; address: of its page, below the network's folder, ''
    where no channel is found; kind: class, group, or own for a group of the atlas's own list of words; also: other
    names; words: everyday words for it; parent: number of the smallest category that holds it, −1 for none; classes:
    the numbers of its classes' categories; pictures: how many; share: of all pictures; chance: the average precision of
    a random order, its share of the labelled pictures with scores; fewest: how many of nine a channel needs, above nine
    where it cannot be found; probability: that nine random pictures have as many."""

    number: int
    name: str
    address: str
    kind: str
    also: Sequence[str]
    words: Sequence[str]
    parent: int
    classes: Sequence[int]
    pictures: int
    share: float
    chance: float
    fewest: int
    probability: float

    def expected(self, pictures: int = TOP) -> float:
        """The mean number of this category's pictures among random ones."""
        return pictures * self.share


@dataclass(frozen=True)
class CategoryChannel:
    """A channel of a category. count: of its strongest pictures; precision: average precision, None where no picture of
    the category has a stored score."""

    layer: str
    channel: int
    category: Category
    count: int
    precision: float | None


@dataclass(frozen=True)
class Categories:
    """hierarchy: its source, '' for none; labelled: how many pictures have a label; rows: (P,) arrays of
    categories.npz, of the layers that have pages; class_rows: of each class's category, by its number, the class's row
    in classes.csv."""

    hierarchy: str
    labelled: int
    entries: Sequence[Category]
    layers: Sequence[str]
    rows: dict[str, np.ndarray]
    class_rows: Mapping[int, int]

    def of_category(self, category: Category) -> list[CategoryChannel]:
        """Its channels: those with most of its pictures first, of these those of highest average precision."""
        return self._by_category.get(category.number, [])

    def of_layer(self, layer: str) -> Mapping[str, Sequence[CategoryChannel]]:
        """By name of a category, in order, the layer's channels of it, in the order of `of_category`."""
        return self._by_layer.get(layer, {})

    def of_channel(self, layer: str, channel: int) -> list[CategoryChannel]:
        """The categories that a channel is found for, the smallest first."""
        return self._by_channel.get((layer, channel), [])

    def best_names(self, layer: str, channel: int) -> list[CategoryChannel]:
        """The same without a category that holds another one with as many of the nine pictures, and without groups of
        the list of words, which serve the search."""
        found = [each for each in self.of_channel(layer, channel) if each.category.kind != "own"]
        counts = {each.category.number: each.count for each in found}
        hidden = set()
        for each in found:
            above = each.category.parent
            while above >= 0:
                if counts.get(above) == each.count:
                    hidden.add(above)
                above = self.entries[above].parent
        return [each for each in found if each.category.number not in hidden][:MOST_ON_A_PAGE]

    @cached_property
    def _all(self) -> list[CategoryChannel]:
        names = ("layer", "channel", "category", "count", "precision")
        return [
            CategoryChannel(
                self.layers[layer],
                channel,
                self.entries[category],
                count,
                precision if np.isfinite(precision) else None,
            )
            for layer, channel, category, count, precision in zip(
                *(self.rows[name].tolist() for name in names), strict=True
            )
        ]

    @cached_property
    def _by_category(self) -> dict[int, list[CategoryChannel]]:
        depth = {name: number for number, name in enumerate(self.layers)}
        found: dict[int, list[CategoryChannel]] = {}
        for each in self._all:
            found.setdefault(each.category.number, []).append(each)
        for channels in found.values():
            channels.sort(key=lambda x: (-x.count, -(x.precision or 0), -depth[x.layer], x.channel))
        return found

    @cached_property
    def _by_layer(self) -> dict[str, dict[str, list[CategoryChannel]]]:
        found: dict[str, dict[str, list[CategoryChannel]]] = {}
        for category in sorted(self.entries, key=lambda x: x.name):
            for each in self.of_category(category):
                found.setdefault(each.layer, {}).setdefault(category.name, []).append(each)
        return found

    @cached_property
    def _by_channel(self) -> dict[tuple[str, int], list[CategoryChannel]]:
        found: dict[tuple[str, int], list[CategoryChannel]] = {}
        for each in self._all:
            found.setdefault((each.layer, each.channel), []).append(each)
        for categories in found.values():
            categories.sort(key=lambda x: (x.category.pictures, x.category.number))
        return found


def read_categories(
    store: Store,
    pictures: Sequence[PictureRecord],
    class_names: Sequence[str],
    has: Callable[[str], bool],
) -> Categories | None:
    """The categories; None in an atlas of a version that did not look for their channels. class_names: the labels on
    the pages, row by row of classes.csv; has: whether a layer has pages."""
    report = store.tables.read_json("categories.json")
    if not report:
        return None
    rows = store.arrays.categories()
    layers = report["layers"]
    shown = np.array([has(name) for name in layers], bool)
    rows = {name: values[shown[rows["layer"]]] for name, values in rows.items()}
    found = set(rows["category"].tolist())
    data = report["categories"]
    names = _names(class_names, data)
    chances = _chances(store, pictures, data)
    addresses = page_addresses(names, "categories")
    class_rows = {number: row["classes"][0] for number, row in enumerate(data) if row["kind"] == "class"}
    numbers = {row: number for number, row in class_rows.items()}
    entries = [
        Category(
            number=number,
            name=names[number],
            address=addresses[number] if number in found or row["kind"] == "class" else "",
            kind=row["kind"],
            also=row["also"],
            words=row.get("words", ()),
            parent=row["parent"],
            classes=[numbers[place] for place in row["classes"]],
            pictures=row["pictures"],
            share=row["pictures"] / report["pictures"],
            chance=chances[number],
            fewest=row["fewest"],
            probability=row["probability"],
        )
        for number, row in enumerate(data)
    ]
    return Categories(report["hierarchy"] or "", report["labelled"], entries, layers, rows, class_rows)


def _names(classes: Sequence[str], data: Sequence[Mapping[str, Any]]) -> list[str]:
    """Classes by their labels on the pages, groups by their names, all different."""
    taken: set[str] = set()
    names = []
    for row in data:
        name = classes[row["classes"][0]] if row["kind"] == "class" else row["name"]
        free, number = name, 1
        while free in taken:
            free, number = f"{name} (group{'' if number == 1 else f' {number}'})", number + 1
        taken.add(free)
        names.append(free)
    return names


def page_addresses(names: Sequence[str], folder: str) -> list[str]:
    """A page in a folder for each name: its letters and digits; where several have the same, they are numbered."""
    used: Counter[str] = Counter()
    addresses = []
    for name in names:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "category"
        used[plain] += 1
        addresses.append(f"{folder}/{plain if used[plain] == 1 else f'{plain}.{used[plain]}'}.html")
    return addresses


def _chances(
    store: Store, pictures: Sequence[PictureRecord], data: Sequence[Mapping[str, Any]]
) -> list[float]:
    """The share of each category among the labelled pictures whose scores are stored."""
    number = {key: place for place, key in enumerate(store.tables.class_groups())}
    counts = np.zeros(len(number) + 1)
    for picture in store.tables.scored_pictures().tolist():
        record = pictures[picture]
        counts[number.get((record.label_id, record.label), len(number))] += 1
    labelled = counts[:-1].sum()
    return [float(counts[row["classes"]].sum() / labelled) if labelled else 0.0 for row in data]

"""Which channels have many of a category's pictures among their nine strongest, and how well they find all of its
pictures.

A category is a class of the pictures, a group of classes above it in the hierarchy ("dog" above the breeds), or a group
of the atlas's own list of everyday words ("letters"), which the hierarchy lacks. A channel is found for a category if
it has a number of the category's pictures among its nine that nine random pictures reach in at most one case of a
thousand (hypergeometric distribution). Its average precision is taken over all pictures, the nine included: the mean,
over the category's pictures, of the share of the category among the pictures whose score is not lower.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import hypergeom

from generator.core.hierarchy import Hierarchy
from generator.core.ordering import TiedOrder
from generator.core.records import TOP

CHANCE = 0.001  # the largest probability that nine random pictures hold as many of the category
FEWEST = 3  # pictures of nine; two of a kind are no pattern
CHANNELS_AT_ONCE = 128
PAIRS_AT_ONCE = 256


@dataclass(frozen=True)
class Category:
    """name: of the class, or of the group; kind: class, group, or own for a group that the hierarchy lacks; also: names
    of other groups that hold the same pictures, the lowest first; words: everyday words for it; parent: number of the
    smallest category that holds this one, −1 for none; classes: numbers of its classes; pictures: how many there are;
    fewest: how many of nine a channel needs, TOP + 1 where no number would be beyond chance; probability: that nine
    random pictures hold as many."""

    name: str
    kind: str
    also: tuple[str, ...]
    parent: int
    classes: tuple[int, ...]
    pictures: int
    fewest: int
    probability: float
    words: tuple[str, ...] = ()


def categories_of(
    names: Sequence[str], nodes: Sequence[str], tree: Hierarchy | None, counts: np.ndarray, total: int
) -> list[Category]:
    """The classes, then the groups above them that hold some of the labelled pictures but not all, then the groups of
    the list of words that hold others; groups that hold the same pictures are one category.

    names: (K,) of the classes; nodes: (K,) their places in the tree; counts: (K,) pictures of each class; total: how
    many pictures there are, labelled or not.
    """
    paths = [() if tree is None else tuple(tree.path(node)) for node in nodes]  # from the class upwards
    members: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        for group in path:
            members.setdefault(group, []).append(number)
    groups: dict[tuple[int, ...], list[str]] = {(number,): [] for number in range(len(names))}
    for path in paths:
        for group in path:
            same = groups.setdefault(tuple(members[group]), [])
            if group not in same:
                same.append(group)
    everything = tuple(range(len(names)))
    sets = [classes for classes in groups if classes != everything]
    numbers = {classes: number for number, classes in enumerate(sets)}

    def parent(classes: tuple[int, ...]) -> int:
        larger = (tuple(members[group]) for group in paths[classes[0]])
        return next((numbers.get(each, -1) for each in larger if len(each) > len(classes)), -1)

    def category(classes: tuple[int, ...]) -> Category:
        is_class = len(classes) == 1
        pictures = int(counts[list(classes)].sum())
        # The lowest group of a class is its own place in the tree.
        names_of_set = (names[classes[0]], *groups[classes][1:]) if is_class else tuple(groups[classes])
        return Category(
            names_of_set[0],
            "class" if is_class else "group",
            names_of_set[1:],
            parent(classes),
            classes,
            pictures,
            *beyond_chance(total, pictures),
        )

    found = [category(classes) for classes in sets]
    for own in () if tree is None else tree.word_groups:
        chosen = set(own.members)
        classes = tuple(number for number, path in enumerate(paths) if not chosen.isdisjoint(path))
        if classes in numbers:
            known = found[numbers[classes]]
            mine = (known.name, *known.words)
            further = [word for word in (own.name, *own.words) if word and word not in mine]
            found[numbers[classes]] = replace(known, words=(*known.words, *further))
        elif classes and classes != everything:
            numbers[classes] = len(found)
            pictures = int(counts[list(classes)].sum())
            chance = beyond_chance(total, pictures)
            found.append(Category(own.name, "own", (), -1, classes, pictures, *chance, own.words))
    return found


def beyond_chance(total: int, pictures: int) -> tuple[int, float]:
    """How many of nine pictures must be of a category that has `pictures` of `total`, and the probability that nine
    random ones are."""
    numbers = np.arange(FEWEST, TOP + 1)
    tail = hypergeom.sf(numbers - 1, total, pictures, min(TOP, total))
    enough = np.flatnonzero((tail <= CHANCE) & (numbers <= pictures))
    if not enough.size:
        return TOP + 1, 0.0
    return int(numbers[enough[0]]), float(tail[enough[0]])


@dataclass(frozen=True)
class Found:
    """Channels and the categories that they are found for, sorted by channel and category; (P,) each. channel,
    category: numbers; count: of the nine pictures; precision: float32, NaN where no picture of the category has a
    stored score."""

    channel: np.ndarray
    category: np.ndarray
    count: np.ndarray
    precision: np.ndarray


def channels_found(
    categories: Sequence[Category],
    of_picture: np.ndarray,
    top: np.ndarray,
    scores: np.ndarray,
    rows: np.ndarray,
) -> Found:
    """of_picture: (N,) the class of each picture, −1 without; top: (C, 9) the strongest pictures, −1 for none; scores:
    (R, C), of the pictures whose numbers are rows (R,)."""
    kinds = int(of_picture.max(initial=-1)) + 1
    holds = np.zeros((kinds + 1, len(categories)), np.uint8)  # the last row is that of no class
    for number, category in enumerate(categories):
        holds[list(category.classes), number] = 1
    fewest = np.array([category.fewest for category in categories], np.int64)
    classes = np.where(top >= 0, of_picture[top], -1)
    labelled = np.flatnonzero(of_picture[rows] >= 0)
    own = holds[of_picture[rows][labelled]].T.astype(bool)  # (G, L)
    parts = []
    for first in range(0, len(top), CHANNELS_AT_ONCE):
        counts = holds[classes[first : first + CHANNELS_AT_ONCE]].sum(axis=1, dtype=np.int8)
        channel, which = np.nonzero(counts >= fewest)
        order = TiedOrder.of(-np.asarray(scores[labelled, first : first + CHANNELS_AT_ONCE]))
        precision = average_precisions(order, channel, own, which)
        parts.append((channel + first, which, counts[channel, which], precision))
    joined = [np.concatenate(part) for part in zip(*parts, strict=True)]
    return Found(joined[0].astype(np.int32), joined[1].astype(np.int32), joined[2].astype(np.int8), joined[3])


def average_precisions(
    falling: TiedOrder, channel: np.ndarray, own: np.ndarray, category: np.ndarray
) -> np.ndarray:
    """(P,) float32: the average precision of each pair of a channel and a category.

    falling: the pictures by falling score; own: (G, L) bool, the pictures of each category.
    """
    ends = np.take_along_axis(falling.end, falling.order, 1)  # by place: how many scores are not lower
    result: np.ndarray = np.full(len(channel), np.nan, np.float32)
    for first in range(0, len(channel), PAIRS_AT_ONCE):
        part = slice(first, first + PAIRS_AT_ONCE)
        order, end = falling.order[channel[part]], ends[channel[part]]
        ordered = np.take_along_axis(own[category[part]], order, 1)
        found = np.take_along_axis(np.cumsum(ordered, axis=1), end - 1, 1)
        total = ordered.sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            result[part] = np.where(ordered, found / end, 0.0).sum(axis=1) / total
    return result

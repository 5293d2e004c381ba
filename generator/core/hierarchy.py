"""A tree of classes, and how similar two classes are on a set of pictures."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from importlib import resources
from pathlib import Path, PurePosixPath

import numpy as np

from generator.core.errors import AtlasError

COLUMNS = ("child", "parent")
_WNID = re.compile(r"n\d{8}(?!\d)")  # a WordNet number at the start of a file's or a folder's name


@dataclass(frozen=True)
class WordGroup:
    """Everyday words for some classes. name: of a group that the hierarchy lacks, '' where the words are only further
    names of its group; members: classes and groups of the hierarchy."""

    name: str
    words: tuple[str, ...]
    members: tuple[str, ...]


@dataclass(frozen=True)
class Hierarchy:
    """A tree of classes, or several. parents: child → parent, '' for a root; source: where it came from; titles: what
    classes and groups are called, where that is not their name; word_groups: groups beside the tree, which alone
    decides how similar classes are."""

    parents: Mapping[str, str]
    source: str
    titles: Mapping[str, str] = field(default_factory=dict)
    word_groups: tuple[WordGroup, ...] = ()

    def __post_init__(self) -> None:
        for name in self.parents:
            seen = {name}
            for above in self._above(name):
                if above in seen:
                    raise AtlasError(
                        f"the class hierarchy goes in a circle at {above!r}",
                        self.source,
                        "correct its parents",
                    )
                seen.add(above)

    @cached_property
    def names(self) -> frozenset[str]:
        """Every class and group."""
        return frozenset(self.parents) | frozenset(self.parents.values()) - {""}

    def _above(self, name: str) -> Iterator[str]:
        while name := self.parents.get(name, ""):
            yield name

    def path(self, name: str) -> list[str]:
        """The class, its group, that one's group …, up to the root."""
        return [name, *self._above(name)]

    def node(self, label: str, path: str) -> str | None:
        """The class of a picture: its label, or the WordNet number that its file or folder is named by."""
        if label in self.names:
            return label
        for part in reversed(PurePosixPath(path).parts):
            if (wnid := _WNID.match(part)) and wnid[0] in self.names:
                return wnid[0]
        return None


def read_hierarchy(path: Path) -> Hierarchy:
    """Read a CSV with the columns child and parent, and perhaps name; an empty parent, or none at all, is a root.

    Raises AtlasError where the file cannot be read, lacks a column, gives a class two parents, or goes in a circle.
    """
    remedy = "give it the columns child,parent, one row per class or group"
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = list(csv.DictReader(file, skipinitialspace=True))
    except OSError as error:
        raise AtlasError(
            f"the class hierarchy cannot be read ({error.strerror})", path, "check the path"
        ) from error
    except csv.Error as error:
        raise AtlasError(f"the class hierarchy is no table ({error})", path, remedy) from error
    if not rows or not set(COLUMNS) <= set(rows[0]):
        raise AtlasError("the class hierarchy lacks the columns child and parent", path, remedy)
    parents: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        child, parent = ((row[column] or "").strip() for column in COLUMNS)
        if not child:
            raise AtlasError(f"row {line} of the class hierarchy names no child", path, remedy)
        if parents.get(child, parent) != parent:
            raise AtlasError(
                f"the class hierarchy gives {child!r} two parents, {parents[child]!r} and {parent!r}",
                path,
                "keep one",
            )
        parents[child] = parent
    titles = {row["child"].strip(): row["name"].strip() for row in rows if row.get("name")}
    return Hierarchy(parents, path.name, titles)


@cache
def imagenet_hierarchy() -> Hierarchy:
    """WordNet 3.0 above the 1,000 classes of ImageNet, which are named by their WordNet numbers, and the atlas's own
    list of everyday words for them."""
    with resources.as_file(resources.files("generator.core") / "hierarchies") as folder:
        tree = read_hierarchy(folder / "imagenet.csv")
        words = _word_groups(folder / "imagenet_words.csv")
    return replace(tree, source="WordNet 3.0", word_groups=words)


def _word_groups(path: Path) -> tuple[WordGroup, ...]:
    with path.open(newline="", encoding="utf-8") as file:
        return tuple(
            WordGroup(row["group"], tuple(row["words"].split(", ")), tuple(row["members"].split()))
            for row in csv.DictReader(file)
        )


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """The WordNet numbers of ImageNet's 1,000 classes, in the usual order of a network's outputs."""
    parents = imagenet_hierarchy().parents
    return tuple(sorted(set(parents) - set(parents.values())))


def nodes_of(
    hierarchy: Hierarchy,
    pictures: Sequence[tuple[str, str]],
    *,
    strict: bool,
    wnids: Sequence[str] | None = None,
) -> list[str] | None:
    """The class of every picture, given as label and path, '' for one without a label; None where some labelled
    picture has no place in the hierarchy. strict: raise an AtlasError instead; wnids: the WordNet number of every
    picture's label, '' where there is none."""
    nodes = [
        "" if not label else wnid if wnid in hierarchy.names else hierarchy.node(label, path)
        for (label, path), wnid in zip(pictures, wnids or [""] * len(pictures), strict=True)
    ]
    unknown = Counter(
        label for (label, _), node in zip(pictures, nodes, strict=True) if node is None
    ).most_common()
    if unknown and strict:
        raise AtlasError(
            f"the class hierarchy lacks {len(unknown)} of the pictures' labels, the first is {unknown[0][0]!r}",
            hierarchy.source,
            "give every label a row",
        )
    return None if unknown else [node or "" for node in nodes]


def similarities(hierarchy: Hierarchy | None, classes: Sequence[str], counts: np.ndarray) -> np.ndarray:
    """Lin's similarity of every two classes on these pictures, (K,) names and (K,) pictures → (K, K) float64.

    2 ln p(a, b) / (ln p(a) + ln p(b)), where p(a) is the share of the pictures that are of class a, and p(a, b) of
    those below the lowest group that holds both: 1 for the same class, 0 for two that only the root holds (Lin,
    "An information-theoretic definition of similarity", ICML 1998). Without a hierarchy 1 on the diagonal alone.
    """
    if hierarchy is None:
        return np.eye(len(classes))
    total = float(counts.sum())
    paths = [hierarchy.path(name) for name in classes]
    below: Counter[str] = Counter()
    for path, count in zip(paths, counts.tolist(), strict=True):
        for name in path:
            below[name] += count
    surprise = {name: -np.log(count / total) if count else 0.0 for name, count in below.items()}
    members: dict[str, list[int]] = {}
    for number, path in enumerate(paths):
        for name in path:
            members.setdefault(name, []).append(number)
    # From the root down, so that the lowest group that holds two classes writes last.
    shared = np.zeros((len(classes), len(classes)))
    for name in sorted(members, key=lambda name: len(hierarchy.path(name))):
        inside = np.array(members[name])
        shared[np.ix_(inside, inside)] = surprise[name]
    own = np.array([surprise[name] for name in classes])
    both = own[:, None] + own[None, :]
    result: np.ndarray = np.divide(2 * shared, both, out=np.zeros_like(shared), where=both > 0)
    np.fill_diagonal(result, 1.0)
    return result

"""A short label of each class of the pictures, so that no two classes look alike on the pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from generator.core.records import PictureRecord

ClassKey = tuple[int, str]  # label_id and label: what makes a class
_WNID = re.compile(r"n\d{8}(?!\d)")  # a WordNet number at the start of a file's or a folder's name


def short_label(label: str) -> str:
    """The first of a class's synonyms: ImageNet's labels list several."""
    return label.split(",")[0]


def unique_labels(pictures: Sequence[PictureRecord]) -> dict[ClassKey, str]:
    """Every class of the labelled pictures → its label on the pages; all are different.

    It is the first of the label's synonyms. Where several classes share that one (ImageNet has two cranes), each is
    followed by its WordNet number in brackets if the paths of the pictures carry one, otherwise by its label_id.
    """
    wnids: dict[ClassKey, set[str]] = {}
    for picture in pictures:
        if picture.label:
            wnids.setdefault((picture.label_id, picture.label), set()).add(_wnid(picture.path))
    classes_with = Counter(short_label(label) for _, label in wnids)
    labels: dict[ClassKey, str] = {}
    for key in sorted(wnids):
        label_id, label = key
        short = short_label(label)
        alike = [other for other in wnids if short_label(other[1]) == short]
        if classes_with[short] == 1:
            labels[key] = short
        elif _told_apart([wnids[other] for other in alike]):
            labels[key] = f"{short} ({next(iter(wnids[key]))})"
        elif len({other_id for other_id, _ in alike}) == len(alike):
            labels[key] = f"{short} ({label_id})"
        else:  # the same number and the same first synonym: only the whole labels tell them apart
            labels[key] = label
    return _without_repeats(labels)


def _wnid(path: str) -> str:
    """The WordNet number in a picture's path, '' without one."""
    matches = (_WNID.match(part) for part in reversed(PurePosixPath(path).parts))
    return next((match[0] for match in matches if match), "")


def _told_apart(wnids: Sequence[set[str]]) -> bool:
    """Whether each class has exactly one WordNet number and no two have the same."""
    return all(len(own) == 1 and "" not in own for own in wnids) and len(set().union(*wnids)) == len(wnids)


def _without_repeats(labels: dict[ClassKey, str]) -> dict[ClassKey, str]:
    """A label may itself look like one with a number in brackets: repeats get [2], [3] …"""
    taken: set[str] = set()
    unique: dict[ClassKey, str] = {}
    for key, label in labels.items():
        free, number = label, 2
        while free in taken:
            free, number = f"{label} [{number}]", number + 1
        taken.add(free)
        unique[key] = free
    return unique

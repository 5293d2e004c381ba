"""What the pages call each class of the pictures, so that no two classes are taken for one."""

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


def class_names(pictures: Sequence[PictureRecord]) -> dict[ClassKey, str]:
    """Every class of the labelled pictures → its name on the pages, no name twice.

    A name is the first of the label's synonyms. Where several classes would share it (ImageNet has two cranes), each is
    followed by its WordNet number in brackets if the pictures' files or folders carry one, otherwise by its label_id.
    """
    wnids: dict[ClassKey, set[str]] = {}
    for picture in pictures:
        if picture.label:
            wnids.setdefault((picture.label_id, picture.label), set()).add(_wnid(picture.path))
    shared = Counter(short_label(label) for _, label in wnids)
    names: dict[ClassKey, str] = {}
    for key in sorted(wnids):
        number, label = key
        short = short_label(label)
        alike = [other for other in wnids if short_label(other[1]) == short]
        marks = [wnids[other] for other in alike]
        if shared[short] == 1:
            names[key] = short
        elif all(len(mark) == 1 and "" not in mark for mark in marks) and len(set().union(*marks)) == len(
            marks
        ):
            names[key] = f"{short} ({next(iter(wnids[key]))})"
        elif len({other for other, _ in alike}) == len(alike):
            names[key] = f"{short} ({number})"
        else:  # one number and one first synonym: only the whole labels tell them apart
            names[key] = label
    return _no_name_twice(names)


def _wnid(path: str) -> str:
    found = (_WNID.match(part) for part in reversed(PurePosixPath(path).parts))
    return next((match[0] for match in found if match), "")


def _no_name_twice(names: dict[ClassKey, str]) -> dict[ClassKey, str]:
    """A label may itself look like a name with a number: such names are numbered on."""
    taken: set[str] = set()
    unique: dict[ClassKey, str] = {}
    for key, name in names.items():
        free, number = name, 2
        while free in taken:
            free, number = f"{name} [{number}]", number + 1
        taken.add(free)
        unique[key] = free
    return unique

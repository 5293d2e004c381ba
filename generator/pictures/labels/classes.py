"""The classes named by labels: their numbers, readable names and WordNet numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from generator.core.errors import AtlasError
from generator.core.hierarchy import imagenet_hierarchy

# What a class's number means: its position in the sorted names ("order"), the label itself ("numbers"), or the number
# that a label file gives next to the label ("given").
Numbering = Literal["order", "numbers", "given"]

_WNID = re.compile(r"(?P<wnid>n\d{8})(?:[_\- ]+(?P<name>.*))?", re.DOTALL)
_INTEGER = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LabelClass:
    """A class of the pictures. number: its id; name: for display; wnid: its WordNet number (n01440764), '' where there
    is none."""

    number: int
    name: str
    wnid: str = ""


@dataclass(frozen=True)
class Labels:
    """The labels of N pictures. of_picture: (N,) for each picture the index of its class in `classes`, −1 without a
    label; source: where the labels come from, in words, '' without labels; notes: sentences on what was left out or
    assumed."""

    of_picture: list[int]
    classes: tuple[LabelClass, ...] = ()
    numbering: Numbering = "order"
    source: str = ""
    notes: tuple[str, ...] = ()


def no_labels(pictures: int, *notes: str) -> Labels:
    """The labels of pictures without any label. notes: sentences that say why."""
    return Labels([-1] * pictures, notes=notes)


def split_wnid(text: str) -> tuple[str, str] | None:
    """The WordNet number and the name in `n01440764`, `n01440764_tench` or `n02085620-Chihuahua`. The name is '' where
    there is none. None for other texts."""
    match = _WNID.fullmatch(text)
    return None if match is None else (match["wnid"], (match["name"] or "").replace("_", " ").strip())


def wordnet_name(wnid: str) -> str:
    """The name of a WordNet number of ImageNet's 1,000 classes or of the groups above them; '' for other numbers."""
    tree = imagenet_hierarchy()
    return tree.titles.get(wnid, "")


def as_integer(text: str) -> int | None:
    """The label as an integer, None where it is not one."""
    return int(text) if _INTEGER.fullmatch(text) else None


@dataclass(frozen=True)
class Numbered:
    """Distinct label texts as classes. index: label text → index of its class in `classes`."""

    index: dict[str, int]
    classes: tuple[LabelClass, ...]
    numbering: Numbering
    notes: tuple[str, ...]


def number_labels(texts: Sequence[str], where: str | Path | None = None) -> Numbered:
    """Number distinct label texts.

    If all are integers, these are the class numbers. Otherwise classes are numbered in sorted order, as torchvision's
    ImageFolder does. Texts that begin with the same WordNet number are one class; so are texts that differ only in
    Unicode's normal form.

    where: the label file, for error messages. Raises AtlasError where two texts are the same number (`1` and `01`).
    """
    members: dict[str, list[str]] = {}  # by WordNet number or normalised text
    for text in sorted(set(texts)):
        split = split_wnid(text)
        members.setdefault(unicodedata.normalize("NFC", text) if split is None else split[0], []).append(text)
    keys = sorted(members, key=lambda key: members[key][0])
    integers = [as_integer(key) for key in keys]
    numbers = [number for number in integers if number is not None]
    numeric = bool(keys) and len(numbers) == len(keys)
    if not numeric:
        numbers = list(range(len(keys)))
    _refuse_same_number(keys, numbers, where)
    classes: list[LabelClass] = []
    index: dict[str, int] = {}
    nameless = []
    for key, number in sorted(zip(keys, numbers, strict=True), key=lambda pair: pair[1]):
        name, wnid = describe(members[key])
        if wnid and name == wnid:
            nameless.append(wnid)
        index |= dict.fromkeys(members[key], len(classes))
        classes.append(LabelClass(number, name, wnid))
    notes = (
        *([_nameless_note(nameless)] if nameless else ()),
        *_alike_notes([label.name for label in classes if not label.wnid]),
    )
    return Numbered(index, tuple(classes), "numbers" if numeric else "order", notes)


def describe(texts: Sequence[str]) -> tuple[str, str]:
    """Name and WordNet number ('' for none) of the class that these label texts mean. The name is that in the texts,
    else ImageNet's, else the number itself."""
    splits = [split for text in texts if (split := split_wnid(text)) is not None]
    if not splits:
        return texts[0], ""
    wnid = splits[0][0]
    names = {name for _, name in splits if name}
    if len(names) == 1:
        return names.pop(), wnid
    return wordnet_name(wnid) or wnid, wnid


def _refuse_same_number(keys: Sequence[str], numbers: Sequence[int], where: str | Path | None) -> None:
    seen: dict[int, str] = {}
    for key, number in zip(keys, numbers, strict=True):
        if number in seen:
            raise AtlasError(
                f"the labels {seen[number]!r} and {key!r} are the same number", where, "write each in one way"
            )
        seen[number] = key


def _alike_notes(names: Sequence[str]) -> tuple[str, ...]:
    """A note on classes whose names differ only in case or in spaces. ImageFolder keeps them apart, but they may be one
    class written in two ways."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), []).append(name)
    alike = [group for group in groups.values() if len(set(group)) > 1]
    if not alike:
        return ()
    shown = listed([repr(name) for name in alike[0]])
    more = f", and {counted(len(alike) - 1, 'more such group')}" if len(alike) > 1 else ""
    return (
        f"{shown} differ only in upper and lower case or in spaces and are taken as different classes{more}",
    )


def _nameless_note(wnids: Sequence[str]) -> str:
    if len(wnids) == 1:
        return f"the WordNet number {wnids[0]} is not one of ImageNet's 1,000 classes and is shown as it is"
    return (
        f"{len(wnids)} WordNet numbers are not among ImageNet's 1,000 classes and are shown as they are, "
        f"the first {wnids[0]}"
    )


def listed(names: Sequence[str], most: int = 4) -> str:
    """Names as part of a sentence: all of them, or the first `most` and the number of the others."""
    if len(names) > most:
        return f"{', '.join(names[:most])} and {len(names) - most:,} more"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else list(names))


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun: `1 picture`, `2 pictures`. plural: where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"

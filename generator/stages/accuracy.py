"""Whether the pictures' labels and the network's outputs mean the same classes; only then is there an accuracy."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from generator.core.hierarchy import imagenet_hierarchy, imagenet_wnids
from generator.network.network import Network
from generator.pictures.labels import LabelClass, as_integer
from generator.pictures.reading import PictureSet

_WNID = re.compile(r"(n\d{8})(?!\d)")
_PLACEHOLDER = re.compile(r"class \d+")  # what an output is called whose class nobody named


@dataclass(frozen=True)
class AccuracyBasis:
    """Whether there is an accuracy. numbers: (N,) each picture's class as the number of an output, −1 where it is
    unknown; None where labels and outputs are not known to mean the same; sentence: how they were matched, or why
    not."""

    numbers: list[int] | None
    sentence: str


@dataclass(frozen=True)
class _Match:
    """The labels' classes as numbers of outputs. outputs: of each class, −1 where it is left out."""

    outputs: list[int]
    sentence: str


def accuracy_basis(network: Network, pictures: PictureSet) -> AccuracyBasis:
    """Match the pictures' labels with the network's outputs: by WordNet number, by the numbers that a label file gives,
    by name, or by folders that are named by numbers; never by their sorted order."""
    reason = _reason_against(network, pictures)
    if reason:
        return AccuracyBasis(None, reason)
    outputs = Outputs(network.classes)
    for match_by in _WAYS:
        match = match_by(pictures, outputs)
        if isinstance(match, str):
            return AccuracyBasis(None, match)
        if match is not None:
            place = {
                (label_class.number, label_class.name): match.outputs[k]
                for k, label_class in enumerate(pictures.classes)
            }
            numbers = [place.get((file.label_id, file.label), -1) for file in pictures.files]
            return AccuracyBasis(numbers, match.sentence)
    return AccuracyBasis(None, _no_match(pictures.classes, outputs))


def _reason_against(network: Network, pictures: PictureSet) -> str:
    """Why there is no accuracy whatever the labels are called, '' where nothing speaks against one."""
    if network.weights.random:
        return "no accuracy: the weights are random"
    if not network.classes:
        return f"no accuracy: {network.without_outputs}"
    head = network.head
    if head is not None and head.against_accuracy:
        return head.against_accuracy
    if head is not None and head.is_binary and len(network.classes) < 2:
        return (
            f"no accuracy: the one output is the probability of {network.classes[0]!r}, and the other class has no "
            "name (name both in --classes, the other one first)"
        )
    if not pictures.classes or not any(file.label for file in pictures.files):
        return "no accuracy: the pictures have no labels"
    return ""


class Outputs:
    """What is known about a network's outputs. names: of its classes; named: whether somebody named them; wnids: their
    WordNet numbers, () where they are not known; ambiguous: names that WordNet gives to several of them, whatever the
    outputs are called (crane)."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.named = not all(map(_PLACEHOLDER.fullmatch, names))
        matches = [_WNID.match(name) for name in names]
        self.wnids: tuple[str, ...] = tuple(match[1] for match in matches if match)
        self.assumed = False  # whether the WordNet numbers follow from the number of outputs alone
        if len(self.wnids) < len(names):
            self.wnids = ()
            if len(names) == len(imagenet_wnids()) and (not self.named or _are_imagenets(names)):
                self.wnids, self.assumed = imagenet_wnids(), not self.named
        titles = imagenet_hierarchy().titles
        often = Counter(_plain(titles[wnid]) for wnid in self.wnids if wnid in titles)
        self.ambiguous = frozenset(name for name, count in often.items() if count > 1)


def _are_imagenets(names: Sequence[str]) -> bool:
    """Whether these are ImageNet's 1,000 names in the usual order, but for some that are called otherwise."""
    titles = imagenet_hierarchy().titles
    pairs = zip(names, imagenet_wnids(), strict=True)
    alike = sum(bool({_plain(name), _plain(_first(name))} & {_plain(titles[wnid])}) for name, wnid in pairs)
    return alike >= 0.5 * len(names)


# -- ways to match ---------------------------------------------------------------------------------------------------
# In the order in which they are tried. Each gives a match, the sentence why there can be none, or None: try the next.


def _by_wnid(pictures: PictureSet, outputs: Outputs) -> _Match | str | None:
    classes = pictures.classes
    if not outputs.wnids or not all(label_class.wnid for label_class in classes):
        return None
    place = {wnid: number for number, wnid in enumerate(outputs.wnids)}
    strange = [label_class.wnid for label_class in classes if label_class.wnid not in place]
    if strange:
        return (
            f"no accuracy: {len(strange):,} of the labels' {len(classes):,} WordNet numbers are none of the outputs', "
            f"the first {strange[0]}"
        )
    taken = ", its outputs taken as ImageNet's classes in the usual order" if outputs.assumed else ""
    return _Match(
        [place[label_class.wnid] for label_class in classes],
        f"labels and outputs matched by WordNet number{taken}",
    )


def _by_given_number(pictures: PictureSet, outputs: Outputs) -> _Match | str | None:
    if pictures.numbering != "given":
        return None
    classes, count = pictures.classes, len(outputs.names)
    named = _match_names(classes, outputs)
    if named is not None and any(
        number not in (-1, label_class.number)
        for number, label_class in zip(named.outputs, classes, strict=True)
    ):
        return named  # the numbers are the label file's own, the names are the outputs'
    if (outside := max(label_class.number for label_class in classes)) >= count:
        return f"no accuracy: the label file gives the number {outside}, the outputs are numbered 0 … {count - 1}"
    agree = any(_agrees(label_class, outputs) for label_class in classes)
    if outputs.named and not agree and not _covers([label_class.number for label_class in classes], count):
        first = classes[0]
        return (
            f"no accuracy: number {first.number} is {first.name!r} in the label file and "
            f"{outputs.names[first.number]!r} among the outputs"
        )
    numbers = [label_class.number for label_class in classes]
    if not outputs.named and len(numbers) > 1 and sorted(numbers) == list(range(1, len(numbers) + 1)):
        # As if they were counted from 1, and no name says otherwise: then each would be off by one.
        return _unknown_numbers("label file's numbers", numbers, count)
    wrong = next((label_class for label_class in classes if _is_another(label_class, outputs)), None)
    if wrong is not None:
        return (
            f"no accuracy: number {wrong.number} is {wrong.name!r} in the label file and "
            f"{outputs.names[wrong.number]!r} among the outputs"
        )
    return _Match(
        [label_class.number for label_class in classes],
        "labels and outputs matched by the label file's numbers",
    )


def _by_name(pictures: PictureSet, outputs: Outputs) -> _Match | None:
    return _match_names(pictures.classes, outputs)


def _by_number(pictures: PictureSet, outputs: Outputs) -> _Match | str | None:
    """Labels that are numbers. From 0, and up to the last output or at least past the middle: then they count this many
    classes; 0 and 1 below a network with 1,000 outputs do not."""
    if pictures.numbering != "numbers":
        return None
    numbers, count = [label_class.number for label_class in pictures.classes], len(outputs.names)
    if all(as_integer(name.strip()) is not None for name in outputs.names):
        return _by_numbers_as_names(numbers, outputs)
    if max(numbers) >= count:
        return f"no accuracy: the labels go up to {max(numbers)}, the outputs are numbered 0 … {count - 1}"
    if not _covers(numbers, count):
        return _unknown_numbers("labels", numbers, count)
    return _Match(numbers, "labels that are numbers taken as the numbers of the outputs")


def _by_numbers_as_names(numbers: Sequence[int], outputs: Outputs) -> _Match | str:
    """Outputs that are called by numbers themselves: `07` and `7` are the same, the output's place does not count."""
    named = [as_integer(name.strip()) for name in outputs.names]
    strange = next((number for number in numbers if named.count(number) != 1), None)
    if strange is not None:
        often = "no" if strange not in named else "more than one"
        return (
            f"no accuracy: the outputs' names are numbers too, and {often} output is called {strange}; "
            f"the first is called {outputs.names[0]!r}"
        )
    return _Match(
        [named.index(number) for number in numbers], "labels and outputs matched by the numbers they are"
    )


def _unknown_numbers(what: str, numbers: Sequence[int], count: int) -> str:
    shown = f"{len(numbers)} numbers, {min(numbers)} … {max(numbers)}"
    shown = shown if len(numbers) > 1 else f"the one number {numbers[0]}"
    return f"no accuracy: the {what} are {shown}, and it is not known whether they number the outputs 0 … {count - 1}"


_WAYS: tuple[Callable[[PictureSet, Outputs], _Match | str | None], ...] = (
    _by_wnid,
    _by_given_number,
    _by_name,
    _by_number,
)


def _covers(numbers: Sequence[int], count: int) -> bool:
    return min(numbers) == 0 and max(numbers) < count and 2 * max(numbers) >= count - 1


# -- names -----------------------------------------------------------------------------------------------------------


def _match_names(classes: Sequence[LabelClass], outputs: Outputs) -> _Match | None:
    """By equal names: as they stand but for upper and lower case, else without underscores and hyphens, else by the
    first of several synonyms. None where some label is no output's name, or no longer the only one of its name."""
    labels = [label_class.name for label_class in classes]
    for form, what in (
        (_cased, "equal names"),
        (_plain, "equal names, but for underscores, hyphens and spaces"),
        (lambda name: _plain(_first(name)), "the first of their names"),
    ):
        numbers = _match_by(form, labels, outputs)
        if numbers is None:
            continue
        if not outputs.named and not _covers(numbers, len(outputs.names)):
            return None  # `class 1`, `class 2`: the outputs are only called so here, and the labels may begin at 1
        left_out = [labels[k] for k, number in enumerate(numbers) if number < 0]
        if len(left_out) == len(labels):
            return None
        sentence = f"labels and outputs matched by {what}"
        if left_out:
            names = ", ".join(sorted(set(left_out)))
            sentence += f"; without {names}, which {_name_several(left_out)}"
        return _Match(numbers, sentence)
    return None


def _name_several(labels: Sequence[str]) -> str:
    return "names several classes" if len(set(labels)) == 1 else "each name several classes"


def _match_by(form: Callable[[str], str], labels: Sequence[str], outputs: Outputs) -> list[int] | None:
    """Each label's output; −1 where several outputs or labels have its very name. None where a label is no output's
    name, or where only this form makes two labels or two outputs the same."""
    names = outputs.names
    ours, theirs = [form(label) for label in labels], [form(name) for name in names]
    if not set(ours) <= set(theirs):
        return None
    place = {name: number for number, name in enumerate(theirs)}
    often, labelled = Counter(theirs), Counter(ours)
    if (_merged(labels, ours) | _merged(names, theirs)) & set(ours):
        return None
    unclear = {
        name for name in ours if often[name] > 1 or labelled[name] > 1 or _plain(name) in outputs.ambiguous
    }
    return [-1 if name in unclear else place[name] for name in ours]


def _merged(names: Sequence[str], formed: Sequence[str]) -> set[str]:
    """The forms that several names have which differ in more than upper and lower case."""
    seen: dict[str, str] = {}
    return {
        form
        for name, form in zip(names, formed, strict=True)
        if seen.setdefault(form, _cased(name)) != _cased(name)
    }


def _agrees(label_class: LabelClass, outputs: Outputs) -> bool:
    """Whether the output of the class's number has its name."""
    name = outputs.names[label_class.number]
    return _plain(label_class.name) == _plain(name) or _plain(_first(label_class.name)) == _plain(
        _first(name)
    )


def _is_another(label_class: LabelClass, outputs: Outputs) -> bool:
    """Whether the class has the name of another output than that of its number, and of that one alone."""
    if _agrees(label_class, outputs) or _plain(label_class.name) in outputs.ambiguous:
        return False
    return sum(_plain(name) == _plain(label_class.name) for name in outputs.names) == 1


def _no_match(classes: Sequence[LabelClass], outputs: Outputs) -> str:
    if not outputs.named:
        return (
            "no accuracy: the classes of the network's outputs have no names; name them with --classes, one per line, "
            "in the order of the outputs"
        )
    known = {form(name) for name in outputs.names for form in (_cased, _plain)}
    strange = [
        label_class.name
        for label_class in classes
        if not {_cased(label_class.name), _plain(label_class.name)} & known
    ]
    if not strange:
        return "no accuracy: the labels' names fit several outputs"
    return (
        f"no accuracy: {len(strange):,} of the {len(classes):,} labels {'is' if len(strange) == 1 else 'are'} no "
        f"output's name, the first {strange[0]!r}; the first output is {outputs.names[0]!r}"
    )


def _cased(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", " ", _cased(name)).strip()


def _first(name: str) -> str:
    return name.split(",")[0]

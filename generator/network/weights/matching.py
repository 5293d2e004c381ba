"""Finding a network's tensors in a weights file.

Trainers wrap a network in dictionaries and modules, so that its tensors have names such as
`state_dict.module.encoder_q.conv1.weight`. Which beginning is the right one is not guessed from its words: for every
beginning that occurs in the file it is counted how many of the network's tensors stand behind it with the right name
and shape, and the one that gives all of them is taken. Where several do, and with other numbers, the field's
convention decides, or the user is asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.weights.naming import Naming
from generator.network.weights.reading import COUNTER, Entry, WeightsFile, named

Prefix = tuple[str, ...]

# Parts of names under which an average of the weights is kept next to them: the averages of EMA and SWA, and the slow
# encoder of MoCo and BYOL. (A teacher may be another training's, so it is asked about.)
_AVERAGED = re.compile(
    r"(^|_)(ema|swa|avg|averaged?|shadow|polyak|encoder_k|key_encoder|momentum|target)(_|$)", re.IGNORECASE
)
# What a training keeps besides networks.
_TRAINING = re.compile(
    r"optim|sched|scaler|rng|callbacks|loops|^opt$|^amp$|history|^best_acc|^epoch", re.IGNORECASE
)
_BY_ORDER = "names of another code, matched by order and shape"
_MOST_NAMED = 4


@dataclass(frozen=True)
class Sought:
    """What is looked for. shapes: of the network's tensors by name, without counters, in the network's order; head:
    path of its classifier, '' where it is not known; stem: name of the first convolution's weight, which may have
    another number of input channels; namings: the names that its tensors may have."""

    shapes: Mapping[str, tuple[int, ...]]
    head: str
    stem: str
    namings: Sequence[Naming]

    @property
    def body(self) -> list[str]:
        """The names of all tensors but the classifier's."""
        return [name for name in self.shapes if not self.is_head(name)]

    def is_head(self, name: str) -> bool:
        """Whether a tensor of this name is the classifier's."""
        return bool(self.head) and name.startswith(self.head + ".")

    def fits(self, name: str, tensor: Tensor) -> bool:
        """Whether a tensor has the shape of the network's."""
        shape, wanted = tuple(tensor.shape), self.shapes[name]
        if name == self.stem and len(shape) == len(wanted) == 4:
            return (shape[0], *shape[2:]) == (wanted[0], *wanted[2:])
        return shape == wanted


@dataclass(frozen=True)
class Match:
    """The network's tensors under one prefix of a file. own: by the network's names; naming: the names that they have
    there; fits: how many of the body's tensors have the right shape; others: the prefixes of other sets that fit."""

    prefix: Prefix
    own: Mapping[str, Entry]
    naming: Naming
    fits: int
    others: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The prefix with dots."""
        return ".".join(self.prefix)

    @property
    def is_averaged(self) -> bool:
        """Whether the prefix says that this is an average of the weights."""
        return any(_AVERAGED.search(part) for part in self.prefix)


def find_match(file: WeightsFile, sought: Sought, key: str | None) -> Match:
    """The network's tensors in a file: all of the body's, or where no prefix has all of them the most.

    key: what the user says of their place in the file, None for nothing. Raises AtlasError where nothing fits, where
    several sets fit of which none is the usual one, and for a key that is not in the file.
    """
    matches = _matches(file, sought)
    if key is not None:
        matches = _keyed(matches, key, file)
    complete = [match for match in matches if match.fits == len(sought.body)]
    if not complete and (in_order := _in_order(file, sought, key)):
        complete = [in_order]
    if complete:
        return _chosen(complete, file)
    most = max((match.fits for match in matches), default=0)
    if not most:
        wanted = [f"{name} {shape}" for name, shape in list(sought.shapes.items())[:2]]
        if entry := next((entry for entry in file.entries if entry.full in sought.shapes), None):
            raise AtlasError(
                f"the weights file has tensors of the network's names, all of other shapes: {entry.full} is "
                f"{tuple(entry.tensor.shape)}, the network's {sought.shapes[entry.full]}",
                file.path,
                "give a weights file of this model, or build the network as it was trained: --arg key=value",
            )
        raise AtlasError(
            f"no tensor of the network is in the weights file, which holds {file.holds}; looked for "
            f"{', '.join(wanted)} … under any prefix",
            file.path,
            "give a weights file of this model, or the network that it belongs to",
        )
    best = [match for match in matches if match.fits == most]
    return _chosen(best, file) if 2 * most > len(sought.body) else best[0]


def _matches(file: WeightsFile, sought: Sought) -> list[Match]:
    """What stands under every prefix that occurs, in the file's order."""
    by_place: dict[tuple[Prefix, int], dict[str, Entry]] = {}
    for entry in file.entries:
        parts = tuple(entry.full.split("."))
        for number, naming in enumerate(sought.namings):
            for depth in range(len(parts)):
                name = naming.own(".".join(parts[depth:]))
                if name in sought.shapes:
                    by_place.setdefault((parts[:depth], number), {}).setdefault(name, entry)
    matches = []
    for (prefix, number), own in by_place.items():
        fits = sum(
            not sought.is_head(name) and sought.fits(name, entry.tensor) for name, entry in own.items()
        )
        if fits:
            matches.append(Match(prefix, own, sought.namings[number], fits))
    # The network's own names come first among equals.
    return sorted(matches, key=lambda match: (bool(match.naming.words), len(match.prefix)))


def _keyed(matches: Sequence[Match], key: str, file: WeightsFile) -> list[Match]:
    """The matches whose prefix holds the key; those that it names exactly, if any."""
    wanted = tuple(part for part in key.split(".") if part)
    inside = [match for match in matches if _holds(match.prefix, wanted)]
    if not inside:
        most = max((match.fits for match in matches), default=0)
        whole = [match for match in matches if 2 * match.fits > most]
        if whole and not any(match.prefix for match in whole):
            raise AtlasError(
                f"no tensor of the network stands under the key {key} of the weights file",
                file.path,
                "its tensors stand under no key: leave out --weights-key",
            )
        places = [match.where or "no key" for match in whole]
        raise AtlasError(
            f"no tensor of the network stands under the key {key} of the weights file",
            file.path,
            f"its tensors stand under: {named(list(dict.fromkeys(places)), _MOST_NAMED)}"
            if places
            else f"it holds {file.holds}",
        )
    return [match for match in inside if match.prefix == wanted] or inside


def _holds(prefix: Prefix, wanted: Prefix) -> bool:
    return any(
        prefix[start : start + len(wanted)] == wanted for start in range(len(prefix) - len(wanted) + 1)
    )


# -- one of several ----------------------------------------------------------------------------------------------------


def _chosen(matches: Sequence[Match], file: WeightsFile) -> Match:
    """The match to take of those that fit equally well; raises AtlasError where that is not certain."""
    groups: list[list[Match]] = []
    for match in sorted(matches, key=_preference):
        same = next((group for group in groups if _equal(group[0], match)), None)
        if same is None:
            groups.append([match])
        else:
            same.append(match)
    usual = [group[0] for group in groups if not group[0].is_averaged]
    if len(groups) > 1 and len(usual) != 1:
        places = [group[0].where or "(no prefix)" for group in groups]
        raise AtlasError(
            f"{len(groups)} sets of tensors in the weights file fit the network: {named(places, _MOST_NAMED)}",
            file.path,
            f"choose one with --weights-key, e.g. --weights-key {_telling(groups)}",
        )
    return replace(groups[0][0], others=tuple(group[0].where for group in groups[1:]))


def _preference(match: Match) -> tuple[bool, bool, int, int]:
    """Of equal sets the one with the smallest is taken."""
    return match.is_averaged, bool(match.naming.words), -len(match.own), len(match.prefix)


def _telling(groups: Sequence[Sequence[Match]]) -> str:
    """A key that chooses one set: the shortest part that no other has."""
    for group in groups:
        others = {part for other in groups if other is not group for match in other for part in match.prefix}
        own = [part for part in group[0].prefix if part not in others]
        if own:
            return own[0]
    return groups[-1][0].where


def _equal(a: Match, b: Match) -> bool:
    """Whether two sets hold the same numbers; one of them may hold further tensors."""
    shared = a.own.keys() & b.own.keys()
    if len(shared) < min(len(a.own), len(b.own)):
        return False
    pairs = ((a.own[name].tensor, b.own[name].tensor) for name in shared)
    return all(x is y or (x.dtype == y.dtype and x.shape == y.shape and torch.equal(x, y)) for x, y in pairs)


# -- by order ----------------------------------------------------------------------------------------------------------


def _in_order(file: WeightsFile, sought: Sought, key: str | None) -> Match | None:
    """A set of tensors with other names but, one to one and in the same order, the network's kinds and shapes; None
    where there is none, or several, or the file does not keep the order."""
    names, body = list(sought.shapes), sought.body
    if not file.is_ordered or names[: len(body)] != body:
        return None
    inside: dict[Prefix, list[Entry]] = {}
    for entry in file.entries:
        if not entry.full.endswith(COUNTER):
            parts = tuple(entry.full.split("."))
            for depth in range(len(parts)):
                inside.setdefault(parts[:depth], []).append(entry)
    wanted = [(name.rsplit(".", 1)[-1], sought.shapes[name]) for name in names]
    found: list[Match] = []
    for prefix, entries in inside.items():
        if len(entries) not in (len(names), len(body)) or (key and not _holds(prefix, tuple(key.split(".")))):
            continue
        kinds = [(entry.full.rsplit(".", 1)[-1], tuple(entry.tensor.shape)) for entry in entries]
        head = [kind for kind, _ in kinds[len(body) :]] == [
            kind for kind, _ in wanted[len(body) : len(kinds)]
        ]
        if head and kinds[: len(body)] == wanted[: len(body)]:
            own = dict(zip(names, entries, strict=False))
            found.append(Match(prefix, own, Naming(_BY_ORDER, str), len(body)))
    longest = max((len(match.prefix) for match in found), default=0)
    innermost = [match for match in found if len(match.prefix) == longest]
    return innermost[0] if len(innermost) == 1 else None


# -- what is left over -------------------------------------------------------------------------------------------------


def foreign(file: WeightsFile, match: Match, sought: Sought, used: Sequence[Entry]) -> list[str]:
    """Tensors inside the parts of the network that it does not have: the file is then another network's."""
    if match.naming.words == _BY_ORDER:
        return []
    body = {name.split(".")[0] for name in sought.body}
    if len(body) == 1:
        body = {".".join(name.split(".")[:2]) for name in sought.body} if match.naming.words else body
    taken, depth = {id(entry) for entry in (*match.own.values(), *used)}, len(match.prefix)
    names = []
    for entry in file.entries:
        parts = tuple(entry.full.split("."))
        if id(entry) in taken or parts[:depth] != match.prefix or parts[-1] == COUNTER:
            continue
        name = match.naming.own(".".join(parts[depth:]))
        if any(name.startswith(part + ".") for part in body) and not sought.is_head(name):
            names.append(name)
    return names


def left_over(file: WeightsFile, match: Match, sought: Sought, used: Sequence[Entry]) -> str:
    """What else the file holds, in a few words: '' for nothing but counters and the state of a training. used: the
    entries of the classifier."""
    body = (entry for name, entry in match.own.items() if not sought.is_head(name))
    taken = {id(entry) for entry in (*body, *used)}
    around = next(iter(match.own.values())).path
    dictionary = f"{around}." if around else ""
    groups: dict[str, list[str]] = {}
    of_the_network = set()
    for entry in file.entries:
        parts = tuple(entry.full.split("."))
        shared = next((k for k, (a, b) in enumerate(zip(match.prefix, parts, strict=False)) if a != b), None)
        depth = len(match.prefix) if shared is None else shared
        group = ".".join(parts[: depth + 1])
        is_other = any(entry.full.startswith(f"{other}.") for other in match.others)
        if id(entry) in taken:
            of_the_network.add(group)
        elif parts[-1] != COUNTER and not _is_training(parts[: depth + 1], entry) and not is_other:
            groups.setdefault(group, []).append(entry.full)
    names = []
    for group, members in groups.items():
        if group in of_the_network:  # 'fc' would name what is used
            names += members
        else:
            names.append(group if len(members) == 1 else f"{group} ({len(members):,} tensors)")
    return named([name.removeprefix(dictionary) for name in names], _MOST_NAMED)


def _is_training(group: Sequence[str], entry: Entry) -> bool:
    return any(_TRAINING.search(part) for part in group) or (not entry.path and entry.tensor.dim() == 0)

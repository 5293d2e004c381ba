"""Unpickling a torch checkpoint without running any code in it.

torch's own reader (`weights_only=True`) makes tensors and plain containers and refuses every other class. Checkpoints
of training scripts hold others next to the tensors: arguments, paths, NumPy scalars, configurations. Each such class is
replaced by an empty stand-in of the same name, so that the tensors can be read; the class itself is not imported.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import torch

_MOST_CLASSES = 200  # foreign classes in one file
_REFUSED = re.compile(r"GLOBAL (\S+) was not an allowed global")
_WRONG_KIND = re.compile(r"Can only (SETITEMS?|append)\b.*_Inert(\d+)_")


class Inert:
    """Stands for an object of a class that is not loaded. names: the class's full name; state: the object's attributes
    as they were pickled, None where it has none."""

    names: ClassVar[str] = ""
    state: Any = None

    def __init__(self, *arguments: Any) -> None:
        """Takes whatever the class would have been made from, and does nothing with it."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    @property
    def is_module(self) -> bool:
        """Whether it stands for a torch module, pickled as a whole."""
        return isinstance(self.state, dict) and {"_parameters", "_modules"} <= set(self.state)


class _InertMapping:
    """For a class derived from dict: an ordered dictionary takes the items."""

    def __new__(cls, *arguments: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        return OrderedDict()


class _InertList:
    """For a class that is filled item by item, such as a deque: a list takes the items."""

    def __new__(cls, *arguments: Any) -> list[Any]:  # type: ignore[misc]
        return []


def unpickle(path: Path) -> Any:
    """The content of a torch checkpoint: containers, numbers, strings and tensors on the CPU; an `Inert` for each
    object of another class.

    Raises whatever torch, pickle and zipfile raise for a file that they cannot read.
    """
    kinds: dict[str, type] = {}
    while True:
        stand_ins = {
            name: type(f"_Inert{number}_", (kind,), {"names": name})
            for number, (name, kind) in enumerate(kinds.items())
        }
        allowed: list[Any] = [(stand_in, name) for name, stand_in in stand_ins.items()]
        try:
            # A file and not its path: torch would go by the suffix.
            with (
                path.open("rb") as file,
                warnings.catch_warnings(),
                torch.serialization.safe_globals(allowed),
            ):
                warnings.simplefilter("ignore")
                return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:
            if not _allow(kinds, str(error)) or len(kinds) > _MOST_CLASSES:
                raise


def _allow(kinds: dict[str, type], message: str) -> bool:
    """Add the stand-in that torch's reader lacked, or change one of the wrong kind; False where that is not what it
    refused."""
    if refused := _REFUSED.search(message):
        name = refused[1] if "." in refused[1] else f"builtins.{refused[1]}"
        is_new = name not in kinds
        kinds.setdefault(name, Inert)
        return is_new
    if wrong := _WRONG_KIND.search(message):
        name = list(kinds)[int(wrong[2])]
        kind: type = _InertList if wrong[1] == "append" else _InertMapping
        is_new = kinds[name] is Inert
        kinds[name] = kind
        return is_new
    return False

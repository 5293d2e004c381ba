"""Where an atlas's inputs lie on the machine that computed it. The atlas keeps these paths in a hidden file, for
`atlas verify`; only the names of files and folders are published."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

# The profile's keys whose values may be paths.
_KEYS = (
    ("network", "weights"),
    ("network", "classes"),
    ("pictures", "folder"),
    ("pictures", "labels"),
    ("pictures", "hierarchy"),
    ("pictures", "visual_features"),
)


def without_paths(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The profile with only the last part of every path, as it is published."""
    result = copy.deepcopy(dict(profile))
    for holder, key, _ in _paths(result):
        holder[key] = PurePath(holder[key]).name or holder[key]
    return result


def input_paths(profile: Mapping[str, Any]) -> dict[str, str]:
    """The absolute path of every file and folder that the profile names and that is there, by its key."""
    return {
        name: os.path.abspath(holder[key])
        for holder, key, name in _paths(profile)
        if os.path.exists(holder[key])
    }


def with_input_paths(profile: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A published profile with the paths put back that it was computed from."""
    result = copy.deepcopy(dict(profile))
    for holder, key, name in _paths(result):
        path = paths.get(name, "")
        if PurePath(path).name == holder[key]:
            holder[key] = path
    return result


def _paths(profile: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str]]:
    """Every value that may be a path: the mapping or list that holds it, its key there, and its name in the profile."""
    for section, key in _KEYS:
        holder = profile.get(section) or {}
        if holder.get(key):
            yield holder, key, f"{section}.{key}"
    for number, other in enumerate((profile.get("kernels") or {}).get("others") or ()):
        if other.get("weights"):
            yield other, "weights", f"kernels.others.{number}.weights"
    pictures = (profile.get("deepdream") or {}).get("pictures") or []
    for number, given in enumerate(pictures):
        if isinstance(given, str):
            yield pictures, number, f"deepdream.pictures.{number}"

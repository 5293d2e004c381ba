"""Where an atlas's inputs lie on the machine that computed it. The atlas keeps these paths in a hidden file, for
`atlas verify`; only the names of files and folders are published."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

# The profile's keys whose values may be paths. A model may be a file and the name of a callable in it (file.py:name).
_KEYS = (
    ("network", "model"),
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
        holder[key] = _last_part(holder[key])
    return result


def split_model(name: str) -> tuple[str, str]:
    """The file or Python module in which a model is, and its name there, '' where it is not said; for the name of a
    listed model that name and ''.

    >>> split_model("nets/mine.py:Net"), split_model("package.module:Net"), split_model("resnet50")
    (('nets/mine.py', 'Net'), ('package.module', 'Net'), ('resnet50', ''))
    """
    own = re.fullmatch(r"(.+\.py|[^\W\d][\w.]*):([^\W\d][\w.]*)", name, re.DOTALL)
    return (own[1], own[2]) if own else (name, "")


def input_paths(profile: Mapping[str, Any]) -> dict[str, str]:
    """The absolute path of every file and folder that the profile names and that is there, by its key."""
    paths: dict[str, str] = {}
    for holder, key, name in _paths(profile):
        path, attribute = _parts(holder[key])
        if os.path.exists(path):
            paths[name] = os.path.abspath(path) + (f":{attribute}" if attribute else "")
    return paths


def with_input_paths(profile: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    """A published profile with the paths put back that it was computed from."""
    result = copy.deepcopy(dict(profile))
    for holder, key, name in _paths(result):
        path = paths.get(name, "")
        if path and _last_part(path) == holder[key]:
            holder[key] = path
    arguments = (result.get("network") or {}).get("args") or {}
    for key, value in arguments.items():  # one that is published no longer looks like a path
        path = paths.get(f"network.args.{key}", "")
        if path and _last_part(path) == value:
            arguments[key] = path
    return result


def _last_part(value: str) -> str:
    path, attribute = _parts(value)
    name = PurePath(path).name or path
    return f"{name}:{attribute}" if attribute else name


def _parts(value: str) -> tuple[str, str]:
    """A path, and the name behind it if it is a model's."""
    path, attribute = split_model(value)
    return (path, attribute) if path.endswith(".py") else (value, "")


def _paths(profile: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str]]:
    """Every value that may be a path: the mapping or list that holds it, its key there, and its name in the profile."""
    for section, key in _KEYS:
        holder = profile.get(section) or {}
        if holder.get(key) and (key != "model" or _is_file(holder[key])):
            yield holder, key, f"{section}.{key}"
    arguments = (profile.get("network") or {}).get("args") or {}
    for key, value in arguments.items():
        if isinstance(value, str) and (PurePath(value).is_absolute() or value.startswith(("~", "./", "../"))):
            yield arguments, key, f"network.args.{key}"
    for number, other in enumerate((profile.get("kernels") or {}).get("others") or ()):
        for key in ("model", "weights"):
            if other.get(key) and (key != "model" or _is_file(other[key])):
                yield other, key, f"kernels.others.{number}.{key}"
    pictures = (profile.get("deepdream") or {}).get("pictures") or []
    for number, given in enumerate(pictures):
        if isinstance(given, str):
            yield pictures, number, f"deepdream.pictures.{number}"


def _is_file(model: str) -> bool:
    return split_model(model)[0].endswith(".py")

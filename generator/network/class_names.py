"""The names of a network's outputs, from a file: one per line, or a list or dictionary in JSON or Python syntax."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from generator.core.errors import AtlasError

_ONE_PER_LINE = "write one class name per line, in the order of the outputs"
_NUMBERED = re.compile(r"(\d{1,6})(?:\s*[,;:\t]\s*|\s+)(\S.*)", re.ASCII)
_QUOTED = re.compile(r'"([^"]*)"|\'([^\']*)\'')


def read_class_list(path: Path) -> tuple[str, ...]:
    """The names in a file, in the order of the outputs.

    The file has one name per line (empty lines at its end do not count), each optionally after its number, counted from
    0 or 1; or it is a list of names, or a dictionary of numbers and names, in JSON or Python syntax (`{0: 'tench', …}`,
    `{"cat": 0, …}`, `{"0": ["n01440764", "tench"], …}`).

    Raises AtlasError where the file cannot be read, a line between names is empty, or the numbers have another order
    than the lines.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "it is not UTF-8"
        raise AtlasError(
            f"the class names cannot be read ({what})", path, "give a UTF-8 file with one name per line"
        ) from error
    if text[:1] in ("{", "[") and text[-1:] in ("}", "]"):
        return _from_value(text, path)
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", text)] if text else []
    if "" in lines:
        raise AtlasError(f"line {lines.index('') + 1} is empty", path, _ONE_PER_LINE)
    return tuple(_without_numbers(_without_quotes(lines), path))


def _without_quotes(lines: Sequence[str]) -> list[str]:
    """The names without quotes, where all of them are quoted."""
    matches = [_QUOTED.fullmatch(line) for line in lines]
    return [match[1] or match[2] or "" for match in matches if match] if all(matches) else list(lines)


def _without_numbers(lines: list[str], path: Path) -> list[str]:
    """The names without their numbers, where these count the lines from 0 or 1.

    Raises AtlasError where such numbers have another order than the lines: it is not known which is that of the
    outputs.
    """
    matches = [match for line in lines if (match := _NUMBERED.fullmatch(line)) is not None]
    if len(matches) < len(lines) or len(lines) < 2:
        return lines
    numbers = [int(match[1]) for match in matches]
    first = min(numbers)
    if first > 1 or sorted(numbers) != list(range(first, first + len(lines))):
        return lines  # the numbers are part of the names: `707-320`, `3 litre`
    if numbers != sorted(numbers):
        index = next(k for k, number in enumerate(numbers) if number != first + k)
        raise AtlasError(
            f"line {index + 1} has the number {numbers[index]}: it is not clear whether the numbers or the "
            "lines give the order of the outputs",
            path,
            _ONE_PER_LINE + ", without numbers",
        )
    return _without_quotes([match[2] for match in matches])


def _from_value(text: str, path: Path) -> tuple[str, ...]:
    value = _parsed(text)
    names: list[Any] | None = None
    if isinstance(value, list | tuple):
        names = list(value)
    elif isinstance(value, dict):
        by_number = {_number(key): name for key, name in value.items()}
        if None in by_number:  # the other way round, as in ImageFolder's class_to_idx
            by_number = {_number(number): name for name, number in value.items()}
        if len(by_number) == len(value) and set(by_number) == set(range(len(value))):
            names = [by_number[number] for number in range(len(value))]
    if names is not None:
        names = [
            " ".join(name)
            if isinstance(name, list | tuple) and all(isinstance(x, str) for x in name)
            else name
            for name in names
        ]
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise AtlasError(
            "the class names are neither a list of names nor a dictionary of the numbers 0, 1, 2 … and names",
            path,
            _ONE_PER_LINE,
        )
    return tuple(name.strip() for name in names)


def _parsed(text: str) -> Any:
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    return None


def _number(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{1,6}", value, re.ASCII) else None

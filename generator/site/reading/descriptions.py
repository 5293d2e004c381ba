"""Descriptions of channels that come from elsewhere: tables of layer, unit, description and score."""

from __future__ import annotations

import csv
import hashlib
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from generator.core.errors import AtlasError
from generator.core.records import LayerInfo

COLUMNS = ("layer", "unit", "description", "score")
_REMEDY = "give the file the columns layer,unit,description,score, one row per description"


@dataclass(frozen=True)
class Description:
    """text: what a channel is said to respond to; score: of the source, None where it gives none; source: its name."""

    text: str
    score: float | None
    source: str


@dataclass(frozen=True)
class DescriptionFile:
    """name: of the file; sha256: of its bytes; used: rows of layers that the atlas has; left_out: rows of others."""

    name: str
    sha256: str
    used: int
    left_out: int


@dataclass(frozen=True)
class Descriptions:
    """files: in the order given; by_unit: by layer and channel, those of the first file first, and of each the highest
    score first."""

    files: Sequence[DescriptionFile] = ()
    by_unit: Mapping[tuple[str, int], Sequence[Description]] = field(default_factory=dict)

    def of(self, layer: str, channel: int) -> Sequence[Description]:
        """The descriptions of a channel."""
        return self.by_unit.get((layer, channel), ())


NO_DESCRIPTIONS = Descriptions()


def read_descriptions(paths: Sequence[Path], layers: Sequence[LayerInfo]) -> Descriptions:
    """Read the files. A row names its layer by either name and its unit by the channel's number from 0; its score may
    be empty; a column `source` names the source, which is otherwise the file. Rows of layers that the atlas does not
    have are counted and left out.

    Raises AtlasError where a file cannot be read, lacks a column, has a row that is wrong, or fits no layer at all.
    """
    known = {name: layer for layer in layers for name in (layer.path, layer.name)}
    files, found = [], dict[tuple[str, int], list[Description]]()
    for path in paths:
        content = _content(path)
        used: dict[tuple[str, int], list[Description]] = {}
        others: Counter[str] = Counter()
        for line, row in _rows(path, content):
            name = row["layer"]
            layer = known.get(name)
            if layer is None:
                others[name] += 1
                continue
            unit = _unit(path, line, row["unit"], layer)
            description = _description(path, line, row)
            mine = used.setdefault((layer.name, unit), [])
            if description not in mine:
                mine.append(description)
        if not used:
            first = next(iter(others), "")
            raise AtlasError(
                f"no description is of a layer of this atlas (the first is of {first!r})"
                if others
                else "there are no descriptions",
                path,
                f"layers are called like {layers[-1].name} or {layers[-1].path}" if others else _REMEDY,
            )
        for key, mine in used.items():
            mine.sort(key=lambda x: -math.inf if x.score is None else x.score, reverse=True)
            found.setdefault(key, []).extend(mine)
        files.append(
            DescriptionFile(
                path.name,
                hashlib.sha256(content).hexdigest(),
                sum(map(len, used.values())),
                sum(others.values()),
            )
        )
    return Descriptions(files, found)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise AtlasError(
            f"the descriptions cannot be read ({error.strerror})", path, "check the path"
        ) from error


def _rows(path: Path, content: bytes) -> list[tuple[int, dict[str, str]]]:
    """Line and fields of every row."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise AtlasError(
            "the descriptions are not UTF-8 text", path, "save the table as CSV in UTF-8"
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    rows = []
    try:
        lacking = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if lacking:
            raise AtlasError(f"the descriptions lack the column {lacking[0]}", path, _REMEDY)
        for row in reader:
            if None in row:
                raise AtlasError(
                    f"line {reader.line_num} of the descriptions has more fields than the first line",
                    path,
                    "put descriptions with a comma into quotation marks",
                )
            rows.append(
                (reader.line_num, {name: " ".join((value or "").split()) for name, value in row.items()})
            )
    except csv.Error as error:
        raise AtlasError(f"the descriptions are no table ({error})", path, _REMEDY) from error
    return rows


def _unit(path: Path, line: int, text: str, layer: LayerInfo) -> int:
    unit = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if not 0 <= unit < layer.channels:
        raise AtlasError(
            f"line {line} of the descriptions: {layer.name} has no unit {text!r}",
            path,
            f"its channels are 0 to {layer.channels - 1}",
        )
    return unit


def _description(path: Path, line: int, row: Mapping[str, str]) -> Description:
    if not row["description"]:
        raise AtlasError(
            f"line {line} of the descriptions describes nothing", path, "fill it in or remove it"
        )
    score = None
    if row["score"]:
        try:
            score = float(row["score"])
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise AtlasError(
                f"line {line} of the descriptions: the score {row['score']!r} is no number",
                path,
                "write a number with a point, or leave the field empty",
            )
    return Description(row["description"], score, row.get("source") or path.stem)

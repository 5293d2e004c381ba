"""What the pictures show: from the names of folders and files, or from a label file."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from generator.errors import AtlasError

Label = tuple[int, str]  # id, name
NONE: Label = (-1, "")

_WNID_NAME = re.compile(
    r"(?P<wnid>n\d{8})_(?P<name>[^/]*[^\d/_][^/]*)"
)  # n01440764_tench, not n01440764_10026


def from_names(paths: Sequence[str], folders: Sequence[str]) -> list[Label]:
    """Labels that the paths themselves say.

    Every picture in a folder: the top folder's name, ids in sorted order of all top folders, as torchvision's
    ImageFolder.
    Every picture named `<wnid>_<class name>` (no folders): the class name, ids in sorted order of the wnids.
    Anything else: none.
    """
    # One string a class, not one a picture.
    tops = [sys.intern(path.split("/", 1)[0]) if "/" in path else "" for path in paths]
    if all(tops):
        ids = {name: number for number, name in enumerate(sorted(set(folders) | set(tops)))}
        return [(ids[top], top) for top in tops]
    found = [_WNID_NAME.fullmatch(PurePosixPath(path).stem) for path in paths]
    named = [match for match in found if match is not None]
    if not any(tops) and len(named) == len(paths):
        ids = {wnid: number for number, wnid in enumerate(sorted({match["wnid"] for match in named}))}
        return [(ids[match["wnid"]], match["name"].replace("_", " ")) for match in named]
    return [NONE] * len(paths)


def from_file(labels: Path, paths: Sequence[str]) -> list[Label]:
    """Labels from a file: a table with the columns path, label and perhaps label_id; or lines `file name,
    label` (separated by a tab, a comma or a space); or one label a line for the pictures in sorted order of
    their names, as in ImageNet's validation ground truth.

    Integers are label ids as they stand; other labels are numbered in sorted order. Raises AtlasError if a
    picture has no label, or the number of lines is not the number of pictures.
    """
    text = _read(labels)
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise AtlasError("the label file is empty", labels, "write one label a line")
    if _is_table(lines[0]):
        return _matched(_read_table(labels, text), paths, labels, strict=True)
    if len(pairs := [pair for line in lines if (pair := _name_and_label(line)) is not None]) == len(lines):
        ids = _ids([label for _, label in pairs])
        return _matched({name: (ids[label], label) for name, label in pairs}, paths, labels, strict=True)
    if len(lines) != len(paths):
        raise AtlasError(
            f"{len(lines)} labels for {len(paths)} pictures",
            labels,
            "write one label a line for each picture in sorted order, or lines of file name and label",
        )
    names = [line.strip() for line in lines]
    ids = _ids(names)
    order = sorted(range(len(paths)), key=lambda i: PurePosixPath(paths[i]).name)
    found = [NONE] * len(paths)
    for place, name in zip(order, names, strict=True):
        found[place] = (ids[name], name)
    return found


def from_table(table: Path, paths: Sequence[str]) -> list[Label]:
    """Labels from a labels.csv that lies among the pictures; a picture it does not name has none."""
    return _matched(_read_table(table, _read(table)), paths, table, strict=False)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="surrogateescape")  # as file names are read
    except OSError as error:
        raise AtlasError(f"the labels cannot be read ({error.strerror})", path, "check the path") from error


def _is_table(line: str) -> bool:
    return {"path", "label"} <= {column.strip() for column in line.split(",")}


def _read_table(path: Path, text: str) -> dict[str, Label]:
    remedy = "give the columns path,label and perhaps label_id"
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True))
    except csv.Error as error:
        raise AtlasError(f"the label table cannot be read ({error})", path, remedy) from error
    if not rows or not {"path", "label"} <= set(rows[0]):
        raise AtlasError("the label table lacks the columns path and label", path, remedy)
    ids = _ids([row["label"] or "" for row in rows])
    labels: dict[str, Label] = {}
    for line, row in enumerate(rows, 2):
        label = row["label"] or ""
        number = row.get("label_id") or str(ids[label])
        if not _is_integer(number):
            raise AtlasError(f"row {line} has the label_id {number!r}, not a number", path, remedy)
        labels[row["path"] or ""] = (int(number), label)
    return labels


def _name_and_label(line: str) -> tuple[str, str] | None:
    """`file name <tab, comma or space> label`, if the line starts with the name of a file."""
    for separator in ("\t", ",", None):
        name, *rest = line.split(separator, 1)
        if rest and re.search(r"\.[A-Za-z]{3,4}$", name.strip()):
            return name.strip(), rest[0].strip()
    return None


def _ids(names: Sequence[str]) -> dict[str, int]:
    """A number a label: the label itself where all are integers, else its place in sorted order."""
    unique = sorted(set(names))
    if all(_is_integer(name) for name in unique):
        return {name: int(name) for name in unique}
    return {name: number for number, name in enumerate(unique)}


def _is_integer(text: str) -> bool:
    return re.fullmatch(r"-?\d{1,9}", text.strip(), re.ASCII) is not None


def _matched(labels: Mapping[str, Label], paths: Sequence[str], file: Path, *, strict: bool) -> list[Label]:
    """Each picture's label by its path, else by its bare file name."""
    clean = {name.replace("\\", "/").removeprefix("./"): label for name, label in labels.items()}
    found = [clean.get(path) or clean.get(PurePosixPath(path).name) for path in paths]
    bare = [path for path, label in zip(paths, found, strict=True) if label is None]
    if bare and (strict or len(bare) == len(paths)):
        raise AtlasError(
            f"{len(bare)} of {len(paths)} pictures have no label, the first is {bare[0]}",
            file,
            "name every picture by its path inside the folder",
        )
    return [label or NONE for label in found]

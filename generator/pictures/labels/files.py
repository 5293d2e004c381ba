"""Labels from a file: a table, lines of file name and label, or one label per line."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from generator.core.errors import AtlasError
from generator.pictures.formats import has_picture_suffix
from generator.pictures.labels.classes import (
    LabelClass,
    Labels,
    Numbering,
    counted,
    describe,
    number_labels,
)
from generator.pictures.labels.folders import unlabelled_note
from generator.pictures.labels.matching import PictureNames
from generator.pictures.labels.tables import (
    Entry,
    NoLabelColumn,
    Table,
    check_label,
    read_table,
    read_text,
)

_ONE_PER_LINE = "write lines of file name and label, or one label per line for the pictures in sorted order"
_FILE_NAME = re.compile(r"\S.*\.[A-Za-z]{3,4}(?=\s)")


def from_file(labels: Path, paths: Sequence[str]) -> Labels:
    """Labels from a file given by the user.

    The file is a table (CSV, TSV, JSON lines) with a column of file names, a column of labels and optionally
    `label_id`; or lines of file name and label; or one label per line for the pictures sorted by name, as in ImageNet's
    validation ground truth. Integers are used as class numbers; other labels are numbered in sorted order.

    paths: of the pictures, inside their folder. Raises AtlasError if a picture has no label or two, or if a name fits
    several pictures.
    """
    names = PictureNames(paths)
    read = _entries(labels, names)
    if isinstance(read, Table):
        return _labels([(labels, read, "")], paths, names, strict=True)
    return _by_order(labels, read, names)


def from_table(table: Path, paths: Sequence[str]) -> Labels:
    """Labels from the file labels.csv in the folder of pictures. A picture that it does not name has no label.

    Raises NoLabelColumn or AtlasError as from_file, except where pictures have no label."""
    names = PictureNames(paths)
    ignoring = "; to ignore the file, give --labels folders or --labels none"
    try:
        read = _entries(table, names)
    except NoLabelColumn as error:
        raise NoLabelColumn(error.what, error.where, f"{error.remedy}{ignoring}") from None
    if not isinstance(read, Table):
        raise AtlasError(
            "labels.csv is not a table of file names and labels",
            table,
            f"give the columns path,label{ignoring}",
        )
    return _labels([(table, read, "")], paths, names, strict=False)


def from_metadata(root: Path, files: Sequence[str], paths: Sequence[str]) -> Labels:
    """Labels from Hugging Face's metadata.csv or metadata.jsonl files. A picture that they do not name has no label.

    files: their paths inside `root`; each names the pictures in its own folder and below. Raises NoLabelColumn where a
    file is not a table of labels, AtlasError where the files contradict each other.
    """
    tables = []
    for file in files:
        folder = file.rpartition("/")[0]
        below = [path for path in paths if not folder or path.startswith(f"{folder}/")]
        read = _entries(root / file, PictureNames(below))
        if not isinstance(read, Table):
            raise NoLabelColumn("not a table of file names and labels", root / file)
        tables.append((root / file, read, f"{folder}/" if folder else ""))
    return _labels(tables, paths, PictureNames(paths), strict=False)


def _entries(path: Path, names: PictureNames) -> Table | list[Entry]:
    """The table in a file or, where it has one label per line, its lines."""
    text = read_text(path)
    if not text.strip():
        raise AtlasError("the label file is empty", path, "write lines of file name and label")
    table = read_table(path, text, names)
    if table is not None:
        return table
    lines = [
        (number, line.strip())
        for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)
        if line.strip() and not (line.startswith("#") and not _spaced(number, line.strip(), names))
    ]
    if not lines:
        raise AtlasError("the label file is empty", path, "write lines of file name and label")
    spaced = [_spaced(number, line, names) for number, line in lines]
    if any(spaced):
        return _spaced_table(path, lines, spaced, names)
    return [Entry(number, "", line.strip('"')) for number, line in lines]


# -- separated by spaces ---------------------------------------------------------------------------------------------


def _spaced(number: int, line: str, names: PictureNames) -> Entry | None:
    """`img 00.png cat`: the longest prefix that is a picture's name, and the rest as the label."""
    ends = [match.start() for match in re.finditer(r"\s+", line)]
    for find in (names.named, names.find):
        for end in reversed(ends):
            if find(line[:end].strip('"')):
                return Entry(number, line[:end].strip('"'), line[end:].strip().strip('"'))
    return None


def _spaced_table(
    path: Path, lines: Sequence[tuple[int, str]], spaced: Sequence[Entry | None], names: PictureNames
) -> Table:
    entries = []
    for (number, line), entry in zip(lines, spaced, strict=True):
        if entry is not None:
            entries.append(entry)
        elif names.find(line):
            raise AtlasError(
                f"line {number} gives {line} no label", path, "write lines of file name and label"
            )
        elif (absent := _FILE_NAME.match(line)) is not None:
            entries.append(Entry(number, absent[0], line[absent.end() :].strip()))
        elif number != lines[0][0]:  # the first line may be a header
            raise AtlasError(
                f"line {number} begins with no picture of the folder: {line[:80]!r}",
                path,
                "write lines of file name and label, separated by tabs",
            )
    _refuse_columns(path, entries)
    for entry in entries:
        check_label(entry.label, entry.line, "its label", path)
    return Table(entries, "lines of file name and label, separated by spaces")


def _refuse_columns(path: Path, entries: Sequence[Entry]) -> None:
    """Raise AtlasError where several columns follow the names: as many words on each line, and one always a number."""
    rest = [entry.label.split() for entry in entries]
    width = len(rest[0])
    if width < 2 or any(len(words) != width for words in rest):
        return
    if any(all(words[column].isdecimal() for words in rest) for column in range(width)):
        raise AtlasError(
            f"{width + 1} columns are separated by spaces, for example {entries[0].name} {entries[0].label}",
            path,
            "keep the columns of file name and label, separated by tabs or commas",
        )


# -- one label per line ----------------------------------------------------------------------------------------------


def _by_order(path: Path, entries: Sequence[Entry], pictures: PictureNames) -> Labels:
    paths = pictures.paths
    if (
        entries[0].label.casefold() in ("label", "labels", "class", "target")
        and len(entries) == len(paths) + 1
    ):
        entries = entries[1:]
    for entry in entries:
        if has_picture_suffix(entry.label):
            raise AtlasError(
                f"line {entry.line} is a file's name without a label: {entry.label[:80]!r}",
                path,
                _ONE_PER_LINE,
            )
        if re.search(r"[\t,;|]", entry.label) or _keyed(entry.label, pictures):
            raise AtlasError(
                f"line {entry.line} does not begin with a picture's name and a tab, comma or space, and is more than a "
                f"label: {entry.label[:80]!r}",
                path,
                _ONE_PER_LINE,
            )
        check_label(entry.label, entry.line, "the file", path)
    _refuse_names(path, entries, pictures)
    if len(entries) != len(paths):
        raise AtlasError(f"{len(entries)} labels for {len(paths)} pictures", path, _ONE_PER_LINE)
    names = [PurePosixPath(name).name for name in paths]
    order = sorted(range(len(paths)), key=names.__getitem__)
    _refuse_other_orders(path, paths, order)
    numbered = number_labels([entry.label for entry in entries], path)
    of_picture = [-1] * len(paths)
    for picture, entry in zip(order, entries, strict=True):
        of_picture[picture] = numbered.index[entry.label]
    source = f"the label file {path.name}: one label per line, in the order of the pictures' names"
    return Labels(of_picture, numbered.classes, numbered.numbering, source, numbered.notes)


def _keyed(label: str, pictures: PictureNames) -> bool:
    """Whether a line may hold more than a label: it begins or ends with a number (`0001 cat`), or contains a picture's
    name (`a.png: cat`)."""
    words = [word for part in label.split() if (word := part.strip(":=><-()[]\"'"))]
    if len(words) < 2 and words == label.split():
        return False
    numbered = any(re.search(r"\d", word) for word in (words[:1] + words[-1:]))
    return numbered or any(has_picture_suffix(word) or pictures.find(word) for word in words)


def _refuse_names(path: Path, entries: Sequence[Entry], pictures: PictureNames) -> None:
    """Raise AtlasError where every line names a different picture without its suffix, as lists of a dataset's splits
    do: such lines are not labels."""
    matches = [pictures.find(entry.label) for entry in entries]
    if all(matches) and len({entry.label for entry in entries}) == len(entries) > 1:
        raise AtlasError(
            f"every line may be a picture's name without a label, the first {entries[0].label[:80]!r} of "
            f"{pictures.paths[matches[0][0]]}",
            path,
            "write lines of file name and label; if the pictures lie in class folders, leave the file out",
        )


def _refuse_other_orders(path: Path, paths: Sequence[str], order: Sequence[int]) -> None:
    """Raise AtlasError where sorting the pictures by path, or by the numbers in their names, gives another order."""
    by_number = sorted(order, key=lambda picture: _natural(PurePosixPath(paths[picture]).name))
    by_path = sorted(order, key=lambda picture: paths[picture])
    for other, what in ((by_number, "by the numbers in their names"), (by_path, "by their paths")):
        if other != list(order):
            first = next(
                k for k, (mine, theirs) in enumerate(zip(order, other, strict=True)) if mine != theirs
            )
            raise AtlasError(
                f"it is not clear in which order the lines name the pictures: sorted as text {paths[order[first]]} "
                f"is number {first + 1}, {what} {paths[other[first]]} is",
                path,
                "write lines of file name and label",
            )


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


# -- entries to labels -----------------------------------------------------------------------------------------------


def _labels(
    tables: Sequence[tuple[Path, Table, str]], paths: Sequence[str], names: PictureNames, *, strict: bool
) -> Labels:
    """Labels from the entries of tables. tables: each a file, its table, and the folder (with a slash) whose pictures
    it names; strict: whether every picture must have a label."""
    located: dict[int, tuple[Path, Entry]] = {}
    absent: list[str] = []
    for file, table, folder in tables:
        for entry in table.entries:
            picture = _picture(file, entry, folder, names)
            if picture is None:
                absent.append(entry.name)
                continue
            before = located.setdefault(picture, (file, entry))
            _refuse_two_labels(paths[picture], before, (file, entry))
    path = tables[0][0]
    unnamed = [name for picture, name in enumerate(paths) if picture not in located]
    empty = [paths[picture] for picture in sorted(located) if not located[picture][1].label]
    unlabelled = sorted((*unnamed, *empty), key=os.fsencode)
    if unlabelled and (strict or len(unlabelled) == len(paths)):
        missing = f"; the file names {absent[0]!r}, which is not in the folder" if absent else ""
        raise AtlasError(
            f"{len(unlabelled)} of {len(paths)} pictures have no label, the first is {unlabelled[0]}"
            + (
                f" (line {_line_of(unlabelled[0], paths, located)} names it and gives none)"
                if unlabelled[0] in empty
                else ""
            )
            + missing,
            path,
            "name every picture by its path inside the folder, or put the file into the folder as labels.csv: "
            "pictures that it does not name are then used without a label"
            if strict
            else "name pictures by their paths inside the folder",
        )
    entry_of = {picture: entry for picture, (_, entry) in located.items() if entry.label}
    numbering, classes, class_of, notes = _numbered(entry_of.values(), path)
    of_picture = [-1] * len(paths)
    for picture, entry in entry_of.items():
        of_picture[picture] = class_of[entry.number, entry.label]
    files = [f"{folder}{file.name}" for file, _, folder in tables]
    source = f"the label file {files[0]}" if len(files) == 1 else f"the label files {', '.join(files)}"
    source += f": {tables[0][1].how}"
    if unnamed:
        notes.append(unlabelled_note(unnamed, "is not named there", "are not named there"))
    if empty:
        notes.append(
            unlabelled_note(empty, "is named there without a label", "are named there without a label")
        )
    if absent:
        what = counted(len(absent), "line names a picture that is", "lines name pictures that are")
        notes.append(f"{what} not in the folder, the first {absent[0]}")
    return Labels(of_picture, classes, numbering, source, tuple(notes))


def _line_of(name: str, paths: Sequence[str], located: Mapping[int, tuple[Path, Entry]]) -> int:
    return located[paths.index(name)][1].line


def _picture(file: Path, entry: Entry, folder: str, names: PictureNames) -> int | None:
    matches = names.find(folder + entry.name) if entry.name else []
    if folder:
        matches = [picture for picture in matches if names.paths[picture].startswith(folder)]
    if len(matches) > 1:
        raise AtlasError(
            f"line {entry.line} names {entry.name}, which may be {names.paths[matches[0]]} or "
            f"{names.paths[matches[1]]}",
            file,
            "name pictures by their paths inside the folder",
        )
    return matches[0] if matches else None


def _refuse_two_labels(name: str, earlier: tuple[Path, Entry], later: tuple[Path, Entry]) -> None:
    (_, first), (file, second) = earlier, later
    if (first.label, first.number) != (second.label, second.number):
        raise AtlasError(
            f"{name} has two labels, {first.label!r} (line {first.line}) and {second.label!r} (line {second.line})",
            file,
            "keep one",
        )


def _numbered(
    entries: Iterable[Entry], path: Path
) -> tuple[Numbering, tuple[LabelClass, ...], Mapping[tuple[int | None, str], int], list[str]]:
    """The numbering, the classes, the index of each class by number and label as written, and notes."""
    pairs = sorted(
        Counter((entry.number, entry.label) for entry in entries),
        key=lambda pair: (-1 if pair[0] is None else pair[0], pair[1]),
    )
    if any(number is None for number, _ in pairs):
        if any(number is not None for number, _ in pairs):
            label = next(label for number, label in pairs if number is None)
            raise AtlasError(
                f"the label {label!r} has no number, but others have", path, "give every label its number"
            )
        numbered = number_labels([label for _, label in pairs], path)
        index_of: dict[tuple[int | None, str], int] = {pair: numbered.index[pair[1]] for pair in pairs}
        return numbered.numbering, numbered.classes, index_of, list(numbered.notes)
    classes: list[LabelClass] = []
    index: dict[tuple[int | None, str], int] = {}
    seen: dict[int, str] = {}
    for number, label in pairs:
        assert number is not None
        if number in seen:
            raise AtlasError(
                f"the number {number} stands for two labels, {seen[number]!r} and {label!r}", path, "keep one"
            )
        seen[number] = label
        index[number, label] = len(classes)
        classes.append(LabelClass(number, *describe([label])))
    return "given", tuple(classes), index, []

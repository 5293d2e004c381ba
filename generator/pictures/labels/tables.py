"""Read the text of a label file as rows, and find its columns of picture names, labels and numbers."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.core.errors import AtlasError
from generator.pictures.formats import has_picture_suffix, words
from generator.pictures.labels.classes import listed, split_wnid
from generator.pictures.labels.matching import PictureNames

# Headers found in public datasets, in lower case, without spaces, hyphens and underscores.
_NAME_HEADERS = words(
    """
    path filename file filepath filenames files image images imagename imagepath imagefile imagefilename
    imagefilepath imageindex imageid img imgname imgpath imgid imgfile id name picture picturename photo photoid
    fname relpath relativepath fullpath
    """
)
_LABEL_HEADERS = words(
    """
    label labels labelname class classes classname classlabel category categories categoryname breed target
    targetname species finding findings findinglabels diagnosis dx tag tags variety groundtruth gt y wnid synset
    synsetid concept
    """
)
_ID_HEADERS = words(
    """
    labelid labelidx labelindex labelnumber classid classidx classindex classnumber categoryid targetid
    """
)
_COLUMNS_NEEDED = (
    "a table needs a column of file names (filename, file_name, image, id or path) and a column of labels "
    "(label, class, category, breed, target …), separated by tabs, commas, semicolons or |"
)
_SEPARATORS = "\t,;|"
_SAMPLE = 400  # rows from which the column of picture names is decided
_MISSING = ("nan", "NaN")  # as pandas writes missing values
_AND_NUMBERS = re.compile(r"\S+(\s+-?\d+(\.\d+)?){2,}")  # a label and numbers, for example of a bounding box


class NoLabelColumn(AtlasError):
    """A table without a column of labels, or without a column of names of the folder's pictures."""


@dataclass(frozen=True)
class Entry:
    """The content of a line. line: its number in the file, from 1; name: of the picture, as written; label: '' for
    none; number: of the class, None where the file gives none."""

    line: int
    name: str
    label: str
    number: int | None = None


@dataclass(frozen=True)
class Table:
    """The content of a label file. how: its form, in words, for the sentence on where the labels come from."""

    entries: list[Entry]
    how: str


Row = tuple[int, list[str]]  # the number of its first line, its cells


def read_text(path: Path) -> str:
    """The text of a label file: UTF-8, or UTF-16 or UTF-32 with a byte order mark. Bytes that are not UTF-8 become
    surrogate escapes, as in file names. Raises AtlasError if the file cannot be read or is not text."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AtlasError(f"the labels cannot be read ({error.strerror})", path, "check the path") from error
    marks = (
        (b"\xff\xfe\0\0", "utf-32"),
        (b"\0\0\xfe\xff", "utf-32"),
        (b"\xff\xfe", "utf-16"),
        (b"\xfe\xff", "utf-16"),
    )
    encoding = next((name for mark, name in marks if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding, "surrogateescape" if encoding == "utf-8-sig" else "strict")
    except UnicodeDecodeError as error:
        raise AtlasError(
            f"the label file is damaged ({error.reason})", path, "save it as UTF-8 text"
        ) from error
    if "\0" in text:
        raise AtlasError("the label file is not UTF-8 text", path, "save it as UTF-8 text, a table as CSV")
    return text


def read_table(path: Path, text: str, names: PictureNames) -> Table | None:
    """The table in a text; None where there is none (lines of one field, or fields separated by spaces).

    path: the file, for its suffix and error messages; names: the pictures of the folder. Raises AtlasError where the
    table is ambiguous.
    """
    if path.suffix.lower() in (".jsonl", ".ndjson", ".json") or text.lstrip()[:1] in ("{", "["):
        return _from_rows(_json_rows(path, text), names, path, "JSON")
    text = re.sub(r'\A"?sep=[\t,;|]"?(?=\r|\n)', "", text)  # the line from which Excel reads the separator
    text = _without_comments(text, names)
    candidates: list[tuple[int, int, str, list[Row]]] = []  # hits, columns, separator, rows
    for separator in _SEPARATORS:
        rows = _split(text, separator)
        if rows is None:
            continue
        width = max(len(cells) for _, cells in rows[:_SAMPLE])
        if width > 1:
            hits = _hits(rows, range(len(rows[0][1])), names.find)
            candidates.append((max(hits.values()), width, separator, rows))
    if not candidates:
        return None
    best = max(hits for hits, *_ in candidates)
    if best:
        candidates = [candidate for candidate in candidates if candidate[0] == best]
        if len(candidates) > 1:
            marks = listed([_separator_name(separator) for _, _, separator, _ in candidates])
            raise AtlasError(f"the columns may be separated by {marks}", path, _COLUMNS_NEEDED)
        return _from_rows(candidates[0][3], names, path, _separator_name(candidates[0][2]))
    *_, separator, rows = max(
        candidates, key=lambda candidate: (_is_header(candidate[3][0][1]), candidate[1])
    )
    if _is_header(rows[0][1]):
        return _from_rows(rows, names, path, _separator_name(separator))
    if all(len(cells) == len(rows[0][1]) for _, cells in rows):
        raise _refused("no column names pictures of the folder", rows[0][1], rows, path)
    return None


# -- rows ------------------------------------------------------------------------------------------------------------


def _split(text: str, separator: str) -> list[Row] | None:
    rows: list[Row] = []
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    line = 1
    try:
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                rows.append((line, cells))
            line = reader.line_num + 1
    except csv.Error:
        return None
    return rows or None


def _without_comments(text: str, names: PictureNames) -> str:
    """The text with comments (`# …`) replaced by empty lines, so that line numbers stay."""
    if "#" not in text:
        return text
    return "".join(
        "\n" if line.startswith("#") and not _begins_with_a_picture(line, names) else line
        for line in text.splitlines(keepends=True)
    )


def _begins_with_a_picture(line: str, names: PictureNames) -> bool:
    return any(bool(names.named(part)) for part in re.findall(r"^[^\t,;|]*[^\s\t,;|]|^\S+", line))


def _json_rows(path: Path, text: str) -> list[Row]:
    """Rows below a header, from a list of objects, one object per line, or one object of names and labels."""
    remedy = 'write one object per line, {"file_name": "a.png", "label": "cat"}, or a CSV table'
    try:
        data = json.loads(text)
        numbered = list(enumerate(data if isinstance(data, list) else [data], 1))
        if _is_mapping(data):
            pairs = [{"file_name": name, "label": label} for name, label in data.items()]
            numbered = list(enumerate(pairs, 1))
    except ValueError:
        numbered = []
        for line, part in enumerate(text.split("\n"), 1):
            if part.strip():
                try:
                    numbered.append((line, json.loads(part)))
                except ValueError as error:
                    raise AtlasError(
                        f"line {line} of the label file is not JSON ({error})", path, remedy
                    ) from error
    except RecursionError as error:
        raise AtlasError("the label file's JSON is nested too deeply", path, remedy) from error
    objects = [(line, entry) for line, entry in numbered if isinstance(entry, dict)]
    if not objects or len(objects) < len(numbered) or any(_is_nested(entry) for _, entry in objects):
        raise AtlasError("the label file's JSON is not a list of objects", path, remedy)
    header = list(dict.fromkeys(str(key) for _, entry in objects for key in entry))
    return [(0, header), *((line, [_cell(entry.get(key)) for key in header]) for line, entry in objects)]


def _is_nested(entry: dict[str, Any]) -> bool:
    """Whether an object holds lists of objects, as annotations of bounding boxes do."""
    return any(
        isinstance(value, list) and any(isinstance(part, dict) for part in value) for value in entry.values()
    )


def _is_mapping(data: Any) -> bool:
    """Whether the JSON is one object that maps file names to labels."""
    return (
        isinstance(data, dict)
        and bool(data)
        and all(isinstance(value, str | int) for value in data.values())
        and not {_plain(key) for key in data} & _NAME_HEADERS
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "|".join(map(_cell, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value).strip()


# -- columns ---------------------------------------------------------------------------------------------------------


def _plain(header: str) -> str:
    return re.sub(r"[\s_\-#:.]+", "", header.casefold())


def _is_header(cells: Sequence[str]) -> bool:
    plain = {_plain(cell) for cell in cells}
    return bool(plain & _NAME_HEADERS and plain & (_LABEL_HEADERS | _ID_HEADERS))


def _hits(rows: Sequence[Row], columns: Iterable[int], find: Callable[[str], list[int]]) -> dict[int, int]:
    """By column, how many of the first rows name a picture in it; of the remaining rows where no column has any."""
    columns = list(columns)
    hits: dict[int, int] = {}
    for sample in (rows[:_SAMPLE], rows[_SAMPLE:]):
        for column in columns:
            cells = (cells[column] for _, cells in sample if column < len(cells))
            hits[column] = sum(1 for cell in cells if cell and find(cell))
        if any(hits.values()):
            break
    return hits


def _from_rows(rows: Sequence[Row], names: PictureNames, path: Path, how: str) -> Table:
    line, first = rows[0]
    has_header = line == 0 or _first_is_header(rows, names)
    header = first if has_header else [""] * len(first)
    body = rows[1:] if has_header else rows
    shown = first if has_header else [f"column {number}" for number in range(1, len(first) + 1)]
    if not body:
        raise _refused("the label file holds only a header", shown, rows, path)
    _refuse_ragged(rows, path)
    name = _name_column(header, body, names, shown, path)
    label, number = _label_columns(header, body, name, shown, path)
    entries = []
    for line, cells in body:
        text = "" if label is None else cells[label]
        given = None if number is None else _given_number(cells[number], line, shown[number], path)
        if label is None:
            text = "" if given is None else str(given)
        entries.append(Entry(line, cells[name], text, given))
    entries = _checked(entries, shown[label if label is not None else name], shown, path)
    used = [shown[column] for column in (name, label, number) if column is not None]
    return Table(entries, f"columns {listed(used)}" if has_header else f"lines of file name and label, {how}")


def _first_is_header(rows: Sequence[Row], names: PictureNames) -> bool:
    """Whether the first row is a header: it names no picture, and either its words are known headers, or the rows below
    name pictures in a column whose first cell is not a file's name."""
    first = rows[0][1]
    if any(cell and names.named(cell) for cell in first):
        return False
    plain = {_plain(cell) for cell in first}
    if _is_header(first) or (plain & _NAME_HEADERS and len(rows) > 1):
        return True
    hits = _hits(rows[1:], range(len(first)), names.find)
    best = max(hits, key=hits.__getitem__)
    if not hits[best] or names.find(first[best]):
        return False
    return bool(plain & (_LABEL_HEADERS | _ID_HEADERS)) or not _looks_like_a_name(
        first[best], [cells[best] for _, cells in rows[1:_SAMPLE] if best < len(cells)]
    )


def _looks_like_a_name(text: str, others: Sequence[str]) -> bool:
    """Whether a cell is like the picture names below it, but of a picture that is not in the folder."""
    if has_picture_suffix(text):
        return True
    shape = re.sub(r"\d+", "0", text)
    return any(re.sub(r"\d+", "0", other) == shape for other in others)


def _refuse_ragged(rows: Sequence[Row], path: Path) -> None:
    width = len(rows[0][1])
    for line, cells in rows[1:]:
        while len(cells) > width and not cells[-1]:
            cells.pop()
        if len(cells) != width:
            raise AtlasError(
                f"line {line} has {len(cells)} columns where the first has {width}: {_shown(', '.join(cells))}",
                path,
                "put labels that hold the separator in double quotes",
            )


def _name_column(
    header: Sequence[str], body: Sequence[Row], names: PictureNames, shown: Sequence[str], path: Path
) -> int:
    known = [column for column, cell in enumerate(header) if _plain(cell) in _NAME_HEADERS]
    taken = _LABEL_HEADERS | _ID_HEADERS
    others = [
        column for column, cell in enumerate(header) if column not in known and _plain(cell) not in taken
    ]
    for among in (known, others):
        for find in (names.named, names.find):
            hits = _hits(body, among, find)
            best = [column for column, count in hits.items() if count and count == max(hits.values())]
            if len(best) > 1 and not _same_pictures(body, best, names):
                what = f"{listed([shown[column] for column in best])} both name pictures of the folder"
                raise _refused(what, shown, body, path)
            if best:
                return best[0]
    if known:
        return known[0]  # no line names a picture of the folder, which is reported when pictures are assigned
    raise _refused("no column names pictures of the folder", shown, body, path)


def _same_pictures(rows: Sequence[Row], columns: Sequence[int], names: PictureNames) -> bool:
    return all(len({tuple(names.find(cells[column])) for column in columns}) == 1 for _, cells in rows)


def _label_columns(
    header: Sequence[str], body: Sequence[Row], name: int, shown: Sequence[str], path: Path
) -> tuple[int | None, int | None]:
    """The columns of labels and of class numbers. One of them may be missing."""
    others = [
        column for column in range(len(header)) if column != name and not _is_index(header, body, column)
    ]
    labels = [column for column in others if _plain(header[column]) in _LABEL_HEADERS]
    numbers = [column for column in others if _plain(header[column]) in _ID_HEADERS]
    if len(labels) == 2 and not numbers:
        labels, numbers = _text_and_number(labels, body)
    if len(labels) > 1 or len(numbers) > 1:
        what = (
            f"several columns may hold the labels, {listed([shown[column] for column in labels or numbers])}"
        )
        raise _refused(what, shown, body, path)
    if labels or numbers:
        return (labels[0] if labels else None), (numbers[0] if numbers else None)
    if len(others) == 1 and (not any(header) or _repeats(body, others[0])):
        return others[0], None
    wordnet = [column for column in others if all(split_wnid(cells[column]) for _, cells in body)]
    if len(wordnet) == 1:
        return wordnet[0], None
    raise _refused("no column of the label file is known to hold labels", shown, body, path)


def _is_index(header: Sequence[str], body: Sequence[Row], column: int) -> bool:
    """Whether a column is the index that pandas writes, without a header or as `Unnamed: 0`."""
    named = any(header)
    if not named or (header[column] and not header[column].startswith("Unnamed")):
        return False
    return all(cells[column].isdecimal() for _, cells in body)


def _text_and_number(columns: Sequence[int], body: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Columns of texts and of numbers, where one of two label columns numbers the other's texts one to one."""
    whole = [all(_is_number(cells[column]) for _, cells in body) for column in columns]
    if sum(whole) != 1:
        return list(columns), []
    number, text = columns[whole.index(True)], columns[whole.index(False)]
    pairs = {(cells[number], cells[text]) for _, cells in body}
    if len({code for code, _ in pairs}) == len(pairs) == len({name for _, name in pairs}):
        return [text], [number]
    return list(columns), []


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}(\.0+)?", text, re.ASCII) is not None


def _repeats(body: Sequence[Row], column: int) -> bool:
    """Whether a column without a known header may hold labels: a value occurs twice, or there is only one line."""
    return len(body) < 2 or len({cells[column] for _, cells in body}) < len(body)


def _given_number(text: str, line: int, column: str, path: Path) -> int | None:
    if text in ("", "-1"):
        return None
    if not _is_number(text):
        raise AtlasError(
            f"line {line} has the {column} {text!r}, not a number",
            path,
            "give numbers from 0, or leave it out",
        )
    return int(float(text))


# -- checks ----------------------------------------------------------------------------------------------------------


def _checked(entries: list[Entry], column: str, shown: Sequence[str], path: Path) -> list[Entry]:
    """The entries, with `3.0` as 3 where all labels are such numbers. Raises AtlasError where a cell holds several
    labels."""
    checked = []
    whole = all(_is_number(entry.label) for entry in entries if entry.label and entry.label not in _MISSING)
    for entry in entries:
        check_label(entry.label, entry.line, column, path, shown)
        label = "" if entry.label in _MISSING else entry.label.partition(".")[0] if whole else entry.label
        checked.append(Entry(entry.line, entry.name, label, entry.number))
    return checked


def check_label(label: str, line: int, column: str, path: Path, shown: Sequence[str] = ()) -> None:
    """Raise AtlasError where a cell holds more than one label, or bytes that are not text.

    line, column: where the label stands; shown: the names of all columns, for the message."""
    if "|" in label or ";" in label or label.startswith(("[", "{")) or _AND_NUMBERS.fullmatch(label):
        what = f"line {line} holds more than one label or value in {column}, {_shown(label)!r}"
        columns = f"; columns found: {listed(list(shown), 8)}" if shown else ""
        raise AtlasError(what + columns, path, f"give one label per picture; {_COLUMNS_NEEDED}")
    if any("\udc80" <= character <= "\udcff" for character in label):
        raise AtlasError(f"the label of line {line} is not UTF-8", path, "save the label file as UTF-8 text")


def _refused(what: str, shown: Sequence[str], rows: Sequence[Row], path: Path) -> AtlasError:
    example = (
        ", ".join(rows[min(1, len(rows) - 1)][1]) if list(shown) == rows[0][1] else ", ".join(rows[0][1])
    )
    return NoLabelColumn(
        f"{what}; columns found: {listed([name or 'without a name' for name in shown], 8)}; "
        f"for example {_shown(example)!r}",
        path,
        _COLUMNS_NEEDED,
    )


def _shown(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]}…"


def _separator_name(separator: str) -> str:
    names = {"\t": "separated by tabs", ",": "separated by commas", ";": "separated by semicolons"}
    return names.get(separator, "separated by |")

"""Tables of an atlas that people read: CSV and JSON."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from generator.core.csv_tables import csv_bytes
from generator.core.errors import AtlasError
from generator.core.files import write_atomically
from generator.core.records import PictureRecord

IMAGE_COLUMNS = ("index", "path", "label_id", "label", "width", "height")


def json_bytes(data: Any) -> bytes:
    """The bytes of a JSON file; file names that are not valid UTF-8 keep their bytes."""
    text = json.dumps(data, indent=1, ensure_ascii=False, default=str) + "\n"
    return text.encode("utf-8", "surrogateescape")


def read_json(path: Path) -> Any | None:
    """The content of a JSON file, or None if it is missing or damaged."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except (OSError, ValueError):
        return None


class Tables:
    """The CSV and JSON files of one atlas folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write_json(self, name: str, data: Any) -> None:
        """Write a JSON file by its path inside the atlas."""
        write_atomically(self._folder / name, json_bytes(data))

    def read_json(self, name: str) -> Any | None:
        """The content of a JSON file, or None if it is missing or damaged (it is then written again)."""
        return read_json(self._folder / name)

    def write(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a CSV file by its path inside the atlas."""
        write_atomically(self._folder / name, csv_bytes(columns, rows))

    def path(self, name: str) -> Path | None:
        """The file of a table by its path inside the atlas, None where there is no such file."""
        path = self._folder / name
        return path if path.is_file() else None

    def images(self) -> list[PictureRecord]:
        """The rows of images.csv; raises AtlasError where it cannot be read."""
        path = self._folder / "images.csv"
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                return [
                    PictureRecord(
                        int(row["index"]),
                        row["path"],
                        int(row["label_id"]),
                        sys.intern(row["label"]),  # one string per class, not one per picture
                        int(row["width"]),
                        int(row["height"]),
                    )
                    for row in csv.DictReader(file)
                ]
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise AtlasError(
                f"images.csv cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def write_images(self, records: Iterable[PictureRecord]) -> None:
        """Write images.csv."""
        rows = ([getattr(record, column) for column in IMAGE_COLUMNS] for record in records)
        self.write("images.csv", IMAGE_COLUMNS, rows)

    def class_groups(self) -> dict[tuple[int, str], str]:
        """Class (its label_id and label) → group of the hierarchy, from classes.csv; {} where there is no such file."""
        path = self._folder / "classes.csv"
        try:
            with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
                return {(int(row["label_id"]), row["label"]): row["group"] for row in csv.DictReader(file)}
        except FileNotFoundError:
            return {}
        except (OSError, KeyError, ValueError) as error:
            raise AtlasError(
                f"classes.csv cannot be read ({error})", path, "compute the atlas again"
            ) from error

    def scored_pictures(self) -> np.ndarray:
        """(N,) the numbers of the pictures whose scores are stored, row by row of scores/*.npy."""
        scan = self.read_json("scan.json") or {}
        if (chosen := scan.get("score_pictures")) is not None:
            return np.array(chosen, np.int64)
        return np.arange(scan.get("pictures", 0))

"""What a network's page says of labels, accuracy, and the files that were not used."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from generator.core.records import LabelReading, Skipped
from generator.core.store import Store
from generator.site.home import UnusedFiles, unused_files
from generator.site.render import render_site

SMALL = Path(__file__).parent / "small_atlas"
UNUSED = (
    *(Skipped(f"{number}.HEIC", "a HEIC picture, which is not read") for number in range(5)),
    Skipped("cut.jpg", "damaged (image file is truncated (3 bytes not processed))"),
    Skipped("<b>.jpg", "damaged (broken data stream)"),
)

MATCHED = "labels and outputs matched by equal names"
UNSAID = "whether the network was trained on them is not said"


def test_files_are_grouped_by_reason_the_most_frequent_first() -> None:
    assert unused_files(UNUSED) == [
        UnusedFiles("a HEIC picture, which is not read", 5, ["0.HEIC", "1.HEIC", "2.HEIC"]),
        UnusedFiles("damaged", 2, ["cut.jpg", "<b>.jpg"]),
    ]


def page(tmp_path: Path, **changes: Any) -> str:
    atlas = shutil.copytree(SMALL, tmp_path / "atlas")
    store = Store(atlas)
    store.write_manifest(store.manifest_bytes(replace(store.manifest(), **changes)))
    render_site([atlas], tmp_path / "site")
    text = (tmp_path / "site" / "small" / "index.html").read_text("utf-8")
    return " ".join(text.split())  # templates break their lines where a space is


@pytest.mark.parametrize(
    ("accuracy", "trained_on", "basis", "shown"),
    [
        (
            0.748,
            None,
            MATCHED,
            f"74.8 % (95 % interval 74.0 to 75.6 %) of 1,234 pictures; {UNSAID}; labels and outputs matched",
        ),
        (0.748, False, MATCHED, "of 1,234 pictures; the network was not trained on them; labels and"),
        (
            0.748,
            True,
            MATCHED,
            "of 1,234 pictures; the network was trained on them, so it is expected to be lower on",
        ),
        (None, False, "no accuracy: the weights are random", "none: the weights are random"),
    ],
)
def test_the_page_says_where_labels_come_from_and_what_was_not_used(
    tmp_path: Path, accuracy: float | None, trained_on: bool | None, basis: str, shown: str
) -> None:
    reading = LabelReading("the names of 3 class folders", 12, 3, ("1 picture lies outside: x.png",))
    pictures = replace(
        Store(SMALL).manifest().pictures, skipped=UNUSED, labels=reading, trained_on=trained_on
    )
    stated = {"accuracy_interval": (0.74, 0.756), "accuracy_pictures": 1234} if accuracy else {}
    text = page(tmp_path, pictures=pictures, accuracy=accuracy, accuracy_basis=basis, **stated)
    assert shown in text
    assert f"12 of {pictures.count:,} pictures, 3 classes; from the names of 3 class folders" in text
    assert "1 picture lies outside: x.png" in text
    assert "5: a HEIC picture, which is not read – <code>0.HEIC</code>" in text and "<b>.jpg" not in text

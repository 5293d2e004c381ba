"""The record of a channel: its files follow their schema, and its page says nothing else than the record."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from test_render import site

from generator.site.formats import correlation, significant
from generator.site.reading.atlas import Atlas
from generator.site.reading.measures import BY_KEY, MEASURES
from generator.site.reading.record import SCHEMA, SINCE, ChannelRecord
from generator.site.record_files import record_fields, row_fields

__all__ = ["site"]
KEYS = {measure.name: measure.key for measure in MEASURES}
SMALL = Path(__file__).parent / "small_atlas"
# The first fields of version 1, a contract with those who read the files: none of these may go or change what it means.
FIELDS = (
    "channel", "dead", "sprite", "sentence", "top", "labels", "categories", "descriptions", "changes", "similar",
    "across", "inputs", "numbers",
)  # fmt: skip


@cache
def _layer(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text("utf-8"))


def _records(network: Path) -> dict[str, list[dict[str, Any]]]:
    """By layer the records as a reader of the file has them, rows and numbers with their names."""
    layers = {}
    for path in sorted(network.glob("*/channels.json")):
        data = _layer(path)
        layers[path.parent.name] = [_named(channel, data) for channel in data["channels"]]
    return layers


def _named(channel: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    rows = {
        field: [dict(zip(names, row, strict=True)) for row in channel[field]]
        for field, names in data["rows"].items()
    }
    return {**channel, **rows, "numbers": dict(zip(data["numbers"], channel["numbers"], strict=True))}


def test_the_fields_of_a_record_are_those_of_its_version() -> None:
    assert SCHEMA == 2 == max(SINCE)
    names = [field.name for field in dataclasses.fields(ChannelRecord)]
    assert set(FIELDS) <= set(names) >= {name for version in SINCE.values() for name in version}
    assert [field.name for field in record_fields()] == names
    top = ["picture", "value", "row", "column", "shortcut", "branch"]
    assert row_fields()["top"] == [*top, "focus_row", "focus_column", "focus_side"]
    assert all(field.meaning for field in record_fields())


def test_every_file_of_records_follows_the_published_schema(site: Path) -> None:
    schema = json.loads((site / "small/data/channels.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    files = list((site / "small").glob("*/channels.json"))
    assert len(files) == len(Atlas(SMALL).layers)
    for file in files:
        validator.validate(_layer(file))
    damaged = json.loads(json.dumps(_layer(files[0])))
    damaged["channels"][0]["top"][0][0] = "three"
    assert not validator.is_valid(damaged)


def test_a_channel_has_an_address_of_its_own_and_a_line_of_its_own(site: Path) -> None:
    for layer in Atlas(SMALL).layers:
        file = site / "small" / layer.name / "channels.json"
        lines = file.read_text("utf-8").splitlines()[1:-1]
        for channel, line in enumerate(lines):
            page = (file.parent / f"{channel}.html").read_text("utf-8")
            name, pointer = re.findall(r'href="(channels\.json)#([^"]+)"', page)[0]
            record: Any = _layer(file.parent / name)
            for key in pointer.split("/")[1:]:
                record = record[int(key)] if isinstance(record, list) else record[key]
            assert record == json.loads(line.rstrip(",")) and record["channel"] == channel
        assert len(lines) == layer.channels


def test_records_hold_the_numbers_of_channels_csv(site: Path) -> None:
    """Field by field; the atlas's table is written by the pipeline."""
    records = _records(site / "small")
    checked = 0
    with (site / "small/data/channels.csv").open(newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            numbers = records[row["layer"]][int(row["channel"])]["numbers"]
            for name, value in numbers.items():
                if name in row:
                    assert (float(row[name]) if row[name] else None) == value, (row["layer"], name)
                    checked += 1
    assert set(records) == {layer.name for layer in Atlas(SMALL).layers}


def _text(markup: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", markup)).split())


class _Page:
    """What a channel's page says. statistics: by key its name, value and unit; pictures: texts of the tiles; labels:
    with their counts; similar: channels that correspond, with shared pictures and rank correlation; parts: by picture
    what shortcut and branch gave; before: pictures shared with the block before, and rank correlation; inputs: layer
    and channel with strength."""

    def __init__(self, html: str) -> None:
        sentence = re.search(r'<p class="sentence">(.*?)</p>', html, re.S)
        self.sentence = _text(sentence[1]) if sentence else ""
        rows = [
            row
            for group in re.findall(r'<div class="stats">.*?</div>', html, re.S)
            for row in re.findall(r"<dt>([^<]+)</dt>\s*<dd[^>]*>(.*?)</dd>", group, re.S)
        ]
        self.statistics = {KEYS[unescape(name)]: _text(f"{name} {value}") for name, value in rows}
        stream = re.search(r'<details class="in-stream">.*?</details>', html, re.S)
        for name, value in re.findall(
            r"<dt>([^<]+)</dt>\s*<dd>(.*?)</dd>", stream[0] if stream else "", re.S
        ):
            self.statistics[KEYS[unescape(name)]] = _text(f"{name} {value}")
        nine = re.search(r'<div class="nine" data-row.*?</figure>', html, re.S)
        self.pictures = re.findall(r'alt="(\d: [^"]*)"', nine[0]) if nine else []
        labels = re.search(r'<p class="labels">(?:(?!Categories|Described).)*?</p>', html, re.S)
        self.labels = re.findall(r"(\S[^·]*) (\d)(?: ·|$)", _text(labels[0])) if labels else []
        continues = re.search(r'<section class="continues".*?</section>', html, re.S)
        text = _text(continues[0]) if continues else ""
        self.similar = re.findall(r"(\d+) \((\d) of 9 pictures shared ?(?:, ρ ([−\d.]+))?", text)
        parts = re.search(r'<div class="unit-parts"[^>]*aria-label="([^"]*)"', html, re.S)
        written = re.findall(r"(\S+) ([+−]) ([^;\s]+)", parts[1]) if parts else []
        self.parts = [
            (shortcut, branch if sign == "+" else f"−{branch}") for shortcut, sign, branch in written
        ]
        here = re.search(r'aria-current="page">(.*?)</p>', html, re.S)
        self.before = re.findall(r"shares (\d) of 9(?: , ρ|, ρ)? ?([−\d.]*)", _text(here[1])) if here else []
        tree = re.search(r'<ul class="inputs">(.*)</ul>', html, re.S)
        first = re.sub(r"<ul class=\"inputs\">.*?</ul>", "", tree[1], flags=re.S) if tree else ""
        self.inputs = re.findall(r">(\S+) (\d+)</a>\s*<small>(\S+)</small>", first)


def compare_pages(network: Path) -> dict[str, int]:
    """Compare every page of a network's folder with its record; how many numbers of each kind were compared."""
    kinds = ("statistics", "pictures", "labels", "similar", "parts", "before", "inputs")
    compared = dict.fromkeys(kinds, 0)
    for layer, records in _records(network).items():
        for record in records:
            html = (network / layer / f"{record['channel']}.html").read_text("utf-8")
            page, where, block = _Page(html), (layer, record["channel"]), layer.partition("_")[0] + "_"
            assert page.sentence == record["sentence"]
            for key, text in page.statistics.items():
                value = record["numbers"][key]
                missing = value is None or value == BY_KEY[key].missing
                name, unit = BY_KEY[key].name, BY_KEY[key].unit
                written = "–" if missing else _written(value, BY_KEY[key].format)
                said = re.sub(r" ± \S+", "", text)  # the reach of an interval, from the standard error
                assert said == " ".join(f"{name} {written} {unit}".split()), (*where, key)
            values = [text.partition(": ")[2].rsplit(", ", 1)[-1] for text in page.pictures]
            assert values in ([], [_written(top["value"], significant) for top in record["top"]]), where
            assert page.labels == [(each["label"], str(each["pictures"])) for each in record["labels"]]
            assert page.similar == [
                (str(each["channel"]), str(each["shared"]), _written(each["rho"], correlation))
                for each in record["similar"]
            ]
            parts = [
                (_written(top["shortcut"], significant), _written(top["branch"], significant))
                for top in record["top"]
            ]
            assert page.parts in ([], parts), where
            assert page.inputs == [
                (
                    each["layer"].removeprefix(block),
                    str(each["channel"]),
                    _written(each["strength"], significant),
                )
                for each in record["inputs"]
            ]
            if page.before:
                numbers = record["numbers"]
                rho = _written(numbers["spearman_previous"], correlation)
                assert page.before == [(str(max(numbers["shared_previous"], 0)), rho)], where
            for kind in kinds:
                compared[kind] += len(getattr(page, kind))
    return compared


def _written(value: float | None, form: Callable[[float], str]) -> str:
    """As pages write it: the record has the fewest digits that give the float32 back, pages round the float32."""
    return "" if value is None else form(float(np.float32(value)))


def test_a_page_says_what_the_record_says(site: Path) -> None:
    compared = compare_pages(site / "small")
    assert min(compared[kind] for kind in ("statistics", "pictures", "labels", "similar", "before")) >= 10, (
        compared
    )


@pytest.mark.parametrize(("said", "instead"), [(">0.", ">7."), ("1: ", "1: 7, 7")])
def test_a_changed_number_of_a_page_is_seen(site: Path, said: str, instead: str) -> None:
    html = (site / "small/res2b/0.html").read_text("utf-8")
    before, after = _Page(html), _Page(html.replace(said, instead))
    assert (before.statistics, before.pictures) != (after.statistics, after.pictures)

"""Imported descriptions: whose they are, and the files that the site publishes of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from generator.core.errors import AtlasError
from generator.site.csv_tables import csv_text
from generator.site.reading.atlas import Atlas
from generator.site.reading.descriptions import read_descriptions
from generator.site.writing import Site

COLUMNS = ("layer", "channel", "description", "score", "source")


def import_descriptions(atlases: Sequence[Atlas], given: Sequence[str]) -> None:
    """Give each atlas its descriptions. given: FILE.csv where there is one atlas, NAME=FILE.csv of one of several."""
    names = [atlas.name for atlas in atlases]
    files: dict[str, list[Path]] = {}
    for text in given:
        name, _, path = text.partition("=")
        if name in names and path:
            files.setdefault(name, []).append(Path(path))
        elif len(names) == 1:
            files.setdefault(names[0], []).append(Path(text))
        else:
            raise AtlasError(
                "the site has several atlases, so it must be said whose descriptions these are",
                text,
                f"write {names[0]}={text} if they are of {names[0]}",
            )
    for atlas in atlases:
        if atlas.name in files:
            atlas.descriptions = read_descriptions(files[atlas.name], atlas.layers)


def write_descriptions(site: Site, atlas: Atlas) -> None:
    """descriptions.csv and descriptions.json, where the atlas has any: the rows that its pages show, and the files."""
    descriptions = atlas.descriptions
    if not descriptions.files:
        return
    rows = [
        (layer.name, channel, each.text, each.score, each.source)
        for layer in atlas.layers
        for channel in range(layer.channels)
        for each in descriptions.of(layer.name, channel)
    ]
    table = csv_text(COLUMNS, (["" if value is None else value for value in row] for row in rows))
    site.write(f"{atlas.name}/data/descriptions.csv", table)
    record = {
        "files": [asdict(file) for file in descriptions.files],
        "descriptions": [dict(zip(COLUMNS, row, strict=True)) for row in rows],
    }
    site.write(
        f"{atlas.name}/data/descriptions.json", json.dumps(record, ensure_ascii=False, indent=1) + "\n"
    )

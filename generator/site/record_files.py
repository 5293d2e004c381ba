"""The files of the channels' records: one per layer, and the JSON Schema that describes them.

All channels of a layer are in one file, because names and brackets would take as much room again in a file for each. A
channel's own address is a JSON Pointer into it, `<layer>/channels.json#/channels/<channel>`; its record also stands on
a line of its own.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter
from pydantic.fields import FieldInfo

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_numbers import in_few_digits
from generator.site.reading.record import SCHEMA, ChannelRecord

FILE = "channels.json"  # in a layer's folder
SCHEMA_FILE = "channels.schema.json"  # in the folder data/ of a network


@dataclass(frozen=True)
class LayerRecords:
    """The records of all channels of a layer."""

    schema: Annotated[int, Field(description="version of this format")]
    network: Annotated[str, Field(description="the network's folder on the site")]
    layer: Annotated[str, Field(description="the layer's name")]
    path: Annotated[str, Field(description="of its module")]
    numbers: Annotated[
        Sequence[str], Field(description="the names of the channels' `numbers`, in their order")
    ]
    rows: Annotated[
        Mapping[str, Sequence[str]],
        Field(description="by field of a channel, the names of what its rows hold"),
    ]
    bins: Annotated[
        Sequence[tuple[float | None, float | None]],
        Field(
            description="from where to where the bins of the channels' `histogram` reach, the upper end not included; "
            "null: without an end; the first holds scores of zero and below"
        ),
    ]
    channels: Annotated[Sequence[ChannelRecord], Field(description="by the channels' numbers, from 0")]


def records_json(atlas: Atlas, info: LayerInfo, records: Sequence[ChannelRecord]) -> str:
    """The file of a layer: a line with what holds of all its channels, then a line for each of them."""
    names = list(atlas.layer(info.name).numbers)
    head = LayerRecords(SCHEMA, atlas.name, info.name, info.path, names, row_fields(), _bins(atlas, info), [])
    fields = {name: value for name, value in _fields(head).items() if name != "channels"}
    lines = ",\n".join(_compact(_record_fields(record)) for record in records)
    return f'{_compact(fields)[:-1]},"channels":[\n{lines}\n]}}\n'


def _bins(atlas: Atlas, info: LayerInfo) -> list[tuple[float | None, float | None]]:
    bins = atlas.layer(info.name).arrays.get("histogram_bins")
    return [] if bins is None else list(zip(*map(in_few_digits, bins.T), strict=True))


def record_schema() -> str:
    """The JSON Schema of such a file."""
    schema = TypeAdapter(LayerRecords).json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class FieldMeaning:
    """A field of a record. row: what its rows hold, in order; () where it lists no rows."""

    name: str
    meaning: str
    row: Sequence[FieldMeaning] = ()


def record_fields() -> list[FieldMeaning]:
    """The fields of a channel's record, in the order of the files, with what their types say of them."""
    return _meanings(ChannelRecord)


def row_fields() -> dict[str, list[str]]:
    """By field of a record that lists rows, the names of what a row holds."""
    return {field.name: [part.name for part in field.row] for field in record_fields() if field.row}


def _meanings(kind: type) -> list[FieldMeaning]:
    return [_meaning(name, hint) for name, hint in typing.get_type_hints(kind, include_extras=True).items()]


def _meaning(name: str, hint: object) -> FieldMeaning:
    notes = [note for note in typing.get_args(hint)[1:] if isinstance(note, FieldInfo)]
    meaning = next((note.description for note in notes if note.description), "")
    listed = typing.get_args(typing.get_args(hint)[0]) if notes else ()
    rows = next((kind for kind in listed if hasattr(kind, "_fields")), None)
    return FieldMeaning(name, meaning, _meanings(rows) if rows else ())


def _record_fields(record: ChannelRecord) -> dict[str, object]:
    return {**_fields(record), "numbers": list(record.numbers.values())}


def _fields(record: ChannelRecord | LayerRecords) -> dict[str, object]:
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


def _compact(data: object) -> str:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

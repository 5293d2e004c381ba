"""What a network's folder data/ offers of its channels: tables of all numbers and of all top-9 pictures, and the scores
and mean contributions that they follow from. With these files the numbers of a channel's page can be computed again."""

from __future__ import annotations

import importlib.util
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.errors import AtlasError
from generator.core.store.arrays import npy_bytes
from generator.site.csv_tables import csv_text
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_record import top_pictures
from generator.site.reading.layer_numbers import Layer, in_few_digits
from generator.site.reading.record import TopPicture
from generator.site.writing import Site

TOP_VALUE, TOP_IMAGE, TOP_ROW, TOP_COLUMN = "top_value", "top_image", "top_row", "top_column"
LEADING = ("layer", "channel", TOP_VALUE, TOP_IMAGE, TOP_ROW, TOP_COLUMN)
TOPS_COLUMNS = ("layer", "channel", "rank", *TopPicture._fields)
# Of two: an array's largest number is brought below it. Half precision ends at 65,504 and has eleven bits from 2⁻¹⁴ on.
LARGEST_POWER = 15
SMALLEST_POWER = -126  # of two, whose reciprocal single precision still holds


@dataclass(frozen=True)
class Downloads:
    """What a site offers besides its tables, because it takes much room or a further package. scores: every channel's
    score on every picture and its mean contribution to every class, in half precision; parquet: channels.csv as Parquet
    too."""

    scores: bool = False
    parquet: bool = False

    def check(self) -> None:
        """Raise AtlasError where a package is missing, before anything is written."""
        if self.parquet and importlib.util.find_spec("pyarrow") is None:
            raise AtlasError(
                "channels.parquet needs pyarrow, which is not installed",
                remedy="pip install 'pyarrow>=15', or in the checkout pip install '.[parquet]'",
            )


def write_downloads(site: Site, atlas: Atlas, wanted: Downloads) -> None:
    """Write the files of one network."""
    folder = f"{atlas.name}/data"
    columns = channel_columns(atlas)
    names = list(columns)
    site.write(
        f"{folder}/channels.csv",
        csv_text(names, zip(*(column.fields() for column in columns.values()), strict=True)),
    )
    site.write(f"{folder}/tops.csv", csv_text(TOPS_COLUMNS, _tops(atlas)))
    if wanted.parquet:
        site.write(f"{folder}/channels.parquet", parquet(columns))
    if wanted.scores:
        _write_scores(site, atlas)
        _write_contributions(site, atlas)


@dataclass(frozen=True)
class TableColumn:
    """values: (C,) over the channels of all layers, in the precision of the atlas; missing: (C,) bool, where there is
    no number."""

    values: np.ndarray
    missing: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> TableColumn:
        """Of numbers, NaN and infinite where there is none, or of texts."""
        missing = ~np.isfinite(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        return cls(values.astype(np.int8) if values.dtype == bool else values, missing)

    def fields(self) -> list[object]:
        """As fields of a CSV."""
        texts = self.values.dtype.kind == "U"
        values = self.values.tolist() if texts else in_few_digits(self.values)
        return [
            "" if missing else value for value, missing in zip(values, self.missing.tolist(), strict=True)
        ]


def channel_columns(atlas: Atlas) -> dict[str, TableColumn]:
    """By name the columns of channels.csv."""
    layers = [atlas.layer(info.name) for info in atlas.layers]
    sizes = [layer.info.channels for layer in layers]
    leading = {
        "layer": np.repeat([layer.info.name for layer in layers], sizes),
        "channel": np.concatenate([np.arange(size) for size in sizes]),
        TOP_VALUE: np.concatenate([layer.arrays["top_value"][:, 0] for layer in layers]),
        TOP_IMAGE: np.concatenate([layer.arrays["top_image"][:, 0] for layer in layers]),
        TOP_ROW: np.concatenate([layer.arrays["top_unit"][:, 0, 0] for layer in layers]),
        TOP_COLUMN: np.concatenate([layer.arrays["top_unit"][:, 0, 1] for layer in layers]),
    }
    names = sorted({name for layer in layers for name in layer.numbers})
    return {
        **{name: TableColumn.of(values) for name, values in leading.items()},
        **{name: _over_layers(layers, name) for name in names},
    }


def _over_layers(layers: Sequence[Layer], name: str) -> TableColumn:
    columns = {
        layer.info.name: TableColumn.of(layer.arrays[name]) for layer in layers if name in layer.numbers
    }
    kind = np.result_type(*(column.values.dtype for column in columns.values()))
    parts = [
        columns.get(
            layer.info.name,
            TableColumn(np.zeros(layer.info.channels, kind), np.ones(layer.info.channels, bool)),
        )
        for layer in layers
    ]
    return TableColumn(
        np.concatenate([part.values.astype(kind) for part in parts]),
        np.concatenate([part.missing for part in parts]),
    )


def _tops(atlas: Atlas) -> Iterator[Sequence[object]]:
    for info in atlas.layers:
        layer = atlas.layer(info.name)
        for channel in range(info.channels):
            for rank, top in enumerate(top_pictures(layer, channel), 1):
                yield info.name, channel, rank, *("" if value is None else value for value in top)


def parquet(columns: Mapping[str, TableColumn]) -> bytes:
    """The columns as a Parquet file; null where there is no number."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {name: pyarrow.array(column.values, mask=column.missing) for name, column in columns.items()}
    )
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _write_scores(site: Site, atlas: Atlas) -> None:
    folder, scales = f"{atlas.name}/data/scores", {}
    for info in atlas.layers:
        scales[info.name] = _write_halves(
            site, f"{folder}/{info.name}.npy", atlas.store.arrays.scores(info.name)
        )
    _write_index(site, folder, {"pictures": atlas.store.tables.scored_pictures().tolist(), "scale": scales})


def _write_contributions(site: Site, atlas: Atlas) -> None:
    folder, scales = f"{atlas.name}/data/contributions", {}
    for info in atlas.layers:
        if (contributions := atlas.store.arrays.contributions(info.name)) is not None:
            scales[info.name] = _write_halves(site, f"{folder}/{info.name}.npy", contributions)
    if scales:
        _write_index(site, folder, {"scale": scales})


def _write_index(site: Site, folder: str, index: Mapping[str, object]) -> None:
    site.write(f"{folder}/index.json", json.dumps(index, separators=(",", ":")) + "\n")


def _write_halves(site: Site, address: str, numbers: np.ndarray) -> float:
    """Write an array in half precision; returns by what it is to be multiplied."""
    scale = half_scale(float(np.abs(numbers).max(initial=0, where=np.isfinite(numbers))))
    site.write(address, npy_bytes((numbers * np.float32(1 / scale)).astype(np.float16)))
    return scale


def half_scale(largest: float) -> float:
    """By what power of two numbers in half precision are to be multiplied, so that even those a million times smaller
    than the largest keep eleven bits. largest: of their absolute values.

    >>> half_scale(12.5), half_scale(131008.0), half_scale(2.0 ** -20), half_scale(0.0)
    (0.00048828125, 4.0, 5.820766091346741e-11, 1.0)
    """
    if largest == 0:
        return 1.0
    return 2.0 ** max(math.frexp(largest)[1] - LARGEST_POWER, SMALLEST_POWER)

"""channels.csv, the table of all statistics that people read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generator.core.records import LayerInfo
from generator.core.store import Store


def write_channels_csv(store: Store, layers: Sequence[LayerInfo]) -> None:
    """One row per channel with every statistic; floats in full precision, an empty field where there is no number."""
    tables = {layer.name: store.arrays.layer(layer.name) for layer in layers}
    columns = sorted(
        {
            name
            for layer in layers
            for name, array in tables[layer.name].items()
            if array.shape == (layer.channels,)
        }
    )
    rows: list[Sequence[object]] = []
    for layer in layers:
        numbers, nothing = tables[layer.name], [""] * layer.channels
        first = [
            [layer.name] * layer.channels,
            range(layer.channels),
            _fields(numbers["top_value"][:, 0]),
            _fields(numbers["top_image"][:, 0]),
            *(_fields(part) for part in numbers["top_unit"][:, 0].T),
        ]
        rows += zip(
            *first, *(_fields(numbers[name]) if name in numbers else nothing for name in columns), strict=True
        )
    leading = ["layer", "channel", "top_value", "top_image", "top_row", "top_column"]
    store.tables.write("channels.csv", [*leading, *columns], rows)


def _fields(values: np.ndarray) -> list[object]:
    """A column of the table, (C,)."""
    if values.dtype == bool:
        return list(values.astype(int).tolist())
    if values.dtype.kind != "f":
        return list(values.tolist())
    texts = map(repr, values.tolist()) if values.dtype == np.float64 else map(str, values)
    finite = np.isfinite(values).tolist()
    return [text if known else "" for text, known in zip(texts, finite, strict=True)]

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
    rows: list[list[object]] = []
    for layer in layers:
        numbers = tables[layer.name]
        first = numbers["top_value"][:, 0]
        for channel in range(layer.channels):
            values = [_field(numbers[name][channel]) if name in numbers else "" for name in columns]
            place = [numbers["top_image"][channel, 0], *numbers["top_unit"][channel, 0]]
            rows.append(
                [layer.name, channel, _field(first[channel]), *(int(part) for part in place), *values]
            )
    leading = ["layer", "channel", "top_value", "top_image", "top_row", "top_column"]
    store.tables.write("channels.csv", [*leading, *columns], rows)


def _field(value: np.generic) -> object:
    if isinstance(value, np.bool_):
        return int(value)
    if isinstance(value, np.floating):
        return (
            "" if not np.isfinite(value) else repr(float(value)) if value.dtype == np.float64 else str(value)
        )
    return value

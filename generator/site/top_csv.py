"""top.csv of a layer: the nine pictures of every channel, for those who recompute what a page says."""

from __future__ import annotations

import numpy as np

from generator.site.csv_tables import csv_text
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_numbers import Layer

TOP_COLUMNS = ("channel", "rank", "picture", "label", "value", "row", "column")


def top_csv(atlas: Atlas, layer: Layer) -> str:
    """One row per channel and picture, strongest first; values in full (float32) precision."""
    arrays, pictures = layer.arrays, atlas.pictures
    rows = []
    for channel, place in np.argwhere(arrays["top_image"] >= 0).tolist():
        number = int(arrays["top_image"][channel, place])
        value, unit = arrays["top_value"][channel, place], arrays["top_unit"][channel, place]
        rows.append(
            [channel, place + 1, number, pictures[number].label, str(value), int(unit[0]), int(unit[1])]
        )
    return csv_text(TOP_COLUMNS, rows)

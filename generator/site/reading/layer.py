"""What a layer's page and the page of its kernels say, for their templates. No HTML here."""

from __future__ import annotations

import json
import math
from typing import Any

from generator.core.records import LayerInfo
from generator.site.reading.atlas import (
    THUMB,
    Atlas,
    sheet_layout,
)
from generator.site.reading.synthetic import has_optimised


def layer_page(atlas: Atlas, info: LayerInfo) -> dict[str, Any]:
    """A layer's grid: a thumbnail a channel, and the numbers that sorting and filtering need."""
    layer = atlas.layer(info.name)
    columns, rows = sheet_layout(
        atlas.store.pictures.thumbs_path(info.name), int(atlas.manifest.extra.get("thumb", THUMB))
    )
    labels: dict[str, int] = {}
    cells = []
    nine_labels = []
    for channel in range(info.channels):
        nine = [labels.setdefault(label, len(labels)) for label, _ in atlas.labels_of(info.name, channel)]
        nine_labels.append(nine)
        first = atlas.short[layer.images[channel][0]] if layer.images[channel][0] >= 0 else ""
        # An atlas of the first so many channels alone has a smaller sheet.
        place = (channel % columns, channel // columns) if channel < columns * rows else None
        cells.append((channel, None if layer.absence(channel) else place, first, layer.dead[channel]))
    sorts = [(m, layer.arrays[m.key], has) for m, _, has, _, _ in layer.measures]
    at = atlas.layers.index(info)
    numbers = {
        measure.key: [float(f"{v:.4g}") if ok else None for v, ok in zip(values.tolist(), has, strict=True)]
        for measure, values, has in sorts
    }
    data = {
        "labels": list(labels),
        "nine": nine_labels,
        "numbers": numbers,
        "panels": layer.sprite.panels,
        "units": {measure.key: [measure.name, measure.unit] for measure, _, _ in sorts},
    }
    return {
        "cells": cells,
        "columns": columns,
        "rows": rows,
        "alive": info.channels - sum(layer.dead),
        "sorts": [measure for measure, _, _ in sorts],
        "label_names": sorted(label for label in labels if label),
        "previous": atlas.layers[at - 1] if at else None,
        "next": atlas.layers[at + 1] if at + 1 < len(atlas.layers) else None,
        "data": json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"),
        "has_kernels": atlas.store.pictures.kernels_path(info.name).is_file(),
        "has_optimised": has_optimised(layer),
    }


def kernel_page(atlas: Atlas, info: LayerInfo) -> dict[str, Any] | None:
    """The first convolution's kernels as pixel maps, with the nine of each beside; or None."""
    layout = atlas.manifest.extra.get("kernels", {}).get(info.name)
    if layout is None or not atlas.store.pictures.kernels_path(info.name).is_file():
        return None
    columns = int(layout["columns"])
    layer = atlas.layer(info.name)
    return {
        "columns": columns,
        "rows": math.ceil(info.channels / columns),
        "kernels": [(c, c % columns, c // columns, layer.absence(c)) for c in range(info.channels)],
    }

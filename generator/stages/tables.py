"""Tables that follow from the scan alone: the labels of images.csv, connections.npz of every layer, channels.csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from generator.core.records import LayerInfo
from generator.core.store import Store
from generator.engine.scan.scan import earlier_blocks
from generator.methods.inputs import source_layer, strongest_inputs
from generator.methods.refinement import rank_correlation, shared_pictures
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run


def label_pictures(inputs: Inputs, run: Run) -> None:
    """Give images.csv the labels of this run: the scan that wrote it may be an earlier one, of the same pictures under
    other labels."""
    written = run.store.tables.images()
    files = [inputs.pictures.files[place] for place in usable_files(inputs, run)]
    labelled = [
        replace(record, label_id=file.label_id, label=file.label)
        for record, file in zip(written, files, strict=True)
    ]
    if labelled != written:
        run.store.tables.write_images(labelled)


def add_relations(inputs: Inputs, run: Run) -> None:
    """Write connections.npz of every layer: how each channel compares with itself one block earlier and, inside a
    block, which channels of the layer before it reads most."""
    layers = inputs.network.layers
    before = earlier_blocks(layers)
    with run.reporter.stage("relations", len(layers), "layers") as advance:
        for layer in layers:
            numbers = run.store.arrays.layer(layer.name, "top", "statistics")
            shared = np.full(layer.channels, -1, np.int32)
            ranks = np.full(layer.channels, np.nan, np.float32)
            if (earlier := before.get(layer.name)) is not None:
                shared = shared_pictures(
                    numbers["top_image"], run.store.arrays.layer(earlier, "top")["top_image"]
                )
                scores, earlier_scores = run.store.arrays.scores(layer.name), run.store.arrays.scores(earlier)
                ranks = rank_correlation(scores, earlier_scores)
            connections = {"shared_previous": shared, "spearman_previous": ranks}
            if layer.is_inner and (source := source_layer(inputs.network, layer)) is not None:
                deviation = run.store.arrays.layer(source.name, "statistics")["std"]
                connections |= strongest_inputs(inputs.network, layer, deviation)
            run.store.arrays.write_layer(layer.name, "connections", connections)
            advance()


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
        return "" if np.isnan(value) else repr(float(value)) if value.dtype == np.float64 else str(value)
    return value

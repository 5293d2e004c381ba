"""How each channel is connected: with itself one block earlier, with the channels that it reads inside a block, and
with those that read it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from generator.core.correspondence import shared_pictures
from generator.core.records import LayerInfo
from generator.engine.scan.plan import earlier_blocks
from generator.methods.inputs import source_layer, strongest_inputs
from generator.methods.reading_weights import (
    BranchWeights,
    Reader,
    branch_weights,
    classifier_weights,
    readers,
    strongest_along,
    strongest_onward,
    strongest_outputs,
    strongest_readers,
)
from generator.methods.refinement import rank_correlation
from generator.stages.inputs import Inputs
from generator.stages.run import Run

PRODUCT = "connections"  # of a layer's arrays


def connect_layers(inputs: Inputs, run: Run) -> None:
    """Write connections.npz of every layer: how each channel compares with itself one block earlier, inside a block
    which channels of the layer before it reads most, and which channels of other layers read it most; and
    connections.json, which names these layers."""
    layers, arrays = inputs.network.layers, run.store.arrays
    before, report = earlier_blocks(layers), dict[str, dict[str, Any]]()
    reading: dict[str, list[Reader]] = {layer.name: [] for layer in layers}
    for reader in readers(inputs.network):
        reading[reader.source].append(reader)
    branches = {layer.name: found for layer in layers if (found := branch_weights(inputs.network, layer))}
    with run.reporter.stage("connections", len(layers), "layers") as advance:
        for layer in layers:
            numbers = arrays.layer(layer.name, "top")
            shared = np.full(layer.channels, -1, np.int32)
            ranks = np.full(layer.channels, np.nan, np.float32)
            if (earlier := before.get(layer.name)) is not None:
                shared = shared_pictures(numbers["top_image"], arrays.layer(earlier, "top")["top_image"])
                ranks = rank_correlation(arrays.scores(layer.name), arrays.scores(earlier))
            connections = {"shared_previous": shared, "spearman_previous": ranks}
            if layer.is_inner and (source := source_layer(inputs.network, layer)) is not None:
                deviation = arrays.layer(source.name, "statistics")["std"]
                connections |= strongest_inputs(inputs.network, layer, deviation)
            weights, names = _by_weights(inputs, run, layer, reading[layer.name], branches)
            arrays.write_layer(layer.name, PRODUCT, connections | weights)
            report[layer.name] = names
            advance()
    run.store.tables.write_json("connections.json", report)


def _by_weights(
    inputs: Inputs,
    run: Run,
    layer: LayerInfo,
    reading: list[Reader],
    branches: Mapping[str, BranchWeights],
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Who reads the layer's channels, from where its branch leads to them, and where the branch of the next block leads
    from them: arrays, and the names of the layers. branches: of all blocks, by name."""

    def deviation(name: str) -> np.ndarray:
        return run.store.arrays.layer(name, "statistics")["std"].astype(np.float64)

    found: dict[str, np.ndarray] = {}
    for reader in reading:
        for key, array in strongest_readers(reader, deviation(layer.name)).items():
            found[f"reader_{key}_{reader.layer}"] = array
    names: dict[str, Any] = {"readers": [[reader.layer, *reader.through] for reader in reading]}
    if (along := branches.get(layer.name)) is not None:
        names["along"] = [along.source, *along.through]
        strongest = strongest_along(along, deviation(along.source))
        found |= {f"along_{key}": array for key, array in strongest.items()}
    for name, branch in branches.items():
        if branch.source == layer.name and "onward" not in names:
            names["onward"] = [name, *branch.through]
            onward = strongest_onward(branch, deviation(layer.name))
            found |= {f"onward_{key}": array for key, array in onward.items()}
    if (outputs := classifier_weights(inputs.network, layer)) is not None:
        found |= {f"classifier_{key}": array for key, array in strongest_outputs(outputs).items()}
    return found, names

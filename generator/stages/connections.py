"""How each channel is connected: with itself one block earlier, and with the channels that it reads inside a block."""

from __future__ import annotations

import numpy as np

from generator.engine.scan.plan import earlier_blocks
from generator.methods.inputs import source_layer, strongest_inputs
from generator.methods.refinement import rank_correlation, shared_pictures
from generator.stages.inputs import Inputs
from generator.stages.run import Run

PRODUCT = "connections"  # of a layer's arrays


def connect_layers(inputs: Inputs, run: Run) -> None:
    """Write connections.npz of every layer: how each channel compares with itself one block earlier and, inside a
    block, which channels of the layer before it reads most."""
    layers, arrays = inputs.network.layers, run.store.arrays
    before = earlier_blocks(layers)
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
            arrays.write_layer(layer.name, PRODUCT, connections)
            advance()

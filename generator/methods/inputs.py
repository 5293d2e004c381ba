"""The strongest input channels of a channel inside a block (compare arXiv:1701.02362, Figure 7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.network.network import Network
from generator.network.ops import Step

STRONGEST = 3  # inputs per channel


def source_layer(network: Network, layer: LayerInfo) -> LayerInfo | None:
    """The layer that this layer's convolution reads; None where it reads something else, and where an operation lies
    between that convolution and the layer."""
    steps = network.graph.steps
    index = convolution_of(network, layer)
    if steps[index].op != "conv":
        return None
    source = steps[index].inputs[0]
    return network.layers[network.steps.index(source)] if source in network.steps else None


def strongest_inputs(network: Network, layer: LayerInfo, source_std: np.ndarray) -> dict[str, np.ndarray]:
    """For each channel of a convolution its strongest input channels.

    source_std: (C_in,) standard deviation of the source layer's activations. An input's strength is the norm of its
    kernel times that deviation: how much the channel changes with a typical change of the input. Returns inputs (C, 3)
    int32, −1 where there are fewer, and input_weight (C, 3) float32, descending.
    """
    step = network.graph.steps[convolution_of(network, layer)]
    norms = kernel_norms(step)  # (C_out, C_in / groups)
    out, within = norms.shape
    candidates = step.first_inputs.cpu().numpy()[:, None] + np.arange(within)  # (C_out, C_in / groups)
    strength = norms * source_std[candidates]
    order = np.argsort(-strength, axis=1, kind="stable")[:, :STRONGEST]
    inputs = np.full((out, STRONGEST), -1, np.int32)
    weight = np.zeros((out, STRONGEST), np.float32)
    inputs[:, : order.shape[1]] = np.take_along_axis(candidates, order, 1)
    weight[:, : order.shape[1]] = np.take_along_axis(strength, order, 1)
    return {"inputs": inputs, "input_weight": weight}


def kernel_norms(convolution: Step) -> np.ndarray:
    """(C_out, C_in / groups) float64: Euclidean norm of the kernel of every two channels."""
    assert convolution.weight is not None
    return convolution.weight.double().square().sum((2, 3)).sqrt().cpu().numpy()


# Operations that leave each channel by itself, so that it keeps its number.
_BY_CHANNEL = ("relu", "activation", "affine", "pad", "max_pool", "avg_pool")


@dataclass(frozen=True)
class SourceChannels:
    """layer: the layer whose channels have the same numbers as those of a step's output, '' where there is none;
    through: the operations between the two, nearest to the layer first."""

    layer: str
    through: tuple[str, ...]


def source_channels(network: Network, step: int) -> SourceChannels:
    """The layer whose channels the channels of a step's output are, perhaps after operations on each channel alone."""
    through: list[str] = []
    while step not in network.steps:
        if network.graph.steps[step].op not in _BY_CHANNEL:
            return SourceChannels("", ())
        through.append(network.graph.steps[step].op)
        step = network.graph.steps[step].inputs[0]
    return SourceChannels(network.layers[network.steps.index(step)].name, tuple(reversed(through)))


def convolution_of(network: Network, layer: LayerInfo) -> int:
    """The step of the convolution whose output the layer is, before its rectifier and an unfolded BatchNorm."""
    index = network.step(layer.name)
    while network.graph.steps[index].op in ("relu", "activation", "affine"):
        index = network.graph.steps[index].inputs[0]
    return index

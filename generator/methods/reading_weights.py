"""Which channels read a channel most, and from which of a block's input channels its branch leads most to a channel, by
the weights alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.methods.inputs import STRONGEST, convolution_of, kernel_norms, source_channels
from generator.network.network import Network
from generator.network.ops import Step
from generator.network.residual import find_residual

# Of a kernel's weights the share, in absolute values, by which those of one sign must outweigh the others.
CLEAR = 0.5
OUTPUTS = (3, 2)  # of the classifier: those that a channel raises most, and lowers most


@dataclass(frozen=True)
class Reader:
    """A layer whose convolution reads the channels of another layer, source. through: the operations between the two.
    norm: (C_out, C_in) float64, Euclidean norm of the kernel of every two channels, 0 where one does not read the
    other; sign: int8, 1 or −1 where the kernel's weights are mainly of this sign, else 0."""

    layer: str
    source: str
    through: tuple[str, ...]
    norm: np.ndarray
    sign: np.ndarray


def readers(network: Network) -> Iterator[Reader]:
    """Every layer that reads another, in forward order. A norm between the two counts, a ReLU does not."""
    for layer in network.layers:
        step = network.graph.steps[convolution_of(network, layer)]
        if step.op != "conv" or layer.kind == "block" or step.weight is None:
            continue
        source = source_channels(network, step.inputs[0])
        if not source.layer:
            continue
        scale = _scale_between(network, step.inputs[0], network.step(source.layer))
        norm = _dense(step, kernel_norms(step))
        channels = network.layer(source.layer).channels
        if len(scale) not in (1, channels) or norm.shape[1] != channels:
            continue
        signs = _dense(step, _kernel_signs(step)) * np.sign(scale).astype(np.int8)
        yield Reader(layer.name, source.layer, source.through, norm * np.abs(scale), signs)


def _kernel_signs(step: Step) -> np.ndarray:
    """(C_out, C_in / groups) int8: 1 or −1 where the weights of a kernel are mainly of this sign, else 0."""
    assert step.weight is not None
    weight = step.weight.double().cpu()
    total, size = weight.sum((2, 3)).numpy(), weight.abs().sum((2, 3)).numpy()
    clear = np.abs(total) >= CLEAR * np.where(size > 0, size, np.inf)
    return np.where(clear, np.sign(total), 0).astype(np.int8)


def _dense(step: Step, values: np.ndarray) -> np.ndarray:
    """Values of every kernel, (C_out, C_in / groups), in their places among all channels, (C_out, C_in); 0 where an
    output does not read an input."""
    dense = np.zeros((len(values), values.shape[1] * step.groups), values.dtype)
    inputs = step.first_inputs.cpu().numpy()[:, None] + np.arange(values.shape[1])
    np.put_along_axis(dense, inputs, values, 1)
    return dense


def first_largest(values: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` largest of each row lie (fewer in shorter rows), largest first, ties by the lower place: a few
    searches cost less than sorting long rows."""
    left = values.copy()
    places = []
    for _ in range(min(count, values.shape[1])):
        places.append(left.argmax(axis=1))
        np.put_along_axis(left, places[-1][:, None], -np.inf, 1)
    return np.stack(places, 1)


def _scale_between(network: Network, step: int, source: int) -> np.ndarray:
    """What the fixed norms from step `source` to `step` multiply each channel by, (C,) or (1,)."""
    scale = np.ones(1)
    while step != source:
        operation = network.graph.steps[step]
        if operation.op == "affine":
            assert operation.weight is not None
            scale = scale * operation.weight.double().cpu().numpy()
        step = operation.inputs[0]
    return scale


def strongest_readers(reader: Reader, source_std: np.ndarray) -> dict[str, np.ndarray]:
    """For each channel of the source the channels that read it most; source_std: (C_in,) standard deviation of its
    activations. The strength is that of methods/inputs.py: the norm of the kernel times the deviation. Returns channel
    (C_in, 3) int32, −1 where there are fewer, weight float32, descending, and sign int8."""
    strength = (reader.norm * source_std).T  # (C_in, C_out)
    order = first_largest(strength, STRONGEST)
    shape = (len(strength), STRONGEST)
    channel, weight, sign = (
        np.full(shape, -1, np.int32),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.int8),
    )
    width = order.shape[1]
    weight[:, :width] = np.take_along_axis(strength, order, 1)
    channel[:, :width] = np.where(weight[:, :width] > 0, order, -1)
    sign[:, :width] = np.take_along_axis(reader.sign.T, order, 1)
    return {"channel": channel, "weight": weight, "sign": sign}


# -- along a branch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BranchWeights:
    """source: the layer that the block's input is; through: operations between the two; weight: (C, C_in) float64,
    product of the kernels along the branch, each summed over its positions."""

    source: str
    through: tuple[str, ...]
    weight: np.ndarray


def branch_weights(network: Network, layer: LayerInfo) -> BranchWeights | None:
    """How the branch of a residual block leads from its input to its output, without its ReLUs: what a map that is the
    same everywhere would add, away from the border, per unit of a channel of `source`. None where the branch is
    anything but convolutions, norms and ReLUs one behind the other."""
    graph = network.graph
    residual = find_residual(graph, network.step(layer.name)) if layer.kind == "block" else None
    if residual is None:
        return None
    index, product = residual.branch, None
    while index != residual.fork:
        step = graph.steps[index]
        if step.op == "affine" and step.weight is not None:
            scale = step.weight.double().cpu().numpy()
            product = scale if product is None else product * scale
        elif step.op == "conv":
            assert step.weight is not None
            # The kernels summed over their positions.
            dense = _dense(step, step.weight.double().cpu().sum((2, 3)).numpy())
            if product is None or product.ndim == 1:
                product = dense if product is None else np.broadcast_to(product, len(dense))[:, None] * dense
            else:
                product = exact_product(product, dense)
        elif step.op not in ("relu", "pad"):
            return None
        index = step.inputs[0]
    source = source_channels(network, residual.fork)
    if product is None or product.ndim == 1 or not source.layer:
        return None
    scale = _scale_between(network, residual.fork, network.step(source.layer))
    return BranchWeights(source.layer, source.through, product * scale)


def exact_product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The product of two matrices, (A, K) and (K, B), the same for any number of threads: rows and columns are rounded
    to as many bits as let every sum be exact in float64, 21 where K is 512."""
    bits = (52 - math.ceil(math.log2(max(2, left.shape[1])))) // 2
    rows, columns = (
        _power_above(np.abs(matrix).max(axis, initial=0)) for matrix, axis in ((left, 1), (right, 0))
    )
    whole = np.rint(left / rows[:, None] * 2.0**bits) @ np.rint(right / columns * 2.0**bits)
    product: np.ndarray = whole * (rows[:, None] * columns * 4.0**-bits)
    return product


def _power_above(values: np.ndarray) -> np.ndarray:
    """The power of two that is at least each value; 1 for 0."""
    return np.exp2(np.ceil(np.log2(np.where(values > 0, values, 1))))


def strongest_along(weights: BranchWeights, source_std: np.ndarray) -> dict[str, np.ndarray]:
    """For each channel of the block the input channels of the largest weight times the deviation of the channel's
    activations, source_std (C_in,): channel (C, 3) int32, −1 where there are fewer, and weight float32, signed."""
    return _largest(weights.weight * source_std)


def strongest_onward(weights: BranchWeights, source_std: np.ndarray) -> dict[str, np.ndarray]:
    """As `strongest_along` from the other end: for each input channel the block's channels that it leads to most,
    (C_in, 3)."""
    return _largest((weights.weight * source_std).T)


def _largest(strength: np.ndarray) -> dict[str, np.ndarray]:
    order = first_largest(np.abs(strength), STRONGEST)
    shape = (len(strength), STRONGEST)
    channel, weight = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    weight[:, : order.shape[1]] = np.take_along_axis(strength, order, 1)
    channel[:, : order.shape[1]] = np.where(weight[:, : order.shape[1]] != 0, order, -1)
    return {"channel": channel, "weight": weight}


# -- the classifier ----------------------------------------------------------------------------------------------------


def classifier_weights(network: Network, layer: LayerInfo) -> np.ndarray | None:
    """(outputs, C) float64: the weights by which the classifier reads the average of each of the layer's maps, less
    their average over the outputs, which changes no probability of a softmax. None for a layer whose averages are not
    what the classifier reads, and where there are no two outputs to compare."""
    found, head = network.graph.pooled_classifier(), network.head
    if found is None or head is None or (network.outputs or 0) < 2:
        return None
    pooled, weights = found
    while network.graph.steps[pooled].op == "adaptive_pool":
        pooled = network.graph.steps[pooled].inputs[0]
    if pooled != network.step(layer.name) or weights.shape[1] != layer.channels:
        return None
    return (weights - weights.mean(0) if head.kind == "softmax" else weights).numpy()


def strongest_outputs(weights: np.ndarray) -> dict[str, np.ndarray]:
    """For each channel the outputs of the largest weights, then those of the smallest: output (C, 5) int32, −1 where
    there are fewer, and weight float32."""
    raised, lowered = OUTPUTS
    order = np.argsort(-weights, axis=0, kind="stable").T  # (C, outputs)
    raised = min(raised, order.shape[1] // 2)
    lowered = min(lowered, order.shape[1] // 2)
    output = np.concatenate([order[:, :raised], order[:, order.shape[1] - lowered :][:, ::-1]], 1)
    found = np.take_along_axis(weights.T, output, 1)
    return {"output": output.astype(np.int32), "weight": found.astype(np.float32)}

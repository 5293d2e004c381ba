"""A network as an ONNX model that runs in a browser: from the pixels of one picture to the network's outputs and to the
largest value of every channel of its layers, with its position.

The model is written step by step from the graph that everything else walks, so it computes the same layers. Weights may
be stored in half precision; the arithmetic is float32 in either case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.call import Source
from generator.network.graph import Graph
from generator.network.network import Network
from generator.network.ops import Step

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET, IR_VERSION = 17, 8  # of 2022: read by every onnxruntime-web that a site may carry
# Names of the input and the outputs.
INPUT, SCORES, MAXIMA, POSITIONS = "pixels", "scores", "maxima", "positions"
HALF_FROM = 512  # numbers of a weight; smaller ones are kept in float32, they take no room
# Inputs of one Concat: a stage of a WebGPU shader binds 8 buffers on every device, and the output is one of them.
JOINED = 7


class NotInOnnx(AtlasError):
    """An operation that this module cannot write."""


def halved(network: Network) -> Network:
    """The same network with its weights rounded as `onnx_bytes(half=True)` stores them."""
    steps = tuple(replace(step, weight=_rounded(step.weight), raw=None) for step in network.graph.steps)
    return replace(network, graph=Graph(steps, network.graph.channels))


def _rounded(weight: Tensor | None) -> Tensor | None:
    if weight is None or weight.numel() < HALF_FROM:
        return weight
    return weight.float().half().to(weight.dtype)


def onnx_bytes(network: Network, *, half: bool) -> bytes:
    """The network as an ONNX file.

    Input: pixels (1, H, W, channels) uint8, as the preprocessing leaves them before the mean is subtracted. Outputs:
    scores (K,) float32, where the weights hold a classifier; maxima (C,) float32 and positions (C,) int32: of all
    channels of all layers, one layer after the other, the largest value over the positions and the flat index
    row · width + column of the first position that has it. half: whether large weights are stored in float16; biases
    never are.

    Raises NotInOnnx where the network has an operation that is not written here.
    """
    model: bytes = _model(network, half).SerializeToString(deterministic=True)
    return model


def _model(network: Network, half: bool) -> ModelProto:
    from onnx import TensorProto, helper

    writer = _Writer(half)
    _write_preparation(writer, network)
    shapes = network.graph.shapes(network.preprocessing.size)
    vectors: set[int] = set()  # steps whose output is (B, F)
    for index, step in enumerate(network.graph.steps):
        if step.op in ("flatten", "linear") or (step.op != "input" and vectors.issuperset(step.inputs)):
            vectors.add(index)
        if step.op != "input":
            names = [_step_name(i) for i in step.inputs]
            sides = shapes[step.inputs[0]][1:], shapes[index][1:]
            _write_step(_Place(writer, step, names, _step_name(index), *sides, index in vectors))
    outputs = _write_outputs(writer, network)
    pixels = helper.make_tensor_value_info(
        INPUT, TensorProto.UINT8, [1, *network.preprocessing.size, network.preprocessing.channels]
    )
    graph = helper.make_graph(writer.nodes, "network", [pixels], outputs, writer.tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    model.producer_name = "Residual Atlas"
    return model


class _Writer:
    """Nodes and tensors of the file so far. Every value has a name; that of a step's output is `step_name`."""

    def __init__(self, half: bool) -> None:
        self.half = half
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []
        self._count = 0

    def node(self, op: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """Add a node; returns the name of its output, which is a new one if left out."""
        from onnx import helper

        output = output or self._new_name("value")
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        """Add a tensor as it is; returns its name."""
        from onnx import numpy_helper

        name = self._new_name("tensor")
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weight(self, values: np.ndarray) -> str:
        """Add a float32 weight; returns the name of its value. If half precision is wanted, a large one is rounded as
        `halved` rounds it, and becomes float32 again by a node of its own."""
        from onnx import TensorProto

        if not self.half or values.size < HALF_FROM:
            return self.constant(values)
        with np.errstate(over="ignore"):  # what is above 65,504 becomes infinite, as in `halved`
            stored = values.astype(np.float16)
        return self.node("Cast", [self.constant(stored)], to=TensorProto.FLOAT)

    def joined(self, values: Sequence[str], output: str = "", *, axis: int) -> str:
        """Concatenate any number of values, by nodes of at most JOINED inputs."""
        while len(values) > JOINED:
            parts = [values[first : first + JOINED] for first in range(0, len(values), JOINED)]
            values = [self.node("Concat", part, axis=axis) if len(part) > 1 else part[0] for part in parts]
        return self.node("Concat", values, output, axis=axis)

    def number(self, value: float) -> str:
        """Add one float32 number."""
        return self.constant(np.array(value, np.float32))

    def _new_name(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"


def _step_name(index: int) -> str:
    return f"step{index}"


def _float32(tensor: Tensor) -> np.ndarray:
    array: np.ndarray = tensor.detach().to("cpu", torch.float32).numpy()
    return array


def _write_preparation(writer: _Writer, network: Network) -> None:
    """From pixels to the network's input, by the same float32 operations as `Network.prepare`."""
    from onnx import TensorProto

    preprocessing = network.preprocessing
    x = writer.node("Cast", [INPUT], to=TensorProto.FLOAT)
    x = writer.node("Mul", [x, writer.number(preprocessing.value_range / 255)])
    x = writer.node("Sub", [x, writer.constant(np.array(preprocessing.mean, np.float32))])
    x = writer.node("Div", [x, writer.constant(np.array(preprocessing.std, np.float32))])
    writer.node("Transpose", [x], _step_name(0), perm=[0, 3, 1, 2])


def _write_outputs(writer: _Writer, network: Network) -> list[Any]:
    """The scores, and the largest value of every channel with its position."""
    from onnx import TensorProto, helper

    maxima, positions = [], []
    for step in network.steps:
        flat = writer.node("Flatten", [_step_name(step)], axis=2)  # (C, H · W)
        maxima.append(writer.node("ReduceMax", [flat], axes=[1], keepdims=0))
        position = writer.node("ArgMax", [flat], axis=1, keepdims=0)
        positions.append(writer.node("Cast", [position], to=TensorProto.INT32))
    writer.joined(maxima, MAXIMA, axis=0)
    writer.joined(positions, POSITIONS, axis=0)
    channels = sum(layer.channels for layer in network.layers)
    outputs = [
        helper.make_tensor_value_info(MAXIMA, TensorProto.FLOAT, [channels]),
        helper.make_tensor_value_info(POSITIONS, TensorProto.INT32, [channels]),
    ]
    if network.outputs is not None:
        shape = writer.constant(np.array([network.outputs], np.int64))
        writer.node("Reshape", [_step_name(len(network.graph) - 1), shape], SCORES)
        outputs.append(helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, [network.outputs]))
    return outputs


@dataclass(frozen=True)
class _Place:
    """A step to be written. inputs: names of its inputs' values; output: of its own; before, after: height and width of
    its first input and of its output; is_vector: whether the output is (B, F)."""

    writer: _Writer
    step: Step
    inputs: Sequence[str]
    output: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    is_vector: bool

    def last(self, op: str, inputs: Sequence[str] | None = None, **attributes: Any) -> None:
        """Write the step's last node. inputs: the step's own if left out."""
        self.writer.node(op, self.inputs if inputs is None else inputs, self.output, **attributes)

    def weight(self, *shape: int) -> str:
        """Add the step's weight, of another shape if one is given."""
        assert self.step.weight is not None
        values = _float32(self.step.weight)
        return self.writer.weight(values.reshape(shape) if shape else values)

    def weight_and_bias(self) -> list[str]:
        """Add the step's weight, and its bias if it has one."""
        bias = self.step.bias
        return [self.weight(), *([] if bias is None else [self.writer.constant(_float32(bias))])]


def _write_step(place: _Place) -> None:
    if place.step.call is not None:
        _call(place)
    else:
        _STEPS[place.step.op](place)


def _windows(step: Step) -> dict[str, Any]:
    """The settings of an operation on windows."""
    return {"kernel_shape": [step.kernel] * 2, "strides": [step.stride] * 2, "pads": [step.padding] * 4}


def _convolution(place: _Place) -> None:
    step = place.step
    settings = {"dilations": [step.dilation] * 2, "group": step.groups}
    place.last("Conv", [*place.inputs, *place.weight_and_bias()], **_windows(step), **settings)


def _affine(place: _Place) -> None:
    bias = place.step.bias
    assert bias is not None
    each = (-1,) if place.is_vector else (-1, 1, 1)  # per channel, of a vector or of maps
    scaled = place.writer.node("Mul", [*place.inputs, place.weight(*each)])
    place.last("Add", [scaled, place.writer.constant(_float32(bias).reshape(each))])


def _relu(place: _Place) -> None:
    if place.step.limit == math.inf:
        place.last("Relu")
    else:
        place.last("Clip", [*place.inputs, place.writer.number(0), place.writer.number(place.step.limit)])


def _max_pool(place: _Place) -> None:
    """The padding after the map is as much as the last window needs: in ceil_mode the versions of ONNX differ."""
    step = place.step
    reach = step.dilation * (step.kernel - 1) + 1
    needed = [
        (after - 1) * step.stride + reach - before - step.padding
        for before, after in zip(place.before, place.after, strict=True)
    ]
    pads = [step.padding] * 2 + [max(step.padding, pad) for pad in needed]
    place.last("MaxPool", **{**_windows(step), "pads": pads}, dilations=[step.dilation] * 2)


def _average_pool(place: _Place) -> None:
    place.last("AveragePool", **_windows(place.step), count_include_pad=1)


def _adaptive_pool(place: _Place) -> None:
    height, width = place.before
    side = place.step.kernel
    if side == 1:
        place.last("GlobalAveragePool")
    elif height % side == width % side == 0:
        window = [height // side, width // side]
        place.last("AveragePool", kernel_shape=window, strides=window)
    else:
        raise NotInOnnx("a pooling to unequal parts of the map cannot be written as ONNX", place.step.scope)


def _linear(place: _Place) -> None:
    place.last("Gemm", [*place.inputs, *place.weight_and_bias()], transB=1)


def _pad(place: _Place) -> None:
    before, after = place.step.padding, place.step.after
    pads = np.array([0, 0, before, before, 0, 0, after, after], np.int64)
    place.last("Pad", [*place.inputs, place.writer.constant(pads)])


_STEPS: Mapping[str, Callable[[_Place], object]] = {
    "conv": _convolution,
    "affine": _affine,
    "relu": _relu,
    "max_pool": _max_pool,
    "avg_pool": _average_pool,
    "adaptive_pool": _adaptive_pool,
    "add": lambda place: place.last("Add"),
    "concat": lambda place: place.writer.joined(place.inputs, place.output, axis=1),
    "flatten": lambda place: place.last("Flatten", axis=1),
    "linear": _linear,
    "pad": _pad,
}


# -- other operations of torch: those that activations and gates are made of -------------------------------------------


def _silu(place: _Place) -> None:
    place.last("Mul", [*place.inputs, place.writer.node("Sigmoid", place.inputs)])


def _gelu(place: _Place) -> None:
    """x / 2 · (1 + erf(x / √2)); torch's other form of it, by tanh, is not written."""
    node, number = place.writer.node, place.writer.number
    error = node("Erf", [node("Mul", [*place.inputs, number(math.sqrt(0.5))])])
    half = node("Mul", [*place.inputs, number(0.5)])
    place.last("Mul", [half, node("Add", [error, number(1)])])


def _leaky_relu(place: _Place) -> None:
    assert place.step.call is not None
    settings = [x for x in place.step.call.arguments if not isinstance(x, Source)]
    place.last("LeakyRelu", alpha=float(settings[0] if settings else 0.01))


def _plain(op: str) -> Callable[[_Place], None]:
    return lambda place: place.last(op)


# By the operation's name: the node, and how many of its arguments may differ from torch's default.
_CALLS: Mapping[str, tuple[Callable[[_Place], None], int]] = {
    "silu": (_silu, 0),
    "gelu": (_gelu, 0),
    "leaky_relu": (_leaky_relu, 1),
    "hardswish": (_plain("HardSwish"), 0),
    "sigmoid": (_plain("Sigmoid"), 0),
    "tanh": (_plain("Tanh"), 0),
    "mul": (_plain("Mul"), 0),
}


def _call(place: _Place) -> None:
    call = place.step.call
    assert call is not None
    name = call.name.removesuffix("_")
    sources = tuple(x for x in call.arguments if isinstance(x, Source))
    write, settings = _CALLS.get(name, (None, 0))
    is_plain = sources == tuple(Source(n) for n in range(len(place.inputs))) and not call.tensors
    if write is None or not is_plain or len(call.arguments) - len(sources) > settings or call.keywords:
        raise NotInOnnx(f"the operation {call.name} cannot be written as ONNX", place.step.scope)
    write(place)

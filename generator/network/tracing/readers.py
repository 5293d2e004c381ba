"""Readers: each turns a call of one operation into a step, or returns None where the call needs torch (by_torch.py).
`READERS` lists them by the operation's name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.call import BatchSize
from generator.network.tracing.asked import Asked, Value
from generator.network.tracing.by_torch import by_torch
from generator.network.tracing.positions import MAP


def _square(value: Any) -> int | None:
    """A square size given as an int or a list; None if it is not square."""
    if isinstance(value, tuple):
        return value[0] if len(set(value)) == 1 and isinstance(value[0], int) else None
    return value if isinstance(value, int) else None


def _convolution(asked: Asked) -> Value | None:
    x, weight, bias = asked.input, asked.weight, asked.bias
    if not isinstance(x, Value) or not isinstance(weight, Tensor) or isinstance(bias, Value):
        return None  # a filter that depends on the picture
    kernel, stride, dilation = (
        _square(tuple(weight.shape[2:])),
        _square(asked.stride),
        _square(asked.dilation),
    )
    if kernel is None or stride is None or dilation is None or weight.dim() != 4:
        return None
    before = after = _square(asked.padding)
    if isinstance(asked.padding, str):
        total = dilation * (kernel - 1) if asked.padding == "same" else 0
        before, after = total // 2, total - total // 2
    if before is None or after is None:
        return None
    if before != after:
        height, width = x.shape[2:]
        assert height is not None
        assert width is not None
        padded = replace(asked, shape=(*x.shape[:2], height + before + after, width + before + after))
        x, before = padded.step("pad", x, padding=before, after=after), 0
    settings: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": before, "dilation": dilation}
    axes = x.axes if x.axes == MAP else None
    return asked.step(
        "conv", replace(x, axes=axes), weight=weight, bias=bias, groups=asked.groups, **settings
    )


def batch_norm(asked: Asked) -> Value | None:
    if asked.arguments.get("training", False) or asked.running_mean is None or asked.running_var is None:
        raise AtlasError("a BatchNorm without running statistics has no fixed scale", asked.scope)
    if not _on_channels(asked.input):
        return None
    mean, variance = asked.running_mean, asked.running_var
    gain = torch.ones_like(variance) if asked.weight is None else asked.weight
    shift = torch.zeros_like(mean) if asked.bias is None else asked.bias
    scale = gain.double() / (variance.double() + asked.eps).sqrt()
    bias = shift.double() - mean.double() * scale
    return asked.step("affine", asked.input, weight=scale, bias=bias, norm=asked.scope)


def _instance_norm(asked: Asked) -> Value | None:
    """One that has running statistics uses them outside training, as a BatchNorm does."""
    return None if asked.use_input_stats else batch_norm(asked)


def _on_channels(value: Value) -> bool:
    return len(value.shape) in (2, 4)


def _affine(asked: Asked, x: Value, scale: Tensor | float, shift: Tensor | float) -> Value | None:
    """scale · x + shift, each a number or a tensor of one number per channel; None for other tensors."""
    numbers = [_per_channel(x, number) for number in (scale, shift)]
    if not _on_channels(x) or numbers[0] is None or numbers[1] is None:
        return None
    weight, bias = torch.broadcast_tensors(numbers[0], numbers[1])
    if weight.is_meta or bias.is_meta:  # of a network without numbers
        weight, bias = weight.to("meta"), bias.to("meta")
    elif bool((weight == 1).all()) and bool((bias == 0).all()):
        return x
    return asked.step("affine", x, weight=weight.contiguous(), bias=bias.contiguous())


def _per_channel(x: Value, number: Tensor | float) -> Tensor | None:
    """(C,) or (1,) float64 of a number, or of a tensor that differs at most from channel to channel."""
    if isinstance(number, int | float):
        return torch.tensor([float(number)], dtype=torch.float64)
    if number.numel() == 1 and number.dim() <= len(x.shape):
        return number.double().reshape(1)
    place = number.dim() - (len(x.shape) - 1)  # of the channels among the tensor's axes
    if place not in (0, 1) or number.dim() > len(x.shape) or number.numel() != number.shape[place]:
        return None
    return number.double().reshape(-1) if number.shape[place] == x.shape[1] else None


def _is_fixed(value: Any) -> bool:
    return isinstance(value, Tensor | int | float) and not isinstance(value, bool)


def _add(asked: Asked) -> Value | None:
    return _sum(asked, asked.self, asked.other, float(asked.arguments.get("alpha", 1)))


def _subtract(asked: Asked) -> Value | None:
    return _sum(asked, asked.self, asked.other, -float(asked.arguments.get("alpha", 1)))


def _subtract_from(asked: Asked) -> Value | None:  # other − alpha · self
    one, other, alpha = asked.self, asked.other, -float(asked.arguments.get("alpha", 1))
    if _is_fixed(other) and isinstance(one, Value):
        return _affine(asked, one, alpha, other)
    return _sum(asked, other, one, alpha)


def _sum(asked: Asked, one: Any, other: Any, alpha: float) -> Value | None:
    """one + alpha · other."""
    if isinstance(one, Value) and _is_fixed(other):
        return _affine(asked, one, 1.0, (other.double() if isinstance(other, Tensor) else other) * alpha)
    if isinstance(other, Value) and _is_fixed(one):
        return _affine(asked, other, alpha, one)
    if not isinstance(one, Value) or not isinstance(other, Value) or one.shape != other.shape:
        return None
    if alpha != 1:
        scaled = _affine(asked, other, alpha, 0.0)
        if scaled is None:
            return None
        other = scaled
    return asked.step("add", (one, other), one.axes or other.axes)


def _multiply(asked: Asked) -> Value | None:
    one, other = asked.self, asked.other
    if isinstance(one, Value) and _is_fixed(other):
        return _affine(asked, one, other, 0.0)
    if isinstance(other, Value) and _is_fixed(one):
        return _affine(asked, other, one, 0.0)
    return None


def _divide(asked: Asked) -> Value | None:
    if not isinstance(asked.self, Value) or not _is_fixed(asked.other):
        return None
    if asked.arguments.get("rounding_mode") is not None:
        return None
    divisor = asked.other.double() if isinstance(asked.other, Tensor) else asked.other
    return _affine(asked, asked.self, 1 / divisor, 0.0)


def _copy(asked: Asked) -> Value | None:
    """What is written over a whole tensor takes its place."""
    return asked.src if isinstance(asked.src, Value) and asked.src.shape == asked.shape else None


def _negative(asked: Asked) -> Value | None:
    return _affine(asked, asked.self, -1.0, 0.0)


def _relu(asked: Asked) -> Value:
    return asked.step("relu", asked.self)


def _bounded(asked: Asked) -> Value | None:
    """hardtanh, relu6 and clamp, where the lower bound is zero."""
    low = asked.arguments.get("min_val", asked.arguments.get("min", 0))
    high = asked.arguments.get("max_val", asked.arguments.get("max", 6 if asked.name == "relu6" else None))
    if low != 0 or not isinstance(high, int | float | None) or (high is not None and high <= 0):
        return None
    return asked.step("relu", asked.self, limit=math.inf if high is None else float(high))


def _activation(asked: Asked) -> Value:
    return by_torch(asked, op="activation")


def _max_pool(asked: Asked) -> Value | None:
    kernel, padding, dilation = (_square(asked.arguments[n]) for n in ("kernel_size", "padding", "dilation"))
    stride = kernel if asked.stride in (None, ()) else _square(asked.stride)
    if not asked.self.is_map or None in (kernel, padding, dilation, stride):
        return None
    settings: dict[str, Any] = {
        "kernel": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
    }
    return asked.step("max_pool", asked.self, ceil_mode=asked.ceil_mode, **settings)


def _average_pool(asked: Asked) -> Value | None:
    kernel, padding = _square(asked.kernel_size), _square(asked.padding)
    stride = kernel if asked.stride in (None, ()) else _square(asked.stride)
    sides = asked.self.shape[2:]
    if not asked.self.is_map or kernel is None or stride is None or padding is None:
        return None
    if asked.divisor_override is not None or (padding and not asked.count_include_pad):
        return None
    if sides == (kernel, kernel) and not padding:
        return asked.step("adaptive_pool", replace(asked.self, axes=None), kernel=1)  # of the whole map
    if asked.ceil_mode and any((side + 2 * padding - kernel) % stride for side in sides):
        return None  # the last windows hang over the map's end
    return asked.step("avg_pool", asked.self, kernel=kernel, stride=stride, padding=padding)


def _adaptive_pool(asked: Asked) -> Value | None:
    side = _square(asked.output_size)
    if side is None or len(asked.self.shape) != 4:
        return None
    return asked.step("adaptive_pool", replace(asked.self, axes=None), kernel=side)


def _mean(asked: Asked) -> Value | None:
    """The mean over both axes of a map."""
    x, dims = asked.self, asked.arguments.get("dim")
    if len(x.shape) != 4 or dims is None or {dim % 4 for dim in dims} != {2, 3}:
        return None
    pooled = replace(asked, shape=(*x.shape[:2], 1, 1))
    value = pooled.step("adaptive_pool", replace(x, axes=None), kernel=1)
    return value if asked.keepdim else asked.step("flatten", value)


def _flat(asked: Asked) -> Value | None:
    """Any reshaping of a map to (B, F), or to the shape that it has."""
    x = asked.self
    if asked.shape == x.shape:
        return x
    if len(x.shape) == 4 and len(asked.shape) == 2 and x.shape[0] is asked.shape[0] is None:
        return asked.step("flatten", x)
    first = asked.reading.shaped.get(x.step)
    if first is not None and first.is_pooled and asked.shape == first.shape[:2]:
        return asked.step("flatten", first)  # rows, then columns left out
    return None


def _linear(asked: Asked) -> Value | None:
    if not asked.input.is_vector or not isinstance(asked.weight, Tensor) or isinstance(asked.bias, Value):
        return None
    return asked.step("linear", asked.input, weight=asked.weight, bias=asked.bias)


def _concat(asked: Asked) -> Value | None:
    parts = asked.tensors
    if not all(isinstance(part, Value) for part in parts) or len({len(part.shape) for part in parts}) > 1:
        return None
    rank = len(parts[0].shape)
    if rank not in (2, 4) or asked.arguments.get("dim", 0) % rank != 1:
        return None
    return asked.step("concat", parts, next((part.axes for part in parts if part.axes), None))


def _slice(asked: Asked) -> Value | None:
    """The whole of an axis is the input itself; every s-th row and column is a max-pooling of windows of one."""
    x, reading = asked.self, asked.reading
    dim, start, end, step = asked.dim % len(x.shape), asked.start or 0, asked.end, asked.arguments["step"]
    size = x.shape[dim]
    if start or (end is not None and (isinstance(end, BatchSize) or (size is not None and 0 <= end < size))):
        return None
    if step == 1 and (end is None or size is not None or end >= 2**31):
        return x
    before = reading.steps[x.step]
    if dim == 3 and before.call is not None and before.call.target == "aten.slice.Tensor":
        rows = before.call.arguments
        if tuple(rows[1:3]) in ((2, 0), (-2, 0)) and rows[4:] == (step,) and rows[3] >= 2**31:
            source = before.inputs[0]
            return asked.step("max_pool", replace(x, step=source), kernel=1, stride=step)
    return None


def _pad(asked: Asked) -> Value | None:
    """Zeros around a map, or channels of zeros."""
    x, widths = asked.self, tuple(asked.pad)
    fill = asked.arguments.get("value") or 0
    if asked.arguments.get("mode", "constant") != "constant" or fill != 0 or len(x.shape) != 4:
        return None
    if not all(isinstance(width, int) and width >= 0 for width in widths):
        return None
    left, right, top, bottom, before, after = (*widths, *[0] * 6)[:6]
    if len(widths) > 6 and any(widths[6:]):
        return None
    if not any(widths):
        return x
    if not (before or after):
        return asked.step("pad", x, padding=left, after=right) if (left, right) == (top, bottom) else None
    if left or right or top or bottom:
        return None
    return _channels_of_zeros(asked, x, before, after)


def _channels_of_zeros(asked: Asked, x: Value, before: int, after: int) -> Value:
    """The shortcut of arXiv:1512.03385, section 4.2, option A, as a convolution with one weight of 1 per channel, which
    is exact: it multiplies by one and adds zeros. The stride that comes before it becomes its own."""
    stride, pool = 1, asked.reading.steps[x.step]
    if pool.op == "max_pool" and (pool.kernel, pool.padding) == (1, 0):
        x, stride = replace(x, step=pool.inputs[0]), pool.stride
    channels = x.shape[1]
    assert channels is not None
    weight = torch.zeros(before + channels + after, channels, 1, 1)
    weight[torch.arange(channels) + before, torch.arange(channels)] = 1
    return asked.step("conv", x, weight=weight, stride=stride)


def _identity(asked: Asked) -> Value:
    value: Value = next(value for value in asked.arguments.values() if isinstance(value, Value))
    return value


def _as_type(asked: Asked) -> Value | None:
    """A change of the numbers' type is the input itself: the graph computes all in one type."""
    floating = torch.empty(0, dtype=asked.node.meta["val"].dtype).is_floating_point()
    return _identity(asked) if floating else None


# By the operation's name without its overload; the same for the operation in place.
READERS: dict[str, Callable[[Asked], Value | None]] = {
    "conv2d": _convolution,
    "batch_norm": batch_norm,
    "instance_norm": _instance_norm,
    "add": _add,
    "sub": _subtract,
    "rsub": _subtract_from,
    "mul": _multiply,
    "div": _divide,
    "neg": _negative,
    "copy": _copy,
    "relu": _relu,
    **dict.fromkeys(("hardtanh", "relu6", "clamp", "clamp_min"), _bounded),
    **dict.fromkeys(
        ("leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish", "hardswish", "softplus", "rrelu"),
        _activation,
    ),
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "adaptive_avg_pool2d": _adaptive_pool,
    "mean": _mean,
    **dict.fromkeys(("flatten", "view", "reshape", "_unsafe_view", "squeeze", "select"), _flat),
    "linear": _linear,
    **dict.fromkeys(("cat", "concat"), _concat),
    "slice": _slice,
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(
        ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "detach", "contiguous", "clone",
         "alias", "lift_fresh", "lift_fresh_copy"),
        _identity,
    ),
    **dict.fromkeys(("to", "_to_copy"), _as_type),
}  # fmt: skip

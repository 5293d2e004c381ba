"""From torch's calls to steps.

A reader turns one call into a step; `READERS` lists them by the operation's name. A call without a reader, and one
whose reader returns None, becomes a step that torch runs (ops.Torch)."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor, fx

from generator.core.errors import AtlasError
from generator.network.call import BatchSize, Call, Constant, Source
from generator.network.ops import OpName, Step
from generator.network.tracing.exported import Exported, name_of, path_of
from generator.network.tracing.positions import MAP, Axes, Shape, placed


@dataclass(frozen=True)
class Value:
    """The output of a step. shape: (B, …), None for the batch and what depends on it; axes: of the rows and of the
    columns, None where positions have been lost."""

    step: int
    shape: Shape
    axes: Axes | None

    @property
    def is_map(self) -> bool:
        return len(self.shape) == 4 and self.axes == MAP

    @property
    def is_vector(self) -> bool:
        return len(self.shape) == 2

    @property
    def is_pooled(self) -> bool:
        """Whether it is a map of one position, (B, C, 1, 1)."""
        return len(self.shape) == 4 and self.shape[2:] == (1, 1)


@dataclass
class Reading:
    """The steps so far, and what stands for each node: a Value, a fixed Tensor, a BatchSize, a number, or several of
    them. shaped: of a step that only reshapes, what it reshaped first of all."""

    alone: bool
    steps: list[Step] = field(default_factory=list)
    values: dict[fx.Node, Any] = field(default_factory=dict)
    shaped: dict[int, Value] = field(default_factory=dict)

    def add(self, step: Step, shape: Shape, axes: Axes | None) -> Value:
        self.steps.append(step)
        return Value(len(self.steps) - 1, shape, axes)

    def of(self, argument: Any) -> Any:
        """An argument with what stands for its nodes."""
        if isinstance(argument, fx.Node):
            return self.values[argument]
        if isinstance(argument, list | tuple):
            return tuple(self.of(part) for part in argument)
        return argument

    def rename(self, old: Value, new: Value) -> None:
        """After an operation in place, every name of its input means its output."""
        for node, value in self.values.items():
            if isinstance(value, Value) and value.step == old.step:
                self.values[node] = new


@dataclass(frozen=True)
class Asked:
    """A call to read. arguments: what it is called with, by the names of torch's schema, defaults included; shape: of
    its output; scope: the path of the module that calls."""

    name: str
    node: fx.Node
    arguments: dict[str, Any]
    shape: Shape
    scope: str
    reading: Reading

    def __getattr__(self, name: str) -> Any:
        try:
            return self.arguments[name]
        except KeyError:
            raise AttributeError(name) from None

    def step(
        self, op: OpName, source: Value | Sequence[Value], axes: Axes | None = None, **settings: Any
    ) -> Value:
        """A new step; axes: those of the (first) source unless given, lost where the map became one position."""
        sources = [source] if isinstance(source, Value) else list(source)
        axes = axes or sources[0].axes
        if len(self.shape) < 3:
            axes = None
        inputs = tuple(value.step for value in sources)
        return self.reading.add(Step(op, inputs, self.scope, **settings), self.shape, axes)


def steps_of(exported: Exported) -> tuple[tuple[Step, ...], int]:
    """All steps in forward order, and which of them is the output. Raises AtlasError for a network whose output does
    not depend on the picture."""
    reading = Reading(exported.alone)
    reading.values.update(exported.constants)
    for node in exported.nodes:
        if node in exported.constants:
            continue
        if node.op == "placeholder":
            shape = _shape(node.meta["val"])
            reading.values[node] = reading.add(Step("input", (), ""), shape, MAP)
        elif node.op == "call_function":
            reading.values[node] = _read(node, reading)
        else:
            raise AtlasError("the network cannot be read: it holds another program", f"{node.op} {node.name}")
    output = reading.values[exported.output]
    if not isinstance(output, Value):
        raise AtlasError("the network's output does not depend on the picture")
    return tuple(reading.steps), output.step


def _shape(value: Any) -> Shape:
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _read(node: fx.Node, reading: Reading) -> Any:
    """What stands for a call."""
    result = node.meta.get("val")
    if isinstance(result, torch.SymInt):
        return _batch_size(result)
    if node.target is operator.getitem:
        several, number = (reading.of(argument) for argument in node.args)
        return several[number] if isinstance(several, tuple) else several.pick(number)
    arguments = _arguments(node, reading)
    scope, name = path_of(node), name_of(node)
    if _draws(node, arguments):
        raise AtlasError(
            f"the network draws random numbers outside training too ({name})",
            scope,
            "draw them in training alone, as F.dropout(x, p, self.training) does",
        )
    if not _has_value(arguments.values()):
        return _fixed(node, reading)
    in_place = name.endswith("_") and not name.endswith("__")
    asked = Asked(name.rstrip("_") if in_place else name, node, arguments, (), scope, reading)
    if isinstance(result, Tensor):
        asked = replace(asked, shape=_shape(result))
        reader = READERS.get(asked.name)
        value = _shaped_back(asked) or (None if reader is None else reader(asked)) or _by_torch(asked)
        if in_place:
            reading.rename(next(iter(arguments.values())), value)
        return value
    if not isinstance(result, list | tuple):
        raise _unknown(asked)
    return _Several(asked, tuple(_shape(part) for part in result))


def _shaped_back(asked: Asked) -> Value | None:
    """What a reshaping gives its first shape back to: rows and columns that were one axis in between are two again."""
    source = asked.arguments.get("self")
    if asked.name not in ("view", "reshape", "_unsafe_view") or not isinstance(source, Value):
        return None
    first = asked.reading.shaped.get(source.step)
    alike = first is not None and first.shape == asked.shape and asked.shape.count(None) == 1
    return first if alike else None


def _draws(node: fx.Node, arguments: dict[str, Any]) -> bool:
    """Whether a call's result is random: of dropout and its like, where it is not switched off."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return False
    if torch.Tag.nondeterministic_seeded not in node.target.tags:
        return False
    switches = [arguments[name] for name in ("train", "training", "dropout_p") if name in arguments]
    return all(switches) and arguments.get("p") != 0


def _has_value(arguments: Any) -> bool:
    """Whether anything among nested arguments depends on the picture or on the batch."""
    return any(
        isinstance(argument, Value | _Several | BatchSize)
        or (isinstance(argument, tuple) and _has_value(argument))
        for argument in arguments
    )


def _arguments(node: fx.Node, reading: Reading) -> dict[str, Any]:
    """Arguments by the names of torch's schema, defaults included."""
    if not isinstance(node.target, torch._ops.OpOverload):
        return {f"_{number}": reading.of(argument) for number, argument in enumerate(node.args)}
    arguments: dict[str, Any] = {}
    for number, argument in enumerate(node.target._schema.arguments):
        if number < len(node.args):
            arguments[argument.name] = reading.of(node.args[number])
        elif argument.name in node.kwargs:
            arguments[argument.name] = reading.of(node.kwargs[argument.name])
        elif argument.has_default_value():
            default = argument.default_value
            arguments[argument.name] = tuple(default) if isinstance(default, list) else default
    return arguments


def _batch_size(size: torch.SymInt) -> BatchSize:
    """A size that depends on the batch alone, as times · B + plus, for an input (B, …)."""
    expression = size.node.expr
    (symbol,) = expression.free_symbols
    one, two, three = (int(expression.subs(symbol, number)) for number in (1, 2, 3))
    if three - two != two - one:
        raise AtlasError(
            "the network's sizes depend on the number of pictures in another way", str(expression)
        )
    return BatchSize(two - one, 2 * one - two)


@torch.no_grad()
def _fixed(node: fx.Node, reading: Reading) -> Any:
    """The value of a call that depends on weights alone (of a standardised filter, say), in float64."""
    assert callable(node.target)
    keywords = {name: _exact(reading.of(value)) for name, value in node.kwargs.items()}
    return _tupled(node.target(*(_exact(reading.of(argument)) for argument in node.args), **keywords))


def _exact(argument: Any) -> Any:
    if isinstance(argument, tuple):
        return [_exact(part) for part in argument]
    if isinstance(argument, Tensor) and argument.is_floating_point():
        return argument.double()
    return torch.float64 if argument in (torch.float32, torch.float16, torch.bfloat16) else argument


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else value


# -- operations that torch runs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Several:
    """A call with several outputs, of which `pick` makes a step each."""

    asked: Asked
    shapes: tuple[Shape, ...]

    def pick(self, number: int) -> Value:
        asked = replace(self.asked, shape=self.shapes[number])
        if asked.name == "_native_batch_norm_legit_no_training":
            return _batch_norm(asked) or _by_torch(asked, number)
        return _by_torch(asked, number)


# Every memory layout is allowed here; torch's view refuses some.
_SAFE = {"aten.view.default": "aten.reshape.default", "aten._unsafe_view.default": "aten.reshape.default"}


def _by_torch(asked: Asked, pick: int | None = None, op: Literal["torch", "activation"] = "torch") -> Value:
    """A step that torch runs."""
    node, reading = asked.node, asked.reading
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        raise _unknown(asked)
    taken = _Taken()
    arguments = tuple(taken(reading.of(argument)) for argument in node.args)
    keywords = tuple((name, taken(reading.of(value))) for name, value in node.kwargs.items())
    if not taken.sources:  # a tensor whose size is the batch's
        taken.sources.append(next(value for value in reading.values.values() if isinstance(value, Value)))
    elif taken.needs_batch:
        found = _batch_axis(node, reading, taken.sources[0])
        arguments = _measured(arguments, *found)
        keywords = tuple((name, _measured(value, *found)) for name, value in keywords)
    place = placed(asked.name, asked.arguments, taken.sources, asked.shape, target)
    call = Call(
        _functional(target),
        arguments,
        keywords,
        tuple(taken.tensors),
        pick,
        follows=place.follows,
        beyond=place.beyond,
        is_local=place.is_local,
        enlarges=place.enlarges,
        alone=reading.alone,
    )
    inputs = tuple(value.step for value in taken.sources)
    source = taken.sources[0]
    drops_axis = asked.name in ("squeeze", "select") and source.is_pooled and asked.shape == source.shape[:3]
    if drops_axis or asked.name in ("view", "reshape", "_unsafe_view"):
        reading.shaped[len(reading.steps)] = reading.shaped.get(source.step, source)
    settings: dict[str, Any] = {
        "kernel": place.kernel,
        "stride": place.stride,
        "padding": place.padding,
        "dilation": place.dilation,
    }
    return reading.add(Step(op, inputs, asked.scope, call=call, **settings), asked.shape, place.axes)


def _batch_axis(node: fx.Node, reading: Reading, source: Value) -> tuple[int, int]:
    """How many numbers a call's first source has for each picture along an axis, and along which."""
    for argument in node.all_input_nodes:
        value = reading.values[argument]
        if isinstance(value, Value) and value.step == source.step:
            sizes = argument.meta["val"].shape
            for axis, size in enumerate(sizes):
                if isinstance(size, torch.SymInt) and (per := _batch_size(size)).plus == 0:
                    return per.times, axis
    return 1, 0


def _measured(argument: Any, per: int, axis: int) -> Any:
    """An argument whose sizes of the batch are read off such an axis."""
    if isinstance(argument, BatchSize):
        return replace(argument, per=per, axis=axis)
    return tuple(_measured(part, per, axis) for part in argument) if isinstance(argument, tuple) else argument


def _unknown(asked: Asked) -> AtlasError:
    where = f"{asked.name} in {asked.scope or 'the network'}"
    return AtlasError("the network uses an operation that the atlas does not know", where)


@functools.cache
def _functional(target: torch._ops.OpOverload) -> str:
    """The operation's name below torch.ops; of one in place, the same operation that makes a new tensor."""
    namespace, _, name = target._schema.name.partition("::")
    overload = target._overloadname
    if name.endswith("_") and not name.endswith("__"):
        packet = getattr(getattr(torch.ops, namespace), name[:-1])
        name = name[:-1]
        if overload not in packet.overloads():
            overload = packet.overloads()[0]
    text = f"{namespace}.{name}.{overload}"
    return _SAFE.get(text, text)


class _Taken:
    """Replaces values by Source and tensors by Constant, and collects them. needs_batch: whether the batch's size is
    among the arguments."""

    def __init__(self) -> None:
        self.sources: list[Value] = []
        self.tensors: list[Tensor] = []
        self.needs_batch = False

    def __call__(self, argument: Any) -> Any:
        if isinstance(argument, _Several):
            raise AtlasError("the network uses an operation on several tensors that the atlas does not know")
        if isinstance(argument, Value):
            known = next((n for n, value in enumerate(self.sources) if value.step == argument.step), None)
            if known is None:
                known = len(self.sources)
                self.sources.append(argument)
            return Source(known)
        if isinstance(argument, Tensor):
            self.tensors.append(argument)
            return Constant(len(self.tensors) - 1)
        if isinstance(argument, tuple):
            return tuple(self(part) for part in argument)
        self.needs_batch |= isinstance(argument, BatchSize)
        return argument


# -- readers -------------------------------------------------------------------------------------------------


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


def _batch_norm(asked: Asked) -> Value | None:
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
    return None if asked.use_input_stats else _batch_norm(asked)


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
    return _by_torch(asked, op="activation")


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
    "batch_norm": _batch_norm,
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

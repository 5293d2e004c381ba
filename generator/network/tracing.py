"""From a torch module to the graph of its steps, by torch.fx.

`trace` takes a module and returns a Graph. No other code depends on how a module is read, except architecture.py, which
counts parameters by `nodes`. A reader turns one traced call into a Step: `MODULES` lists the readers by the module's
class, `FUNCTIONS` by the function or method.

A BatchNorm in eval mode is a fixed scale and shift per channel. It is folded, in float64, into the convolution before
it where nothing else reads that convolution; otherwise it becomes an `affine` step."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from generator.core.errors import AtlasError
from generator.network.graph import Graph
from generator.network.ops import Step
from generator.network.zero_padding import ZeroPadShortcut


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, ZeroPadShortcut) or super().is_leaf_module(module, qualified_name)


def nodes(module: nn.Module) -> list[fx.Node]:
    """torch.fx's own nodes of a module in eval mode, in forward order; raises AtlasError where it cannot be traced."""
    try:
        return list(_Tracer().trace(module.eval()).nodes)
    except Exception as error:  # torch.fx raises many types of error; to the user all mean this one
        raise AtlasError(
            f"the network cannot be traced by torch.fx ({error})", type(module).__name__
        ) from error


def trace(module: nn.Module) -> Graph:
    """The steps of a module in eval mode, BatchNorms folded.

    Raises AtlasError where the module cannot be traced, or for an operation or module that the atlas does not know.
    """
    modules = dict(module.named_modules())
    steps: list[Step] = []
    numbers: dict[fx.Node, int] = {}  # of the step that makes each node's value
    scope = ""
    for node in nodes(module):
        if node.op == "output":
            break
        if node.op == "placeholder":
            numbers[node] = len(steps)
            steps.append(Step("input", (), ""))
            continue
        # A functional call has no module of its own: it belongs to the innermost module that calls it.
        stack = node.meta.get("nn_module_stack")
        scope = str(node.target) if node.op == "call_module" else (list(stack)[-1] if stack else scope)
        inputs = tuple(numbers[argument] for argument in node.all_input_nodes)
        if node.op == "call_module":
            step = _step_of_module(modules[str(node.target)], inputs, scope)
        else:
            step = _step_of_call(_Call(node, inputs, numbers, scope))
        if step is None:  # dropout and identity return their input
            numbers[node] = inputs[0]
            continue
        numbers[node] = len(steps)
        steps.append(step)
    return _fold(Graph(tuple(steps)))


# -- functions and methods -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """A traced call of a function or method. inputs: the steps it reads, each once; numbers: the step that makes each
    node's value; scope: the path of the module that calls."""

    node: fx.Node
    inputs: tuple[int, ...]
    numbers: dict[fx.Node, int]
    scope: str

    def unknown(self) -> AtlasError:
        where = f"{self.node.target} in {self.scope or 'the network'}"
        return AtlasError("the network uses an operation that the atlas does not know", where)


def _step_of_call(call: _Call) -> Step | None:
    reader = FUNCTIONS.get(call.node.target)
    if reader is None:
        raise call.unknown()
    return reader(call)


def _add(call: _Call) -> Step:
    # Of the arguments, not of all_input_nodes: `x + x` reads one node twice.
    terms = tuple(call.numbers[arg] for arg in call.node.args if isinstance(arg, fx.Node))
    if len(terms) != 2:
        raise call.unknown()
    return Step("add", terms, call.scope)


def _multiply(call: _Call) -> Step | None:
    """A multiplication of one map by one number."""
    factors = [arg for arg in call.node.args if isinstance(arg, int | float)]
    if len(call.inputs) != 1 or len(factors) != 1:
        raise call.unknown()
    weight = torch.tensor(factors, dtype=torch.float64)
    return (
        None if factors == [1] else Step("affine", call.inputs, call.scope, weight, torch.zeros_like(weight))
    )


def _relu(call: _Call) -> Step:
    return Step("relu", call.inputs, call.scope)


def _flatten(call: _Call) -> Step:
    return Step("flatten", call.inputs, call.scope)


def _concat(call: _Call) -> Step:
    parts: Any = call.node.args[0]
    return Step("concat", tuple(call.numbers[part] for part in parts), call.scope)


def _adaptive_pool(call: _Call) -> Step:
    return Step("adaptive_pool", call.inputs, call.scope, kernel=_square(call.node.args[1]))


def _max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> None:  # fmt: skip
    """The signature of torch's function, which recent torch no longer exposes to `inspect`."""


def _max_pool(call: _Call) -> Step:
    bound = inspect.signature(_max_pool2d).bind(*call.node.args, **call.node.kwargs)
    bound.apply_defaults()
    arguments = bound.arguments
    if arguments["return_indices"]:
        raise call.unknown()
    kernel = _square(arguments["kernel_size"])
    return Step(
        "max_pool",
        call.inputs,
        call.scope,
        kernel=kernel,
        stride=kernel if arguments["stride"] in (None, []) else _square(arguments["stride"]),
        padding=_square(arguments["padding"]),
        dilation=_square(arguments["dilation"]),
        ceil_mode=arguments["ceil_mode"],
    )


def _identity(call: _Call) -> None:
    return None


# By torch's function, or by a method's name. A reader returns None for a call that returns its input.
FUNCTIONS: dict[Any, Callable[[_Call], Step | None]] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), _add),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), _multiply),
    **dict.fromkeys((F.relu, torch.relu, F.relu_, torch.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys((torch.cat, torch.concat), _concat),
    F.adaptive_avg_pool2d: _adaptive_pool,
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _max_pool),
    F.dropout: _identity,
}


# -- modules -------------------------------------------------------------------------------------------------


def _step_of_module(module: nn.Module, inputs: tuple[int, ...], scope: str) -> Step | None:
    for kind, reader in MODULES.items():
        if isinstance(module, kind):
            return reader(module, inputs, scope)
    raise AtlasError(
        "the network uses a module that the atlas does not know", f"{type(module).__name__} at {scope}"
    )


def _convolution(module: nn.Conv2d, inputs: tuple[int, ...], scope: str) -> Step:
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        raise AtlasError("only zero padding given in pixels is supported", scope)
    return Step(
        "conv",
        inputs,
        scope,
        module.weight.detach(),
        None if module.bias is None else module.bias.detach(),
        kernel=_square(module.kernel_size),
        stride=_square(module.stride),
        padding=_square(module.padding),
        dilation=_square(module.dilation),
        groups=module.groups,
    )


def _batch_norm(module: nn.BatchNorm1d | nn.BatchNorm2d, inputs: tuple[int, ...], scope: str) -> Step:
    if module.running_mean is None or module.running_var is None:
        raise AtlasError("a BatchNorm without running statistics has no fixed scale", scope)
    gain = torch.ones_like(module.running_var) if module.weight is None else module.weight.detach()
    shift = torch.zeros_like(module.running_mean) if module.bias is None else module.bias.detach()
    scale = gain.double() / (module.running_var.double() + module.eps).sqrt()
    return Step("affine", inputs, scope, scale, shift.double() - module.running_mean.double() * scale)


def _max_pool_module(module: nn.MaxPool2d, inputs: tuple[int, ...], scope: str) -> Step:
    return Step(
        "max_pool",
        inputs,
        scope,
        kernel=_square(module.kernel_size),
        stride=_square(module.stride),
        padding=_square(module.padding),
        dilation=_square(module.dilation),
        ceil_mode=module.ceil_mode,
    )


def _average_pool(module: nn.AvgPool2d, inputs: tuple[int, ...], scope: str) -> Step:
    if module.ceil_mode or module.divisor_override or (module.padding and not module.count_include_pad):
        raise AtlasError("only average pooling that counts every position is supported", scope)
    kernel, padding = _square(module.kernel_size), _square(module.padding)
    return Step("avg_pool", inputs, scope, kernel=kernel, stride=_square(module.stride), padding=padding)


def _linear(module: nn.Linear, inputs: tuple[int, ...], scope: str) -> Step:
    bias = None if module.bias is None else module.bias.detach()
    return Step("linear", inputs, scope, module.weight.detach(), bias)


# Subclasses count too. A reader returns None for a module that returns its input in eval mode.
MODULES: dict[type[nn.Module], Callable[[Any, tuple[int, ...], str], Step | None]] = {
    nn.Conv2d: _convolution,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm1d: _batch_norm,
    ZeroPadShortcut: lambda module, inputs, scope: Step(
        "conv", inputs, scope, module.as_convolution(), None, stride=module.stride
    ),
    nn.ReLU: lambda module, inputs, scope: Step("relu", inputs, scope),
    nn.MaxPool2d: _max_pool_module,
    nn.AvgPool2d: _average_pool,
    nn.AdaptiveAvgPool2d: lambda module, inputs, scope: Step(
        "adaptive_pool", inputs, scope, kernel=_square(module.output_size)
    ),
    nn.Linear: _linear,
    nn.Flatten: lambda module, inputs, scope: Step("flatten", inputs, scope),
    nn.Identity: lambda module, inputs, scope: None,
    nn.Dropout: lambda module, inputs, scope: None,
}


def _square(value: Any) -> int:
    """A square size given as an int or a pair; raises AtlasError if it is not square."""
    if isinstance(value, (tuple, list)):
        if len(set(value)) != 1:
            raise AtlasError(f"only square kernels, strides and paddings are supported, not {tuple(value)}")
        value = value[0]
    return int(value)


# -- folding -------------------------------------------------------------------------------------------------


def _fold(graph: Graph) -> Graph:
    """The graph with each affine step folded into the convolution or linear step before it, where nothing else reads
    that."""
    steps = list(graph.steps)
    remaining: list[int] = []
    replaced_by: dict[int, int] = {}  # the convolution that stands in for a folded affine step
    for index, step in enumerate(steps):
        step = replace(step, inputs=tuple(replaced_by.get(i, i) for i in step.inputs))
        steps[index] = step
        source = step.inputs[0] if step.inputs else -1
        foldable = step.op == "affine" and steps[source].op in ("conv", "linear")
        if foldable and graph.consumers[source] == [index]:
            steps[source] = _folded(steps[source], step)
            replaced_by[index] = source
        else:
            remaining.append(index)
    return Graph(tuple(steps)).keep(remaining)


def _folded(step: Step, affine: Step) -> Step:
    assert step.weight is not None
    assert affine.weight is not None
    assert affine.bias is not None
    # The scope stays the convolution's (conv1): a BatchNorm's (bn1) names no layer.
    scale, shift = affine.weight.expand(len(step.weight)), affine.bias.expand(len(step.weight))
    weight = step.weight.double() * scale.view(-1, *[1] * (step.weight.dim() - 1))
    bias = shift if step.bias is None else shift + step.bias.double() * scale
    return replace(step, weight=weight, bias=bias, norm=affine.scope)

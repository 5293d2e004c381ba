"""Calls that have no class of operations of their own: torch runs them, on whole maps (call.py)."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, fx

from generator.core.errors import AtlasError
from generator.network.call import BatchSize, Call, Constant, Source
from generator.network.ops import Step
from generator.network.tracing.asked import (
    Asked,
    Reading,
    Several,
    Value,
    batch_size,
    unknown_operation,
)
from generator.network.tracing.positions import placed

# Every memory layout is allowed here; torch's view refuses some.
_SAFE = {"aten.view.default": "aten.reshape.default", "aten._unsafe_view.default": "aten.reshape.default"}


def by_torch(asked: Asked, pick: int | None = None, op: Literal["torch", "activation"] = "torch") -> Value:
    """A step that torch runs."""
    node, reading = asked.node, asked.reading
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        raise unknown_operation(asked)
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
                if isinstance(size, torch.SymInt) and (per := batch_size(size)).plus == 0:
                    return per.times, axis
    return 1, 0


def _measured(argument: Any, per: int, axis: int) -> Any:
    """An argument whose sizes of the batch are read off such an axis."""
    if isinstance(argument, BatchSize):
        return replace(argument, per=per, axis=axis)
    return tuple(_measured(part, per, axis) for part in argument) if isinstance(argument, tuple) else argument


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
        if isinstance(argument, Several):
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

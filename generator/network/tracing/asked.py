"""What a reader of a call is given: the values so far, and what the call asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from generator.core.errors import AtlasError
from generator.network.call import BatchSize
from generator.network.ops import OpName, Step
from generator.network.tracing.positions import MAP, Axes, Shape


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


@dataclass(frozen=True)
class Several:
    """A call with several outputs, of which `reading.picked` makes a step each."""

    asked: Asked
    shapes: tuple[Shape, ...]


def batch_size(size: torch.SymInt) -> BatchSize:
    """A size that depends on the batch alone, as times · B + plus, for an input (B, …)."""
    expression = size.node.expr
    (symbol,) = expression.free_symbols
    one, two, three = (int(expression.subs(symbol, number)) for number in (1, 2, 3))
    if three - two != two - one:
        raise AtlasError(
            "the network's sizes depend on the number of pictures in another way", str(expression)
        )
    return BatchSize(two - one, 2 * one - two)


def unknown_operation(asked: Asked) -> AtlasError:
    where = f"{asked.name} in {asked.scope or 'the network'}"
    return AtlasError("the network uses an operation that the atlas does not know", where)

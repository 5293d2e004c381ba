"""A call of one of torch's operations as a step of a graph: its name and its arguments, some of which are the outputs
of other steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """In a call's arguments: the step's n-th input."""

    number: int


@dataclass(frozen=True)
class Constant:
    """In a call's arguments: the call's n-th tensor, a weight or another fixed one."""

    number: int


@dataclass(frozen=True)
class BatchSize:
    """In a call's arguments: times · B + plus, for a batch of B pictures. The step's first input has per · B numbers
    along `axis`."""

    times: int
    plus: int = 0
    per: int = 1
    axis: int = 0


@dataclass(frozen=True)
class Call:
    """A call of one of torch's operations.

    target: its name below torch.ops ("aten.mul.Tensor"); arguments, keywords: numbers, strings, None, nested tuples,
    and Source, Constant, BatchSize where the outputs of other steps, tensors and the batch's size stand; tensors: the
    constants; pick: which of several outputs is meant, None where there is one.

    Where the output's positions lie: follows: the inputs whose positions are the output's, () where none are;
    beyond: whether an output position also depends on all other positions of these inputs; is_local: whether inputs
    and output are (B, C, H, W) and a position depends on the same position alone, an input of one position on that;
    enlarges: how many output positions, per side, stand for one input position, below 1 where the map is reduced.
    alone: whether it can be called for one picture at a time only.
    """

    target: str
    arguments: tuple[Any, ...]
    keywords: tuple[tuple[str, Any], ...] = ()
    tensors: tuple[Tensor, ...] = field(default=(), repr=False)
    pick: int | None = None
    follows: tuple[int, ...] = ()
    beyond: bool = False
    is_local: bool = False
    enlarges: float = 1
    alone: bool = False

    def __call__(self, inputs: Sequence[Tensor]) -> Tensor:
        """The output for the outputs of the step's sources; the first of them tells the batch's size."""
        if self.alone and len(inputs[0]) > 1:
            return torch.cat(
                [self._called(picture) for picture in zip(*(x.split(1) for x in inputs), strict=True)]
            )
        return self._called(inputs)

    def _called(self, inputs: Sequence[Tensor]) -> Tensor:
        put = _Put(inputs, self.tensors)
        result = self.operation(*map(put, self.arguments), **{name: put(x) for name, x in self.keywords})
        output: Tensor = result if self.pick is None else result[self.pick]
        return output

    @property
    def operation(self) -> Callable[..., Any]:
        """torch's function."""
        value: Any = torch.ops
        for name in self.target.split("."):
            value = getattr(value, name)
        operation: Callable[..., Any] = value
        return operation

    @property
    def name(self) -> str:
        """The operation's name alone: "mul" of "aten.mul.Tensor"."""
        return self.target.split(".")[1]

    @property
    def reads_numbers(self) -> bool:
        """Whether the result depends on the numbers of the step's inputs, not on the batch's size alone."""

        def is_read(argument: Any) -> bool:
            return (
                any(map(is_read, argument)) if isinstance(argument, tuple) else isinstance(argument, Source)
            )

        return is_read(self.arguments) or any(is_read(value) for _, value in self.keywords)

    @property
    def words(self) -> str:
        """All that the result depends on besides inputs and tensors."""
        return repr((self.target, self.arguments, self.keywords, self.pick))

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Call:
        """The same call with its tensors on a device. Floating-point numbers become this type, also where the call asks
        for a type of its own: a network in float64 computes in float64 throughout. So does the device that it asks for.
        """

        def moved(argument: Any) -> Any:
            match argument:
                case tuple():
                    return tuple(moved(part) for part in argument)
                case torch.dtype() if argument.is_floating_point:
                    return dtype
                case torch.device():
                    return torch.device(device)
                case _:
                    return argument

        tensors = tuple(x.to(device, dtype if x.is_floating_point() else x.dtype) for x in self.tensors)
        keywords = tuple((name, moved(value)) for name, value in self.keywords)
        return replace(self, tensors=tensors, arguments=moved(self.arguments), keywords=keywords)


@dataclass(frozen=True)
class _Put:
    """Puts values in the place of Source, Constant and BatchSize."""

    inputs: Sequence[Tensor]
    tensors: Sequence[Tensor]

    def __call__(self, argument: Any) -> Any:
        match argument:
            case Source(number):
                return self.inputs[number]
            case Constant(number):
                return self.tensors[number]
            case BatchSize(times, plus, per, axis):
                return times * self.inputs[0].shape[axis] // per + plus
            case tuple():
                return [self(part) for part in argument]
            case _:
                return argument

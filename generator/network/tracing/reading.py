"""From torch's calls to steps: each call is read by its reader (readers.py), or becomes a step that torch runs
(by_torch.py); calls that depend on weights alone are computed."""

from __future__ import annotations

import operator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from generator.core.errors import AtlasError
from generator.network.call import BatchSize
from generator.network.ops import Step
from generator.network.tracing.asked import (
    Asked,
    Reading,
    Several,
    Value,
    batch_size,
    unknown_operation,
)
from generator.network.tracing.by_torch import by_torch
from generator.network.tracing.exported import Exported, name_of, path_of
from generator.network.tracing.positions import MAP, Shape
from generator.network.tracing.readers import READERS, batch_norm


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
        return batch_size(result)
    if node.target is operator.getitem:
        several, number = (reading.of(argument) for argument in node.args)
        return several[number] if isinstance(several, tuple) else _picked(several, number)
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
        value = _shaped_back(asked) or (None if reader is None else reader(asked)) or by_torch(asked)
        if in_place:
            reading.rename(next(iter(arguments.values())), value)
        return value
    if not isinstance(result, list | tuple):
        raise unknown_operation(asked)
    return Several(asked, tuple(_shape(part) for part in result))


def _picked(several: Several, number: int) -> Value:
    """One output of a call with several."""
    asked = replace(several.asked, shape=several.shapes[number])
    if asked.name == "_native_batch_norm_legit_no_training":
        return batch_norm(asked) or by_torch(asked, number)
    return by_torch(asked, number)


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
        isinstance(argument, Value | Several | BatchSize)
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

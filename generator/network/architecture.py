"""A module's blueprint: its volumes from the graph, its cost by torch's own counter."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from generator.core.blueprint import HEAD, Blueprint, Shortcut, Volume
from generator.core.records import Size
from generator.network.graph import Graph
from generator.network.layers import is_learned, step_of
from generator.network.receptive_field import receptive_fields
from generator.network.tap import Tap
from generator.network.tracing import trace


def blueprint(model: str, module: nn.Module, taps: Sequence[Tap], size: Size) -> Blueprint:
    """The volumes of a module for pictures of this height and width, with parameters and multiply-adds.

    The module may lie on the meta device: geometry and costs need no numbers, and none are computed.
    """
    module = _without_numbers(module).eval()
    graph = trace(module, size)
    named = _named_steps(graph, taps)
    shapes = graph.shapes(size)
    fields = receptive_fields(graph)
    parameters = _parameters(graph, module)
    costs, total = _multiply_adds(module, (graph.channels, *size))
    volumes: list[Volume] = []
    stage, block = 1, ""
    for index, step in enumerate(graph.steps):
        if not step.kind.drawn or (step.op == "concat" and len(step.inputs) == 1):
            continue
        tap, field = named.get(index), fields[index]
        if tap is not None:
            stage, block = tap.stage, tap.block or tap.name
        if field is None:
            stage, block = HEAD, ""
        owns = step.op in ("conv", "linear")
        channels, height, width = shapes[index]
        volumes.append(
            Volume(
                op=step.op,  # type: ignore[arg-type]  # those that are drawn are the kinds of volumes
                name="" if tap is None else tap.name,
                path=step.scope if tap is None else tap.path,
                block=block if step.op in ("conv", "add", "concat") else "",
                stage=stage,
                shortcut=_shortcut(graph, module, index),
                kernel=step.kernel,
                stride=step.stride,
                padding=step.padding,
                groups=step.groups,
                channels_in=shapes[step.inputs[0]][0] if step.inputs else 0,
                channels=channels,
                height=height,
                width=width,
                parameters=parameters[step.scope] if owns else 0,
                multiply_adds=costs.get(step.scope, 0) if owns else 0,
                field=0 if field is None else field.side,
                jump=0 if field is None else field.stride,
                rectified=_rectified(graph, index),
            )
        )
    count = sum(parameter.numel() for parameter in module.parameters())
    side = size[0] if size[0] == size[1] else size
    return Blueprint(model, side, shapes[-1][0], count, total, tuple(volumes))


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy of a module on the meta device."""
    tensors = [*module.parameters(), *module.buffers()]
    for part in module.modules():  # also tensors that are no buffers
        tensors += [value for value in vars(part).values() if isinstance(value, torch.Tensor)]
    memo: dict[int, Any] = {}
    for tensor in tensors:
        blank = torch.empty_like(tensor.detach(), device="meta")
        memo[id(tensor)] = nn.Parameter(blank) if isinstance(tensor, nn.Parameter) else blank
    copied: nn.Module = copy.deepcopy(module, memo)
    return copied


def cost(module: nn.Module, side: int, channels: int = 3) -> dict[str, int]:
    """Parameters and multiply-adds of a module on the meta device for a map of `channels` × side × side."""
    module = module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.empty(1, channels, side, side, device="meta"))
    count = sum(parameter.numel() for parameter in module.parameters())
    return {"parameters": count, "multiply_adds": counter.get_total_flops() // 2}


def _named_steps(graph: Graph, taps: Sequence[Tap]) -> dict[int, Tap]:
    """Taps by the step that makes their map before any norm or ReLU: the convolution itself, or a block's addition."""
    named: dict[int, Tap] = {}
    for tap in taps:
        index = step_of(graph, tap)
        while graph.steps[index].op in ("relu", "affine"):
            index = graph.steps[index].inputs[0]
        named[index] = tap
    return named


def _rectified(graph: Graph, index: int) -> bool:
    readers = graph.consumers[index]
    return len(readers) == 1 and graph.steps[readers[0]].op == "relu"


# -- shortcuts -----------------------------------------------------------------------------------------------


def _shortcut(graph: Graph, module: nn.Module, index: int) -> Shortcut:
    """The kind of shortcut: of an addition, that of the shorter of its two paths; of a convolution, if it lies on such
    a path; '' otherwise."""
    step = graph.steps[index]
    if step.op == "conv":
        reader = next((i for i in graph.consumers[index] if graph.steps[i].op == "add"), None)
        if reader is None or index not in _ways(graph, reader)[0]:
            return ""
        return _kind_of(graph, module, [index])
    return _kind_of(graph, module, _ways(graph, index)[0]) if step.op == "add" else ""


def _kind_of(graph: Graph, module: nn.Module, way: list[int]) -> Shortcut:
    convolutions = [graph.steps[i] for i in way if graph.steps[i].op == "conv"]
    if not convolutions:
        return "identity"
    learned = any(is_learned(module.get_submodule(step.scope)) for step in convolutions)
    return "projection" if learned else "zero padding"


def _ways(graph: Graph, addition: int) -> list[list[int]]:
    """The steps that lead from where an addition's two paths part to each of its inputs, the shorter path first."""
    ways = []
    for source in graph.steps[addition].inputs:
        way = []
        while len(graph.consumers[source]) == 1 and graph.steps[source].inputs:
            way.append(source)
            source = graph.steps[source].inputs[0]
        ways.append(way)
    return sorted(ways, key=lambda way: sum(graph.steps[i].op == "conv" for i in way))


# -- costs ---------------------------------------------------------------------------------------------------


def _multiply_adds(module: nn.Module, shape: tuple[int, int, int]) -> tuple[dict[str, int], int]:
    """Multiply-adds by module path, and of the whole module, for an input of this shape; torch counts each as two
    FLOPs."""
    blank = torch.empty(1, *shape, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(blank)
    root = f"{type(module).__name__}."
    counts = {
        path.removeprefix(root): sum(by_operation.values()) // 2
        for path, by_operation in counter.get_flop_counts().items()
    }
    return counts, counter.get_total_flops() // 2


def _parameters(graph: Graph, module: nn.Module) -> dict[str, int]:
    """Parameters by the path of a convolution or linear layer, each with those of its norm: the norm behind it, or in
    pre-activation networks before it."""
    counts: defaultdict[str, int] = defaultdict(int)
    counted: set[str] = set()
    for index, step in enumerate(graph.steps):
        if step.op in ("conv", "linear") and step.scope not in counted:
            counted.add(step.scope)
            counts[step.scope] += _count(module, step.scope)
        if step.norm:
            own = graph.steps[step.inputs[0]] if step.op == "affine" else step
            path = own.scope if own.op in ("conv", "linear") else _first_reader(graph, index)
            counts[path] += _count(module, step.norm)
    return counts


def _count(module: nn.Module, path: str) -> int:
    return sum(parameter.numel() for parameter in module.get_submodule(path).parameters(recurse=False))


def _first_reader(graph: Graph, index: int) -> str:
    """The first convolution or linear layer that a norm's output reaches, directly or through other steps."""
    waiting = list(graph.consumers[index])
    while waiting:
        reader = waiting.pop(0)
        if graph.steps[reader].op in ("conv", "linear"):
            return graph.steps[reader].scope
        waiting += graph.consumers[reader]
    return ""

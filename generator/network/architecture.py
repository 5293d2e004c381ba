"""A module's blueprint: its volumes from the graph, its cost by torch's own counter."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from generator.core.blueprint import HEAD, Blueprint, Shortcut, Volume
from generator.core.records import Size
from generator.network.copying import copied
from generator.network.graph import Graph
from generator.network.layers import is_learned, step_of
from generator.network.ops import Step
from generator.network.receptive_field import receptive_fields
from generator.network.residual import find_residual
from generator.network.tap import Tap
from generator.network.tracing import trace

# Operations of torch with weights of their own, besides those that have a class in ops.py.
_WEIGHTED = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "matmul")


def blueprint(
    model: str, module: nn.Module, taps: Sequence[Tap], size: Size, graph: Graph | None = None
) -> Blueprint:
    """The volumes of a module for pictures of this height and width, with parameters and multiply-adds.

    The module may lie on the meta device: geometry and costs need no numbers, and none are computed. graph: the
    module's, where it has been traced already.
    """
    module = copied(module, lambda tensor: torch.empty_like(tensor, device="meta")).eval()
    graph = graph or trace(module, size)
    named = _named_steps(graph, taps)
    shapes = graph.shapes(size)
    fields = receptive_fields(graph)
    parameters = _parameters(graph, module)
    costs, total = _multiply_adds(module, (graph.channels, *size))
    calls = Counter(step.scope for step in graph.steps if _owns(step))
    ends = max((index for index, field in enumerate(fields) if field is not None), default=0)
    # Also where both terms of the addition read the projection, as with a gated shortcut.
    projections = [tap for tap in taps if tap.kind == "projection"]
    projected = {name for tap in projections for name in (tap.name, tap.block)}
    volumes: list[Volume] = []
    stage, block = 1, ""
    for index, step in enumerate(graph.steps):
        if not (step.kind.drawn or _owns(step)) or (step.op == "concat" and len(step.inputs) == 1):
            continue
        tap, field = named.get(index), fields[index]
        if tap is not None:
            stage, block = tap.stage, tap.block or tap.name
        if index > ends:
            stage, block = HEAD, ""
        inside = (
            step.op in ("conv", "add", "concat") or step.call is not None or (field is None and index < ends)
        )
        channels, height, width = _as_map(step, shapes[index])
        volumes.append(
            Volume(
                op="other" if step.call is not None else step.op,  # type: ignore[arg-type]  # those that are drawn
                name="" if tap is None else tap.name,
                path=step.scope if tap is None else tap.path,
                block=block if inside else "",
                stage=stage,
                shortcut="projection"
                if tap is not None and tap.name in projected
                else ("" if field is None else _shortcut(graph, module, index)),
                kernel=step.kernel,
                stride=step.stride,
                padding=step.padding,
                groups=step.groups,
                channels_in=shapes[step.inputs[0]][0] if step.inputs else 0,
                channels=channels,
                height=height,
                width=width,
                # A module that is called several times has its parameters once.
                parameters=parameters.pop(step.scope, 0) if _owns(step) else 0,
                multiply_adds=costs.get(step.scope, 0) // calls[step.scope] if _owns(step) else 0,
                field=0 if field is None else field.side,
                jump=0 if field is None else field.stride,
                rectified=_rectified(graph, index),
            )
        )
    count = sum(parameter.numel() for parameter in module.parameters())
    side = size[0] if size[0] == size[1] else size
    return Blueprint(model, side, shapes[-1][0], count, total, tuple(volumes))


def _owns(step: Step) -> bool:
    """Whether the step multiplies by weights of its own module: a convolution or a linear layer, of any kind."""
    if step.call is None:
        return step.op in ("conv", "linear")
    return step.call.name in _WEIGHTED and bool(step.call.tensors)


def _as_map(step: Step, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """(C, H, W) of an output whose channels come last."""
    if step.call is None or step.call.name != "linear" or shape[1:] == (1, 1):
        return shape
    return shape[2], shape[0], shape[1]


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
        while graph.steps[index].is_rectifier or graph.steps[index].op == "affine":
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
        if reader is None or index not in _way_past(graph, reader):
            return ""
        return _kind_of(graph, module, [index])
    if step.op != "add" or find_residual(graph, index) is None:
        return ""
    return _kind_of(graph, module, _way_past(graph, index))


def _kind_of(graph: Graph, module: nn.Module, way: list[int]) -> Shortcut:
    convolutions = [graph.steps[i] for i in way if graph.steps[i].op == "conv"]
    if not convolutions:
        return "identity"
    learned = any(is_learned(module.get_submodule(step.scope)) for step in convolutions)
    return "projection" if learned else "zero padding"


def _way_past(graph: Graph, addition: int) -> list[int]:
    """The steps of the shortcut that ends at an addition, () where neither of its paths is one."""
    residual = find_residual(graph, addition)
    if residual is None:
        return []
    before = set(graph.leading_to([residual.fork]))
    return [index for index in graph.leading_to([residual.shortcut]) if index not in before]


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
    owners = [step.scope for step in graph.steps if _owns(step)]
    counts: defaultdict[str, int] = defaultdict(int)
    holders: dict[
        str, str
    ] = {}  # by the path of a module with parameters: the path that they are counted with
    for index, step in enumerate(graph.steps):
        if _owns(step):
            holders.setdefault(step.scope, step.scope)
        norms = [step.norm] if step.norm else [] if _owns(step) else [step.scope]
        for path in norms:
            source = step if _owns(step) else graph.steps[step.inputs[0]] if step.inputs else step
            holders.setdefault(path, source.scope if _owns(source) else _first_reader(graph, index))
    seen: set[int] = set()
    for path, part in module.named_modules():
        own = [parameter for parameter in part.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(map(id, own))
        # Parameters of a reparametrised weight belong to modules inside the layer's own.
        holder = holders.get(path) or next((o for o in owners if path.startswith(f"{o}.")), "")
        counts[holder] += sum(parameter.numel() for parameter in own)
    return counts


def _first_reader(graph: Graph, index: int) -> str:
    """The first convolution or linear layer that a norm's output reaches, directly or through other steps."""
    waiting = list(graph.consumers[index])
    while waiting:
        reader = waiting.pop(0)
        if _owns(graph.steps[reader]):
            return graph.steps[reader].scope
        waiting += graph.consumers[reader]
    return ""

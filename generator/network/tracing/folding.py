"""Fixed norms folded into the convolutions before them."""

from __future__ import annotations

from dataclasses import replace

from generator.network.graph import Graph
from generator.network.ops import Step


def folded(graph: Graph) -> Graph:
    """The graph with each affine step folded, in float64, into the convolution or linear step before it, where nothing
    else reads that."""
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
    return Graph(tuple(steps), graph.channels).keep(remaining)


def _folded(step: Step, affine: Step) -> Step:
    assert step.weight is not None
    assert affine.weight is not None
    assert affine.bias is not None
    # The scope stays the convolution's (conv1): a BatchNorm's (bn1) names no layer.
    scale, shift = affine.weight.expand(len(step.weight)), affine.bias.expand(len(step.weight))
    weight = step.weight.double() * scale.view(-1, *[1] * (step.weight.dim() - 1))
    bias = shift if step.bias is None else shift + step.bias.double() * scale
    raw = step.weight if step.raw is None else step.raw
    return replace(step, weight=weight, bias=bias, norm=step.norm or affine.norm, raw=raw)

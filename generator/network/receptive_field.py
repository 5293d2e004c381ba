"""Theoretical receptive fields, by walking the graph (the arithmetic of arXiv:1603.07285, with padding and strides)."""

from __future__ import annotations

from generator.core.records import ReceptiveField
from generator.network.graph import Graph

POSITIONAL = {"conv", "max_pool", "avg_pool"}


def receptive_fields(graph: Graph) -> list[ReceptiveField | None]:
    """One field a step; None where a step sees the whole picture (global pooling, the classifier)."""
    fields: list[ReceptiveField | None] = []
    for step in graph.steps:
        sources = [fields[i] for i in step.inputs]
        known = [source for source in sources if source is not None]
        if step.op == "input":
            fields.append(ReceptiveField(1, 1, 0.0))
        elif step.op in ("adaptive_pool", "flatten", "linear") or len(known) < len(sources):
            fields.append(None)
        elif step.op in POSITIONAL:
            fields.append(_through_window(known[0], step.kernel, step.stride, step.padding, step.dilation))
        else:
            # Joined paths (addition, concatenation) have one grid; the field of the sum is the widest of them.
            fields.append(max(known, key=lambda field: field.side))
    return fields


def _through_window(
    field: ReceptiveField, kernel: int, stride: int, padding: int, dilation: int
) -> ReceptiveField:
    reach = (kernel - 1) * dilation
    return ReceptiveField(
        side=field.side + reach * field.stride,
        stride=field.stride * stride,
        centre=field.centre + (reach / 2 - padding) * field.stride,
    )

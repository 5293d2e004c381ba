"""Theoretical receptive fields, by walking the graph (the arithmetic of arXiv:1603.07285, with padding and strides)."""

from __future__ import annotations

from generator.core.records import ReceptiveField
from generator.network.graph import Graph


def receptive_fields(graph: Graph) -> list[ReceptiveField | None]:
    """One field per step; None where a step sees the whole picture (global pooling, the classifier)."""
    fields: list[ReceptiveField | None] = []
    for step in graph.steps:
        fields.append(step.kind.receptive_field(step, [fields[i] for i in step.inputs]))
    return fields

"""Theoretical receptive fields, by walking the graph (the arithmetic of arXiv:1603.07285, with padding and strides)."""

from __future__ import annotations

from generator.core.records import ReceptiveField
from generator.network.graph import Graph

NOTHING = ReceptiveField(0, 1, 0.0)  # narrower than any other: what it meets decides the field


def receptive_fields(graph: Graph) -> list[ReceptiveField | None]:
    """One field per step; None where a step sees the whole picture (global pooling, the classifier), NOTHING where it
    depends on no picture."""
    fields: list[ReceptiveField | None] = []
    for step, sees in zip(graph.steps, graph.seeing, strict=True):
        sources = [fields[i] for i in step.inputs]
        fields.append(step.kind.receptive_field(step, sources) if sees else NOTHING)
    return fields

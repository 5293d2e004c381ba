"""The gradient of single units by torch's automatic differentiation of the whole graph: the way for layers behind an
operation that the cones (cones.py) do not know, such as a product of two maps, a norm over positions or a GELU.

Every unit has a forward and a backward pass of its picture, so this takes longer than the cones. It is as exact. The
network always runs on batches of one size, the last one filled up by repetition, so that a unit's gradient does not
depend on the other units."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from generator.engine.gradients.switches import Units
from generator.engine.relu_rules import ReluRule, rectified
from generator.network.graph import Graph, maps_layout

AT_ONCE = 16  # units a batch, at most


class WholeMaps:
    """The units of step `top` of a graph. memory: bytes that one batch of units may take."""

    def __init__(self, graph: Graph, top: int, memory: int) -> None:
        self.graph, self.memory = graph.until(top), memory
        steps = len(self.graph)
        self._last_use = [max(readers, default=steps) for readers in self.graph.consumers]
        self._of_pictures: dict[tuple[int, ...], list[tuple[int, ...]]] = {}

    def maps(self, pictures: Tensor, rule: ReluRule) -> Tensor:
        """The step's output for pictures (B, C, H, W), whose gradient follows the rule."""
        values = {0: pictures}
        for index, step in enumerate(self.graph.steps):
            if step.op == "input":
                continue
            inputs = [values[source] for source in step.inputs]
            values[index] = rectified(step, inputs[0], rule) if step.is_rectifier else step.run(*inputs)
            for source in step.inputs:
                if self._last_use[source] == index:
                    values.pop(source, None)
        return values[len(self.graph) - 1]

    def gradients(self, pictures: Tensor, units: Units, rule: ReluRule) -> Iterator[tuple[slice, Tensor]]:
        """The gradients of the units' values at their whole pictures, (u, C, H, W), with the indices of the units.
        pictures: (P, C, H, W), of which the units count theirs."""
        batch, layout = self.batch(pictures), maps_layout(pictures.device, pictures.dtype)
        for start in range(0, len(units), batch):
            chosen = torch.arange(start, start + batch).clamp(max=len(units) - 1)
            part = units.take(chosen.to(units.picture.device)).to(pictures.device)
            count = min(batch, len(units) - start)
            with torch.enable_grad():
                seen = pictures[part.picture].contiguous(memory_format=layout).requires_grad_()
                maps = self.maps(seen, rule)
                every = torch.arange(batch, device=maps.device)
                values = maps[every, part.channel, part.row, part.column]
                (gradient,) = torch.autograd.grad(values.sum(), seen)
            yield slice(start, start + count), gradient[:count]

    def size(self, pictures: Tensor) -> tuple[int, int, int]:
        """(C, H, W) of the step's output for such pictures."""
        _, channels, height, width = self._shapes(pictures)[-1]
        return channels, height, width

    def batch(self, pictures: Tensor) -> int:
        """How many units run at once: from the memory of all maps and of their gradients, one number for such
        pictures."""
        numbers = sum(math.prod(shape) for shape in self._shapes(pictures))
        return max(1, min(AT_ONCE, self.memory // (2 * numbers * pictures.element_size())))

    def _shapes(self, pictures: Tensor) -> list[tuple[int, ...]]:
        key = tuple(pictures.shape[1:])
        if key not in self._of_pictures:
            ran = self.graph.to("meta", torch.float32).run(torch.empty(1, *key, device="meta"))
            self._of_pictures[key] = [tuple(output.shape) for _, output in ran]
        return self._of_pictures[key]

"""The gradient of one output of the network per picture, at the maps of several layers at once.

It is torch's automatic differentiation of the network's steps, so it holds for every head and every operation. What
lies below the first of these layers needs no gradient and keeps no map."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from generator.network.graph import Graph
from generator.network.ops import Step

# Steps whose output automatic differentiation does not keep, so that the ReLU behind them may overwrite it.
_NOT_KEPT = ("conv", "add", "affine")


def _run(step: Step, inputs: list[Tensor], *, in_place: bool) -> Tensor:
    x = inputs[0]
    if step.op == "max_pool" and x.is_cuda and x.is_contiguous(memory_format=torch.channels_last):
        # In this layout the pooling's backward pass adds in no fixed order on a GPU.
        return step.run(x.contiguous()).contiguous(memory_format=torch.channels_last)
    return step.run(*inputs, in_place=in_place)


class OutputGradient:
    """The steps of a graph from the pictures to its outputs. watched: the steps at whose maps gradients are wanted."""

    def __init__(self, graph: Graph, watched: Collection[int]) -> None:
        self.graph, self.watched = graph, frozenset(watched)
        self._order = graph.leading_to([len(graph) - 1])
        used = set(self._order)
        self._last_use = {
            i: max((r for r in graph.consumers[i] if r in used), default=i) for i in self._order
        }

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The outputs (B, K) for pictures (B, channels, H, W), and the map of every watched step that leads to them;
        the outputs can be differentiated by these maps."""
        values: dict[int, Tensor] = {0: pictures}
        maps: dict[int, Tensor] = {}
        with torch.enable_grad():
            for index in self._order:
                step = self.graph.steps[index]
                if step.op != "input":
                    inputs = [values[source] for source in step.inputs]
                    values[index] = _run(step, inputs, in_place=self._may_overwrite(index))
                if index in self.watched:
                    if not values[index].requires_grad:
                        values[index] = values[index].detach().requires_grad_()
                    maps[index] = values[index]
                for source in step.inputs:
                    if self._last_use[source] == index:
                        values.pop(source, None)
            return values[self._order[-1]].flatten(1), maps

    def _may_overwrite(self, index: int) -> bool:
        step = self.graph.steps[index]
        source = step.inputs[0]
        alone = len(self.graph.consumers[source]) == 1 and source not in self.watched
        return step.op == "relu" and alone and self.graph.steps[source].op in _NOT_KEPT

    def gradients(self, scores: Tensor, maps: dict[int, Tensor]) -> dict[int, Tensor]:
        """The gradients of each picture's score, (B,), at every map that `forward` gave; the scores follow from the
        outputs that it gave with them."""
        found = torch.autograd.grad(scores.sum(), tuple(maps.values()), allow_unused=True)
        return {
            index: torch.zeros_like(of) if gradient is None else gradient
            for (index, of), gradient in zip(maps.items(), found, strict=True)
        }

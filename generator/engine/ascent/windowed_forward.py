"""A forward pass that automatic differentiation may follow, over nothing but what an objective sees.

The objective reads one position of a step's map, or all of it. Every step below computes only the window of its
own map that the objective sees: no padding but the network's own, at the picture's true border. So the value and
its gradient are those of the whole network on the whole picture, at a fraction of the cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.gradients.cones import Window
from generator.engine.gradients.transposed import FEW_CHANNELS, TransposedConvolution
from generator.network.graph import Graph
from generator.network.ops import Step

WINDOWED = ("conv", "max_pool", "avg_pool")
GLOBAL = ("adaptive_pool", "flatten", "linear")

# How a gradient passes a ReLU: "plain", the true one; "guided" (arXiv:1412.6806); "deconvnet" (arXiv:1311.2901);
# "leaky": the true one, and LEAK of it where the input was not positive, which wakes units that are silent.
ReluRule = Literal["plain", "guided", "deconvnet", "leaky"]
LEAK = 0.1


@dataclass(frozen=True)
class Span:
    """Positions first … end − 1 along one axis of a map (the same for rows and columns)."""

    first: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.first

    def joined(self, other: Span) -> Span:
        return Span(min(self.first, other.first), max(self.end, other.end))

    def within(self, other: Span) -> slice:
        """Where these positions lie in a tensor that holds the other's."""
        return slice(self.first - other.first, self.end - other.first)


class ConeWalk:
    """The steps that lead to step `top` of a graph, each with the window that is needed of it, for square pictures of
    `side` px.

    position: (row and column alike) of the one unit that the objective reads; None: it reads the whole map. The
    weights are as the graph has them; no gradient is ever computed for them. span: what of the picture is seen; extent:
    positions along one side of each step's whole map; channels: of each step's map.
    """

    def __init__(self, graph: Graph, top: int, side: int, position: int | None = None) -> None:
        self.graph, self.top = graph, top
        shapes = graph.shapes(side, top)
        self.extent = [height for _, height, _ in shapes]
        self.channels = [channels for channels, _, _ in shapes]
        if position is not None and not 0 <= position < self.extent[top]:
            raise AtlasError(
                f"the map has no position {position}", f"step {top}", f"it has {self.extent[top]}"
            )
        whole = Span(0, self.extent[top])
        self.spans = {top: whole if position is None else Span(position, position + 1)}
        for index in range(top, -1, -1):
            if index not in self.spans:
                continue
            step = graph.steps[index]
            for source in step.inputs:
                seen = _seen(step, self.spans[index], self.extent[source])
                self.spans[source] = self.spans[source].joined(seen) if source in self.spans else seen
        self.order = sorted(self.spans)
        self._readers = {i: [r for r in graph.consumers[i] if r in self.spans] for i in self.order}
        self._summed = {i for i in self.order if self._is_summed(i)}
        # A map is let go of after its last reader; an addition that is done by its ReLU reads when that does.
        when = {i: self._readers[i][0] if i in self._summed else i for i in self.order}
        self._last = {i: max((when[r] for r in self._readers[i]), default=-1) for i in self.order}
        self._pixels = {
            i: TransposedConvolution(graph.steps[i]) for i in self.order if _is_slow_backward(graph.steps[i])
        }

    @property
    def numbers(self) -> int:
        """How many numbers all windows of one picture hold: what a gradient's way back may keep."""
        return sum(self.channels[i] * self.spans[i].size ** 2 for i in self.order)

    @property
    def multiplications(self) -> int:
        """How many the convolutions do for one picture, on the way there."""
        weights = ((i, self.graph.steps[i].weight) for i in self.order if self.graph.steps[i].op == "conv")
        return sum(self.spans[i].size ** 2 * weight.numel() for i, weight in weights if weight is not None)

    def _is_summed(self, index: int) -> bool:
        """Whether a step is the addition of two different maps that one ReLU alone reads."""
        step, readers = self.graph.steps[index], self._readers[index]
        alone = len(readers) == 1 and self.graph.steps[readers[0]].op == "relu" and index != self.top
        return step.op == "add" and len(set(step.inputs)) == 2 and alone

    @property
    def span(self) -> Span:
        """The part of the picture that the objective sees: rows and columns alike."""
        return self.spans[0]

    def __call__(
        self, seen: Tensor, rule: ReluRule = "plain", watched: dict[int, Tensor] | None = None
    ) -> Tensor:
        """The window of step `top`'s map, (B, C, h, h), from the window `span` of the network's input, (B, 3, n, n); of
        a classifier's step its scores, (B, K). watched: the values of the steps that are its keys are put there."""
        values: dict[int, Tensor] = {0: seen}
        for index in self.order[1:]:
            step = self.graph.steps[index]
            if index in self._summed:  # the ReLU behind it does the addition too
                continue
            values[index] = self._run(step, index, values, rule)
            if watched is not None and index in watched:
                watched[index] = values[index]
            for source in [source for source in values if self._last[source] == index]:
                del values[source]
        return values[self.top]

    def _run(self, step: Step, index: int, values: dict[int, Tensor], rule: ReluRule) -> Tensor:
        span = self.spans[index]
        if step.op in WINDOWED:
            source = step.inputs[0]
            return self._window(index, values[source], self.spans[source], self.extent[source])
        if step.op in GLOBAL:
            return step.run(values[step.inputs[0]])
        if step.op == "relu" and (add := step.inputs[0]) in self._summed:
            return _SummedRelu.apply(
                *(self._part(i, span, values) for i in self.graph.steps[add].inputs), rule
            )
        parts = [self._part(source, span, values) for source in step.inputs]
        return relu(parts[0], rule) if step.op == "relu" else step.run(*parts)

    def _part(self, source: int, span: Span, values: dict[int, Tensor]) -> Tensor:
        """Positions `span` of a map of which at least those are held."""
        inside = span.within(self.spans[source])
        return values[source] if self.spans[source] == span else values[source][:, :, inside, inside]

    def _window(self, index: int, x: Tensor, held: Span, extent: int) -> Tensor:
        """The window of a convolution or pooling; x holds the positions `held` of its input's map."""
        step, span = self.graph.steps[index], self.spans[index]
        pixels = self._pixels.get(index)
        if pixels is None and held == Span(0, extent) and span.size == self.extent[index]:
            return step.run(x)  # the whole map: the step's own padding is the right one
        first = span.first * step.stride - step.padding
        end = (span.end - 1) * step.stride - step.padding + (step.kernel - 1) * step.dilation + 1
        inside = Span(max(first, 0), min(end, extent)).within(held)
        x = x[:, :, inside, inside]
        before, after = max(-first, 0), max(end - extent, 0)
        if before or after:
            ground = -torch.inf if step.op == "max_pool" else 0.0
            x = F.pad(x, (before, after, before, after), value=ground)
        if pixels is not None:
            return _FewChannels.apply(x, pixels)
        if step.op == "conv":
            assert step.weight is not None
            return F.conv2d(x, step.weight, step.bias, step.stride, 0, step.dilation, step.groups)
        if step.op == "max_pool":
            return F.max_pool2d(x, step.kernel, step.stride, 0, step.dilation)
        return F.avg_pool2d(x, step.kernel, step.stride)


def _is_slow_backward(step: Step) -> bool:
    """Whether torch's backward pass of a convolution wastes most of each register: strided, of a few channels."""
    if step.op != "conv" or step.weight is None or step.stride == 1:
        return False
    return step.groups == 1 and step.dilation == 1 and step.weight.shape[1] <= FEW_CHANNELS


def _seen(step: Step, span: Span, extent: int) -> Span:
    """What of its input a window of a step's output sees, as far as it lies on the map."""
    if step.op in GLOBAL:
        return Span(0, extent)
    if step.op not in WINDOWED:
        return span
    first = span.first * step.stride - step.padding
    end = (span.end - 1) * step.stride - step.padding + (step.kernel - 1) * step.dilation + 1
    return Span(max(first, 0), min(end, extent))


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, rule: ReluRule) -> Tensor:
        output = x.relu()
        ctx.rule = rule
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (output,) = ctx.saved_tensors
        return through_relu(gradients[0], output, ctx.rule), None


class _SummedRelu(torch.autograd.Function):
    """The ReLU of a sum; one map is kept of it and one written, where two steps would keep and write two."""

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, rule: ReluRule) -> Tensor:
        output = (one + other).relu_()
        ctx.rule = rule
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (output,) = ctx.saved_tensors
        gradient = through_relu(gradients[0], output, ctx.rule)
        return gradient, gradient, None


class _FewChannels(torch.autograd.Function):
    """A convolution without padding of few channels, with the quick way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, way: TransposedConvolution) -> Tensor:
        step = way.step
        assert step.weight is not None
        ctx.way, ctx.size = way, x.shape[2]
        return F.conv2d(x, step.weight, step.bias, step.stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].permute(0, 2, 3, 1)  # (B, h, w, C_out)
        out, into = Window(1, 0, gradient.shape[1]), Window(1, -ctx.way.step.padding, ctx.size)
        result, _ = ctx.way(gradient, (out, out), (into, into))
        missing = ctx.size - result.shape[1]  # pixels behind the last whole stride are not read
        return F.pad(result.permute(0, 3, 1, 2), (0, missing, 0, missing)), None


def through_relu(gradient: Tensor, output: Tensor, rule: ReluRule) -> Tensor:
    """The gradient at a ReLU's input by the rule, from the gradient at its output and the output itself."""
    if rule in ("guided", "deconvnet"):
        gradient = gradient.clamp(min=0)
    if rule == "deconvnet":
        return gradient
    if rule == "leaky":  # one pass each: over large maps that counts
        return torch.ops.aten.leaky_relu_backward(gradient, output, LEAK, True)
    return torch.ops.aten.threshold_backward(gradient, output, 0)


def relu(x: Tensor, rule: ReluRule = "plain") -> Tensor:
    """max(x, 0), whose gradient follows the rule."""
    return _Relu.apply(x, rule)

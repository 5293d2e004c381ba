"""A forward pass for automatic differentiation that computes only what an objective depends on.

The objective reads one position of a step's map, or all of it. Every step below computes only the window of its own map
that the objective depends on, padded only where the network itself pads, at the picture's true border. So the value and
its gradient are those of the whole network on the whole picture, at a fraction of the cost."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.gradients.transposed import FEW_CHANNELS, TransposedConvolution
from generator.engine.relu_rules import ReluRule, rectified, summed_relu
from generator.network.graph import Graph
from generator.network.ops import Step
from generator.network.windows import Window


class WindowedForward:
    """The forward pass to step `top` of a graph, for square pictures of `side` px.

    position: row and column of the one unit that the objective reads; None: it reads the whole map. Rows and columns
    are alike everywhere. windows: what is needed of the map of each step that leads to `top`; order: these steps in
    forward order; extent: positions along one side of each step's whole map; channels: of each step's map. No gradient
    is computed for weights. Raises AtlasError for a position that the map does not have.
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
        whole = Window.fixed(0, self.extent[top])
        self.windows = {top: whole if position is None else Window.fixed(position, position + 1)}
        for index in range(top, -1, -1):
            if index not in self.windows:
                continue
            step = graph.steps[index]
            for source in step.inputs:
                needed = _input_window(step, self.windows[index], self.extent[source])
                known = self.windows.get(source)
                self.windows[source] = needed if known is None else known.joined(needed)
        self.order = sorted(self.windows)
        self._readers = {i: [r for r in graph.consumers[i] if r in self.windows] for i in self.order}
        self._summed = {i for i in self.order if self._is_summed(i)}
        # A map is freed after its last reader; an addition that its ReLU does reads its inputs when the ReLU runs.
        when = {i: self._readers[i][0] if i in self._summed else i for i in self.order}
        self._last = {i: max((when[r] for r in self._readers[i]), default=-1) for i in self.order}
        self._few_channels = {
            i: TransposedConvolution(graph.steps[i]) for i in self.order if _is_slow_backward(graph.steps[i])
        }

    @property
    def numbers(self) -> int:
        """How many numbers all windows of one picture hold: an upper bound of what a backward pass keeps."""
        return sum(self.channels[i] * self.windows[i].size ** 2 for i in self.order)

    @property
    def multiplications(self) -> int:
        """How many the convolutions of the forward pass do for one picture."""
        weights = ((i, self.graph.steps[i].weight) for i in self.order if self.graph.steps[i].op == "conv")
        return sum(self.windows[i].size ** 2 * weight.numel() for i, weight in weights if weight is not None)

    def _is_summed(self, index: int) -> bool:
        """Whether a step is the addition of two different maps that one ReLU alone reads."""
        step, readers = self.graph.steps[index], self._readers[index]
        alone = len(readers) == 1 and self.graph.steps[readers[0]].op == "relu" and index != self.top
        return step.op == "add" and len(set(step.inputs)) == 2 and alone

    @property
    def window(self) -> Window:
        """The part of the picture that the objective depends on."""
        return self.windows[0]

    def __call__(
        self, seen: Tensor, rule: ReluRule = "plain", watched: dict[int, Tensor] | None = None
    ) -> Tensor:
        """The window of step `top`'s map, (B, C, h, h), or a classifier's scores, (B, K).

        seen: the network's input on `window`, (B, 3, n, n); rule: at ReLUs, for the backward pass; watched: its values
        are replaced by the outputs of the steps that are its keys.
        """
        values: dict[int, Tensor] = {0: seen}
        for index in self.order[1:]:
            step = self.graph.steps[index]
            if index in self._summed:  # the ReLU behind it does the addition
                continue
            values[index] = self._run(step, index, values, rule)
            if watched is not None and index in watched:
                watched[index] = values[index]
            for source in [source for source in values if self._last[source] == index]:
                del values[source]
        return values[self.top]

    def _run(self, step: Step, index: int, values: dict[int, Tensor], rule: ReluRule) -> Tensor:
        window = self.windows[index]
        if step.reads == "window":
            source = step.inputs[0]
            return self._windowed(index, values[source], self.windows[source], self.extent[source])
        if step.reads == "map":
            return step.run(values[step.inputs[0]])
        if step.op == "relu" and (add := step.inputs[0]) in self._summed:
            one, other = (self._part(i, window, values) for i in self.graph.steps[add].inputs)
            return summed_relu(step, one, other, rule)
        parts = [self._part(source, window, values) for source in step.inputs]
        return rectified(step, parts[0], rule) if step.is_rectifier else step.run(*parts)

    def _part(self, source: int, window: Window, values: dict[int, Tensor]) -> Tensor:
        """The window of a map of which at least that is held."""
        inside = window.within(self.windows[source])
        return values[source] if self.windows[source] == window else values[source][:, :, inside, inside]

    def _windowed(self, index: int, x: Tensor, held: Window, extent: int) -> Tensor:
        """The window of a convolution's or pooling's output; x holds the positions `held` of its input's map."""
        step, window = self.graph.steps[index], self.windows[index]
        few_channels = self._few_channels.get(index)
        if few_channels is None and held == Window.fixed(0, extent) and window.size == self.extent[index]:
            return step.run(x)  # the whole map: the step pads it itself
        needed = step.input_window(window)
        inside = needed.clipped(extent).within(held)
        x = x[:, :, inside, inside]
        before, after = max(-needed.low, 0), max(needed.end - extent, 0)
        if before or after:
            x = F.pad(x, (before, after, before, after), value=step.kind.padding_value)
        if few_channels is not None:
            return _FewChannels.apply(x, few_channels)
        return step.kind.without_padding(step, x)


def _is_slow_backward(step: Step) -> bool:
    """Whether torch's backward pass of a convolution fills only a small part of each vector register: a strided one of
    few input channels."""
    if step.op != "conv" or step.weight is None or step.stride == 1:
        return False
    return step.groups == 1 and step.dilation == 1 and step.weight.shape[1] <= FEW_CHANNELS


def _input_window(step: Step, window: Window, extent: int) -> Window:
    """What a window of a step's output depends on of one input, a map of `extent` positions per side."""
    return Window.fixed(0, extent) if step.reads == "map" else step.input_window(window).clipped(extent)


class _FewChannels(torch.autograd.Function):
    """A convolution without padding of few channels, with TransposedConvolution as its backward pass."""

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
        missing = ctx.size - result.shape[1]  # no window reaches the pixels behind the last whole stride
        return F.pad(result.permute(0, 3, 1, 2), (0, missing, 0, missing)), None

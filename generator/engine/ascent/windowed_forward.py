"""A forward pass for automatic differentiation that computes only what an objective depends on.

The objective reads one position of a step's map, or all of it. Every step below computes only the window of its own map
that the objective depends on, padded only where the network itself pads, at the picture's true border. So the value and
its gradient are those of the whole network on the whole picture, at a fraction of the cost. Only below a step that
reads whole maps everything is computed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.records import Size
from generator.engine.gradients.transposed import FEW_CHANNELS, TransposedConvolution
from generator.engine.relu_rules import ReluRule, rectified, summed_relu
from generator.network.graph import Graph
from generator.network.ops import Step
from generator.network.windows import Frame, Window, area_of, whole_frame


class WindowedForward:
    """The forward pass to step `top` of a graph, for pictures of this height and width.

    position: row and column of the one unit that the objective reads; None: it reads the whole map. frames: rows and
    columns that are needed of the map of each step that leads to `top`; order: these steps in forward order; extents:
    height and width of each step's whole map; needed: by a step and one of its inputs, the frame that it reads of the
    input; channels: of each step's map; whole: steps whose whole maps are computed, as far as they lead to `top`. No
    gradient is computed for weights. Raises AtlasError for a position that the map does not have.
    """

    def __init__(
        self,
        graph: Graph,
        top: int,
        size: Size,
        position: tuple[int, int] | None = None,
        whole: Collection[int] = (),
    ) -> None:
        self.graph, self.top = graph, top
        shapes = graph.shapes(size, top)
        self.extents = [(height, width) for _, height, width in shapes]
        self.channels = [channels for channels, _, _ in shapes]
        self.frames = {top: whole_frame(self.extents[top])}
        if position is not None:
            (row, column), (height, width) = position, self.extents[top]
            if not (0 <= row < height and 0 <= column < width):
                raise AtlasError(
                    f"the map has no position {row}, {column}", f"step {top}", f"it has {height} × {width}"
                )
            self.frames[top] = Window.fixed(row, row + 1), Window.fixed(column, column + 1)
        self._objective = self.frames[top]
        self._whole = frozenset(whole)
        for index in range(top, -1, -1):
            if index not in self.frames:
                continue
            step = graph.steps[index]
            if step.reads == "map" or index in self._whole:
                self.frames[index] = whole_frame(self.extents[index])
            for source in step.inputs:
                needed = input_frame(step, self.frames[index], self.extents[source])
                known = self.frames.get(source, needed)
                self.frames[source] = known[0].joined(needed[0]), known[1].joined(needed[1])
        self.order = sorted(self.frames)
        self.readers = {i: [r for r in graph.consumers[i] if r in self.frames] for i in self.order}
        self.summed = {i for i in self.order if self._is_summed(i)}
        # A map is freed after its last reader; an addition that its ReLU does reads its inputs when the ReLU runs.
        when = {i: self.readers[i][0] if i in self.summed else i for i in self.order}
        self._last = {i: max((when[r] for r in self.readers[i]), default=-1) for i in self.order}
        # What each step needs of its inputs is worked out once, not in every pass.
        steps = [(i, graph.steps[i]) for i in self.order]
        self._cuts = {i: self._cut_of(i) for i, step in steps if step.reads == "window"}
        self.needed = {
            (i, source): input_frame(step, self.frames[i], self.extents[source])
            for i, step in steps
            for source in step.inputs
        }
        self._few_channels = {
            i: TransposedConvolution(graph.steps[i]) for i in self.order if _is_slow_backward(graph.steps[i])
        }

    @property
    def numbers(self) -> int:
        """How many numbers all windows of one picture hold: an upper bound of what a backward pass keeps."""
        return sum(self.channels[i] * area_of(self.frames[i]) for i in self.order)

    @property
    def multiplications(self) -> int:
        """How many the convolutions of the forward pass do for one picture."""
        weights = ((i, self.graph.steps[i].weight) for i in self.order if self.graph.steps[i].op == "conv")
        return sum(area_of(self.frames[i]) * weight.numel() for i, weight in weights if weight is not None)

    def _is_summed(self, index: int) -> bool:
        """Whether a step is the addition of two different maps that one ReLU alone reads."""
        step, readers = self.graph.steps[index], self.readers[index]
        alone = len(readers) == 1 and self.graph.steps[readers[0]].op == "relu" and index != self.top
        if index in self._whole:
            return False
        return step.op == "add" and len(set(step.inputs)) == 2 and alone

    @property
    def frame(self) -> Frame:
        """The rows and columns of the picture that the objective depends on."""
        return self.frames[0]

    def __call__(
        self, seen: Tensor, rule: ReluRule = "plain", watched: dict[int, Tensor] | None = None
    ) -> Tensor:
        """The window of step `top`'s map, (B, C, h, w), or a classifier's scores, (B, K).

        seen: the network's input on `frame`, (B, channels, h, w); rule: at ReLUs, for the backward pass; watched: its
        values are replaced by the outputs of the steps that are its keys.
        """
        values: dict[int, Tensor] = {0: seen}
        for index in self.order[1:]:
            step = self.graph.steps[index]
            if index in self.summed:  # the ReLU behind it does the addition
                continue
            values[index] = self.run_step(step, index, values, rule)
            if watched is not None and index in watched:
                watched[index] = values[index]
            for source in [source for source in values if self._last[source] == index]:
                del values[source]
        return _cut(values[self.top], self.frames[self.top], self._objective)

    def run_step(self, step: Step, index: int, values: dict[int, Tensor], rule: ReluRule) -> Tensor:
        if step.reads == "window":
            return self._windowed(index, values[step.inputs[0]], step.inputs[0])
        if step.op == "relu" and (add := step.inputs[0]) in self.summed:
            one, other = (self.part(add, i, values) for i in self.graph.steps[add].inputs)
            return summed_relu(step, one, other, rule)
        parts = [self.part(index, source, values) for source in step.inputs]
        return rectified(step, parts[0], rule) if step.is_rectifier else step.run(*parts)

    def part(self, index: int, source: int, values: dict[int, Tensor]) -> Tensor:
        """What a step that reads positions or whole maps needs of an input, of whose map at least that is held."""
        return _cut(values[source], self.frames[source], self.needed[index, source])

    def padded(self, index: int, x: Tensor) -> tuple[Tensor, int]:
        """What the frame of a convolution's output depends on, and by how much it has still to be padded on all sides;
        x holds the frame of its source's map."""
        x, (left, right, top, bottom) = self._needed(index, x)
        if left == right == top == bottom:
            return x, left
        return F.pad(x, (left, right, top, bottom)), 0

    def _needed(self, index: int, x: Tensor) -> tuple[Tensor, tuple[int, int, int, int]]:
        """What the frame of a convolution's or pooling's output depends on, as far as it lies on the map, and how many
        positions it hangs over the border on the left, on the right, above and below."""
        rows, columns, around = self._cuts[index]
        return x[:, :, rows, columns], around

    def _cut_of(self, index: int) -> tuple[slice, slice, tuple[int, int, int, int]]:
        """What `_needed` cuts out, and what it says of the border."""
        step, frame, source = self.graph.steps[index], self.frames[index], self.graph.steps[index].inputs[0]
        held, extents = self.frames[source], self.extents[source]
        needed = step.input_window(frame[0]), step.input_window(frame[1])
        rows, columns = (needed[axis].clipped(extents[axis]).within(held[axis]) for axis in (0, 1))
        top, left = (max(-needed[axis].low, 0) for axis in (0, 1))
        bottom, right = (max(needed[axis].end - extents[axis], 0) for axis in (0, 1))
        return rows, columns, (left, right, top, bottom)

    def _windowed(self, index: int, x: Tensor, source: int) -> Tensor:
        """The frame of a convolution's or pooling's output; x holds the frame of its source's map."""
        step, frame, held, extents = (
            self.graph.steps[index], self.frames[index], self.frames[source], self.extents[source]
        )  # fmt: skip
        few_channels = self._few_channels.get(index)
        if (
            few_channels is None
            and held == whole_frame(extents)
            and frame == whole_frame(self.extents[index])
        ):
            return step.run(x)  # the whole map: the step pads it itself
        x, around = self._needed(index, x)
        if any(around):
            x = F.pad(x, around, value=step.kind.padding_value)
        if few_channels is not None:
            return _FewChannels.apply(x, few_channels)
        return step.kind.without_padding(step, x)


def _is_slow_backward(step: Step) -> bool:
    """Whether torch's backward pass of a convolution fills only a small part of each vector register: a strided one of
    few input channels."""
    if step.op != "conv" or step.weight is None or step.stride == 1:
        return False
    return step.groups == 1 and step.dilation == 1 and step.weight.shape[1] <= FEW_CHANNELS


def input_frame(step: Step, frame: Frame, extents: tuple[int, int]) -> Frame:
    """What a frame of a step's output depends on of one input, a map of this height and width."""
    if step.reads == "map":
        return whole_frame(extents)
    rows, columns = (step.input_window(frame[axis]).clipped(extents[axis]) for axis in (0, 1))
    if step.reads == "position":  # every position may read the one of a gate
        rows, columns = (
            Window.fixed(0, 1) if extent == 1 else window
            for extent, window in zip(extents, (rows, columns), strict=True)
        )
    return rows, columns


def _cut(maps: Tensor, held: Frame, frame: Frame) -> Tensor:
    """The frame of maps (B, C, h, w) of which the positions `held` are given."""
    if held == frame:
        return maps
    return maps[:, :, frame[0].within(held[0]), frame[1].within(held[1])]


class _FewChannels(torch.autograd.Function):
    """A convolution without padding of few channels, with TransposedConvolution as its backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, way: TransposedConvolution) -> Tensor:
        step = way.step
        assert step.weight is not None
        ctx.way, ctx.size = way, x.shape[2:]
        return F.conv2d(x, step.weight, step.bias, step.stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].permute(0, 2, 3, 1)  # (B, h, w, C_out)
        out = Window(1, 0, gradient.shape[1]), Window(1, 0, gradient.shape[2])
        rows, columns = (Window(1, -ctx.way.step.padding, size) for size in ctx.size)
        result, _ = ctx.way(gradient, out, (rows, columns))
        # No window reaches the pixels behind the last whole stride.
        below, beside = (size - given for size, given in zip(ctx.size, result.shape[1:3], strict=True))
        return F.pad(result.permute(0, 3, 1, 2), (0, beside, 0, below)), None

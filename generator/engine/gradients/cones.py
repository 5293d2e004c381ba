"""The cone of a unit: which positions of every step below it the unit sees, and the windows that hold them.

A unit's gradient is zero outside its cone, so the backward pass of a unit needs a window of each map, not the
map. The windows of many units line up when each is counted from its unit's own position: the window of unit i
begins at `scale · i + low`. It may hang over the border of the map; what lies outside is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.graph import Graph
from generator.network.ops import Step

BACKWARD = {"input", "conv", "affine", "relu", "max_pool", "avg_pool", "add", "concat"}
OUTSIDE = -(2**30)  # the sum of two still fits into 32 bits


@dataclass(frozen=True)
class Window:
    """A stretch of `size` positions along one axis; for the unit at position i it begins at scale · i + low.

    scale 0 is a window fixed to the map, the same for every unit.
    """

    scale: int
    low: int
    size: int

    @property
    def high(self) -> int:
        return self.low + self.size - 1

    def positions(self, units: Tensor) -> Tensor:
        """Positions on the map for each unit, (U,) → (U, size)."""
        steps = torch.arange(self.low, self.low + self.size, device=units.device)
        return self.scale * units[:, None] + steps

    def inside(self, extent: int, units: tuple[int, int]) -> bool:
        """Whether the windows of units[0] … units[1] lie wholly on a map of `extent` positions."""
        return self.scale * units[0] + self.low >= 0 and self.scale * units[1] + self.high < extent

    def trimmed(self, extent: int, units: tuple[int, int]) -> Window:
        """The window without what lies outside the map for all of the units units[0] … units[1]."""
        low = max(self.low, -self.scale * units[1])
        high = min(self.high, extent - 1 - self.scale * units[0])
        # A unit that sees nothing but padding keeps one position, so that no window is empty.
        return Window(self.scale, low, high - low + 1) if low <= high else Window(self.scale, self.low, 1)

    def meet(self, into: Window, stride: int, shift: int) -> tuple[slice, slice]:
        """Which of our positions x have their stride · x + shift in `into`, and where that is in it."""
        start = stride * self.low + shift - into.low  # of our position 0, in `into`
        first = max(0, -(start // stride))
        last = min(self.size - 1, (into.size - 1 - start) // stride)
        if first > last:
            return slice(0, 0), slice(0, 0)
        return slice(first, last + 1), slice(start + stride * first, start + stride * last + 1, stride)


Frame = tuple[Window, Window]  # rows, columns


class Cone:
    """The cone of the units of step `top`: the steps that lead there, and the window of each before any
    trimming.

    Raises AtlasError where a step on the way has no backward pass here (global pooling, the classifier).
    """

    def __init__(self, graph: Graph, top: int) -> None:
        self.graph, self.top = graph, top
        self.windows: dict[int, Window] = {top: Window(1, 0, 1)}
        self.consumers: dict[int, list[int]] = {top: []}
        for index in range(top, -1, -1):
            if index not in self.windows:
                continue
            step = graph.steps[index]
            if step.op not in BACKWARD:
                raise AtlasError(
                    "no unit gradients through this operation", f"{step.op} at {step.scope or 'the end'}"
                )
            seen = seen_through(step, self.windows[index])
            for source in dict.fromkeys(step.inputs):
                known = self.windows.get(source, seen)
                if known.scale != seen.scale:
                    raise AtlasError("paths of different stride are joined", step.scope)
                low = min(known.low, seen.low)
                self.windows[source] = Window(seen.scale, low, max(known.high, seen.high) - low + 1)
                self.consumers.setdefault(source, []).append(index)
        self.order = sorted(self.windows, reverse=True)

    def multiply_adds(self, shapes: Mapping[int, tuple[int, int, int]], row: int, column: int) -> int:
        """Of the convolutions in the cone of the unit at this place, its windows cut off at the border of each map.

        shapes: (C, H, W) of each step's map.
        """
        total = 0
        for index in self.order:
            step = self.graph.steps[index]
            if step.op != "conv" or step.weight is None:
                continue
            _, height, width = shapes[index]
            window = self.windows[index]
            rows = window.trimmed(height, (row, row)).size
            columns = window.trimmed(width, (column, column)).size
            total += rows * columns * step.weight.numel()
        return total

    def trimmed(self, extents: dict[int, int], units: tuple[int, int]) -> dict[int, Window]:
        """The windows along one axis for a batch of units at positions units[0] … units[1]; extents: of each
        map.

        Once a window would be as large as its map, the whole map takes its place there and everywhere below.
        """
        trimmed: dict[int, Window] = {self.top: self.windows[self.top]}
        for index in self.order[1:]:
            extent = extents[index]
            window = self.windows[index].trimmed(extent, units)
            fixed = any(trimmed[reader].scale == 0 for reader in self.consumers[index])
            trimmed[index] = Window(0, 0, extent) if fixed or window.size >= extent else window
        return trimmed


def seen_through(step: Step, window: Window) -> Window:
    """The window of a step's input that a window of its output sees."""
    if step.op not in ("conv", "max_pool", "avg_pool"):
        return window
    return Window(
        window.scale * step.stride,
        window.low * step.stride - step.padding,
        (window.size - 1) * step.stride + (step.kernel - 1) * step.dilation + 1,
    )


def flat_index(rows: Tensor, columns: Tensor, tables: Tensor, size: tuple[int, int]) -> Tensor:
    """Where positions lie in a (1 + N · H · W, C) table of N maps, whose row 0 stands for everything outside
    a map.

    rows: (U, h) and columns: (U, w) of each unit's window; tables: (U,), which map; size: (H, W).
    Returns int32 (U, h, w).
    """
    height, width = size
    start = 1 + (tables[:, None] * height + rows) * width
    start = torch.where((rows >= 0) & (rows < height), start, OUTSIDE).to(torch.int32)
    columns = torch.where((columns >= 0) & (columns < width), columns, OUTSIDE).to(torch.int32)
    return (start[:, :, None] + columns[:, None, :]).clamp_(min=0)  # (U, h, w)

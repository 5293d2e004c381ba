"""The cone of a unit: which positions of every step below it the unit sees, and the windows that hold them.

A unit's gradient is zero outside its cone, so the backward pass of a unit needs a window of each map, not the whole
map. The windows of many units line up when each is counted from its own unit's position (network/windows.py). What
lies outside the map is zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.network.graph import Graph
from generator.network.windows import Window

OUTSIDE = -(2**30)  # the sum of two still fits into 32 bits


class Cone:
    """The cone of the units of step `top`.

    windows: of each step that leads there, before any trimming; consumers: of each such step, those among them that
    read it; order: these steps, last first. Raises AtlasError where a step on the way reads whole maps (global pooling,
    the classifier), or where paths of different stride are joined.
    """

    def __init__(self, graph: Graph, top: int) -> None:
        self.graph, self.top = graph, top
        self.windows: dict[int, Window] = {top: Window(1, 0, 1)}
        self.consumers: dict[int, list[int]] = {top: []}
        for index in range(top, -1, -1):
            if index not in self.windows:
                continue
            step = graph.steps[index]
            if step.reads == "map":
                raise AtlasError(
                    "no unit gradients through this operation", f"{step.op} at {step.scope or 'the end'}"
                )
            seen = step.input_window(self.windows[index])
            for source in dict.fromkeys(step.inputs):
                known = self.windows.get(source, seen)
                if known.scale != seen.scale:
                    raise AtlasError("paths of different stride are joined", step.scope)
                self.windows[source] = known.joined(seen)
                self.consumers.setdefault(source, []).append(index)
        self.order = sorted(self.windows, reverse=True)
        self._placed: dict[tuple[int, int, int], tuple[dict[int, Window], dict[int, bool]]] = {}

    def multiply_adds(self, shapes: Mapping[int, tuple[int, int, int]], row: int, column: int) -> int:
        """Multiply-adds of the convolutions in the cone of the unit at this row and column, its windows cut off at the
        border of each map; shapes: (C, H, W) of each step's map."""
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

    def placed(
        self, extents: dict[int, int], units: tuple[int, int]
    ) -> tuple[dict[int, Window], dict[int, bool]]:
        """As `trimmed`, and for each step whether its window lies on the map for all these units. Computed once for
        pictures of an extent: for small batches it would take as long as all their gradients."""
        key = (extents[0], *units)
        if key not in self._placed:
            windows = self.trimmed(extents, units)
            inside = {index: windows[index].inside(extents[index], units) for index in self.order}
            self._placed[key] = windows, inside
        return self._placed[key]

    def trimmed(self, extents: dict[int, int], units: tuple[int, int]) -> dict[int, Window]:
        """The windows along one axis for a batch of units at positions units[0] … units[1]; extents: of each map.

        Where a window would be as large as its map, the whole map takes its place, there and everywhere below.
        """
        trimmed: dict[int, Window] = {self.top: self.windows[self.top]}
        for index in self.order[1:]:
            extent = extents[index]
            window = self.windows[index].trimmed(extent, units)
            fixed = any(trimmed[reader].scale == 0 for reader in self.consumers[index])
            trimmed[index] = Window.fixed(0, extent) if fixed or window.size >= extent else window
        return trimmed


def flat_index(rows: Tensor, columns: Tensor, tables: Tensor, size: tuple[int, int]) -> Tensor:
    """Where positions lie in a (1 + N · H · W, C) table of N maps, whose row 0 stands for all positions outside a map.

    rows: (U, h) and columns: (U, w) of each unit's window; tables: (U,), which map; size: (H, W).
    Returns int32 (U, h, w).
    """
    height, width = size
    start = 1 + (tables[:, None] * height + rows) * width
    start = torch.where((rows >= 0) & (rows < height), start, OUTSIDE).to(torch.int32)
    columns = torch.where((columns >= 0) & (columns < width), columns, OUTSIDE).to(torch.int32)
    return (start[:, :, None] + columns[:, None, :]).clamp_(min=0)  # (U, h, w)

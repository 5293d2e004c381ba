"""Windows: stretches of positions along one axis of a map, and their arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Window:
    """`size` positions along one axis; for the unit at position i the first is scale · i + low.

    scale: how many positions the window moves when the unit moves by one; 0 is a window fixed to the map, the same for
    every unit. A window may hang over the border of its map.
    """

    scale: int
    low: int
    size: int

    @classmethod
    def fixed(cls, low: int, end: int) -> Window:
        """The positions low … end − 1 of a map."""
        return cls(0, low, end - low)

    @property
    def high(self) -> int:
        """The last position of the unit at 0."""
        return self.low + self.size - 1

    @property
    def end(self) -> int:
        """The position behind the last of the unit at 0."""
        return self.low + self.size

    def positions(self, units: Tensor) -> Tensor:
        """Positions on the map for units at `units`, (U,) → (U, size)."""
        steps = torch.arange(self.low, self.end, device=units.device)
        return self.scale * units[:, None] + steps

    def inside(self, extent: int, units: tuple[int, int]) -> bool:
        """Whether the windows of the units units[0] … units[1] lie wholly on a map of `extent` positions."""
        return self.scale * units[0] + self.low >= 0 and self.scale * units[1] + self.high < extent

    def trimmed(self, extent: int, units: tuple[int, int]) -> Window:
        """The window without what lies outside the map for all of the units units[0] … units[1]."""
        low = max(self.low, -self.scale * units[1])
        high = min(self.high, extent - 1 - self.scale * units[0])
        # A unit that sees nothing but padding keeps one position, so that no window is empty.
        return Window(self.scale, low, high - low + 1) if low <= high else Window(self.scale, self.low, 1)

    def clipped(self, extent: int) -> Window:
        """A fixed window without what lies outside a map of `extent` positions."""
        return Window.fixed(max(self.low, 0), min(self.end, extent))

    def joined(self, other: Window) -> Window:
        """The smallest window that holds both; they must have one scale."""
        low = min(self.low, other.low)
        return Window(self.scale, low, max(self.end, other.end) - low)

    def within(self, other: Window) -> slice:
        """Where a fixed window's positions lie in a tensor that holds the other's."""
        return slice(self.low - other.low, self.end - other.low)

    def meet(self, into: Window, stride: int, shift: int) -> tuple[slice, slice]:
        """Which positions x of this window have their stride · x + shift in `into`, and where in `into` those are."""
        start = stride * self.low + shift - into.low  # of this window's position 0, in `into`
        first = max(0, -(start // stride))
        last = min(self.size - 1, (into.size - 1 - start) // stride)
        if first > last:
            return slice(0, 0), slice(0, 0)
        return slice(first, last + 1), slice(start + stride * first, start + stride * last + 1, stride)

    def input_of(self, kernel: int, stride: int, padding: int, dilation: int) -> Window:
        """The window of a convolution's or pooling's input that this window of its output depends on."""
        return Window(
            self.scale * stride,
            self.low * stride - padding,
            (self.size - 1) * stride + (kernel - 1) * dilation + 1,
        )


Frame = tuple[Window, Window]  # rows, columns of a map


def whole_frame(extents: tuple[int, int]) -> Frame:
    """All of a map of this height and width."""
    return Window.fixed(0, extents[0]), Window.fixed(0, extents[1])


def area_of(frame: Frame) -> int:
    """Its number of positions."""
    return frame[0].size * frame[1].size

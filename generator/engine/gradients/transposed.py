"""The gradient of a convolution with respect to its input, on windows, by the method that is fastest for its shape."""

from __future__ import annotations

import functools
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.engine.gradients.sparse import SparseTransposedConvolution
from generator.network.ops import Step
from generator.network.windows import Frame, Window

Place = tuple[slice, slice]
Way = Literal["product", "turned", "phases", "transposed"]
FEW_CHANNELS = 4


class TransposedConvolution:
    """Carries gradients from a convolution's output to its input.

    1 × 1 convolutions are matrix products, written to every stride-th position. Larger ones of stride 1 are
    convolutions with turned kernels. Strided ones are torch's transposed convolutions; but where C_in is small, which
    would leave most of a vector register empty, the stride² phases of the result are computed as channels (measured
    with two cores, 7 × 7 stride 2 to three channels: 3.3 times as fast). sparse: whether to skip zeros instead, where
    that is possible (sparse.py).
    """

    def __init__(self, step: Step, dtype: torch.dtype | None = None, *, sparse: bool = False) -> None:
        assert step.weight is not None
        weight = step.weight if dtype is None else step.weight.to(dtype)  # (C_out, C_in / groups, k, k)
        self.step, self.way = step, _way(step, weight)
        self.sparse = SparseTransposedConvolution.of(step, weight) if sparse else None
        self.weight = weight if self.sparse else self._arranged(weight)

    def _arranged(self, weight: Tensor) -> Tensor:
        match self.way:
            case "product":
                return weight[:, :, 0, 0].t().contiguous()
            case "turned":
                weight = _turned(weight, self.step.groups)
            case "phases":
                weight = _phases(weight, self.step.stride)
        return weight.contiguous(memory_format=torch.channels_last)

    def __call__(self, gradient: Tensor, out: Frame, into: Frame) -> tuple[Tensor, Place] | None:
        """gradient: (U, h, w, C_out) on the frame `out`, zero outside the map. Returns a gradient (U, h', w', C_in) and
        the part of the frame `into` that it belongs to; None if they do not meet."""
        if self.way == "product":
            return self._product(gradient, out, into)
        natural = (self.step.input_window(out[0]), self.step.input_window(out[1]))
        (before, after), rows = _cut(natural[0], into[0])
        (left, right), columns = _cut(natural[1], into[1])
        if rows.start >= rows.stop or columns.start >= columns.stop:
            return None
        if self.sparse:
            size = (natural[0].size - before - after, natural[1].size - left - right)
            return self.sparse(gradient, (before, left), size), (rows, columns)
        match self.way:
            case "turned":
                result = self._turned(gradient, (before, after, left, right))
            case "phases":
                result = self._phases(gradient)
                result = result[:, before : natural[0].size - after, left : natural[1].size - right]
            case _:
                result = self._transposed(gradient, (before, after, left, right))
        return result, (rows, columns)

    def _product(self, gradient: Tensor, out: Frame, into: Frame) -> tuple[Tensor, Place] | None:
        stride, padding = self.step.stride, self.step.padding
        (take_rows, rows), (take_columns, columns) = (
            out[axis].meet(into[axis], stride, -padding) for axis in (0, 1)
        )  # fmt: skip
        if take_rows.start == take_rows.stop or take_columns.start == take_columns.stop:
            return None
        part = gradient[:, take_rows, take_columns]  # (U, h, w, C_out)
        if self.sparse:
            return self.sparse(part, (0, 0), (part.shape[1], part.shape[2])), (rows, columns)
        product = _product(part.reshape(-1, part.shape[3]), self.weight)
        return product.view(*part.shape[:3], -1), (rows, columns)

    def _turned(self, gradient: Tensor, cut: tuple[int, int, int, int]) -> Tensor:
        reach = (self.step.kernel - 1) * self.step.dilation
        before, after, left, right = (reach - edge for edge in cut)
        padding = (max(0, min(before, after)), max(0, min(left, right)))
        uneven = (left - padding[1], right - padding[1], before - padding[0], after - padding[0])
        if any(uneven):
            gradient = F.pad(gradient, (0, 0, *uneven))
        x = gradient.permute(0, 3, 1, 2)
        x = F.conv2d(x, self.weight, None, 1, padding, self.step.dilation, self.step.groups)
        return x.permute(0, 2, 3, 1)

    def _transposed(self, gradient: Tensor, cut: tuple[int, int, int, int]) -> Tensor:
        before, after, left, right = cut
        padding = (min(before, after), min(left, right))
        step = self.step
        x = gradient.permute(0, 3, 1, 2)
        x = F.conv_transpose2d(x, self.weight, None, step.stride, padding, 0, step.groups, step.dilation)
        x = x.permute(0, 2, 3, 1)  # (U, h, w, C_in)
        height, width = x.shape[1:3]
        return x[
            :,
            before - padding[0] : height - (after - padding[0]),
            left - padding[1] : width - (right - padding[1]),
        ]

    def _phases(self, gradient: Tensor) -> Tensor:
        """(U, h, w, C_out) → (U, (h + j) · stride, (w + j) · stride, C_in), j = ⌈kernel / stride⌉ − 1."""
        stride, reach = self.step.stride, self.weight.shape[2] - 1
        x = F.conv2d(gradient.permute(0, 3, 1, 2), self.weight, None, 1, reach).permute(0, 2, 3, 1)
        units, height, width, channels = x.shape
        x = x.reshape(units, height, width, stride, stride, channels // stride**2).transpose(2, 3)
        return x.reshape(units, height * stride, width * stride, -1)


def _product(rows: Tensor, weight: Tensor) -> Tensor:
    """(N, C_out) and (C_in, C_out) → (N, C_in)."""
    if rows.device.type == "cpu" and rows.dtype == torch.float32 and _has_linear():
        return _linear(rows, weight)
    return rows @ weight.t()


def _linear(rows: Tensor, weight: Tensor) -> Tensor:
    """The product by oneDNN: for few channels up to twice as fast as by the library that torch's `@` calls."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
    return product


@functools.cache
def _has_linear() -> bool:
    """Whether this torch has oneDNN's product; tried, since the call is private to torch and may change."""
    try:
        product = _linear(torch.ones(3, 16), torch.full((4, 16), 2.0))
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return bool((product == 32).all())


def _way(step: Step, weight: Tensor) -> Way:
    if step.kernel == 1 and step.groups == 1:
        return "product"
    if step.stride == 1:
        return "turned"
    few = weight.shape[1] <= FEW_CHANNELS and step.groups == 1 and step.dilation == 1
    return "phases" if few else "transposed"


def _cut(natural: Window, into: Window) -> tuple[tuple[int, int], slice]:
    """How much of a window's two ends lies outside `into`, and where in `into` the rest belongs."""
    low, high = max(natural.low, into.low), min(natural.high, into.high)
    return (low - natural.low, natural.high - high), slice(low - into.low, high - into.low + 1, 1)


def _turned(weight: Tensor, groups: int) -> Tensor:
    """(C_out, C_in / groups, k, k) → (C_in, C_out / groups, k, k), each kernel turned by 180°."""
    out, within, k, _ = weight.shape
    weight = weight.reshape(groups, out // groups, within, k, k).transpose(1, 2)
    return weight.reshape(groups * within, out // groups, k, k).flip(2, 3)


def _phases(weight: Tensor, stride: int) -> Tensor:
    """(C_out, C_in, k, k) → (stride² · C_in, C_out, j, j): for each phase, the kernel's taps that reach it, turned."""
    out, within, k, _ = weight.shape
    side = -(-k // stride)
    phases = weight.new_zeros(stride, stride, within, out, side, side)
    for row in range(min(stride, k)):
        for column in range(min(stride, k)):
            taps = weight[:, :, row::stride, column::stride].flip(2, 3).transpose(0, 1)
            phases[row, column, :, :, side - taps.shape[2] :, side - taps.shape[3] :] = taps
    return phases.reshape(stride * stride * within, out, side, side)

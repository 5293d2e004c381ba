"""The backward pass of one batch of units of one layer, step by step down the cone.

Gradients are (U, h, w, C), one window per unit, so that a CPU's loops read the channels of a position one after the
other. Where several paths reach a step, their parts are added up before the step itself is passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from generator.engine.gradients.cones import Cone, flat_index
from generator.engine.gradients.switches import Switches, Units
from generator.engine.gradients.transposed import Place, TransposedConvolution
from generator.engine.loops.compiled import Loops, loops
from generator.engine.relu_rules import ReluRule
from generator.network.ops import Step
from generator.network.windows import Frame, Window

CACHED = 1 << 17  # values of a gradient that stay in a CPU's cache from one operation to the next


@dataclass(frozen=True)
class BackwardSettings:
    """What all backward passes of an engine share.

    steps: the network's; convolution: given a step's index, how to carry gradients back through its convolution; rule:
    at ReLUs, one of UNIT_RULES; dtype, device: of the gradients.
    """

    steps: tuple[Step, ...]
    convolution: Callable[[int], TransposedConvolution]
    rule: ReluRule
    dtype: torch.dtype
    device: torch.device


@dataclass
class GradientPart:
    """What one path contributes to the gradient at a step.

    value: (U, h, w, C); place: rows and columns of the step's frame that it belongs to; writable: whether nothing else
    reads the tensor, so that it may be overwritten; zero_outside: whether it is zero outside the map.
    """

    value: Tensor
    place: Place
    writable: bool
    zero_outside: bool


class UnitBackward:
    """The backward pass of one batch of units of one layer.

    cone: of the layer's step; switches: of the units' pictures, up to that step; units: U units, in any order.
    `gradient` may be called only once.
    """

    def __init__(self, settings: BackwardSettings, cone: Cone, switches: Switches, units: Units) -> None:
        self.settings, self.cone, self.switches = settings, cone, switches
        heights = {index: size[1] for index, size in switches.sizes.items()}
        widths = {index: size[2] for index, size in switches.sizes.items()}
        rows, rows_inside = cone.placed(heights, _extremes(units.row))
        columns, columns_inside = cone.placed(widths, _extremes(units.column))
        self.frames: dict[int, Frame] = {index: (rows[index], columns[index]) for index in cone.order}
        self.inside = {index: rows_inside[index] and columns_inside[index] for index in cone.order}
        self.units = units.to(settings.device)
        here = settings.device.type == "cpu" and settings.dtype in (torch.float32, torch.float64)
        self.compiled = loops() if here else None
        self.parts: dict[int, list[GradientPart]] = {}
        self._indices: dict[tuple[Frame, tuple[int, int]], Tensor] = {}

    def gradient(self, frame: Frame) -> Tensor:
        """The units' gradients at the pixels, (U, h, w, 3) in the given frame."""
        steps, count = self.settings.steps, len(self.units)
        seed = torch.zeros(
            count,
            1,
            1,
            self.switches.sizes[self.cone.top][0],
            dtype=self.settings.dtype,
            device=self.settings.device,
        )
        seed[torch.arange(count), 0, 0, self.units.channel] = 1
        self._add(
            self.cone.top,
            GradientPart(seed, _whole(self.frames[self.cone.top]), writable=True, zero_outside=True),
        )
        for index in self.cone.order:
            if self.compiled and steps[index].op == "relu" and self.settings.rule != "deconvnet":
                part = self._joined_and_rectified(index, self.compiled)
                self._pass_on(index, steps[index].inputs[0], part)
                continue
            joined = self._joined(index)
            if index == 0:
                return self._reframed(self._zeroed_outside(joined, index), self.frames[0], frame)
            self._back(index, steps[index], joined)
        raise AssertionError("the input belongs to every cone")

    # -- one step back ---------------------------------------------------------------------------------------

    def _back(self, index: int, step: Step, part: GradientPart) -> None:
        match step.op:
            case "conv":
                self._back_through_convolution(index, step, part)
            case "max_pool":
                self._back_through_max_pool(index, step, part)
            case "avg_pool":
                self._back_through_average(index, step, part)
            case "pad":
                self._back_through_padding(index, step, part)
            case "relu":
                self._pass_on(index, step.inputs[0], self._rectified(index, part))
            case "affine":
                assert step.weight is not None
                part.value = part.value * step.weight.to(part.value.dtype)
                part.writable = True
                self._pass_on(index, step.inputs[0], part)
            case "add":
                for source in step.inputs:
                    self._pass_on(
                        index,
                        source,
                        GradientPart(part.value, part.place, writable=False, zero_outside=part.zero_outside),
                    )
            case "concat":
                sizes = [self.switches.sizes[source][0] for source in step.inputs]
                for source, value in zip(step.inputs, part.value.split(sizes, 3), strict=True):
                    self._pass_on(
                        index,
                        source,
                        GradientPart(value, part.place, writable=False, zero_outside=part.zero_outside),
                    )
            case _:
                raise AssertionError(step.op)  # Cone has refused it

    def _pass_on(self, index: int, source: int, part: GradientPart) -> None:
        """Pass a gradient on to a step whose map has the same size."""
        value, writable, zero_outside = part.value, part.writable, part.zero_outside
        frame = self._towards(index, source)
        if frame != self.frames[index]:
            value, writable, zero_outside = self._reframed(value, self.frames[index], frame), True, True
        (take_rows, rows), (take_columns, columns) = (
            frame[axis].meet(self.frames[source][axis], 1, 0) for axis in (0, 1)
        )  # fmt: skip
        value = value[:, take_rows, take_columns]
        self._add(source, GradientPart(value, (rows, columns), writable, zero_outside))

    def _rectified(self, index: int, part: GradientPart) -> GradientPart:
        rule, value = self.settings.rule, part.value
        if rule == "deconvnet":
            value = value.relu_() if part.writable else value.relu()
            return GradientPart(value, part.place, writable=True, zero_outside=part.zero_outside)
        value = value.contiguous() if part.writable else value.clone(memory_format=torch.contiguous_format)
        where, table = self._index(self.frames[index], index).view(-1), self.switches.masks[index]
        rows = value.view(-1, value.shape[3])  # (U · h · w, C)
        for positions in self._slices(len(rows), value.shape[3]):
            passed = rows[positions].relu_() if rule == "guided" else rows[positions]
            mask = table.index_select(0, where[positions])
            # A CPU is faster with bytes converted to floats first; a GPU multiplies by bytes in one operation.
            passed.mul_(mask if value.is_cuda else mask.to(value.dtype))
        return GradientPart(value, part.place, writable=True, zero_outside=True)

    def _joined_and_rectified(self, index: int, compiled: Loops) -> GradientPart:
        """As `_joined` followed by `_rectified`, in one pass over the gradients."""
        frame, parts = self.frames[index], self.parts.pop(index, [])
        whole = _whole(frame)
        base = next((part for part in parts if part.writable and part.place == whole), None)
        base = base or next((part for part in parts if part.place == whole), None)
        others = [part for part in parts if part is not base]
        if base is None:
            sizes = (len(self.units), frame[0].size, frame[1].size, self.switches.sizes[index][0])
            base = GradientPart(
                torch.zeros(sizes, dtype=self.settings.dtype), whole, writable=True, zero_outside=True
            )
        if len(others) > 1:  # never in networks of the ResNet family
            self.parts[index] = [base, *others[1:]]
            base, others = self._joined(index), others[:1]
        value = base.value.contiguous()
        result = value if base.writable else torch.empty_like(value)
        flat, layout = _flat(others[0]) if others else _no_part(value.dtype)
        compiled.rectify(
            value.numpy(),
            result.numpy(),
            flat.numpy(),
            layout,
            self._index(frame, index).numpy(),
            self.switches.masks[index].numpy(),
            self.settings.rule == "guided",
        )
        return GradientPart(result, whole, writable=True, zero_outside=True)

    def _back_through_convolution(self, index: int, step: Step, part: GradientPart) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        carried = self.settings.convolution(index)(value, out, self.frames[source])
        if carried is not None:
            # A 1 × 1 convolution keeps positions outside the map zero; larger kernels reach over the border.
            zero_outside = (step.kernel == 1 and not step.padding) or self.inside[source]
            self._add(source, GradientPart(*carried, writable=True, zero_outside=zero_outside))

    def _back_through_max_pool(self, index: int, step: Step, part: GradientPart) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        into = self.frames[source]
        if self.compiled:
            self._add(
                source,
                GradientPart(
                    self._unpooled(index, step, value, out), _whole(into), writable=True, zero_outside=True
                ),
            )
            return
        # Taps as floats: torch compares floats into floats several times as fast as bytes into booleans.
        where, table = self._index(out, index), self.switches.taps[index]
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        for units in self._slices(len(value), value[0].numel()):
            taps = table.index_select(0, where[units].view(-1)).view(value[units].shape).to(torch.float32)
            here = torch.empty_like(value[units])  # (u, h, w, C)
            for tap in range(step.kernel**2):
                reach = [offset * step.dilation - step.padding for offset in divmod(tap, step.kernel)]
                (take_rows, rows), (take_columns, columns) = (
                    out[axis].meet(into[axis], step.stride, reach[axis]) for axis in (0, 1)
                )  # fmt: skip
                torch.eq(taps, tap, out=here).mul_(value[units])
                result[units, rows, columns] += here[:, take_rows, take_columns]
        self._add(source, GradientPart(result, _whole(into), writable=True, zero_outside=True))

    def _unpooled(self, index: int, step: Step, value: Tensor, out: Frame) -> Tensor:
        """A gradient (U, h, w, C) on a max-pool's frame `out`, carried to the positions that the pool took its values
        from: (U, h', w', C) on its source's frame."""
        assert self.compiled is not None
        into = self.frames[step.inputs[0]]
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        start = tuple(
            own.low * step.stride - step.padding - source.low for own, source in zip(out, into, strict=True)
        )
        self.compiled.unpool(
            value.contiguous().numpy(),
            self._index(out, index).numpy(),
            self.switches.taps[index].numpy(),
            result.numpy(),
            (step.kernel, step.stride, step.dilation),
            start,
        )
        return result

    def _back_through_average(self, index: int, step: Step, part: GradientPart) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        into = self.frames[source]
        value = value / step.kernel**2
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        for tap in range(step.kernel**2):
            reach = [offset - step.padding for offset in divmod(tap, step.kernel)]
            (take_rows, rows), (take_columns, columns) = (
                out[axis].meet(into[axis], step.stride, reach[axis]) for axis in (0, 1)
            )  # fmt: skip
            result[:, rows, columns] += value[:, take_rows, take_columns]
        self._add(source, GradientPart(result, _whole(into), writable=True, zero_outside=self.inside[source]))

    def _back_through_padding(self, index: int, step: Step, part: GradientPart) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        (take_rows, rows), (take_columns, columns) = (
            out[axis].meet(self.frames[source][axis], 1, -step.padding) for axis in (0, 1)
        )  # fmt: skip
        value = value[:, take_rows, take_columns]
        # What belongs to the added zeros lies outside the source's map.
        self._add(source, GradientPart(value, (rows, columns), part.writable, self.inside[source]))

    # -- windows ---------------------------------------------------------------------------------------------

    def _add(self, index: int, part: GradientPart) -> None:
        self.parts.setdefault(index, []).append(part)

    def _joined(self, index: int) -> GradientPart:
        """The sum of what all paths contribute to a step, on the step's whole frame."""
        frame, parts = self.frames[index], self.parts.pop(index, [])
        whole = _whole(frame)
        zero_outside = all(part.zero_outside for part in parts)
        if len(parts) == 1 and parts[0].place == whole:
            return parts[0]
        base = next((part for part in parts if part.writable and part.place == whole), None)
        if base is None:
            channels = self.switches.sizes[index][0]
            sizes = (len(self.units), frame[0].size, frame[1].size, channels)
            total = torch.zeros(sizes, dtype=self.settings.dtype, device=self.settings.device)
        else:
            total = base.value
        for part in parts:
            if part is not base:
                total[:, part.place[0], part.place[1]] += part.value
        return GradientPart(total, whole, writable=True, zero_outside=zero_outside)

    def _zeroed_outside(self, part: GradientPart, index: int) -> Tensor:
        """The gradient with zeros outside the map."""
        if part.zero_outside or self.inside[index]:
            return part.value
        is_on_map = self._index(self.frames[index], index) > 0  # (U, h, w)
        on_map = is_on_map.unsqueeze(3).to(part.value.dtype)
        return part.value.mul_(on_map) if part.writable else part.value * on_map

    def _towards(self, index: int, source: int) -> Frame:
        """The step's frame, with the whole map where its source's frame is the whole map."""
        rows, columns = self.frames[index]
        _, height, width = self.switches.sizes[index]
        into = self.frames[source]
        return (
            Window.fixed(0, height) if into[0].scale == 0 else rows,
            Window.fixed(0, width) if into[1].scale == 0 else columns,
        )

    def _aligned(self, index: int, source: int, part: GradientPart) -> tuple[Tensor, Frame]:
        """The gradient, zero outside the map, on a frame that lines up with its source's."""
        value = self._zeroed_outside(part, index)
        frame = self._towards(index, source)
        return self._reframed(value, self.frames[index], frame), frame

    def _reframed(self, value: Tensor, old: Frame, new: Frame) -> Tensor:
        """Gradients moved from one frame to another, each unit's to its own positions; zero where the old has none."""
        if old == new:
            return value
        units, height, width, channels = value.shape
        rows = new[0].positions(self.units.row) - old[0].positions(self.units.row)[:, :1]
        columns = new[1].positions(self.units.column) - old[1].positions(self.units.column)[:, :1]
        index = flat_index(rows, columns, torch.arange(units, device=value.device), (height, width))
        table = torch.cat((value.new_zeros(1, channels), value.reshape(-1, channels)))
        return table.index_select(0, index.view(-1)).view(*index.shape, channels)

    def _index(self, frame: Frame, index: int) -> Tensor:
        """Rows of the switches' tables for each position of a frame at a step, (U, h, w)."""
        size = self.switches.sizes[index][1:]
        if (frame, size) not in self._indices:
            rows, columns = frame[0].positions(self.units.row), frame[1].positions(self.units.column)
            self._indices[frame, size] = flat_index(rows, columns, self.units.picture, size)
        return self._indices[frame, size]

    def _slices(self, count: int, size: int) -> list[slice]:
        """Slices of `count` rows of `size` values; on a CPU so short that a slice stays cached between operations."""
        length = max(1, CACHED // size) if self.settings.device.type == "cpu" else max(1, count)
        return [slice(start, start + length) for start in range(0, count, length)]


Layout = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _no_part(dtype: torch.dtype) -> tuple[Tensor, Layout]:
    return torch.zeros(1, dtype=dtype), ((0, 0, 0), (0, 0), (0, 0), (1, 1))


def _flat(part: GradientPart) -> tuple[Tensor, Layout]:
    """A part's memory, and the layout by which compiled.Loops.rectify reads it."""
    if not part.value.numel():
        return _no_part(part.value.dtype)
    value = part.value if part.value.stride(3) == 1 else part.value.contiguous()
    reach = 1 + sum((n - 1) * s for n, s in zip(value.shape, value.stride(), strict=True))
    rows, columns = part.place
    layout = (
        value.stride()[:3],
        tuple(value.shape[1:3]),
        (rows.start, columns.start),
        (rows.step or 1, columns.step or 1),
    )
    return value.as_strided((reach,), (1,)), layout


def _whole(frame: Frame) -> Place:
    return slice(0, frame[0].size, 1), slice(0, frame[1].size, 1)


def _extremes(positions: Tensor) -> tuple[int, int]:
    return int(positions.min()), int(positions.max())

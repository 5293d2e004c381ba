"""The backward pass of one batch of units of one layer, step by step down the cone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from generator.engine.gradients.cones import Cone, Frame, Window, flat_index
from generator.engine.gradients.switches import Switches, Units
from generator.engine.gradients.transposed import Place, TransposedConvolution
from generator.engine.loops.compiled import Loops, loops
from generator.network.ops import Step

ReluRule = Literal["guided", "deconvnet", "plain"]


NEAR = 1 << 17  # values of a gradient that stay in a CPU's cache from one operation to the next


@dataclass(frozen=True)
class Means:
    """What every descent of an engine uses. convolution: the way back through the convolution at a step."""

    steps: tuple[Step, ...]
    convolution: Callable[[int], TransposedConvolution]
    rule: ReluRule
    dtype: torch.dtype
    device: torch.device


@dataclass
class Part:
    """What one path brings to a step: a gradient (U, h, w, C) for a place in the step's frame. own: whether
    nothing else reads the tensor; clean: whether it is zero outside the map."""

    value: Tensor
    place: Place
    own: bool
    clean: bool


class Descent:
    """The backward pass of one batch of units of one layer."""

    def __init__(self, means: Means, cone: Cone, switches: Switches, units: Units) -> None:
        self.means, self.cone, self.switches = means, cone, switches
        rows = cone.trimmed({i: size[1] for i, size in switches.sizes.items()}, _span(units.row))
        columns = cone.trimmed({i: size[2] for i, size in switches.sizes.items()}, _span(units.column))
        self.frames: dict[int, Frame] = {i: (rows[i], columns[i]) for i in cone.order}
        self.inside = {
            i: rows[i].inside(switches.sizes[i][1], _span(units.row))
            and columns[i].inside(switches.sizes[i][2], _span(units.column))
            for i in cone.order
        }
        self.units = units.to(means.device)
        here = means.device.type == "cpu" and means.dtype in (torch.float32, torch.float64)
        self.compiled = loops() if here else None
        self.parts: dict[int, list[Part]] = {}
        self._indices: dict[tuple[Frame, tuple[int, int]], Tensor] = {}

    def gradient(self, frame: Frame) -> Tensor:
        """The units' gradients at the pixels, (U, h, w, 3) in the given frame."""
        steps, count = self.means.steps, len(self.units)
        seed = torch.zeros(
            count,
            1,
            1,
            self.switches.sizes[self.cone.top][0],
            dtype=self.means.dtype,
            device=self.means.device,
        )
        seed[torch.arange(count), 0, 0, self.units.channel] = 1
        self._add(self.cone.top, Part(seed, _whole(self.frames[self.cone.top]), own=True, clean=True))
        for index in self.cone.order:
            if self.compiled and steps[index].op == "relu" and self.means.rule != "deconvnet":
                part = self._joined_and_rectified(index, self.compiled)
                self._give(index, steps[index].inputs[0], part)
                continue
            joined = self._joined(index)
            if index == 0:
                return self._reframed(self._settled(joined, index), self.frames[0], frame)
            self._back(index, steps[index], joined)
        raise AssertionError("the input belongs to every cone")

    # -- one step back ---------------------------------------------------------------------------------------

    def _back(self, index: int, step: Step, part: Part) -> None:
        match step.op:
            case "conv":
                self._back_through_convolution(index, step, part)
            case "max_pool":
                self._back_through_max_pool(index, step, part)
            case "avg_pool":
                self._back_through_average(index, step, part)
            case "relu":
                self._give(index, step.inputs[0], self._rectified(index, part))
            case "affine":
                assert step.weight is not None
                part.value = part.value * step.weight.to(part.value.dtype)
                part.own = True
                self._give(index, step.inputs[0], part)
            case "add":
                for source in step.inputs:
                    self._give(index, source, Part(part.value, part.place, own=False, clean=part.clean))
            case "concat":
                sizes = [self.switches.sizes[source][0] for source in step.inputs]
                for source, value in zip(step.inputs, part.value.split(sizes, 3), strict=True):
                    self._give(index, source, Part(value, part.place, own=False, clean=part.clean))
            case _:
                raise AssertionError(step.op)  # Cone has refused it

    def _give(self, index: int, source: int, part: Part) -> None:
        """Hand a gradient on to a step whose map has the same size."""
        value, own, clean = part.value, part.own, part.clean
        frame = self._towards(index, source)
        if frame != self.frames[index]:
            value, own, clean = self._reframed(value, self.frames[index], frame), True, True
        (take_rows, rows), (take_columns, columns) = (
            frame[axis].meet(self.frames[source][axis], 1, 0) for axis in (0, 1)
        )  # fmt: skip
        value = value[:, take_rows, take_columns]
        self._add(source, Part(value, (rows, columns), own, clean))

    def _rectified(self, index: int, part: Part) -> Part:
        rule, value = self.means.rule, part.value
        if rule == "deconvnet":
            value = value.relu_() if part.own else value.relu()
            return Part(value, part.place, own=True, clean=part.clean)
        value = value.contiguous() if part.own else value.clone(memory_format=torch.contiguous_format)
        where, table = self._index(self.frames[index], index).view(-1), self.switches.masks[index]
        rows = value.view(-1, value.shape[3])  # (U · h · w, C)
        for some in self._slices(len(rows), value.shape[3]):
            passed = rows[some].relu_() if rule == "guided" else rows[some]
            mask = table.index_select(0, where[some])
            # A CPU turns bytes into floats first and fast; a GPU multiplies by bytes in one go.
            passed.mul_(mask if value.is_cuda else mask.to(value.dtype))
        return Part(value, part.place, own=True, clean=True)

    def _joined_and_rectified(self, index: int, compiled: Loops) -> Part:
        """As `_joined` and then `_rectified`, going over the gradients once."""
        frame, parts = self.frames[index], self.parts.pop(index, [])
        whole = _whole(frame)
        base = next((part for part in parts if part.own and part.place == whole), None)
        base = base or next((part for part in parts if part.place == whole), None)
        others = [part for part in parts if part is not base]
        if base is None:
            sizes = (len(self.units), frame[0].size, frame[1].size, self.switches.sizes[index][0])
            base = Part(torch.zeros(sizes, dtype=self.means.dtype), whole, own=True, clean=True)
        if len(others) > 1:  # never in networks of the ResNet family
            self.parts[index] = [base, *others[1:]]
            base, others = self._joined(index), others[:1]
        value = base.value.contiguous()
        result = value if base.own else torch.empty_like(value)
        flat, layout = _flat(others[0]) if others else _nothing(value.dtype)
        compiled.rectify(
            value.numpy(),
            result.numpy(),
            flat.numpy(),
            layout,
            self._index(frame, index).numpy(),
            self.switches.masks[index].numpy(),
            self.means.rule == "guided",
        )
        return Part(result, whole, own=True, clean=True)

    def _back_through_convolution(self, index: int, step: Step, part: Part) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        found = self.means.convolution(index)(value, out, self.frames[source])
        if found is not None:
            # Zero columns stay zero in a 1 × 1 convolution; larger kernels reach over the border.
            clean = (step.kernel == 1 and not step.padding) or self.inside[source]
            self._add(source, Part(*found, own=True, clean=clean))

    def _back_through_max_pool(self, index: int, step: Step, part: Part) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        into = self.frames[source]
        if self.compiled:
            self._add(
                source, Part(self._unpooled(index, step, value, out), _whole(into), own=True, clean=True)
            )
            return
        # As floats, since torch compares those into floats several times as fast as bytes into booleans.
        where, table = self._index(out, index), self.switches.taps[index]
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        for some in self._slices(len(value), value[0].numel()):
            taps = table.index_select(0, where[some].view(-1)).view(value[some].shape).to(torch.float32)
            here = torch.empty_like(value[some])  # (u, h, w, C)
            for tap in range(step.kernel**2):
                reach = [offset * step.dilation - step.padding for offset in divmod(tap, step.kernel)]
                (take_rows, rows), (take_columns, columns) = (
                    out[axis].meet(into[axis], step.stride, reach[axis]) for axis in (0, 1)
                )  # fmt: skip
                torch.eq(taps, tap, out=here).mul_(value[some])
                result[some, rows, columns] += here[:, take_rows, take_columns]
        self._add(source, Part(result, _whole(into), own=True, clean=True))

    def _unpooled(self, index: int, step: Step, value: Tensor, out: Frame) -> Tensor:
        """The gradient (U, h, w, C) on the frame `out` at the places that a max-pool took its values from."""
        assert self.compiled is not None
        into = self.frames[step.inputs[0]]
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        start = tuple(
            one.low * step.stride - step.padding - other.low for one, other in zip(out, into, strict=True)
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

    def _back_through_average(self, index: int, step: Step, part: Part) -> None:
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
        self._add(source, Part(result, _whole(into), own=True, clean=self.inside[source]))

    # -- windows ---------------------------------------------------------------------------------------------

    def _add(self, index: int, part: Part) -> None:
        self.parts.setdefault(index, []).append(part)

    def _joined(self, index: int) -> Part:
        """The sum of what all paths bring to a step, filling the step's frame."""
        frame, parts = self.frames[index], self.parts.pop(index, [])
        whole = _whole(frame)
        clean = all(part.clean for part in parts)
        if len(parts) == 1 and parts[0].place == whole:
            return parts[0]
        base = next((part for part in parts if part.own and part.place == whole), None)
        if base is None:
            channels = self.switches.sizes[index][0]
            sizes = (len(self.units), frame[0].size, frame[1].size, channels)
            total = torch.zeros(sizes, dtype=self.means.dtype, device=self.means.device)
        else:
            total = base.value
        for part in parts:
            if part is not base:
                total[:, part.place[0], part.place[1]] += part.value
        return Part(total, whole, own=True, clean=clean)

    def _settled(self, part: Part, index: int) -> Tensor:
        """The gradient with zeros outside the map."""
        if part.clean or self.inside[index]:
            return part.value
        on_map = (
            (self._index(self.frames[index], index) > 0).unsqueeze(3).to(part.value.dtype)
        )  # (U, h, w, 1)
        return part.value.mul_(on_map) if part.own else part.value * on_map

    def _towards(self, index: int, source: int) -> Frame:
        """The step's frame, with the whole map where its source's frame is the whole map."""
        rows, columns = self.frames[index]
        _, height, width = self.switches.sizes[index]
        into = self.frames[source]
        return (
            Window(0, 0, height) if into[0].scale == 0 else rows,
            Window(0, 0, width) if into[1].scale == 0 else columns,
        )

    def _aligned(self, index: int, source: int, part: Part) -> tuple[Tensor, Frame]:
        """The gradient, zero outside the map, on a frame that lines up with its source's."""
        value = self._settled(part, index)
        frame = self._towards(index, source)
        return self._reframed(value, self.frames[index], frame), frame

    def _reframed(self, value: Tensor, old: Frame, new: Frame) -> Tensor:
        """Move gradients from one frame to another, each unit's to its own place."""
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
        """Cut `count` rows of `size` values so that on a CPU one operation finds them cached by the last."""
        length = max(1, NEAR // size) if self.means.device.type == "cpu" else max(1, count)
        return [slice(start, start + length) for start in range(0, count, length)]


Layout = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def _nothing(dtype: torch.dtype) -> tuple[Tensor, Layout]:
    return torch.zeros(1, dtype=dtype), ((0, 0, 0), (0, 0), (0, 0), (1, 1))


def _flat(part: Part) -> tuple[Tensor, Layout]:
    """A part's memory, and the layout by which compiled.Loops.rectify reads it."""
    if not part.value.numel():
        return _nothing(part.value.dtype)
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


def _span(positions: Tensor) -> tuple[int, int]:
    return int(positions.min()), int(positions.max())

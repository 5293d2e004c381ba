"""The gradient of single units at the input pixels, under three rules for passing back through a ReLU.

One forward pass of a batch of pictures leaves its switches (generator/switches.py). The backward pass of a unit then
walks the graph from the unit's layer to the pixels, but only over the unit's cone (generator/cones.py), many units of a
layer at once. It is exact: in float64 it agrees with automatic differentiation of the whole network to rounding.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Literal, get_args

import torch
from torch import Tensor

from generator.cones import Cone, Frame, Window, flat_index
from generator.errors import AtlasError
from generator.graph import Step
from generator.network import Network
from generator.switches import Switches, Units, crops, forward_switches
from generator.transposed import Place, TransposedConvolution

__all__ = ["ReluRule", "Switches", "UnitGradients", "Units", "crops", "forward_switches"]

ReluRule = Literal["guided", "deconvnet", "plain"]
MEMORY = {"cpu": 64 << 20, "cuda": 2 << 30}  # bytes a batch of units may take; on a CPU, what stays near its caches
LIVE = 4  # gradients the size of the largest that are alive at once: two paths, a result, a mask


class UnitGradients:
    """Gradients of units of a network.

    rule: "guided" (arXiv:1412.6806) passes a gradient back through a ReLU where its input was positive and the gradient
    is; "deconvnet" (arXiv:1311.2901) where the gradient is positive; "plain", the true gradient, where the input was.
    dtype: of the backward pass, by default the network's own (torch.bfloat16 is an approximation: ≤ 1.2 % of the peak);
    memory: bytes that one batch of units may take.
    """

    def __init__(
        self,
        network: Network,
        rule: ReluRule = "guided",
        *,
        dtype: torch.dtype | None = None,
        memory: int | None = None,
    ) -> None:
        some = next(step.weight for step in network.graph.steps if step.weight is not None)
        self.network, self.device = network, some.device
        self.dtype = dtype or some.dtype
        self.memory = memory or MEMORY.get(self.device.type, MEMORY["cpu"])
        self.rule = _checked(rule)
        self._cones: dict[int, Cone] = {}
        self._convolutions: dict[int, TransposedConvolution] = {}

    def with_rule(self, rule: ReluRule) -> UnitGradients:
        """The same engine with another rule; what was prepared is shared."""
        other = copy.copy(self)
        other.rule = _checked(rule)
        return other

    @torch.no_grad()
    def gradients(self, switches: Switches, layer: str, units: Units) -> Tensor:
        """The gradient of each unit's value with respect to the pixels of the network's input.

        Returns (U, 3, S, S) in the order of the units: where the layer's receptive field fits into the picture, S is its
        side and [0, 0] its top left corner (zero where it hangs over the border); else the whole picture, (U, 3, H, W).
        Raises AtlasError for a unit that the layer does not have, or switches that end before the layer.
        """
        top = self.network.step(layer)
        if top not in switches.sizes:
            raise AtlasError("the switches end before this layer", layer, "run forward_switches up to it")
        _check(units, layer, switches.sizes[top])
        cone = self._cone(top)
        frame = self._frame(cone, switches)
        result = torch.empty(
            len(units), frame[0].size, frame[1].size, switches.sizes[0][0], dtype=self.dtype, device=self.device
        )
        for batch in _batches(units, max(1, self.memory // self._bytes(cone, switches))):
            some = units.take(batch)
            descent = _Descent(self, cone, switches, some)
            result[batch.to(self.device)] = descent.gradient(some.channel, frame)
        return result.permute(0, 3, 1, 2)

    @torch.no_grad()
    def unshared(self, pictures: Tensor, layer: str, units: Units, *, batch: int = 64) -> Tensor:
        """As `gradients`, for units that share their picture with no or few others: the forward pass runs on the crop
        that each unit sees. pictures: (P, 3, H, W); batch: crops in one forward pass."""
        results: list[Tensor] = []
        for some in torch.arange(len(units)).split(batch):
            cut, inside = crops(self.network, pictures, layer, units.take(some))
            results.append(self.gradients(forward_switches(self.network, cut, layer), layer, inside))
        return torch.cat(results)

    def convolution(self, index: int) -> TransposedConvolution:
        """The way back through the convolution at this step, prepared once."""
        if index not in self._convolutions:
            self._convolutions[index] = TransposedConvolution(self.network.graph.steps[index], self.dtype)
        return self._convolutions[index]

    def _cone(self, top: int) -> Cone:
        if top not in self._cones:
            self._cones[top] = Cone(self.network.graph, top)
        return self._cones[top]

    def _frame(self, cone: Cone, switches: Switches) -> Frame:
        """The frame of the result: the receptive field, or the whole picture where that is smaller."""
        seen, (_, height, width) = cone.windows[0], switches.sizes[0]
        if seen.size <= min(height, width):
            return seen, seen
        return Window(0, 0, height), Window(0, 0, width)

    def _bytes(self, cone: Cone, switches: Switches) -> int:
        """Memory of one unit: the largest of its gradients, several times."""
        largest = max(
            min(window.size, switches.sizes[index][1]) * min(window.size, switches.sizes[index][2]) * switches.sizes[index][0]
            for index, window in cone.windows.items()
        )
        return largest * LIVE * self.dtype.itemsize


@dataclass
class _Part:
    """What one path brings to a step: a gradient (U, h, w, C) for a place in the step's frame. own: whether nothing else
    reads the tensor; clean: whether it is zero outside the map."""

    value: Tensor
    place: Place
    own: bool
    clean: bool


@dataclass
class _Parts:
    of: dict[int, list[_Part]] = field(default_factory=dict)

    def add(self, index: int, part: _Part) -> None:
        self.of.setdefault(index, []).append(part)


class _Descent:
    """The backward pass of one batch of units of one layer."""

    def __init__(self, engine: UnitGradients, cone: Cone, switches: Switches, units: Units) -> None:
        self.engine, self.cone, self.switches = engine, cone, switches
        rows = cone.trimmed({i: size[1] for i, size in switches.sizes.items()}, _span(units.row))
        columns = cone.trimmed({i: size[2] for i, size in switches.sizes.items()}, _span(units.column))
        self.frames: dict[int, Frame] = {i: (rows[i], columns[i]) for i in cone.order}
        self.inside = {
            i: rows[i].inside(switches.sizes[i][1], _span(units.row))
            and columns[i].inside(switches.sizes[i][2], _span(units.column))
            for i in cone.order
        }
        self.units = units.to(engine.device)
        self.parts = _Parts()
        self._indices: dict[tuple[Frame, tuple[int, int]], Tensor] = {}

    def gradient(self, channels: Tensor, frame: Frame) -> Tensor:
        """The units' gradients at the pixels, (U, h, w, 3) in the given frame."""
        steps, count = self.engine.network.graph.steps, len(self.units)
        seed = torch.zeros(
            count, 1, 1, self.switches.sizes[self.cone.top][0], dtype=self.engine.dtype, device=self.engine.device
        )
        seed[torch.arange(count), 0, 0, channels] = 1
        self.parts.add(self.cone.top, _Part(seed, _whole(self.frames[self.cone.top]), own=True, clean=True))
        for index in self.cone.order:
            joined = self._joined(index)
            if index == 0:
                return self._reframed(self._settled(joined, index), self.frames[0], frame)
            self._back(index, steps[index], joined)
        raise AssertionError("the input belongs to every cone")

    # -- one step back ---------------------------------------------------------------------------------------------

    def _back(self, index: int, step: Step, part: _Part) -> None:
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
                    self._give(index, source, _Part(part.value, part.place, own=False, clean=part.clean))
            case "concat":
                sizes = [self.switches.sizes[source][0] for source in step.inputs]
                for source, value in zip(step.inputs, part.value.split(sizes, 3), strict=True):
                    self._give(index, source, _Part(value, part.place, own=False, clean=part.clean))
            case _:
                raise AssertionError(step.op)  # Cone has refused it

    def _give(self, index: int, source: int, part: _Part) -> None:
        """Hand a gradient on to a step whose map has the same size."""
        value, own, clean = part.value, part.own, part.clean
        frame = self._towards(index, source)
        if frame != self.frames[index]:
            value, own, clean = self._reframed(value, self.frames[index], frame), True, True
        (take_rows, rows), (take_columns, columns) = (
            frame[axis].meet(self.frames[source][axis], 1, 0) for axis in (0, 1)
        )  # fmt: skip
        value = value[:, take_rows, take_columns]
        self.parts.add(source, _Part(value, (rows, columns), own, clean))

    def _rectified(self, index: int, part: _Part) -> _Part:
        rule, value, clean = self.engine.rule, part.value, part.clean
        if rule != "plain":
            value = value.relu_() if part.own else value.relu()
        if rule != "deconvnet":
            mask = self._looked_up(self.switches.masks[index], index)
            if not value.is_cuda:
                mask = mask.to(value.dtype)
            value = value.mul_(mask) if part.own or rule == "guided" else value * mask
            clean = True
        return _Part(value, part.place, own=True, clean=clean)

    def _back_through_convolution(self, index: int, step: Step, part: _Part) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        found = self.engine.convolution(index)(value, out, self.frames[source])
        if found is not None:
            # Zero columns stay zero in a 1 × 1 convolution; larger kernels reach over the border.
            clean = step.kernel == 1 or self.inside[source]
            self.parts.add(source, _Part(*found, own=True, clean=clean))

    def _back_through_max_pool(self, index: int, step: Step, part: _Part) -> None:
        source = step.inputs[0]
        value, out = self._aligned(index, source, part)
        into = self.frames[source]
        # As floats, since torch compares those into floats several times as fast as bytes into booleans.
        taps = self._looked_up(self.switches.taps[index], index, out).to(torch.float32)  # (U, h, w, C)
        here = torch.empty_like(value)
        result = value.new_zeros(len(value), into[0].size, into[1].size, value.shape[3])
        for tap in range(step.kernel**2):
            reach = [offset * step.dilation - step.padding for offset in divmod(tap, step.kernel)]
            (take_rows, rows), (take_columns, columns) = (
                out[axis].meet(into[axis], step.stride, reach[axis]) for axis in (0, 1)
            )  # fmt: skip
            torch.eq(taps, tap, out=here).mul_(value)
            result[:, rows, columns] += here[:, take_rows, take_columns]
        self.parts.add(source, _Part(result, _whole(into), own=True, clean=True))

    def _back_through_average(self, index: int, step: Step, part: _Part) -> None:
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
        self.parts.add(source, _Part(result, _whole(into), own=True, clean=self.inside[source]))

    # -- windows ---------------------------------------------------------------------------------------------------

    def _joined(self, index: int) -> _Part:
        """The sum of what all paths bring to a step, filling the step's frame."""
        frame, parts = self.frames[index], self.parts.of.pop(index, [])
        whole = _whole(frame)
        clean = all(part.clean for part in parts)
        if len(parts) == 1 and parts[0].place == whole:
            return parts[0]
        base = next((part for part in parts if part.own and part.place == whole), None)
        if base is None:
            channels = self.switches.sizes[index][0]
            sizes = (len(self.units), frame[0].size, frame[1].size, channels)
            total = torch.zeros(sizes, dtype=self.engine.dtype, device=self.engine.device)
        else:
            total = base.value
        for part in parts:
            if part is not base:
                total[:, part.place[0], part.place[1]] += part.value
        return _Part(total, whole, own=True, clean=clean)

    def _settled(self, part: _Part, index: int) -> Tensor:
        """The gradient with zeros outside the map."""
        if part.clean or self.inside[index]:
            return part.value
        on_map = (self._index(self.frames[index], index) > 0).unsqueeze(3).to(part.value.dtype)  # (U, h, w, 1)
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

    def _aligned(self, index: int, source: int, part: _Part) -> tuple[Tensor, Frame]:
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

    def _looked_up(self, table: Tensor, index: int, frame: Frame | None = None) -> Tensor:
        """The switches at each position of a step's frame, (U, h, w, C)."""
        where = self._index(frame or self.frames[index], index)
        return table.index_select(0, where.view(-1)).view(*where.shape, table.shape[1])


def _whole(frame: Frame) -> Place:
    return slice(0, frame[0].size, 1), slice(0, frame[1].size, 1)


def _span(positions: Tensor) -> tuple[int, int]:
    return int(positions.min()), int(positions.max())


def _batches(units: Units, size: int) -> list[Tensor]:
    """Cut units into batches of at most `size` that lie close together, so that their windows are cut off at the border
    together."""
    done: list[Tensor] = []
    waiting = [torch.arange(len(units))] if len(units) else []
    while waiting:
        some = waiting.pop()
        batches = -(-len(some) // size)
        if batches == 1:
            done.append(some)
            continue
        row, column = units.row[some].cpu(), units.column[some].cpu()
        axis = row if row.max() - row.min() >= column.max() - column.min() else column
        some = some[axis.argsort(stable=True)]
        middle = len(some) * (batches // 2) // batches
        waiting += [some[middle:], some[:middle]]
    return done


def _checked(rule: ReluRule) -> ReluRule:
    if rule not in get_args(ReluRule):
        raise AtlasError("no such rule for ReLUs", rule, f"choose {', '.join(get_args(ReluRule))}")
    return rule


def _check(units: Units, layer: str, size: tuple[int, int, int]) -> None:
    for name, of, limit in zip(("channel", "row", "column"), (units.channel, units.row, units.column), size, strict=True):
        if len(units) and not (0 <= int(of.min()) and int(of.max()) < limit):
            worst = int(of.min()) if int(of.min()) < 0 else int(of.max())
            raise AtlasError(f"{layer} has no {name} {worst}", remedy=f"it has {limit}, counted from 0")

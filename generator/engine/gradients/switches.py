"""The switches of a forward pass, which the backward passes of all units of its pictures need: where each ReLU's input
was positive, and which position each max-pool took its value from. Also the crops on which a single unit's forward pass
can run instead of the whole picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from generator.core.records import ReceptiveField
from generator.network.network import Network
from generator.network.ops import Step

NOWHERE = 255  # the tap of a pooling position outside the map


@dataclass(frozen=True)
class Units:
    """Single units of one layer, int64 (U,) each. picture: index into the batch of the switches; channel, row, column:
    in the layer's map."""

    picture: Tensor
    channel: Tensor
    row: Tensor
    column: Tensor

    def __len__(self) -> int:
        return len(self.picture)

    def take(self, indices: Tensor) -> Units:
        """The units at these indices, (V,)."""
        return Units(self.picture[indices], self.channel[indices], self.row[indices], self.column[indices])

    def to(self, device: torch.device) -> Units:
        """The same units on a device."""
        if self.picture.device == device:
            return self
        parts = (self.picture, self.channel, self.row, self.column)
        return Units(*torch.stack(parts).to(device))  # one copy: each makes the host wait for the device


@dataclass(frozen=True)
class Switches:
    """The switches of P pictures.

    All by step. sizes: (C, H, W); masks: of each ReLU, 1 where its input was positive and below its limit; taps: of
    each max-pool, which position of its k × k window was the largest (row · k + column). Masks and taps are tables,
    (1 + P · H · W, C) uint8; row 0 stands for every position outside the map. maps: whole outputs that were to be kept,
    (P, C, H, W). pictures: the network's input, (P, C, H, W), where a layer's gradients are computed by torch
    (whole_maps.py); else None.
    """

    sizes: dict[int, tuple[int, int, int]]
    masks: dict[int, Tensor]
    taps: dict[int, Tensor]
    maps: dict[int, Tensor]
    pictures: Tensor | None = None

    def values(self, network: Network, layer: str, units: Units) -> Tensor:
        """The units' own values, (U,); the layer must have been named in `keep` of forward_switches."""
        maps = self.maps[network.step(layer)]
        units = units.to(maps.device)
        return maps[units.picture, units.channel, units.row, units.column]


@torch.no_grad()
def forward_switches(
    network: Network, pictures: Tensor, last: str | None = None, *, keep: Sequence[str] = ()
) -> Switches:
    """Run the network up to the layer `last` (default: the network's last layer) and keep its switches.

    For layers whose gradients torch computes (whole_maps.py) the pictures are kept instead, and the network runs no
    further than the other layers need.

    pictures: (P, 3, H, W) from network.prepare, or crops of it. keep: layers whose maps are kept for
    Switches.values.
    """
    graph = network.graph
    end = network.steps[-1] if last is None else network.step(last)
    keep_steps = {network.step(layer) for layer in keep}
    wanted = {step for step in network.steps if step <= end}
    by_torch = {step for step in wanted if not graph.is_windowed(step)}
    end = max(step for step in wanted - by_torch | keep_steps | {0} if step <= end)
    pictures = pictures.contiguous(memory_format=torch.channels_last)
    switches = Switches({}, {}, {}, {}, pictures if by_torch else None)
    height, width = pictures.shape[2:]
    shapes = graph.shapes((height, width), end)
    switches.sizes.update((i, shape) for i, shape in enumerate(shapes) if graph.is_windowed(i))
    switching = {i for i in switches.sizes if graph.steps[i].op in ("relu", "max_pool")}
    kept = {step for step in keep_steps if step <= end}
    arg_max: dict[int, Tensor] = {}
    for index, output in graph.visit(pictures, switching | kept | {end}, arg_max=arg_max):
        step = graph.steps[index]
        if index in switching and step.op == "relu":
            switches.masks[index] = _mask_table(output, step.limit)
        elif index in switching:
            switches.taps[index] = _tap_table(arg_max[index], step, shapes[step.inputs[0]][2])
        arg_max.clear()
        if index in kept:
            switches.maps[index] = output.clone()
    return switches


def _mask_table(output: Tensor, limit: float) -> Tensor:
    pictures, channels, height, width = output.shape
    table = torch.empty(1 + pictures * height * width, channels, dtype=torch.bool, device=output.device)
    table[0] = False
    last, inside = output.permute(0, 2, 3, 1), table[1:].view(pictures, height, width, channels)
    if output.device.type == "cpu" and output.dtype != torch.bfloat16:
        np.greater(last.numpy(), 0, out=inside.numpy())  # a sixth of the time that torch takes
    else:
        torch.gt(last, 0, out=inside)
    if limit < math.inf:
        inside &= last < limit
    # As bytes: torch converts them to floats six times as fast as booleans.
    return table.view(torch.uint8)


def _tap_table(arg_max: Tensor, pool: Step, width_in: int) -> Tensor:
    """From flat positions on the input map to positions within each pooling window."""
    pictures, channels, height, width = arg_max.shape
    first_row = torch.arange(height, device=arg_max.device, dtype=torch.int32) * pool.stride - pool.padding
    first_column = torch.arange(width, device=arg_max.device, dtype=torch.int32) * pool.stride - pool.padding
    start = first_row[:, None] * width_in + first_column
    # Within the window: row · W_in + column.
    within = arg_max.permute(0, 2, 3, 1).to(torch.int32) - start[:, :, None]
    row = within.div(width_in, rounding_mode="floor")
    column = within - row * width_in
    table = torch.empty(1 + pictures * height * width, channels, dtype=torch.uint8, device=arg_max.device)
    table[0] = NOWHERE
    taps = row.div_(pool.dilation, rounding_mode="floor") * pool.kernel
    table[1:] = taps.add_(column.div_(pool.dilation, rounding_mode="floor")).reshape(-1, channels)
    return table


def crop_side(field: ReceptiveField, extent: int) -> int:
    """The size in px, along an axis of `extent` px, of the crops for units with this receptive field."""
    size = field.side + _before(field)[1]
    return min(extent, size + (extent - size) % int(field.stride))


def _before(field: ReceptiveField) -> tuple[int, int]:
    """How many px before the picture the field of unit 0 begins, and how many px further before is a multiple of the
    stride."""
    before = -field.box(0, 0)[0]
    return before, -before % int(field.stride)


def crops(network: Network, pictures: Tensor, layer: str, units: Units) -> tuple[Tensor, Units]:
    """Each unit's receptive field cut from its picture, and the same units counted within these crops.

    Exact: a crop begins on a multiple of the layer's stride, so that strided positions stay on their grid,
    and ends beyond the receptive field or at the picture's own border, so that no padding is seen that was
    not there before. All crops have one size: where one would hang over the border it is moved back inside.
    Where the field is larger than the pictures, or something on the way reads whole maps, the pictures that
    are used are returned whole.

    pictures: (P, 3, H, W); returns (U, 3, h, w) and the units, whose picture is now their crop.
    """
    field = network.layer(layer).receptive_field
    extents = pictures.shape[2:]
    if field.side > min(extents) or not network.graph.is_local(network.step(layer)):
        used, place = units.picture.unique(return_inverse=True)
        return pictures[used.to(pictures.device)], Units(place, units.channel, units.row, units.column)
    starts: list[Tensor] = []
    sizes: list[int] = []
    for extent, position in zip(extents, (units.row, units.column), strict=True):
        before, back = _before(field)
        size = crop_side(field, extent)
        begin = position * field.stride - before - back
        starts.append(begin.clamp(0, extent - size))
        sizes.append(size)
    rows = starts[0][:, None] + torch.arange(sizes[0])  # (U, h)
    columns = starts[1][:, None] + torch.arange(sizes[1])  # (U, w)
    where = (units.picture[:, None, None], rows[:, :, None], columns[:, None, :])
    cut = pictures.permute(0, 2, 3, 1)[tuple(part.to(pictures.device) for part in where)]  # (U, h, w, 3)
    inside = Units(
        torch.arange(len(units)),
        units.channel,
        units.row - starts[0] // field.stride,
        units.column - starts[1] // field.stride,
    )
    return cut.permute(0, 3, 1, 2), inside

"""A residual block's sum, and all that is read of it: on a CPU in one pass over the maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from generator.engine.loops.compiled import Loops, loops
from generator.engine.scan.moments import Reduced, reduce_maps


@dataclass(frozen=True)
class Joined:
    """maps: the sum, (B, C, H, W), after its ReLU if it has one; reduced: its reductions; shortcut, branch: what either
    gives over the active positions, (B, C) float64; units: the number of these positions, (B, C) int64."""

    maps: Tensor
    reduced: Reduced
    shortcut: Tensor
    branch: Tensor
    units: Tensor


def join(shortcut: Tensor, branch: Tensor, *, rectified: bool, everywhere: bool) -> Joined:
    """Add two maps (B, C, H, W). rectified: whether a ReLU follows; everywhere: whether all positions are active, else
    those where the sum is above zero. Over these the maps are summed by row in their own type, the rows in float64."""
    if (
        shortcut.device.type == "cpu"
        and shortcut.dtype == torch.float32
        and (compiled := loops()) is not None
    ):
        return _join_compiled(shortcut, branch, rectified, everywhere, compiled)
    total = shortcut + branch
    counted = (total > 0) | everywhere
    # torch sums along an outer dimension in one order for any number of threads.
    rows = [torch.where(counted, maps, 0.0).permute(0, 2, 3, 1).sum(2) for maps in (shortcut, branch)]
    by_shortcut, by_branch = (of_rows.double().sum(1) for of_rows in rows)
    units = counted.permute(0, 2, 3, 1).flatten(1, 2).sum(1)
    maps = total.relu_() if rectified else total
    return Joined(maps, reduce_maps(maps), by_shortcut, by_branch, units)


def _join_compiled(
    shortcut: Tensor, branch: Tensor, rectified: bool, everywhere: bool, compiled: Loops
) -> Joined:
    batch, channels, height, width = shortcut.shape
    last = [maps.permute(0, 2, 3, 1).contiguous() for maps in (shortcut, branch)]
    result, row_maximum = torch.empty_like(last[0]), torch.empty(batch, height, channels)
    total, square, by_shortcut, by_branch = torch.empty(4, batch, channels, dtype=torch.float64)
    active = torch.empty(batch, channels, dtype=torch.int64)
    arrays = (result, row_maximum, total, square, active, by_shortcut, by_branch)
    compiled.join(
        *(maps.numpy() for maps in last), rectified, everywhere, *(array.numpy() for array in arrays)
    )
    count = height * width
    units = torch.full_like(active, count) if everywhere else active
    reduced = Reduced(row_maximum, row_maximum.amax(1), total.div_(count), square.div_(count), active)
    return Joined(result.permute(0, 3, 1, 2), reduced, by_shortcut, by_branch, units)

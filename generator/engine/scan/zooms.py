"""Pictures enlarged and reduced by any factor, and what every residual block responds to them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.scan.moments import LARGEST, channel_maxima
from generator.engine.scan.plan import padded
from generator.network.network import Network


@dataclass(frozen=True)
class ZoomPlan:
    """What is read. blocks: names of layers, in forward order; batch: pictures per forward; zooms: the factors."""

    blocks: tuple[str, ...]
    batch: int
    zooms: tuple[float, ...]


def zoom(pixels: Tensor, factor: float) -> Tensor:
    """Pictures of which everything is `factor` times as large. Above 1 the middle of each is cut out and resized to the
    whole; below 1 each is resized and mirrored at its border up to the old size (bilinear, antialiased).

    (n, H, W, 3) → float32 of the same shape; factor: at least ½, where the mirrored border is half of a picture.
    """
    maps = pixels.float().permute(0, 3, 1, 2)
    height, width = maps.shape[2:]
    if factor > 1:
        rows, columns = max(1, round(height / factor)), max(1, round(width / factor))
        top, left = (height - rows) // 2, (width - columns) // 2
        maps = _resized(maps[:, :, top : top + rows, left : left + columns], (height, width))
    elif factor < 1:
        small = _resized(maps, (round(height * factor), round(width * factor)))
        rows, columns = height - small.shape[2], width - small.shape[3]
        border = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
        maps = F.pad(small, border, mode="reflect")
    return maps.permute(0, 2, 3, 1)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=True)


@torch.no_grad()
def read_zooms(network: Network, pixels: Tensor, plan: ZoomPlan) -> np.ndarray:
    """The largest value anywhere in the map of every channel of the plan's blocks, at every zoom, (n, zooms, C)
    float32, the blocks' channels one after the other.

    network: in fp32, on its device; pixels: (n, H, W, 3) uint8, n ≤ plan.batch. Raises AtlasError for values that are
    not finite or too large.
    """
    steps = {network.step(name): number for number, name in enumerate(plan.blocks)}
    count = len(pixels)
    pixels = padded(pixels.to(network.device, non_blocking=True), plan.batch)
    read = []
    for factor in plan.zooms:
        maxima: list[Tensor] = [torch.empty(0)] * len(plan.blocks)
        for step, maps in network.graph.visit(network.prepare(zoom(pixels, factor)), steps):
            maxima[steps[step]] = channel_maxima(maps)[:count]
        read.append(torch.cat(maxima, 1))
    values = torch.stack(read, 1)
    if not (values.abs() <= LARGEST**0.5).all():  # NaN is never within a bound
        raise AtlasError(
            "an activation is not a finite number, or too large",
            "on enlarged or reduced pictures",
            "check that the weights belong to this network and its preprocessing",
        )
    return values.cpu().numpy()

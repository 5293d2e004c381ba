"""Exact sums over groups of pictures, from which a standard error over pictures follows.

A picture's group depends on its number in the picture set alone: the sums do not depend on batches, processes or
resumed runs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from generator.engine.loops.compiled import loops
from generator.engine.scan.moments import BITS, WHOLE, FixedSum

GROUPS = 20


def group_of(images: Tensor) -> Tensor:
    """The group of each picture, from 0 to GROUPS − 1, (n,) int64; images: (n,) int64 picture numbers, on the CPU.

    Drawn by a hash (the finaliser of SplitMix64): pictures of one class often have consecutive numbers, or numbers at
    equal steps.
    """
    x = images.numpy().astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = x ^ (x >> np.uint64(31))
    return torch.from_numpy((x % np.uint64(GROUPS)).astype(np.int64))


class GroupedSum:
    """A FixedSum per group and channel. Memory: 16 · GROUPS · C bytes."""

    def __init__(self, channels: int, device: torch.device | str = "cpu") -> None:
        self._channels = channels
        self.fixed = FixedSum(GROUPS * channels, device)

    def add(self, values: Tensor, groups: Tensor) -> None:
        """Add values (B, C) float64 of pictures of these groups, (B,), each rounded to 2^-32 on its own; the caller
        checks |values| ≤ LARGEST."""
        if values.device.type == "cpu" and (compiled := loops()) is not None:
            high, low = (part.view(GROUPS, -1).numpy() for part in (self.fixed.high, self.fixed.low))
            rows = values.contiguous().numpy()
            for row, group in enumerate(groups.tolist()):
                compiled.add(rows[row : row + 1], high[group], low[group], WHOLE, BITS)
            return
        whole = (values * 2.0**-WHOLE).floor_()
        rest = ((values - whole * 2.0**WHOLE) * 2.0**BITS).round_().to(torch.int64)
        self.fixed.high += self._grouped(whole.to(torch.int64), groups)
        for part, of_part in zip(rest.split(64), groups.split(64), strict=True):  # 64 rests stay below 2^63
            self.fixed.carry(self._grouped(part, of_part))

    def _grouped(self, values: Tensor, groups: Tensor) -> Tensor:
        """The sums of int64 values (B, C) by group, flat."""
        empty = torch.zeros(GROUPS, self._channels, dtype=torch.int64, device=values.device)
        return empty.index_add_(0, groups, values).flatten()

    def merge(self, other: GroupedSum) -> None:
        """Add the sums of other pictures."""
        self.fixed.merge(other.fixed)

    def value(self) -> np.ndarray:
        """The sums, (GROUPS, C) float64."""
        return self.fixed.value().reshape(GROUPS, self._channels)

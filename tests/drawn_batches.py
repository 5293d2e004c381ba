"""Batches of pictures that no file holds, as a scan takes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Drawn:
    """A batch. indices: (B,) int64; pixels: (B, H, W, C) uint8."""

    indices: torch.Tensor
    pixels: torch.Tensor


def in_batches(pixels: torch.Tensor, size: int, order: torch.Tensor | None = None) -> list[Drawn]:
    """All pictures (N, H, W, C), `size` at a time, in their order or another one."""
    order = torch.arange(len(pixels)) if order is None else order
    return [Drawn(chosen, pixels[chosen]) for chosen in order.split(size)]

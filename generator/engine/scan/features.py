"""The vector that a network's classifier reads, for one batch of pictures."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from generator.engine.scan.plan import padded
from generator.network.network import Network


@torch.no_grad()
def read_vectors(network: Network, pixels: Tensor, step: int, forward: int) -> np.ndarray:
    """Decoded pictures (n, H, W, 3) uint8 → the step's output as rows, (n, F) float32.

    network: on its device, in the dtype of the scan; forward: pictures per forward pass. The network's layers are
    visited too, as in the scan: which operations are fused decides the last bits.
    """
    parts = []
    for part in pixels.split(forward):
        pictures = network.prepare(padded(part, forward))
        for index, maps in network.graph.visit(pictures, {*network.steps, step}):
            if index == step:
                parts.append(maps[: len(part)].flatten(1).float().cpu())
    return torch.cat(parts).numpy()

"""The vector that a network's classifier reads, of pictures one batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from generator.engine.scan.plan import FORWARD_BATCH
from generator.engine.scan.scan import padded
from generator.network.network import Network


@torch.no_grad()
def read_vectors(network: Network, pixels: Tensor, step: int, forward: int = FORWARD_BATCH) -> np.ndarray:
    """Decoded pictures (n, H, W, 3) uint8 → the step's output as rows, (n, F) float32. forward: pictures that the
    network takes at once.

    network: on its device, in the dtype of the scan. The layers of the network are visited too, as the scan visits
    them: what is fused on the way decides the last bits.
    """
    parts = []
    for some in pixels.split(forward):
        pictures = network.prepare(padded(some, forward))
        for index, maps in network.graph.visit(pictures, {*network.steps, step}):
            if index == step:
                parts.append(maps[: len(some)].flatten(1).float().cpu())
    return torch.cat(parts).numpy()

"""The vector that a network's classifier reads, of pictures one batch at a time."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from generator.network import Network
from generator.scan import FORWARD, padded


@torch.no_grad()
def read_vectors(network: Network, pixels: Tensor, step: int) -> np.ndarray:
    """Decoded pictures (n, H, W, 3) uint8, n ≤ FORWARD → the step's output as rows, (n, F) float32.

    network: on its device, in the dtype of the scan. The layers of the network are visited too, as the scan visits
    them: what is fused on the way decides the last bits.
    """
    pictures = network.prepare(padded(pixels, FORWARD))
    found = pictures.new_zeros(len(pixels), 0)
    for index, maps in network.graph.visit(pictures, {*network.steps, step}):
        if index == step:
            found = maps[: len(pixels)].flatten(1).float()
    return found.cpu().numpy()

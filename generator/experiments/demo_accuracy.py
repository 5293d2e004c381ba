"""Predictions of the demo network on drawings, to measure its accuracy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from generator.network.models.demo import MEAN, STD


def prepared(pictures: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Pictures (B, 96, 96, 3) as the network's input: (B, 3, 96, 96), normalised, channels last."""
    batch = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, W)
    mean = torch.tensor(MEAN, device=device).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=device).view(1, 3, 1, 1)
    return (batch - mean) / std


@torch.inference_mode()
def predictions(network: nn.Module, pictures: NDArray[np.uint8], batch: int = 128) -> NDArray[np.int64]:
    """The class predicted for each picture: (N, 96, 96, 3) → (N,). The network is left in eval mode.

    batch: pictures per forward pass."""
    network.eval()
    device = next(network.parameters()).device
    classes = [
        network(prepared(pictures[start : start + batch], device)).argmax(dim=1).cpu().numpy()
        for start in range(0, len(pictures), batch)
    ]
    return np.concatenate(classes)

"""Pictures of unit gradients: guided (arXiv:1412.6806), deconvnet (arXiv:1311.2901), plain (arXiv:1312.6034)."""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from generator.sprites import gradient_pixels


def gradient_tiles(gradients: Tensor, native: int) -> np.ndarray:
    """Gradients at the pixels (U, 3, S, S) → tiles (U, native, native, 3) uint8, each on its own scale.

    A field larger than its tile is shrunk before it is scaled, so that every tile uses the whole range of greys.
    """
    gradients = gradients.float()
    if gradients.shape[-1] != native:
        gradients = F.interpolate(gradients, size=(native, native), mode="bilinear", antialias=True)
    return gradient_pixels(gradients.permute(0, 2, 3, 1).cpu().numpy())

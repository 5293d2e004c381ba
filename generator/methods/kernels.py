"""The first convolution's kernels as pixels (arXiv:1701.02362, Figure 8)."""

from __future__ import annotations

import numpy as np

from generator.errors import AtlasError
from generator.network import Network
from generator.sprites import gradient_pixels


def first_kernels(network: Network) -> np.ndarray:
    """(C, k, k, 3) uint8: each kernel in the colours it weighs, zero mid-grey, on its own scale.

    These are the convolution's own weights. Where the gain of the BatchNorm behind it is negative the channel answers
    to the kernel's negative; the page says so.
    """
    if network.kernels is None:
        raise AtlasError("the first convolution does not read three colours", network.model)
    return gradient_pixels(network.kernels.permute(0, 2, 3, 1).double().numpy())

"""What keeps an optimised picture quiet: the four regularisers of arXiv:1506.06579, section 3.1, and total variation.

They act on latent pictures (generator/engine/ascent/parametrisations.py), (B, 3, n, n) with zero for mid-grey."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Regularisers:
    """l2_decay: share of every latent value that a step takes away; blur: standard deviation in px of a Gaussian,
    applied every blur_every steps; clip_norm: share of the pixels, those of the smallest norm over the colours, that a
    step sets to grey; clip_contribution: the same of those that contribute least, |Σ x · ∂/∂x| over the colours;
    total_variation: weight of the mean absolute difference between neighbouring pixels, against a gradient of the
    objective whose root mean square is one. Zero turns each off."""

    l2_decay: float = 0.0
    blur: float = 0.0
    blur_every: int = 4
    clip_norm: float = 0.0
    clip_contribution: float = 0.0
    total_variation: float = 0.0

    @property
    def change_pixels(self) -> bool:
        return bool(self.l2_decay or self.blur or self.clip_norm or self.clip_contribution)

    def apply(self, latent: Tensor, gradient: Tensor, step: int) -> Tensor:
        """The latent pictures after a step. gradient: of the objective, at the latent picture; step: from 0."""
        if self.l2_decay:
            latent = latent * (1 - self.l2_decay)
        if self.blur and (step + 1) % self.blur_every == 0:
            latent = gaussian_blur(latent, self.blur)
        if self.clip_norm:
            latent = clip_smallest(latent, latent.norm(dim=1), self.clip_norm)
        if self.clip_contribution:
            latent = clip_smallest(latent, (latent * gradient).sum(1).abs(), self.clip_contribution)
        return latent


def gaussian_blur(latent: Tensor, sigma: float) -> Tensor:
    """Blurred with a Gaussian of this standard deviation in px; beyond the edge lies the picture's mirror image."""
    side = latent.shape[-1]
    half = min(max(1, round(3 * sigma)), side - 1)
    offsets = torch.arange(-half, half + 1, dtype=latent.dtype, device=latent.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    flat = F.pad(latent.flatten(0, 1)[:, None], (half, half, half, half), mode="reflect")
    flat = F.conv2d(F.conv2d(flat, kernel[None, None, None, :]), kernel[None, None, :, None])
    return flat[:, 0].unflatten(0, latent.shape[:2])


def clip_smallest(latent: Tensor, measure: Tensor, share: float) -> Tensor:
    """Latent pictures whose pixels of the smallest measure, this share of them, are grey; measure: (B, n, n)."""
    count = int(share * measure[0].numel())
    if not count:
        return latent
    threshold = measure.flatten(1).kthvalue(count, dim=1).values
    return latent * (measure > threshold[:, None, None])[:, None]


def total_variation_gradient(latent: Tensor) -> Tensor:
    """Gradient of the sum of absolute differences between neighbouring pixels: whole numbers from −4 to 4."""
    gradient = torch.zeros_like(latent)
    down = (latent[:, :, 1:] - latent[:, :, :-1]).sign()
    right = (latent[:, :, :, 1:] - latent[:, :, :, :-1]).sign()
    gradient[:, :, 1:] += down
    gradient[:, :, :-1] -= down
    gradient[:, :, :, 1:] += right
    gradient[:, :, :, :-1] -= right
    return gradient

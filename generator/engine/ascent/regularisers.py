"""Regularisers that keep optimised pictures smooth: the four of arXiv:1506.06579, section 3.1, and total variation.

They act on latent pictures (generator/engine/ascent/parametrisations.py), (B, C, h, w) with zero for mid-grey."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.transforms import functional


@dataclass(frozen=True)
class Regularisers:
    """Which regularisers act, and how strongly; zero turns each off.

    l2_decay: share of every latent value that a step takes away. blur: standard deviation in px of a Gaussian, applied
    every blur_every steps. clip_norm: share of the pixels that a step sets to grey, those of the smallest norm over the
    colours. clip_contribution: the same for those that contribute least, |Σ x · ∂/∂x| over the colours.
    total_variation: weight of the mean absolute difference between neighbouring pixels, relative to a gradient of the
    objective whose root mean square is one.
    """

    l2_decay: float = 0.0
    blur: float = 0.0
    blur_every: int = 4
    clip_norm: float = 0.0
    clip_contribution: float = 0.0
    total_variation: float = 0.0

    @property
    def change_pixels(self) -> bool:
        """Whether `apply` does anything."""
        return bool(self.l2_decay or self.blur or self.clip_norm or self.clip_contribution)

    def apply(self, latent: Tensor, gradient: Tensor, step: int) -> Tensor:
        """The latent pictures after a step, (B, C, h, w); gradient: of the objective, at the latent pictures; step:
        counted from 0."""
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
    """Latent pictures blurred with a Gaussian of standard deviation `sigma` px, cut off at 3 σ or the picture's shorter
    side; beyond the edge lies the picture's mirror image. (B, C, h, w) → (B, C, h, w)"""
    half = min(max(1, round(3 * sigma)), min(latent.shape[2:]) - 1)
    return functional.gaussian_blur(latent, [2 * half + 1] * 2, [sigma] * 2)


def clip_smallest(latent: Tensor, measure: Tensor, share: float) -> Tensor:
    """Latent pictures whose pixels of the smallest measure, this share of them, are grey; measure: (B, h, w)."""
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

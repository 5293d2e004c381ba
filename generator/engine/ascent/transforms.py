"""Robustness transforms (Olah et al. 2017, "Feature visualization"), by Lucid's names: pad, jitter, random_scale,
random_rotate, compose, standard_transforms.

An optimised picture is to excite its unit also when it is moved, scaled and turned a little. The transforms of a step
are composed into one affine map for every picture and the picture is sampled once (bilinear), so that no transform
blurs what another has blurred already. What is looked at keeps its size: jitter moves it instead of cutting it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["pad", "jitter", "scale", "rotate"]


@dataclass(frozen=True)
class Transform:
    """One transform. values: what is drawn from, each as likely as another (px of a jitter's range, factors,
    degrees)."""

    kind: Kind
    values: tuple[float, ...]


def pad(w: int) -> Transform:
    """Mid-grey around the picture (Lucid's constant_value 0.5) instead of its own edge carried on; w: px, from 1."""
    return Transform("pad", (float(w),))


def jitter(d: int) -> Transform:
    """Move by a whole number of px, 0 … d − 1 less half of d, in both directions."""
    return Transform("jitter", (float(d),))


def random_scale(scales: Sequence[float]) -> Transform:
    """Enlarge about the middle by one of these factors."""
    return Transform("scale", tuple(float(scale) for scale in scales))


def random_rotate(angles: Sequence[float]) -> Transform:
    """Turn about the middle by one of these angles in degrees."""
    return Transform("rotate", tuple(float(angle) for angle in angles))


Transforms = tuple[Transform, ...]

# Lucid's lucid.optvis.transform.standard_transforms.
standard_transforms: Transforms = (
    pad(12),
    jitter(8),
    random_scale([1 + (i - 5) / 50.0 for i in range(11)]),
    random_rotate([*range(-10, 11), *(5 * [0])]),
    jitter(4),
)

DRAWS = 2  # random numbers that a transform takes for one step of one picture


def reach(transforms: Transforms, side: int) -> int:
    """How many px beyond a square of this side the transforms may look, at each edge."""
    half, moved = side / 2, 0.0
    for transform in transforms:
        match transform.kind:
            case "jitter":
                moved += transform.values[0] / 2
            case "scale":
                least = min(transform.values)
                half, moved = half / least, moved / min(1.0, least)
            case "rotate":
                angle = math.radians(max(abs(value) for value in transform.values))
                turn = math.cos(angle) + math.sin(angle)
                half, moved = half * turn, moved * turn
    return max(0, math.ceil(half + moved - side / 2))


def matrices(transforms: Transforms, draws: np.ndarray) -> np.ndarray:
    """From px of what is looked at to px of the picture, both counted from their middle: (..., 2, 3), x before y.

    draws: (..., len(transforms), 2), even in [0, 1).
    """
    whole = np.zeros((*draws.shape[:-2], 3, 3))
    whole[...] = np.eye(3)
    for number, transform in enumerate(transforms):
        part = np.zeros_like(whole)
        part[...] = np.eye(3)
        first, second = draws[..., number, 0], draws[..., number, 1]
        if transform.kind == "jitter":
            width = transform.values[0]
            part[..., 0, 2] = np.floor(first * width) - width // 2
            part[..., 1, 2] = np.floor(second * width) - width // 2
        elif transform.kind in ("scale", "rotate"):
            value = np.asarray(transform.values)[(first * len(transform.values)).astype(int)]
            if transform.kind == "scale":
                part[..., 0, 0] = part[..., 1, 1] = 1 / value
            else:
                angle = np.deg2rad(value)
                part[..., 0, 0] = part[..., 1, 1] = np.cos(angle)
                part[..., 0, 1], part[..., 1, 0] = -np.sin(angle), np.sin(angle)
        whole = whole @ part
    return whole[..., :2, :]


def compose(transforms: Transforms, draws: np.ndarray, pictures: Tensor, *, first: int, size: int) -> Tensor:
    """What is looked at after all transforms: (B, 3, n, n) pictures → (B, 3, size, size).

    draws: (B, len(transforms), 2); first: px of the picture at which, without transforms, the window begins. Outside
    the picture lies its own edge, or grey where one of the transforms is a pad.
    """
    moving = any(transform.kind != "pad" for transform in transforms)
    if not moving:
        return pictures[:, :, first : first + size, first : first + size]
    ground = any(transform.kind == "pad" for transform in transforms)
    if ground:
        pictures = F.pad(pictures, (1, 1, 1, 1), value=0.5)
    side = pictures.shape[-1]
    theta = matrices(transforms, draws)  # (B, 2, 3)
    centre = first + ground + (size - 1) / 2  # of the window, in px of the picture
    offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    way = torch.from_numpy(theta)
    x = way[:, 0, 0, None, None] * offset[None, None, :] + way[:, 0, 1, None, None] * offset[None, :, None]
    y = way[:, 1, 0, None, None] * offset[None, None, :] + way[:, 1, 1, None, None] * offset[None, :, None]
    spot = torch.stack([x + way[:, 0, 2, None, None], y + way[:, 1, 2, None, None]], -1) + centre
    grid = (2 * spot + 1) / side - 1  # grid_sample counts from −1 to 1, pixels' middles within
    grid = grid.to(pictures.device, pictures.dtype)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)

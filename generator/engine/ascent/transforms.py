"""Robustness transforms (Olah et al. 2017, "Feature visualization"), by Lucid's names: pad, jitter, random_scale,
random_rotate, compose, standard_transforms.

An optimised picture should activate its unit also when it is moved, scaled and turned a little. The transforms of a
step are composed into one affine map per picture, and the picture is sampled once (bilinear), so that it is not blurred
repeatedly. The window that the network sees keeps its size: jitter moves it instead of cropping it."""

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
    """One transform. values: the equally likely values to draw from: factors of a scale, degrees of a rotation; of a
    jitter its range and of a pad its width, px."""

    kind: Kind
    values: tuple[float, ...]


def pad(w: int) -> Transform:
    """Mid-grey around the picture (Lucid's constant_value 0.5) instead of its own edge carried on; w: px, from 1."""
    return Transform("pad", (float(w),))


def jitter(d: int) -> Transform:
    """Move by a whole number of px, from −⌊d / 2⌋ to d − 1 − ⌊d / 2⌋, along both axes."""
    return Transform("jitter", (float(d),))


def random_scale(scales: Sequence[float]) -> Transform:
    """Scale about the middle by one of these factors."""
    return Transform("scale", tuple(float(scale) for scale in scales))


def random_rotate(angles: Sequence[float]) -> Transform:
    """Rotate about the middle by one of these angles in degrees."""
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
    """How many px beyond a square of this side, at each edge, the transforms may sample."""
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
    """Affine maps from px of the window to px of the picture, both counted from their middle: (…, 2, 3), x before y.

    draws: (…, len(transforms), 2), uniform in [0, 1).
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
    """The window after all transforms: (B, 3, n, n) pictures → (B, 3, size, size).

    draws: (B, len(transforms), 2), uniform in [0, 1); first: px of the picture at which the window begins without
    transforms. Outside the picture its edge is carried on, or lies grey if one of the transforms is a pad.
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
    affine = torch.from_numpy(theta)
    x = (
        affine[:, 0, 0, None, None] * offset[None, None, :]
        + affine[:, 0, 1, None, None] * offset[None, :, None]
    )
    y = (
        affine[:, 1, 0, None, None] * offset[None, None, :]
        + affine[:, 1, 1, None, None] * offset[None, :, None]
    )
    position = torch.stack([x + affine[:, 0, 2, None, None], y + affine[:, 1, 2, None, None]], -1) + centre
    grid = (2 * position + 1) / side - 1  # grid_sample counts from −1 to 1, pixels' middles within
    grid = grid.to(pictures.device, pictures.dtype)
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)

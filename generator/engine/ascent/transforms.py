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

from generator.core.records import Size

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


def reach(transforms: Transforms, size: Size) -> Size:
    """How many px beyond a rectangle of this height and width the transforms may sample: above and below, and at the
    sides."""
    half, moved = (size[0] / 2, size[1] / 2), 0.0
    for transform in transforms:
        match transform.kind:
            case "jitter":
                moved += transform.values[0] / 2
            case "scale":
                least = min(transform.values)
                half, moved = (half[0] / least, half[1] / least), moved / min(1.0, least)
            case "rotate":
                angle = math.radians(max(abs(value) for value in transform.values))
                turn = math.cos(angle) + math.sin(angle)
                half, moved = (_turned(*half, angle), _turned(*half[::-1], angle)), moved * turn
    rows, columns = (
        max(0, math.ceil(side + moved - whole / 2)) for side, whole in zip(half, size, strict=True)
    )
    return rows, columns


def _turned(half: float, other: float, angle: float) -> float:
    """Half the extent of a turned rectangle along the axis along which it was 2 · half long."""
    if half == other:
        return half * (math.cos(angle) + math.sin(angle))  # a square, rounded once
    return half * math.cos(angle) + other * math.sin(angle)


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


def compose(
    transforms: Transforms, draws: np.ndarray, pictures: Tensor, *, first: tuple[int, int], size: Size
) -> Tensor:
    """The window after all transforms: (B, C, h, w) pictures → (B, C, *size).

    draws: (B, len(transforms), 2), uniform in [0, 1); first: row and column of the picture at which the window begins
    without transforms. Outside the picture its edge is carried on, or lies grey if one of the transforms is a pad.
    """
    (top, left), (height, width) = first, size
    moving = any(transform.kind != "pad" for transform in transforms)
    if not moving:
        return pictures[:, :, top : top + height, left : left + width]
    ground = any(transform.kind == "pad" for transform in transforms)
    if ground:
        pictures = F.pad(pictures, (1, 1, 1, 1), value=0.5)
    affine = torch.from_numpy(matrices(transforms, draws))  # (B, 2, 3)
    # Positions count from −1 to 1 for grid_sample, pixels' middles within: 2 / side · (px from the picture's middle).
    # Each is the sum of a part that its row decides and one that its column decides.
    down = torch.arange(height, dtype=torch.float64) - (height - 1) / 2  # px from the window's middle
    right = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    middle = left + ground + (width - 1) / 2, top + ground + (height - 1) / 2
    grid = pictures.new_empty(len(pictures), height, width, 2)
    for axis, side in enumerate((pictures.shape[3], pictures.shape[2])):  # x before y
        by_row = affine[:, axis, 1, None] * down + affine[:, axis, 2, None] + (middle[axis] + (1 - side) / 2)
        by_column = affine[:, axis, 0, None] * right
        by_row, by_column = ((2 / side * part).to(grid) for part in (by_row, by_column))
        torch.add(by_row[:, :, None], by_column[:, None, :], out=grid[..., axis])
    return F.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)

"""The focus of a unit with a large receptive field: the smallest square that holds nine tenths of the energy of its
gradient picture. Patch and gradient are cut to it.

**Definition.** The *frame* of a unit is the square that its tile would show as a whole: its receptive field; or, where
that is larger than the picture's shorter side, the picture in the middle of a square. The energy of a pixel is the sum
over the channels of the squared gradient, as a whole number of LEVELS of the largest energy in the frame; sums of whole
numbers are exact. A square has a whole side of at least LEAST px and lies in the part of the frame that has pixels;
along an axis on which it is longer than that part, it covers the part and stays in the frame. Of the squares that hold
SHARE of the energy the focus is the smallest; of several that whose middle lies nearest to the energy's centre of
gravity, which is rounded to a whole pixel; of equally near ones the uppermost, then the one furthest left. A gradient
that is zero everywhere, or not finite, has no focus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.records import ReceptiveField, Size
from generator.core.sprites import FOCUS_LEAST
from generator.engine.loops.compiled import loops

SHARE = (9, 10)  # numerator, denominator
LEVELS = float(1 << 28)  # pictures of up to 2,048 × 2,048 px: no sum exceeds 63 bits
AT_ONCE = 1 << 25  # numbers of a map of sums that torch computes together


@dataclass(frozen=True)
class Frames:
    """The frames of U units. side: in px; origin: (U, 2), row and column of each frame's first pixel in the picture;
    seen: (U, 4), top, left, bottom and right of the part with pixels, counted in the frame."""

    side: int
    origin: np.ndarray
    seen: np.ndarray

    def in_picture(self, squares: np.ndarray) -> np.ndarray:
        """(U, 3) int32: squares in the frames, counted in the picture; zeros stay where there is no focus."""
        moved = squares.copy()
        moved[:, :2] += self.origin
        return np.where(squares[:, 2:] > 0, moved, 0).astype(np.int32)


def frames(field: ReceptiveField, size: Size, row: np.ndarray, column: np.ndarray) -> Frames:
    """The frames of units of one layer, at these rows and columns of its map, (U,); size: height and width of the
    pictures."""
    limits = np.array(size)
    if field.side > min(size):
        side = max(size)
        origin = np.broadcast_to(-((side - limits) // 2), (len(row), 2))
    else:
        side = field.side
        places = np.stack([row, column], axis=1)
        origin = np.rint(field.centre + places * field.stride - (side - 1) / 2).astype(np.int64)
    first, last = np.clip(-origin, 0, side), np.clip(limits - origin, 0, side)
    return Frames(side, origin, np.concatenate([first, last], axis=1).astype(np.int64))


def in_frames(gradients: Tensor, side: int) -> Tensor:
    """Gradients (U, C, h, w) → (U, C, side, side): a rectangle, the gradient of a whole picture, in the middle."""
    below, beside = side - gradients.shape[2], side - gradients.shape[3]
    if not below and not beside:
        return gradients
    return F.pad(gradients, (beside // 2, beside - beside // 2, below // 2, below - below // 2))


def focus_squares(gradients: Tensor, seen: np.ndarray) -> np.ndarray:
    """Gradients in their frames, (U, C, s, s), s at least LEAST, → their focus squares in the frame, (U, 3) int64:
    row, column and side in px; zeros where there is none. seen: of Frames."""
    compiled = loops() if gradients.device.type == "cpu" else None
    if compiled is None:
        few = max(1, AT_ONCE // gradients.shape[2] ** 2)
        parts = [
            _by_torch(some, torch.from_numpy(seen[start : start + few]).to(some.device))
            for start, some in zip(range(0, len(gradients), few), gradients.split(few), strict=True)
        ]
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, 3), np.int64)
    squares = np.zeros((len(gradients), 3), np.int64)
    maps = gradients.float() if gradients.dtype == torch.bfloat16 else gradients
    compiled.focus(maps.permute(0, 2, 3, 1).contiguous().numpy(), seen, FOCUS_LEAST, LEVELS, SHARE, squares)
    return squares


def _by_torch(gradients: Tensor, seen: Tensor) -> Tensor:
    """As engine/loops/focus_loop.py: for all units at once, without its short cuts."""
    side, device = gradients.shape[2], gradients.device
    energy = torch.zeros(gradients.shape[0], side, side, dtype=torch.float64, device=device)
    for channel in gradients.unbind(1):  # one after the other: sums of three numbers have one order
        energy += channel.double() ** 2
    peak = energy.amax((1, 2))
    held = (peak > 0) & torch.isfinite(energy).all(2).all(1)
    scale = LEVELS / torch.where(held, peak, 1)
    whole = torch.where(held[:, None, None], energy * scale[:, None, None] + 0.5, 0).floor().long()
    sums = F.pad(whole.cumsum(1).cumsum(2), (1, 0, 1, 0))
    total = sums[:, -1, -1]
    steps = torch.arange(side, device=device)
    first, last = seen[:, :2], seen[:, 2:]
    moments = torch.stack([(whole.sum(2) * steps).sum(1), (whole.sum(1) * steps).sum(1)], 1)  # (U, 2)
    middle = (2 * moments + total[:, None]) // (2 * total[:, None]).clamp(min=1)
    low = torch.full_like(total, FOCUS_LEAST)
    high = (last - first).amax(1).clamp(min=FOCUS_LEAST)
    for _ in range(side.bit_length()):
        half = (low + high) // 2
        found = _enough(sums, first, last, half)[0].flatten(1).any(1)
        low, high = torch.where(found, low, half + 1), torch.where(found, half, high)
        low = torch.minimum(low, high)
    enough, begin = _enough(sums, first, last, low)
    wide = torch.minimum(low[:, None], last - first)  # (U, 2)
    apart = (2 * begin + wide[:, :, None] - 2 * middle[:, :, None] - 1) ** 2  # (U, 2, s)
    order = (apart[:, 0, :, None] + apart[:, 1, None, :]) * side * side
    order += begin[:, 0, :, None] * side + begin[:, 1, None, :]
    best = torch.where(enough, order, torch.iinfo(torch.int64).max).flatten(1).amin(1) % (side * side)
    found = torch.stack([best // side, best % side], 1)
    wanted = torch.div(2 * middle + 1 - low[:, None], 2, rounding_mode="floor")
    around = torch.maximum(
        (last - low[:, None]).clamp(min=0), torch.minimum(torch.minimum(first, side - low[:, None]), wanted)
    )
    start = torch.where(low[:, None] <= last - first, found, around)
    return torch.cat([start, low[:, None]], 1) * held[:, None]


def _enough(sums: Tensor, first: Tensor, last: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
    """Which squares of these sides, (U,), hold their share, (U, s, s) by row and column, and where each row and column
    of squares begins, (U, 2, s): those that would leave the part with pixels are moved back into it."""
    count, length, _ = sums.shape
    latest = torch.maximum(first, last - side[:, None])
    begin = torch.arange(length - 1, device=sums.device).clamp(max=length - 2).expand(count, 2, length - 1)
    begin = torch.minimum(torch.maximum(begin, first[:, :, None]), latest[:, :, None])
    end = torch.minimum(begin + side[:, None, None], last[:, :, None])

    def rows(at: Tensor) -> Tensor:
        return sums.gather(1, at[:, :, None].expand(-1, -1, length))

    def columns(bands: Tensor, at: Tensor) -> Tensor:
        return bands.gather(2, at[:, None, :].expand(-1, length - 1, -1))

    bands = rows(end[:, 0]) - rows(begin[:, 0])
    held = columns(bands, end[:, 1]) - columns(bands, begin[:, 1])
    total = sums[:, -1, -1]
    return SHARE[1] * held >= SHARE[0] * total[:, None, None], begin

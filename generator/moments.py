"""Statistics of every channel of a layer over all pictures, streamed and free of order.

Each picture is reduced on its own, then added up in 64-bit integers: sums of integers do not depend on their order, so
any cutting into batches, shards and resumed runs ends with the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from generator.top_units import positions_first

BITS = 32  # of the fraction: sums count in units of 2^-32
LARGEST = 2.0**30  # of a value added: its whole units must fit their 63 bits with room to spare
_CACHED = 2**18  # values reduced at once on a CPU: 1 MiB, which stays in its cache for all four reductions


@dataclass(frozen=True)
class Reduced:
    """Each picture's map of each channel in four numbers, all (B, C): maximum in the map's own type; mean and
    mean_square over the positions, float64; active: int64 count of positions above zero."""

    maximum: Tensor
    mean: Tensor
    mean_square: Tensor
    active: Tensor


def reduce_maps(maps: Tensor, rectified: bool) -> Reduced:
    """Reduce maps (B, C, H, W), quickest where channels_last; a picture's numbers do not depend on the others.
    rectified: no value is negative, which saves a pass."""
    flat = positions_first(maps)
    batch, count, channels = flat.shape
    pieces = _pieces(count, channels) if flat.device.type == "cpu" else 1
    lines = flat.reshape(batch * pieces, count // pieces, channels)  # a view
    # Several passes over what lies in the cache cost less than the memory's one over the whole batch.
    size = max(1, _CACHED // (lines.shape[1] * channels)) if flat.device.type == "cpu" else len(lines)
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    for part in lines.split(size):
        values = part.float() if part.dtype in (torch.bfloat16, torch.float16) else part
        signs = values.sign() if rectified else values.clamp_min(0).sign_()
        # torch sums along an outer dimension in one order for any number of threads, as matrix products do not.
        parts.append((part.amax(1), values.sum(1), (values * values).sum(1), signs.sum(1)))
    maximum, total, square, active = (torch.cat(part).view(batch, pieces, channels) for part in zip(*parts, strict=True))
    return Reduced(
        maximum.amax(1),
        total.sum(1, dtype=torch.float64) / count,
        square.sum(1, dtype=torch.float64) / count,
        active.sum(1, dtype=torch.float64).to(torch.int64),
    )


def _pieces(count: int, channels: int) -> int:
    """Into how many equal runs of positions a map is cut to fit the cache; fixed by the map's size alone."""
    return next((n for n in range(1, count + 1) if count % n == 0 and count // n * channels <= _CACHED), count)


class FixedSum:
    """Exact sums, one a channel: `high` + `low` / 2^32, both int64, `low` in [0, 2^32)."""

    def __init__(self, channels: int, device: torch.device | str = "cpu") -> None:
        self.high = torch.zeros(channels, dtype=torch.int64, device=device)
        self.low = torch.zeros(channels, dtype=torch.int64, device=device)

    def add(self, values: Tensor) -> None:
        """Add values (B, C) float64, each rounded to 2^-32 by itself; |values| ≤ LARGEST is the caller's to check."""
        units = (values * 2.0**BITS).round_().to(torch.int64)
        self.high += (units >> BITS).sum(0)
        self._carry((units & (2**BITS - 1)).sum(0))

    def merge(self, other: FixedSum) -> None:
        self.high += other.high.to(self.high.device)
        self._carry(other.low.to(self.low.device))

    def _carry(self, units: Tensor) -> None:
        units = units + self.low
        self.high += units >> BITS
        self.low = units & (2**BITS - 1)

    def value(self) -> np.ndarray:
        """(C,) float64."""
        return self.high.cpu().numpy() + self.low.cpu().numpy() / 2.0**BITS


_SUMS = ("mean", "mean_square", "score", "score_square", "product")
_COUNTS = ("active_pictures", "active_positions")


class Moments:
    """Mean, standard deviation, maximum and activity of each of C channels; where the channel also stands in an earlier
    layer, Pearson's correlation of the pictures' scores in the two. Memory: 100 C bytes."""

    def __init__(self, channels: int, positions: int, device: torch.device | str = "cpu") -> None:
        self.positions = positions  # of one map
        self.pictures = 0
        self.sums = {name: FixedSum(channels, device) for name in _SUMS}
        self.counts = {name: torch.zeros(channels, dtype=torch.int64, device=device) for name in _COUNTS}
        self.maximum = torch.full((channels,), -torch.inf, device=device)

    def update(self, reduced: Reduced, earlier: Tensor | None = None) -> None:
        """Take in a batch. earlier: the same pictures' scores (B, C) in the layer to correlate with."""
        score = reduced.maximum.double()
        self.pictures += len(score)
        self.sums["mean"].add(reduced.mean)
        self.sums["mean_square"].add(reduced.mean_square)
        self.sums["score"].add(score)
        self.sums["score_square"].add(score * score)
        if earlier is not None:
            self.sums["product"].add(score * earlier.double())
        self.counts["active_pictures"] += (score > 0).sum(0)
        self.counts["active_positions"] += reduced.active.sum(0)
        self.maximum = torch.maximum(self.maximum, reduced.maximum.float().amax(0))

    def merge(self, other: Moments) -> None:
        self.pictures += other.pictures
        for name in _SUMS:
            self.sums[name].merge(other.sums[name])
        for name in _COUNTS:
            self.counts[name] += other.counts[name].to(self.counts[name].device)
        self.maximum = torch.maximum(self.maximum, other.maximum.to(self.maximum.device))

    def statistics(self, earlier: Moments | None = None) -> dict[str, np.ndarray]:
        """(C,) each, under the names that the atlas folder uses; NaN where there is no number. earlier: the moments of
        the layer that update() was given scores of."""
        seen = max(self.pictures, 1)
        mean = self.sums["mean"].value() / seen
        variance = self.sums["mean_square"].value() / seen - mean**2
        maximum = self.maximum.cpu().numpy()
        pearson = np.full(len(mean), np.nan) if earlier is None else self._pearson(earlier)
        counts = {name: count.cpu().numpy() for name, count in self.counts.items()}
        return {
            "mean": mean.astype(np.float32),
            "std": np.sqrt(variance.clip(0)).astype(np.float32),
            "max": maximum,
            "active_pictures": (counts["active_pictures"] / seen).astype(np.float32),
            "active_positions": (counts["active_positions"] / (seen * self.positions)).astype(np.float32),
            "dead": ~(maximum > 0),
            "pearson_previous": pearson.astype(np.float32),
        }

    def _spread(self) -> np.ndarray:
        """The variance of the scores; NaN where it is lost in the rounding of its sums."""
        seen = max(self.pictures, 1)
        square = self.sums["score_square"].value() / seen
        variance = square - (self.sums["score"].value() / seen) ** 2
        return np.where(variance > 1e-9 * square + 2.0 ** -(BITS - 2), variance, np.nan)

    def _pearson(self, earlier: Moments) -> np.ndarray:
        seen = max(self.pictures, 1)
        means = self.sums["score"].value() / seen * (earlier.sums["score"].value() / seen)
        covariance = self.sums["product"].value() / seen - means
        return (covariance / np.sqrt(self._spread() * earlier._spread())).clip(-1, 1)

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, for from_arrays."""
        sums = {f"{name}.{part}": getattr(s, part) for name, s in self.sums.items() for part in ("high", "low")}
        tensors = {**sums, **self.counts, "maximum": self.maximum}
        return {
            **{name: tensor.cpu().numpy() for name, tensor in tensors.items()},
            "size": np.array([self.positions, self.pictures]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> Moments:
        moments = cls(len(arrays["maximum"]), int(arrays["size"][0]), device)
        moments.pictures = int(arrays["size"][1])
        moments.maximum = torch.tensor(arrays["maximum"], device=device)
        for name in _COUNTS:
            moments.counts[name] = torch.tensor(arrays[name], device=device)
        for name, fixed in moments.sums.items():
            fixed.high = torch.tensor(arrays[f"{name}.high"], device=device)
            fixed.low = torch.tensor(arrays[f"{name}.low"], device=device)
        return moments

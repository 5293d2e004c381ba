"""Statistics of every channel of a layer over all pictures, streamed in any order of the pictures.

Each picture is reduced by itself; the results are added up in 64-bit integers. Sums of integers do not depend on their
order, so batches, processes and resumed runs end with the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.engine.loops.compiled import Loops, loops

BITS = 32  # of the fraction: sums count in units of 2^-32
WHOLE = 24  # the high part of a sum counts in units of 2^24, the low part is the rest
# Of a value added: 2^23 such values fit into a sum. Activations of deep random networks grow large.
LARGEST = 2.0**64
_TINY = 2.0**-100  # below every activation above zero, by assumption
# Values reduced at once on a CPU: 512 KiB, which stay in a core's cache for all four reductions.
_CACHED = 2**17
# Values of a map; smaller maps are reduced several at once, since a call costs more than memory.
_SMALL = 2**14


@dataclass(frozen=True)
class Reduced:
    """Each picture's map of each channel, reduced to a few numbers, (B, C) but for the first.

    row_maximum: (B, H, C), in the map's own type like maximum; mean and mean_square: over the positions, float64;
    active: int64 count of positions above zero.
    """

    row_maximum: Tensor
    maximum: Tensor
    mean: Tensor
    mean_square: Tensor
    active: Tensor

    def of_first(self, n: int) -> Reduced:
        """Of the first n pictures."""
        return Reduced(*(getattr(self, part.name)[:n] for part in fields(self)))


def channel_maxima(maps: Tensor) -> Tensor:
    """The largest value of each channel's map, (B, C, H, W) → (B, C); NaN where the map has one."""
    if maps.device.type == "cpu":
        # torch's maximum over positions takes one value at a time where there are few channels; its pooling takes
        # several channels at once, up to ten times as fast.
        return F.max_pool2d(maps, (maps.shape[2], maps.shape[3])).flatten(1)
    return maps.amax((2, 3))


def reduce_maps(maps: Tensor) -> Reduced:
    """Reduce maps (B, C, H, W), fastest where channels_last; a picture's numbers do not depend on the others."""
    on_cpu = maps.device.type == "cpu"
    if on_cpu and maps.dtype == torch.float32 and (compiled := loops()) is not None:
        return _reduce_compiled(maps, compiled)
    batch, channels, height, width = maps.shape
    bands = _bands(height, width * channels) if on_cpu else 1
    bands_of = maps.permute(0, 2, 3, 1).reshape(batch * bands, height // bands, width, channels)  # a view
    # Several passes over a part that stays in the cache cost less than one over the whole batch in memory.
    values = bands_of[0].numel()
    size = len(bands_of) if not on_cpu else _CACHED // values if values < _SMALL else 1
    parts = [_reduce(part) for part in bands_of.split(size)]
    row_maximum, total, square, active = (torch.cat(part) for part in zip(*parts, strict=True))
    total, square, active = (
        part.view(batch, bands, channels).double().sum(1) for part in (total, square, active)
    )
    row_maximum = row_maximum.view(batch, height, channels)
    count = height * width
    active = (active / _TINY).round_().to(torch.int64)
    return Reduced(row_maximum, row_maximum.amax(1), total / count, square / count, active)


def _reduce_compiled(maps: Tensor, compiled: Loops) -> Reduced:
    batch, channels, height, width = maps.shape
    row_maximum = torch.empty(batch, height, channels)
    total, square = (torch.empty(batch, channels, dtype=torch.float64) for _ in range(2))
    active = torch.empty(batch, channels, dtype=torch.int64)
    arrays = (part.numpy() for part in (row_maximum, total, square, active))
    compiled.reduce(maps.permute(0, 2, 3, 1).contiguous().numpy(), *arrays)
    count = height * width
    return Reduced(row_maximum, row_maximum.amax(1), total.div_(count), square.div_(count), active)


def _reduce(part: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maxima of the rows, sums, sums of squares and counts in units of _TINY of maps (n, H, W, C)."""
    values = (part if part.dtype == torch.float64 else part.float()).flatten(1, 2)  # (n, H × W, C)
    # torch sums along an outer dimension in one order for any number of threads; matrix products do not. Clamping to
    # _TINY counts values above zero in fewer passes than a comparison and its conversion.
    return part.amax(2), values.sum(1), (values * values).sum(1), values.clamp(0, _TINY).sum(1)


def _bands(height: int, row: int) -> int:
    """Into how many equal bands of rows a map is cut to fit the cache; depends on the map's size alone."""
    return next((n for n in range(1, height + 1) if height % n == 0 and height // n * row <= _CACHED), height)


class FixedSum:
    """Exact sums, one per channel: `high` · 2^24 + `low` / 2^32, both int64, `low` in [0, 2^56)."""

    def __init__(self, channels: int, device: torch.device | str = "cpu") -> None:
        self.high = torch.zeros(channels, dtype=torch.int64, device=device)
        self.low = torch.zeros(channels, dtype=torch.int64, device=device)

    def add(self, values: Tensor) -> None:
        """Add values (B, C) float64, each rounded to 2^-32 on its own; the caller checks |values| ≤ LARGEST."""
        if values.device.type == "cpu" and (compiled := loops()) is not None:
            compiled.add(values.contiguous().numpy(), self.high.numpy(), self.low.numpy(), WHOLE, BITS)
            return
        whole = (values * 2.0**-WHOLE).floor_()
        rest = ((values - whole * 2.0**WHOLE) * 2.0**BITS).round_().to(torch.int64)
        self.high += whole.to(torch.int64).sum(0)
        for part in rest.split(64):  # 64 rests stay below 2^63
            self.carry(part.sum(0))

    def merge(self, other: FixedSum) -> None:
        """Add another sum of as many channels."""
        self.high += other.high.to(self.high.device)
        self.carry(other.low.to(self.low.device))

    def carry(self, units: Tensor) -> None:
        """Add to the low part, (C,) int64 below 2^62."""
        units = units + self.low
        self.high += units >> (WHOLE + BITS)
        self.low = units & (2 ** (WHOLE + BITS) - 1)

    def value(self) -> np.ndarray:
        """The sums, (C,) float64."""
        return self.high.cpu().numpy() * 2.0**WHOLE + self.low.cpu().numpy() / 2.0**BITS


_SUMS = ("mean", "mean_square", "score", "score_square", "product")
_COUNTS = ("active_pictures", "active_positions")


class Moments:
    """Mean, standard deviation, maximum and activity of each of C channels; where the channel also stands in
    an earlier layer, Pearson's correlation of the pictures' scores in the two. Memory: 100 C bytes."""

    def __init__(self, channels: int, positions: int, device: torch.device | str = "cpu") -> None:
        self.positions = positions  # of one map
        self.pictures = 0
        self.sums = {name: FixedSum(channels, device) for name in _SUMS}
        self.counts = {name: torch.zeros(channels, dtype=torch.int64, device=device) for name in _COUNTS}
        self.maximum = torch.full((channels,), -torch.inf, device=device)

    def update(self, reduced: Reduced, earlier: Tensor | None = None) -> None:
        """Add a batch. earlier: the same pictures' scores (B, C) in the layer to correlate with."""
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
        """Add the moments of the same channels on other pictures."""
        self.pictures += other.pictures
        for name in _SUMS:
            self.sums[name].merge(other.sums[name])
        for name in _COUNTS:
            self.counts[name] += other.counts[name].to(self.counts[name].device)
        self.maximum = torch.maximum(self.maximum, other.maximum.to(self.maximum.device))

    def statistics(self, earlier: Moments | None = None) -> dict[str, np.ndarray]:
        """(C,) each, under the names that the atlas folder uses; NaN where there is no number. earlier: the moments of
        the layer whose scores update() was given."""
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

    def constant(self) -> np.ndarray:
        """(C,) bool: whether the score is the same for every picture, as far as sums of scores show it."""
        if self.pictures < 2:
            return self.sums["score_square"].value() == 0
        return np.isnan(self._spread())

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
        sums = {
            f"{name}.{part}": getattr(s, part) for name, s in self.sums.items() for part in ("high", "low")
        }
        tensors = {**sums, **self.counts, "maximum": self.maximum}
        return {
            **{name: tensor.cpu().numpy() for name, tensor in tensors.items()},
            "size": np.array([self.positions, self.pictures]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> Moments:
        """The moments that `arrays` were made of."""
        moments = cls(len(arrays["maximum"]), int(arrays["size"][0]), device)
        moments.pictures = int(arrays["size"][1])
        moments.maximum = torch.tensor(arrays["maximum"], device=device)
        for name in _COUNTS:
            moments.counts[name] = torch.tensor(arrays[name], device=device)
        for name, fixed in moments.sums.items():
            fixed.high = torch.tensor(arrays[f"{name}.high"], device=device)
            fixed.low = torch.tensor(arrays[f"{name}.low"], device=device)
        return moments

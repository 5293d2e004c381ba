"""How the pictures' scores are spread, by channel: an exact histogram, streamed in any order of the pictures.

The bins have fixed edges, so that a stream can count into them: one for scores of zero and below, and four per doubling
above. Counts are whole numbers: batches, processes and resumed runs end with the same ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

PER_DOUBLING = 4
LOWEST, HIGHEST = -12, 18  # powers of two; below and above, one bin each takes the rest
# Ascending, 2^(k / 4) rounded to float32: the edges of one doubling are those of the next, halved exactly.
EDGES = np.array(
    [
        np.ldexp(np.float32(2 ** (step % PER_DOUBLING / PER_DOUBLING)), step // PER_DOUBLING)
        for step in range(LOWEST * PER_DOUBLING, HIGHEST * PER_DOUBLING + 1)
    ],
    np.float32,
)
BINS = len(EDGES) + 2  # ≤ 0, then (0, EDGES[0]), then from each edge up to the next, the last without an end
# The fractions of a float32 at which a doubling's second, third and fourth bin begin.
_FRACTIONS = EDGES[1:PER_DOUBLING].view(np.int32) & 0x7FFFFF


def bin_limits() -> np.ndarray:
    """(BINS, 2) float32: from where to where each bin reaches; the lower end belongs to it, but not the 0 of the second
    bin."""
    return np.stack(
        [np.concatenate([[-np.inf, 0], EDGES]), np.concatenate([[0], EDGES, [np.inf]])], 1
    ).astype(np.float32)


def bin_of(scores: Tensor) -> Tensor:
    """The number of every score's bin, int64; scores: float32, finite."""
    bits = scores.contiguous().view(torch.int32)
    fraction = bits & 0x7FFFFF
    number = ((bits >> 23) - (127 + LOWEST)) * PER_DOUBLING + 2  # of the doubling's first bin
    for start in _FRACTIONS.tolist():
        number += fraction >= start
    return number.clamp_(1, BINS - 1).mul_(scores > 0).to(torch.int64)


class Histograms:
    """The scores of C channels, counted. Memory: 4 BINS C bytes."""

    def __init__(self, channels: int, device: torch.device | str = "cpu") -> None:
        self._counts = torch.zeros(channels, BINS, dtype=torch.int32, device=device)
        self._first = torch.arange(channels, device=device) * BINS  # where each channel's bins begin

    @property
    def counts(self) -> Tensor:
        """(C, BINS) int32: how many pictures' scores lie in each bin."""
        return self._counts

    def update(self, bins: Tensor) -> None:
        """Add a batch, (B, C) int64 from `bin_of`."""
        places = (bins + self._first).flatten()
        ones = torch.ones(1, dtype=torch.int32, device=places.device).expand_as(places)
        self._counts.view(-1).scatter_add_(0, places, ones)

    def merge(self, other: Histograms) -> None:
        """Add the counts of other pictures."""
        self._counts += other._counts.to(self._counts.device)

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state, for from_arrays."""
        return {"counts": self._counts.cpu().numpy()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> Histograms:
        """The histograms that `arrays` were made of."""
        made = cls(len(arrays["counts"]), device)
        made._counts = torch.tensor(arrays["counts"], device=device)
        return made


def occupied(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The bins of a layer without the empty ones at both ends: counts (C, K) int32 and limits (K, 2) float32. The first
    bin, of zero and below, always stays. counts: (C, BINS)."""
    used = 1 + np.flatnonzero(counts[:, 1:].any(axis=0))
    chosen = np.concatenate([[0], np.arange(used[0], used[-1] + 1)]) if used.size else np.zeros(1, np.int64)
    return counts[:, chosen], bin_limits()[chosen]

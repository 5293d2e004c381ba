"""How alike a channel's pictures look to a network: the mean cosine similarity of their final features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

CHANNELS_AT_ONCE = 64


@dataclass(frozen=True)
class Looks:
    """The pictures' final features. place: (N,) row of each picture's vector, −1 without one; vectors: (M, F) float32
    of length 1, centred on the mean of all before that, because what all pictures share says nothing; baseline: the
    mean cosine similarity of two different pictures."""

    place: np.ndarray
    vectors: np.ndarray
    baseline: float

    @classmethod
    def of(cls, features: np.ndarray, picture: np.ndarray, pictures: int) -> Looks | None:
        """features: (M, F); picture: (M,) their pictures' numbers, of `pictures`. None where fewer than two vectors
        differ from their mean."""
        centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
        length = np.linalg.norm(centred, axis=1)
        known = length > 1e-9 * max(1.0, float(np.abs(features).max(initial=0)))
        if known.sum() < 2:
            return None
        vectors = centred[known] / length[known, None]
        count = len(vectors)
        baseline = (float((vectors.sum(axis=0) ** 2).sum()) - count) / (count * (count - 1))
        place = np.full(pictures, -1, np.int64)
        place[picture[known]] = np.arange(count)
        return cls(place, vectors.astype(np.float32), baseline)

    def scaled(self, mean: np.ndarray) -> np.ndarray:
        """Mean cosine similarities as agreements: (s − s₀) / (1 − s₀)."""
        result: np.ndarray = ((mean - self.baseline) / (1 - self.baseline)).astype(np.float32)
        return result

    def agreement(self, nine: np.ndarray) -> np.ndarray:
        """How alike the nine pictures of each channel look; (C, 9) pictures → (C,) float32, NaN where one of them is
        missing or has no features."""
        rows = np.where(nine >= 0, self.place[nine], -1)
        known = (rows >= 0).all(axis=1)
        count = nine.shape[1]
        mean = np.full(len(nine), np.nan)
        for first in range(0, len(nine), CHANNELS_AT_ONCE):
            part = slice(first, first + CHANNELS_AT_ONCE)
            total = self.vectors[rows[part]].sum(axis=1, dtype=np.float64)  # (c, F)
            mean[part] = ((total**2).sum(axis=1) - count) / (count * (count - 1))
        return self.scaled(np.where(known, mean, np.nan))

    def cosines(self, pictures: np.ndarray) -> np.ndarray:
        """(N', N') float32, of every two of these pictures; NaN for one without features."""
        rows = self.place[pictures]
        with threadpool_limits(1):
            result: np.ndarray = self.vectors[rows] @ self.vectors[rows].T
        result[rows < 0] = np.nan
        result[:, rows < 0] = np.nan
        return result

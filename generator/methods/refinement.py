"""How a channel changes from one block to the next of its stage (arXiv:1701.02362, section 4)."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata


def shared_pictures(top_image: np.ndarray, other_top_image: np.ndarray) -> np.ndarray:
    """How many of each channel's strongest pictures stand in the other list too; (C, 9), (C, 9) → (C,) int32."""
    same = (top_image[:, :, None] == other_top_image[:, None, :]) & (top_image[:, :, None] >= 0)  # (C, 9, 9)
    return same.any(axis=2).sum(axis=1).astype(np.int32)


def rank_correlation(scores: np.ndarray, other_scores: np.ndarray, chunk: int = 64) -> np.ndarray:
    """Spearman's ρ of each channel's scores over all pictures; (N, C), (N, C) → (C,), NaN where one is constant.

    Ties, such as the many zeros of a channel that is seldom active, get their average rank.
    """
    count, channels = scores.shape
    result = np.full(channels, np.nan, np.float32)
    if count < 2:
        return result
    for first in range(0, channels, chunk):
        part = slice(first, first + chunk)
        ranks = rankdata(scores[:, part], axis=0)
        other_ranks = rankdata(other_scores[:, part], axis=0)
        result[part] = correlation(ranks, other_ranks)
    return result


def correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's r of each column; (N, C), (N, C) → (C,) float64, NaN where a column is constant."""
    x = x - x.mean(axis=0)
    y = y - y.mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.sqrt((x * x).sum(axis=0) * (y * y).sum(axis=0))
        return np.where(scale > 0, (x * y).sum(axis=0) / scale, np.nan)

"""Random directions of a layer's features: what any mixture of its channels shows, by comparison with the channels."""

from __future__ import annotations

import functools

import numpy as np
from threadpoolctl import threadpool_limits

from generator.methods.resampling import SEED

MOST = 512  # directions of a layer: with fewer, their own spread would hide what channels gain


@functools.lru_cache(maxsize=4)  # the same in several stages
def random_directions(channels: int, *, most: int = MOST) -> np.ndarray:
    """(C, R) float32, read-only: R = min(C, most) orthonormal directions, drawn uniformly; the same ones for every
    layer of C channels, so that the blocks of a stage share theirs as they share their channels."""
    random = np.random.default_rng([SEED, channels])
    with threadpool_limits(1):
        q, r = np.linalg.qr(random.standard_normal((channels, min(channels, most))))
    # Uniform over rotations only if the diagonal of R is positive (Mezzadri 2007, Notices of the AMS 54).
    result: np.ndarray = (q * np.sign(np.diagonal(r))).astype(np.float32)
    result.flags.writeable = False
    return result


def along(scores: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """The scores of pictures along directions, (N, C), (C, R) → (N, R) float32. Each channel is standardised first, so
    that none counts for its units; a constant channel counts as zero."""
    values = np.asarray(scores, np.float32)
    spread = values.std(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        standard = np.where(spread > 0, (values - values.mean(axis=0, dtype=np.float64)) / spread, 0)
    with threadpool_limits(1):  # the order of a sum must not depend on the number of cores
        result: np.ndarray = standard.astype(np.float32) @ directions
    return result

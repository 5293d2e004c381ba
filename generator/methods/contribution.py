"""The shares of a unit's value that come from the shortcut and from the branch."""

from __future__ import annotations

import numpy as np


def shortcut_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """The shortcut's share of each unit's value: s⁺ / (s⁺ + b⁺), in [0, 1].

    A part below zero counts as zero: where the branch subtracts, all that is left came from the shortcut. For a unit's
    value v = s + b > 0 this is s / v, clipped to [0, 1]. shortcut, branch: any shape, NaN where there is no unit. The
    share is NaN there, and where neither part is above zero.
    """
    added, by_branch = np.maximum(shortcut.astype(np.float64), 0), np.maximum(branch.astype(np.float64), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(added + by_branch > 0, added / (added + by_branch), np.nan)


def mean_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """The mean of the shares of a channel's top nine units; (C, 9), (C, 9) → (C,) float32, NaN where there is no
    unit."""
    share = shortcut_share(shortcut, branch)
    known = ~np.isnan(share)
    total = np.where(known, share, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(axis=1), total / known.sum(axis=1), np.nan).astype(np.float32)

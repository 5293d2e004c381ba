"""How much of a unit's value came along the shortcut, how much from the branch."""

from __future__ import annotations

import numpy as np


def shortcut_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """Of what was added for each unit, the share that came along the shortcut: s⁺ / (s⁺ + b⁺), in [0, 1].

    A part below zero takes away and counts as nothing: where the branch takes away, all that is left came along
    the shortcut. For the value v = s + b > 0 of a unit this is s / v, cut off at 0 and 1.
    shortcut, branch: any shape, NaN where there is no unit; NaN too where neither part is above zero.
    """
    added, by_branch = np.maximum(shortcut.astype(np.float64), 0), np.maximum(branch.astype(np.float64), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(added + by_branch > 0, added / (added + by_branch), np.nan)


def mean_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """The mean of the shares of a channel's nine units; (C, 9), (C, 9) → (C,) float32, NaN where there is no unit."""
    share = shortcut_share(shortcut, branch)
    known = ~np.isnan(share)
    total = np.where(known, share, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(axis=1), total / known.sum(axis=1), np.nan).astype(np.float32)

"""The histogram of a statistic over the channels of a layer."""

from __future__ import annotations

import numpy as np

BINS = 24


def histogram(values: np.ndarray, present: np.ndarray) -> tuple[float, float, list[int]]:
    """Lowest value, highest value, and the height of each bar in twelfths of the highest bar, rounded, but at least 1
    where the bar holds a channel.

    values, present: (C,) of a layer's channels; a channel without a value (`present` false) is left out.
    """
    shown = values[present].astype(np.float64)
    if shown.size == 0:
        return 0.0, 0.0, [0] * BINS
    low, high = float(shown.min()), float(shown.max())
    counts, _ = np.histogram(shown, bins=BINS, range=(low, high if high > low else low + 1.0))
    heights = np.where(counts > 0, np.maximum(1, np.round(12 * counts / max(1, counts.max()))), 0)
    return low, high, [int(height) for height in heights]

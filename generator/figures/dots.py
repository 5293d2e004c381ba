"""Rows of dots along one axis, a dot a repeat, with mean and spread, as numbers for a template. No HTML here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.figures.ticks import round_ends, ticks

FIELD = 360.0  # px of the axis
LETTER = 6.6  # px that a letter of a name takes
ROW, TOP, BELOW, RIGHT, GAP = 24.0, 8.0, 40.0, 16.0, 12.0


def dot_rows(rows: Sequence[tuple[str, np.ndarray]], label: str) -> dict[str, Any]:
    """rows: a name and its values (repeats,). A row's whisker is one sample standard deviation to each side."""
    known = [np.asarray(values, np.float64) for _, values in rows]
    spreads = [float(values.std(ddof=1)) if len(values) > 1 else 0.0 for values in known]
    means = [float(values.mean()) for values in known]
    low = min(min(float(v.min()), m - s) for v, m, s in zip(known, means, spreads, strict=True))
    high = max(max(float(v.max()), m + s) for v, m, s in zip(known, means, spreads, strict=True))
    low, high = round_ends(low, high)
    left = GAP + LETTER * max(len(name) for name, _ in rows)

    def at(value: float) -> float:
        return round(left + FIELD * (value - low) / ((high - low) or 1), 1)

    drawn = [
        {
            "name": name,
            "y": TOP + ROW * (number + 0.5),
            "dots": [at(value) for value in values.tolist()],
            "mean": at(mean),
            "low": at(mean - spread),
            "high": at(mean + spread),
        }
        for number, ((name, _), values, mean, spread) in enumerate(
            zip(rows, known, means, spreads, strict=True)
        )
    ]
    bottom = TOP + ROW * len(rows)
    return {
        "rows": drawn,
        "ticks": [{"at": at(value), "text": f"{value:g}".replace("-", "−")} for value in ticks(low, high)],
        "left": round(left, 1),
        "right": round(left + FIELD, 1),
        "top": TOP,
        "bottom": bottom,
        "width": round(left + FIELD + RIGHT, 1),
        "height": bottom + BELOW,
        "label": label,
    }

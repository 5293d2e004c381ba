"""Rows of dots along one axis, a dot a repeat, with mean and spread, as numbers for a template. No HTML here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.site.figures.ticks import round_ends, ticks

FIELD = 320.0  # px of the axis: with its margins no wider than a telephone
ROW, TOP, BELOW, MARGIN = 36.0, 2.0, 40.0, 16.0
NAME, DOTS = 12.0, 25.0  # px below a row's top


def dot_rows(rows: Sequence[tuple[str, np.ndarray]], label: str) -> dict[str, Any]:
    """rows: a name and its values (repeats,). A row's whisker is one sample standard deviation to each side."""
    known = [np.asarray(values, np.float64) for _, values in rows]
    spreads = [float(values.std(ddof=1)) if len(values) > 1 else 0.0 for values in known]
    means = [float(values.mean()) for values in known]
    low = min(min(float(v.min()), m - s) for v, m, s in zip(known, means, spreads, strict=True))
    high = max(max(float(v.max()), m + s) for v, m, s in zip(known, means, spreads, strict=True))
    low, high = round_ends(low, high)

    def at(value: float) -> float:
        return round(MARGIN + FIELD * (value - low) / ((high - low) or 1), 1)

    drawn = [
        {
            "name": name,
            "above": TOP + ROW * number + NAME,
            "y": TOP + ROW * number + DOTS,
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
        "left": MARGIN,
        "right": MARGIN + FIELD,
        "top": TOP,
        "bottom": bottom,
        "width": MARGIN + FIELD + MARGIN,
        "height": bottom + BELOW,
        "label": label,
    }

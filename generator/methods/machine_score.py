"""The machine interpretability score: how well a channel's exemplars tell strong pictures from weak ones to a machine.

In a trial a judge sees nine pictures that activate the channel strongly, nine that activate it weakly, and two others,
one strong and one weak, and says which is the strong one. Here the judge is a network: of each of the two it compares
the mean cosine similarity with the strong nine and with the weak nine, by final features, and names the one for which
the difference is larger. The score is the share of right answers, ties counted half: 0.5 by chance, 1 at best (Klindt,
Zimmermann et al. 2024, who draw trials at random; here they are all pairs of 18 strong and 18 weak pictures).
"""

from __future__ import annotations

import numpy as np

from generator.core.records import TOP
from generator.methods.resampling import highest

EACH = 2 * TOP  # strong pictures, and weak ones: every other one is an exemplar, then the others are
TRIALS = 2 * TOP * TOP
CHANNELS_AT_ONCE = 64
RANDOM_ORDERS = 2000
SEED = 1701


def extremes(scores: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """(C, 2, EACH) int64: the rows of the EACH highest scores, highest first, and of the EACH lowest, lowest first.

    scores: (N, C) float32 with at least 2 EACH rows; ties: (N,) the order among equal scores, the lower one first from
    above."""
    of_tie = np.argsort(ties)
    ordered = scores[of_tie]
    strong = highest(ordered, EACH)
    weak = len(ties) - 1 - highest(-ordered[::-1], EACH)
    ends: np.ndarray = of_tie[np.stack([strong.T, weak.T], 1)]
    return ends


def machine_scores(rows: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """(C,) float32 scores; NaN where a picture has no features. rows: (C, 2, EACH) from `extremes`; cosines: (N, N)
    similarities of the pictures."""
    result = np.empty(len(rows), np.float32)
    for first in range(0, len(rows), CHANNELS_AT_ONCE):
        part = rows[first : first + CHANNELS_AT_ONCE].reshape(-1, 2 * EACH)  # strong, then weak
        alike = cosines[part[:, :, None], part[:, None, :]].astype(np.float64)
        right = np.zeros(len(part))
        for start in (0, 1):
            shown, asked = slice(start, None, 2), slice(1 - start, None, 2)
            strong, weak = alike[:, :, :EACH], alike[:, :, EACH:]
            # Summed one after the other: the order of a sum must not depend on its shape.
            leaning = sum(strong[:, :, shown][:, :, n] - weak[:, :, shown][:, :, n] for n in range(TOP))
            of_strong, of_weak = leaning[:, :EACH][:, asked], leaning[:, EACH:][:, asked]
            difference = of_strong[:, :, None] - of_weak[:, None, :]
            right += ((difference > 0) + 0.5 * (difference == 0)).sum(axis=(1, 2))
        unknown = np.isnan(alike).any(axis=(1, 2))
        result[first : first + CHANNELS_AT_ONCE] = np.where(unknown, np.nan, right / TRIALS)
    return result


def by_chance(cosines: np.ndarray) -> tuple[float, float]:
    """Between which values 95 % of the scores of pictures in random order lie. cosines: (N, N)."""
    random = np.random.default_rng([SEED, len(cosines)])
    known = np.flatnonzero(np.isfinite(cosines.diagonal()))
    orders = np.stack([random.choice(known, 2 * EACH, replace=False) for _ in range(RANDOM_ORDERS)])
    low, high = np.quantile(machine_scores(orders.reshape(-1, 2, EACH), cosines), (0.025, 0.975))
    return float(low), float(high)

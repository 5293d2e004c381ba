"""How far the labels of a channel's pictures agree along its range: among its strongest nine, and among nine at lower
quantiles of its scores (methods/strips.py).

A channel's agreement *falls* where its strongest nine agree by FROM or more, and more than all but one in a thousand of
nine random pictures, and its nine at the 90 % quantile no more than random nines do (their middle 95 %). Where labels
had nothing to do with the channel, both would hold in less than one case of a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.records import TOP
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.methods.strips import QUANTILES

RANDOM_NINES = 20_000
FROM = 0.3  # where fewer agree, there is little that could mislead
BEYOND = 0.001  # the share of random nines that agree as much as the strongest nine must
WITHIN = 0.025  # and the share that agree more than nine at the lower quantile may
LOWER = QUANTILES.index(90)
SEED = 1701


@dataclass(frozen=True)
class Chance:
    """The label agreement of nine random pictures. low, high: the middle 95 %; beyond: what one in a thousand
    reaches."""

    low: float
    high: float
    beyond: float


def chance(classes: Classes) -> Chance | None:
    """None where there are fewer than nine labelled pictures, or no two pictures can have similar classes."""
    labelled = np.sort(classes.of_picture[classes.of_picture >= 0])  # whatever the order of the pictures
    if not classes.has_agreement or len(labelled) < TOP:
        return None
    random = np.random.default_rng([SEED, len(labelled)])
    nines = np.stack([random.choice(labelled, TOP, replace=False) for _ in range(RANDOM_NINES)])
    values = agreement(nines, classes).astype(np.float64)
    low, high, beyond = np.quantile(values, (WITHIN, 1 - WITHIN, 1 - BEYOND))
    return Chance(float(low), float(high), float(beyond))


def agreements(images: np.ndarray, classes: Classes) -> np.ndarray:
    """(C, QUANTILES, 9) numbers of pictures, −1 for none → (C, QUANTILES) float32 label agreement; NaN where a strip
    has not nine labelled pictures."""
    channels, strips, _ = images.shape
    nine = classes_of_nine(images.reshape(channels * strips, TOP), classes.of_picture)
    return agreement(nine, classes).reshape(channels, strips)


def falls(agreement: np.ndarray, by_chance: Chance) -> np.ndarray:
    """(C, QUANTILES) → (C,) bool: whether the agreement falls from the strongest nine to the 90 % quantile."""
    # A comparison with NaN is false.
    high = (agreement[:, 0] > by_chance.beyond) & (agreement[:, 0] >= FROM)
    result: np.ndarray = high & (agreement[:, LOWER] <= by_chance.high)
    return result


def decline(agreement: np.ndarray, by_chance: Chance) -> np.ndarray:
    """(C,) float32: agreement of the strongest nine less that at the 90 % quantile; NaN where the strongest nine agree
    no more than random nines, since there is nothing to fall from."""
    difference = agreement[:, 0] - agreement[:, LOWER]
    return np.where(agreement[:, 0] > by_chance.beyond, difference, np.nan).astype(np.float32)


def level(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(C,) float32: the middle score at the 90 % quantile as a share of the middle score of the strongest nine; NaN
    where the channel has no strip there. values, images: (C, QUANTILES, 9)."""
    there = (images[:, LOWER] >= 0).all(axis=1) & (values[:, 0, TOP // 2] > 0)
    top = np.where(there, values[:, 0, TOP // 2], 1)
    return np.where(there, values[:, LOWER, TOP // 2] / top, np.nan).astype(np.float32)

"""What a layer's channels contribute to classes: from sums over pictures to the classes that each channel raises and
lowers most, and the channels that raise each class most.

The contribution of a channel in a picture to a class is the sum over its map of activation × gradient of the class's
output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from generator.core.ordering import lowest, rising

CLASSES = 5  # kept per channel, of those that it raises most and of those that it lowers most
CHANNELS = 12  # kept per class and layer
FEWEST = 5  # pictures of a class that give its mean an interval
LEVEL = 0.95
ROUNDING = 2.0**-32  # of each contribution and of each square in the sums
CLEAR = 100  # a variance of fewer times what rounding can make of it gives no interval


@dataclass(frozen=True)
class ClassMeans:
    """Of R classes and C channels. mean: (R, C) the mean contribution in the pictures of each class, NaN for a class
    without pictures; reach: (R, C) how far its 95 % interval over pictures reaches to each side, NaN for a class of
    fewer than FEWEST pictures, and where the contributions vary too little for the precision of their sums."""

    mean: np.ndarray
    reach: np.ndarray

    @classmethod
    def of(cls, sums: np.ndarray, squares: np.ndarray, pictures: np.ndarray) -> ClassMeans:
        """From the sums of contributions and of their squares over the pictures of each class, (R, C) each, and the
        numbers of pictures, (R,). The interval is Student's."""
        counts = pictures[:, None].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = sums / counts
            variance = squares / counts - mean * mean  # over the pictures
            rounding = ROUNDING * (1 + 2 * np.abs(mean)) + np.finfo(np.float64).eps * mean * mean
            quantile = t.ppf((1 + LEVEL) / 2, np.maximum(counts - 1, 1))
            known = (counts >= FEWEST) & (variance >= CLEAR * rounding)
            reach = np.where(known, quantile * np.sqrt(variance / (counts - 1)), np.nan)
        return cls(mean, reach)


def of_channels(means: ClassMeans, classes: np.ndarray) -> dict[str, np.ndarray]:
    """Per channel the classes of largest mean contribution above zero and of smallest below, (C, CLASSES) each: their
    numbers (−1 for none), the means, their intervals' reach, and the channel's rank for the class among the layer's
    channels, from 1. classes: (R,) the classes' numbers."""
    arrays: dict[str, np.ndarray] = {}
    for side, sign in (("raised", 1.0), ("lowered", -1.0)):
        towards = sign * means.mean
        rows = _largest(towards.T, CLASSES)  # (C, CLASSES)
        here = rows, np.arange(towards.shape[1])[:, None]
        value = _taken(towards, here)
        there = value > 0
        arrays[f"{side}_class"] = np.where(there, _taken(classes, (rows,)), -1).astype(np.int32)
        arrays[f"{side}_mean"] = np.where(there, sign * value, np.nan).astype(np.float32)
        arrays[f"{side}_reach"] = np.where(there, _taken(means.reach, here), np.nan).astype(np.float32)
        arrays[f"{side}_rank"] = np.where(there, _taken(_ranks(towards), here), 0).astype(np.int32)
    return arrays


def of_classes(means: ClassMeans) -> dict[str, np.ndarray]:
    """Per class the channels of largest mean contribution above zero, (R, CHANNELS) each: their numbers (−1 for none),
    the means and their intervals' reach."""
    channels = _largest(means.mean, CHANNELS)
    here = np.arange(len(means.mean))[:, None], channels
    value = _taken(means.mean, here)
    there = value > 0
    return {
        "class_channel": np.where(there, channels, -1).astype(np.int32),
        "class_mean": np.where(there, value, np.nan).astype(np.float32),
        "class_reach": np.where(there, _taken(means.reach, here), np.nan).astype(np.float32),
    }


def of_weights(weights: np.ndarray, activation: np.ndarray) -> dict[str, np.ndarray]:
    """Of the layer whose mean activations one linear layer reads: per channel the classes of largest and of smallest
    contribution, weight × mean activation over all pictures; (C, CLASSES) each, −1 and NaN for none.

    weights: (K, C), a row per class; activation: (C,) means over all positions and pictures."""
    arrays: dict[str, np.ndarray] = {}
    contribution = weights.astype(np.float64) * activation.astype(np.float64)
    for side, sign in (("raised", 1.0), ("lowered", -1.0)):
        rows = _largest((sign * contribution).T, CLASSES)
        value = _taken(contribution, (rows, np.arange(contribution.shape[1])[:, None]))
        there = sign * value > 0
        arrays[f"weights_{side}_class"] = np.where(there, rows, -1).astype(np.int32)
        arrays[f"weights_{side}_mean"] = np.where(there, value, np.nan).astype(np.float32)
    return arrays


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """(n, m) → (n, count) columns of the largest values, descending, the first of equal ones first; −1 where there are
    no more columns, or only NaN is left."""
    order = lowest(-values, count)
    order = np.where(np.isnan(np.take_along_axis(values, order, 1)), -1, order)
    missing = count - order.shape[1]
    return np.pad(order, ((0, 0), (0, missing)), constant_values=-1)


def _taken(values: np.ndarray, index: tuple[np.ndarray, ...]) -> np.ndarray:
    """values[index], NaN (0 of integers) where any index is −1."""
    there = np.logical_and.reduce(np.broadcast_arrays(*(part >= 0 for part in index)))
    if not values.size:
        return np.full(there.shape, np.nan)
    missing = np.nan if values.dtype.kind == "f" else 0
    return np.where(there, values[tuple(np.maximum(part, 0) for part in index)], missing)


def _ranks(values: np.ndarray) -> np.ndarray:
    """(n, m) → the rank of each value in its row, from 1 for the largest; equal values rank by their columns."""
    order = rising(-values)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, values.shape[1] + 1), order.shape), 1)
    return ranks

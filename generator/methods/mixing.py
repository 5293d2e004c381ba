"""Whether a residual block passes a channel's feature on, replaces it, or mixes the two (arXiv:2407.05340, section 3).

Input, Block and Output are the values of the shortcut, of the branch, and of their sum after the ReLU, all at the
neuron in the middle of the map. The paper uses one optimised picture each for Input and Block. The same formulas serve
for the nine pictures of a set that activate Input and Block most: a value is then the mean over these nine.
"""

from __future__ import annotations

import numpy as np

SKIPS, OVERWRITES = 10.0, 0.0  # the ratio where one of its two values is not above zero
NEAR_ONE = 1.5  # from 1/1.5 to 1.5 a ratio is near 1: the paper's bound for scale invariance
FEW = 3  # fewer values make no statistic


def mean_of_list(values: np.ndarray) -> np.ndarray:
    """The mean over the pictures of each channel's list.

    (C, k), NaN where the list has fewer pictures → (C,) float64, NaN for an empty list.
    """
    known = ~np.isnan(values)
    total = np.where(known, values, 0).astype(np.float64).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(axis=1), total / known.sum(axis=1), np.nan)


def error_of_list(values: np.ndarray) -> np.ndarray:
    """The standard error of `mean_of_list`, as if the list were drawn at random: sd / √k over its k pictures, with
    k − 1 degrees of freedom. (C, k) → (C,) float64, NaN where the list has fewer than FEW pictures."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.where(known, values.astype(np.float64) - mean_of_list(values)[:, None], 0)
        error = np.sqrt((deviation**2).sum(axis=1) / (count - 1) / count)
    return np.where(count >= FEW, error, np.nan)


def mix_ratio(output_at_input: np.ndarray, output_at_block: np.ndarray) -> np.ndarray:
    """M = O(I*) / O(B*); 10 where O(B*) is not above zero, else 0 where O(I*) is not.

    (C,), (C,) → (C,) float64. NaN means that there is no such picture: no picture activates the channel there, so the
    value counts as zero. Where neither value is above zero the output responds to neither, and the ratio is NaN (the
    paper optimises new pictures in that case).
    """
    at_input, at_block = np.nan_to_num(output_at_input), np.nan_to_num(output_at_block)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        ratio = np.where(at_block <= 0, SKIPS, np.where(at_input <= 0, OVERWRITES, at_input / at_block))
    return np.where((at_input <= 0) & (at_block <= 0), np.nan, ratio)


def near_one(ratio: np.ndarray) -> np.ndarray:
    """Whether the channel mixes: 1/1.5 < M < 1.5."""
    return (ratio > 1 / NEAR_ONE) & (ratio < NEAR_ONE)

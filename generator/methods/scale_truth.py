"""How far a channel's response depends on the size of what is shown, where the size is known, and how well measures
that do not know it find the channels whose response depends on it least."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Classes: of fewer, which ones they are is too uncertain (reliability 0.65 for one, 0.82 for three).
DRIVING = 3
FEWEST = 9  # channels of a block with fewer have no thirds worth comparing
HALVINGS = 50
SEED = 20240704
HALVES_AT_ONCE = 10


def driving_classes(responses: np.ndarray, count: int = DRIVING) -> np.ndarray:
    """For each channel the classes with the largest response at any size, the largest first; (classes, sizes, C) →
    (count, C) int64."""
    return np.argsort(-responses.max(axis=1), axis=0, kind="stable")[:count]


def curves(responses: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Each channel's responses to one class by size; (classes, sizes, C) and the classes (C,) → (C, sizes)."""
    return responses[of, :, np.arange(responses.shape[2])]


def invariance(responses: np.ndarray, octave: int) -> np.ndarray:
    """The smallest response as a share of the largest, within an octave of sizes that holds the largest, in [0, 1]; of
    several such octaves, the one with the largest share counts.

    responses: (C, sizes), the sizes in equal ratios; octave: how many neighbouring sizes span an octave. A response
    below zero counts as zero; NaN where the largest is not above zero.
    """
    windows = np.lib.stride_tricks.sliding_window_view(responses, octave, axis=1)  # (C, windows, octave)
    peak = responses.argmax(axis=1)[:, None]
    first = np.arange(windows.shape[1])
    holds = (first <= peak) & (peak < first + octave)
    least = np.where(holds, np.maximum(windows.min(axis=2), 0), 0).max(axis=1)
    most = responses.max(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, least / most, np.nan)


def true_invariance(responses: np.ndarray, classes: np.ndarray, octave: int) -> np.ndarray:
    """`invariance` over the classes that drive a channel most: the sum of the smallest responses as a share of the sum
    of the largest; (classes, sizes, C) and (K, C) → (C,), NaN where no class has a response above zero."""
    least, most = np.zeros(responses.shape[2]), np.zeros(responses.shape[2])
    for of in classes:
        curve = curves(responses, of)
        largest = np.maximum(curve.max(axis=1), 0)
        least += np.nan_to_num(invariance(curve, octave)) * largest
        most += largest
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, least / most, np.nan)


def drawing_halves(classes: int, drawings: int, count: int = HALVINGS) -> np.ndarray:
    """(count, classes, drawings) bool: which drawings are in the first half of each halving, half of those of every
    class."""
    random = np.random.default_rng([SEED, classes, drawings])
    return random.random((count, classes, drawings)).argsort(axis=2) < drawings // 2


def halved(values: np.ndarray, member: np.ndarray) -> np.ndarray:
    """The mean over the drawings of one half; (classes, drawings, sizes, C) and (classes, drawings) bool → (classes,
    sizes, C)."""
    classes, drawings = np.nonzero(member)  # as many of each class
    count = len(classes) // len(member)
    halves: np.ndarray = values[classes.reshape(-1, count), drawings.reshape(-1, count)].mean(axis=1)
    return halves


def true_invariance_by_half(values: np.ndarray, members: np.ndarray, octave: int) -> np.ndarray:
    """The true invariance on each half of the drawings, 0 where there is none; (classes, drawings, sizes, C) and (P,
    classes, drawings) bool → (P, C)."""
    channels, result = values.shape[-1], np.empty((len(members), values.shape[-1]))
    for first in range(0, len(members), HALVES_AT_ONCE):
        part = slice(first, first + HALVES_AT_ONCE)
        # Channels do not depend on each other: those of several halves are treated as channels of one.
        responses = np.concatenate([halved(values, member) for member in members[part]], axis=2)
        found = true_invariance(responses, driving_classes(responses), octave)
        result[part] = np.nan_to_num(found).reshape(-1, channels)
    return result


@dataclass(frozen=True)
class Separation:
    """Of the pairs of one channel from the third with the highest true invariance and one from the third with the
    lowest, in how many the former has the higher value; ties count half. wins: (…); pairs: how many there are."""

    wins: np.ndarray
    pairs: int

    @property
    def auc(self) -> np.ndarray:
        """The share of the pairs: the area under the ROC curve; 0.5 is chance."""
        return self.wins / self.pairs


def separation(values: np.ndarray, truth: np.ndarray) -> Separation | None:
    """How well a measure tells the truly most invariant channels of a block from the least invariant ones.

    values: (C,), all finite; truth: (P, C), several measurements of the same channels. None where there are fewer than
    FEWEST channels.
    """
    count = truth.shape[1]
    if count < FEWEST:
        return None
    third = count // 3
    order = np.argsort(truth, axis=1, kind="stable")
    levels, level = np.unique(values, return_inverse=True)
    low, high = level[order[:, :third]], level[order[:, -third:]]  # (P, k) each
    # How many of the lowest third are at each level, and so below each of the highest third.
    rows = np.arange(len(truth))[:, None]
    at = np.bincount((low + rows * len(levels)).ravel(), minlength=len(truth) * len(levels))
    at = at.reshape(len(truth), -1)
    upto = np.cumsum(at, axis=1)
    lower = (upto - at)[rows, high].sum(axis=1)
    wins = lower + 0.5 * at[rows, high].sum(axis=1)
    return Separation(wins, third * third)

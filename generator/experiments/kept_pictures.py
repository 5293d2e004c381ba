"""How many of their top-9 pictures the channels of a layer keep from one network, or block, to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import shared_pictures
from generator.core.records import TOP
from generator.methods.mix_intervals import untied_overlap
from generator.methods.resampling import left_out_error, ranking

GROUPS = 10  # of pictures, each left out once, from which the standard error of a mean over channels follows


@dataclass(frozen=True)
class KeptPictures:
    """Means over the channels that any picture activates in the first network. mean: pictures that a channel's two
    top-9 share; error: its standard error for the choice of the pictures; chance: pictures that the top-9 of channels
    of different numbers share, NaN for one channel alone."""

    mean: float
    error: float
    chance: float


def kept_pictures(scores: np.ndarray, others: np.ndarray) -> KeptPictures:
    """From the channels' scores in both networks, (N, C) each.

    The error leaves out one of GROUPS groups of every GROUPS-th picture after the other.
    """
    tops, other_tops = _tops_of_active(scores, others)
    shared = int(shared_pictures(tops, other_tops).sum())
    group = np.arange(len(scores)) % GROUPS
    left_out = [
        _mean_kept(scores[group != number], others[group != number])
        for number in range(min(GROUPS, len(scores)))
    ]
    return KeptPictures(
        shared / max(1, len(tops)),
        float(left_out_error(np.array(left_out))),
        untied_overlap(tops, other_tops),
    )


def _mean_kept(scores: np.ndarray, others: np.ndarray) -> float:
    """Over the channels that any of these pictures activates in the first network; NaN without one."""
    return float(shared_pictures(*_tops_of_active(scores, others)).mean())


def _tops_of_active(scores: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The top-9 pictures in both networks of the channels that any picture activates in the first, (A, 9) each, −1 for
    none."""
    tops, other_tops = (ranking(each, signed=False, depth=TOP) for each in (scores, others))
    active = tops[:, 0] >= 0
    return tops[active], other_tops[active]

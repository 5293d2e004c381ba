"""How a channel's response changes when pictures are enlarged and reduced, on any pictures.

Two measures, both from the responses (spatial maxima) to the same pictures at ZOOMS, half an octave apart:

- *Zoom invariance*: the own top-9 pictures against all pictures. For every zoom, nine pictures are chosen by their
  mean rank at the other zooms, so that no response is among the reasons for its choice; the response is the mean over
  these nine less the mean over all pictures. The measure is that of `scale_truth.invariance`: the smallest response as
  a share of the largest, within an octave of zooms that holds the largest.
- *Zoom correlation*: Spearman's ρ, over all pictures, between the responses at two zooms an octave apart.

Intervals come from halves of the pictures (resampling.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from generator.core.ordering import TiedOrder
from generator.core.records import TOP
from generator.methods import resampling
from generator.methods.scale_truth import invariance

ZOOMS = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)
OCTAVE = 3  # number of neighbouring zooms that span an octave
HALVINGS = 50
APART = (1, 3)  # the two zooms of the correlation: an octave apart, as far below 1 as above


@dataclass(frozen=True)
class Zoomed:
    """What the responses at all zooms say of C channels. curve: the own top-9 less all pictures, (C, zooms);
    invariance, correlation: (C,), NaN where a channel has none; *_error: their standard errors; *_reliability:
    split-half reliability, over the channels, NaN where it is not defined."""

    curve: np.ndarray
    curve_error: np.ndarray
    invariance: np.ndarray
    invariance_error: np.ndarray
    correlation: np.ndarray
    correlation_error: np.ndarray
    invariance_reliability: float
    correlation_reliability: float


def zoomed(responses: np.ndarray) -> Zoomed:
    """The measures of (N, zooms, C) responses to N pictures, with what their halves say."""
    responses = np.ascontiguousarray(responses.transpose(1, 0, 2), np.float32)  # (zooms, N, C)
    ranks = np.stack(
        [TiedOrder.of(-zoom).centred_ranks.T for zoom in responses]
    )  # twice the rank, 1 for the highest
    members = resampling.halvings(responses.shape[1], HALVINGS)
    curve, first_curve, second_curve = _curves(responses, ranks, members)
    flatness, first, second = (
        invariance(values.reshape(-1, len(ZOOMS)), OCTAVE).reshape(values.shape[:-1])
        for values in (curve, first_curve, second_curve)
    )
    rho, first_rho, second_rho = _correlations(ranks[APART[0]], ranks[APART[1]], members)
    return Zoomed(
        curve=curve,
        curve_error=resampling.standard_error(first_curve, second_curve),
        invariance=flatness,
        invariance_error=resampling.standard_error(first, second),
        correlation=rho,
        correlation_error=resampling.standard_error(first_rho, second_rho),
        invariance_reliability=resampling.reliability(first, second),
        correlation_reliability=resampling.reliability(first_rho, second_rho),
    )


def _curves(
    responses: np.ndarray, ranks: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The own top-9 less all pictures at every zoom: of all pictures (C, zooms), of the first halves and of the second
    halves (P, C, zooms). responses, ranks: (zooms, N, C), the latter whole numbers; members: (P, N)."""
    everything = np.ones(responses.shape[1], bool)
    whole: list[np.ndarray] = []
    first: list[np.ndarray] = []
    second: list[np.ndarray] = []
    total = ranks.sum(axis=0)
    for zoom, own in zip(responses, ranks, strict=True):
        order = resampling.ranking(own - total, signed=True)  # by the sum of the ranks at the other zooms
        values = np.take_along_axis(zoom, np.maximum(order, 0).T, axis=0).T.astype(np.float64)  # (C, D)
        halves = resampling.both_halves(order, members)
        sums = [_sums(zoom, members), _sums(zoom, ~members)]
        for kept, counts, summed, member in zip(
            (first, second), halves, sums, (members, ~members), strict=True
        ):
            kept.append(_mean(values, counts) - summed / member.sum(axis=1)[:, None])
        counts = resampling.slots(order, everything[None], times=1)
        whole.append((_mean(values, counts) - _sums(zoom, everything[None]) / len(everything))[0])
    return np.stack(whole, -1), np.stack(first, -1), np.stack(second, -1)


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over nine places; (C, D) values of the ranked pictures and (P, C, D) places that each takes → (P, C),
    NaN where fewer than nine are taken."""
    taken = counts.sum(axis=2, dtype=np.int64)
    # einsum without BLAS adds in one order, whatever the number of threads.
    sums = np.einsum("pcd,cd->pc", counts, values, optimize=False)
    return np.where(taken == TOP, sums / TOP, np.nan)


def _sums(values: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The sum of the rows of each subset; (N, C) and (P, N) bool → (P, C) float64. A sparse product adds row by row,
    whatever the number of threads."""
    sums: np.ndarray = csr_array(members.astype(np.float64)) @ values.astype(np.float64)
    return sums


def _correlations(
    left: np.ndarray, right: np.ndarray, members: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pearson's correlation of (N, C) ranks over all pictures, (C,), and over both halves, (P, C) each. The ranks are
    whole numbers, small enough that their sums are exact in any order."""
    x, y = left.astype(np.float64), right.astype(np.float64)
    everything = np.ones((1, len(x)), bool)
    whole, first, second = (_correlation(x, y, rows) for rows in (everything, members, ~members))
    return whole[0], first, second


def _correlation(x: np.ndarray, y: np.ndarray, members: np.ndarray) -> np.ndarray:
    rows = members.astype(np.float64)
    count = rows.sum(axis=1)[:, None]
    sx, sy, sxx, syy, sxy = (rows @ values for values in (x, y, x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.sqrt((count * sxx - sx * sx) * (count * syy - sy * sy))
        return np.where(spread > 0, (count * sxy - sx * sy) / spread, np.nan)

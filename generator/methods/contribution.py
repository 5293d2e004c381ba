"""The shares of a unit's value that come from the shortcut and from the branch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.methods.mix_intervals import Interval
from generator.methods.resampling import bound, left_out_error

FEWEST_GROUPS = 10  # fewer give no standard error


def shortcut_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """The shortcut's share of each unit's value: s⁺ / (s⁺ + b⁺), in [0, 1].

    A part below zero counts as zero: where the branch subtracts, all that is left came from the shortcut. For a unit's
    value v = s + b > 0 this is s / v, clipped to [0, 1]. shortcut, branch: any shape, NaN where there is no unit. The
    share is NaN there, and where neither part is above zero.
    """
    added, by_branch = np.maximum(shortcut.astype(np.float64), 0), np.maximum(branch.astype(np.float64), 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(added + by_branch > 0, added / (added + by_branch), np.nan)


def mean_share(shortcut: np.ndarray, branch: np.ndarray) -> np.ndarray:
    """The mean of the shares of a channel's top nine units; (C, 9), (C, 9) → (C,) float32, NaN where there is no
    unit."""
    share = shortcut_share(shortcut, branch)
    known = ~np.isnan(share)
    total = np.where(known, share, 0).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known.any(axis=1), total / known.sum(axis=1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class SignedParts:
    """What the shortcut and the branch give on average at the units of a channel that are above zero, over all
    positions and pictures; (C,) float64 each, NaN where there is no such unit.

    shortcut, branch: mean parts with their signs, in the network's own units; share: shortcut / (shortcut + branch),
    below 0 where the shortcut subtracts on average, above 1 where the branch does; the errors are standard errors over
    pictures.
    """

    shortcut: np.ndarray
    branch: np.ndarray
    share: np.ndarray
    shortcut_error: np.ndarray
    branch_error: np.ndarray
    share_error: np.ndarray


def signed_parts(shortcut: np.ndarray, branch: np.ndarray, units: np.ndarray) -> SignedParts:
    """From sums over the units of every group of pictures, and the numbers of these units; (G, C) float64 each.

    The errors leave out one after the other of the groups that have a picture.
    """
    values, left_out = _whole_and_left_out(shortcut, branch, units)
    return SignedParts(*values, *_errors(left_out))


def median_share(shortcut: np.ndarray, branch: np.ndarray, units: np.ndarray) -> Interval | None:
    """The median over the channels of the share that SignedParts defines, with its interval over pictures; None where
    no channel has one. Arguments as of signed_parts."""
    values, left_out = _whole_and_left_out(shortcut, branch, units)
    known = np.isfinite(values[2]) & np.isfinite(left_out[2]).all(axis=0)
    if not known.any():
        return None
    value = float(np.median(values[2, known]))
    reach = bound() * _errors(np.median(left_out[2][:, known], axis=1)[None]).item()
    return Interval(value, value - reach, value + reach)


def _whole_and_left_out(
    shortcut: np.ndarray, branch: np.ndarray, units: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The parts and the share of all groups, (3, C), and without each group that has a picture, (3, G, C)."""
    sums = (shortcut, branch, units)
    whole = [array.sum(axis=0)[None] for array in sums]
    present = units.any(axis=1)
    rest = (total - array[present] for total, array in zip(whole, sums, strict=True))
    return _parts(*whole)[:, 0], _parts(*rest)


def _errors(left_out: np.ndarray) -> np.ndarray:
    """The standard errors from values (K, G, …) without each group → (K, …); NaN where there are too few groups."""
    if left_out.shape[1] < FEWEST_GROUPS:
        return np.full((len(left_out), *left_out.shape[2:]), np.nan)
    return np.stack([left_out_error(values) for values in left_out])


def _parts(shortcut: np.ndarray, branch: np.ndarray, units: np.ndarray) -> np.ndarray:
    """(3, G, C): the mean parts and the shortcut's share."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(shortcut + branch > 0, shortcut / (shortcut + branch), np.nan)
        return np.stack([shortcut / units, branch / units, share])


@dataclass(frozen=True)
class StrongestTerms:
    """The largest of the terms that a side of a block's sum is made of, means over the channel's units. channel, value:
    (C, n), largest absolute value first, −1 and NaN where there are fewer; rest: (C,), the sum of all others."""

    channel: np.ndarray
    value: np.ndarray
    rest: np.ndarray


def strongest_terms(terms: np.ndarray, first: np.ndarray, count: int) -> StrongestTerms:
    """From the terms of each channel's nine units, (C, 9, T) float32, NaN where there is no unit; first: (C,), the
    input channel that the first term belongs to; count: terms to name. Ties go to the lower channel."""
    channels, _, of_unit = terms.shape
    known = ~np.isnan(terms[:, :, 0])
    units = known.sum(axis=1)
    total = terms.sum(axis=1, dtype=np.float64, where=known[:, :, None])  # (C, T)
    with np.errstate(invalid="ignore"):
        mean = total / units[:, None]
    order = np.argsort(-np.abs(mean), axis=1, kind="stable")
    named, others = order[:, :count], order[:, count:]
    channel = np.full((channels, count), -1, np.int32)
    value = np.full((channels, count), np.nan, np.float32)
    width = min(count, of_unit)
    channel[:, :width] = np.where(units[:, None] > 0, first[:, None] + named, -1)
    value[:, :width] = np.take_along_axis(mean, named, 1)
    rest = np.take_along_axis(mean, others, 1).sum(axis=1)
    return StrongestTerms(channel, value, rest.astype(np.float32))


def mean_over_units(values: np.ndarray) -> np.ndarray:
    """(C, 9), NaN where there is no unit → (C,) float32, NaN where there is none at all."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: np.ndarray = values.sum(axis=1, dtype=np.float64, where=known) / known.sum(axis=1)
    return mean.astype(np.float32)

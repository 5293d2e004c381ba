"""How the scores of a channel are spread: histograms against numpy, strips against the rule word for word."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from generator.engine.scan.histograms import BINS, EDGES, Histograms, bin_limits, bin_of, occupied
from generator.methods.strips import MOST_SHARED, QUANTILES, strips, tie_order

TOP = 9


def _scores(pictures=300, channels=20, seed=0):
    random = np.random.default_rng(seed)
    scores = np.exp(random.normal(0, 3, (pictures, channels))).astype(np.float32)
    scores[random.random(scores.shape) < np.linspace(0, 1, channels)] = 0  # the first never, the last always
    return scores


def _counted(scores):
    """One number after the other."""
    counts = np.zeros((scores.shape[1], BINS), np.int64)
    for row in scores:
        for channel, score in enumerate(row.tolist()):
            counts[channel, 0 if score <= 0 else 1 + sum(score >= edge for edge in EDGES.tolist())] += 1
    return counts


def test_every_score_is_counted_in_the_bin_whose_limits_it_lies_between():
    edges = np.concatenate(
        [EDGES, np.nextafter(EDGES, np.float32(0)), np.nextafter(EDGES, np.float32(np.inf))]
    )
    special = np.array([0, -0.0, -3, 1e-45, 1e-38, 2.0**31, 3e38], np.float32)
    scores = np.concatenate([edges, special, _scores().ravel()]).astype(np.float32)
    bins = bin_of(torch.from_numpy(scores)).numpy()
    low, high = bin_limits()[bins].T
    assert ((scores >= low) & (scores < high) | (scores <= 0) & (bins == 0)).all()
    assert (bins[scores > 0] > 0).all()
    np.testing.assert_allclose(EDGES[4:] / EDGES[:-4], 2, rtol=0)


@pytest.mark.parametrize("size", [1, 7, 300])
def test_the_histogram_is_the_same_for_every_batching_order_and_merge(size):
    scores = _scores()
    expected = _counted(scores)
    parts = [Histograms(scores.shape[1]) for _ in range(3)]
    order = np.random.default_rng(size).permutation(len(scores))
    for number, first in enumerate(range(0, len(order), size)):
        parts[number % 3].update(bin_of(torch.from_numpy(scores[order[first : first + size]])))
    whole = Histograms.from_arrays(parts[2].arrays())  # as a resumed run reads it
    whole.merge(parts[0])
    whole.merge(parts[1])
    np.testing.assert_array_equal(whole.counts.numpy(), expected)


def test_empty_bins_at_both_ends_are_left_out_and_no_count_is_lost():
    scores = _scores()
    counts = _counted(scores)
    kept, limits = occupied(counts)
    assert kept.sum() == scores.size
    assert kept[:, [1, -1]].any(axis=0).all()
    assert limits[0].tolist() == [-np.inf, 0]
    np.testing.assert_array_equal(kept[:, 0], (scores <= 0).sum(axis=0))
    nothing, only = occupied(_counted(np.zeros((4, 2), np.float32)))
    assert nothing.tolist() == [[4], [4]]
    assert len(only) == 1


def _expected(scores, paths, quantile, stronger):
    """The nine paths of a channel's strip by the rule, strongest first."""
    digests = [hashlib.sha256(path.encode()).hexdigest() for path in paths]
    order = sorted(
        (s, [-int(d, 16)], p) for s, d, p in zip(scores.tolist(), digests, paths, strict=True) if s > 0
    )
    if len(order) < TOP:
        return [path for _, _, path in reversed(order)] if quantile == 100 else []
    place = int(np.floor(quantile / 100 * (len(order) - 1) + 0.5 + 1e-12))
    first = min(max(place - 4, 0), len(order) - TOP)
    nine = [path for _, _, path in order[first : first + TOP]][::-1]
    if any(len(set(nine) & set(strip)) > MOST_SHARED for strip in stronger):
        return []
    return nine


@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("pictures", [3, 40, 300])
def test_strips_follow_the_rule_for_every_order_of_the_pictures(pictures, levels):
    scores = _scores(pictures, 20, seed=pictures)
    if levels:
        scores = np.floor(np.minimum(scores, levels)).astype(np.float32)  # many equal scores
    paths = [f"class {n % 7}/{n}.jpg" for n in range(pictures)]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(pictures) if seed else np.arange(pictures)
        shuffled = [paths[n] for n in order]
        found = strips(scores[order], tie_order(shuffled))
        for channel in range(scores.shape[1]):
            stronger = []
            for number, quantile in enumerate(QUANTILES):
                right = _expected(scores[:, channel], paths, quantile, stronger)
                rows = [row for row in found.rows[channel, number].tolist() if row >= 0]
                assert [shuffled[row] for row in rows] == right, (channel, quantile)
                stronger.append(right)
        np.testing.assert_array_equal(found.counted, (scores > 0).sum(axis=0))

"""How the scores of a channel are spread: histograms against numpy, strips against the rule word for word."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from generator.engine.scan.histograms import BINS, EDGES, Histograms, bin_limits, bin_of, occupied
from generator.methods import range_labels
from generator.methods.purity import Classes
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


# -- the scan -------------------------------------------------------------------------------------------------------


def test_a_scan_writes_what_the_stored_scores_say(tiny_atlas):
    pictures = tiny_atlas.tables.images()
    ties = tie_order([picture.path for picture in pictures])
    for info in tiny_atlas.manifest().layers:
        scores = np.asarray(tiny_atlas.arrays.scores(info.name))
        numbers = tiny_atlas.arrays.layer(info.name)
        kept, limits = occupied(_counted(scores))
        np.testing.assert_array_equal(numbers["histogram"], kept)
        np.testing.assert_array_equal(numbers["histogram_bins"], limits)
        assert ("strip_image" in numbers) != info.is_inner
        if info.is_inner:
            continue
        image, alive = numbers["strip_image"], ~numbers["dead"]
        np.testing.assert_array_equal(image[:, 1:][alive], strips(scores, ties).rows[:, 1:][alive])
        np.testing.assert_array_equal(image[:, 0][alive], numbers["top_image"][alive])
        assert (image[~alive] == -1).all()
        values = scores[np.maximum(image, 0), np.arange(info.channels)[:, None, None]]
        np.testing.assert_array_equal(numbers["strip_value"][image >= 0], values[image >= 0])


# -- labels along the range -----------------------------------------------------------------------------------------


def _classes(count=240, kinds=6):
    labels = [(n % kinds, f"class {n % kinds}") for n in range(count)]
    return Classes.of(labels, None, None)


def _strips_of(classes, seed=0, channels=30):
    """Channel c has c of nine pictures of class 0 among its strongest, and random ones below."""
    random = np.random.default_rng(seed)
    own = np.flatnonzero(classes.of_picture == 0)
    images = np.stack(
        [
            [random.choice(len(classes.of_picture), TOP, replace=False) for _ in QUANTILES]
            for _ in range(channels)
        ]
    )
    for channel in range(channels):
        images[channel, 0, : min(channel, TOP)] = own[: min(channel, TOP)]
    images[-1, range_labels.LOWER] = -1  # no strip there
    images[-2, 0, 5] = -1
    return images.astype(np.int32)


def _plain_agreement(nine, classes):
    if min(nine) < 0:
        return np.nan
    of = classes.of_picture
    pairs = [float(of[a] == of[b]) for number, a in enumerate(nine) for b in nine[:number]]
    alike = [float(of[a] == of[b]) for a in range(len(of)) for b in range(a)]
    by_chance = np.mean(alike)
    return (np.mean(pairs) - by_chance) / (1 - by_chance)


def test_label_agreement_along_the_range_is_that_of_plain_loops():
    classes = _classes()
    images = _strips_of(classes)
    agreement = range_labels.agreements(images, classes)
    for channel, strip in np.ndindex(*agreement.shape):
        right = _plain_agreement(images[channel, strip].tolist(), classes)
        np.testing.assert_allclose(agreement[channel, strip], right, atol=1e-6)


def test_a_fall_needs_alike_strongest_pictures_and_random_ones_below():
    classes = _classes()
    images = _strips_of(classes)
    agreement = range_labels.agreements(images, classes)
    by_chance = range_labels.chance(classes)
    falls = range_labels.falls(agreement, by_chance)
    for channel, (top, lower) in enumerate(agreement[:, [0, range_labels.LOWER]]):
        assert falls[channel] == (top >= 0.3 and top > by_chance.beyond and lower <= by_chance.high)
    assert falls[8:-2].mean() > 0.8
    assert not falls[[0, 1, 2, -1, -2]].any()
    decline = range_labels.decline(agreement, by_chance)
    known = np.isfinite(decline)
    np.testing.assert_array_equal(known[:-2], (agreement[:, 0] > by_chance.beyond)[:-2])
    np.testing.assert_allclose(decline[known], (agreement[:, 0] - agreement[:, range_labels.LOWER])[known])


def test_random_nines_reach_the_bounds_as_often_as_they_say():
    classes = _classes()
    by_chance = range_labels.chance(classes)
    random = np.random.default_rng(7)
    nines = np.stack([random.choice(240, TOP, replace=False) for _ in range(40_000)])
    values = range_labels.agreements(nines[:, None].astype(np.int32), classes)[:, 0]
    assert (values > by_chance.beyond).mean() <= 0.002
    assert (values > by_chance.high).mean() <= 0.03


@pytest.mark.parametrize(
    "labels", [[(-1, "")] * 40, [(n, str(n)) for n in range(40)], [(0, "a"), (0, "a")] * 4]
)
def test_without_labels_that_could_agree_nothing_is_said(labels):
    assert range_labels.chance(Classes.of(labels, None, None)) is None


def test_the_activation_at_the_quantile_is_a_share_of_the_strongest_nines():
    values = np.zeros((3, len(QUANTILES), TOP), np.float32)
    values[:, 0], values[:, range_labels.LOWER] = np.arange(18, 9, -1), np.arange(9, 0, -1)
    images = np.zeros(values.shape, np.int32)
    images[1, range_labels.LOWER] = -1
    values[2, 0] = -1  # a signed channel whose strongest nine are below zero
    np.testing.assert_array_equal(range_labels.level(values, images), np.float32([5 / 14, np.nan, np.nan]))

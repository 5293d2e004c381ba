"""Refinement: identity and gain against oracles, planted answers found, and nothing found where nothing is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import false_discovery_control, spearmanr
from scipy.stats import t as student

from generator.core.correspondence import centred_ranks, shared_pictures
from generator.methods.directions import along, random_directions
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.methods.refinement import (
    BLURS,
    REFINES,
    UNCLEAR,
    BlockSample,
    Change,
    Gains,
    RankCorrelation,
    Spread,
    compare,
    congruence,
    discoveries,
    rank_correlation,
)
from generator.methods.resampling import RELIABLE, bound, of_directions, standard_error

PICTURES, KINDS, CHANNELS = 800, 20, 60
CLASSES = Classes.of([(n % KINDS, f"class {n % KINDS}") for n in range(PICTURES)], None, None)


def features(seed: int) -> np.ndarray:
    """Scores of channels that each answer to two classes, (N, C) float32, many of them zero."""
    scores = np.random.default_rng(seed).normal(0, 0.5, (PICTURES, CHANNELS))
    kind = np.arange(PICTURES)[:, None] % KINDS
    channel = np.arange(CHANNELS)[None]
    scores += (kind == channel % KINDS) | (kind == (channel + 7) % KINDS)
    return np.maximum(scores, 0).astype(np.float32)


def later(scores: np.ndarray, seed: int, follows: dict[int, float]) -> np.ndarray:
    """The scores one block later: a little noise, and channels that now prefer one of their classes."""
    random = np.random.default_rng(seed)
    result = scores + random.normal(0, 0.1, scores.shape)
    for channel, strength in follows.items():
        result[:, channel] += strength * (np.arange(PICTURES) % KINDS == channel % KINDS)
    return np.maximum(result, 0).astype(np.float32)


def compared(
    before: np.ndarray, after: np.ndarray, classes: Classes = CLASSES, *, signed: bool = False
) -> Change:
    one, two = (BlockSample.of(scores, classes, signed=signed) for scores in (before, after))
    return compare(one, two, (before, after), (centred_ranks(before), centred_ranks(after)))


def verdict(
    before: np.ndarray, after: np.ndarray, classes: Classes = CLASSES, *, signed: bool = False
) -> np.ndarray:
    """As the stage gives it: next to random directions of the same blocks."""
    return compared(before, after, classes, signed=signed).verdict(spread_of(before, after, classes))


def spread_of(before: np.ndarray, after: np.ndarray, classes: Classes) -> Spread:
    gains = Gains.between(*directions_of(before, after, classes))
    assert gains is not None
    return Spread.of(gains.gain, gains.halves.error)


def directions_of(before: np.ndarray, after: np.ndarray, classes: Classes) -> list[BlockSample]:
    mixtures = random_directions(CHANNELS)
    return [BlockSample.of(along(x, mixtures), classes, signed=True, overlaps=False) for x in (before, after)]


def excess(before: np.ndarray, after: np.ndarray, classes: Classes) -> tuple[float, float]:
    """The mean gain beyond random directions, and its standard error over pictures and directions."""
    change, mixed = compared(before, after, classes), Gains.between(*directions_of(before, after, classes))
    assert change.gains is not None
    assert mixed is not None
    judged, every = np.isfinite(change.gains.gain), np.ones(CHANNELS, bool)
    own, random = change.gains.halves.mean(judged), mixed.halves.mean(every)
    error = standard_error(own.first - random.first, own.second - random.second)
    variance = of_directions(mixed.gain, mixed.halves.error, int(judged.sum()))
    return float(change.gains.gain[judged].mean() - mixed.gain.mean()), float(np.sqrt(error**2 + variance))


# -- against oracles -----------------------------------------------------------------------------------------------


def test_rank_correlation_is_scipy_s_and_its_error_that_of_new_pictures():
    random = np.random.default_rng(0)

    def draw(size: int) -> tuple[np.ndarray, np.ndarray]:
        common = random.normal(0, 1, (size, 3))
        x = np.maximum(common + random.normal(0, [0.3, 1, 3], (size, 3)), 0)  # ties at zero
        return x.astype(np.float32), (common + random.normal(0, 1, (size, 3))).astype(np.float32)

    many = [RankCorrelation.of(*draw(400)) for _ in range(200)]
    x, y = draw(400)
    rho = RankCorrelation.of(x, y).rho
    np.testing.assert_allclose(rho, [spearmanr(x[:, c], y[:, c]).statistic for c in range(3)], rtol=1e-5)
    np.testing.assert_array_equal(rank_correlation(x, y), rho)  # the same without its error
    true = np.std([found.rho for found in many], axis=0)
    np.testing.assert_allclose(np.mean([found.error for found in many], axis=0), true, rtol=0.15)
    of_mean = np.std([found.rho.mean() for found in many])
    assert np.mean([found.mean_error for found in many]) == pytest.approx(of_mean, rel=0.15)


def test_a_constant_channel_has_no_correlation():
    x = features(0)[:, :2].copy()
    x[:, 1] = 1
    found = RankCorrelation.of(x, features(1)[:, :2])
    assert np.isfinite([found.rho[0], found.error[0], found.mean_error]).all()
    assert np.isnan([found.rho[1], found.error[1]]).all()


def test_agreements_and_pictures_kept_are_those_of_the_nine():
    before, after = features(0), later(features(0), 1, {3: 2.0})
    change = compared(before, after)
    tops = [np.argsort(-x, axis=0, kind="stable")[:9].T for x in (before, after)]
    agreed = [agreement(classes_of_nine(top, CLASSES.of_picture), CLASSES) for top in tops]
    assert change.gains is not None
    np.testing.assert_allclose(change.before, agreed[0], atol=1e-6)
    np.testing.assert_allclose(change.gains.gain, agreed[1] - agreed[0], atol=1e-6)
    np.testing.assert_array_equal(change.shared, shared_pictures(*tops))
    for place, share in enumerate((8, 40, 80)):
        highest = [np.argsort(-x, axis=0, kind="stable")[:share] for x in (before, after)]
        own = [len(set(highest[0][:, c]) & set(highest[1][:, c])) / share for c in range(CHANNELS)]
        np.testing.assert_allclose(change.overlaps[:, place], own, atol=1e-6)


def test_an_unlabelled_picture_among_the_nine_leaves_no_agreement():
    scores = features(0)
    first = int(scores[:, 5].argmax())
    unlabelled = replace(CLASSES, of_picture=np.where(np.arange(PICTURES) == first, -1, CLASSES.of_picture))
    sample = BlockSample.of(scores, unlabelled, signed=False)
    assert sample.agreement is not None
    assert np.isnan(sample.agreement[5]) and np.isfinite(sample.agreement).sum() > CHANNELS / 2


def test_discoveries_are_benjamini_and_hochberg_s():
    random = np.random.default_rng(3)
    ratios = np.concatenate([random.standard_t(20, 90), random.standard_t(20, 10) + 5])
    p = 2 * student.sf(np.abs(ratios), 20)
    np.testing.assert_array_equal(discoveries(ratios), false_discovery_control(p) <= 0.1)


# -- planted answers -----------------------------------------------------------------------------------------------


def test_planted_refinement_is_found_and_its_mirror_is_blurring():
    planted = dict.fromkeys(range(30), 0.9)
    before = features(0)
    after = later(before, 1, planted)
    forwards, backwards = verdict(before, after), verdict(after, before)
    assert (forwards[:30] == REFINES).mean() >= 0.5 and (backwards[:30] == BLURS).mean() >= 0.5
    assert (forwards[30:] == UNCLEAR).mean() >= 0.95 and (backwards[30:] == UNCLEAR).mean() >= 0.95
    gain, error = excess(before, after, CLASSES)
    assert gain > bound(16) * error


def test_a_gain_that_all_channels_share_repeats():
    before = features(0)
    change = compared(before, later(before, 1, dict.fromkeys(range(CHANNELS), 0.9)))
    assert change.gains is not None
    assert congruence(change.gains.alone, change.identity) > RELIABLE


# -- nothing where nothing is --------------------------------------------------------------------------------------


def test_with_labels_permuted_nothing_is_found():
    before = features(0)
    after = later(before, 1, dict.fromkeys(range(12), 0.9))
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(PICTURES)
        classes = replace(CLASSES, of_picture=CLASSES.of_picture[order])
        assert (verdict(before, after, classes) == UNCLEAR).mean() >= 0.95
        gain, error = excess(before, after, classes)
        assert abs(gain) < bound(16) * error


def test_channels_rotated_apart_keep_no_identity():
    before = features(0)
    after = later(before, 1, dict.fromkeys(range(12), 0.9))
    turned = [along(x, np.linalg.qr(np.random.default_rng(s).normal(size=(CHANNELS, CHANNELS)))[0])
              for s, x in enumerate((before, after))]  # fmt: skip
    assert compared(turned[0], turned[1], signed=True).identity.mean() < 0.05
    assert not (verdict(turned[0], turned[1], signed=True) > UNCLEAR).any()


def test_channels_rotated_alike_do_not_refine_more_than_random_directions():
    before = features(0)
    after = later(before, 1, dict.fromkeys(range(12), 0.9))
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(CHANNELS, CHANNELS)))[0]
    one, two = (along(x, turn) for x in (before, after))
    assert (verdict(one, two, signed=True) > UNCLEAR).mean() <= 0.05
    gain, error = excess(one, two, CLASSES)
    assert abs(gain) < bound(16) * error


def test_unrelated_channels_have_no_identity_and_a_copy_has():
    assert compared(features(0), features(9)).identity.mean() < 0.05
    assert compared(features(0), later(features(0), 2, {})).identity.mean() > 0.95


@pytest.mark.parametrize("directions", [1, 30, 60])
def test_random_directions_are_orthonormal(directions: int):
    found = random_directions(60, most=directions).astype(np.float64)
    assert found.shape == (60, directions)
    np.testing.assert_allclose(found.T @ found, np.eye(directions), atol=1e-6)

"""The machine interpretability score, against its trials played one by one."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from generator.methods.machine_score import EACH, TRIALS, by_chance, extremes, machine_scores
from generator.methods.strips import tie_order

PICTURES = 120


def _features(seed=0):
    """Two kinds of pictures that look alike among themselves."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 2, PICTURES)
    vectors = random.normal(0, 1, (PICTURES, 8)) + 1.5 * np.where(kind, 1, -1)[:, None]
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    return kind, (vectors @ vectors.T).astype(np.float32)


def _scores(kind, seed=1):
    """Channels from one that ignores the kind to one that it decides, after a ReLU and with equal scores."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1, (PICTURES, 10)) + np.linspace(0, 4, 10) * kind[:, None]
    return np.maximum(scores, 0).round(1).astype(np.float32)


def _played(scores, paths, cosines):
    """The score of one channel: every trial in words."""
    order = sorted(range(len(paths)), key=lambda n: (-scores[n], hashlib.sha256(paths[n].encode()).digest()))
    strong, weak = order[:EACH], order[::-1][:EACH]
    answers = []
    for start in (0, 1):
        shown_strong, shown_weak = strong[start::2], weak[start::2]
        for one in strong[1 - start :: 2]:
            for other in weak[1 - start :: 2]:
                leaning = [
                    np.mean([float(cosines[asked, n]) for n in shown_strong])
                    - np.mean([float(cosines[asked, n]) for n in shown_weak])
                    for asked in (one, other)
                ]
                answers.append(float(leaning[0] > leaning[1]))
    assert len(answers) == TRIALS
    return np.mean(answers)


@pytest.mark.parametrize("order", [0, 1])
def test_the_score_is_that_of_trials_played_one_by_one_in_any_order_of_the_pictures(order):
    kind, cosines = _features()
    scores, paths = _scores(kind), [f"{n % 5}/{n}.png" for n in range(PICTURES)]
    right = [_played(column, paths, cosines) for column in scores.T]
    shuffled = np.random.default_rng(order).permutation(PICTURES) if order else np.arange(PICTURES)
    rows = extremes(scores[shuffled], tie_order([paths[n] for n in shuffled]))
    found = machine_scores(rows, cosines[np.ix_(shuffled, shuffled)])
    np.testing.assert_allclose(found, right, atol=1 / TRIALS)  # last bits may decide one trial otherwise
    assert found[-1] > 0.9
    assert abs(found[0] - 0.5) < 0.35


def test_signed_scores_keep_their_order():
    scores = np.random.default_rng(3).normal(0, 1, (PICTURES, 4)).astype(np.float32)
    rows = extremes(scores, np.arange(PICTURES))
    for channel, (high, low) in enumerate(rows):
        falling = np.argsort(-scores[:, channel], kind="stable")
        assert high.tolist() == falling[:EACH].tolist()
        assert low.tolist() == falling[::-1][:EACH].tolist()


def test_pictures_in_random_order_score_a_half():
    _, cosines = _features()
    low, high = by_chance(cosines)
    assert low < 0.5 < high
    assert abs((low + high) / 2 - 0.5) < 0.05


def test_a_picture_without_features_leaves_its_channels_without_a_score():
    kind, cosines = _features()
    rows = extremes(_scores(kind), np.arange(PICTURES))
    lacking = cosines.copy()
    lacking[rows[2, 0, 3]] = np.nan
    found = machine_scores(rows, lacking)
    affected = (rows == rows[2, 0, 3]).any(axis=(1, 2))
    np.testing.assert_array_equal(np.isnan(found), affected)

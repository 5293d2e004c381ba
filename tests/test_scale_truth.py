"""Sizes that are known: the drawings, the measure of invariance, and how it is held against the criteria."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from generator.methods.scale_truth import curves, driving_class, invariance, separation
from generator.pictures.drawn import world
from generator.pictures.drawn.scales import BACKGROUND_SCALE, OCTAVE, SCALE_SEED, SCALES, _sizes


def test_sizes_are_half_an_octave_apart_and_span_two():
    ratios = np.diff(np.log2(SCALES))
    np.testing.assert_allclose(ratios, 0.5)
    assert np.log2(SCALES[OCTAVE - 1] / SCALES[0]) == pytest.approx(1)


def test_a_task_draws_one_thing_at_every_size_and_once_without_it():
    pictures = _sizes((7, 2))
    assert pictures.shape == (1 + len(SCALES), 96, 96, 3)
    index = 2 * len(world.CLASSES) + 7
    for scale, picture in zip((BACKGROUND_SCALE, *SCALES), pictures, strict=True):
        expected = world.draw_at_scale(7, scale, index, SCALE_SEED)
        assert expected.label == 7 and expected.scale == scale
        np.testing.assert_array_equal(picture, np.asarray(expected.image))
    changed = (pictures[1:].astype(int) != pictures[0]).any(-1).mean((1, 2))
    assert (np.diff(changed) > 0).all()  # a larger thing covers more of the ground


def test_invariance_is_least_over_greatest_within_the_best_octave_that_holds_the_greatest():
    answers = np.array(
        [
            [0.0, 2.0, 2.0, 2.0, 0.0],  # flat where it matters
            [0.0, 1.0, 4.0, 3.0, 9.0],  # greatest at an end: that below it
            [0.0, 1.0, 8.0, 2.0, 0.0],
            [5.0, 0.0, 0.0, 0.0, 0.0],
            [-1.0, 4.0, -2.0, 0.0, 0.0],  # an answer below the ground's counts as none
            [-1.0, -1.0, -2.0, -3.0, 0.0],
        ]
    )
    np.testing.assert_allclose(invariance(answers, 3), [1, 3 / 9, 1 / 8, 0, 0, np.nan])
    flat = np.array([[0.0, 2.0, 4.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0, 3.0]])
    np.testing.assert_allclose(invariance(flat, 3), [0.5, 1])


def test_the_driving_class_is_that_of_the_greatest_answer_and_its_curve_is_taken():
    answers = np.zeros((4, 5, 2))
    answers[2, 3, 0], answers[1, 0, 1], answers[3, :, 1] = 5, 7, 6.5
    of = driving_class(answers)
    np.testing.assert_array_equal(of, [2, 1])
    np.testing.assert_array_equal(curves(answers, of), [[0, 0, 0, 5, 0], [7, 0, 0, 0, 0]])


def test_separation_is_scikit_learn_s_area_under_the_roc_curve():
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=80), 1)  # with ties
    holds = values + rng.normal(size=80) > 0.5
    values[:5] = np.nan
    found = separation(holds, values)
    assert found is not None
    assert found.auc == pytest.approx(roc_auc_score(holds[5:], values[5:]))
    assert (found.yes, found.no) == (int(holds[5:].sum()), int((~holds[5:]).sum())) and 0 < found.p < 0.05
    assert separation(np.zeros(80, bool), values) is None

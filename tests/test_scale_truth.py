"""Sizes that are known: the drawings, the measure of invariance, and how it is held against the criteria."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from generator.methods.scale import measures
from generator.methods.scale_truth import (
    curves,
    drawing_halves,
    driving_classes,
    halved,
    invariance,
    separation,
    true_invariance,
)
from generator.pictures.drawn import world
from generator.pictures.drawn.scales import BACKGROUND_SCALE, OCTAVE, SCALE_SEED, SCALES, _sizes
from generator.stages.scale_truth import block_truth, whole


def test_sizes_are_half_an_octave_apart_and_span_two():
    ratios = np.diff(np.log2(SCALES))
    np.testing.assert_allclose(ratios, 0.5)
    assert np.log2(SCALES[OCTAVE - 1] / SCALES[0]) == pytest.approx(1)


def test_a_task_draws_one_thing_at_every_size_and_once_without_it():
    pictures = _sizes((7, 2))
    assert pictures.shape == (1 + len(SCALES), 96, 96, 3)
    index = 2 * len(world.CLASSES) + 7
    for scale, picture in zip((BACKGROUND_SCALE, *SCALES), pictures, strict=True):
        (expected,) = world.draw_at_scales(7, (scale,), index, SCALE_SEED)
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


def test_the_driving_classes_are_those_of_the_largest_responses_and_their_curves_are_taken():
    answers = np.zeros((4, 5, 2))
    answers[2, 3, 0], answers[1, 0, 1], answers[3, :, 1] = 5, 7, 6.5
    of = driving_classes(answers, 2)
    np.testing.assert_array_equal(of, [[2, 1], [0, 3]])
    np.testing.assert_array_equal(curves(answers, of[0]), [[0, 0, 0, 5, 0], [7, 0, 0, 0, 0]])


def test_true_invariance_weighs_the_driving_classes_by_their_largest_responses():
    answers = np.zeros((4, 5, 3))
    answers[0, :, 0], answers[1, :, 0] = (
        4,
        [0, 1, 2, 1, 0],
    )  # 4 of 4 and 1 of 2; the third class has no response
    answers[2, :, 1] = [8, 2, 2, 0, 0]
    found = true_invariance(answers, driving_classes(answers), OCTAVE)
    np.testing.assert_allclose(found, [5 / 6, 0.25, np.nan])


def test_separation_is_scikit_learn_s_area_under_the_roc_curve_of_the_outer_thirds():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(3, 80))
    values = np.round(truth[0] + rng.normal(size=80), 1)  # with ties
    found = separation(values, truth)
    assert found is not None and found.pairs == 26 * 26
    for row, auc in zip(truth, found.auc, strict=True):
        order = np.argsort(row)
        outer, high = np.concatenate([order[:26], order[-26:]]), np.arange(52) >= 26
        assert auc == pytest.approx(roc_auc_score(high, values[outer]))
    assert found.auc[0] > 0.7 and np.abs(found.auc[1:] - 0.5).max() < 0.2
    assert separation(values[:8], truth[:, :8]) is None


def test_halves_share_the_drawings_of_every_class():
    members = drawing_halves(5, 6)
    assert (members.sum(axis=2) == 3).all() and len(np.unique(members[:, 0], axis=0)) > 1
    values = np.random.default_rng(0).normal(size=(5, 6, 4, 2))
    both = (halved(values, members[0]) + halved(values, ~members[0])) / 2
    np.testing.assert_allclose(both, values.mean(axis=1))


def _planted(invariant: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Responses to three classes each: the same at all sizes, or to one size alone; with noise of the drawings."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (12, 6, 5, len(invariant)))
    for channel, flat in enumerate(invariant):
        values[channel % 4 :: 4, :, :, channel] += 5 * (np.ones(5) if flat else np.eye(5)[2])
    return {side: values.astype(np.float32) for side in ("input", "block", "output")}


def test_a_measure_that_knows_is_found_out_and_one_that_does_not_is_at_chance():
    invariant = np.arange(90) % 3 == 0
    responses = _planted(invariant, 0)
    rng = np.random.default_rng(1)
    numbers = {
        "zoom_invariance": np.where(invariant, 0.9, 0.2) + rng.normal(0, 0.05, 90),
        "zoom_correlation": rng.normal(size=90),
    }
    part = block_truth("res2a", responses, numbers, drawing_halves(12, 6))
    assert (part.arrays["scale_truth"][invariant] > 0.8).all() and (
        part.arrays["scale_truth"][~invariant] < 0.4
    ).all()
    auc = part.report()["auc"]
    assert auc["zoom_invariance"]["auc"] > 0.95
    assert abs(auc["zoom_correlation"]["auc"] - 0.5) < 0.2
    assert part.report()["reliability"] > 0.8
    assert whole([part, part])["auc"]["zoom_invariance"]["auc"] == pytest.approx(
        auc["zoom_invariance"]["auc"]
    )
    assert np.abs(part.arrays["scale_gain"]).max() < 1e-6  # input and output are the same here


def test_the_criteria_are_measures_too_and_changes_are_corrected_by_those_of_random_pictures():
    numbers = {
        "scale_block": np.array([1.0, 1.0, -1.0, np.nan]), "scale_input": np.array([1.0, 1.0, 1.0, 1.0]),
        "scale_sum": np.array([2.0, 2.0, 0.0, np.nan]), "mix_ratio": np.array([1.0, 3.0, 1.0, 1.0]),
        "scale_block_random": np.array([0.5, 0.5, 0.5, 0.5]), "scale_input_random": np.array([0.5, 0.0, 0.5, 0.5]),
        "scale_block_error": np.array([0.2, 0.2, 0.2, 0.2]), "scale_input_error": np.array([0.3, 0.3, 0.3, 0.3]),
    }  # fmt: skip
    found = measures(numbers)
    np.testing.assert_array_equal(found["criteria"], [1, 1, 0, 0])
    np.testing.assert_array_equal(found["invariant"], [1, 0, 0, 0])
    # 2.306 standard errors to each side: 0.5 ± 0.461 and 0.5 ± 0.692 for the first, 0.5 and 1.0 for the second.
    np.testing.assert_array_equal(found["corrected"], [0, 1, 0, 0])
    np.testing.assert_allclose(found["corrected_sum"], [1.0, 1.5, -1.0, np.nan])
    assert "zoom_invariance" not in found

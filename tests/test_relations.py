"""Purity and refinement against SciPy and against answers planted beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import entropy as scipy_entropy

from generator.core.errors import AtlasError
from generator.core.hierarchy import Hierarchy, imagenet_hierarchy, nodes_of, read_hierarchy, similarities
from generator.core.records import ReceptiveField
from generator.experiments.permutation import permuted, refinement_scores
from generator.methods.purity import (
    KEPT_SHARES,
    Classes,
    agreement,
    classes_of_nine,
    entropy,
    expected_entropies,
    purity,
    threshold_entropies,
)
from generator.methods.refinement import StrongestUnits, shared_places


def _scores(seed: int, pictures: int = 300, channels: int = 40) -> np.ndarray:
    """Scores with ties, as of ReLUs: about half are zero."""
    return np.maximum(np.random.default_rng(seed).normal(0, 1, (pictures, channels)), 0).astype(np.float32)


# -- the nine's classes --------------------------------------------------------------------------------------------


def test_purity_and_entropy_are_scipy_s():
    of_picture = np.random.default_rng(1).integers(0, 5, 60)
    top_image = np.stack([np.random.default_rng(s).permutation(60)[:9] for s in range(50)])
    nine = classes_of_nine(top_image, of_picture)
    counts = np.array([np.bincount(of_picture[row], minlength=5) for row in top_image])
    np.testing.assert_allclose(purity(nine), counts.max(axis=1) / 9, rtol=1e-6)
    np.testing.assert_allclose(entropy(nine), scipy_entropy(counts, base=2, axis=1), rtol=1e-6)


def test_nine_of_one_class_are_pure_and_nine_of_nine_are_not():
    nine = np.array([[3] * 9, range(9)])
    assert purity(nine).tolist() == pytest.approx([1, 1 / 9])
    assert entropy(nine).tolist() == pytest.approx([0, np.log2(9)], rel=1e-6)


def test_fewer_than_nine_labelled_pictures_have_no_purity():
    nine = classes_of_nine(np.array([[0, 1, 2, 3, 4, 5, 6, 7, -1], range(9)]), np.array([0] * 8 + [-1]))
    assert np.isnan(purity(nine)).all() and np.isnan(entropy(nine)).all()


def test_agreement_is_zero_by_chance_and_one_for_a_single_class():
    labels = [(n % 6, f"class {n % 6}") for n in range(120)]
    classes = Classes.of(labels, None, None)
    random = np.random.default_rng(0)
    by_chance = np.stack([random.permutation(120)[:9] for _ in range(4000)])
    values = agreement(classes_of_nine(by_chance, classes.of_picture), classes)
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert agreement(np.array([[2] * 9]), classes).tolist() == [1.0]


VEHICLES = Hierarchy(
    {"tandem": "cycle", "bicycle": "cycle", "cycle": "vehicle", "car": "vehicle", "vehicle": "", "tench": "fish",
     "fish": ""},
    "test",
)  # fmt: skip


def test_by_the_hierarchy_a_tandem_is_near_a_bicycle_and_a_tench_is_not():
    names = ["tandem", "bicycle", "car", "tench"]
    found = similarities(VEHICLES, names, np.array([10, 10, 10, 10]))
    bicycle, car = -np.log(2 / 4), -np.log(3 / 4)
    own = -np.log(1 / 4)
    assert found[0, 1] == pytest.approx(bicycle / own)
    assert found[0, 2] == pytest.approx(car / own)
    assert found[0, 3] == 0 and found.diagonal().tolist() == [1] * 4
    labels = [(n, name) for n, name in enumerate(names) for _ in range(10)]
    classes = Classes.of(labels, [name for _, name in labels], VEHICLES)
    near, far = agreement(np.array([[0] * 5 + [1] * 4, [0] * 5 + [3] * 4]), classes)
    assert near > far


def test_groups_are_the_largest_that_hold_an_eighth_at_most():
    parents = {f"c{n}": f"g{n // 2}" for n in range(40)} | {f"g{n}": "all" for n in range(20)} | {"all": ""}
    labels = [(n, f"c{n}") for n in range(40)]
    tree = Hierarchy(parents, "test")
    classes = Classes.of(labels, [name for _, name in labels], tree)
    assert set(classes.group_names) == {f"g{n}" for n in range(20)}
    assert classes.repeat is False
    assert classes.groups is not None and classes.groups[0] == classes.groups[1] != classes.groups[2]


def test_the_expected_entropy_is_what_drawing_at_random_gives():
    counts = np.array([5, 5, 8, 12])
    expected = expected_entropies(counts)
    assert expected[1] == pytest.approx(0, abs=1e-9)
    assert expected[30] == pytest.approx(scipy_entropy(counts / 30, base=2))
    random, of_picture = np.random.default_rng(0), np.repeat(range(4), counts)
    drawn = [
        scipy_entropy(np.bincount(random.permutation(of_picture)[:7], minlength=4), base=2)
        for _ in range(4000)
    ]
    assert expected[7] == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(4000))


def test_the_entropy_above_a_threshold_is_zero_for_a_class_detector_and_that_of_chance_for_noise():
    of_picture = np.repeat(range(10), 40)
    random = np.random.default_rng(3)
    noise = random.uniform(0.1, 1, (400, 200))
    detector = (of_picture == 4)[:, None] + 0.01 * noise[:, :1]
    expected = expected_entropies(np.bincount(of_picture))
    above = threshold_entropies(np.hstack([detector, noise]), of_picture, expected)
    step = KEPT_SHARES.index(0.1)
    assert above.entropy[0, step] == 0
    assert above.entropy[1:, step].mean() == pytest.approx(above.by_chance[1:, step].mean(), rel=0.01)
    # Everything above zero is all pictures: the entropy of the classes themselves.
    np.testing.assert_allclose(above.entropy[:, 0], np.log2(10), rtol=1e-6)


def test_entropies_do_not_depend_on_the_order_of_pictures_or_channels():
    of_picture = np.random.default_rng(0).integers(-1, 7, 300)
    scores, order = _scores(2), np.random.default_rng(5).permutation(300)
    expected = expected_entropies(np.bincount(of_picture[of_picture >= 0]))
    one = threshold_entropies(scores, of_picture, expected)
    other = threshold_entropies(scores[order][:, ::-1], of_picture[order], expected)
    np.testing.assert_array_equal(one.entropy, other.entropy[::-1])


# -- hierarchies ---------------------------------------------------------------------------------------------------


def test_imagenet_s_classes_are_found_by_label_by_file_and_by_folder():
    tree = imagenet_hierarchy()
    pictures = [("tench", "n01440764_tench.JPEG"), ("n01443537", "n01443537/1.jpg"), ("", "x.jpg")]
    assert nodes_of(tree, pictures, strict=True) == ["n01440764", "n01443537", ""]
    assert nodes_of(tree, [("tench", "a.jpg")], strict=False) is None
    tandem, bicycle, tench = "n02835271", "n03792782", "n01440764"
    found = similarities(tree, [tandem, bicycle, tench], np.array([1, 1, 1]))
    assert found[0, 1] > 0.3 > found[0, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "lacks the columns"),
        ("child,parent\na,b\nb,a\n", "circle"),
        ("child,parent\na,b\na,c\n", "two parents"),
        ("child,parent\n,b\n", "names no child"),
        ("", "lacks the columns"),
    ],
)
def test_a_bad_hierarchy_is_one_sentence(tmp_path: Path, text: str, said: str):
    path = tmp_path / "tree.csv"
    path.write_text(text)
    with pytest.raises(AtlasError, match=said):
        read_hierarchy(path)


def test_a_label_that_the_hierarchy_lacks_is_named():
    with pytest.raises(AtlasError, match="'whale'"):
        nodes_of(VEHICLES, [("tench", "a"), ("whale", "b")], strict=True)


# -- refinement ----------------------------------------------------------------------------------------------------


def test_shared_places_are_within_one_stride_of_the_receptive_fields_middles():
    field = ReceptiveField(19, 4, 2.0)
    image = np.arange(9)[None]
    unit = np.full((1, 9, 2), 10)
    moved = unit.copy()
    moved[0, :3] += 1  # one stride in both directions: still there
    moved[0, 3:5, 1] += 2  # two strides: not
    wider = ReceptiveField(51, 4, 2.0)
    assert shared_places(
        StrongestUnits(image, unit, field), StrongestUnits(image, moved, wider)
    ).tolist() == [7]
    other = np.where(image < 4, image, image + 100)
    assert shared_places(StrongestUnits(image, unit, field), StrongestUnits(other, unit, field)).tolist() == [
        4
    ]


def _refining_pair(seed: int, gain: float, channels: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Agreement later and earlier, and the correlations of all pairs: each channel with itself 0.8, others about 0.

    gain: how much the nine's agreement rises where a channel continues itself."""
    random = np.random.default_rng(seed)
    earlier = random.uniform(0, 0.5, channels)
    rho = random.normal(0, 0.1, (channels, channels))
    rho[np.diag_indices(channels)] = 0.8
    return earlier + gain + random.normal(0, 0.1, channels), earlier, rho


def test_scores_of_paired_channels_lie_above_those_of_permuted_numbers():
    part = permuted(refinement_scores(*_refining_pair(0, 0.1)), 0, 999)
    assert part.p == 0.001 and part.observed > part.permuted.max()


def test_the_permutation_is_calibrated_where_nothing_corresponds():
    """Also of channels whose agreement rises all the same."""
    p = []
    for seed in range(400):
        random = np.random.default_rng(seed)
        earlier, rho = random.uniform(0, 0.8, 40), random.normal(0, 0.2, (40, 40))
        p.append(permuted(refinement_scores(random.uniform(0.2, 1, 40), earlier, rho), seed, 99).p)
    for level in (0.05, 0.2, 0.5):
        below = sum(value <= level for value in p)
        assert binomtest(below, 400, level).pvalue > 0.001, (level, below)


def test_parts_of_a_test_add_up_and_unknown_channels_take_no_part():
    values = refinement_scores(*_refining_pair(1, 0.1))
    values[3] = np.nan  # no labels: unknown with every other channel
    part = permuted(values, 5, 99)
    assert part.channels == 59
    assert part.observed == pytest.approx(np.nansum(np.diagonal(values)), abs=1e-6)
    both = part + permuted(refinement_scores(*_refining_pair(2, 0.1)), 6, 99)
    assert both.channels == 119 and both.p == 0.01
    np.testing.assert_array_equal(permuted(values, 5, 99).permuted, part.permuted)

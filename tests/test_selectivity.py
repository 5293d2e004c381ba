"""Class measures: AUROC and average precision, chance, random directions, halves, visual agreement."""

from __future__ import annotations

import re

import numpy as np
import pytest
from make_small_atlas import CLASSES, make_atlas
from sklearn.metrics import average_precision_score, roc_auc_score

from generator.core.errors import AtlasError
from generator.core.store import Store
from generator.methods import auroc
from generator.methods.auroc import LabelSet, balanced_halvings, best_classes
from generator.methods.directions import along, random_directions
from generator.methods.half_nines import FIVE, WEIGHTS, half_entropy, half_purity, half_similarity
from generator.methods.purity import Classes
from generator.methods.resampling import bound, first_of, halvings, ranking, slots
from generator.methods.visual import Looks
from generator.site.chapters.selectivity import selectivity_page
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.reading.class_sentences import class_sentences
from generator.site.reading.highlights import highlights
from generator.site.reading.layer import layer_grid
from generator.stages.class_measures import Labels, by_chance, channel_arrays, layer_report, measure
from generator.stages.visual_features import other_features

KINDS = 6


def _pictures(seed: int, count: int = 240, channels: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Classes and scores with ties; channel c prefers class c % KINDS."""
    random = np.random.default_rng(seed)
    of_picture = random.permutation(count) % KINDS
    prefers = of_picture[:, None] == np.arange(channels) % KINDS
    scores = random.normal(0, 1, (count, channels)) + 1.2 * prefers
    return of_picture, np.maximum(scores, 0).round(1).astype(np.float32)


def _best(of_picture: np.ndarray, scores: np.ndarray) -> tuple[auroc.BestClass, np.ndarray]:
    halves = balanced_halvings([of_picture], len(scores))
    (best,) = best_classes(scores, halves, [LabelSet.of(of_picture, halves, of_picture.max() + 1)])
    return best, halves


# -- AUROC and average precision -----------------------------------------------------------------------------------


def test_the_class_is_the_best_on_one_half_and_its_numbers_are_scikit_learn_s_on_the_other():
    of_picture, scores = _pictures(0)
    best, halves = _best(of_picture, scores)
    first, second = halves[0], ~halves[0]
    for channel in range(scores.shape[1]):
        column = scores[:, channel]
        areas = [roc_auc_score(of_picture[first] == kind, column[first]) for kind in range(KINDS)]
        kind = int(best.best[channel])
        assert kind == int(np.argmax(areas)) and best.chosen[channel] == pytest.approx(max(areas))
        own = of_picture[second] == kind
        assert best.auroc[channel] == pytest.approx(roc_auc_score(own, column[second]))
        assert best.precision[channel] == pytest.approx(average_precision_score(own, column[second]))
        assert best.prevalence[channel] == pytest.approx(own.mean())


def test_every_halving_reads_on_each_half_the_class_that_is_best_on_the_other():
    of_picture, scores = _pictures(1, channels=5)
    best, halves = _best(of_picture, scores)
    for split, half in enumerate(halves):
        for here, (read, chosen_on) in enumerate(((half, ~half), (~half, half))):
            for channel in range(5):
                column = scores[:, channel]
                areas = [roc_auc_score(of_picture[chosen_on] == k, column[chosen_on]) for k in range(KINDS)]
                expected = roc_auc_score(of_picture[read] == int(np.argmax(areas)), column[read])
                assert best.auroc_by_half[here, split, channel] == pytest.approx(expected)


def test_the_interval_is_delong_s_with_one_more_picture_above_half_of_the_others():
    """From the definition, with all pairs of pictures."""
    of_picture, scores = _pictures(2, channels=7)
    best, halves = _best(of_picture, scores)
    second = ~halves[0]
    for channel in range(7):
        own = of_picture[second] == best.best[channel]
        high, low = scores[second, channel][own], scores[second, channel][~own]
        wins = (high[:, None] > low) + 0.5 * (high[:, None] == low)
        shares = np.append(wins.mean(1), 0.5)
        squared = shares.var() / len(high) + wins.mean(0).var(ddof=1) / len(low)
        ends = shares.mean() + np.array([-1, 1]) * bound() * np.sqrt(squared)
        assert (best.low[channel], best.high[channel]) == pytest.approx(tuple(np.clip(ends, 0, 1)), abs=1e-6)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_intervals_of_an_auroc_cover_the_truth(shift):
    """Normal scores, whose AUROC is known; classes of 20 pictures, ten of them in the half that is read."""
    from scipy.stats import norm

    truth = norm.cdf(shift / np.sqrt(2))
    of_picture = np.arange(200) % 10
    random = np.random.default_rng(5)
    halves = balanced_halvings([of_picture], 200)
    only = LabelSet(of_picture, np.arange(10) == 3)  # no choice: the truth is that of one class
    scores = random.normal(0, 1, (200, 2000)) + shift * (of_picture == 3)[:, None]
    (best,) = best_classes(scores.astype(np.float32), halves[:1], [only])
    covered = ((best.low <= truth) & (truth <= best.high)).mean()
    assert covered >= 0.92 and best.high.max() > best.low.max()


def test_a_random_order_has_the_spread_that_the_guide_states():
    of_picture = np.arange(2000) % 100
    halves = balanced_halvings([of_picture], 2000)
    orders = np.random.default_rng(0).random((2000, 1000), np.float32)
    (best,) = best_classes(orders, halves[:1], [LabelSet.of(of_picture, halves, 100)])
    assert best.auroc.std() == pytest.approx(0.09, abs=0.006)


def test_classes_with_too_few_pictures_are_not_candidates_and_without_any_there_is_no_statement():
    of_picture = np.repeat([0, 1, 2], [60, 60, 2 * auroc.FEWEST - 1])
    scores = np.random.default_rng(0).normal(size=(len(of_picture), 300)) + 3 * (of_picture == 2)[:, None]
    best, _ = _best(of_picture, scores)
    assert set(best.best.tolist()) <= {0, 1}
    alone = np.arange(200)
    assert not LabelSet.of(alone, balanced_halvings([alone // 20, alone], 200), 200).carries_statements
    assert LabelSet.of(alone // 20, balanced_halvings([alone // 20, alone], 200), 10).enough.all()


def test_halvings_divide_groups_evenly_and_differ_where_each_class_has_one_picture():
    groups, classes = np.arange(100) // 10, np.arange(100)
    halves = balanced_halvings([groups, classes], 100)
    assert all(np.abs(2 * np.bincount(groups[half], minlength=10) - 10).max() <= 1 for half in halves)
    assert len(np.unique(np.concatenate([halves, ~halves]), axis=0)) == 2 * len(halves)


def test_numbers_do_not_depend_on_how_many_channels_are_taken_at_once(monkeypatch):
    of_picture, scores = _pictures(3)
    whole, _ = _best(of_picture, scores)
    monkeypatch.setattr(auroc, "AT_ONCE", 1700)
    parts, _ = _best(of_picture, scores)
    np.testing.assert_array_equal(whole.auroc, parts.auroc)
    np.testing.assert_array_equal(whole.auroc_by_half, parts.auroc_by_half)


# -- halves of the nine --------------------------------------------------------------------------------------------


def test_five_pictures_of_a_half_take_the_nine_places():
    _, scores = _pictures(4)
    order = ranking(scores, signed=False)
    for member in halvings(len(scores), 5):
        five, places = first_of(order, member[None], FIVE)[0], slots(order, member[None])[0]
        for channel in range(len(order)):
            taken = places[channel] > 0
            if places[channel].sum() < 9:
                assert (five[channel] == -1).all()
            else:
                assert five[channel].tolist() == order[channel][taken].tolist()
                assert WEIGHTS.tolist() == places[channel][taken].tolist()


def test_the_statistics_of_a_half_are_those_of_its_nine_places_without_pairs_of_one_picture_with_itself():
    random = np.random.default_rng(0)
    similarity = random.random((4, 4))
    similarity = (similarity + similarity.T) / 2
    five = random.integers(0, 4, (30, 5))
    nine = np.repeat(five, WEIGHTS, axis=1)
    picture = np.repeat(np.arange(5), WEIGHTS)
    pairs = [(i, j) for i in range(9) for j in range(9) if picture[i] != picture[j]]
    expected = [np.mean([similarity[row[i], row[j]] for i, j in pairs]) for row in nine]
    np.testing.assert_allclose(half_similarity(five, similarity), expected)
    shares = [np.bincount(row) / 9 for row in nine]
    np.testing.assert_allclose(half_purity(five), [share.max() for share in shares])
    bits = [-(share[share > 0] * np.log2(share[share > 0])).sum() for share in shares]
    np.testing.assert_allclose(half_entropy(five), bits, atol=1e-12)


# -- what channels are compared with -------------------------------------------------------------------------------


def _labels(of_picture: np.ndarray, looks: Looks | None = None) -> Labels:
    classes = Classes.of([(int(kind), f"class {kind}") for kind in of_picture], None, None)
    return Labels.of(classes, np.arange(len(of_picture)), looks)


def test_random_order_gives_chance_and_the_best_class_of_the_choosing_half_more():
    of_picture = np.arange(300) % 10
    labels = _labels(of_picture)
    chance = by_chance(labels)
    assert chance["class_auroc"]["mean"] == pytest.approx(0.5, abs=0.01)
    assert chance["class_auroc_chosen"]["mean"] > 0.6
    assert chance["label_agreement"]["mean"] == pytest.approx(0, abs=0.005)
    random = np.random.default_rng(1)
    values = [(np.bincount(of_picture[random.permutation(300)[:9]]).max() / 9) for _ in range(3000)]
    assert chance["label_purity"]["mean"] == pytest.approx(np.mean(values), abs=0.01)


def test_a_layer_of_detectors_is_better_than_its_directions_and_repeats_while_noise_does_neither():
    of_picture, scores = _pictures(6, count=600, channels=30)
    labels = _labels(of_picture)
    dead = np.zeros(30, bool)

    def report(scores: np.ndarray) -> dict:
        channels = measure(labels, scores, signed=True)
        return layer_report(
            channels, measure(labels, along(scores, random_directions(30)), signed=True), dead
        )

    good = report(scores)["measures"]["class_auroc"]
    assert good["difference"] > 3 * good["difference_error"] > 0
    noise = report(np.random.default_rng(0).normal(size=scores.shape).astype(np.float32))["measures"]
    for name in ("class_auroc", "label_agreement"):
        assert abs(noise[name]["difference"]) < 3.5 * noise[name]["difference_error"]
        assert abs(noise[name]["reliability"]) < 0.5


def test_dead_channels_and_unlabelled_pictures_have_no_values():
    _, scores = _pictures(7, channels=3)
    dead = np.array([False, True, False])
    arrays = channel_arrays(measure(_labels(np.full(240, 2)), scores, signed=False), dead)
    assert np.isnan(arrays["class_auroc"]).all() and (arrays["best_class"] == -1).all()
    of_picture, scores = _pictures(7, channels=3)
    arrays = channel_arrays(measure(_labels(of_picture), scores, signed=False), dead)
    assert (
        np.isfinite(arrays["class_auroc"]).tolist() == [True, False, True] and arrays["best_class"][1] == -1
    )
    assert (arrays["label_agreement_error"][~dead] > 0).all()


# -- visual agreement ----------------------------------------------------------------------------------------------


def test_visual_agreement_is_the_scaled_mean_cosine_of_centred_features():
    features = np.random.default_rng(0).gamma(1, 1, (50, 16)).astype(np.float32)
    looks = Looks.of(features, np.arange(50), 60)
    assert looks is not None
    centred = features - features.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = unit @ unit.T
    off = ~np.eye(50, dtype=bool)
    assert looks.baseline == pytest.approx(cosines[off].mean(), abs=1e-6)
    nine = np.random.default_rng(1).permutation(50)[:9][None]
    mean = cosines[np.ix_(nine[0], nine[0])][~np.eye(9, dtype=bool)].mean()
    expected = (mean - looks.baseline) / (1 - looks.baseline)
    assert looks.agreement(nine)[0] == pytest.approx(expected, abs=1e-5)
    nine[0, 4] = 55  # a picture without features
    assert np.isnan(looks.agreement(nine)[0])
    assert Looks.of(np.ones((5, 3), np.float32), np.arange(5), 5) is None


def test_another_networks_features_must_be_of_the_same_pictures_and_be_there(tmp_path) -> None:
    make_atlas(tmp_path / "other", stages=((2, 1, 4),), inner=(), stem=4, pictures=20, side=48, tile=12)
    store = Store(tmp_path / "other")
    digest = store.manifest().pictures.sha256
    with pytest.raises(AtlasError, match="is of other pictures"):
        other_features(str(tmp_path / "other"), "another", 20)
    with pytest.raises(AtlasError, match="has no final features"):
        other_features(str(tmp_path / "other"), digest, 20)
    features = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    store.arrays.write_features(features.shape, [features])
    store.arrays.write_embedding({"picture": np.arange(20, dtype=np.int32)})
    store.tables.write_json("embedding/embedding.json", {})
    found = other_features(str(tmp_path / "other"), digest, 20)
    assert found is not None and not found.own and found.network == store.manifest().title
    expected = Looks.of(features, np.arange(20), 20)
    assert expected is not None
    np.testing.assert_array_equal(found.looks.vectors, expected.vectors)


def test_nine_pictures_of_one_class_do_not_seem_certain() -> None:
    of_picture = np.repeat(range(5), 40)
    scores = (of_picture == 2)[:, None] + 0.1 * np.random.default_rng(0).random((200, 3))
    measured = measure(_labels(of_picture), scores.astype(np.float32), signed=False)
    arrays = channel_arrays(measured, np.zeros(3, bool))
    assert arrays["label_agreement"].tolist() == [1, 1, 1] and arrays["label_agreement_error"].min() > 0.06


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """Four classes of 51 pictures."""
    folder = tmp_path_factory.mktemp("selectivity") / "atlas"
    make_atlas(folder, stages=((2, 3, 12),), inner=(), pictures=204, side=48, tile=12, labels=CLASSES[:4])
    return Atlas(folder)


def test_the_page_counts_what_the_stage_measured(pages: Atlas) -> None:
    page = selectivity_page(pages)
    report = pages.store.tables.read_json("classes.json")
    assert report is not None
    assert {"class_auroc", "label_agreement"} <= {section.measure.key for section in page.sections}
    for section in page.sections:
        of_layer = [layer["measures"].get(section.measure.key) for layer in report["layers"].values()]
        known = [measure for measure in of_layer if measure is not None]
        assert [row.mean.value for row in section.rows] == [measure["mean"] for measure in known]
        reliable = [(measure["reliability"] or 0) >= report["reliable"] for measure in known]
        assert section.repeats == sum(reliable)
        with_error = [measure for measure in known if measure["difference_error"] is not None]
        reach = [report["bound"] * measure["difference_error"] for measure in with_error]
        differences = zip(with_error, reach, strict=True)
        assert section.above == sum(measure["difference"] > width for measure, width in differences)
    assert page.curves is not None and all(stage.by_chance for stage in page.curves.stages)


def test_the_best_channel_of_a_class_is_the_one_that_the_choosing_half_says(pages: Atlas) -> None:
    (best,) = (best for best in selectivity_page(pages).best if best.kind == "classes")
    assert best.total == 4 and best.left_out == 0
    report = pages.class_report
    assert report is not None
    repeats = {layer.name: not report.does_not_repeat(layer.name, "class_auroc") for layer in pages.layers}
    assert any(repeats.values())
    for entry in best.entries:
        number = list(pages.kind_names("class")).index(entry.name)
        chosen = [
            arrays["class_auroc_chosen"][arrays["best_class"] == number].max(initial=0)
            for arrays in (pages.layer(layer.name).arrays for layer in pages.layers if repeats[layer.name])
        ]
        assert entry.chosen == max(chosen)
        arrays = pages.layer(entry.layer).arrays
        assert entry.area.value == arrays["class_auroc"][entry.channel] != entry.chosen


def test_a_channel_s_page_gives_each_class_measure_with_its_interval_and_chance(pages: Atlas) -> None:
    info = pages.manifest.layer("res2c")
    sentences = class_sentences(pages, info, 1)
    assert re.search(r"“\w+.*”.*AUROC \d\.\d\d \(\d\.\d\d to \d\.\d\d\)", sentences[0])
    assert re.search(r"label agreement \S+ \(\S+ to \S+; random nines: \S+ to \S+\)", sentences[-1])
    assert class_sentences(pages, info, 5) == []  # dead


def test_the_sort_menu_marks_measures_that_do_not_repeat(pages: Atlas) -> None:
    report = pages.class_report
    assert report is not None
    for layer in pages.layers:
        doubtful = layer_grid(pages, layer).doubtful
        for key, known in report.layers[layer.name].measures.items():
            if key in {sort.key for sort in layer_grid(pages, layer).sorts}:
                assert (key in doubtful) == (known.reliability is None or known.reliability < 0.5)
        assert "max" not in doubtful


def test_where_each_class_has_one_picture_no_page_says_anything_of_single_classes(tmp_path) -> None:
    labels = [f"thing {number}" for number in range(40)]
    make_atlas(tmp_path / "atlas", stages=((2, 2, 8),), inner=(), pictures=40, labels=labels)
    atlas = Atlas(tmp_path / "atlas")
    assert not atlas.labels_repeat
    for info in atlas.layers:
        assert (atlas.layer(info.name).arrays["best_class"] == -1).all()
        for channel in range(info.channels):
            said = [channel_sentence(atlas, info, channel), *class_sentences(atlas, info, channel)]
            assert not any(("label" in text and "carry" in text) or "class" in text for text in said)
    assert all(not row.labels for highlight in highlights(atlas) for row in highlight.rows)

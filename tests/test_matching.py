"""Correspondence: against SciPy, against planted matches, and in worlds where nothing corresponds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, rankdata, spearmanr
from threadpoolctl import threadpool_limits

from generator.core.correspondence import (
    Similarity,
    centred_ranks,
    layer_pairs,
    rank_correlations,
    shared_counts,
)
from generator.core.matching import (
    EXPECTED,
    RandomDirections,
    ScoredLayer,
    common_vectors,
    compared,
    level,
    products_of,
    unit_residuals,
)
from generator.core.records import LayerInfo, ReceptiveField
from generator.methods.correspondence import Ranked, correspondence, hubs, shared_error
from generator.methods.rank_intervals import mean_error
from generator.methods.resampling import bound, ranking


def _scores(seed: int, pictures: int = 300, channels: int = 40) -> np.ndarray:
    """Scores with ties, as of ReLUs: about half are zero."""
    return np.maximum(np.random.default_rng(seed).normal(0, 1, (pictures, channels)), 0).astype(np.float32)


def _space(seed: int, pictures: int = 400, channels: int = 60, rank: int = 12) -> np.ndarray:
    """Scores as of a layer: few contents, skewed, and each picture with a contrast that all channels share."""
    random = np.random.default_rng(seed)
    contents = random.standard_exponential((pictures, rank)) * np.linspace(2, 0.3, rank)
    contrast = 3 + random.normal(0, 1, (pictures, 1))
    scores = (
        contents @ random.normal(0, 1, (rank, channels))
        + contrast
        + random.normal(0, 0.5, (pictures, channels))
    )
    return np.maximum(scores, 0).astype(np.float32)


def _layer(scores: np.ndarray) -> ScoredLayer:
    return ScoredLayer.of(ranking(scores, signed=False)[:, :9], scores, np.arange(len(scores)))


def _ranked(scores: np.ndarray) -> Ranked:
    return Ranked(_layer(scores), ranking(scores, signed=False))


def _summary(earlier: np.ndarray, later: np.ndarray, *, tied: bool = True) -> dict[str, float]:
    source, target = _ranked(earlier), _ranked(later)
    return correspondence(source, target, compared(source.layer, target.layer), tied=tied)


# -- similarity of two channels ----------------------------------------------------------------------------------------


def test_rank_correlations_of_all_pairs_are_scipy_s_and_exact_in_any_order() -> None:
    one, two = _scores(0), _scores(1)
    two[:, 3] = 1.0  # constant
    found = rank_correlations(centred_ranks(one), centred_ranks(two))
    theirs = spearmanr(one, np.delete(two, 3, axis=1)).statistic[:40, 40:]
    np.testing.assert_allclose(np.delete(found, 3, axis=1), theirs, rtol=1e-5, atol=1e-7)
    assert np.isnan(found[:, 3]).all()
    order = np.random.default_rng(9).permutation(300)
    again = rank_correlations(centred_ranks(one[order])[:, ::-1], centred_ranks(two[order]))
    np.testing.assert_array_equal(again[::-1], found)


def _partial(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    ranks = [centred_ranks(scores) for scores in (one, two)]
    common = common_vectors(*ranks)
    return products_of(*(unit_residuals(layer, common) for layer in ranks))


def test_partial_rank_correlations_are_those_of_least_squares_and_exact_in_any_order() -> None:
    one, two = _space(0), _space(1)
    two[:, 3] = 1.0
    found = _partial(one, two)
    ranks = [rankdata(scores, axis=0) - (len(scores) + 1) / 2 for scores in (one, two)]
    common = np.stack([layer.mean(axis=1) for layer in ranks], axis=1)
    rest = [layer - common @ np.linalg.lstsq(common, layer, rcond=None)[0] for layer in ranks]
    with np.errstate(invalid="ignore"):
        theirs = np.corrcoef(rest[0].T, rest[1].T)[:60, 60:]
    np.testing.assert_allclose(np.delete(found, 3, axis=1), np.delete(theirs, 3, axis=1), atol=3e-6)
    assert np.isnan(found[:, 3]).all()
    order = np.random.default_rng(9).permutation(400)
    np.testing.assert_array_equal(_partial(one[order][:, ::-1], two[order])[::-1], found)


def test_a_contrast_that_all_channels_share_raises_rho_and_not_the_partial_correlation() -> None:
    random = np.random.default_rng(2)
    contrast = random.normal(0, 1, (800, 1))
    one, two = ((contrast + random.normal(0, 1, (800, 50))).astype(np.float32) + 9 for _ in range(2))
    found = _summary(one, two, tied=False)
    assert found["untied_rho"] == pytest.approx(0.48, abs=0.05)
    assert found["untied_partial"] == pytest.approx(0, abs=0.01)
    assert found["same_partial"] == pytest.approx(0, abs=3 * found["same_partial_margin"])


def test_shared_pictures_of_all_pairs_are_set_intersections() -> None:
    one, two = (ranking(_scores(seed), signed=False)[:, :9] for seed in (0, 1))
    two[5] = -1
    expected = [[len(set(a) & set(b) - {-1}) for b in two.tolist()] for a in one.tolist()]
    assert shared_counts(one, two).tolist() == expected


def test_likeness_joins_pictures_and_ranks() -> None:
    similarity = Similarity.of(np.array([[9, 0]]), np.array([[1.0, np.nan]]))
    assert similarity.strength.tolist() == [[1.0, 0.0]]


# -- matches -----------------------------------------------------------------------------------------------------------


def test_a_permutation_across_a_boundary_is_recovered() -> None:
    earlier = _scores(0)
    order = np.random.default_rng(4).permutation(40)
    noise = 0.3 * np.random.default_rng(5).normal(size=(300, 40)).astype(np.float32)
    later = np.maximum(earlier[:, order] + noise, 0)
    matching = compared(_layer(earlier), _layer(later)).matching
    assert matching.transposed().matches()["channel"][:, 0].tolist() == order.tolist()
    assert matching.matches()["channel"][order, 0].tolist() == list(range(40))
    found = _summary(earlier, later, tied=False)
    assert found["matched"] == found["matching"] == 40
    assert found["repeated"] > 0.95


def test_matches_on_halves_do_not_depend_on_how_many_halves_are_counted_at_once(monkeypatch) -> None:
    earlier, later = _scores(0), _scores(0) + _scores(1)
    together = _summary(earlier, later)
    monkeypatch.setattr("generator.methods.correspondence.PAIRS_AT_ONCE", 1)
    assert _summary(earlier, later) == together


def test_a_channel_that_is_split_in_two_keeps_both_matches() -> None:
    earlier = _scores(0)
    later = np.hstack([earlier[:, :1], _scores(7)[:, 1:], 0.9 * earlier[:, :1]])
    found = compared(_layer(earlier), _layer(later)).matching.matches()
    assert found["channel"][0, :2].tolist() == [0, 40]
    assert found["shared"][0, :2].tolist() == [9, 9]


def test_of_tied_layers_only_matches_of_another_number_are_counted() -> None:
    scores = _scores(0)
    found = _summary(scores, scores)
    assert found["same_matched"] == found["same_best"] == 1
    assert found["matched"] <= 4
    assert _summary(scores, scores, tied=False)["matched"] == 40


def test_dead_channels_match_nothing() -> None:
    scores = _scores(0)
    scores[:, 2] = 0
    both = compared(_layer(scores), _layer(scores))
    assert both.matching.matches()["channel"][2].tolist() == [-1] * 5
    assert _summary(scores, scores)["channels"] == 39
    assert _summary(np.zeros_like(scores), scores) == {"channels": 39}


def _rotated(scores: np.ndarray, seed: int) -> np.ndarray:
    standard = (scores - scores.mean(axis=0)) / (scores.std(axis=0) + 1e-9)
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(scores.shape[1],) * 2))
    return (standard @ rotation + 100).astype(np.float32)


WORLDS = {
    "rotated": lambda one, two, seed: (_rotated(one, seed), _rotated(two, seed + 1000)),
    "earlier rotated": lambda one, two, seed: (_rotated(one, seed), two),
    "pictures shuffled": lambda one, two, seed: (np.random.default_rng(seed).permutation(one), two),
}


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
def test_where_nothing_corresponds_there_are_as_many_matches_as_expected(world: str) -> None:
    found, expected, channels = 0.0, 0.0, 0
    for seed in range(20):
        one = _space(seed, pictures=200)
        mixture = np.random.default_rng([7, seed]).normal(0, 1, (60, 60))
        two = np.maximum(one @ mixture, 0).astype(np.float32)
        both = compared(*(_layer(scores) for scores in WORLDS[world](one, two, seed)))
        assert both.chance is not None
        found += both.matching.is_match.any(axis=0).sum()
        expected += both.chance.matched
        channels += both.chance.shared.shape[2]
    assert expected <= EXPECTED * channels * 1.01
    assert expected / 2 < found < expected * 2, (found, expected)


def test_beyond_the_resolved_quantiles_the_level_is_that_of_a_normal_distribution() -> None:
    values = np.tanh(0.1 * np.random.default_rng(0).normal(size=200_000) + 0.02)
    assert level(values, 1e-3) == pytest.approx(np.tanh(0.02 + 0.1 * norm.isf(1e-3)), abs=0.005)
    assert level(values, 1e-8) == pytest.approx(np.tanh(0.02 + 0.1 * norm.isf(1e-8)), rel=0.05)


def test_threads_change_no_bit() -> None:
    results = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            both = compared(_layer(_space(0, channels=300)), _layer(_space(1, channels=300)))
            assert both.chance is not None
            results.append(
                (both.matching.partial, both.chance.partial, both.matching.rho, both.chance.shared)
            )
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_random_directions_are_as_many_as_channels_or_a_multiple() -> None:
    directions = RandomDirections.of(_layer(_space(0)))
    assert directions.repeats * 60 == directions.ranks.shape[1] >= 1024
    order = np.argsort(-directions.ranks[:, 7], kind="stable")[:9]
    assert directions.top_image[7].tolist() == order.tolist()


# -- intervals ---------------------------------------------------------------------------------------------------------


def test_the_error_of_a_mean_rank_correlation_is_that_of_the_jackknife() -> None:
    one = _space(3, pictures=120, channels=6)
    two = np.maximum(one + np.random.default_rng(1).normal(0, 1, one.shape), 0).astype(np.float32)
    x, y = centred_ranks(one), centred_ranks(two)

    def mean(rows: np.ndarray) -> float:
        return float(np.mean([spearmanr(one[rows, c], two[rows, c]).statistic for c in range(6)]))

    whole = np.arange(120)
    without = np.array([mean(np.delete(whole, row)) for row in whole])
    jackknife = np.sqrt(119 / 120 * ((without - without.mean()) ** 2).sum())
    found, error = mean_error(x, x, y, y)
    assert found == pytest.approx(mean(whole), abs=1e-9)
    assert error == pytest.approx(jackknife, rel=0.05)


def test_intervals_cover_the_mean_of_new_pictures() -> None:
    weights = np.random.default_rng(99).normal(0, 1, (10, 24))  # the same network, other pictures
    rows = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        contents = random.standard_exponential((250, 10))
        one = np.maximum(contents @ weights + random.normal(0, 0.7, (250, 24)), 0)
        two = np.maximum(one + random.normal(0, 1, one.shape), 0)
        ranks = [centred_ranks(scores) for scores in (one, two)]
        rest = [unit_residuals(layer, common_vectors(*ranks)) for layer in ranks]
        rows.append(
            [
                mean_error(ranks[0], ranks[0], ranks[1], ranks[1]),
                mean_error(ranks[0], rest[0], ranks[1], rest[1]),
            ]
        )
    values, errors = np.moveaxis(np.array(rows), 2, 0)
    covered = (np.abs(values - values.mean(axis=0)) <= bound() * errors).mean(axis=0)
    assert (covered >= 0.91).all() and (covered <= 0.99).all(), covered


def test_the_error_of_shared_pictures_is_zero_where_all_are_shared_always() -> None:
    order = ranking(_space(0) + 1, signed=False)
    assert shared_error(order, order, 400) == 0
    assert shared_error(order, np.roll(order, 1, axis=0), 400) > 0
    assert bound() == pytest.approx(2.086, abs=1e-3)


# -- hubs, and the pairs that are compared -----------------------------------------------------------------------------


def test_hubs_are_the_pictures_of_most_channels() -> None:
    top_image = np.array([[4, *range(10, 18)], [4, *range(20, 28)], [5, 4, *range(30, 37)], [-1] * 9])
    found = hubs(top_image, 100)
    assert found["pictures"][0] == {"picture": 4, "channels": 3}
    assert found["channels"] == 3
    assert found["expected"] == pytest.approx(0.27)


def _info(name: str, kind: str, stage: int, channels: int, block: str = "") -> LayerInfo:
    field = ReceptiveField(3, 1, 0.0)
    return LayerInfo(name, name, kind, block, stage, channels, 8, 8, True, field)  # type: ignore[arg-type]


def test_the_pairs_follow_the_network() -> None:
    layers = [
        _info("conv1", "stem", 1, 8),
        _info("res2a_branch1", "projection", 2, 16, "res2a"),
        _info("res2a_branch2a", "branch", 2, 4, "res2a"),
        _info("res2a_branch2b", "branch", 2, 16, "res2a"),
        _info("res2a", "block", 2, 16, "res2a"),
        _info("res2b", "block", 2, 16, "res2b"),
        _info("res3a", "block", 3, 32, "res3a"),
    ]
    assert [(pair.name, pair.tie) for pair in layer_pairs(layers)] == [
        ("conv1--res2a_branch2a", "inside"),
        ("res2a_branch2a--res2a_branch2b", "inside"),
        ("conv1--res2a", "boundary"),
        ("res2a_branch1--res2a", "added"),
        ("res2a_branch2b--res2a", "added"),
        ("res2a--res2b", "stage"),
        ("res2b--res3a", "boundary"),
    ]

"""Whether optimised pictures take the path of natural ones: rank correlations of what they activate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from generator.core.store import Store
from generator.methods.path_check import NUMBERS, chosen_numbers, path_agreement
from generator.site.reading.path_check import path_check_from_json


def test_agreements_are_spearmans_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    optimised, natural, others = random.random(50), random.random((3, 50)), random.random((2, 50))
    natural[0, 3:9] = 0  # ties
    found = path_agreement(optimised, natural, others)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert found.optimised == pytest.approx(np.mean([spearmanr(optimised, n).statistic for n in natural]))
    assert found.same == pytest.approx(
        np.mean([spearmanr(natural[a], natural[b]).statistic for a, b in pairs])
    )
    assert found.other == pytest.approx(np.mean([spearmanr(n, o).statistic for n in natural for o in others]))


def test_what_is_constant_does_not_count() -> None:
    found = path_agreement(np.zeros(4), np.ones((2, 4)), np.arange(4.0)[None])
    assert np.isnan([found.optimised, found.same, found.other]).all()


def test_of_many_numbers_the_same_are_chosen_always() -> None:
    assert np.array_equal(chosen_numbers(7), np.arange(7))
    chosen = chosen_numbers(10 * NUMBERS)
    assert len(np.unique(chosen)) == NUMBERS and np.array_equal(chosen, chosen_numbers(10 * NUMBERS))


def test_layers_below_count_where_optimised_pictures_are_like_another_channels_patches() -> None:
    def mean(value: float, reach: float = 0.01) -> dict[str, float]:
        return {"mean": value, "low": value - reach, "high": value + reach, "count": 5}

    below = [
        {
            "layer": "a",
            "optimised": mean(0.3),
            "same": mean(0.5),
            "other": mean(0.1),
            "difference": mean(0.2),
        },
        {
            "layer": "b",
            "optimised": mean(0.1),
            "same": mean(0.3),
            "other": mean(0.1),
            "difference": mean(0.0),
        },
        {
            "layer": "c",
            "optimised": mean(0.1),
            "same": mean(0.3),
            "other": {"mean": None},
            "difference": mean(0.0),
        },
    ]
    check = path_check_from_json(
        {"channels": 12, "natural": 4, "layers": [{"layer": "d", "channels": 5, "below": below}]}
    )
    assert check is not None
    summary = check.of("d")
    assert summary is not None
    assert (summary.known, summary.like_others, summary.channels) == (2, 1, 5)
    assert (summary.optimised, summary.same, summary.other) == pytest.approx((0.2, 0.4, 0.1))
    assert check.of("a") is None


def test_the_file_holds_the_layers_below_each_checked_layer(tiny_atlas: Store) -> None:
    report = tiny_atlas.tables.read_json("path_check.json")
    rows = {row["layer"]: [step["layer"] for step in row["below"]] for row in report["layers"]}
    assert rows == {"res4c": ["res2a"]}

"""The strongest pictures and the statistics, against answers known beforehand and against numpy; each by compiled loops
and by torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generator.engine.loops import compiled
from generator.engine.scan.moments import FixedSum, Moments, channel_maxima, reduce_maps
from generator.engine.scan.top_units import TopUnits, places_of


@pytest.fixture(autouse=True, params=["numba", "torch"])
def way(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(compiled, "_loops", lambda: None)
    elif compiled.loops() is None:
        pytest.skip("numba is not installed")
    return request.param


def _maps(*, seed=0, pictures=40, channels=6, side=5, levels=4):
    """Few levels, so that pictures, rows and columns tie everywhere; channel 0 is dead, channel 1 nearly."""
    random = np.random.default_rng(seed)
    maps = random.integers(0, levels, (pictures, channels, side, side)).astype(np.float32)
    maps[:, 0] = 0
    maps[:, 1] = 0
    maps[[7, 31, 12], 1, 2, 3] = 1
    return torch.tensor(maps).contiguous(memory_format=torch.channels_last)


def _expected(maps, k=9):
    """The rule, word for word."""
    pictures, channels, height, width = maps.shape
    value = np.zeros((channels, k), np.float32)
    image = np.full((channels, k), -1, np.int64)
    place = np.zeros((channels, k), np.int64)
    for c in range(channels):
        found = []
        for n in range(pictures):
            units = [(-float(maps[n, c, i, j]), i, j) for i in range(height) for j in range(width)]
            score, i, j = min(units)
            if score < 0:
                found.append((score, n, i * width + j))
        for slot, (score, n, where) in enumerate(sorted(found)[:k]):
            value[c, slot], image[c, slot], place[c, slot] = -score, n, where
    return value, image, place


def _run(maps, order, size, k=9, always=False):
    top = TopUnits(maps.shape[1], k)
    if always:  # the way of a GPU, on the CPU
        top._device = torch.device("meta")
    for chosen in torch.as_tensor(order).split(size):
        top.update(maps[chosen], chosen)
    return top


@pytest.mark.parametrize("always", [False, True], ids=["few", "all"])
@pytest.mark.parametrize("size", [1, 3, 7, 32])
@pytest.mark.parametrize("k", [9, 32])
def test_the_nine_follow_the_rule_for_every_batch_size_and_order(size, k, always):
    maps = _maps()
    expected = _expected(maps, k)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(maps)) if seed else np.arange(len(maps))
        top = _run(maps, order, size, k, always)
        for found, right in zip((top.values, top.images, top.places), expected, strict=True):
            np.testing.assert_array_equal(found.numpy(), right)


@pytest.mark.parametrize(
    "pictures", [[], [3], [5, 0, 39], list(range(40))], ids=["none", "one", "some", "all"]
)
def test_the_maxima_of_chosen_pictures_are_located_first_row_and_column_first(pictures):
    maps = _maps(seed=2)
    found = places_of(maps, maps.permute(0, 2, 3, 1).amax(2), torch.tensor(pictures, dtype=torch.int64))
    right = maps[pictures].contiguous().flatten(2).numpy().argmax(2)  # numpy's argmax gives the first
    np.testing.assert_array_equal(found.numpy(), right)


def test_parts_merge_in_any_order_to_the_same_bits():
    maps = _maps(seed=4)
    whole = _run(maps, np.arange(40), 8).arrays()
    parts = [_run(maps, np.arange(40)[start::3], 4) for start in range(3)]
    for order in ((0, 1, 2), (2, 0, 1)):
        merged = TopUnits(maps.shape[1])
        for number in order:
            merged.merge(TopUnits.from_arrays(parts[number].arrays()))
        for name, array in merged.arrays().items():
            np.testing.assert_array_equal(array, whole[name])


def test_a_dead_channel_and_negative_maxima_stay_out():
    top = TopUnits(2)
    top.update(torch.tensor([0.0, -1.0]).view(1, 2, 1, 1), torch.tensor([3]))
    assert (top.images == -1).all()
    assert (top.values == 0).all()


@pytest.mark.parametrize("always", [False, True], ids=["few", "all"])
@pytest.mark.parametrize("k", [9, 32])
def test_in_a_signed_layer_every_score_counts(k, always):
    """Values of both signs, ties everywhere, −0 equal to 0; channel 1 is never above zero."""
    maps = _maps(levels=7) - 3
    maps[:, 1] = -maps[:, 1].abs() - 1e-30
    maps[::2, 2] *= -0.0
    pictures, channels, height, width = maps.shape
    flat = maps.permute(0, 2, 3, 1).reshape(pictures, height * width, channels).numpy()
    scores, places = flat.max(1), flat.argmax(1)  # numpy's argmax is the first
    order = np.argsort(-scores, 0, kind="stable")[:k].T  # (C, k)
    found = {}
    for size in (1, 7, 40):
        top = TopUnits(channels, k, signed=True)
        if always:
            top._device = torch.device("meta")
        for chosen in torch.from_numpy(np.random.default_rng(size).permutation(pictures)).split(size):
            top.update(maps[chosen], chosen)
        np.testing.assert_array_equal(top.images.numpy(), order)
        np.testing.assert_array_equal(top.values.numpy(), np.take_along_axis(scores.T, order, 1))
        np.testing.assert_array_equal(top.places.numpy(), np.take_along_axis(places.T, order, 1))
        found[size] = top.arrays()
    again = TopUnits.from_arrays(found[7], signed=True)
    again.merge(TopUnits(channels, k, signed=True))
    np.testing.assert_array_equal(again.values.numpy(), np.take_along_axis(scores.T, order, 1))


def test_a_signed_list_that_is_not_full_says_so():
    top = TopUnits(1, signed=True)
    top.update(torch.tensor([-2.0]).view(1, 1, 1, 1), torch.tensor([3]))
    assert top.images[0].tolist() == [3, *[-1] * 8]
    assert top.values[0].tolist() == [-2.0, *[0.0] * 8]


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize(("channels", "side"), [(3, 5), (64, 14), (256, 56), (2048, 7)])
def test_statistics_are_numpys_in_float64(rectified, channels, side):
    maps = torch.randn(3, channels, side, side).contiguous(memory_format=torch.channels_last)
    if rectified:
        maps.relu_()
    moments = Moments(channels, side * side)
    moments.update(reduce_maps(maps))
    found, exact = moments.statistics(), maps.double().numpy()
    np.testing.assert_allclose(found["mean"], exact.mean((0, 2, 3)), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found["std"], exact.std((0, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(found["max"], exact.max((0, 2, 3)))
    np.testing.assert_allclose(found["active_positions"], (exact > 0).mean((0, 2, 3)), rtol=1e-7)
    np.testing.assert_allclose(found["active_pictures"], (exact.max((2, 3)) > 0).mean(0), rtol=1e-7)


def test_a_pictures_reductions_depend_neither_on_its_batch_nor_on_the_threads():
    for channels, side in [(7, 9), (64, 56), (512, 28), (2048, 7)]:
        maps = torch.randn(5, channels, side, side).contiguous(memory_format=torch.channels_last)
        together = reduce_maps(maps)
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        alone = [reduce_maps(maps[i : i + 1]) for i in range(5)]
        torch.set_num_threads(threads)
        for name in ("row_maximum", "maximum", "mean", "mean_square", "active"):
            assert torch.equal(torch.cat([getattr(one, name) for one in alone]), getattr(together, name))


def test_planted_values_are_exact():
    maps = torch.zeros(4, 2, 2, 2)
    maps[0, 0, 1, 1], maps[2, 0, 0, 0] = 4.0, 2.0
    moments = Moments(2, 4)
    for part in maps.split(3):
        moments.update(reduce_maps(part))
    found = moments.statistics()
    assert found["mean"].tolist() == [6 / 16, 0]
    assert found["std"][0] == np.float32(np.sqrt(20 / 16 - (6 / 16) ** 2))
    assert found["active_positions"].tolist() == [2 / 16, 0]
    assert found["active_pictures"].tolist() == [0.5, 0]
    assert found["dead"].tolist() == [False, True]
    assert np.isnan(found["pearson_previous"]).all()


def test_correlation_of_scores_is_numpys():
    before, after = torch.randn(50, 4, 3, 3).relu(), torch.randn(50, 4, 3, 3).relu()
    after[:, 1] += before[:, 1]
    after[:, 2] = 0.1  # constant: no correlation
    first, second = Moments(4, 9), Moments(4, 9)
    for b, a in zip(before.split(7), after.split(7), strict=True):
        scores = b.amax((2, 3))
        first.update(reduce_maps(b))
        second.update(reduce_maps(a), scores)
    found = second.statistics(first)["pearson_previous"]
    x, y = before.amax((2, 3)).double().numpy(), after.amax((2, 3)).double().numpy()
    right = [np.corrcoef(x[:, c], y[:, c])[0, 1] for c in (0, 1, 3)]
    np.testing.assert_allclose(found[[0, 1, 3]], right, rtol=1e-6)
    assert np.isnan(found[2])


def test_sums_are_exact_and_free_of_order():
    values = torch.randn(1000, 3, dtype=torch.float64) * torch.tensor([1e-6, 1.0, 2.0**26])
    whole = FixedSum(3)
    whole.add(values)
    parts = FixedSum(3)
    for part in values[torch.randperm(1000)].split(13):
        one = FixedSum(3)
        one.add(part)
        parts.merge(one)
    assert torch.equal(whole.high, parts.high)
    assert torch.equal(whole.low, parts.low)
    np.testing.assert_allclose(whole.value(), values.numpy().sum(0), atol=1000 * 2.0**-32, rtol=1e-9)


def test_moments_survive_a_checkpoint():
    moments = Moments(3, 4)
    moments.update(reduce_maps(torch.randn(5, 3, 2, 2)))
    again = Moments.from_arrays(moments.arrays())
    again.update(reduce_maps(torch.ones(1, 3, 2, 2)))
    assert again.pictures == 6
    again.merge(moments)
    assert again.pictures == 11


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_shows_in_the_sums(bad):
    maps = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    maps[1, 2, 3, 1] = bad
    square = reduce_maps(maps).mean_square
    assert np.isfinite(np.delete(square.numpy().ravel(), 5)).all()
    assert not square[1, 2].isfinite()


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("size", [(6, 6), (1, 5), (7, 3)])
def test_the_largest_value_of_a_map_is_exact_and_a_nan_stays(layout, size):
    maps = np.random.default_rng(0).normal(-3, 1, (4, 5, *size)).astype(np.float32)
    maps[2, 1, 0, 2] = np.nan
    maxima = channel_maxima(torch.from_numpy(maps).contiguous(memory_format=layout))
    np.testing.assert_array_equal(maxima.numpy(), maps.reshape(4, 5, -1).max(2))

"""The methods against answers known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr, spearmanr

from generator.core.correspondence import shared_pictures
from generator.core.records import Preprocessing, ReceptiveField, WeightsInfo
from generator.core.sprites import GROUND, gradient_pixels
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.loops import compiled
from generator.methods.gradients import CLIPPED, GradientPictures, gradient_tiles, saliency_tiles
from generator.methods.inputs import source_layer, strongest_inputs
from generator.methods.patches import patch, patches
from generator.methods.refinement import correlation, rank_correlation
from generator.network.models import load
from generator.network.network import Network, Tap


def _coordinates(side: int) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


def test_an_inner_patch_is_the_picture_s_own_pixels():
    tile = patch(_coordinates(64), ReceptiveField(5, 4, 2.0), 3, 6, native=5)
    assert tile[0, 0].tolist() == [12, 24, 0] and tile[-1, -1].tolist() == [16, 28, 0]


def test_a_patch_over_the_edge_stands_in_its_place_on_the_ground():
    tile = patch(_coordinates(64), ReceptiveField(19, 4, 2.0), 0, 15, native=19)  # box −7…12, 53…72
    assert (tile[:7] == GROUND).all() and (tile[:, 11:] == GROUND).all()
    assert tile[7, 0].tolist() == [0, 53, 0] and tile[18, 10].tolist() == [11, 63, 0]


def test_a_field_larger_than_the_picture_shows_the_whole_picture():
    pixels = _coordinates(32)
    assert np.array_equal(patch(pixels, ReceptiveField(483, 16, 2.0), 1, 1, native=32), pixels)


def test_patches_of_many_units_are_those_of_each_and_whole_pictures_are_shrunk_once():
    pixels = np.stack([_coordinates(64), _coordinates(64)[::-1]])
    place, row, column = np.array([0, 1, 1, 0]), np.array([0, 3, 15, 7]), np.array([15, 2, 0, 7])
    units = list(zip(place.tolist(), row.tolist(), column.tolist(), strict=True))
    for field, kept in ((ReceptiveField(19, 4, 2.0), []), (ReceptiveField(83, 8, 2.0), [(0, 32), (1, 32)])):
        shrunk: dict[tuple[int, int], np.ndarray] = {}
        tiles = patches(pixels, field, place, row, column, 32, shrunk)
        assert np.array_equal(tiles, np.stack([patch(pixels[p], field, r, c, 32) for p, r, c in units]))
        assert sorted(shrunk) == kept


def test_gradients_are_scaled_on_the_device_to_the_bytes_that_numpy_gives():
    scales = torch.logspace(-20, 10, 16)[:, None, None, None]
    gradients = torch.randn(16, 3, 19, 19, generator=torch.Generator().manual_seed(0)) * scales
    gradients[5] = 0
    assert np.array_equal(
        gradient_tiles(gradients, 19), gradient_pixels(gradients.permute(0, 2, 3, 1).numpy())
    )


def test_gradients_become_tiles_on_their_own_scale():
    gradients = torch.zeros(2, 3, 8, 8)
    gradients[0, 0, 4, 4] = -3.0
    tiles = gradient_tiles(gradients, 8)
    assert tiles[0, 4, 4].tolist() == [0, 128, 128]
    assert (tiles[1] == GROUND).all()


@pytest.mark.parametrize("side", [90, 40])
def test_focused_tiles_are_cut_out_of_the_gradient_and_scaled_by_a_high_percentile(side, monkeypatch):
    """Beside torch's own resizing of the cut and NumPy's order of its values, compiled and by torch."""
    gradients = torch.randn(7, 3, 96, 96, generator=torch.Generator().manual_seed(0)) ** 3
    gradients[6] = 0
    squares = np.array([[0, 0, 33], [5, 60, 33], [63, 63, 33], [1, 2, 70], [0, 0, 96], [4, 4, 40], [0, 0, 0]])
    tiles = gradient_tiles(gradients, side, squares)
    for tile, gradient, (top, left, edge) in zip(tiles[:6], gradients, squares.tolist(), strict=False):
        cut = gradient[None, :, top : top + edge, left : left + edge]
        resized = F.interpolate(cut, size=(side, side), mode="bilinear", antialias=True)[0].double().numpy()
        scale = np.sort(np.abs(resized).ravel())[-round(CLIPPED * resized.size)]
        right = np.clip(resized.transpose(1, 2, 0) / scale * 127.5 + 128, 0, 255).astype(int)
        assert np.abs(tile.astype(int) - right).max() <= 1
        assert (tile == 255).sum() + (tile == 0).sum() >= CLIPPED * tile.size
    assert (tiles[6] == GROUND).all()
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    by_torch = gradient_tiles(gradients, side, squares)
    assert np.abs(tiles.astype(int) - by_torch).max() <= 1


@pytest.mark.parametrize("shape", [(3, 80, 80), (1, 31, 31), (2, 90, 60), (4, 50, 77)])
def test_tiles_of_whole_fields_are_alike_compiled_and_by_torch(shape, monkeypatch):
    gradients = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)) * 1e-6
    tiles = gradient_tiles(gradients, 48)
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    assert np.abs(tiles.astype(int) - gradient_tiles(gradients, 48)).max() <= 1


def test_a_focus_of_few_values_is_scaled_by_the_largest():
    gradients = torch.zeros(1, 3, 40, 40)
    gradients[0, 0, 20, 20] = -3.0
    assert gradient_tiles(gradients, 32, np.array([[4, 4, 32]]))[0, 16, 16].tolist() == [0, 128, 128]


def test_patches_are_cut_to_their_focus():
    pixels = np.stack([_coordinates(64), _coordinates(64)[::-1]])
    place, row, column = np.array([0, 1, 1]), np.array([0, 3, 7]), np.array([7, 2, 0])
    squares = np.array([[10, 5, 32], [0, 0, 0], [0, 8, 32]])
    for field in (ReceptiveField(43, 8, 2.0), ReceptiveField(83, 8, 2.0)):
        shrunk: dict[tuple[int, int], np.ndarray] = {}
        tiles = patches(pixels, field, place, row, column, 32, shrunk, squares)
        units = list(zip(place.tolist(), row.tolist(), column.tolist(), strict=True))
        whole = [patch(pixels[p], field, r, c, min(field.side, 64)) for p, r, c in units]
        for number in (0, 2):
            top, left, side = squares[number]
            assert np.array_equal(tiles[number], whole[number][top : top + side, left : left + side])
        assert np.array_equal(tiles[1], patch(pixels[1], field, 3, 2, 32))


def test_saliency_is_black_where_nothing_matters_and_shrinking_cancels_nothing():
    gradients = torch.zeros(2, 3, 80, 80)
    checks = (torch.arange(80)[:, None] + torch.arange(80)) % 2 * 2.0 - 1
    gradients[0, 1, 20:60, 20:60] = checks[20:60, 20:60]
    gradients[0, 2, 20:60, 20:60] = 0.3
    tiles = saliency_tiles(gradients, 40)
    assert tiles.shape == (2, 40, 40, 3) and (tiles[1] == 0).all()
    assert (tiles[0, 12:28, 12:28] >= 250).all() and (tiles[0, :8] == 0).all()


def test_kinds_of_one_rule_share_its_gradient_and_come_in_the_order_asked_for():
    network = load("demo").to("cpu", torch.float32)
    x = network.prepare(torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)))
    switches = forward_switches(network, x, "res2b")
    units = Units(*(torch.tensor(column) for column in ([0, 1, 1], [3, 5, 7], [4, 9, 2], [6, 1, 8])))
    kinds = ("saliency", "guided", "plain", "deconvnet")
    tiles, _ = GradientPictures(network, kinds).tiles(switches, "res2b", units, 40)
    for kind, ours in zip(kinds, tiles, strict=True):
        own = UnitGradients(network, "plain" if kind == "saliency" else kind)  # type: ignore[arg-type]
        gradients = own.gradients(switches, "res2b", units)
        theirs = saliency_tiles(gradients, 40) if kind == "saliency" else gradient_tiles(gradients, 40)
        assert np.array_equal(ours, theirs)
    assert not np.array_equal(tiles[1], tiles[2]) and not np.array_equal(tiles[2], tiles[3])


def test_shared_pictures_counts_each_picture_once_and_no_empty_place():
    one = np.array([[1, 2, 3, -1, -1], [4, 5, 6, 7, 8]])
    two = np.array([[3, 1, 9, -1, -1], [9, 10, 11, 12, 13]])
    assert shared_pictures(one, two).tolist() == [2, 0]


def test_rank_correlation_is_scipy_s_ties_and_all():
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(50, 7)), 0).astype(np.float32)
    y = np.maximum(x + rng.normal(size=(50, 7)), 0).astype(np.float32)
    ours = rank_correlation(x, y, chunk=3)
    theirs = [spearmanr(x[:, c], y[:, c]).statistic for c in range(7)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(
        correlation(x, y), [pearsonr(x[:, c], y[:, c]).statistic for c in range(7)], rtol=1e-5
    )


def test_a_channel_that_never_varies_has_no_correlation():
    x = np.zeros((5, 1), np.float32)
    assert np.isnan(rank_correlation(x, x)).all()


def _grouped_network() -> Network:
    """conv1 3→4, then a grouped 1×1 convolution 4→4 in two groups, with weights that are easy to rank."""
    module = torch.nn.Sequential()
    module.add_module("conv1", torch.nn.Conv2d(3, 4, 3, padding=1))
    module.add_module("relu1", torch.nn.ReLU())
    module.add_module("conv2", torch.nn.Conv2d(4, 4, 1, groups=2))
    weight = torch.tensor([[1.0, 2.0], [3.0, -4.0], [0.5, 0.1], [-2.0, 1.0]])
    module.conv2.weight.data = weight[:, :, None, None]
    taps = [Tap("conv1", "conv1", "stem", "", 1), Tap("inner", "conv2", "branch", "b", 2)]
    return Network.from_module(
        "m", module, taps, Preprocessing(8, 8, (0, 0, 0), (1, 1, 1)), WeightsInfo("random", "", True)
    )


def test_the_strongest_inputs_are_ranked_by_weight_and_spread_within_their_group():
    network = _grouped_network()
    inner = network.layer("inner")
    assert source_layer(network, inner) == network.layer("conv1")
    found = strongest_inputs(network, inner, np.array([1.0, 1.0, 1.0, 10.0]))
    assert found["inputs"].tolist() == [[1, 0, -1], [1, 0, -1], [3, 2, -1], [3, 2, -1]]
    np.testing.assert_allclose(found["input_weight"][2], [1.0, 0.5, 0.0])

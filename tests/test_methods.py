"""The methods against answers known beforehand."""

from __future__ import annotations

import numpy as np
import torch
from generator.methods.gradients import gradient_tiles
from generator.methods.patches import patch
from generator.methods.refinement import correlation, rank_correlation, shared_pictures
from generator.records import ReceptiveField
from generator.sprites import GROUND
from scipy.stats import pearsonr, spearmanr


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


def test_gradients_become_tiles_on_their_own_scale():
    gradients = torch.zeros(2, 3, 8, 8)
    gradients[0, 0, 4, 4] = -3.0
    tiles = gradient_tiles(gradients, 8)
    assert tiles[0, 4, 4].tolist() == [0, 128, 128]
    assert (tiles[1] == GROUND).all()


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
    np.testing.assert_allclose(correlation(x, y), [pearsonr(x[:, c], y[:, c]).statistic for c in range(7)], rtol=1e-5)


def test_a_channel_that_never_varies_has_no_correlation():
    x = np.zeros((5, 1), np.float32)
    assert np.isnan(rank_correlation(x, x)).all()

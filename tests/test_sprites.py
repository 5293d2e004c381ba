"""Tiles and sprites: true pixels, mid-grey zero, the order of the nine."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from generator.core import sprites


def test_zero_is_mid_grey_and_a_dead_gradient_stays_so():
    assert (sprites.gradient_pixels(np.zeros((2, 4, 4, 3))) == sprites.GROUND).all()


def test_each_gradient_has_its_own_scale_and_the_three_colours_share_it():
    gradients = np.zeros((2, 1, 3, 3))
    gradients[0, 0] = [[1, 0, -1], [0.5, 0, 0], [0, 0, 0]]
    gradients[1] = gradients[0] * 1000
    pixels = sprites.gradient_pixels(gradients)
    assert np.array_equal(pixels[0], pixels[1])
    assert pixels[0, 0, 0].tolist() == [255, 128, 0]
    assert pixels[0, 0, 1].tolist() == [191, 128, 128]


@pytest.mark.parametrize("side", [7, 11, 19, 27, 35])
def test_small_fields_keep_their_pixels_and_grow_by_whole_factors(side):
    assert sprites.native_side(side, (224, 224), 96) == side
    enlarged = side * sprites.enlargement(side, 96)
    assert 0.8 * 96 <= enlarged <= 1.25 * 96
    assert enlarged + 2 * sprites.MARGIN <= sprites.tile_side(enlarged) < enlarged * 1.15


@pytest.mark.parametrize("side", [51, 67, 131, 291])
def test_larger_fields_fill_a_tile_of_the_wanted_side(side):
    native = sprites.native_side(side, (224, 224), 96)
    assert sprites.enlargement(native, 96) == 1
    assert sprites.tile_side(native) == 96


@pytest.mark.parametrize(("native", "factor"), [(19, 4), (92, 1), (96, 1)])
def test_a_bright_patch_does_not_run_into_the_grey_beside_it(native, factor):
    panels = np.full((2, 9, native, native, 3), sprites.GROUND, np.uint8)
    panels[0] = (255, 0, 0)
    picture = Image.open(io.BytesIO(sprites.webp(sprites.sprite(panels, factor), 75)))
    side = picture.height // 3
    grey = np.asarray(picture.convert("RGB"))[:, 3 * side + sprites.MARGIN :].astype(int)
    assert np.abs(grey - sprites.GROUND).max() <= 8


def test_a_field_larger_than_the_picture_shows_the_picture():
    assert sprites.native_side(483, (32, 32), 96) == 32


def test_a_sprite_holds_its_panels_side_by_side_strongest_first():
    panels = np.zeros((2, 9, 4, 4, 3), np.uint8)
    for panel in range(2):
        for slot in range(9):
            panels[panel, slot] = panel * 100 + slot
    picture = sprites.sprite(panels, 1)
    assert picture.shape == (24, 48, 3)
    assert picture[4::8, 4::8, 0].tolist() == [
        [0, 1, 2, 100, 101, 102],
        [3, 4, 5, 103, 104, 105],
        [6, 7, 8, 106, 107, 108],
    ]


def test_thumbnails_stand_row_by_row_on_the_ground():
    tiles = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 2, 3), np.uint8)
    picture = sprites.mosaic(tiles, sprites.thumb_columns(5))
    assert picture[::2, ::2, 0].tolist() == [[0, 1, 2], [3, 4, sprites.GROUND]]


def test_a_sheet_is_the_mosaic_of_its_tiles():
    tiles = np.random.default_rng(0).integers(0, 256, (7, 12, 12, 3), dtype=np.uint8)
    sheet = sprites.Sheet(7, 12)
    for index in (3, 0, 6, 1, 2, 5, 4):
        sheet.tile(index)[:] = tiles[index]
    assert sheet.webp(80) == sprites.webp(sprites.mosaic(tiles, sprites.thumb_columns(7)), 80)
    assert np.array_equal(sheet.tile(5), tiles[5])
    kept = np.array([1, 4])
    few = sprites.mosaic(tiles[kept], sprites.thumb_columns(2))
    assert sheet.only(kept).webp(80) == sprites.webp(few, 80) != sheet.webp(80)


def test_webp_can_be_read_back():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    read = Image.open(io.BytesIO(sprites.webp(pixels, 100, lossless=True)))
    assert np.array_equal(np.asarray(read), pixels)

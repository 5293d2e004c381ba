"""From arrays to tiles, and from tiles to WebP."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from generator.core.records import Size

GROUND = 128  # mid-grey: the zero of a gradient picture, and the background of every patch
TRUE_PIXELS = 40  # px; fields up to here keep their pixels and grow by a whole factor
BLOCK = 8  # px, how far one value of colour reaches in WebP
MARGIN = 2  # px of ground around the picture in every tile: decoders smooth colour across two
METHOD = 4  # of WebP: its default
# For files of channels: half the time for 4 % more bytes, and pictures as good (benchmarks/sprites.py).
QUICK_METHOD = 2
# Of 10. Eight times as slow as WebP's method 2 for two fifths less bytes; faster ones blur or hatch the faint lines of
# gradients at equal bytes (benchmarks/sprites.py).
AVIF_SPEED = 7
AVIF_TUNE = "ssim"  # libaom's default, PSNR, takes the detail from the tiles that have most of it
AVIF_QUALITY = 42
THUMB = 48  # px, the side of a thumbnail on a layer's grid
FOCUS_LEAST = 32  # px, the smallest side of a focus


def seen_side(field_side: int, size: Size) -> int:
    """Side in px of the square that holds what a unit with this receptive field sees of a picture: the field, or the
    whole picture where the field is larger than its shorter side."""
    return field_side if field_side <= min(size) else max(size)


def is_focused(field_side: int, size: Size) -> bool:
    """Whether the tiles of units with this receptive field show the focus (methods/focus.py): where the field is larger
    than half of the picture's shorter side. Pictures of FOCUS_LEAST px or less have none."""
    return 2 * field_side > min(size) and seen_side(field_side, size) > FOCUS_LEAST


def native_side(field_side: int, size: Size, wanted: int) -> int:
    """Side in px at which a tile's picture is kept before enlarging: its true pixels where they are few, or about as
    many as wanted; else what fills a tile of the wanted side. size: height and width of the pictures."""
    seen = seen_side(field_side, size)
    if seen <= min(TRUE_PIXELS, wanted) or 0.8 * wanted <= seen <= 1.05 * wanted:
        return seen
    return tile_side(wanted - 2 * MARGIN) - 2 * MARGIN


def enlargement(native: int, wanted: int) -> int:
    """The whole factor by which true pixels are enlarged: of those that come near the wanted side (within a quarter),
    the one that leaves the least ground around."""
    near = [f for f in range(1, 2 * wanted) if 0.8 * wanted <= native * f <= 1.25 * wanted]
    if not near:
        return max(1, round(wanted / native))
    return min(near, key=lambda f: (1 - native * f / tile_side(native * f), abs(native * f - wanted)))


def tile_side(side: int) -> int:
    """The side in px of the tile that holds a picture of this side: with MARGIN px of ground on each side, the next
    multiple of WebP's 8 × 8 blocks of colour. Without both, a bright patch would tint the grey next to it."""
    return -(-(side + 2 * MARGIN) // BLOCK) * BLOCK


def as_colours(pixels: np.ndarray, missing: float = 0) -> np.ndarray:
    """Pictures of any number of channels, (..., h, w, C), as red, green and blue, (..., h, w, 3): one channel is grey,
    two are red and green with `missing` for blue, of four or more the first three are shown."""
    channels = pixels.shape[-1]
    if channels == 1:
        return np.repeat(pixels, 3, axis=-1)
    if channels == 2:
        return np.concatenate([pixels, np.full_like(pixels[..., :1], missing)], axis=-1)
    return pixels if channels == 3 else pixels[..., :3]


def gradient_pixels(gradients: np.ndarray) -> np.ndarray:
    """Gradients (..., h, w, C) float → colours (..., h, w, 3) uint8: zero is mid-grey, one scale per picture for all
    channels that are shown.

    x / max|x| × 0.5 + 0.5; a gradient that is zero everywhere stays mid-grey.
    """
    gradients = as_colours(gradients)
    peak = np.abs(gradients).max(axis=(-3, -2, -1), keepdims=True)
    scaled = gradients / np.where(peak > 0, peak, 1) * 0.5 + 0.5
    # 0.5 must become GROUND exactly, so that tiles and ground meet without an edge.
    return np.clip(np.floor(scaled * 255 + 0.5), 0, 255).astype(np.uint8)


def saliency_pixels(size: np.ndarray) -> np.ndarray:
    """Absolute gradients, of the channels the largest, (..., h, w) float → uint8, black where they are zero
    (arXiv:1312.6034, section 3); the 99.5th percentile of each picture is white, so that one pixel does not make the
    others black."""
    white = np.quantile(size, 0.995, axis=(-2, -1), keepdims=True)
    scaled = np.clip(size / np.where(white > 0, white, 1), 0, 1)
    return np.floor(scaled * 255 + 0.5).astype(np.uint8)


def enlarge(tile: np.ndarray, factor: int) -> np.ndarray:
    """(h, w, 3) uint8 → (h × factor, w × factor, 3), smooth (bicubic), its true pixels keeping their places."""
    if factor == 1:
        return tile
    height, width = tile.shape[:2]
    return np.asarray(
        Image.fromarray(tile).resize((width * factor, height * factor), Image.Resampling.BICUBIC)
    )


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """(h, w, 3) uint8 → the same picture with a longer side of `side` px, with antialiasing."""
    height, width = shrunk_size((pixels.shape[0], pixels.shape[1]), side)
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def shrunk_size(size: Size, side: int) -> Size:
    """Height and width of a picture whose longer side has become `side` px."""
    height, width = (max(1, round(length * side / max(size))) for length in size)
    return height, width


def framed(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 → a square, the picture in its middle on the ground; a square stays as it is."""
    height, width = pixels.shape[:2]
    if height == width:
        return pixels
    side = max(height, width)
    square = np.full((side, side, 3), GROUND, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def sprite(panels: np.ndarray, factor: int) -> np.ndarray:
    """Tiles (P, 9, s, s, 3) uint8 → one picture of P panels in a row, each of 3 × 3 tiles, strongest first."""
    rows = [[(panel, 3 * row + n) for panel in range(len(panels)) for n in range(3)] for row in range(3)]
    return _composed(panels, rows, factor)


def strips_sprite(panels: np.ndarray, alive: np.ndarray, factor: int) -> np.ndarray:
    """Tiles (P, 9 S, s, s, 3) uint8 of S strips → one picture of nine columns: of each strip that has a unit the P
    panels one below the other, strongest first. alive: (9 S,) bool, which units there are."""
    strips = [first for first in range(0, len(alive), 9) if alive[first : first + 9].any()]
    rows = [[(panel, first + n) for n in range(9)] for first in strips for panel in range(len(panels))]
    return _composed(panels, rows, factor)


def _composed(panels: np.ndarray, rows: Sequence[Sequence[tuple[int, int]]], factor: int) -> np.ndarray:
    """Tiles (P, n, s, s, 3) uint8 → one picture. rows: from the top, of each tile its panel and its number."""
    native = panels.shape[2]
    side = tile_side(native * factor)
    margin = (side - native * factor) // 2
    canvas = np.full((len(rows) * side, len(rows[0]) * side, 3), GROUND, np.uint8)
    for row, tiles in enumerate(rows):
        for column, (panel, number) in enumerate(tiles):
            tile = enlarge(panels[panel, number], factor)
            top, left = row * side + margin, column * side + margin
            canvas[top : top + len(tile), left : left + len(tile)] = tile
    return canvas


def thumb_columns(channels: int) -> int:
    """The number of thumbnails in a row of a layer's sheet of thumbnails."""
    return math.ceil(math.sqrt(channels))


def mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """Tiles (N, s, s, 3) uint8 → one picture, row by row, ground where the last row ends early."""
    count, side = tiles.shape[0], tiles.shape[1]
    canvas = np.full((math.ceil(count / columns) * side, columns * side, 3), GROUND, np.uint8)
    for index, tile in enumerate(tiles):
        canvas[_place(index, columns, side)] = tile
    return canvas


def _place(index: int, columns: int, side: int) -> tuple[slice, slice]:
    """The slices of a tile in a mosaic, row by row."""
    top, left = index // columns * side, index % columns * side
    return slice(top, top + side), slice(left, left + side)


class Sheet:
    """A mosaic that is painted tile by tile, so that only the whole picture is held in memory.

    Its pixels have four bytes, as those of Pillow and libwebp, which therefore need no copy of it.
    """

    def __init__(self, count: int, side: int) -> None:
        self._side, self._columns = side, thumb_columns(count)
        shape = (math.ceil(count / self._columns) * side, self._columns * side, 4)
        self._pixels = np.full(shape, GROUND, np.uint8)

    def tile(self, index: int) -> np.ndarray:
        """(s, s, 3) uint8: a view of the tile in the picture, to read or to paint."""
        return self._pixels[_place(index, self._columns, self._side)][..., :3]

    def only(self, tiles: np.ndarray) -> Sheet:
        """Another sheet with some of the tiles, given by their numbers, (n,)."""
        sheet = Sheet(len(tiles), self._side)
        for index, old in enumerate(tiles.tolist()):
            sheet.tile(index)[:] = self.tile(old)
        return sheet

    def webp(self, quality: int) -> bytes:
        """The bytes of a WebP file."""
        height, width, _ = self._pixels.shape
        image = Image.frombuffer("RGBX", (width, height), self._pixels, "raw", "RGBX", 0, 1)
        return _encoded(image, quality)


def webp(pixels: np.ndarray, quality: int, *, lossless: bool = False, method: int = METHOD) -> bytes:
    """(h, w, 3) uint8 → the bytes of a WebP file. method: 0 is the fastest, 6 gives the smallest file."""
    return _encoded(Image.fromarray(pixels), quality, lossless=lossless, method=method)


def encoded_sprite(pixels: np.ndarray, quality: int, avif_quality: int | None) -> bytes:
    """(h, w, 3) uint8 → the bytes of a sprite's file: AVIF where a quality of it is given, else WebP."""
    if avif_quality is None:
        return webp(pixels, quality, method=QUICK_METHOD)
    return avif(pixels, avif_quality)


def avif(pixels: np.ndarray, quality: int, *, speed: int = AVIF_SPEED) -> bytes:
    """(h, w, 3) uint8 → the bytes of an AVIF file. speed: 0 gives the smallest file, 10 is the fastest. Needs a Pillow
    that writes AVIF (`writes_avif`)."""
    buffer = io.BytesIO()
    # One thread: sprites are encoded by as many processes as there are cores.
    Image.fromarray(pixels).save(
        buffer,
        "AVIF",
        codec="aom",
        quality=quality,
        speed=speed,
        advanced={"tune": AVIF_TUNE},
        max_threads=1,
    )
    return buffer.getvalue()


def writes_avif() -> bool:
    """Whether the Pillow that is installed writes AVIF: from 11.3 on, unless it was built without libaom."""
    try:
        avif(np.full((BLOCK, BLOCK, 3), GROUND, np.uint8), AVIF_QUALITY)
    except (KeyError, OSError, ValueError):
        return False
    return True


def _encoded(image: Image.Image, quality: int, *, lossless: bool = False, method: int = METHOD) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=method, lossless=lossless)
    return buffer.getvalue()

"""Decoding one picture file as the network needs it."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from generator.records import Preprocessing

# Pillow would also try formats that start other programs (EPS) or are no pictures.
Image.init()
_FORMATS = tuple(f for f in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if f in Image.OPEN)
_MOST_PIXELS = 100_000_000  # 300 MB decoded, in every worker at once
_MOST_BYTES = 1 << 29


class PictureError(Exception):
    """A picture file that cannot be used; its text is the reason, for the list of skipped files."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture. pixels: (crop, crop, 3) uint8 RGB; width, height: of the whole picture, upright, in
    px;
    sha256: of the file's bytes."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    sha256: str


def read_picture(path: Path | str, preprocessing: Preprocessing) -> Picture:
    """Decode a file, turn it upright (EXIF), make it RGB, resize and crop it: bit for bit torchvision's
    Resize and CenterCrop on the decoded picture.

    Transparency is laid on white; of an animation the first frame is taken; 16-bit greyscale is scaled to 8
    bits.
    Raises PictureError with the reason if the file cannot be used.
    """
    data = _read_bytes(Path(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd EXIF, odd palettes, sizes: what matters raises below
            image = _decode(data)
            width, height = image.size
            pixels = _crop(_resize(image, preprocessing.resize), preprocessing.crop)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError("not a picture of a known format") from error
    except Exception as error:  # decoders meet broken files with every kind of exception
        text = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        raise PictureError(f"damaged ({text})") from error
    return Picture(pixels, width, height, hashlib.sha256(data).hexdigest())


def _read_bytes(path: Path) -> bytes:
    try:
        # A pipe would keep its reader waiting for ever: opened so, it does not, and is told apart.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise PictureError("not a file that could hold a picture")
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror})") from error
    if not data:
        raise PictureError("empty file")
    if len(data) > _MOST_BYTES:
        raise PictureError(f"larger than {_MOST_BYTES >> 20} MiB")
    return data


def _decode(data: bytes) -> Image.Image:
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError(f"more than {_MOST_PIXELS:,} pixels") from error
    if image.width * image.height > _MOST_PIXELS:
        raise PictureError(f"more than {_MOST_PIXELS:,} pixels ({image.width} × {image.height})")
    image.load()
    return _upright(_as_rgb(image), _orientation(image))


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) if there is none or the EXIF is damaged: that alone spoils no
    picture."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_8_bits(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image)
        image = ground
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_8_bits(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Greyscale samples of 16 bits, or of floating point from 0 to 1, as 8 bits; Pillow's own convert would
    clip them."""
    if samples.dtype.kind == "f":
        if not (np.isfinite(samples).all() and samples.min() >= 0 and samples.max() <= 1):
            raise PictureError("floating-point samples outside 0 to 1")
        return (samples * 255 + 0.5).astype(np.uint8)
    if samples.min() < 0 or samples.max() > 65535:
        raise PictureError("integer samples of more than 16 bits")
    return ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 → 255, rounded


def _resize(image: Image.Image, side: int) -> Image.Image:
    """The shorter side to `side` px; 0: as it is."""
    width, height = image.size
    if side == 0 or min(width, height) == side:
        return image
    longer = int(side * max(width, height) / min(width, height))
    if longer * side > _MOST_PIXELS:
        raise PictureError(f"too elongated to resize ({width} × {height})")
    size = (side, longer) if width <= height else (longer, side)
    return image.resize(size, Image.Resampling.BILINEAR)


def _crop(image: Image.Image, side: int) -> NDArray[np.uint8]:
    """The centre (side, side, 3); black where the picture is smaller."""
    width, height = image.size
    if min(width, height) < side:
        ground = Image.new("RGB", (max(width, side), max(height, side)))
        ground.paste(image, (max(side - width, 0) // 2, max(side - height, 0) // 2))
        image, (width, height) = ground, ground.size
    left, top = round((width - side) / 2), round((height - side) / 2)  # torchvision's rounding: to even
    return np.array(image.crop((left, top, left + side, top + side)))

"""Decode a picture file to the pixels that the network takes."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from generator.core.records import Preprocessing, Size

# Named, because Pillow would also try formats that start other programs (EPS) or are not pictures.
Image.init()
_FORMATS = tuple(f for f in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF") if f in Image.OPEN)
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the first bytes of a TIFF and of a BigTIFF
MOST_CHANNELS = 4  # of a file that Pillow reads
_MOST_PIXELS = 100_000_000  # 300 MB decoded, in each worker process
_MOST_BYTES = 1 << 29


class PictureError(Exception):
    """A picture file that cannot be used. The text of the error is the reason, for the list of skipped files."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture. pixels: (height, width, channels) uint8; width, height: of the whole upright picture before
    resizing, in px; sha256: of the file's bytes."""

    pixels: NDArray[np.uint8]
    width: int
    height: int
    sha256: str


def read_picture(path: Path | str, preprocessing: Preprocessing) -> Picture:
    """Decode a file, convert it to the channels that the network reads, turn it upright (EXIF), resize and crop it.

    Resizing and cropping equal torchvision's Resize and CenterCrop bit for bit. The preprocessing decides how
    transparency and EXIF orientation are handled; with 'drop' and without EXIF the pixels are those of torchvision's
    ImageFolder. Of an animation the first frame is used. 16-bit greyscale is scaled to 8 bits where the white value is
    known. Raises PictureError with the reason if the file cannot be used.
    """
    data = _read_bytes(Path(path))
    try:
        with warnings.catch_warnings():
            # Warnings about EXIF, palettes and sizes: what makes a picture unusable raises below.
            warnings.simplefilter("ignore")
            image = _decode(data, preprocessing)
            width, height = image.size
            resized = _resize(image, preprocessing.resize, preprocessing.interpolation)
            pixels = _crop(resized, preprocessing.size)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF):
            reason = "a TIFF variant that cannot be read (bits per sample, sample format or compression)"
            raise PictureError(reason) from error
        raise PictureError("not a picture of a known format") from error
    except Exception as error:  # decoders raise exceptions of every type on broken files
        text = str(error).strip().partition("\n")[0][:120] or type(error).__name__
        raise PictureError(f"damaged ({text})") from error
    return Picture(pixels, width, height, hashlib.sha256(data).hexdigest())


def _read_bytes(path: Path) -> bytes:
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for ever; fstat then recognises the pipe.
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


def _decode(data: bytes, preprocessing: Preprocessing) -> Image.Image:
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError(f"more than {_MOST_PIXELS:,} pixels") from error
    if image.width * image.height > _MOST_PIXELS:
        raise PictureError(f"more than {_MOST_PIXELS:,} pixels ({image.width} × {image.height})")
    image.load()
    converted = _converted(image, data, preprocessing)
    return _upright(converted, _orientation(image)) if preprocessing.exif else converted


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
    """The EXIF orientation; 1 (upright) if there is none or the EXIF is damaged, which alone does not make a picture
    unusable."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except Exception:
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


_FOUR = ("RGBA", "CMYK", "RGBX")  # RGBX: a fourth channel of which the file does not say what it is


def _converted(image: Image.Image, data: bytes, preprocessing: Preprocessing) -> Image.Image:
    """The picture in as many channels as the network reads: one is grey by Pillow's weights (ITU-R 601-2 luma), two are
    grey and alpha, three red, green and blue, four those of the file. Raises PictureError for a file that has no
    transparency or no fourth channel where the network reads one."""
    match preprocessing.channels:
        case 1:
            return _as_rgb(image, data, preprocessing).convert("L")
        case 2 if image.mode == "LA" or _is_deep_grey_alpha(image, data):
            if image.mode != "LA":
                _refuse_dark_colour(image, data, preprocessing.bits)
            return image.convert("LA")
        case 3:
            return _as_rgb(image, data, preprocessing)
        case 4 if image.mode in _FOUR and _tag(image, _SAMPLES) in (-1, 4):
            if _is_deep_colour(image, data):
                _refuse_dark_colour(image, data, preprocessing.bits)
            return image
        case 4 if (
            image.mode != "LA" and image.has_transparency_data
        ):  # of a palette, or one transparent colour
            return image.convert("RGBA")
        case wanted:
            raise PictureError(
                f"the file has {_channels_of(image)}, the network reads {wanted}"
                + {2: ": grey and transparency", 4: ": red, green, blue and transparency, or CMYK"}.get(
                    wanted, ""
                )
            )


_SAMPLES = TiffImagePlugin.SAMPLESPERPIXEL


def _is_deep_grey_alpha(image: Image.Image, data: bytes) -> bool:
    """Whether a PNG has grey and alpha of 16 bits, which Pillow reads as RGBA."""
    return image.format == "PNG" and data[24:26] == b"\x10\x04"


def _channels_of(image: Image.Image) -> str:
    names = {
        "L": "grey",
        "LA": "grey and transparency",
        "RGB": "red, green, blue",
        "P": "colours of a palette",
    }
    mode = "L" if image.mode in ("1", "F") or image.mode.startswith("I") else image.mode
    count = 3 if mode == "P" else len(Image.new(mode, (1, 1)).getbands())
    what = f"{count} channel{'s' if count > 1 else ''} ({names.get(mode, mode)})"
    stored = _tag(image, _SAMPLES)  # Pillow leaves out what a file does not call transparency
    return f"{stored} channels, of which {what} can be read" if stored > count else what


def _as_rgb(image: Image.Image, data: bytes, preprocessing: Preprocessing) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F" or _is_signed_8(image):
        image = _deep_greyscale(image, data, preprocessing.bits)
    elif _is_deep_colour(image, data):
        _refuse_dark_colour(image, data, preprocessing.bits)
    if image.has_transparency_data and preprocessing.transparency != "drop":
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, preprocessing.transparency)
        ground.alpha_composite(image)
        image = ground
    return image if image.mode == "RGB" else image.convert("RGB")


# -- samples of more than 8 bits -----------------------------------------------------------------------------
#
# A 16-bit file often holds samples of 10, 12 or 14 bits (cameras, microscopes, DICOM exports). Read as 16 bits they
# would be nearly black, and the brightest sample of a picture does not prove how many bits there are. The bit depth
# therefore comes from the file or from the user; otherwise the picture is refused.

_SMALLER_DEPTHS = (8, 10, 12, 14)  # bits per sample that are common in 16-bit files


def _deep_greyscale(image: Image.Image, data: bytes, bits: int) -> Image.Image:
    """Greyscale of more than 8 bits, or floating point from 0 to 1, as 8 bits. (Pillow's own conversion would clip it.)
    bits: per sample as given by the user, 0 if not given."""
    samples: NDArray[Any] = np.asarray(image)
    if _is_signed_8(image):
        samples = samples.view(np.int8)
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all():
            raise PictureError("floating-point samples that are not finite numbers")
        if samples.min() < 0 or samples.max() > 1:
            raise PictureError(
                f"floating-point samples outside 0 to 1 ({samples.min():g} to {samples.max():g})"
            )
        grey = (samples * 255 + 0.5).astype(np.uint8)
    else:
        bits = _bits(image, data, samples, bits)
        white = (1 << bits) - 1
        grey = ((samples.astype(np.uint32) * 255 + white // 2) // white).astype(
            np.uint8
        )  # white → 255, rounded
    if _tag(image, TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0 and not _is_signed_8(image):
        grey = 255 - grey  # white is zero, which Pillow respects only in 8 bits
    key = image.info.get("transparency")
    if isinstance(key, int) and samples.dtype.kind != "f":
        return Image.fromarray(np.dstack([grey, np.where(samples == key, 0, 255).astype(np.uint8)]))
    return Image.fromarray(grey)


def _bits(image: Image.Image, data: bytes, samples: NDArray[Any], given: int) -> int:
    """Bits per sample: from the file's layout if that is unambiguous, else as given by the user, else from the file's
    metadata. Raises PictureError where none of them tells and the samples look like fewer than 16 bits."""
    lowest, highest = int(samples.min()), int(samples.max())
    if highest > 65535 or (lowest < 0 and _tag(image, TiffImagePlugin.SAMPLEFORMAT) == 1):
        raise PictureError("integer samples of more than 16 bits")
    if lowest < 0:
        raise PictureError(f"negative samples (the lowest is {lowest:,})")
    known = _certain_bits(image, data) or given or _likely_bits(image, data, samples)
    if known:
        if highest >> known:
            raise PictureError(f"a sample of {highest:,}, too large for samples of {known} bits")
        return known
    if 0 < highest < 1 << _SMALLER_DEPTHS[-1]:
        raise PictureError(_too_dark("sample", highest))
    return 16


def _too_dark(what: str, highest: int) -> str:
    bits = next(bits for bits in _SMALLER_DEPTHS if highest < 1 << bits)
    return (
        f"the largest 16-bit {what} is {highest:,}, as in samples of {bits} bits, and the file does not say which "
        f"value is white (bits = {bits} or bits = 16 in the profile, --bits)"
    )


def _certain_bits(image: Image.Image, data: bytes) -> int:
    """Bits per sample by the file's layout, 0 where the layout does not tell."""
    if image.format == "PPM":
        return 16 if _ppm_white(data) < 65535 else 0  # Pillow has scaled the samples to 16 bits
    if _is_signed_8(image):
        return 7
    bits = _tag(image, TiffImagePlugin.BITSPERSAMPLE)
    return bits if 8 < bits < 16 else 0


def _likely_bits(image: Image.Image, data: bytes, samples: NDArray[Any]) -> int:
    """Bits per sample by the file's metadata, 0 where it does not tell."""
    highest = int(samples.max())
    white = _tag(
        image, 281
    )  # MaxSampleValue: a value other than 2ⁿ − 1 is only this picture's brightest sample
    if white >= max(highest, 255) and white < 65535 and white & (white + 1) == 0:
        return white.bit_length()
    is_signed = _tag(image, TiffImagePlugin.SAMPLEFORMAT) == 2
    if is_signed and _tag(image, TiffImagePlugin.BITSPERSAMPLE) == 16 and 1 << 14 <= highest < 1 << 15:
        return 15
    significant = _png_significant(data)
    if 8 <= significant < 16:
        # The specification asks writers to scale samples up to 16 bits, by a shift or by repeating the bits. Many do
        # not.
        shift = 16 - significant
        shifted = samples >> shift << shift
        repeated = shifted | samples >> significant
        if (samples == shifted).all() or (samples == repeated).all():
            return 16
        return significant if highest < 1 << significant else 0
    return significant if significant == 16 else 0


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether the file has 16-bit colours, of which Pillow keeps the upper 8 bits."""
    if image.format == "PNG":
        return data[24:26] in (b"\x10\x02", b"\x10\x04", b"\x10\x06")  # IHDR: bit depth, colour type
    if image.format == "PPM":
        return image.mode == "RGB" and _ppm_white(data) == 65535
    return _tag(image, TiffImagePlugin.BITSPERSAMPLE) == 16


def _refuse_dark_colour(image: Image.Image, data: bytes, bits: int) -> None:
    if bits == 16 or _png_significant(data) == 16:
        return
    bands = image.getextrema()
    count = 3 if image.mode in ("RGB", "RGBA", "RGBX") else len(bands)
    highest = max(int(band[1]) for band in bands[:count])  # type: ignore[index]
    if highest < 1 << _SMALLER_DEPTHS[-1] - 8:
        raise PictureError(
            f"no 16-bit colour is above {highest * 256 + 255:,}, as in samples of fewer bits: save it with 8 bits per "
            "colour, or set bits = 16 if the picture really is this dark (profile, --bits)"
        )


def _is_signed_8(image: Image.Image) -> bool:
    """Whether Pillow has read signed bytes as unsigned bytes."""
    return image.mode == "L" and _tag(image, TiffImagePlugin.SAMPLEFORMAT) == 2


def _tag(image: Image.Image, number: int) -> int:
    """The first value of a TIFF tag, −1 where there is none."""
    tags = getattr(image, "tag_v2", {})
    value = tags.get(number, -1)
    return int(value[0] if isinstance(value, tuple) else value)


def _ppm_white(data: bytes) -> int:
    """The white value (maxval) in the header of a PPM or PGM, 65535 where it cannot be read."""
    header = re.sub(rb"#[^\n]*", b"", data[:1000]).split(maxsplit=4)
    return int(header[3]) if len(header) > 3 and header[3].isdigit() else 65535


def _png_significant(data: bytes) -> int:
    """The smallest number of significant bits in a PNG's sBIT chunk, 0 where there is no such chunk."""
    offset = 8
    while data.startswith(b"\x89PNG") and offset + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, offset)
        if kind == b"sBIT":
            return min(data[offset + 8 : offset + 8 + length], default=0)
        if kind == b"IDAT":
            break
        offset += length + 12
    return 0


def _resize(image: Image.Image, side: int | tuple[int, int], interpolation: str = "bilinear") -> Image.Image:
    """Resize the shorter side to `side` px (0: unchanged), or the whole picture to (height, width)."""
    width, height = image.size
    resampling = Image.Resampling[interpolation.upper()]
    if isinstance(side, tuple):
        return image if side == (height, width) else image.resize((side[1], side[0]), resampling)
    if side == 0 or min(width, height) == side:
        return image
    longer = int(side * max(width, height) / min(width, height))
    if longer * side > _MOST_PIXELS:
        raise PictureError(f"too elongated to resize ({width} × {height})")
    size = (side, longer) if width <= height else (longer, side)
    return image.resize(size, resampling)


def _crop(image: Image.Image, size: Size) -> NDArray[np.uint8]:
    """The centre crop, (height, width, channels); zero where the picture is smaller."""
    (rows, columns), (width, height) = size, image.size
    if width < columns or height < rows:
        ground = Image.new(image.mode, (max(width, columns), max(height, rows)))
        ground.paste(image, (max(columns - width, 0) // 2, max(rows - height, 0) // 2))
        image, (width, height) = ground, ground.size
    left, top = (
        round((width - columns) / 2),
        round((height - rows) / 2),
    )  # rounds to even, as torchvision does
    pixels = np.array(image.crop((left, top, left + columns, top + rows)))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]

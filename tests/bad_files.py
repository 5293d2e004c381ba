"""Broken picture files, generated: every case is made from its number alone."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM")
MODES = ("RGB", "L", "P", "RGBA", "CMYK", "I;16", "1", "F")


@cache
def sound() -> tuple[bytes, ...]:
    """Small files of every format, in every mode and with every option that it takes."""
    rough = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(rough).resize((21, 27), Image.Resampling.BICUBIC)
    found = []
    options: dict[str, list[dict[str, object]]] = {
        "JPEG": [{}, {"progressive": True}, {"exif": _exif()}, {"icc_profile": b"\0" * 200}],
        "PNG": [{}, {"interlace": True}, {"exif": _exif()}],
        "WEBP": [{}, {"lossless": True}],
        "TIFF": [
            {},
            {"compression": "tiff_lzw"},
            {"compression": "tiff_adobe_deflate"},
            {"compression": "packbits"},
        ],
        "GIF": [{}, {"save_all": True, "append_images": [picture.rotate(90)] * 3}],
    }
    for kind in FORMATS:
        for mode in MODES:
            for option in options.get(kind, [{}]):
                file = io.BytesIO()
                try:
                    in_mode = (
                        Image.fromarray(np.zeros((9, 7), np.uint16))
                        if mode == "I;16"
                        else picture.convert(mode)
                    )
                    in_mode.save(file, kind, **option)
                except (OSError, ValueError, KeyError):
                    continue  # this format has no such mode
                found.append(file.getvalue())
    return tuple(found)


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


def broken(number: int) -> bytes:
    """A file that was sound once."""
    chance = random.Random(number)
    data = bytearray(chance.choice(sound()))
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        data = chance.choice(_DAMAGES)(data, chance) or bytearray(b"\0")
    return bytes(data)


def _cut(data: bytearray, chance: random.Random) -> bytearray:
    return data[: chance.randrange(len(data))]


def _flip(data: bytearray, chance: random.Random) -> bytearray:
    for _ in range(chance.choice((1, 3, 30))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _flip_head(data: bytearray, chance: random.Random) -> bytearray:
    data[chance.randrange(min(64, len(data)))] = chance.choice(
        (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
    )
    return data


def _large_number(data: bytearray, chance: random.Random) -> bytearray:
    """Sizes, counts and offsets stand in two or four bytes, of either end."""
    kind = chance.choice(("<I", ">I", "<H", ">H"))
    most = 2 ** (32 if "I" in kind else 16) - 1
    value = chance.choice((0, 1, most, most // 2, most // 2 + 1, 65_500, chance.randrange(most)))
    place = chance.randrange(max(1, min(len(data), 200)))
    data[place : place + struct.calcsize(kind)] = struct.pack(kind, min(value, most))
    return data


def _repeat(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    return data[:start] + data[start : start + chance.randrange(200)] * chance.choice((2, 50)) + data[start:]


def _drop(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 40) :]


def _blank(data: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(data))
    data[start : start + 60] = chance.choice((b"\0", b"\xff")) * len(data[start : start + 60])
    return data


def _splice(data: bytearray, chance: random.Random) -> bytearray:
    other = chance.choice(sound())
    return data[: chance.randrange(len(data))] + bytearray(other[chance.randrange(len(other)) :])


_DAMAGES: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    _cut, _flip, _flip_head, _flip_head, _large_number, _large_number, _repeat, _drop, _blank, _splice,
)  # fmt: skip


def png(width: int, height: int, rows: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A greyscale PNG with these claimed sizes, whatever its rows hold. more: further chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


HUGE = 2**31 - 1


def _zeros(count: int) -> bytes:
    return zlib.compress(b"\0" * count, 9)


# Small files that claim, or unpack to, far more than they should; made when they are asked for.
BOMBS: dict[str, Callable[[], bytes]] = {
    "claims.png": lambda: png(HUGE, HUGE, b""),
    "wide.png": lambda: png(HUGE, 1, b""),
    "square.png": lambda: png(30_000, 30_000, b"\0" * 1_000_000),
    "limit.png": lambda: png(10_001, 10_000, b""),
    "unpacks.png": lambda: png(4, 4, b"\0" * 100_000_000),
    "text.png": lambda: png(4, 4, b"\0" * 20, (b"zTXt", b"k\0\0" + _zeros(80_000_000))),
    "icc.png": lambda: png(4, 4, b"\0" * 20, (b"iCCP", b"p\0\0" + _zeros(80_000_000))),
    "needle.png": lambda: png(60_000, 1, b"\0" * 60_001),
    "claims.gif": lambda: b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0x80, 0, 0) + b"\0" * 40,
    "claims.bmp": lambda: (
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, HUGE, HUGE, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "claims.ppm": lambda: b"P6\n2000000000 2000000000\n255\n" + b"\0" * 99,
    "claims.webp": lambda: b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff" * 6 + b"\0" * 8,
    "claims.tif": lambda: (
        b"II*\0\x08\0\0\0\x02\0" + b"\0\1\4\0\1\0\0\0\xff\xff\xff\x7f\1\1\4\0\1\0\0\0\xff\xff\xff\x7f"
    ),
    "loop.tif": lambda: b"II*\0\x08\0\0\0\x00\0\x08\0\0\0",
    "nothing.jpg": lambda: b"",
    "zeros.jpg": lambda: b"\0" * 5000,
    "text.jpg": lambda: b"<!DOCTYPE html><p>not found",
    "script.svg.png": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    "eps.jpg": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch /tmp/pwned) (w) file\n"
    ),
}


# -- sound files that Pillow does not write ---------------------------------------------------------------------


def deep_png(samples: np.ndarray, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits: (H, W) greyscale, (H, W, 2) with alpha, (H, W, 3) RGB, (H, W, 4) with alpha. more: chunks
    before the pixels."""
    height, width = samples.shape[:2]
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[1 if samples.ndim == 2 else samples.shape[2]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def tiff(samples: np.ndarray, bits: int, form: int = 1, photometric: int = 1, **tags: int) -> bytes:
    """An uncompressed TIFF of (H, W) or (H, W, 3) samples. bits: of a sample, 12 of integers are packed; form: 1
    unsigned, 2 signed, 3 floating point; photometric: 0 where zero is white, 2 for RGB; tags: `t281=4095`."""
    height, width = samples.shape[:2]
    planes = 1 if samples.ndim == 2 else samples.shape[2]
    kind = {1: "u", 2: "i", 3: "f"}[form]
    data = _packed_12(samples) if bits == 12 else samples.astype(f"<{kind}{bits // 8}").tobytes()
    short = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: photometric,
        277: planes,
        278: height,
        339: form,
    }
    short |= {int(name[1:]): value for name, value in tags.items()}
    entries = {number: struct.pack("<HHIHH", number, 3, 1, value, 0) for number, value in short.items()}
    start = 8 + 2 + 12 * (len(entries) + 2) + 4  # of what is too long for its entry, then of the samples
    extra = b""
    if planes > 1:
        for number in (258, 339):
            place = start + len(extra)
            entries[number] = struct.pack("<HHII", number, 3, planes, place)
            extra += struct.pack(f"<{planes}H", *[short[number]] * planes)
    entries[273] = struct.pack("<HHII", 273, 4, 1, start + len(extra))
    entries[279] = struct.pack("<HHII", 279, 4, 1, len(data))
    body = b"".join(entries[number] for number in sorted(entries))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0" + extra + data


def _packed_12(samples: np.ndarray) -> bytes:
    rows = ("".join(f"{int(value):012b}" for value in row) for row in samples)
    return b"".join(int(row, 2).to_bytes(len(row) // 8, "big") for row in rows)

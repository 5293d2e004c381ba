"""Drawn JPEGs of ImageNet's usual size: for jobs whose work is the same with any pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from generator.core.processes import in_processes

WIDTH, HEIGHT = 500, 375  # of ImageNet's usual JPEG
CANVASES = 6  # per process; the pictures are composed of pieces of them


@dataclass(frozen=True)
class JpegTask:
    """Pictures number first … last − 1 of a folder."""

    folder: Path
    first: int
    last: int


def make_jpegs(folder: Path, count: int) -> None:
    """Write `count` different JPEGs of about 70 KB: blended pieces of a few drawn canvases."""
    folder.mkdir(parents=True)
    processes = os.cpu_count() or 1
    size = -(-count // processes)
    tasks = [JpegTask(folder, first, min(first + size, count)) for first in range(0, count, size)]
    for _ in in_processes(
        _make_range, tasks, processes, doing="draws pictures", remedy="ask for fewer pictures"
    ):
        pass


def _make_range(task: JpegTask) -> None:
    rng = np.random.default_rng(task.first)
    canvases = [_canvas(rng) for _ in range(CANVASES)]
    for number in range(task.first, task.last):
        first_piece, second_piece = (_piece(canvases[k], rng) for k in rng.integers(0, CANVASES, 2))
        picture = Image.blend(first_piece, second_piece, float(rng.uniform(0.2, 0.8)))
        picture.save(task.folder / f"{number:06d}.jpg", quality=90)


def _canvas(rng: np.random.Generator) -> Image.Image:
    """A canvas of colour fields, shapes and grain, three times as wide and high as a picture."""
    size = 3 * WIDTH, 3 * HEIGHT
    rough = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    canvas = rough.resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(canvas)
    for _ in range(300):
        x, y, r = int(rng.integers(size[0])), int(rng.integers(size[1])), int(rng.integers(8, 90))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 256, 3).tolist()))
    canvas = canvas.filter(ImageFilter.GaussianBlur(1))
    grain = rng.integers(-25, 26, (size[1], size[0], 3))
    return Image.fromarray(np.clip(np.asarray(canvas).astype(int) + grain, 0, 255).astype(np.uint8))


def _piece(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    x, y = int(rng.integers(2 * WIDTH)), int(rng.integers(2 * HEIGHT))
    piece = canvas.crop((x, y, x + WIDTH, y + HEIGHT))
    return piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else piece

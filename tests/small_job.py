"""A job that ends in seconds: what the tests of the whole way share. Its pictures, profile and atlas are fixtures."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

COUNT = 80  # pictures that can be used: three forwards
PICTURED = 6  # channels of each layer that get sprites
PROFILE = f"""
name = "small"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a", "res2b", "res3a_branch2b", "res3a", "res4c"]
channels = {PICTURED}
[pictures]
folder = "{{folder}}"
[compute]
batch = 8
workers = 0
[site]
live = true
"""


def rough_picture(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Blots of colour. size: width and height in px."""
    rough = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)


def write_rough_pictures(folder: Path, count: int, size: tuple[int, int], seed: int = 0) -> None:
    """Write the pictures 00.png, 01.png, … into a folder. size: width and height in px."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rough_picture(rng, size).save(folder / f"{index:02d}.png")


def compute_on_rough_pictures(folder: Path, text: str, count: int, size: tuple[int, int]) -> None:
    """Write <folder>/pictures/, <folder>/profile.toml and <folder>/atlas/. text: the profile, with {folder} for the
    folder of its pictures."""
    # Imported late, with torch: many tests need none.
    from generator.core.progress import Reporter
    from generator.stages import profile
    from generator.stages.pipeline import compute

    write_rough_pictures(folder / "pictures", count, size)
    (folder / "profile.toml").write_text(text.format(folder=folder / "pictures"))
    compute(profile.load(str(folder / "profile.toml")), folder / "atlas", Reporter(quiet=True))


def write_pictures(folder: Path) -> None:
    """The pictures in three classes, and one that is broken."""
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        path = folder / f"class {index % 3}" / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True)
        rough_picture(rng, (40, 36)).save(path)
    (folder / "class 1" / "00 broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")


def command(small: Path, folder: Path) -> list[str]:
    """The job as a command line."""
    return [sys.executable, "-m", "generator", "compute", str(small), "--out", str(folder)]

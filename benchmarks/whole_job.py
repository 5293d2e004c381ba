"""The whole job beside its floors: ResNet-50, JPEGs of ImageNet's usual size, block outputs or all layers.

Floors: operations of forward and cones over the measured rate of a large convolution; JPEGs over the measured decode
rate of all cores; sprites over the measured encode rate of all cores. Random weights and drawn JPEGs: the work is the
same as with real ones. 50,000 pictures want a GPU; for two cores give --pictures 100 --channels 16.

    python -m benchmarks.whole_job --pictures 50000 [--layers all] [--device cuda]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from generator.decoding import read_picture
from generator.device import avoid_page_faults, choose_device
from generator.pipeline import compute
from generator.profile import Profile
from generator.progress import Reporter
from generator.records import Preprocessing
from generator.sprites import webp

WIDTH, HEIGHT = 500, 375  # of ImageNet's usual JPEG


def main() -> None:
    options = _options()
    avoid_page_faults()
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = Path(work)
        _make_jpegs(folder / "pictures", options.pictures)
        profile = Profile.model_validate(
            {
                "name": "whole-job",
                "network": {"model": options.model, "weights": "random"},
                "pictures": {"folder": str(folder / "pictures")},
                "layers": {"which": options.layers, "channels": options.channels},
                "compute": {"device": options.device, "precision": options.precision, "batch": options.batch},
            }
        )
        reporter = Reporter()
        start = time.perf_counter()
        store = compute(profile, folder / "atlas", reporter)
        seconds = time.perf_counter() - start
        decode, encode = _decode_rate(folder / "pictures"), _encode_rate(store.folder)
        print(f"\n{options.model}, {options.pictures:,} pictures on {_name(device)}: {seconds:.1f} s\n")
        print("| stage | things | seconds | a second |\n|---|---|---|---|")
        for stage in reporter.stages:
            rate = stage.count / stage.seconds if stage.seconds else 0.0
            print(f"| {stage.name} | {stage.count:,} {stage.unit} | {stage.seconds:.1f} | {rate:,.0f} |")
        print(
            f"\nmeasured beside it: decoding {decode:,.0f} pictures/s on all cores, encoding {encode:,.0f} sprites/s"
        )
        print(f"on all cores, a large convolution {_convolution_rate(device) / 1e12:.2f} TFLOP/s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--layers", default="blocks", choices=["blocks", "all"])
    parser.add_argument("--channels", type=int)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", help="where the JPEGs and the atlas go meanwhile")
    return parser.parse_args()


def _make_jpegs(folder: Path, count: int) -> None:
    """Different smooth noise pictures with edges, quality 90: about 100 KB each, as ImageNet's are."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for index in range(min(count, 500)):
        rough = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(rough).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noise = rng.integers(-12, 13, (HEIGHT, WIDTH, 3))
        pixels = np.clip(np.asarray(picture).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{index:06d}.jpg", quality=90)
    for index in range(500, count):  # the work of reading a picture again is the same
        os.link(folder / f"{index % 500:06d}.jpg", folder / f"{index:06d}.jpg")


def _decode_rate(folder: Path) -> float:
    """Pictures a second that all cores decode, from one core's rate."""
    preprocessing = Preprocessing(256, 224, (0, 0, 0), (1, 1, 1))
    paths = sorted(folder.iterdir())[:100]
    start = time.perf_counter()
    for path in paths:
        read_picture(path, preprocessing)
    return len(paths) / (time.perf_counter() - start) * (os.cpu_count() or 1)


def _encode_rate(folder: Path) -> float:
    """Sprites a second that all cores encode, from one core's rate on this atlas's own sprites."""
    sprites = [np.asarray(Image.open(path)) for path in sorted(folder.glob("sprites/*/*.webp"))[::50][:40]]
    start = time.perf_counter()
    for sprite in sprites:
        webp(sprite, 75)
    return len(sprites) / (time.perf_counter() - start) * (os.cpu_count() or 1)


def _convolution_rate(device: torch.device) -> float:
    """FLOP/s of a 3×3 convolution of 256 channels on 28×28 maps, batch 32, the best of ten."""
    x = torch.randn(32, 256, 28, 28, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(256, 256, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    best = float("inf")
    for _ in range(10):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * 32 * 28 * 28 * 256 * 256 * 9 / best


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"


if __name__ == "__main__":
    main()

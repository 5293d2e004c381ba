"""Sprites by how they are encoded: seconds, bytes, and what is lost against the tiles.

    python -m benchmarks.sprites [--model resnet50-caffe --weights FILE --images FOLDER] [--channels 6]

Makes the tiles of the first channels of every layer (by default of the demo network on its drawn pictures), and encodes
each channel's sprite in every way: WebP of the profile's quality by every method, and AVIF, where Pillow has it, by
quality and speed. PSNR and SSIM (Wang et al., doi:10.1109/TIP.2003.819861: luminance, Gaussian window of 1.5 px)
compare the decoded sprite with the pixels that were encoded; SSIM also of the first panel, the patches, and of the
last, gradients. The last columns extrapolate the bytes to all channels of the network and, from layers of the same
stage, to ResNet-50's 16 block outputs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch as replaced

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from generator.core.progress import Reporter
from generator.core.records import LayerInfo
from generator.core.sprites import avif, enlargement, sprite, webp, writes_avif
from generator.engine.device import avoid_page_faults
from generator.stages import profile as profiles
from generator.stages import table
from generator.stages.inputs import Inputs
from generator.stages.pipeline import compute
from generator.stages.profile import Profile
from generator.stages.run import Run
from generator.stages.sprite_encoding import panels_of

METHODS = range(5)  # of WebP
QUALITIES = (40, 42, 43, 46)  # of AVIF
SPEEDS = (9, 8, 7, 6)  # of AVIF
RESNET_50 = {2: 3 * 256, 3: 4 * 512, 4: 6 * 1024, 5: 3 * 2048}  # channels of the block outputs, by stage
RADIUS = 5  # px of SSIM's window on each side


@dataclass(frozen=True)
class Encoded:
    """What an encoder made of one sprite. seconds: of processor time; size: bytes; psnr: dB; ssim: of the whole sprite,
    of its first and of its last panel."""

    seconds: float
    size: int
    psnr: float
    ssim: tuple[float, float, float]


Encoder = Callable[[np.ndarray], bytes]
# By encoder and layer.
Results = dict[str, dict[str, list[Encoded]]]


class Measured(Exception):
    """Ends the job when the sprites have been measured."""


def main() -> None:
    options = _options()
    avoid_page_faults()
    profile = _profile(options)
    encoders = _encoders(profile.sprites.quality)
    results: Results = {name: defaultdict(list) for name in encoders}
    layers: list[LayerInfo] = []
    composing: list[float] = []

    def measure(inputs: Inputs, run: Run) -> None:
        layers.extend(inputs.network.layers)
        for layer in layers:
            for picture, seconds in _sprites(inputs, run, layer):
                composing.append(seconds)
                for name, by_layer in results.items():
                    by_layer[layer.name].append(_encode(picture, encoders[name], len(inputs.panels)))
        raise Measured

    # In the first row, the stage runs right after those that it needs.
    first = replace(table.named("sprites"), run=measure, cpu_only=False)
    rows = (first, *(stage for stage in table.STAGES if stage.name != first.name))
    with (
        tempfile.TemporaryDirectory(dir=options.work) as work,
        replaced.object(table, "STAGES", rows),
        contextlib.suppress(Measured),
    ):
        compute(profile, Path(work) / "atlas", Reporter())
    _report(layers, results, composing)


def _profile(options: argparse.Namespace) -> Profile:
    settings = profiles.load("demo").model_dump()
    if options.images is not None:
        settings = {
            "name": "sprites",
            "network": {"model": options.model, "weights": options.weights},
            "pictures": {"folder": options.images},
        }
    settings["layers"] = {"channels": options.channels}
    return Profile.model_validate(settings)


def _encoders(quality: int) -> dict[str, Encoder]:
    """By name. quality: of WebP."""

    def in_webp(method: int) -> Encoder:
        return lambda pixels: webp(pixels, quality, method=method)

    def in_avif(quality: int, speed: int) -> Encoder:
        return lambda pixels: avif(pixels, quality, speed=speed)

    encoders = {f"WebP {quality}, method {method}": in_webp(method) for method in METHODS}
    if not writes_avif():
        return encoders
    return encoders | {f"AVIF {q}, speed {speed}": in_avif(q, speed) for speed in SPEEDS for q in QUALITIES}


def _sprites(inputs: Inputs, run: Run, layer: LayerInfo) -> list[tuple[np.ndarray, float]]:
    """The sprites of a layer's living channels, with the seconds that each took to compose from its tiles."""
    native = inputs.native(layer)
    factor = enlargement(native, inputs.wanted_side(layer))
    alive = run.store.arrays.layer(layer.name, "top")["top_image"][: inputs.channels(layer)] >= 0
    made = []
    with run.store.work.tiles(layer.name, len(inputs.panels), native, inputs.slots(layer)) as tiles:
        for channel in np.flatnonzero(alive.any(axis=1)).tolist():
            start = time.process_time()
            picture = sprite(panels_of(tiles, channel, alive[channel]), factor)
            made.append((picture, time.process_time() - start))
    return made


def _encode(picture: np.ndarray, encoder: Encoder, panels: int) -> Encoded:
    start = time.process_time()
    content = encoder(picture)
    seconds = time.process_time() - start
    decoded = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    error = np.square(decoded.astype(np.float64) - picture).mean()
    after, before = _luminance(decoded), _luminance(picture)
    width = picture.shape[1] // panels
    return Encoded(
        seconds,
        len(content),
        psnr=float(10 * np.log10(255**2 / error)),
        ssim=(
            ssim(after, before),
            ssim(after[:, :width], before[:, :width]),
            ssim(after[:, -width:], before[:, -width:]),
        ),
    )


def _luminance(pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8 → (h, w), 0 to 255, by ITU-R BT.601."""
    return pixels @ np.array([0.299, 0.587, 0.114])


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """The mean structural similarity of two pictures (h, w) of 0 to 255; edges, where the window would hang over, are
    left out."""

    def smooth(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, 1.5, radius=RADIUS)[RADIUS:-RADIUS, RADIUS:-RADIUS]

    means = smooth(first), smooth(second)
    product = means[0] * means[1]
    variances = [smooth(values**2) - mean**2 for values, mean in zip((first, second), means, strict=True)]
    covariance = smooth(first * second) - product
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * product + c1) * (2 * covariance + c2)
    similarity /= (means[0] ** 2 + means[1] ** 2 + c1) * (variances[0] + variances[1] + c2)
    return float(similarity.mean())


def _report(layers: list[LayerInfo], results: Results, composing: list[float]) -> None:
    print(f"\n{len(composing):,} sprites of {len(layers)} layers, processor time")
    print(f"{np.mean(composing) * 1e3:.1f} ms to compose a sprite\n")
    columns = (
        "encoder",
        "ms a sprite",
        "bytes a sprite",
        "PSNR, dB: mean (least)",
        "SSIM: mean (least)",
        "of patches",
        "of gradients",
        "all channels, MB",
        "ResNet-50, MB",
    )
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for name, by_layer in results.items():
        sprites = [encoded for of_layer in by_layer.values() for encoded in of_layer]
        milliseconds = np.mean([encoded.seconds for encoded in sprites]) * 1e3
        psnr = [encoded.psnr for encoded in sprites]
        ssims = np.array([encoded.ssim for encoded in sprites])  # (sprites, 3)
        similarities = " | ".join(f"{part.mean():.4f} ({part.min():.4f})" for part in ssims.T)
        whole = sum(_mean_size(by_layer[layer.name]) * layer.channels for layer in layers) / 1e6
        print(
            f"| {name} | {milliseconds:.1f} | {_mean_size(sprites):,.0f} "
            f"| {np.mean(psnr):.2f} ({min(psnr):.2f}) | {similarities} "
            f"| {whole:,.1f} | {_resnet_50(layers, by_layer):,.0f} |"
        )


def _mean_size(sprites: list[Encoded]) -> float:
    """Bytes."""
    return float(np.mean([encoded.size for encoded in sprites]))


def _resnet_50(layers: list[LayerInfo], by_layer: dict[str, list[Encoded]]) -> float:
    """Megabytes of ResNet-50's 15,104 sprites, each as large as the mean of its stage here, or of the last stage that
    there is."""
    stages: dict[int, list[float]] = defaultdict(list)
    for layer in layers:
        if layer.kind == "block":
            stages[layer.stage].append(_mean_size(by_layer[layer.name]))
    means = {stage: float(np.mean(sizes)) for stage, sizes in stages.items()}
    return sum(count * means[min(stage, max(means))] for stage, count in RESNET_50.items()) / 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet50-caffe")
    parser.add_argument("--weights")
    parser.add_argument("--images", help="a folder of pictures; without it, the demo's network and pictures")
    parser.add_argument("--channels", type=int, default=6, help="the first channels of every layer")
    parser.add_argument("--work", help="where the pictures and the tiles go meanwhile")
    return parser.parse_args()


if __name__ == "__main__":
    main()

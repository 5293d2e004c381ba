"""The first layers that one page sets side by side: the network's own, and those of the networks that the profile
names."""

from __future__ import annotations

import numpy as np

from generator.core.records import to_json
from generator.core.sprites import enlarge, gradient_pixels, mosaic, thumb_columns, webp
from generator.methods.kernels import (
    FirstLayer,
    colour_planes,
    first_kernels,
    first_layer,
    kernel_numbers,
    on_one_scale,
    reads_colours,
)
from generator.stages.inputs import Inputs
from generator.stages.run import Run

KERNEL_TILE = 56  # px, wanted side of a first-layer kernel


def write_first_layers(inputs: Inputs, run: Run) -> None:
    """Write first_layers/: kernels, their numbers, and their pixels, one pixel per weight. A network whose
    first convolution does not read the pictures themselves has none of its own."""
    own = () if inputs.network.kernels is None else (first_layer(inputs.network),)
    others = [
        other
        for other in inputs.other_layers
        if (other.model, other.weights.sha256) not in {(layer.model, layer.weights.sha256) for layer in own}
    ]
    stem = inputs.network.layers[0].name if inputs.network.layers[0].kind == "stem" else ""
    files: dict[str, bytes | dict[str, np.ndarray]] = {}
    index = []
    for number, layer in enumerate((*own, *others)):
        files |= _files(number, layer)
        index.append(
            {
                "model": layer.model,
                "weights": to_json(layer.weights),
                "path": layer.path,
                "stride": layer.stride,
                "padding": layer.padding,
                "own": number < len(own),
                "layer": stem if number < len(own) else "",  # whose pages the kernels lead to
            }
        )
    run.store.write_first_layers(files, index)


def has_kernels(inputs: Inputs) -> bool:
    """Whether the first layer of the atlas is the network's first convolution, and it reads the pictures
    themselves."""
    return inputs.network.kernels is not None and inputs.network.layers[0].kind == "stem"


def write_kernels(inputs: Inputs, run: Run) -> None:
    """Write kernels/<layer>.webp, the first convolution's kernels as pixels."""
    kernels = first_kernels(inputs.network)
    tiles = np.stack([enlarge(kernel, _kernel_factor(kernels.shape[1])) for kernel in kernels])
    # Lossless: a kernel is a few dozen numbers, and each pixel should stay one.
    content = webp(mosaic(tiles, thumb_columns(len(tiles))), 100, lossless=True)
    pictures = run.store.pictures
    pictures.write(pictures.kernels_path(inputs.network.layers[0].name), content)


def kernels_report(inputs: Inputs) -> dict[str, dict[str, int]]:
    """For the manifest, by layer: side of a kernel's tile in px, columns of the sheet, side of a kernel."""
    kernels = inputs.network.kernels
    assert kernels is not None
    side, columns = kernels.shape[-1], thumb_columns(kernels.shape[0])
    name = inputs.network.layers[0].name
    return {name: {"tile": side * _kernel_factor(side), "columns": columns, "side": side}}


def _kernel_factor(side: int) -> int:
    return max(1, round(KERNEL_TILE / side))


def _files(number: int, layer: FirstLayer) -> dict[str, bytes | dict[str, np.ndarray]]:
    kernels = layer.kernels
    columns = thumb_columns(len(kernels))
    numbers = {"kernels": kernels, "gain": layer.gain, **kernel_numbers(kernels)}

    def pixels(tiles: np.ndarray, wide: int) -> bytes:
        # Lossless: a kernel is a few dozen numbers, and each pixel is one of them.
        return webp(mosaic(tiles, wide), 100, lossless=True)

    own = gradient_pixels(kernels.transpose(0, 2, 3, 1).astype(np.float64))
    files: dict[str, bytes | dict[str, np.ndarray]] = {
        f"{number}.npz": dict(sorted(numbers.items())),
        f"{number}.webp": pixels(own, columns),
        f"{number}-common.webp": pixels(on_one_scale(kernels), columns),
    }
    if reads_colours(kernels):
        planes = colour_planes(kernels)
        files[f"{number}-planes.webp"] = pixels(planes.reshape(-1, *planes.shape[2:]), 3 * columns)
    return files

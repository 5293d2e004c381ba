"""The first convolution's kernels as pixels (arXiv:1701.02362, Figure 8), and their statistics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generator.core.errors import AtlasError
from generator.core.records import WeightsInfo
from generator.core.sprites import as_colours, gradient_pixels
from generator.network.network import Network

GRID = 33  # frequencies along one side at which a kernel's power is read; odd: each has its opposite


@dataclass(frozen=True)
class FirstLayer:
    """The first convolution of a network as it was trained, before any fold.

    model: its name; path: torchvision's of the convolution; kernels: (C, channels, k, k) float32; stride, padding: in
    px; gain: (C,) float32, what the normalisation behind it multiplies each kernel by (1 where there is none).
    """

    model: str
    weights: WeightsInfo
    path: str
    kernels: np.ndarray
    stride: int
    padding: int
    gain: np.ndarray


def first_layer(network: Network) -> FirstLayer:
    """The first layer of a loaded network (on the CPU); raises AtlasError where it does not read the pictures
    themselves, all channels at once."""
    if network.kernels is None:
        raise AtlasError("the first convolution does not read whole pixels of the pictures", network.model)
    step = next(step for step in network.graph.steps if step.op == "conv")
    raw = network.kernels.double().numpy()
    assert step.weight is not None
    folded = step.weight.double().numpy()
    energy = (raw**2).sum((1, 2, 3))
    gain = (folded * raw).sum((1, 2, 3)) / np.where(energy > 0, energy, 1)
    return FirstLayer(
        network.model,
        network.weights,
        step.scope,
        raw.astype(np.float32),
        step.stride,
        step.padding,
        gain.astype(np.float32),
    )


def first_kernels(network: Network) -> np.ndarray:
    """(C, k, k, 3) uint8: each kernel as a picture, its channels as colours, zero mid-grey, on its own scale.

    These are the convolution's own weights. Where the gain of the BatchNorm behind it is negative, the channel responds
    to the kernel's negative; the page on first layers says so. Raises AtlasError as `first_layer`.
    """
    return gradient_pixels(first_layer(network).kernels.transpose(0, 2, 3, 1).astype(np.float64))


def on_one_scale(kernels: np.ndarray) -> np.ndarray:
    """(C, channels, k, k) → (C, k, k, 3) uint8: the channels as colours, zero mid-grey, all kernels on the scale of the
    largest weight of all that are shown."""
    rows = as_colours(kernels.transpose(0, 2, 3, 1).astype(np.float64)).reshape(1, -1, kernels.shape[-1], 3)
    return gradient_pixels(rows).reshape(len(kernels), *kernels.shape[2:], 3)


def colour_planes(kernels: np.ndarray) -> np.ndarray:
    """(C, 3, k, k) → (C, 3, k, k, 3) uint8: the weights of red, green and blue separately, in grey on the kernel's own
    scale, zero mid-grey."""
    scaled = gradient_pixels(kernels.transpose(0, 2, 3, 1).astype(np.float64))  # (C, k, k, 3)
    return np.repeat(scaled.transpose(0, 3, 1, 2)[..., None], 3, axis=-1)


def reads_colours(kernels: np.ndarray) -> bool:
    """Whether kernels (C, channels, k, k) read red, green and blue."""
    return kernels.shape[1] == 3


def kernel_numbers(kernels: np.ndarray) -> dict[str, np.ndarray]:
    """(C, channels, k, k) → (C,) float32 each:

    norm: Euclidean, of all weights. colour: share of the squared weights that differs between the three colours (0 for
    a grey kernel, 1 for one that does not respond to grey). hue: of the strongest colour axis of that share, degrees in
    [0, 180): 0 for red against cyan, 60 for yellow against blue, 120 for green against magenta. coherence: 1 where all
    power but the mean's lies in one direction of frequency, 0 where no direction prevails. direction: of the kernel's
    lines, degrees in [0, 180) counterclockwise from the horizontal. colour, hue, coherence and direction are NaN where
    the kernel does not define them; so are colour and hue of kernels that do not read three colours.
    """
    weights = kernels.astype(np.float64)
    energy = (weights**2).sum((1, 2, 3))
    grey = weights.mean(1, keepdims=True)
    coherence, direction = _direction(weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        colour = ((weights - grey) ** 2).sum((1, 2, 3)) / energy
    if not reads_colours(kernels):
        colour = np.full(len(kernels), np.nan)
    numbers = {
        "norm": np.sqrt(energy),
        "colour": colour,
        "hue": _hue(weights - grey) if reads_colours(kernels) else np.full(len(kernels), np.nan),
        "coherence": coherence,
        "direction": direction,
    }
    return {name: values.astype(np.float32) for name, values in numbers.items()}


def _hue(rest: np.ndarray) -> np.ndarray:
    """(C, 3, k, k) weights without their grey → (C,) degrees of the axis that holds most of their energy."""
    red, green, blue = rest[:, 0], rest[:, 1], rest[:, 2]
    point = (2 * red - green - blue) + 1j * np.sqrt(3) * (
        green - blue
    )  # on the plane of colours, by hue's angle
    axis = (point**2).sum((1, 2))  # doubled angles: a colour and its opposite are one axis
    return np.where(np.abs(axis) > 0, np.rad2deg(np.angle(axis)) / 2 % 180, np.nan)


def _direction(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, channels, k, k) → (C,) coherence and (C,) direction of lines, from the power spectra of the channels."""
    varying = weights - weights.mean((2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(varying, s=(GRID, GRID))) ** 2).sum(1)  # (C, n, n)
    frequency = np.fft.fftfreq(GRID)
    # Rows count downwards; a line lies across its frequency, a quarter turn from it.
    angle = np.arctan2(-frequency[:, None], frequency[None, :])
    power = power * (
        np.hypot(frequency[:, None], frequency[None, :]) <= 0.5
    )  # equally far in every direction
    total = power.sum((1, 2))
    enough = total > 1e-12 * np.maximum((weights**2).sum((1, 2, 3)), 1e-30) * GRID**2
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (power * np.exp(2j * angle)).sum((1, 2)) / total
    direction = (np.rad2deg(np.angle(mean)) / 2 + 90) % 180
    coherence = np.where(enough, np.abs(mean), np.nan)
    return coherence, np.where(enough & (coherence > 1e-9), direction, np.nan)

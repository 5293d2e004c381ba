"""DeepDream (Mordvintsev, Olah and Tyka, "Inceptionism", 2015): a picture follows the gradient of a layer's activation
energy ½‖a‖², which amplifies what the layer responds to in it. The gradient at the layer is a itself.

As in the authors' notebook (github.com/google/deepdream, dream.ipynb): the picture is processed at several sizes, the
*octaves*, the smallest first. The change made in an octave, its *detail*, is enlarged and added to the next larger
picture. Every step is shifted by a random jitter and changes a pixel by `step_size` on average."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.records import Size
from generator.engine.ascent.ascent import stream
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.ascent.windowed_gradient import WindowedGradient
from generator.network.network import Network

SMALLEST = 16  # px, the side of the smallest octave: a deep layer's map of a smaller picture is all padding


@dataclass(frozen=True)
class DreamPlan:
    """How a picture is dreamt.

    side: of the picture in px, or its (height, width); octaves: number of sizes, each octave_scale times the one
    before; steps: per octave; step_size: mean absolute change of a step, in units of 1/255 per pixel and channel;
    jitter: the picture is rolled by up to this many px before a step, and rolled back afterwards.
    """

    side: int | Size
    octaves: int = 4
    octave_scale: float = 1.4
    steps: int = 10
    step_size: float = 1.5
    jitter: int = 32
    seed: int = 0

    @property
    def size(self) -> Size:
        """Height and width of the picture in px."""
        return (self.side, self.side) if isinstance(self.side, int) else self.side

    @property
    def sizes(self) -> list[Size]:
        """The octaves' heights and widths in px, the smallest first; raises AtlasError where one is below SMALLEST."""
        height, width = self.size
        scales = [self.octave_scale**n for n in reversed(range(self.octaves))]
        sizes = [(round(height / scale), round(width / scale)) for scale in scales]
        if min(sizes[0]) < SMALLEST:
            across = "high" if sizes[0][0] < sizes[0][1] else "wide"
            raise AtlasError(
                f"the smallest of {self.octaves} octaves would be {min(sizes[0])} px {across}",
                "deepdream",
                f"take fewer octaves, a smaller octave_scale or a larger side: {SMALLEST} px are needed",
            )
        return sizes


@dataclass(frozen=True)
class Dream:
    """picture: (h, w, channels) uint8; before, after: root mean square of the layer's activations at the start
    picture and at this one."""

    picture: Tensor
    before: float
    after: float


class Dreamer:
    """Dreams of one layer. network: on its device and in its dtype. Raises AtlasError for an unknown layer, and for a
    plan whose smallest octave is too small."""

    def __init__(self, network: Network, layer: str, plan: DreamPlan) -> None:
        self.network, self.plan = network, plan
        self.layer = network.layer(layer).name
        step = network.step(layer)
        self.passes = [
            WindowedGradient(WindowedForward(network.graph_of(size, step), step, size)) for size in plan.sizes
        ]
        self.device, self.dtype = network.device, network.dtype
        p = network.preprocessing
        self._range = p.value_range
        self._mean = torch.tensor(p.mean, device=self.device, dtype=self.dtype)[:, None, None]
        self._std = torch.tensor(p.std, device=self.device, dtype=self.dtype)[:, None, None]

    def dream(self, pixels: Tensor) -> Dream:
        """The dream of a picture, (h, w, channels) uint8 of the plan's size. It depends on the plan, the layer and the
        pixels alone."""
        plan = self.plan
        random = stream(plan.seed, f"dream {self.layer}", zlib.crc32(pixels.numpy().tobytes()))
        start = pixels.permute(2, 0, 1)[None].to(self.device, self.dtype) / 255  # (1, C, h, w)
        octaves = [start]
        for size in reversed(plan.sizes[:-1]):
            octaves.insert(0, _resized(octaves[0], size))
        picture = octaves[0]
        for number, (base, passes) in enumerate(zip(octaves, self.passes, strict=True)):
            if number:
                detail = picture - octaves[number - 1]
                picture = base + _resized(detail, (base.shape[2], base.shape[3]))
            for _ in range(plan.steps):
                down, right = random.integers(-plan.jitter, plan.jitter + 1, 2).tolist()
                picture = torch.roll(picture, (down, right), (2, 3))
                picture = (picture + self._step(passes, picture)).clamp(0, 1)
                picture = torch.roll(picture, (-down, -right), (2, 3))
        rounded = (picture * 255 + 0.5).floor().clamp(0, 255)
        shown = rounded[0].permute(1, 2, 0).byte().cpu()
        return Dream(shown, self.strength(start), self.strength(rounded / 255))

    def _step(self, passes: WindowedGradient, picture: Tensor) -> Tensor:
        """The change of a picture in one step, (1, C, h, w); zero where the layer is inactive."""
        gradient, _ = self.gradient(passes, picture)
        size = gradient.abs().mean()
        return torch.where(size > 0, gradient * (self.plan.step_size / 255 / size), 0.0)

    def gradient(self, passes: WindowedGradient, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The gradient of ½‖a‖² with respect to the pictures' values in [0, 1], (B, C, h, w), and the activations a,
        (B, C', h', w')."""
        tape = passes.forward(self._prepared(pictures))
        return passes.back(tape, tape.maps) * (self._range / self._std), tape.maps

    @torch.no_grad()
    def strength(self, picture: Tensor) -> float:
        """Root mean square of the layer's activations at a picture of the plan's size, (1, C, h, w) in [0, 1]."""
        maps = self.passes[-1].windowed(self._prepared(picture))
        return float(maps.double().square().mean().sqrt())

    def _prepared(self, pictures: Tensor) -> Tensor:
        x = (pictures * self._range - self._mean) / self._std
        return x.contiguous(memory_format=torch.channels_last)


def _resized(picture: Tensor, size: Size) -> Tensor:
    """(1, C, h, w) → (1, C, *size), bilinear and antialiased."""
    return F.interpolate(picture, size=size, mode="bilinear", antialias=True, align_corners=False)

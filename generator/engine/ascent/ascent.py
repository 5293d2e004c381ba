"""Activation maximisation: pictures that maximise the activation of a unit or a channel, many at once
(arXiv:1506.06579; Olah et al. 2017, "Feature visualization", doi:10.23915/distill.00007).

A picture follows the gradient of its objective: the value of the neuron in the middle of the channel's map, or the
channel's spatial mean. Only the part of the network that the objective depends on is run (windowed_forward.py): for a
neuron its receptive field and the windows in between, which is exact.

Every picture has random numbers of its own, drawn from (seed, layer, channel), and the network always runs on `batch`
pictures, the last batch filled up by repetition. So a picture does not depend on which others are made with it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.records import Size
from generator.engine.ascent.parametrisations import (
    Name,
    displayable,
    latent_of,
    parametrisation,
    quick_side,
)
from generator.engine.ascent.regularisers import Regularisers, total_variation_gradient
from generator.engine.ascent.transforms import Transforms, compose, reach, standard_transforms
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.ascent.windowed_gradient import WindowedGradient
from generator.engine.relu_rules import ReluRule
from generator.network.graph import Graph
from generator.network.network import Network
from generator.network.windows import Frame, Window

Objective = Literal["neuron", "channel"]
Precision = Literal["fp32", "bf16"]

# Adam's decay rates, β₁ and β₂: what the next step keeps of the mean of the gradients, and of their squares.
MEMORY, SQUARES_MEMORY = 0.5, 0.999


@dataclass(frozen=True)
class AscentPlan:
    """How pictures are optimised.

    objective: "neuron", the middle unit of the channel's map (row and column H // 2), or "channel", the mean of the
    map; steps, lr: of the ascent (Adam for `fourier` as in Lucid, plain gradient ascent for `pixel`); cool: share of
    the steps, the last, over which lr falls to zero; size: height and width of the whole picture in px, None for the
    network's own; leaky: in this many first steps a LEAK of the gradient passes inactive ReLUs; batch: pictures that
    run together; precision: of the network during the ascent (values are always measured in the network's own).
    """

    objective: Objective = "neuron"
    parametrisation: Name = "fourier"
    steps: int = 128
    lr: float = 0.05
    cool: float = 0.25
    size: Size | None = None
    transforms: Transforms = standard_transforms
    regularisers: Regularisers = field(default_factory=Regularisers)
    leaky: int = 16
    seed: int = 0
    batch: int = 32
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Ascents:
    """U optimised pictures.

    pictures: (U, C, h, w) sRGB in [0, 1], rounded to 8 bits: the rows and columns `frame` of the whole picture, which
    the objective depends on (all of it for a channel); size: height and width of the whole picture in px; value: (U,)
    of the objective on the rounded picture without transforms; peak: (U,) the largest value of the map that was
    measured (a neuron's is its value); fired: (U,) whether the objective is above zero. On the CPU.
    """

    pictures: Tensor
    value: Tensor
    peak: Tensor
    fired: Tensor
    frame: Frame
    size: Size

    def whole(self) -> Tensor:
        """The pictures in their place on a whole picture of mid-grey, (U, C, *size)."""
        ground = round(0.5 * 255) / 255
        (rows, columns), (height, width) = self.frame, self.size
        around = (columns.low, width - columns.end, rows.low, height - rows.end)
        return F.pad(self.pictures, around, value=ground)


class Ascender:
    """Optimises pictures for channels of one layer.

    network: on its device and in its dtype; layer: a layer's name, or the index of any step of its graph. middle: row
    and column of the unit, None for a channel's mean; frame: the part of the picture that the objective depends on;
    canvas: the part that is optimised, larger at least by the reach of the transforms. Raises AtlasError for a layer
    that the network does not have.
    """

    def __init__(self, network: Network, layer: str | int, plan: AscentPlan) -> None:
        self.network, self.plan = network, plan
        self.top = network.step(layer) if isinstance(layer, str) else layer
        self.name = network.layer(layer).name if isinstance(layer, str) else _name(network, layer)
        self.size = plan.size or network.preprocessing.size
        self.device, self.dtype = network.device, network.dtype
        graph, aim = network.graph_of(self.size, self.top), self.top
        middle = _middle(graph, self.top, self.size) if plan.objective == "neuron" else None
        self.middle = middle
        self.measured = WindowedForward(graph, self.top, self.size, middle)
        if middle is not None and graph.steps[aim].is_rectifier:
            aim = graph.steps[aim].inputs[0]  # rises also where the unit is inactive
        self.computing = torch.bfloat16 if plan.precision == "bf16" else self.dtype
        if self.computing != self.dtype:
            graph = graph.until(aim).to(self.device, self.computing)
            aim = len(graph) - 1
        self.forward = WindowedForward(graph, aim, self.size, middle)
        self.network_gradient = WindowedGradient(self.forward)
        self.frame = self.forward.frame
        margins = reach(plan.transforms, _size(self.frame))
        rows, columns = (
            self._lengthened(Window.fixed(window.low - margin, window.end + margin).clipped(extent), extent)
            for window, margin, extent in zip(self.frame, margins, self.size, strict=True)
        )
        self.canvas: Frame = rows, columns
        self.parametrisation = parametrisation(
            plan.parametrisation, _size(self.canvas), network.graph.channels
        )
        p = network.preprocessing
        self._range = p.value_range
        self._mean = torch.tensor(p.mean, device=self.device, dtype=self.dtype)[:, None, None]
        self._std = torch.tensor(p.std, device=self.device, dtype=self.dtype)[:, None, None]

    def _lengthened(self, window: Window, extent: int) -> Window:
        """The window, longer where that is quicker and a map of this extent has room."""
        length = min(quick_side(self.plan.parametrisation, window.size), extent)
        low = min(window.low, extent - length)
        return Window.fixed(low, low + length)

    def ascend(self, channels: Sequence[int], start: Tensor | None = None) -> Ascents:
        """One picture per channel.

        start: (U, C, h, w) sRGB in [0, 1], what each begins at instead of mid-grey, before its noise is added. Raises
        AtlasError for a channel that the layer does not have.
        """
        total = self.measured.channels[self.top]
        if wrong := [channel for channel in channels if not 0 <= channel < total]:
            raise AtlasError(
                f"{self.name} has no channel {wrong[0]}", remedy=f"it has {total}, counted from 0"
            )
        pictures, values, peaks = [], [], []
        for first in range(0, len(channels), self.plan.batch):
            batch = list(channels[first : first + self.plan.batch])
            count = len(batch)
            filled = batch + [batch[-1]] * (self.plan.batch - count)
            begin = None
            if start is not None:
                begin = start[first : first + count]
                begin = torch.cat([begin, begin[-1:].expand(len(filled) - count, -1, -1, -1)])
            rounded = self._optimised(filled, begin)
            value, peak = self.measure(rounded, filled)
            pictures.append(rounded[:count].cpu())
            values.append(value[:count].cpu())
            peaks.append(peak[:count].cpu())
        if not pictures:
            none = torch.empty(0)
            empty = torch.empty(0, self.network.graph.channels, *_size(self.frame))
            return Ascents(empty, none, none, none.bool(), self.frame, self.size)
        value = torch.cat(values)
        return Ascents(torch.cat(pictures), value, torch.cat(peaks), value > 0, self.frame, self.size)

    @torch.no_grad()
    def measure(self, pictures: Tensor, channels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The objective, and the largest value of the map, (U,) each, on pictures of the frame, (U, C, h, w) in
        [0, 1], without transforms."""
        maps = self.measured(self.prepared(pictures))
        own = maps[torch.arange(len(channels)), torch.as_tensor(channels, device=self.device)]  # (U, h, w)
        return own.mean((1, 2)), own.amax((1, 2))

    def prepared(self, pictures: Tensor) -> Tensor:
        """Pictures of the frame, (U, C, h, w) in [0, 1] → the network's input."""
        return self._prepared(pictures.to(self.device, self.dtype), self.dtype)

    def _prepared(self, pictures: Tensor, dtype: torch.dtype) -> Tensor:
        """sRGB in [0, 1] → the network's input, channels_last."""
        x = (pictures * self._range - self._mean) / self._std
        return x.to(dtype).contiguous(memory_format=torch.channels_last)

    def _optimised(self, channels: Sequence[int], start: Tensor | None) -> Tensor:
        """The optimised pictures of the frame, rounded to 8 bits, (B, C, h, w) in [0, 1]."""
        plan = self.plan
        streams = [stream(plan.seed, self.name, channel) for channel in channels]
        parameters = self._tensor([self.parametrisation.noise(random) for random in streams])
        if start is not None:
            parameters = parameters + self.parametrisation.parameters(self._begin(start))
        draws = np.stack([random.random((plan.steps, len(plan.transforms), 2)) for random in streams])
        units = torch.as_tensor(channels, device=self.device)
        adam = _Adam(parameters) if plan.parametrisation == "fourier" else None
        for step in range(plan.steps):
            rate = plan.lr * min(1.0, (plan.steps - step) / max(1.0, plan.cool * plan.steps))
            rule: ReluRule = "leaky" if step < plan.leaky else "plain"
            parameters.requires_grad_(True)
            latent = self.parametrisation.latent(parameters)
            gradient = self._gradient(latent.detach(), units, draws[:, step], rule)
            slope = gradient
            if weight := plan.regularisers.total_variation:
                slope = gradient - weight * total_variation_gradient(latent.detach())
            (up,) = torch.autograd.grad(latent, parameters, slope)
            with torch.no_grad():
                parameters = parameters.detach()
                parameters = parameters + rate * up if adam is None else adam.stepped(parameters, up, rate)
                if plan.regularisers.change_pixels:
                    changed = plan.regularisers.apply(self.parametrisation.latent(parameters), gradient, step)
                    parameters = self.parametrisation.parameters(changed)
        with torch.no_grad():
            rows, columns = (self.frame[axis].within(self.canvas[axis]) for axis in (0, 1))
            final = displayable(self.parametrisation.latent(parameters))[:, :, rows, columns]
            return (final * 255 + 0.5).floor() / 255

    def _gradient(self, latent: Tensor, channels: Tensor, draws: np.ndarray, rule: ReluRule) -> Tensor:
        """The gradient of each picture's objective at its latent picture, scaled to a root mean square of one over the
        frame; zero where every value is. (B, C, h, w)"""
        latent.requires_grad_(True)
        top, left = (self.frame[axis].low - self.canvas[axis].low for axis in (0, 1))
        height, width = _size(self.frame)
        pictures = displayable(latent)
        seen = compose(self.plan.transforms, draws, pictures, first=(top, left), size=(height, width))
        given = self._prepared(seen, self.computing)
        tape = self.network_gradient.forward(given.detach(), rule)
        # The objectives as the gradient that the backward pass begins with, laid out channels_last like the maps: so
        # the whole backward pass stays in that layout.
        seed = torch.zeros_like(tape.maps, memory_format=torch.channels_last)
        seed[torch.arange(len(channels), device=self.device), channels] = 1 / tape.maps[0, 0].numel()
        (gradient,) = torch.autograd.grad(given, latent, self.network_gradient.back(tape, seed))
        length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
        unit = (self.network.graph.channels * height * width) ** 0.5
        return torch.where(length > 0, gradient * (unit / length), 0.0)

    def _begin(self, start: Tensor) -> Tensor:
        """The latent pictures of the canvas that show `start` on the frame; beyond, its edge is carried on."""
        (above, below), (left, right) = (
            (inner.low - outer.low, outer.end - inner.end)
            for inner, outer in zip(self.frame, self.canvas, strict=True)
        )
        start = start.to(self.device, self.dtype)
        return latent_of(F.pad(start, (left, right, above, below), mode="replicate"))

    def _tensor(self, parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device, self.dtype)


class _Adam:
    """Adam (arXiv:1412.6980, section 2). Its mean of the gradients forgets faster than usual (MEMORY): the steps are
    few and long, and at the usual 0.9 they follow gradients that no longer hold: pictures end with lower values.

    Not torch.optim.Adam: that rounds the same sums in another order, and an ascent amplifies last bits. With it, half
    of the 8-bit values of pictures for res4b of the demo network (128 steps) came out different. Atlases and their
    resumed runs need the same bits whatever torch is installed.
    """

    def __init__(self, parameters: Tensor) -> None:
        self.mean, self.square, self.steps = torch.zeros_like(parameters), torch.zeros_like(parameters), 0

    def stepped(self, parameters: Tensor, gradient: Tensor, rate: float) -> Tensor:
        """The parameters after a step up the gradient, both of one shape; rate: the learning rate."""
        self.steps += 1
        self.mean.mul_(MEMORY).add_(gradient, alpha=1 - MEMORY)
        self.square.mul_(SQUARES_MEMORY).addcmul_(gradient, gradient, value=1 - SQUARES_MEMORY)
        root = self.square.sqrt().mul_((1 - SQUARES_MEMORY**self.steps) ** -0.5).add_(1e-8)
        return torch.addcdiv(parameters, self.mean, root, value=rate / (1 - MEMORY**self.steps))


def ascend(
    network: Network,
    layer: str | int,
    channels: Sequence[int],
    plan: AscentPlan | None = None,
    *,
    start: Tensor | None = None,
) -> Ascents:
    """One optimised picture for each channel of a layer (a name, or the index of any step of the network's graph), on
    the network's device; see Ascender and Ascender.ascend."""
    return Ascender(network, layer, plan or AscentPlan()).ascend(channels, start)


def stream(seed: int, layer: str, channel: int) -> np.random.Generator:
    """The random numbers of one picture, the same on every machine; layer: any text that names the stream."""
    words = [seed, zlib.crc32(layer.encode()), channel]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _name(network: Network, step: int) -> str:
    """The name of a step's random stream: that of the layer tapped there, or the step's number."""
    for layer, at in zip(network.layers, network.steps, strict=True):
        if at == step:
            return layer.name
    return f"step {step}"


def _middle(graph: Graph, top: int, size: Size) -> tuple[int, int]:
    height, width = WindowedForward(graph, top, size).extents[top]
    return height // 2, width // 2


def _size(frame: Frame) -> Size:
    return frame[0].size, frame[1].size

"""Optimised pictures: what a unit or a channel itself asks for, many at once (arXiv:1506.06579; Olah et al. 2017).

A picture climbs the gradient of its objective: the value of the neuron in the middle of the channel's map, or the
channel's spatial mean. Of the network only what the objective sees is run (windowed_forward.py): for a neuron its
receptive field and the windows between, which is exact.

Every picture has random numbers of its own, drawn from (seed, layer, channel), and the network always runs on `batch`
pictures, the last batch filled up by repetition: so a picture does not depend on which others are made with it."""

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
from generator.engine.ascent.parametrisations import Name, displayable, latent_of, parametrisation
from generator.engine.ascent.regularisers import Regularisers, total_variation_gradient
from generator.engine.ascent.transforms import Transforms, compose, reach, standard_transforms
from generator.engine.ascent.windowed_forward import ConeWalk, ReluRule, Span
from generator.network.network import Network

Objective = Literal["neuron", "channel"]
Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class AscentPlan:
    """How pictures are optimised.

    objective: "neuron", the middle unit of the channel's map (row and column H // 2), or "channel", the mean of the
    map; steps, lr: of the ascent (Adam for `fourier` as in Lucid, plain gradient ascent for `pixel`); cool: share of
    the steps, the last, over which lr falls to zero; size: side of the whole picture in px, None for the network's own;
    leaky: so many first steps let a LEAK of the gradient through silent ReLUs; batch: pictures that run together;
    precision: of the network while it climbs (values are always measured in the network's own).
    """

    objective: Objective = "neuron"
    parametrisation: Name = "fourier"
    steps: int = 128
    lr: float = 0.05
    cool: float = 0.25
    size: int | None = None
    transforms: Transforms = standard_transforms
    regularisers: Regularisers = field(default_factory=Regularisers)
    leaky: int = 16
    seed: int = 0
    batch: int = 32
    precision: Precision = "fp32"


@dataclass(frozen=True)
class Ascents:
    """U optimised pictures.

    pictures: (U, 3, n, n) sRGB in [0, 1], rounded to 8 bits: what the objective sees of the whole picture, its rows and
    columns `span` (all of it for a channel); size: side of the whole picture; value: (U,) of the objective on the
    rounded picture without transforms; peak: (U,) the largest value of the map that was measured (a neuron's is its
    value); fired: (U,) whether the objective is above zero. On the CPU.
    """

    pictures: Tensor
    value: Tensor
    peak: Tensor
    fired: Tensor
    span: Span
    size: int

    def whole(self) -> Tensor:
        """The pictures in their place on a whole picture of mid-grey, (U, 3, size, size)."""
        ground = round(0.5 * 255) / 255
        before, after = self.span.first, self.size - self.span.end
        return F.pad(self.pictures, (before, after, before, after), value=ground)


class Ascender:
    """Optimises pictures for channels of one layer.

    middle: row and column of the unit, None for a channel's mean; span: what is seen of the picture.
    network: on its device and in its dtype; layer: a layer's name, or the index of any step of its graph. Raises
    AtlasError for a layer or a precision that there is not.
    """

    def __init__(self, network: Network, layer: str | int, plan: AscentPlan) -> None:
        self.network, self.plan = network, plan
        self.top = network.step(layer) if isinstance(layer, str) else layer
        self.name = network.layer(layer).name if isinstance(layer, str) else _name(network, layer)
        self.size = plan.size or network.preprocessing.crop
        some = next(step.weight for step in network.graph.steps if step.weight is not None)
        self.device, self.dtype = some.device, some.dtype
        middle = _middle(network, self.top, self.size) if plan.objective == "neuron" else None
        self.middle = middle
        self.measured = ConeWalk(network.graph, self.top, self.size, middle)
        graph, aim = network.graph, self.top
        if middle is not None and graph.steps[aim].op == "relu":
            aim = graph.steps[aim].inputs[0]  # rises also where the unit is silent
        self.computing = torch.bfloat16 if plan.precision == "bf16" else self.dtype
        if self.computing != self.dtype:
            graph = graph.until(aim).to(self.device, self.computing)
            aim = len(graph) - 1
        self.walk = ConeWalk(graph, aim, self.size, middle)
        self.span = self.walk.span
        margin = reach(plan.transforms, self.span.size)
        self.canvas = Span(max(0, self.span.first - margin), min(self.size, self.span.end + margin))
        self.parametrisation = parametrisation(plan.parametrisation, self.canvas.size)
        p = network.preprocessing
        self._range = p.value_range
        self._mean = torch.tensor(p.mean, device=self.device, dtype=self.dtype)[:, None, None]
        self._std = torch.tensor(p.std, device=self.device, dtype=self.dtype)[:, None, None]

    def ascend(self, channels: Sequence[int], start: Tensor | None = None) -> Ascents:
        """One picture a channel. start: (U, 3, n, n) sRGB in [0, 1], what each begins at instead of mid-grey; its
        noise is added all the same."""
        count = self.measured.channels[self.top]
        if any(not 0 <= channel < count for channel in channels):
            raise AtlasError(f"{self.name} has no channel {max(channels)}", remedy=f"it has {count}, from 0")
        pictures, values, peaks = [], [], []
        for first in range(0, len(channels), self.plan.batch):
            some = list(channels[first : first + self.plan.batch])
            filled = some + [some[-1]] * (self.plan.batch - len(some))
            begun = None
            if start is not None:
                begun = start[first : first + len(some)]
                begun = torch.cat([begun, begun[-1:].expand(len(filled) - len(some), -1, -1, -1)])
            rounded = self._climb(filled, begun)
            value, peak = self.measure(rounded, filled)
            pictures.append(rounded[: len(some)].cpu())
            values.append(value[: len(some)].cpu())
            peaks.append(peak[: len(some)].cpu())
        if not pictures:
            none = torch.empty(0)
            empty = torch.empty(0, 3, self.span.size, self.span.size)
            return Ascents(empty, none, none, none.bool(), self.span, self.size)
        value = torch.cat(values)
        return Ascents(torch.cat(pictures), value, torch.cat(peaks), value > 0, self.span, self.size)

    @torch.no_grad()
    def measure(self, pictures: Tensor, channels: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The objective, and the largest value of the map, on pictures of the span, (U, 3, n, n) in [0, 1]."""
        maps = self.measured(self._prepared(pictures.to(self.device, self.dtype), self.dtype))
        own = maps[torch.arange(len(channels)), torch.as_tensor(channels, device=self.device)]  # (U, h, h)
        return own.mean((1, 2)), own.amax((1, 2))

    def _prepared(self, pictures: Tensor, dtype: torch.dtype) -> Tensor:
        """sRGB in [0, 1] → the network's input, channels_last."""
        x = (pictures * self._range - self._mean) / self._std
        return x.to(dtype).contiguous(memory_format=torch.channels_last)

    def _climb(self, channels: Sequence[int], start: Tensor | None) -> Tensor:
        """The optimised pictures of the span, rounded to 8 bits, (B, 3, n, n) in [0, 1]."""
        plan = self.plan
        streams = [stream(plan.seed, self.name, channel) for channel in channels]
        parameters = self._tensor([self.parametrisation.noise(random) for random in streams])
        if start is not None:
            parameters = parameters + self.parametrisation.parameters(self._begun(start))
        draws = np.stack([random.random((plan.steps, len(plan.transforms), 2)) for random in streams])
        which = torch.as_tensor(channels, device=self.device)
        adam = _Adam(parameters) if plan.parametrisation == "fourier" else None
        for step in range(plan.steps):
            rate = plan.lr * min(1.0, (plan.steps - step) / max(1.0, plan.cool * plan.steps))
            rule: ReluRule = "leaky" if step < plan.leaky else "plain"
            parameters.requires_grad_(True)
            latent = self.parametrisation.latent(parameters)
            gradient = self._gradient(latent.detach(), which, draws[:, step], rule)
            slope = gradient
            if weight := plan.regularisers.total_variation:
                slope = gradient - weight * total_variation_gradient(latent.detach())
            (up,) = torch.autograd.grad(latent, parameters, slope)
            with torch.no_grad():
                parameters = parameters + rate * (up if adam is None else adam.direction(up))
                if plan.regularisers.change_pixels:
                    changed = plan.regularisers.apply(self.parametrisation.latent(parameters), gradient, step)
                    parameters = self.parametrisation.parameters(changed)
        with torch.no_grad():
            inside = self.span.within(self.canvas)
            final = displayable(self.parametrisation.latent(parameters))[:, :, inside, inside]
            return (final * 255 + 0.5).floor() / 255

    def _gradient(self, latent: Tensor, channels: Tensor, draws: np.ndarray, rule: ReluRule) -> Tensor:
        """Of each picture's objective at its latent picture; over what the objective sees its root mean square is one.
        Zero where nothing passes."""
        latent.requires_grad_(True)
        first = self.span.first - self.canvas.first
        pictures = displayable(latent)
        seen = compose(self.plan.transforms, draws, pictures, first=first, size=self.span.size)
        maps = self.walk(self._prepared(seen, self.computing), rule)
        # Each objective as the gradient that the way back begins with, laid out like the maps: so the whole way is.
        seed = torch.zeros_like(maps, memory_format=torch.channels_last)
        seed[torch.arange(len(channels), device=self.device), channels] = 1 / maps[0, 0].numel()
        (gradient,) = torch.autograd.grad(maps, latent, seed)
        length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
        unit = (3 * self.span.size**2) ** 0.5
        return torch.where(length > 0, gradient * (unit / length), 0.0)

    def _begun(self, start: Tensor) -> Tensor:
        before, after = self.span.first - self.canvas.first, self.canvas.end - self.span.end
        start = start.to(self.device, self.dtype)
        return latent_of(F.pad(start, (before, after, before, after), mode="replicate"))

    def _tensor(self, parts: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(parts)).to(self.device, self.dtype)


class _Adam:
    """Adam (arXiv:1412.6980) with its usual constants."""

    def __init__(self, parameters: Tensor) -> None:
        self.mean, self.square, self.steps = torch.zeros_like(parameters), torch.zeros_like(parameters), 0

    def direction(self, gradient: Tensor) -> Tensor:
        self.steps += 1
        self.mean.mul_(0.9).add_(gradient, alpha=0.1)
        self.square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        mean, square = self.mean / (1 - 0.9**self.steps), self.square / (1 - 0.999**self.steps)
        return mean / (square.sqrt() + 1e-8)


def ascend(
    network: Network,
    layer: str | int,
    channels: Sequence[int],
    plan: AscentPlan | None = None,
    *,
    start: Tensor | None = None,
) -> Ascents:
    """One optimised picture for each channel of a layer (a name, or the index of any step of the network's graph), on
    the network's device; see Ascender."""
    return Ascender(network, layer, plan or AscentPlan()).ascend(channels, start)


def stream(seed: int, layer: str, channel: int) -> np.random.Generator:
    """The random numbers of one picture, the same on every machine."""
    words = [seed, zlib.crc32(layer.encode()), channel]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def _name(network: Network, step: int) -> str:
    """The name of a step's random stream: the layer's that is tapped there, or its number."""
    for layer, at in zip(network.layers, network.steps, strict=True):
        if at == step:
            return layer.name
    return f"step {step}"


def _middle(network: Network, top: int, side: int) -> int:
    return ConeWalk(network.graph, top, side).extent[top] // 2

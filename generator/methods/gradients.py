"""Pictures of unit gradients: guided (arXiv:1412.6806), deconvnet (arXiv:1311.2901), plain and saliency
(arXiv:1312.6034)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.sprites import GROUND, saliency_pixels, shrunk_size
from generator.engine.gradients.switches import Switches, Units
from generator.engine.gradients.unit_gradients import UnitGradients
from generator.engine.relu_rules import ReluRule
from generator.network.network import Network

# By the kind of picture, the rule for passing back through a ReLU.
RULES: dict[str, ReluRule] = {
    "guided": "guided",
    "deconvnet": "deconvnet",
    "plain": "plain",
    "saliency": "plain",
}


CACHED = 1 << 18  # numbers of gradients that stay in a CPU's cache from one operation to the next


class GradientPictures:
    """Tiles of several kinds of gradients of the same units; kinds of the same rule share its gradient. kinds: keys of
    RULES."""

    def __init__(self, network: Network, kinds: Sequence[str]) -> None:
        self.kinds = tuple(kinds)
        first, *others = dict.fromkeys(RULES[kind] for kind in self.kinds)
        engine = UnitGradients(network, first)  # the others share what it prepares
        self._engines = {first: engine, **{rule: engine.with_rule(rule) for rule in others}}

    def filled(self, layer: str, pictures: Tensor) -> int:
        """How many units of a layer take the time of one; see UnitGradients.filled."""
        return next(iter(self._engines.values())).filled(layer, pictures)

    def tiles(self, switches: Switches, layer: str, units: Units, native: int) -> list[np.ndarray]:
        """(U, native, native, 3) uint8 for each kind, in their order; native: side of a tile in px."""
        tiles = {}
        for rule, engine in self._engines.items():
            gradients = engine.gradients(switches, layer, units)  # (U, C, h, w)
            for kind in self.kinds:
                if RULES[kind] == rule:
                    tiles[kind] = (saliency_tiles if kind == "saliency" else gradient_tiles)(
                        gradients, native
                    )
        return [tiles[kind] for kind in self.kinds]


def gradient_tiles(gradients: Tensor, native: int) -> np.ndarray:
    """Gradients at the pixels (U, C, h, w) → tiles (U, native, native, 3) uint8, each on its own scale; the channels as
    colours, as core.sprites.as_colours has them.

    A field larger than its tile is shrunk before its values are scaled, so that every tile uses the whole range of
    greys. A rectangle, the gradient of a whole picture, lies in the middle of the ground.
    """
    cached = max(1, CACHED // math.prod(gradients.shape[1:]))
    few = cached if gradients.device.type == "cpu" else max(1, len(gradients))
    tiles = [
        _framed(_gradient_bytes(_fitted(_as_colours(some.float()), native)), native).permute(0, 2, 3, 1)
        for some in gradients.split(few)
    ]
    return torch.cat(tiles).cpu().numpy()


def _as_colours(gradients: Tensor) -> Tensor:
    """(U, C, h, w) → (U, 3, h, w)."""
    channels = gradients.shape[1]
    if channels == 1:
        return gradients.expand(-1, 3, -1, -1)
    return F.pad(gradients, (0, 0, 0, 0, 0, 1)) if channels == 2 else gradients[:, :3]


def _fitted(maps: Tensor, native: int) -> Tensor:
    """(U, C, h, w) with a longer side of `native` px."""
    height, width = shrunk_size((maps.shape[2], maps.shape[3]), native)
    if maps.shape[2:] == (height, width):
        return maps
    return F.interpolate(maps, size=(height, width), mode="bilinear", antialias=True)


def _framed(tiles: Tensor, native: int) -> Tensor:
    """(U, C, h, w) uint8 in the middle of squares of the ground, (U, C, native, native)."""
    below, beside = native - tiles.shape[2], native - tiles.shape[3]
    if not below and not beside:
        return tiles
    around = (beside // 2, beside - beside // 2, below // 2, below - below // 2)
    return F.pad(tiles, around, value=GROUND)


def _gradient_bytes(gradients: Tensor) -> Tensor:
    """(U, 3, h, w) uint8: as core.sprites.gradient_pixels, but computed where the gradients are, so that only a fourth
    of the bytes leaves the device."""
    peak = gradients.abs().amax((1, 2, 3), keepdim=True)
    scaled = gradients / torch.where(peak > 0, peak, 1) * 0.5 + 0.5
    return (scaled * 255 + 0.5).floor_().clamp_(0, 255).to(torch.uint8)


def saliency_tiles(gradients: Tensor, native: int) -> np.ndarray:
    """As gradient_tiles, for the largest absolute value over all channels; black is zero. A field larger than its tile
    is shrunk afterwards, so that neighbouring gradients of opposite sign do not cancel."""
    size = _fitted(gradients.float().abs().amax(1, keepdim=True), native)  # (U, 1, h, w)
    pixels = torch.from_numpy(saliency_pixels(size[:, 0].cpu().numpy()))
    return np.repeat(_framed(pixels[:, None], native)[:, 0, :, :, None].numpy(), 3, axis=-1)

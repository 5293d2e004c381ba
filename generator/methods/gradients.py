"""Pictures of unit gradients: guided (arXiv:1412.6806), deconvnet (arXiv:1311.2901), plain and saliency
(arXiv:1312.6034)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.sprites import GROUND, saliency_pixels, shrunk_size
from generator.engine.gradients.switches import Switches, Units
from generator.engine.gradients.unit_gradients import UnitGradients
from generator.engine.loops.compiled import loops
from generator.engine.relu_rules import ReluRule
from generator.methods.focus import focus_squares, in_frames
from generator.network.network import Network

# By the kind of picture, the rule for passing back through a ReLU.
RULES: dict[str, ReluRule] = {
    "guided": "guided",
    "deconvnet": "deconvnet",
    "plain": "plain",
    "saliency": "plain",
}


CACHED = 1 << 18  # numbers of gradients that stay in a CPU's cache from one operation to the next
CLIPPED = 0.005  # share of a focused tile's values that may lie beyond black and white


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

    def tiles(
        self, switches: Switches, layer: str, units: Units, native: int, seen: np.ndarray | None = None
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """The tiles, (U, native, native, 3) uint8 for each kind, in their order, and each unit's focus in its frame,
        (U, 3): row, column, side in px.

        native: side of a tile in px; seen: of the units' frames (methods/focus.py): the tiles then show the focus of
        the first kind's gradient. Without it, and for a unit without a focus, they show the whole frame.
        """
        tiles = {}
        squares = np.zeros((len(units), 3), np.int64)
        for rule, engine in self._engines.items():
            gradients = engine.gradients(switches, layer, units)  # (U, C, h, w)
            if seen is not None:
                gradients = in_frames(gradients, max(gradients.shape[2:]))
                if rule == RULES[self.kinds[0]]:  # which comes first
                    squares = focus_squares(gradients, seen)
            for kind in self.kinds:
                if RULES[kind] == rule:
                    made = saliency_tiles if kind == "saliency" else gradient_tiles
                    tiles[kind] = made(gradients, native, squares)
        return [tiles[kind] for kind in self.kinds], squares


def gradient_tiles(gradients: Tensor, native: int, squares: np.ndarray | None = None) -> np.ndarray:
    """Gradients at the pixels (U, C, h, w) → tiles (U, native, native, 3) uint8, each on its own scale; the channels as
    colours, as core.sprites.as_colours has them.

    A field larger than its tile is shrunk before its values are scaled, so that every tile uses the whole range of
    greys. A rectangle, the gradient of a whole picture, lies in the middle of the ground. squares: (U, 3), the focus of
    each unit, to which its tile is cut (its gradient is in its frame); a side of zero leaves it whole. A focused tile's
    scale is reached by CLIPPED of its values, so that a single pixel does not leave the others grey.
    """

    compiled = loops() if gradients.device.type == "cpu" else None
    if compiled is not None:
        tiles = np.empty((len(gradients), native, native, 3), np.uint8)
        cut = np.zeros((len(gradients), 3), np.int64) if squares is None else squares
        maps = gradients.float().permute(0, 2, 3, 1).contiguous().numpy()
        compiled.tile(maps, cut, CLIPPED, GROUND, tiles)
        return tiles

    def whole(some: Tensor) -> Tensor:
        fitted = _fitted(_as_colours(some.float()), native)
        return _framed(_gradient_bytes(fitted, _peaks(fitted)), native)

    def focused(some: Tensor) -> Tensor:
        fitted = _fitted(_as_colours(some.float()), native)
        return _gradient_bytes(fitted, _high_values(fitted))

    return _cut_tiles(gradients, native, squares, whole, focused)


def _cut_tiles(
    gradients: Tensor,
    native: int,
    squares: np.ndarray | None,
    whole: Callable[[Tensor], Tensor],
    focused: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """(U, native, native, 3) uint8: what `whole` makes of units without a focus, and `focused` of the others' gradients
    cut to theirs, those of one side together; both take (u, C, h, w) and give (u, 3, native, native)."""
    # On the gradients' device until all are made: a GPU then waits for nothing in between.
    tiles = torch.empty(len(gradients), native, native, 3, dtype=torch.uint8, device=gradients.device)
    sides = np.zeros(len(gradients), np.int64) if squares is None else squares[:, 2]
    for side in np.unique(sides).tolist():
        rows = np.flatnonzero(sides == side)
        places = torch.from_numpy(rows).to(gradients.device)
        chosen = gradients if len(rows) == len(gradients) else gradients[places]
        if side and squares is not None:
            chosen = _cut(chosen, squares[rows, :2], side)
        few = max(1, CACHED // math.prod(chosen.shape[1:])) if chosen.device.type == "cpu" else len(rows)
        make = focused if side else whole
        made = [make(some).permute(0, 2, 3, 1) for some in chosen.split(few)]
        tiles[places] = torch.cat(made).to(gradients.device)
    return tiles.cpu().numpy()


def _cut(maps: Tensor, corners: np.ndarray, side: int) -> Tensor:
    """(u, C, side, side): of each of the maps (u, C, h, w) the square whose upper left corner is at its row and column,
    (u, 2)."""
    row, column = torch.from_numpy(corners).to(maps.device)[:, :, None].unbind(1)  # (u, 1) each
    steps = torch.arange(side, device=maps.device)
    unit = torch.arange(len(maps), device=maps.device)[:, None, None]
    cut = maps.permute(0, 2, 3, 1)[unit, (row + steps)[:, :, None], (column + steps)[:, None, :]]
    return cut.permute(0, 3, 1, 2)


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


def _peaks(gradients: Tensor) -> Tensor:
    """(U, 1, 1, 1): each one's largest absolute value."""
    return gradients.abs().amax((1, 2, 3), keepdim=True)


def _high_values(gradients: Tensor) -> Tensor:
    """(U, 1, 1, 1): of each one's absolute values that which CLIPPED of them exceed or equal; where it is zero, the
    largest."""
    values = gradients.abs().flatten(1)
    count = max(1, round(CLIPPED * values.shape[1]))
    high = values.topk(count, sorted=False).values
    lowest = high.amin(1)
    return torch.where(lowest > 0, lowest, high.amax(1))[:, None, None, None]


def _gradient_bytes(gradients: Tensor, scale: Tensor) -> Tensor:
    """(U, 3, h, w) uint8: as core.sprites.gradient_pixels, but computed where the gradients are, so that only a fourth
    of the bytes leaves the device. scale: the value of each, (U, 1, 1, 1), that becomes white."""
    scaled = gradients / torch.where(scale > 0, scale, 1) * 0.5 + 0.5
    return (scaled * 255 + 0.5).floor_().clamp_(0, 255).to(torch.uint8)


def saliency_tiles(gradients: Tensor, native: int, squares: np.ndarray | None = None) -> np.ndarray:
    """As gradient_tiles, for the largest absolute value over all channels; black is zero. A field larger than its tile
    is shrunk afterwards, so that neighbouring gradients of opposite sign do not cancel."""

    def whole(some: Tensor) -> Tensor:
        size = _fitted(some.float().abs().amax(1, keepdim=True), native)  # (u, 1, h, w)
        pixels = torch.from_numpy(saliency_pixels(size[:, 0].cpu().numpy()))
        return _framed(pixels[:, None], native).expand(-1, 3, -1, -1)

    return _cut_tiles(gradients, native, squares, whole, whole)

"""The gradient of single units at the input pixels, under three rules for passing back through a ReLU.

A forward pass of a batch of pictures keeps their switches (switches.py). The backward pass of a unit then walks the
graph from the unit's layer to the pixels, but only over the unit's cone (cones.py), many units of a layer at once
(backward.py). Layers behind an operation that has no cone take the other way: torch runs the graph on whole pictures,
forward and backward (whole_maps.py). Both are exact: in float64 they agree with automatic differentiation of the whole
network to rounding.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.gradients.backward import BackwardSettings, UnitBackward
from generator.engine.gradients.cones import Cone
from generator.engine.gradients.sparse import behind_relu
from generator.engine.gradients.switches import Switches, Units, crops, forward_switches
from generator.engine.gradients.transposed import TransposedConvolution
from generator.engine.gradients.whole_maps import WholeMaps
from generator.engine.relu_rules import UNIT_RULES, ReluRule
from generator.network.network import Network
from generator.network.windows import Frame, Window

__all__ = ["ReluRule", "Switches", "UnitGradients", "Units", "crops", "forward_switches"]

MEMORY = {"cpu": 128 << 20, "cuda": 2 << 30}  # bytes a batch of units may take
LIVE = 4  # gradients as large as the largest that exist at once: two paths, a result, a mask


class UnitGradients:
    """Gradients of units of a network.

    rule: at ReLUs, one of relu_rules.UNIT_RULES; dtype: of the backward pass, by default the network's own
    (torch.bfloat16 is an approximation: ≤ 1.2 % of the peak); memory: bytes that one batch of units may take. Raises
    AtlasError for another rule.
    """

    def __init__(
        self,
        network: Network,
        rule: ReluRule = "guided",
        *,
        dtype: torch.dtype | None = None,
        memory: int | None = None,
    ) -> None:
        self.network, self.device = network, network.device
        self.dtype = dtype or network.dtype
        self.memory = memory or MEMORY.get(self.device.type, MEMORY["cpu"])
        self.rule = _checked(rule)
        self._cones: dict[int, Cone] = {}
        self._whole_maps: dict[int, WholeMaps] = {}
        self._convolutions: dict[tuple[int, bool], TransposedConvolution] = {}

    def with_rule(self, rule: ReluRule) -> UnitGradients:
        """The same engine with another rule; both share the convolutions and cones that were prepared."""
        other = copy.copy(self)
        other.rule = _checked(rule)
        return other

    @torch.no_grad()
    def gradients(self, switches: Switches, layer: str, units: Units) -> Tensor:
        """The gradient of each unit's value with respect to the pixels of the network's input.

        Returns (U, 3, S, S) in the order of the units: where the layer's receptive field fits into the picture, S is
        its side and [0, 0] its top left corner (zero where it hangs over the border); else the whole picture, (U, 3, H,
        W). A unit that depends on more than its field (ReceptiveField.beyond) has a gradient outside too, which is left
        out. Raises AtlasError for a unit that the layer does not have, and for switches that end before the layer.
        """
        top = self.network.step(layer)
        if not self.network.graph.is_windowed(top):
            return self._by_torch(switches, layer, units)
        if top not in switches.sizes:
            raise _too_early(layer)
        _check(units, layer, switches.sizes[top])
        cone = self._cone(top)
        frame = self._frame(cone, switches)
        result = torch.empty(
            len(units),
            frame[0].size,
            frame[1].size,
            switches.sizes[0][0],
            dtype=self.dtype,
            device=self.device,
        )
        settings = BackwardSettings(
            self.network.graph.steps, self.convolution, self.rule, self.dtype, self.device
        )
        for batch in _batches(units, max(1, self.memory // self._bytes(cone, switches))):
            backward = UnitBackward(settings, cone, switches, units.take(batch))
            result[batch.to(self.device)] = backward.gradient(frame)
        return result.permute(0, 3, 1, 2)

    def filled(self, layer: str, pictures: Tensor) -> int:
        """How many units of a layer take the time of one: where torch computes, batches are filled up to one size.
        pictures: (P, C, H, W), as the switches' were."""
        top = self.network.step(layer)
        return 1 if self.network.graph.is_windowed(top) else self._way(top).batch(pictures)

    def _way(self, top: int) -> WholeMaps:
        if top not in self._whole_maps:
            self._whole_maps[top] = WholeMaps(self.network.graph, top, self.memory)
        return self._whole_maps[top]

    def _by_torch(self, switches: Switches, layer: str, units: Units) -> Tensor:
        """As `gradients`, for a layer behind an operation without a cone."""
        top, pictures = self.network.step(layer), switches.pictures
        if pictures is None:
            raise _too_early(layer)
        way, field = self._way(top), self.network.layer(layer).receptive_field
        _check(units, layer, way.size(pictures))
        height, width = pictures.shape[2:]
        fits = field.side <= min(height, width)
        shape = (field.side, field.side) if fits else (height, width)
        result = torch.zeros(len(units), pictures.shape[1], *shape, dtype=self.dtype, device=self.device)
        spots = list(zip(units.row.tolist(), units.column.tolist(), strict=True))
        for indices, gradients in way.gradients(pictures, units, self.rule):
            if not fits:
                result[indices] = gradients.to(self.dtype)
                continue
            for cut, whole, at in zip(result[indices], gradients, spots[indices], strict=True):
                top_row, left, bottom, right = field.box(*at)
                rows, columns = slice(max(top_row, 0), bottom), slice(max(left, 0), right)
                seen = whole[:, rows, columns]
                below, beside = rows.start - top_row, columns.start - left
                cut[:, below : below + seen.shape[1], beside : beside + seen.shape[2]] = seen
        return result

    @torch.no_grad()
    def unshared(self, pictures: Tensor, layer: str, units: Units, *, batch: int = 64) -> Tensor:
        """As `gradients`, for units that share their picture with no or few others: the forward pass runs on a crop for
        each unit. pictures: (P, 3, H, W); batch: crops per forward pass."""
        results: list[Tensor] = []
        for indices in torch.arange(len(units)).split(batch):
            cut, inside = crops(self.network, pictures, layer, units.take(indices))
            results.append(self.gradients(forward_switches(self.network, cut, layer), layer, inside))
        return torch.cat(results)

    def convolution(self, index: int) -> TransposedConvolution:
        """What carries gradients back through the convolution at this step, prepared once."""
        graph = self.network.graph
        # Guided, at most a third of a gradient is not zero behind a ReLU; under the other rules up to a half.
        sparse = self.rule == "guided" and behind_relu(graph, index)
        if (index, sparse) not in self._convolutions:
            convolution = TransposedConvolution(graph.steps[index], self.dtype, sparse=sparse)
            self._convolutions[index, sparse] = convolution
        return self._convolutions[index, sparse]

    def _cone(self, top: int) -> Cone:
        if top not in self._cones:
            self._cones[top] = Cone(self.network.graph, top)
        return self._cones[top]

    def _frame(self, cone: Cone, switches: Switches) -> Frame:
        """The frame of the result: the receptive field, or the whole picture where that is smaller."""
        seen, (_, height, width) = cone.windows[0], switches.sizes[0]
        if seen.size <= min(height, width):
            return seen, seen
        return Window.fixed(0, height), Window.fixed(0, width)

    def _bytes(self, cone: Cone, switches: Switches) -> int:
        """Memory that one unit takes: LIVE times the largest of its gradients."""
        largest = max(
            min(window.size, switches.sizes[index][1])
            * min(window.size, switches.sizes[index][2])
            * switches.sizes[index][0]
            for index, window in cone.windows.items()
        )
        return largest * LIVE * self.dtype.itemsize


def _batches(units: Units, size: int) -> list[Tensor]:
    """Indices of the units in batches of at most `size`, each of units that lie close together, so that their windows
    are cut off at the border together."""
    done: list[Tensor] = []
    waiting = [torch.arange(len(units))] if len(units) else []
    while waiting:
        indices = waiting.pop()
        batches = -(-len(indices) // size)
        if batches == 1:
            done.append(indices)
            continue
        row, column = units.row[indices].cpu(), units.column[indices].cpu()
        axis = row if row.max() - row.min() >= column.max() - column.min() else column
        indices = indices[axis.argsort(stable=True)]
        middle = len(indices) * (batches // 2) // batches
        waiting += [indices[middle:], indices[:middle]]
    return done


def _too_early(layer: str) -> AtlasError:
    return AtlasError("the switches end before this layer", layer, "run forward_switches up to it")


def _checked(rule: ReluRule) -> ReluRule:
    if rule not in UNIT_RULES:
        raise AtlasError("no such rule for ReLUs", rule, f"choose {', '.join(UNIT_RULES)}")
    return rule


def _check(units: Units, layer: str, size: tuple[int, int, int]) -> None:
    for name, of, limit in zip(
        ("channel", "row", "column"), (units.channel, units.row, units.column), size, strict=True
    ):
        if not len(units):
            continue
        least, most = int(of.min()), int(of.max())
        if least < 0 or most >= limit:
            worst = least if least < 0 else most
            raise AtlasError(f"{layer} has no {name} {worst}", remedy=f"it has {limit}, counted from 0")

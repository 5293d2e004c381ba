"""A side of a residual block's sum, taken apart: where the shortcut or the branch ends in a convolution, its value at a
unit is a constant and one term for each channel that the convolution reads."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from generator.network.graph import Graph
from generator.network.ops import Step

UNITS_AT_ONCE = 4096  # of which terms are computed together: bounds the memory


@dataclass(frozen=True)
class SideTerms:
    """The convolution that a side of a block ends in, with the fixed norms behind it.

    source: the step whose output it reads; convolution: its step, with BatchNorm folded in where possible; scale,
    shift: (C,) float64, of the norms behind it that are not folded in.
    """

    source: int
    convolution: Step
    scale: Tensor
    shift: Tensor

    @property
    def count(self) -> int:
        """Terms of a unit: channels that an output channel reads."""
        assert self.convolution.weight is not None
        return self.convolution.weight.shape[1]

    @property
    def first(self) -> Tensor:
        """The first channel that each output channel reads, (C,) int64."""
        return self.convolution.first_inputs

    @property
    def constant(self) -> Tensor:
        """What does not depend on the picture, (C,) float64: the folded bias."""
        bias = self.convolution.bias
        return self.shift if bias is None else self.shift + self.scale * bias.double()

    def at(self, maps: Tensor, picture: Tensor, channel: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The terms of units: for each channel that the convolution reads, activation × weight, summed over the
        kernel's window. Together with the constant they sum to the side's value.

        maps: output of `source`, (B, C_in, H, W); of each unit the picture's index in the batch, and its channel, row
        and column in the block's map, (U,) int64 each. Returns (U, count) float32, each computed in float64: a unit's
        terms do not depend on the other units.
        """
        units = torch.stack([picture, channel, row, column])
        parts = [self._terms(maps, *few) for few in units.split(UNITS_AT_ONCE, 1)]
        return torch.cat(parts) if parts else maps.new_zeros(0, self.count)

    def _terms(self, maps: Tensor, picture: Tensor, channel: Tensor, row: Tensor, column: Tensor) -> Tensor:
        step, last = self.convolution, maps.permute(0, 2, 3, 1)
        assert step.weight is not None
        height, width = maps.shape[2:]
        total = torch.zeros(len(channel), self.count, dtype=torch.float64, device=maps.device)
        inputs = (self.first[channel, None] + torch.arange(self.count, device=maps.device)).long()
        for down, right in itertools.product(range(step.kernel), repeat=2):
            y = row * step.stride - step.padding + down * step.dilation
            x = column * step.stride - step.padding + right * step.dilation
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            values = last[picture, y.clamp(0, height - 1), x.clamp(0, width - 1)]  # (U, C_in)
            if step.groups > 1:
                values = values.gather(1, inputs)
            terms = values.double() * step.weight[channel, :, down, right].double()
            total += terms.masked_fill_(~inside[:, None], 0)
        return (total * self.scale[channel, None]).float()


def side_terms(graph: Graph, step: int) -> SideTerms | None:
    """What the output of a step, one side of a block's sum, is made of; None where it does not end in a convolution and
    fixed norms: where a gate, a resizing or another operation follows, and where the block's input itself is passed
    on."""
    norms = []
    while graph.steps[step].op == "affine":
        norms.append(graph.steps[step])
        step = graph.steps[step].inputs[0]
    convolution = graph.steps[step]
    if convolution.op != "conv" or convolution.weight is None:
        return None
    scale = convolution.weight.new_ones(len(convolution.weight), dtype=torch.float64)
    shift = torch.zeros_like(scale)
    for norm in reversed(norms):
        assert norm.weight is not None
        assert norm.bias is not None
        scale, shift = scale * norm.weight.double(), shift * norm.weight.double() + norm.bias.double()
    return SideTerms(convolution.inputs[0], convolution, scale, shift)

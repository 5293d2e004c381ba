"""The residual stream: in every block the shortcut's value (Input), the branch's (Block) and their sum after the ReLU
(Output). Where they are read in a network, and the readings of single pictures.

stream_state.py adds up the readings of all pictures; stream_rescaled.py reads enlarged and reduced pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from generator.engine.scan.moments import channel_maxima
from generator.engine.scan.plan import padded
from generator.engine.scan.side_terms import SideTerms, side_terms
from generator.network.graph import Graph
from generator.network.network import Network
from generator.network.residual import Residual, find_residual

PARTS = ("shortcut", "branch")
SIDES = ("input", "block", "output")


@dataclass(frozen=True)
class StreamBlock:
    """A residual block to read. height, width: of its output's map; signed: whether the output's values may be
    negative, so that scores of zero and less count in its list of units; terms: into how many the shortcut and the
    branch of a unit are taken apart, 0 where they are not (side_terms.py)."""

    name: str
    channels: int
    height: int
    width: int
    signed: bool = False
    terms: tuple[int, int] = (0, 0)

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the neuron in the middle."""
        return self.height // 2, self.width // 2


@dataclass(frozen=True)
class StreamPlan:
    """What is read. batch: pictures per forward."""

    blocks: tuple[StreamBlock, ...]
    batch: int

    @classmethod
    def of(cls, network: Network, batch: int) -> StreamPlan:
        """All residual blocks among the network's layers."""
        residual = residuals(network)
        layers = [layer for layer in network.layers if layer.name in residual]
        blocks = tuple(
            StreamBlock(
                x.name,
                x.channels,
                x.height,
                x.width,
                not x.rectified,
                _term_counts(block_terms(network.graph, residual[x.name])),
            )
            for x in layers
        )
        return cls(blocks, batch)


def residuals(network: Network) -> dict[str, Residual]:
    """The residual blocks among the network's layers, by name, in forward order."""
    blocks = {
        layer.name: find_residual(network.graph, network.step(layer.name))
        for layer in network.layers
        if layer.kind == "block"
    }
    return {name: residual for name, residual in blocks.items() if residual is not None}


Terms = tuple[SideTerms | None, SideTerms | None]


def block_terms(graph: Graph, residual: Residual) -> Terms:
    """What the shortcut and the branch of a block are made of; None for one that does not end in a convolution."""
    shortcut = None if residual.is_identity else side_terms(graph, residual.shortcut)
    return shortcut, side_terms(graph, residual.branch)


def _term_counts(terms: Terms) -> tuple[int, int]:
    shortcut, branch = (0 if side is None else side.count for side in terms)
    return shortcut, branch


@dataclass(frozen=True)
class StreamSteps:
    """Where a network's residual blocks are read. residuals: by name of a block; ends: of each the ReLU that alone
    reads its sum, else the addition; terms: what the block's sides are made of; lasting: the outputs of which no later
    step reuses the memory."""

    blocks: tuple[StreamBlock, ...]
    residuals: Mapping[str, Residual]
    ends: Mapping[str, int]
    terms: Mapping[str, Terms]
    lasting: frozenset[int]

    @classmethod
    def of(cls, network: Network, plan: StreamPlan) -> StreamSteps:
        """Of the plan's blocks."""
        graph, names = network.graph, {block.name for block in plan.blocks}
        found = {name: residual for name, residual in residuals(network).items() if name in names}
        ends = {
            name: x.output
            if graph.consumers[x.add] == [x.output] and graph.steps[x.output].limit == math.inf
            else x.add
            for name, x in found.items()
        }
        terms = {name: block_terms(graph, residual) for name, residual in found.items()}
        lasting = {  # convolutions write to memory of their own, or to that of a sum's other term
            index
            for index, readers in enumerate(graph.consumers)
            if all(graph.steps[reader].op == "conv" for reader in readers)
        }
        return cls(plan.blocks, found, ends, terms, frozenset(lasting))

    @cached_property
    def wanted(self) -> dict[int, list[tuple[StreamBlock, str]]]:
        """What each step is: a side of one block, and perhaps another side of the next one."""
        wanted: dict[int, list[tuple[StreamBlock, str]]] = {}
        for block in self.blocks:
            residual = self.residuals[block.name]
            steps = (residual.shortcut, residual.branch, residual.output)
            for step, side in zip(steps, SIDES, strict=True):
                wanted.setdefault(step, []).append((block, side))
        return wanted

    @cached_property
    def sources(self) -> frozenset[int]:
        """The steps that are read by the convolutions which the blocks' sides end in."""
        return frozenset(side.source for terms in self.terms.values() for side in terms if side is not None)

    @cached_property
    def visited(self) -> frozenset[int]:
        """All steps whose output a reading of the blocks takes."""
        return self.sources | self.wanted.keys()


@torch.no_grad()
def read_centres(network: Network, pixels: Tensor, plan: StreamPlan) -> dict[str, dict[str, Tensor]]:
    """By block: input, block and output at the centre, (n, C) float32, on any pictures.

    network: in fp32, on its device; pixels: (n, H, W, 3), 0 … 255 of any type, n ≤ plan.batch. The network runs only as
    far as the plan's blocks need.
    """
    count, wanted = len(pixels), StreamSteps.of(network, plan).wanted
    pixels = padded(pixels.to(network.device, non_blocking=True), plan.batch)
    readings: dict[str, dict[str, Tensor]] = {block.name: {} for block in plan.blocks}
    for step, maps in network.graph.visit(network.prepare(pixels), wanted):
        for block, side in wanted[step]:
            row, column = block.centre
            # Cloned: the next step may overwrite the memory behind a view.
            readings[block.name][side] = maps[:count, :, row, column].clone()
    return {name: {side: values.cpu() for side, values in sides.items()} for name, sides in readings.items()}


@torch.no_grad()
def strongest(network: Network, pixels: Tensor, plan: StreamPlan) -> dict[str, dict[str, np.ndarray]]:
    """By block: the largest value anywhere in each channel's map of input, block and output, (n, C) float32.

    network: in fp32, on its device; pixels: (n, H, W, 3) uint8, n ≤ plan.batch.
    """
    n, wanted = len(pixels), StreamSteps.of(network, plan).wanted
    readings: dict[str, dict[str, np.ndarray]] = {block.name: {} for block in plan.blocks}
    for step, maps in network.graph.visit(network.prepare(padded(pixels, plan.batch)), wanted):
        maxima = channel_maxima(maps)[:n].cpu().numpy()
        for block, side in wanted[step]:
            readings[block.name][side] = maxima
    return readings

"""What a scan reads: the layers, and how the network runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from generator.core.records import TOP, LayerInfo
from generator.network.network import Network

Precision = Literal["fp32", "tf32", "bf16"]
# Pictures per forward of every job, by type of device: one number each, because a convolution's last bits depend on it.
# A GPU takes 128 at 1.6 times the rate of 32.
FORWARD_BATCH = {"cpu": 32, "cuda": 128}
# Numbers that the largest map of a forward may have, by type of device: of a ResNet-50 those of FORWARD_BATCH pictures
# of 512 px (1,448 px on a GPU). Larger pictures run in smaller forwards.
LARGEST_MAP = {"cpu": 1 << 27, "cuda": 1 << 30}
CANDIDATES = 32  # pictures kept per channel in a fast precision, from which fp32 then chooses


@dataclass(frozen=True)
class ScannedLayer:
    """A layer to scan.

    height, width: of its map; earlier: the layer whose scores this one's are correlated with, '' for none; signed:
    whether its values may be negative, so that a score of zero or less counts like any other; located: whether the
    places of the maxima are wanted for every picture whose scores are kept, not only for the strongest.
    """

    name: str
    channels: int
    height: int
    width: int
    earlier: str = ""
    signed: bool = False
    located: bool = False


@dataclass(frozen=True)
class ScanPlan:
    """What is scanned. layers: in forward order; batch: pictures per forward; keep: pictures per channel."""

    layers: tuple[ScannedLayer, ...]
    batch: int = FORWARD_BATCH["cpu"]
    precision: Precision = "fp32"
    keep: int = TOP

    @classmethod
    def of(
        cls, network: Network, batch: int = FORWARD_BATCH["cpu"], precision: Precision = "fp32"
    ) -> ScanPlan:
        """All layers of a network, block outputs correlated with the block before them in their stage."""
        before = earlier_blocks(network.layers)
        layers = tuple(
            ScannedLayer(
                x.name,
                x.channels,
                x.height,
                x.width,
                before.get(x.name, ""),
                signed=not x.rectified,
                located=not x.is_inner,
            )
            for x in network.layers
        )
        return cls(layers, batch, precision, TOP if precision == "fp32" else CANDIDATES)

    @property
    def channels(self) -> int:
        """Of all layers."""
        return sum(layer.channels for layer in self.layers)

    @property
    def located(self) -> tuple[ScannedLayer, ...]:
        """The layers whose maxima are located."""
        return tuple(layer for layer in self.layers if layer.located)

    @property
    def dtype(self) -> torch.dtype:
        """The weights' type during the scan."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def forward_batch(network: Network, device: str) -> int:
    """Pictures per forward of this network on a type of device, from the shapes alone: FORWARD_BATCH, halved until the
    largest map fits."""
    kind = device if device in FORWARD_BATCH else "cpu"
    largest = max(map(math.prod, network.graph.shapes(network.preprocessing.size)))
    batch = FORWARD_BATCH[kind]
    while batch > 1 and batch * largest > LARGEST_MAP[kind]:
        batch //= 2
    return batch


def earlier_blocks(layers: Sequence[LayerInfo]) -> dict[str, str]:
    """For each block output the block before it in its stage, by name: there a channel keeps its number."""
    blocks = [layer for layer in layers if layer.kind == "block"]
    return {
        after.name: before.name
        for before, after in itertools.pairwise(blocks)
        if (before.stage, before.channels) == (after.stage, after.channels)
    }


def padded(pixels: Tensor, size: int) -> Tensor:
    """Pictures (n, H, W, 3), filled up with black ones to `size`.

    Convolutions choose their algorithm, and with it their last bits, by the batch's size. With one size alone, a
    picture's numbers do not depend on how full its batch was.
    """
    missing = size - len(pixels)
    if missing <= 0:
        return pixels
    return torch.cat([pixels, pixels.new_zeros(missing, *pixels.shape[1:])])

"""Whether the units of a picture share one forward pass of the whole picture, or each runs on a crop of its own.

A forward pass of the whole picture up to its deepest unit's layer gives switches for every unit. A crop as large as one
unit's receptive field is cheaper where the picture has few units, all of shallow layers. Both are exact
(generator/engine/gradients/switches.py). The choice is made from multiply-adds with the rates measured in
benchmarks/unit_gradients.py, not by a clock: the two differ in the last bits, and an atlas must end with the same bytes
on a busy machine and after an interruption.

Where torch computes gradients (whole_maps.py), units share nothing, and a crop is always cheaper. It is exact unless
something on the way reads whole maps.
"""

from __future__ import annotations

import functools

import numpy as np

from generator.engine.gradients.switches import crop_side
from generator.network.network import Network

# Multiply-adds done in the time that a crop takes in addition to its convolutions (cutting, small calls). Measured on
# two networks and 17 layers: with it, predicted and measured gain of crops agree within a third.
CROP_OVERHEAD = 4_000_000


class ForwardCosts:
    """Costs of forward passes of one network, in multiply-adds per picture or crop; layers by their index."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def whole(self, layer: int) -> int:
        """Multiply-adds of a whole picture up to a layer."""
        return self._up_to[self.network.steps[layer]]

    @functools.cached_property
    def _up_to(self) -> list[int]:
        """Multiply-adds of a whole picture up to every step."""
        return self.network.graph.running_multiply_adds(self.network.preprocessing.size)

    @functools.cache  # noqa: B019 - as long-lived as the job's network
    def crop(self, layer: int) -> int:
        """Multiply-adds of the crop for one unit of a layer, CROP_OVERHEAD included."""
        info, (height, width) = self.network.layers[layer], self.network.preprocessing.size
        if not self.is_cut(layer):
            return self.whole(layer) + CROP_OVERHEAD
        cut = crop_side(info.receptive_field, height), crop_side(info.receptive_field, width)
        return self.network.graph.multiply_adds(cut, self.network.steps[layer]) + CROP_OVERHEAD

    def is_cut(self, layer: int) -> bool:
        """Whether `crops` gives parts of the pictures for units of a layer, not whole ones."""
        field, step = self.network.layers[layer].receptive_field, self.network.steps[layer]
        return field.side <= min(self.network.preprocessing.size) and self.network.graph.is_local(step)

    def alone(self, layer: np.ndarray, picture: np.ndarray) -> np.ndarray:
        """Which units are cheaper with crops of their own.

        layer, picture: (U,) int64, of all units that are wanted. Returns (U,) bool, for each picture the same for all
        units that could share its forward pass.
        """
        pictures, number = np.unique(picture, return_inverse=True)
        layers = range(len(self.network.layers))
        windowed = np.array([self.network.graph.is_windowed(self.network.steps[index]) for index in layers])
        cut = np.array([self.is_cut(index) for index in layers])
        shares = windowed[layer]
        deepest = np.zeros(len(pictures), np.int64)
        np.maximum.at(deepest, number[shares], layer[shares])
        wholes = np.array([self.whole(index) for index in layers], np.float64)
        crops = np.array([self.crop(index) for index in layers], np.float64)
        apart = np.bincount(number[shares], crops[layer[shares]], len(pictures))
        return np.where(shares, (apart < wholes[deepest])[number], cut[layer])

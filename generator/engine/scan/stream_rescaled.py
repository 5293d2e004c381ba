"""Enlarged and reduced pictures in the residual stream: the branch's value at the centre on the enlarged ones, the
shortcut's on the reduced ones (arXiv:2407.05340).

Only these values are computed: the network runs as far as they need it, on the windows that they depend on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.engine.scan.around import Around, around
from generator.engine.scan.moments import FixedSum
from generator.engine.scan.plan import padded
from generator.engine.scan.stream import StreamPlan, StreamSteps
from generator.engine.scan.stream_state import (
    check_largest,
    fixed_arrays,
    plan_arrays,
    plan_of,
    read_fixed,
    refuse_other,
)
from generator.network.network import Network

# A side's reading on the rescaled pictures.
RESCALED = {"block": "block_enlarged", "input": "input_reduced"}
READ_ON = {"block": "input", "input": "block"}  # whose list of pictures it is read on


def enlarge(pixels: Tensor) -> Tensor:
    """S of arXiv:2407.05340: the middle half of each picture, resized to the whole (bilinear); what it shows is twice
    as large. (n, H, W, 3) → float32 of the same shape."""
    maps = pixels.float().permute(0, 3, 1, 2)
    height, width = maps.shape[2:]
    top, left = height // 4, width // 4
    middle = maps[:, :, top : top + height // 2, left : left + width // 2]
    return _resized(middle, (height, width)).permute(0, 2, 3, 1)


def reduce(pixels: Tensor) -> Tensor:
    """S⁻¹ of arXiv:2407.05340: each picture resized to half (bilinear, antialiased), mirrored at its border up to the
    old size; what it shows is half as large. (n, H, W, 3) → float32 of the same shape."""
    maps = pixels.float().permute(0, 3, 1, 2)
    height, width = maps.shape[2:]
    small = _resized(maps, (height // 2, width // 2))
    rows, columns = height - height // 2, width - width // 2
    border = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return F.pad(small, border, mode="reflect").permute(0, 2, 3, 1)


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size, mode="bilinear", align_corners=False, antialias=True)


@dataclass(frozen=True)
class RescaledReader:
    """A network, cut down to the centres of its blocks. by_side: for a side of the blocks the graph around the steps of
    this side; steps: (block's name, step) in forward order."""

    network: Network
    by_side: Mapping[str, Around]
    steps: Mapping[str, tuple[tuple[str, int], ...]]

    @classmethod
    def of(cls, network: Network, plan: StreamPlan) -> RescaledReader:
        """network: in fp32, on its device."""
        found = StreamSteps.of(network, plan).residuals
        centres = {block.name: block.centre for block in plan.blocks}
        steps = {
            "block": tuple((name, found[name].branch) for name in centres),
            "input": tuple((name, found[name].shortcut) for name in centres),
        }
        size = network.preprocessing.size
        by_side = {
            side: around(network.graph, size, {step: centres[name] for name, step in of_side})
            for side, of_side in steps.items()
        }
        return cls(network, by_side, steps)


@torch.no_grad()
def read_rescaled(reader: RescaledReader, pixels: Tensor, forward: int) -> dict[tuple[str, str], Tensor]:
    """By block and side: block_enlarged (side block) and input_reduced (side input), (n, C) float32, on the network's
    device, where the pictures are rescaled too.

    pixels: (n, H, W, 3) uint8, n ≤ forward; forward: pictures per forward. Convolutions choose their algorithm by the
    batch's size, so a batch that is not full is filled up with black pictures.
    """
    n, network = len(pixels), reader.network
    pixels = padded(pixels.to(network.device, non_blocking=True), forward)
    readings: dict[tuple[str, str], Tensor] = {}
    for side, rescale in (("block", enlarge), ("input", reduce)):
        part, steps = reader.by_side[side], reader.steps[side]
        names: dict[int, list[tuple[str, int]]] = {}
        for name, step in steps:
            names.setdefault(part.places[step][0], []).append((name, step))
        for index, maps in part.graph.visit(network.prepare(rescale(pixels)), names):
            for name, step in names[index]:
                _, row, column = part.places[step]
                # Cloned: the next step may overwrite the memory behind a view.
                readings[name, side] = maps[:n, :, row, column].clone()
    return readings


@dataclass(frozen=True)
class Listed:
    """Entries of a block's lists, (U,) int64 each. picture: its index in the batch; channel; slot: in the list."""

    picture: Tensor
    channel: Tensor
    slot: Tensor


class RescaledState:
    """All that was read on rescaled pictures so far: by block and side the sums over all pictures of what is above
    zero, and the readings at the listed pictures, (C, 9) float32, NaN until a picture has been read."""

    def __init__(self, plan: StreamPlan, device: torch.device | str = "cpu") -> None:
        self.plan = plan
        self.pictures = 0
        both = [(block, side) for block in plan.blocks for side in RESCALED]
        self.positive = {(block.name, side): FixedSum(block.channels, device) for block, side in both}
        self.listed = {
            (block.name, side): np.full((block.channels, 9), np.nan, np.float32) for block, side in both
        }
        self.lock = threading.Lock()  # threads may add batches at the same time: their order does not matter

    def update(
        self, readings: Mapping[tuple[str, str], Tensor], listed: Mapping[tuple[str, str], Listed]
    ) -> None:
        """Add a batch of n pictures as read_rescaled gives it. listed: the entries of the lists that it has. Raises
        AtlasError for values that are not finite or too large."""
        count = len(next(iter(readings.values())))
        device = next(iter(readings.values())).device
        chosen = [
            values[listed[key].picture.to(device), listed[key].channel.to(device)]
            for key, values in readings.items()
        ]
        largest = torch.stack([values.abs().amax() for values in readings.values()])
        # Copied at once: each copy makes the host wait for the device.
        flat = torch.cat([largest, *chosen]).cpu().numpy()
        check_largest([(name, RESCALED[side]) for name, side in readings], flat[None, : len(largest)])
        positive = {key: values.double().clamp_(min=0) for key, values in readings.items()}
        ends = np.cumsum([len(largest), *(len(part) for part in chosen)])
        with self.lock:
            self.pictures += count
            for (key, values), part in zip(positive.items(), np.split(flat, ends)[1:-1], strict=True):
                self.positive[key].add(values)
                self.listed[key][listed[key].channel.numpy(), listed[key].slot.numpy()] = part

    def merge(self, other: RescaledState) -> None:
        """Add what was read of other pictures by the same plan; raises AtlasError for another plan's."""
        refuse_other(self.plan, other.plan)
        self.pictures += other.pictures
        for key, total in self.positive.items():
            total.merge(other.positive[key])
        for key, values in self.listed.items():
            theirs = other.listed[key]
            values[~np.isnan(theirs)] = theirs[~np.isnan(theirs)]

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        arrays = plan_arrays(self.plan, self.pictures)
        for (name, side), total in self.positive.items():
            arrays |= fixed_arrays(f"positive.{name}.{side}", total)
        return arrays | {f"listed.{name}.{side}": values for (name, side), values in self.listed.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu"
    ) -> RescaledState:
        """The state that `arrays` were made of."""
        state = cls(plan_of(arrays), device)
        state.pictures = int(arrays["pictures"])
        for (name, side), total in state.positive.items():
            read_fixed(arrays, f"positive.{name}.{side}", total)
        state.listed = {(name, side): arrays[f"listed.{name}.{side}"].copy() for name, side in state.listed}
        return state

"""One pass over the pictures that reads the residual stream: in every block the shortcut's value (Input), the branch's
(Block) and their sum after the ReLU (Output).

It reads the neuron in the middle of the map, as in arXiv:2407.05340, on the picture and on two rescaled copies of it;
and, for the contributions, the units among the top nine of the block's channels and, summed up, all units that are
above zero. The result is a StreamState, whose size does not depend on the number of pictures, and whose bits do not
depend on the order of the batches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.loops.compiled import loops
from generator.engine.scan.centre_tops import CentreTops
from generator.engine.scan.grouped_sums import GROUPS, GroupedSum, group_of
from generator.engine.scan.moments import LARGEST, FixedSum
from generator.engine.scan.scan import padded
from generator.network.network import Network
from generator.network.residual import Residual, find_residual

PARTS = ("shortcut", "branch")
ACTIVE = ("active_shortcut", "active_branch")
# A side's reading on the rescaled pictures.
RESCALED = {"block": "block_enlarged", "input": "input_reduced"}
# The further readings that are kept with each of the top nine pictures of a list.
BESIDE = {"input": ("block", "output", "block_enlarged"), "block": ("input", "output", "input_reduced")}


@dataclass(frozen=True)
class StreamBlock:
    """A residual block to read. height, width: of its output's map."""

    name: str
    channels: int
    height: int
    width: int

    @property
    def centre(self) -> tuple[int, int]:
        """Row and column of the neuron in the middle."""
        return self.height // 2, self.width // 2


@dataclass(frozen=True)
class StreamPlan:
    """What is read. batch: pictures per forward; rescaled: whether enlarged and reduced copies are read too."""

    blocks: tuple[StreamBlock, ...]
    batch: int
    rescaled: bool = True

    @classmethod
    def of(cls, network: Network, batch: int, rescaled: bool = True) -> StreamPlan:
        """All residual blocks among the network's layers."""
        residual = residuals(network)
        layers = [layer for layer in network.layers if layer.name in residual]
        blocks = tuple(StreamBlock(x.name, x.channels, x.height, x.width) for x in layers)
        return cls(blocks, batch, rescaled)


def residuals(network: Network) -> dict[str, Residual]:
    """The residual blocks among the network's layers, by name, in forward order."""
    blocks = {
        layer.name: find_residual(network.graph, network.step(layer.name))
        for layer in network.layers
        if layer.kind == "block"
    }
    return {name: residual for name, residual in blocks.items() if residual is not None}


@dataclass(frozen=True)
class BlockUnits:
    """The units among the top nine of a block's channels that lie in a batch's pictures, (U,) int64 each. picture: its
    index in the batch; slot: its rank, from 0; channel, row, column: in the block's map."""

    picture: Tensor
    channel: Tensor
    slot: Tensor
    row: Tensor
    column: Tensor


@dataclass
class BlockReadings:
    """The readings of one block on a batch of n pictures, on the network's device.

    input, block, output: at the centre, (n, C) float32; block_enlarged: of the branch on the enlarged pictures,
    input_reduced: of the shortcut on the reduced ones (NaN where they were not read). active_shortcut, active_branch:
    sums over the positions where the output is above zero (over all positions where the block has no ReLU at its
    end), (n, C) float64; active_units: the number of these positions, (n, C) int64. shortcut, branch: at the units of
    the top nine, (U,) float32.
    """

    input: Tensor
    block: Tensor
    output: Tensor
    block_enlarged: Tensor
    input_reduced: Tensor
    active_shortcut: Tensor
    active_branch: Tensor
    active_units: Tensor
    shortcut: Tensor
    branch: Tensor


class StreamState:
    """All that the pass has read so far."""

    def __init__(self, plan: StreamPlan, device: torch.device | str = "cpu") -> None:
        self.plan = plan
        self.pictures = 0
        self.tops = {
            (block.name, side): CentreTops(block.channels, len(BESIDE[side]), device=device)
            for block in plan.blocks
            for side in BESIDE
        }
        # Of Block at the centre.
        self.sums = {block.name: FixedSum(block.channels, device) for block in plan.blocks}
        # By how much a side's response at the centre grows when the picture is rescaled.
        self.changes = {
            (block.name, side): FixedSum(block.channels, device)
            for block in plan.blocks
            for side in RESCALED
            if plan.rescaled
        }
        self.active = {
            (block.name, part): GroupedSum(block.channels, device) for block in plan.blocks for part in ACTIVE
        }
        self.units = {  # positions that `active` sums over, by group
            block.name: torch.zeros(GROUPS, block.channels, dtype=torch.int64, device=device)
            for block in plan.blocks
        }
        self.parts = {  # at the top nine units, NaN until their picture has been read
            (block.name, side): np.full((block.channels, 9), np.nan, np.float32)
            for block in plan.blocks
            for side in PARTS
        }

    def update(
        self, images: Tensor, readings: Mapping[str, BlockReadings], units: Mapping[str, BlockUnits]
    ) -> None:
        """Add a batch, read on the state's device. images: (n,) int64 picture indices; readings, units: by block."""
        self.pictures += len(images)
        groups = group_of(images)
        if self.tops:
            device = next(iter(self.tops.values())).device
            images, groups = images.to(device), groups.to(device)
        for name, read in readings.items():
            for side, others in BESIDE.items():
                beside = torch.stack([getattr(read, other) for other in others], 2)  # (n, C, P)
                self.tops[name, side].update(getattr(read, side), beside, images)
            self.sums[name].add(read.block.double())
            for part in ACTIVE:
                self.active[name, part].add(getattr(read, part), groups)
            self.units[name].index_add_(0, groups, read.active_units)
        for (name, side), total in self.changes.items():
            if name in readings:
                before, after = (getattr(readings[name], key) for key in (side, RESCALED[side]))
                total.add(after.double().clamp(min=0) - before.double().clamp(min=0))
        sides = [(name, side) for name in readings for side in PARTS]
        parts = [getattr(readings[name], side) for name, side in sides]
        # Copied at once: each copy makes the host wait for the device.
        flat, ends = torch.cat(parts).cpu().numpy(), np.cumsum([len(part) for part in parts])
        for (name, side), values in zip(sides, np.split(flat, ends[:-1]), strict=True):
            channel, slot = units[name].channel.numpy(), units[name].slot.numpy()
            self.parts[name, side][channel, slot] = values

    def merge(self, other: StreamState) -> None:
        """Add what another pass of the same plan read on other pictures; raises AtlasError for another plan's."""
        if other.plan != self.plan:
            raise AtlasError(
                "two parts of the stream's readings belong to different runs",
                remedy="compute the atlas again",
            )
        self.pictures += other.pictures
        for key, tops in self.tops.items():
            tops.merge(other.tops[key])
        for name, total in self.sums.items():
            total.merge(other.sums[name])
        for key, total in self.changes.items():
            total.merge(other.changes[key])
        for key, grouped in self.active.items():
            grouped.merge(other.active[key])
        for name, units in self.units.items():
            units += other.units[name].to(units.device)
        for part, values in self.parts.items():
            theirs = other.parts[part]
            values[~np.isnan(theirs)] = theirs[~np.isnan(theirs)]

    def mean_block(self, name: str) -> np.ndarray:
        """The mean of the branch at the centre over all pictures, (C,) float64."""
        return self.sums[name].value() / max(self.pictures, 1)

    def mean_change(self, name: str, side: str) -> np.ndarray:
        """The mean over all pictures of r(B(S(x))) − r(B(x)) ('block') or r(I(S⁻¹(x))) − r(I(x)) ('input') at the
        centre, r the ReLU, S enlarging and S⁻¹ reducing the picture; (C,) float64."""
        return self.changes[name, side].value() / max(self.pictures, 1)

    def active_sums(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the shortcut and the branch give at all units above zero, summed by group of pictures, and the number of
        these units; (GROUPS, C) float64 each."""
        shortcut, branch = (self.active[name, part].value() for part in ACTIVE)
        return shortcut, branch, self.units[name].cpu().numpy().astype(np.float64)

    def _fixed(self) -> dict[str, FixedSum]:
        """Every fixed-point sum, by its name among the arrays."""
        return {
            **{f"sum.{name}": total for name, total in self.sums.items()},
            **{f"change.{name}.{side}": total for (name, side), total in self.changes.items()},
            **{f"{part}.{name}": grouped.fixed for (name, part), grouped in self.active.items()},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        arrays: dict[str, np.ndarray] = {
            "plan": np.array(json.dumps(asdict(self.plan))),
            "pictures": np.array(self.pictures),
        }
        for (name, side), tops in self.tops.items():
            arrays |= {f"top.{name}.{side}.{key}": array for key, array in tops.arrays().items()}
        for name, total in self._fixed().items():
            arrays |= {f"{name}.high": total.high.cpu().numpy(), f"{name}.low": total.low.cpu().numpy()}
        arrays |= {f"units.{name}": units.cpu().numpy() for name, units in self.units.items()}
        return arrays | {f"part.{name}.{side}": values for (name, side), values in self.parts.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> StreamState:
        """The state that `arrays` were made of."""
        plan: dict[str, Any] = json.loads(str(arrays["plan"]))
        blocks = tuple(StreamBlock(**block) for block in plan["blocks"])
        state = cls(StreamPlan(**{**plan, "blocks": blocks}), device)
        state.pictures = int(arrays["pictures"])
        for name, side in state.tops:
            parts = {key: arrays[f"top.{name}.{side}.{key}"] for key in ("key", "beside")}
            state.tops[name, side] = CentreTops.from_arrays(parts, device)
        for name, total in state._fixed().items():
            total.high = torch.tensor(arrays[f"{name}.high"], device=device)
            total.low = torch.tensor(arrays[f"{name}.low"], device=device)
        state.units = {name: torch.tensor(arrays[f"units.{name}"], device=device) for name in state.units}
        state.parts = {(name, side): arrays[f"part.{name}.{side}"].copy() for name, side in state.parts}
        return state


# -- reading -------------------------------------------------------------------------------------------------


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


@torch.no_grad()
def read_stream(
    network: Network, pixels: Tensor, plan: StreamPlan, units: Mapping[str, BlockUnits]
) -> dict[str, BlockReadings]:
    """The readings of one batch, by block, on the network's device, where the pictures are rescaled too.

    network: in fp32, on its device; pixels: (n, H, W, 3) uint8, n ≤ plan.batch; units: of each block. Convolutions
    choose their algorithm by the batch's size, so a batch that is not full is filled up with black pictures.
    """
    n, blocks = len(pixels), residuals(network)
    pixels = padded(pixels.to(network.device, non_blocking=True), plan.batch)
    plain = _read(network, pixels, plan, blocks, units, active=True)
    enlarged = _read(network, enlarge(pixels), plan, blocks, {}) if plan.rescaled else None
    reduced = _read(network, reduce(pixels), plan, blocks, {}) if plan.rescaled else None
    readings = {}
    for block in plan.blocks:
        here = {side: values if side in PARTS else values[:n] for side, values in plain[block.name].items()}
        nothing = torch.full_like(here["output"], torch.nan)
        readings[block.name] = BlockReadings(
            **here,
            block_enlarged=nothing if enlarged is None else enlarged[block.name]["block"][:n],
            input_reduced=nothing if reduced is None else reduced[block.name]["input"][:n],
        )
    _check(readings, plan.rescaled)
    return readings


def _read(
    network: Network,
    pixels: Tensor,
    plan: StreamPlan,
    blocks: Mapping[str, Residual],
    units: Mapping[str, BlockUnits],
    *,
    active: bool = False,
) -> dict[str, dict[str, Tensor]]:
    """By block: input, block and output at the centre, (n, C); shortcut and branch at the units, (U,); if asked for,
    the sums over the active units, (n, C)."""
    wanted = _wanted(plan, blocks)
    readings: dict[str, dict[str, Tensor]] = {block.name: {} for block in plan.blocks}
    waiting: dict[str, Tensor] = {}  # of a block whose other side has not been computed yet
    for step, maps in network.graph.visit(network.prepare(pixels), wanted):
        for block, side in wanted[step]:
            row, column = block.centre
            # Cloned: the next step may overwrite the memory behind a view.
            readings[block.name][side] = maps[:, :, row, column].clone()
            if side != "output" and block.name in units:
                unit = units[block.name]
                index = (axis.to(maps.device) for axis in (unit.picture, unit.channel, unit.row, unit.column))
                part = "shortcut" if side == "input" else "branch"
                readings[block.name][part] = maps[tuple(index)]
            if side != "output" and active:
                # Both stay in memory until they are added: the first need not be copied.
                other = waiting.pop(block.name, None)
                if other is None:
                    waiting[block.name] = maps
                else:
                    pair = (other, maps) if side == "block" else (maps, other)
                    readings[block.name] |= _active(*pair, signed=blocks[block.name].is_signed)
    return readings


def _active(shortcut: Tensor, branch: Tensor, *, signed: bool) -> dict[str, Tensor]:
    """The sums of two maps (n, C, H, W) over the positions where their sum is above zero, or over all (signed); see
    BlockReadings."""
    count, channels = shortcut.shape[:2]
    last = [maps.permute(0, 2, 3, 1) for maps in (shortcut, branch)]  # (n, H, W, C)
    compiled = loops() if shortcut.device.type == "cpu" and shortcut.dtype == torch.float32 else None
    if compiled is not None:
        sums = torch.empty(2, count, channels, dtype=torch.float64)
        units = torch.empty(count, channels, dtype=torch.int64)
        both = [maps.contiguous().numpy() for maps in last]
        compiled.split(*both, signed, *sums.numpy(), units.numpy())
    else:
        counted = (last[0] + last[1] > 0).flatten(1, 2) | signed
        # torch sums along an outer dimension in one order for any number of threads.
        sums = torch.stack([(maps.flatten(1, 2).double() * counted).sum(1) for maps in last])
        units = counted.sum(1)
    return {"active_shortcut": sums[0], "active_branch": sums[1], "active_units": units}


@torch.no_grad()
def read_centres(network: Network, pixels: Tensor, plan: StreamPlan) -> dict[str, dict[str, Tensor]]:
    """By block: input, block and output at the centre, (n, C) float32, on any pictures.

    network: in fp32, on its device; pixels: (n, H, W, 3), 0 … 255 of any type, n ≤ plan.batch. The network runs only as
    far as the plan's blocks need.
    """
    count = len(pixels)
    pixels = padded(pixels.to(network.device, non_blocking=True), plan.batch)
    readings = _read(network, pixels, plan, residuals(network), {})
    return {
        name: {side: values[:count].cpu() for side, values in sides.items()}
        for name, sides in readings.items()
    }


@torch.no_grad()
def strongest(network: Network, pixels: Tensor, plan: StreamPlan) -> dict[str, dict[str, np.ndarray]]:
    """By block: the largest value anywhere in each channel's map of input, block and output, (n, C) float32.

    network: in fp32, on its device; pixels: (n, H, W, 3) uint8, n ≤ plan.batch.
    """
    n, blocks = len(pixels), residuals(network)
    wanted = _wanted(plan, blocks)
    readings: dict[str, dict[str, np.ndarray]] = {block.name: {} for block in plan.blocks}
    for step, maps in network.graph.visit(network.prepare(padded(pixels, plan.batch)), wanted):
        maxima = maps.amax((2, 3))[:n].cpu().numpy()
        for block, side in wanted[step]:
            readings[block.name][side] = maxima
    return readings


def _wanted(plan: StreamPlan, blocks: Mapping[str, Residual]) -> dict[int, list[tuple[StreamBlock, str]]]:
    """What each step is: a side of one block, and perhaps another side of the next one."""
    wanted: dict[int, list[tuple[StreamBlock, str]]] = {}
    for block in plan.blocks:
        residual = blocks[block.name]
        sides = ((residual.shortcut, "input"), (residual.branch, "block"), (residual.output, "output"))
        for step, side in sides:
            wanted.setdefault(step, []).append((block, side))
    return wanted


def _check(readings: Mapping[str, BlockReadings], rescaled: bool) -> None:
    """Raises AtlasError for values that are not finite or too large: the scan checked the same pictures, but not their
    rescaled copies nor the maps inside a block."""
    at_centre = ("input", "block", "output", *(RESCALED.values() if rescaled else ()))
    sides = [(name, side) for name in readings for side in (*at_centre, *ACTIVE)]
    if not sides:
        return
    # NaN is never within a bound.
    within = [
        (getattr(readings[name], side).abs() <= (LARGEST if side in ACTIVE else LARGEST**0.5)).all()
        for name, side in sides
    ]
    for (name, side), fits in zip(sides, torch.stack(within).tolist(), strict=True):
        if not fits:
            raise AtlasError(
                "an activation is not a finite number, or too large",
                f"{side} of {name}",
                "check that the weights belong to this network and its preprocessing",
            )

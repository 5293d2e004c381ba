"""What the pictures say of the residual stream, collected in a forward pass of theirs: the scan's own, or another.

Read are the neuron in the middle of the map, as in arXiv:2407.05340, and, for the contributions, the units among the
top nine of the block's channels and, summed up, all units that are above zero. The result is a StreamState, whose size
does not depend on the number of pictures, and whose bits do not depend on the order of the batches."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.named_arrays import below, named
from generator.engine.scan.centre_tops import CentreTops
from generator.engine.scan.grouped_sums import GROUPS, GroupedSum, group_of
from generator.engine.scan.joined import Joined, join
from generator.engine.scan.moments import LARGEST, FixedSum, Reduced
from generator.engine.scan.plan import padded
from generator.engine.scan.stream import PARTS, SIDES, StreamBlock, StreamPlan, StreamSteps
from generator.engine.scan.unit_parts import BlockUnits, UnitParts
from generator.network.graph import Sum
from generator.network.network import Network
from generator.network.residual import Residual

ACTIVE = ("active_shortcut", "active_branch")
# The further readings that are kept with each of the top nine pictures of a list.
BESIDE = {"input": ("block", "output"), "block": ("input", "output")}


class StreamState:
    """All that has been read so far. Pictures are numbered as in the picture set."""

    def __init__(self, plan: StreamPlan, device: torch.device | str = "cpu") -> None:
        self.plan = plan
        self.pictures = 0
        both = [(block, side) for block in plan.blocks for side in BESIDE]
        self.tops = {
            (block.name, side): CentreTops(block.channels, len(BESIDE[side]), device=device)
            for block, side in both
        }
        # Of Block at the centre, and of what of either side is above zero there.
        self.sums = {block.name: FixedSum(block.channels, device) for block in plan.blocks}
        self.positive = {(block.name, side): FixedSum(block.channels, device) for block, side in both}
        self.active = {
            (block.name, part): GroupedSum(block.channels, device) for block in plan.blocks for part in ACTIVE
        }
        self.units = {  # positions that `active` sums over, by group
            block.name: torch.zeros(GROUPS, block.channels, dtype=torch.int64, device=device)
            for block in plan.blocks
        }
        self.parts = {  # shortcut and branch at the top nine units, and the terms of each
            block.name: UnitParts(
                block.channels, len(PARTS) + sum(block.terms), device=device, signed=block.signed
            )
            for block in plan.blocks
        }
        self.lock = threading.Lock()  # threads may add batches at the same time: their order does not matter

    def merge(self, other: StreamState) -> None:
        """Add what was read of other pictures by the same plan; raises AtlasError for another plan's."""
        refuse_other(self.plan, other.plan)
        self.pictures += other.pictures
        for key, tops in self.tops.items():
            tops.merge(other.tops[key])
            self.positive[key].merge(other.positive[key])
        for key, grouped in self.active.items():
            grouped.merge(other.active[key])
        for name, total in self.sums.items():
            total.merge(other.sums[name])
            self.parts[name].merge(other.parts[name])
        for name, units in self.units.items():
            units += other.units[name].to(units.device)

    def mean_block(self, name: str) -> np.ndarray:
        """The mean of the branch at the centre over all pictures, (C,) float64."""
        return self.sums[name].value() / max(self.pictures, 1)

    def active_sums(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the shortcut and the branch give at all units above zero, summed by group of pictures, and the number of
        these units; (GROUPS, C) float64 each."""
        shortcut, branch = (self.active[name, part].value() for part in ACTIVE)
        return shortcut, branch, self.units[name].cpu().numpy().astype(np.float64)

    def _fixed(self) -> dict[str, FixedSum]:
        """Every fixed-point sum, by its name among the arrays."""
        return {
            **{f"sum.{name}": total for name, total in self.sums.items()},
            **{f"positive.{name}.{side}": total for (name, side), total in self.positive.items()},
            **{f"{part}.{name}": grouped.fixed for (name, part), grouped in self.active.items()},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        arrays = plan_arrays(self.plan, self.pictures)
        for (name, side), tops in self.tops.items():
            arrays |= named(f"top.{name}.{side}", tops.arrays())
        for name, total in self._fixed().items():
            arrays |= fixed_arrays(name, total)
        for name, parts in self.parts.items():
            arrays |= named(f"parts.{name}", parts.arrays())
        return arrays | {f"units.{name}": units.cpu().numpy() for name, units in self.units.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> StreamState:
        """The state that `arrays` were made of."""
        state = cls(plan_of(arrays), device)
        state.pictures = int(arrays["pictures"])
        for name, side in state.tops:
            state.tops[name, side] = CentreTops.from_arrays(below(f"top.{name}.{side}", arrays), device)
        for name, total in state._fixed().items():
            read_fixed(arrays, name, total)
        for block in state.plan.blocks:
            parts = below(f"parts.{block.name}", arrays)
            state.parts[block.name] = UnitParts.from_arrays(parts, device, signed=block.signed)
        state.units = {name: torch.tensor(arrays[f"units.{name}"], device=device) for name in state.units}
        return state


def refuse_other(own: StreamPlan, other: StreamPlan) -> None:
    """Raises AtlasError where the plan of another part is not its own."""
    if other != own:
        raise AtlasError(
            "two parts of the stream's readings belong to different runs", remedy="compute the atlas again"
        )


def plan_arrays(plan: StreamPlan, pictures: int) -> dict[str, np.ndarray]:
    """The plan and the number of pictures read among a state's arrays."""
    return {"plan": np.array(json.dumps(asdict(plan))), "pictures": np.array(pictures)}


def plan_of(arrays: Mapping[str, np.ndarray]) -> StreamPlan:
    """The plan that stands among a state's arrays."""
    plan: dict[str, Any] = json.loads(str(arrays["plan"]))
    blocks = (StreamBlock(**{**block, "terms": tuple(block["terms"])}) for block in plan["blocks"])
    return StreamPlan(**{**plan, "blocks": tuple(blocks)})


def fixed_arrays(name: str, total: FixedSum) -> dict[str, np.ndarray]:
    """A fixed-point sum among a state's arrays."""
    return {f"{name}.high": total.high.cpu().numpy(), f"{name}.low": total.low.cpu().numpy()}


def read_fixed(arrays: Mapping[str, np.ndarray], name: str, total: FixedSum) -> None:
    """Set a fixed-point sum to what stands among a state's arrays."""
    total.high = torch.tensor(arrays[f"{name}.high"], device=total.high.device)
    total.low = torch.tensor(arrays[f"{name}.low"], device=total.low.device)


# -- one forward pass ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StreamReading:
    """What the stream needs of every forward pass. rows: (N,) int64, of every picture its row among those whose
    readings at the centre are kept, −1 where it is not one of them; keep: called with the rows, (n,), and the readings,
    (n, ΣC) float32, Input then Block of every block, from any thread."""

    steps: StreamSteps
    state: StreamState
    rows: np.ndarray
    keep: Callable[[np.ndarray, np.ndarray], None]

    def forward(self, images: Tensor, units: Mapping[str, BlockUnits] | None = None) -> StreamForward:
        """Begin to read a forward pass. images: (n,) int64 numbers of its pictures, ascending; units: the units of the
        top nine, by block, where they are known."""
        return StreamForward(self, images, units)


class StreamForward:
    """What one forward pass says of its n pictures, added to the state block by block: a visitor of the steps
    `reading.steps.visited`, which does the blocks' additions, `sums`, itself."""

    def __init__(
        self, reading: StreamReading, images: Tensor, units: Mapping[str, BlockUnits] | None
    ) -> None:
        self._reading, self._images, self._units = reading, images, units
        self._groups = group_of(images)
        self._added: dict[str, tuple[tuple[Tensor, Tensor], Joined]] = {}
        self._sources: dict[int, Tensor] = {}  # outputs that blocks not yet complete are taken apart with
        self._waiting = {
            name: {side.source for side in terms if side is not None}
            for name, terms in reading.steps.terms.items()
        }
        self._centres: dict[tuple[str, str], Tensor] = {}
        self._largest: dict[tuple[str, str], Tensor] = {}  # of every picture the largest absolute value, (n,)

    @property
    def sums(self) -> dict[int, Sum]:
        """The additions of the blocks, by step."""
        steps = self._reading.steps
        return {
            residual.add: Sum(steps.ends[name], partial(self._add, name, residual))
            for name, residual in steps.residuals.items()
        }

    def _add(self, name: str, residual: Residual, one: Tensor, other: Tensor) -> Tensor:
        both = (one, other) if residual.is_shortcut_first else (other, one)
        rectified = self._reading.steps.ends[name] != residual.add
        joined = join(*both, rectified=rectified, everywhere=residual.is_signed)
        self._added[name] = (both, joined)
        return joined.maps

    def take(self, step: int, maps: Tensor) -> Reduced | None:
        """Add a step's output, (B, C, H, W) with B ≥ n; returns its reductions, of all B, where they are known."""
        reduced = None
        if step in self._reading.steps.sources:
            self._sources[step] = maps if step in self._reading.steps.lasting else maps.clone()
        for block, side in self._reading.steps.wanted.get(step, ()):
            row, column = block.centre
            # Cloned: the next step may overwrite the memory behind a view.
            centre = maps[: len(self._images), :, row, column].clone()
            self._centres[block.name, side] = centre
            self._largest[block.name, side] = centre.abs().amax(1)
            if side == "output":
                reduced = self._complete(block, maps)
        return reduced

    def _complete(self, block: StreamBlock, output: Tensor) -> Reduced | None:
        name, state, n = block.name, self._reading.state, len(self._images)
        (shortcut, branch), joined = self._added.pop(name)
        parts = shortcut[:n], branch[:n]
        is_whole = joined.maps is output
        reduced = joined.reduced if is_whole else None  # else a ReLU of another kind followed
        row_maxima = joined.reduced.row_maximum[:n] if is_whole else None
        active = {"active_shortcut": joined.shortcut[:n], "active_branch": joined.branch[:n]}
        for part, sums in active.items():
            self._largest[name, part] = sums.abs().amax(1).float()
        images, groups = self._images.to(output.device), self._groups.to(output.device)
        further = [
            partial(side.at, self._sources[side.source])
            for side in self._reading.steps.terms[name]
            if side is not None
        ]
        centres = {side: self._centres[name, side] for side in SIDES}
        beside = {side: torch.stack([centres[other] for other in BESIDE[side]], 2) for side in BESIDE}
        double = {side: centres[side].double() for side in BESIDE}
        with state.lock:
            state.sums[name].add(double["block"])
            for side in BESIDE:
                state.tops[name, side].update(centres[side], beside[side], images)
                state.positive[name, side].add(double[side].clamp_(min=0))
            for part, sums in active.items():
                state.active[name, part].add(sums, groups)
            state.units[name].index_add_(0, groups, joined.units[:n])
            if self._units is None:
                state.parts[name].update(output[:n], images, row_maxima, parts, further)
            else:
                state.parts[name].enter(self._units[name], images, parts, further)
        self._release(name)
        return reduced

    def _release(self, name: str) -> None:
        """Forget the outputs that this block alone still needed."""
        del self._waiting[name]
        needed = set[int]().union(*self._waiting.values())
        self._sources = {step: maps for step, maps in self._sources.items() if step in needed}

    @property
    def largest(self) -> Tensor:
        """The largest absolute value of each picture's readings, by block and side, (n, sides) float32."""
        return torch.stack(list(self._largest.values()), 1)

    def finish(self, largest: np.ndarray) -> None:
        """Keep the readings of the sample. largest: `largest`, copied from the device. Raises AtlasError for values
        that are not finite or too large: the scan does not see the maps inside a block."""
        check_largest(list(self._largest), largest)
        reading = self._reading
        rows = reading.rows[self._images.numpy()]
        sides = [self._centres[block.name, side] for block in reading.steps.blocks for side in BESIDE]
        if (rows >= 0).any():
            chosen = torch.cat(sides, 1)[torch.from_numpy(rows >= 0).to(sides[0].device)]
            reading.keep(rows[rows >= 0], chosen.cpu().numpy())
        with reading.state.lock:
            reading.state.pictures += len(rows)


def check_largest(readings: list[tuple[str, str]], largest: np.ndarray) -> None:
    """Raises AtlasError for values that are not finite or too large. readings: block and side; largest: (n, readings),
    the largest absolute values."""
    bounds = np.array([LARGEST if side in ACTIVE else LARGEST**0.5 for _, side in readings])
    within = (largest <= bounds).all(0)  # NaN is never within a bound
    if not within.all():
        name, side = readings[int(within.argmin())]
        raise AtlasError(
            "an activation is not a finite number, or too large",
            f"{side} of {name}",
            "check that the weights belong to this network and its preprocessing",
        )


@torch.no_grad()
def read_stream(
    network: Network,
    pixels: Tensor,
    images: Tensor,
    reading: StreamReading,
    units: Mapping[str, BlockUnits] | None,
    forward: int,
) -> None:
    """Add a batch by a forward pass of its own.

    network: in fp32, on its device; pixels: (n, H, W, 3) uint8, n ≤ forward; images, units: see StreamReading.forward;
    forward: pictures per forward. The network's layers are visited too, as in the scan: which operations are fused may
    decide the last bits.
    """
    pictures = network.prepare(padded(pixels.to(network.device, non_blocking=True), forward))
    steps, read = reading.steps, reading.forward(images, units)
    for step, maps in network.graph.visit(pictures, {*network.steps, *steps.visited}, read.sums):
        if step in steps.visited:
            read.take(step, maps)
    read.finish(read.largest.cpu().numpy())

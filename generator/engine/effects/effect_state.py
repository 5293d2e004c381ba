"""What channels contribute to classes, collected over pictures: of every class the sums of its pictures, and of every
channel the nine pictures in which it contributes most.

The contribution of a channel in a picture is the sum over its map of activation × gradient of one output, the picture's
class. The size of the state does not depend on the number of pictures, and its bits do not depend on their order."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.named_arrays import below, named
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.ascent.windowed_gradient import WindowedGradient
from generator.engine.loops.compiled import loops
from generator.engine.scan.centre_tops import CentreTops
from generator.engine.scan.moments import BITS, LARGEST, WHOLE, FixedSum
from generator.engine.scan.plan import padded
from generator.engine.scan.top_units import first_largest
from generator.network.network import Network

BEYOND = LARGEST**0.5  # contributions are squared


@dataclass(frozen=True)
class EffectLayer:
    """A layer whose channels' contributions are collected. width: of its map."""

    name: str
    channels: int
    width: int


@dataclass(frozen=True)
class EffectPlan:
    """layers: in forward order; classes: the numbers of the classes that are summed up, ascending, () for none; signs:
    whether the one output stands for two classes, 1 where it is above zero and 0 where it is below."""

    layers: tuple[EffectLayer, ...]
    classes: tuple[int, ...]
    signs: bool = False


class ClassSums:
    """Exact sums (R, C), a row per class. Memory: 16 · R · C bytes."""

    def __init__(self, rows: int, channels: int, device: torch.device | str = "cpu") -> None:
        self.fixed = FixedSum(rows * channels, device)
        self._shape = rows, channels

    def add(self, values: Tensor, rows: Tensor) -> None:
        """Add values (B, C) float64 to the rows (B,) int64, on the CPU, each rounded to 2^-32 on its own; the caller
        checks |values| ≤ LARGEST. Only these rows are touched."""
        for part, of_part in zip(values.split(64), rows.split(64), strict=True):  # 64 rests stay below 2^63
            touched, place = (x.to(values.device) for x in of_part.unique(return_inverse=True))
            whole = (part * 2.0**-WHOLE).floor_()
            rest = ((part - whole * 2.0**WHOLE) * 2.0**BITS).round_()
            high, low = (x.view(self._shape) for x in (self.fixed.high, self.fixed.low))
            high.index_add_(0, touched[place], whole.to(torch.int64))
            units = low[touched].index_add_(0, place, rest.to(torch.int64))
            high[touched] += units >> (WHOLE + BITS)
            low[touched] = units & (2 ** (WHOLE + BITS) - 1)

    def value(self) -> np.ndarray:
        """The sums, (R, C) float64."""
        return self.fixed.value().reshape(self._shape)


class EffectState:
    """All that has been collected so far. Pictures are numbered as in the picture set."""

    def __init__(self, plan: EffectPlan, device: torch.device | str = "cpu") -> None:
        self.plan, self.device = plan, torch.device(device)
        rows = len(plan.classes)
        self.tops = {layer.name: CentreTops(layer.channels, 1, device=device) for layer in plan.layers}
        self.sums = {layer.name: ClassSums(rows, layer.channels, device) for layer in plan.layers}
        self.squares = {layer.name: ClassSums(rows, layer.channels, device) for layer in plan.layers}
        self.scores = ClassSums(rows, 1)  # the classes' own outputs
        self.used = np.zeros(1, np.int64)  # pictures that have a class
        self.pictures = np.zeros(rows, np.int64)  # of each class that is summed up
        self.correct = np.zeros(rows, np.int64)  # of these, those whose strongest output is their class
        self.lock = threading.Lock()  # threads may add batches at the same time: their order does not matter

    def merge(self, other: EffectState) -> None:
        """Add what was collected of other pictures by the same plan; raises AtlasError for another plan's."""
        if other.plan != self.plan:
            raise AtlasError(
                "two parts of the contributions belong to different runs", remedy="compute the atlas again"
            )
        for name, tops in self.tops.items():
            tops.merge(other.tops[name])
        for key, total in self._fixed().items():
            total.merge(other._fixed()[key])
        self.used += other.used
        self.pictures += other.pictures
        self.correct += other.correct

    def _fixed(self) -> dict[str, FixedSum]:
        """Every exact sum, by its name among the arrays."""
        return {
            "scores": self.scores.fixed,
            **{f"sums.{name}": sums.fixed for name, sums in self.sums.items()},
            **{f"squares.{name}": sums.fixed for name, sums in self.squares.items()},
        }

    def top(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of a layer's channels the nine pictures of largest contribution, above zero only: their contributions (C, 9)
        float32, their numbers (C, 9) int64, −1 for none, and row and column (C, 9, 2) int32 of the unit that gives most
        of it."""
        tops = self.tops[name]
        width = next(layer.width for layer in self.plan.layers if layer.name == name)
        place = tops.beside[:, :, 0].nan_to_num(0).cpu().numpy().astype(np.int32)
        units = np.stack([place // width, place % width], 2)
        return tops.values.cpu().numpy(), tops.images.cpu().numpy(), units

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        arrays = {"plan": np.array(json.dumps(asdict(self.plan)))}
        arrays |= {"used": self.used, "pictures": self.pictures, "correct": self.correct}
        for name, tops in self.tops.items():
            arrays |= named(f"top.{name}", tops.arrays())
        for name, total in self._fixed().items():
            arrays |= {f"{name}.high": total.high.cpu().numpy(), f"{name}.low": total.low.cpu().numpy()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> EffectState:
        """The state that `arrays` were made of."""
        plan: dict[str, Any] = json.loads(str(arrays["plan"]))
        layers = tuple(EffectLayer(**layer) for layer in plan["layers"])
        state = cls(EffectPlan(layers, tuple(plan["classes"]), plan["signs"]), device)
        state.used, state.pictures, state.correct = (arrays[x] for x in ("used", "pictures", "correct"))
        for name in state.tops:
            state.tops[name] = CentreTops.from_arrays(below(f"top.{name}", arrays), device)
        for name, total in state._fixed().items():
            total.high = torch.tensor(arrays[f"{name}.high"], device=total.high.device)
            total.low = torch.tensor(arrays[f"{name}.low"], device=total.low.device)
        return state


def contributions(maps: Tensor, gradients: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of maps × gradients, (B, C, H, W) each, over positions, (B, C) float64, and the position of the largest
    product, (B, C) float32: row · W + column, the first of equal ones."""
    last = [part.permute(0, 2, 3, 1) for part in (maps, gradients)]  # (B, H, W, C)
    if maps.device.type == "cpu" and maps.dtype == torch.float32 and (compiled := loops()) is not None:
        total = torch.empty(maps.shape[:2], dtype=torch.float64)
        place = torch.empty(maps.shape[:2])
        compiled.weigh(*(part.contiguous().numpy() for part in last), total.numpy(), place.numpy())
        return total, place
    product = last[0] * last[1]
    # torch sums along an outer dimension in one order for any number of threads.
    return product.sum(2).double().sum(1), first_largest(product.flatten(1, 2), 1).float()


class EffectReader:
    """Adds pictures to a state. network: on its device; of_class, answers: (N,) of every picture the number of its
    class and that of the network's answer, −1 for none. The answers are given, not taken from this pass: its arithmetic
    may be another than that in which the answers were found that the pages list."""

    def __init__(self, network: Network, plan: EffectPlan, of_class: np.ndarray, answers: np.ndarray) -> None:
        self.network, self._of_class, self._answers, self._plan = network, of_class, answers, plan
        self._steps = {network.step(layer.name): layer for layer in plan.layers}
        graph, size = network.graph, network.preprocessing.size
        whole = WindowedForward(graph, len(graph) - 1, size, whole=self._steps)
        self._way = WindowedGradient(whole, self._steps)
        self._rows = np.array(plan.classes, np.int64)

    def read(self, state: EffectState, pixels: Tensor, images: Tensor, forward: int) -> None:
        """Add a batch. pixels: (n, H, W, 3) uint8, n ≤ forward; images: (n,) int64 places in the picture set; forward:
        pictures that the network takes at once.

        Raises AtlasError for a contribution that is not a finite number, or too large."""
        count = len(images)
        pictures = self.network.prepare(padded(pixels.to(self.network.device, non_blocking=True), forward))
        tape = self._way.forward(pictures)
        outputs = tape.maps.flatten(1)  # (B, K)
        classes, answers = (torch.from_numpy(x[images.numpy()]) for x in (self._of_class, self._answers))
        known = classes >= 0  # (n,), on the CPU
        if not known.any():
            return
        weights = self._of_outputs(outputs, classes.clamp(min=0))
        maps, gradients = tape.watched, self._way.gradients(tape, weights.view_as(tape.maps))
        keep = known.to(outputs.device)
        parts = {}
        for step, layer in self._steps.items():
            total, place = contributions(maps.pop(step)[:count], gradients.pop(step)[:count])
            parts[layer.name] = total[keep], place[keep]
        self._check(torch.stack([total.abs().max() for total, _ in parts.values()]).cpu())
        scores = (outputs * weights).sum(1)[:count].double().cpu()[known]
        self._add(state, images[known], classes[known], answers[known], scores, parts)

    def _of_outputs(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """How much of each output is in the score of each picture's class, (B, K): one of its own, or the sign of the
        only one; of the pictures that only fill up a batch the first class's."""
        filled = classes.new_zeros(len(outputs))
        filled[: len(classes)] = classes
        filled = filled.to(outputs.device)
        if self._plan.signs:
            return (2 * filled - 1).to(outputs)[:, None]
        return torch.zeros_like(outputs).scatter_(1, filled[:, None], 1)

    def _check(self, largest: Tensor) -> None:
        for value, layer in zip(largest.tolist(), self._plan.layers, strict=True):
            if not value <= BEYOND:  # NaN is never within a bound
                raise AtlasError(
                    "a channel's contribution to a class is not a finite number, or too large",
                    f"layer {layer.name}",
                    "check that the weights belong to this network and its preprocessing",
                )

    def _add(
        self,
        state: EffectState,
        images: Tensor,
        classes: Tensor,
        answers: Tensor,
        scores: Tensor,
        parts: Mapping[str, tuple[Tensor, Tensor]],
    ) -> None:
        rows = np.searchsorted(self._rows, classes.numpy())
        summed = rows < len(self._rows)
        summed[summed] = self._rows[rows[summed]] == classes.numpy()[summed]
        row, where = torch.from_numpy(rows[summed]), torch.from_numpy(summed)
        right = (answers == classes).numpy()
        there = where.to(self.network.device)
        with state.lock:
            state.used += len(images)
            np.add.at(state.pictures, rows[summed], 1)
            np.add.at(state.correct, rows[summed & right], 1)
            state.scores.add(scores[where][:, None], row)
            for name, (total, place) in parts.items():
                state.tops[name].update(total.float(), place[:, :, None], images.to(total.device))
                state.sums[name].add(total[there], row)
                state.squares[name].add((total * total)[there], row)

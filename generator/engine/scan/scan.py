"""One pass over the pictures, every layer at once: the strongest pictures and the statistics of every
channel.

No activation map is kept: a layer's reductions read it while the forward pass waits, and the next step may
overwrite it. All that lasts is a ScanState, whose size does not depend on the number of pictures and whose
bits do not depend on the order in which batches come, on the process that took them, or on where a run was
cut."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.records import TOP, LayerInfo
from generator.engine.scan.moments import LARGEST, Moments, reduce_maps
from generator.engine.scan.top_units import TopUnits
from generator.network.network import Network

Precision = Literal["fp32", "tf32", "bf16"]
FORWARD = 32  # pictures a forward of every job: one number, because a convolution's last bits depend on it
CANDIDATES = 32  # kept a channel in a fast precision, from which fp32 then chooses


class Batch(Protocol):
    """What the scan needs of a batch: indices (n,) int64 and pixels (n, H, W, 3) uint8."""

    @property
    def indices(self) -> Tensor: ...
    @property
    def pixels(self) -> Tensor: ...


SomeBatch = TypeVar("SomeBatch", bound=Batch)
Thing = TypeVar("Thing")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Vectors:
    """One step's output, kept for every picture. take: is handed the pictures' indices (n,) int64 and their vectors
    (n, F) float32, from any thread."""

    step: int
    take: Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class ScannedLayer:
    """earlier: the layer whose scores this one's are correlated with, '' for none; signed: whether its values may be
    negative, so that a score of zero or less says as much as any other."""

    name: str
    channels: int
    height: int
    width: int
    earlier: str = ""
    signed: bool = False


@dataclass(frozen=True)
class ScanPlan:
    """What is scanned. batch: pictures a forward; keep: pictures a channel."""

    layers: tuple[ScannedLayer, ...]
    batch: int = 32
    precision: Precision = "fp32"
    keep: int = TOP

    @classmethod
    def of(cls, network: Network, batch: int = 32, precision: Precision = "fp32") -> ScanPlan:
        """All layers of a network, block outputs correlated with the block before them in their stage."""
        before = earlier_blocks(network.layers)
        layers = tuple(
            ScannedLayer(x.name, x.channels, x.height, x.width, before.get(x.name, ""), not x.rectified)
            for x in network.layers
        )
        return cls(layers, batch, precision, TOP if precision == "fp32" else CANDIDATES)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights during the scan."""
        return torch.bfloat16 if self.precision == "bf16" else torch.float32


def earlier_blocks(layers: Sequence[LayerInfo]) -> dict[str, str]:
    """For each block output the block before it in its stage: there a channel keeps its number."""
    blocks = [layer for layer in layers if layer.kind == "block"]
    return {
        after.name: before.name
        for before, after in itertools.pairwise(blocks)
        if (before.stage, before.channels) == (after.stage, after.channels)
    }


class ScanState:
    """All that a scan has found so far."""

    def __init__(self, plan: ScanPlan, device: torch.device | str = "cpu") -> None:
        self.plan = plan
        self.tops = {
            layer.name: TopUnits(layer.channels, plan.keep, device, signed=layer.signed)
            for layer in plan.layers
        }
        self.moments = {
            layer.name: Moments(layer.channels, layer.height * layer.width, device) for layer in plan.layers
        }
        self.lock = threading.Lock()  # batches may be taken in side by side: their order does not matter

    @classmethod
    def empty(cls, plan: ScanPlan, device: torch.device | str = "cpu") -> ScanState:
        return cls(plan, device)

    @property
    def pictures(self) -> int:
        """How many have been scanned."""
        return self.moments[self.plan.layers[0].name].pictures

    def merge(self, other: ScanState) -> None:
        """Take in what another scan of the same plan found on other pictures."""
        if other.plan != self.plan:
            raise AtlasError(
                "two parts of a scan belong to different scans", remedy="compute the atlas again"
            )
        for name in self.tops:
            self.tops[name].merge(other.tops[name])
            self.moments[name].merge(other.moments[name])

    def layer(self, name: str) -> dict[str, np.ndarray]:
        """A layer's numbers as the atlas folder holds them: top_value (C, 9) float32, top_image (C, 9) int32,
        top_unit (C, 9, 2) int32 row and column, and one (C,) array a statistic."""
        layer = next(layer for layer in self.plan.layers if layer.name == name)
        top = self.tops[name]
        places = top.places[:, :TOP].cpu().numpy()
        earlier = self.moments[layer.earlier] if layer.earlier else None
        statistics = self.moments[name].statistics(earlier)
        found = {
            "top_value": top.values[:, :TOP].cpu().numpy(),
            "top_image": top.images[:, :TOP].cpu().numpy().astype(np.int32),
            "top_unit": np.stack([places // layer.width, places % layer.width], 2).astype(np.int32),
        }
        if layer.signed:  # no sign of life but that pictures differ: else the nine would be the first nine
            statistics["dead"] = self.moments[name].constant()
            found["top_image"][statistics["dead"]] = -1
        return {**found, **statistics}

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as flat arrays, for from_arrays and np.savez."""
        found: dict[str, np.ndarray] = {"plan": np.array(json.dumps(asdict(self.plan)))}
        for name in self.tops:
            found |= {f"top.{name}.{key}": array for key, array in self.tops[name].arrays().items()}
            found |= {f"moments.{name}.{key}": array for key, array in self.moments[name].arrays().items()}
        return found

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], device: torch.device | str = "cpu") -> ScanState:
        plan: dict[str, Any] = json.loads(str(arrays["plan"]))
        state = cls(
            ScanPlan(**{**plan, "layers": tuple(ScannedLayer(**layer) for layer in plan["layers"])}), device
        )
        for name in state.tops:
            signed = state.tops[name].signed
            state.tops[name] = TopUnits.from_arrays(_below(arrays, f"top.{name}."), device, signed=signed)
            state.moments[name] = Moments.from_arrays(_below(arrays, f"moments.{name}."), device)
        return state


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


def scan(
    network: Network,
    batches: Iterable[SomeBatch],
    state: ScanState,
    forward: int | None = None,
) -> Iterator[tuple[SomeBatch, np.ndarray]]:
    """Take every batch into the state; yield it with its pictures' scores (n, ΣC) float32, the layers'
    channels side by side in the plan's order. The state holds exactly the batches yielded so far.

    network: with the plan's layers, on its device and in the plan's dtype; forward: pictures that the network takes at
    once, the plan's number unless told. After an error the state is of no use. Raises AtlasError where an activation is
    not a finite number, naming the layer and the picture."""
    if [layer.name for layer in network.layers] != [layer.name for layer in state.plan.layers]:
        raise AssertionError("the network's layers are not the plan's")
    for batch in batches:
        yield batch, _scan_batch(network, batch, state, forward)


def scan_side_by_side(
    network: Network,
    batches: Iterable[SomeBatch],
    state: ScanState,
    *,
    threads: int,
    forward: int | None = None,
    vectors: Sequence[Vectors] = (),
) -> Iterator[list[tuple[SomeBatch, np.ndarray]]]:
    """As `scan`, in rounds of one batch a thread: yields each round's batches, and the state holds exactly the rounds
    yielded so far. On a CPU threads that each compute a batch (device.one_thread_each) need not wait for each other at
    every small operation; the numbers are the same. forward: pictures that the network takes at once, the plan's number
    unless told; vectors: what else to keep of every picture, which alters nothing of the rest."""
    yield from in_rounds(lambda batch: _scan_batch(network, batch, state, forward, vectors), batches, threads)


def in_rounds(
    work: Callable[[Thing], Result], things: Iterable[Thing], threads: int
) -> Iterator[list[tuple[Thing, Result]]]:
    """Work on as many things at once as there are threads, each in one that computes alone: yields every round's things
    with their results, in order, and begins the next round only when that is asked for."""
    waiting = iter(things)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead = list(islice(waiting, threads))
        while ahead:
            tasks = [pool.submit(work, thing) for thing in ahead]
            following = list(islice(waiting, threads))  # are decoded meanwhile
            yield [(thing, task.result()) for thing, task in zip(ahead, tasks, strict=True)]
            ahead = following


@dataclass(frozen=True)
class _Some:
    """Consecutive pictures of a batch."""

    indices: Tensor
    pixels: Tensor


def _scan_batch(
    network: Network,
    batch: Batch,
    state: ScanState,
    forward: int | None = None,
    vectors: Sequence[Vectors] = (),
) -> np.ndarray:
    size = forward or state.plan.batch
    parts = zip(batch.indices.split(size), batch.pixels.split(size), strict=True)
    found = [_scan_forward(network, _Some(*part), state, size, vectors) for part in parts if len(part[0])]
    if not found:
        return np.zeros((0, sum(layer.channels for layer in state.plan.layers)), np.float32)
    return np.concatenate(found)


@torch.no_grad()
def _scan_forward(
    network: Network,
    batch: Batch,
    state: ScanState,
    size: int,
    vectors: Sequence[Vectors],
) -> np.ndarray:
    plan, n = state.plan, len(batch.indices)
    layers = dict(zip(network.steps, plan.layers, strict=True))
    read: dict[int, Tensor] = {}  # by the step of the vectors, (n, F)
    pictures = network.prepare(padded(batch.pixels, size))
    images = batch.indices.to(pictures.device, non_blocking=True)
    scores: dict[str, Tensor] = {}
    squares: list[Tensor] = []
    for index, maps in network.graph.visit(pictures, {*layers, *(one.step for one in vectors)}):
        if index in layers:
            layer = layers[index]
            reduced = reduce_maps(maps[:n])
            scores[layer.name] = reduced.maximum.float()
            squares.append(reduced.mean_square.amax(1).float())
            with state.lock:
                state.tops[layer.name].update(maps[:n], images, reduced.row_maximum)
                state.moments[layer.name].update(reduced, scores[layer.earlier] if layer.earlier else None)
        if any(one.step == index for one in vectors):
            read[index] = maps[:n].flatten(1).float().clone()  # the next step may overwrite it
    # One copy a batch: every other would make the host wait for the device.
    found = torch.cat([*scores.values(), torch.stack(squares, 1), *read.values()], 1).cpu().numpy()
    ends = np.cumsum([0, sum(layer.channels for layer in plan.layers), len(plan.layers)])
    maxima, largest = found[:, : ends[1]], found[:, ends[1] : ends[2]]
    _check(plan, batch, maxima, largest)
    start = ends[2]
    for step, vector in read.items():
        rows = found[:, start : start + vector.shape[1]]
        start += vector.shape[1]
        for one in vectors:
            if one.step == step:
                one.take(batch.indices.numpy(), rows)
    return maxima


def padded(pixels: Tensor, size: int) -> Tensor:
    """The batch filled up with black pictures. Convolutions choose their algorithm, and with it their last
    bits, by the batch's size; with one size alone, a picture's numbers do not depend on how full its batch
    was."""
    missing = size - len(pixels)
    if missing <= 0:
        return pixels
    return torch.cat([pixels, pixels.new_zeros(missing, *pixels.shape[1:])])


def _check(plan: ScanPlan, batch: Batch, maxima: np.ndarray, largest: np.ndarray) -> None:
    """largest: (n, layers), the largest mean square of each layer's maps; a NaN or infinity anywhere in them
    shows."""
    bound = LARGEST**0.5
    if np.isfinite(largest).all() and (largest <= LARGEST).all() and (np.abs(maxima) <= bound).all():
        return
    start = 0
    for number, layer in enumerate(plan.layers):
        part = maxima[:, start : start + layer.channels]
        start += layer.channels
        # NaN is never within a bound.
        bad = ~((np.abs(part) <= bound).all(1) & (largest[:, number] <= LARGEST))
        if bad.any():
            row = int(bad.argmax())
            finite = bool(np.isfinite(part[row]).all() and np.isfinite(largest[row, number]))
            what = (
                f"an activation is larger than {bound:,.0f}"
                if finite
                else "an activation is not a finite number"
            )
            raise AtlasError(
                what,
                f"layer {layer.name}, picture {int(batch.indices[row])}",
                "check that the weights belong to this network and its preprocessing",
            )


# -- fast precisions ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rescoring:
    """What re-scoring a fast scan found.

    pictures: run again in fp32; channels: with anything in their lists; reordered: channels whose nine were
    others, or stood in another order, in the fast precision; certain: channels for which no picture outside
    the candidates can belong to the nine unless the fast precision erred on it by more than twice its largest
    error on the layer's candidates."""

    pictures: int
    channels: int
    reordered: int
    certain: int


def rescore(
    network: Network,
    state: ScanState,
    read: Callable[[Sequence[int]], Iterable[Batch]],
    forward: int | None = None,
) -> tuple[ScanState, Rescoring]:
    """The nine of every channel by fp32 scores, chosen among all pictures that are a candidate of any
    channel. The statistics stay those of the fast precision.

    network: in fp32; state: of a complete scan in a fast precision; read: gives the pictures with these
    indices. This is a second forward of every candidate: it pays where the pictures are many more than the
    channels' candidates."""
    images = torch.cat([top.images.flatten() for top in state.tops.values()]).unique()
    candidates = images[images >= 0].tolist()
    exact = ScanState(replace(state.plan, precision="fp32", keep=state.plan.keep))
    for _ in scan(network, read(candidates), exact, forward=forward):
        pass
    result = ScanState.from_arrays(state.arrays())
    result.tops = exact.tops
    counts = [_compare(state.tops[name], exact.tops[name], state.pictures) for name in state.tops]
    channels, reordered, certain = (sum(part) for part in zip(*counts, strict=True))
    return result, Rescoring(len(candidates), channels, reordered, certain)


def _compare(fast: TopUnits, exact: TopUnits, pictures: int) -> tuple[int, int, int]:
    """Channels alive, reordered and certain."""
    fast_images, exact_images = fast.images.cpu(), exact.images.cpu()
    fast_values, exact_values = fast.values.cpu(), exact.values.cpu()
    alive = (fast_images[:, 0] >= 0) | (exact_images[:, 0] >= 0)
    reordered = (fast_images[:, :TOP] != exact_images[:, :TOP]).any(1)
    same = (fast_images[:, :, None] == exact_images[:, None]) & (fast_images >= 0)[:, :, None]  # (C, k, k)
    errors = (fast_values[:, :, None] - exact_values[:, None]).abs()[same]
    bound = 2 * float(errors.max()) if len(errors) else 0.0
    # A picture outside the candidates scored at most the last candidate's fast score.
    certain = exact_values[:, TOP - 1] > fast_values[:, -1] + bound
    certain |= torch.tensor(pictures <= fast.k)
    return int(alive.sum()), int((alive & reordered).sum()), int((alive & certain).sum())

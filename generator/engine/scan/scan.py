"""The scan, batch by batch: the strongest pictures and the statistics of every channel, all layers in one pass.

No activation map is kept: a layer's map is reduced as soon as it is computed, and the next step may overwrite it. The
result is a ScanState (state.py)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.engine.rounds import in_rounds
from generator.engine.scan.histograms import bin_of
from generator.engine.scan.moments import LARGEST, reduce_maps
from generator.engine.scan.plan import ScanPlan, padded
from generator.engine.scan.state import ScanState
from generator.engine.scan.stream_state import StreamReading
from generator.engine.scan.top_units import places_of
from generator.network.network import Network


class Batch(Protocol):
    """What the scan needs of a batch: the pictures' indices (n,) int64 and their pixels (n, H, W, 3) uint8."""

    @property
    def indices(self) -> Tensor: ...
    @property
    def pixels(self) -> Tensor: ...


SomeBatch = TypeVar("SomeBatch", bound=Batch)


@dataclass(frozen=True)
class Vectors:
    """One step's output, kept for every picture. take: called with the pictures' indices (n,) int64 and their vectors
    (n, F) float32, from any thread."""

    step: int
    take: Callable[[np.ndarray, np.ndarray], None]


@dataclass(frozen=True)
class Located:
    """Of some pictures the units of the maxima, in the layers that the plan locates. rows: (N,) int64, by picture the
    row that its units are kept in, −1 where they are not kept; take: called with the rows (n,) and the places (n, ΣC)
    int64, row × width + column, the channels of the located layers side by side; from any thread."""

    rows: np.ndarray
    take: Callable[[np.ndarray, np.ndarray], None]


def scan(
    network: Network,
    batches: Iterable[SomeBatch],
    state: ScanState,
    forward: int | None = None,
) -> Iterator[tuple[SomeBatch, np.ndarray]]:
    """Add every batch to the state; yield it with its pictures' scores (n, ΣC) float32, the layers' channels side by
    side in the plan's order. The state holds exactly the batches yielded so far.

    network: with the plan's layers, on its device and in the plan's dtype; forward: pictures per forward pass, the
    plan's number unless given. Raises AtlasError where an activation is not a finite number, naming the layer and the
    picture. After any error the state must not be used: it may hold part of a batch.
    """
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
    stream: StreamReading | None = None,
    located: Located | None = None,
) -> Iterator[list[tuple[SomeBatch, np.ndarray]]]:
    """As `scan`, in rounds of one batch per thread: yields each round's batches with their scores, and the state holds
    exactly the rounds yielded so far.

    On a CPU, threads that each compute a batch (device.one_thread_each) need not wait for each other at every small
    operation; the numbers are the same. vectors: outputs of further steps to
    keep for every picture; stream: where the residual stream is read on the way, each forward's pictures in ascending
    order; located: takes the places of the maxima. None of them changes the scan's numbers.
    """
    yield from in_rounds(
        lambda batch: _scan_batch(network, batch, state, forward, vectors, stream, located), batches, threads
    )


@dataclass(frozen=True)
class _BatchPart:
    """Consecutive pictures of a batch; see Batch."""

    indices: Tensor
    pixels: Tensor


def _scan_batch(
    network: Network,
    batch: Batch,
    state: ScanState,
    forward: int | None = None,
    vectors: Sequence[Vectors] = (),
    stream: StreamReading | None = None,
    located: Located | None = None,
) -> np.ndarray:
    size = forward or state.plan.batch
    parts = zip(batch.indices.split(size), batch.pixels.split(size), strict=True)
    scores = [
        _scan_forward(network, _BatchPart(*part), state, size, vectors, stream, located)
        for part in parts
        if len(part[0])
    ]
    if not scores:
        return np.zeros((0, sum(layer.channels for layer in state.plan.layers)), np.float32)
    return np.concatenate(scores)


@torch.no_grad()
def _scan_forward(
    network: Network,
    batch: Batch,
    state: ScanState,
    size: int,
    vectors: Sequence[Vectors],
    stream: StreamReading | None = None,
    located: Located | None = None,
) -> np.ndarray:
    plan, n = state.plan, len(batch.indices)
    layers = dict(zip(network.steps, plan.layers, strict=True))
    streaming = None if stream is None else stream.forward(batch.indices)
    sides = () if stream is None else stream.steps.visited
    read: dict[int, Tensor] = {}  # outputs by step, (n, F)
    pictures = network.prepare(padded(batch.pixels, size))
    images = batch.indices.to(pictures.device, non_blocking=True)
    scores: dict[str, Tensor] = {}
    squares: list[Tensor] = []
    places: list[Tensor] = []
    kept = (
        np.zeros(0, np.int64) if located is None else np.flatnonzero(located.rows[batch.indices.numpy()] >= 0)
    )
    chosen = torch.from_numpy(kept).to(pictures.device, non_blocking=True)
    wanted = {*layers, *(vector.step for vector in vectors), *sides}
    sums = {} if streaming is None else streaming.sums
    for index, maps in network.graph.visit(pictures, wanted, sums):
        known = streaming.take(index, maps) if streaming is not None and index in sides else None
        if index in layers:
            layer = layers[index]
            reduced = reduce_maps(maps[:n]) if known is None else known.of_first(n)
            scores[layer.name] = reduced.maximum.float()
            squares.append(reduced.mean_square.amax(1).float())
            known_places = None
            if layer.located and len(kept):
                places.append(places_of(maps[:n], reduced.row_maximum, chosen))
                known_places = places[-1] if len(kept) == n else None
            with state.lock:
                state.tops[layer.name].update(maps[:n], images, reduced.row_maximum, known_places)
                state.moments[layer.name].update(reduced, scores[layer.earlier] if layer.earlier else None)
        if any(vector.step == index for vector in vectors):
            read[index] = maps[:n].flatten(1).float().clone()  # the next step may overwrite it
    maximum = torch.cat(list(scores.values()), 1)
    bins = bin_of(maximum)
    with state.lock:
        state.histograms.update(bins)
    # One copy per batch: every other one would make the host wait for the device.
    parts = [maximum, torch.stack(squares, 1), *read.values()]
    parts += [] if streaming is None else [streaming.largest]
    copied = torch.cat(parts, 1).cpu().numpy()
    maxima, largest, *others = np.split(copied, np.cumsum([part.shape[1] for part in parts])[:-1], axis=1)
    _check(plan, batch, maxima, largest)
    if streaming is not None:
        streaming.finish(others.pop())
    for step, rows in zip(read, others, strict=True):
        for vector in vectors:
            if vector.step == step:
                vector.take(batch.indices.numpy(), rows)
    if located is not None and places:
        rows = located.rows[batch.indices.numpy()[kept]]
        located.take(rows, torch.cat(places, 1).to(torch.int32).cpu().numpy())
    return maxima


def _check(plan: ScanPlan, batch: Batch, maxima: np.ndarray, largest: np.ndarray) -> None:
    """Raises AtlasError for the first activation that is not a finite number or too large.

    maxima: (n, ΣC) scores; largest: (n, layers), the largest mean square of each layer's maps, in which a NaN or
    infinity anywhere in a map shows.
    """
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

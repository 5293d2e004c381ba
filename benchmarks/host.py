"""The cost of the host: the job with the arithmetic of the device replaced by instant results.

Forward passes, reductions and gradients return prepared numbers. Everything else is the job's own: passing on decoded
pictures, storing scores, cutting patches, writing tiles, encoding sprites, tables. This shows on any machine how fast a
GPU could be supplied with work. Printed by stage: wall time, and the CPU time per picture, unit or channel of the
thread that feeds the device, of the other threads of this process, and of the processes that it starts.

    python -m benchmarks.host [--pictures 400] [--channels 128]

Goals for the thread that feeds the device: 150 µs per picture of a pass over pictures, 60 µs per unit.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch as replaced

import numpy as np
import psutil
import torch
from torch import Tensor

from benchmarks._jpegs import make_jpegs
from generator.core.progress import Advance, Reporter
from generator.engine.device import avoid_page_faults
from generator.engine.gradients.switches import Switches, Units
from generator.engine.scan.scan import Batch, Located, ScanState, Vectors
from generator.engine.scan.stream_rescaled import RescaledReader, RescaledState
from generator.engine.scan.stream_state import StreamReading, StreamState
from generator.network.network import Network
from generator.stages import pipeline
from generator.stages.profile import Profile

GOALS = {"scan": 150.0, "residual stream": 150.0, "patches and gradients": 60.0}  # µs of the feeding thread


@dataclass
class Cost:
    """Seconds of a stage: wall time, and CPU time of the feeding thread, of the other threads and of the processes."""

    name: str
    unit: str
    count: int
    wall: float
    feeding: float
    other_threads: float
    processes: float


@dataclass
class Meter(Reporter):
    """A reporter that reads the CPU time of threads and processes at the beginning and the end of every stage."""

    costs: list[Cost] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        start, before = time.monotonic(), _times()
        with super().stage(name, total, unit, done) as advance:
            yield advance
        after, wall = _times(), time.monotonic() - start
        feeding, whole, processes = (b - a for a, b in zip(before, after, strict=True))
        count = next(record.count for record in reversed(self.stages) if record.name == name)
        self.costs.append(Cost(name, unit, count, wall, feeding, whole - feeding, processes))


def _times() -> tuple[float, float, float]:
    """CPU seconds so far of this thread, of this process, and of the processes that it started."""
    this_process = psutil.Process()
    children = 0.0
    for child in this_process.children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.Error:
            continue
        children += used.user + used.system
    ended = os.times()
    return time.thread_time(), time.process_time(), children + ended.children_user + ended.children_system


# -- instant results -----------------------------------------------------------------------------------------------


class Instant:
    """Replaces the device: each channel has nine random pictures, at random positions of its map."""

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures
        self._random = np.random.default_rng(0)
        self._lock = threading.Lock()
        self._filled = False
        self._scores: np.ndarray | None = None
        self._tiles: dict[tuple[int, int], np.ndarray] = {}

    def scan(
        self,
        network: Network,
        batch: Batch,
        state: ScanState,
        size: int,
        vectors: tuple[Vectors, ...] = (),
        stream: StreamReading | None = None,
        located: Located | None = None,
    ) -> np.ndarray:
        """Replaces scan._scan_forward."""
        n = len(batch.indices)
        with self._lock:
            if not self._filled:
                self._fill(state)
            for moments in state.moments.values():
                moments.pictures += n
            if stream is not None:
                if not stream.state.pictures:
                    self._fill_stream(state, stream.state)
                stream.state.pictures += n
        if stream is not None:
            rows = stream.rows[batch.indices.numpy()]
            channels = sum(2 * block.channels for block in stream.steps.blocks)
            stream.keep(rows[rows >= 0], self._random.random((int((rows >= 0).sum()), channels), np.float32))
        channels = sum(layer.channels for layer in state.plan.layers)
        if self._scores is None:
            self._scores = self._random.random((size, channels), np.float32)
        for vector in vectors:
            length = network.graph.shapes(network.preprocessing.size)[vector.step][0]
            vector.take(batch.indices.numpy(), self._random.random((n, length), np.float32))
        if located is not None:
            rows = located.rows[batch.indices.numpy()]
            channels = sum(layer.channels for layer in state.plan.located)
            located.take(rows[rows >= 0], np.zeros((int((rows >= 0).sum()), channels), np.int64))
        return self._scores[:n]

    def _fill(self, state: ScanState) -> None:
        self._filled = True
        for layer in state.plan.layers:
            top, moments = state.tops[layer.name], state.moments[layer.name]
            shape = top.arrays()["key"].shape
            pictures = np.stack(
                [self._random.choice(self.pictures, shape[1], replace=False) for _ in range(shape[0])]
            )
            values = np.sort(self._random.random(shape, np.float32) + 0.5, axis=1)[:, ::-1]
            bits = np.ascontiguousarray(values).view(np.int32).astype(np.int64)
            key = torch.from_numpy((bits << 32) | (2**31 - 1 - pictures))
            position = torch.from_numpy(self._random.integers(0, layer.height * layer.width, shape))
            state.tops[layer.name] = type(top).from_arrays(
                {"key": key.numpy(), "place": position.numpy()}, signed=layer.signed
            )
            moments.maximum = torch.ones_like(moments.maximum)

    def _fill_stream(self, state: ScanState, stream: StreamState) -> None:
        """The scan's pictures are those of the stream's lists too."""
        for name, parts in stream.parts.items():
            lists = state.tops[name].arrays()
            values = self._random.random((*lists["key"].shape, 2), np.float32)
            stream.parts[name] = type(parts).from_arrays({**lists, "parts": values}, signed=parts.top.signed)
            for side in ("input", "block"):
                top = {"key": lists["key"], "beside": values}
                stream.tops[name, side] = type(stream.tops[name, side]).from_arrays(top)

    @staticmethod
    def rescaled(reader: RescaledReader, pixels: Tensor, forward: int) -> Tensor:
        """Replaces stream_rescaled.read_rescaled."""
        return pixels

    @staticmethod
    def update(state: RescaledState, readings: Tensor, listed: Any) -> None:
        """Replaces RescaledState.update."""
        state.pictures += len(readings)

    @staticmethod
    def switches(network: Network, pictures: Tensor, last: str | None = None, **_: Any) -> Switches:
        """Replaces switches.forward_switches."""
        return Switches({}, {}, {}, {})

    @staticmethod
    def crops(network: Network, pictures: Tensor, layer: str, units: Units) -> tuple[Tensor, Units]:
        """Replaces switches.crops."""
        return pictures[:1], units

    def tiles(self, kinds: int, units: Units, native: int) -> tuple[list[np.ndarray], np.ndarray]:
        """Replaces GradientPictures.tiles; no unit has a focus."""
        key = len(units), native
        if key not in self._tiles:
            self._tiles[key] = np.full((*key, native, 3), 128, np.uint8)
        return [self._tiles[key]] * kinds, np.zeros((len(units), 3), np.int64)


def main() -> None:
    options = _options()
    avoid_page_faults()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        make_jpegs(Path(work) / "pictures", options.pictures)
        profile = Profile.model_validate(
            {
                "name": options.model,
                "network": {"model": options.model, "weights": "random"},
                "pictures": {"folder": str(Path(work) / "pictures")},
                "layers": {"which": options.layers, "channels": options.channels},
                "compute": {"device": "cpu", "workers": 1},
                "effects": {"enabled": False},  # its passes are not replaced
            }
        )
        meter = Meter()
        run(profile, Path(work) / "atlas", meter)
    print(f"\n{options.model}, {options.pictures:,} pictures, {os.cpu_count()} cores: µs of CPU time each\n")
    print(
        "| stage | count | wall s | feeding thread | other threads | processes | goal |\n|---|---|---|---|---|---|---|"
    )
    for cost in meter.costs:
        each = 1e6 / max(1, cost.count)
        goal = f"{GOALS[cost.name]:.0f}" if cost.name in GOALS else ""
        cells = (cost.feeding * each, cost.other_threads * each, cost.processes * each)
        numbers = " | ".join(f"{cell:,.0f}" for cell in cells)
        print(f"| {cost.name} | {cost.count:,} {cost.unit} | {cost.wall:.1f} | {numbers} | {goal} |")


def run(profile: Profile, folder: Path, meter: Meter) -> None:
    """Run the job with instant results."""
    instant = Instant(len(list(Path(str(profile.pictures.folder)).iterdir())))
    with ExitStack() as opened:
        for name, substitute in (
            ("generator.engine.scan.scan._scan_forward", instant.scan),
            ("generator.stages.residual_stream.read_rescaled", instant.rescaled),
            ("generator.engine.scan.stream_rescaled.RescaledState.update", instant.update),
            ("generator.stages.unit_pictures.forward_switches", instant.switches),
            ("generator.stages.unit_pictures.crops", instant.crops),
            (
                "generator.methods.gradients.GradientPictures.tiles",
                lambda made, switches, layer, units, native, seen=None: instant.tiles(
                    len(made.kinds), units, native
                ),
            ),
            ("generator.stages.residual_stream.write_feeds", lambda *_: None),  # there are no sums to read
            ("generator.stages.announcement.estimate", lambda *_, **__: None),
        ):
            opened.enter_context(replaced(name, substitute))
        pipeline.compute(profile, folder, meter)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--layers", default="blocks", choices=["blocks", "all"])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--work", help="where the pictures and the atlas go meanwhile")
    return parser.parse_args()


if __name__ == "__main__":
    main()

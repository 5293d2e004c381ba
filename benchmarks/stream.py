"""What the residual stream costs, in units of the scan: what the scan becomes slower by, and the pass over rescaled
pictures.

    python -m benchmarks.stream [--model demo] [--weights FILE] [--images FOLDER] [--pictures 128] [--repeats 5]

In one process, in turns: the scan of all block outputs, the same with the stream read along, and both rescaled copies
of every picture. Pixels are decoded before; without a folder they are noise. Every turn has a ratio of its own."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from benchmarks._timing import Spread, take_turns
from benchmarks.scan import Preloaded
from generator.engine.device import avoid_page_faults, choose_device, one_thread_each
from generator.engine.rounds import in_rounds
from generator.engine.scan.plan import ScanPlan, forward_batch
from generator.engine.scan.scan import scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.engine.scan.stream import StreamPlan, StreamSteps
from generator.engine.scan.stream_rescaled import Listed, RescaledReader, RescaledState, read_rescaled
from generator.engine.scan.stream_state import StreamReading, StreamState
from generator.network import models
from generator.network.network import Network
from generator.pictures.batch_reader import read_batches
from generator.pictures.reading import find_pictures


class Runs:
    """The three passes over the same pictures, decoded. network: on its device, with the layers to scan."""

    def __init__(self, network: Network, pixels: Tensor, threads: int) -> None:
        self.network, self.threads = network, threads
        self.batch = forward_batch(network, network.device.type)
        self.plan = StreamPlan.of(network, self.batch)
        numbers = torch.arange(len(pixels)).split(self.batch)
        self.batches = [Preloaded(images, pixels[images]) for images in numbers]
        nothing = torch.empty(0, dtype=torch.int64)
        blocks = [block.name for block in self.plan.blocks]
        self.listed = {(name, side): Listed(*[nothing] * 3) for name in blocks for side in ("block", "input")}

    def scan(self) -> None:
        """The scan alone."""
        self._scan(None)

    def along(self) -> None:
        """The scan with the stream read along; no sample is kept."""
        pictures = sum(len(batch.indices) for batch in self.batches)
        state, steps = StreamState(self.plan, self.network.device), StreamSteps.of(self.network, self.plan)
        self._scan(StreamReading(steps, state, np.full(pictures, -1), lambda *_: None))

    def _scan(self, stream: StreamReading | None) -> None:
        state = ScanState.empty(ScanPlan.of(self.network, self.batch), self.network.device)
        with one_thread_each(self.network.device):
            for _ in scan_side_by_side(
                self.network, self.batches, state, threads=self.threads, stream=stream
            ):
                pass

    def rescaled(self) -> None:
        """The pass over rescaled pictures."""
        reader = RescaledReader.of(self.network, self.plan)
        state = RescaledState(self.plan, self.network.device)

        def read(batch: Preloaded) -> None:
            state.update(read_rescaled(reader, batch.pixels, self.batch), self.listed)

        with one_thread_each(self.network.device):
            for _ in in_rounds(read, self.batches, self.threads):
                pass


def main() -> None:
    options = _options()
    avoid_page_faults()
    device = choose_device(options.device, threads=options.threads)
    network = models.load(options.model, options.weights)
    network = network.keep([layer.name for layer in network.layers if not layer.is_inner])
    pixels = _pixels(network, options.images, options.pictures)
    threads = 1 if device.type == "cuda" else torch.get_num_threads()
    runs = Runs(network.to(device, torch.float32), pixels, threads)
    turns: dict[str, Callable[[], object]] = {
        "scan": runs.scan,
        "scan with the stream": runs.along,
        "rescaled": runs.rescaled,
    }
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds = take_turns(turns, options.repeats, clock=clock)
    print(
        f"{options.model}, {len(pixels)} pictures of {' × '.join(map(str, pixels.shape[1:3]))} px, {device.type}"
    )
    for name, values in seconds.items():
        print(f"{name:24s} {Spread.of(values)} s")
    scan, along, rescaled = (np.array(values) for values in seconds.values())
    ratios = {
        "the scan slower by": along / scan - 1,
        "rescaled / scan": rescaled / scan,
        "stream / scan": (along - scan + rescaled) / scan,
    }
    for name, values in ratios.items():
        print(f"{name:24s} {Spread.of(values.tolist())}")


def _pixels(network: Network, folder: str | None, count: int) -> Tensor:
    """(n, H, W, C) uint8, on the CPU."""
    preprocessing = network.preprocessing
    if folder is None:
        shape = (count, *preprocessing.size, preprocessing.channels)
        generator = torch.Generator().manual_seed(0)
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    pictures = find_pictures(folder, limit=count)
    chosen = np.arange(min(count, len(pictures.files)))
    return torch.cat(
        [batch.pixels for batch in read_batches(pictures, chosen, preprocessing, batch=32, workers=0)]
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="demo")
    parser.add_argument("--weights", help="a file, 'random', or the model's own")
    parser.add_argument("--images", help="a folder of pictures")
    parser.add_argument("--pictures", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cpu-time", action="store_true", help="seconds of CPU time instead of wall time")
    return parser.parse_args()


if __name__ == "__main__":
    main()

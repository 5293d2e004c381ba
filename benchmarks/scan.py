"""The scan against the bare forward pass, and against zennit-crp's pass over the same pictures.

    python -m benchmarks.scan [--batch 32] [--repeats 3] [--images FOLDER] [--precision fp32]

ResNet-50 at 224 px with random weights; pixels are already decoded unless a folder is given. All runs share one process
and so one allocator: page faults are avoided for torchvision's bare forward pass too, which doubles its rate. Its rate
with glibc's defaults needs a separate process (--default-malloc measures only that forward pass)."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor

from benchmarks._timing import report, take_turns
from generator.engine.device import avoid_page_faults, choose_device, one_thread_each
from generator.engine.scan.plan import ScanPlan
from generator.engine.scan.scan import scan, scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.network import models
from generator.network.network import Network
from generator.pictures.batch_reader import read_batches
from generator.pictures.reading import find_pictures


@dataclass(frozen=True)
class Preloaded:
    """A batch with decoded pixels. indices: (B,) int64; pixels: (B, 224, 224, 3) uint8."""

    indices: Tensor
    pixels: Tensor


def main() -> None:
    options = _options()
    if not options.default_malloc:
        avoid_page_faults()
    device = choose_device(options.device, threads=options.threads)
    module = torchvision.models.resnet50(weights=None).eval().to(device)
    network = models.load("resnet50", "random")
    pixels = torch.randint(0, 256, (options.batch, 224, 224, 3), dtype=torch.uint8)
    eager = torch.randn(options.batch, 3, 224, 224, device=device)
    side_by_side = 1 if device.type == "cuda" else torch.get_num_threads()  # batches per round, for all runs
    runs: dict[str, Callable[[], object]] = {
        "torchvision, eager": lambda: _repeat(lambda: _eager(module, eager), side_by_side)
    }
    if options.default_malloc:
        report(
            "Bare forward with glibc's defaults",
            take_turns(runs, options.repeats),
            options.batch * side_by_side,
            "pictures",
            [],
        )
        return
    blocks = network.keep([layer.name for layer in network.layers if layer.kind == "block"])
    float32 = network.to(device, torch.float32)
    last = blocks.steps[-1]
    runs |= {
        "best bare forward": lambda: _repeat(lambda: _bare(float32, pixels, last), side_by_side),
        "the same, unfused": lambda: _repeat(lambda: _unfused(float32, pixels, last), side_by_side),
        "scan, block outputs": _scan(blocks, pixels, device, options.precision),
        "scan, all layers": _scan(network, pixels, device, options.precision),
    }
    if (crp := _zennit_crp(module, eager)) is not None:
        runs["zennit-crp, block outputs"] = lambda: _repeat(crp, side_by_side)
    clock = time.process_time if options.cpu_time else time.perf_counter
    seconds = take_turns(runs, options.repeats, clock=clock)
    against = ["torchvision, eager", "best bare forward", "the same, unfused"]
    report(
        f"Scan of ResNet-50, batch {options.batch}, {options.precision}",
        seconds,
        options.batch * side_by_side,
        "pictures",
        against,
    )
    if options.images:
        _from_folder(options, blocks, device)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", help="a folder: also scan from the files, decoding in worker processes")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "tf32", "bf16"], default="fp32")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--default-malloc", action="store_true", help="only the bare forward pass")
    return parser.parse_args()


def _repeat(run: Callable[[], object], times: int) -> None:
    for _ in range(times):
        run()


@torch.inference_mode()
def _eager(module: torch.nn.Module, x: Tensor) -> Tensor:
    return module(x)


@torch.inference_mode()
def _bare(network: Network, pixels: Tensor, last: int) -> None:
    """Forward pass: folded, channels_last, with additions and ReLUs fused into the convolutions."""
    for _ in network.graph.visit(network.prepare(pixels), {last}):
        pass


@torch.inference_mode()
def _unfused(network: Network, pixels: Tensor, last: int) -> None:
    """Forward pass: folded, channels_last, one call per operation, the best that torch alone offers."""
    for index, _ in network.graph.run(network.prepare(pixels)):
        if index == last:
            break


def _scan(network: Network, pixels: Tensor, device: torch.device, precision: str) -> Callable[[], None]:
    """A scan in its steady state: of each batch, half of the channels add one picture to their lists, the others none.
    (A channel adds 51 of the first thousand pictures, and 87 of the first 50,000.)"""
    plan = ScanPlan.of(network, len(pixels), precision)  # type: ignore[arg-type]
    state = ScanState.empty(plan, device)
    ready = network.to(device, plan.dtype)
    with one_thread_each(device) as threads:
        pass
    batches = [
        Preloaded(torch.arange(len(pixels)) + len(pixels) * number, pixels) for number in range(threads)
    ]
    for _ in scan(ready, batches, state):
        pass
    for top in state.tops.values():
        # Unbeatable scores, except for the last entry of every second channel's list, which each run clears.
        top._key[:] = 2**62
    filled = {name: top._key.clone() for name, top in state.tops.items()}

    def run() -> None:
        for name, top in state.tops.items():
            top._key.copy_(filled[name])
            top._key[::2, -1] = 0
        with one_thread_each(device):  # as in the job: one thread per core, each with a batch
            for _ in scan_side_by_side(ready, batches, state, threads=threads):
                pass

    return run


def _zennit_crp(module: torch.nn.Module, x: Tensor) -> Callable[[], None] | None:
    """The feature visualisation pass of zennit-crp over a batch, None if it is not installed."""
    try:
        from crp.attribution import CondAttribution
        from crp.concepts import ChannelConcept
        from crp.visualization import FeatureVisualization
    except ImportError:
        print("zennit-crp is not installed and left out (pip install zennit-crp)")
        return None
    names = [name for name, _ in module.named_modules() if name.count(".") == 1 and name.startswith("layer")]
    data = [(picture, 0) for picture in x.cpu()]

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            concepts = {name: ChannelConcept() for name in names}
            visualization = FeatureVisualization(CondAttribution(module), data, concepts, path=folder)
            from zennit.composites import EpsilonPlusFlat

            visualization.run(EpsilonPlusFlat(), 0, len(data), len(data))

    return run


def _from_folder(options: argparse.Namespace, network: Network, device: torch.device) -> None:
    plan = ScanPlan.of(network, options.batch, options.precision)
    pictures = find_pictures(options.images, limit=8 * options.batch)
    ready = network.to(device, plan.dtype)
    workers = max(1, (os.cpu_count() or 1) // 4)

    def batches() -> Iterator:
        indices = range(len(pictures))
        return read_batches(pictures, indices, network.preprocessing, batch=options.batch, workers=workers)

    def run() -> None:
        for _ in scan(ready, batches(), ScanState.empty(plan, device)):
            pass

    seconds = take_turns({"scan from files": run}, 2, warmups=0)
    report(f"From a folder, {workers} decoding processes", seconds, len(pictures), "pictures", [])


if __name__ == "__main__":
    main()

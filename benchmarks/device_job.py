"""The whole job on a GPU against its lower bounds: ResNet-50 with 5,000 and then 50,000 JPEGs of ImageNet's usual size,
all products of a default job, and the GPU's load in each stage.

    python -m benchmarks.device_job [--pictures 5000 50000] [--layers all] [--weights FILE]

Takes about eight minutes on an H100 with 16 cores, and needs only torch, torchvision and the packages of
pyproject.toml. Weights are random by default, because the work is the same as with trained weights. Without a GPU it
runs on the CPU, where a hundred pictures show that it works (--pictures 100 --channels 4). A job that fails, or is
stopped by SIGTERM, prints the stages that it completed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from benchmarks._floors import convolution_rate
from benchmarks._jpegs import make_jpegs
from benchmarks.whole_job import floors, machine_name
from generator.core.progress import Advance, Reporter
from generator.engine.device import avoid_page_faults, choose_device
from generator.stages.pipeline import compute
from generator.stages.profile import Profile

SAMPLING_SECONDS = 0.25  # between two samples of the GPU's load
GPU_STAGES = ("scan", "residual stream", "patches and gradients")


@dataclass
class Timeline(Reporter):
    """A reporter that records when each stage began and ended, in seconds of time.monotonic."""

    spans: list[tuple[str, float, float]] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        start = time.monotonic()
        with super().stage(name, total, unit, done) as advance:
            yield advance
        self.spans.append((name, start, time.monotonic()))


class Load:
    """Samples the GPU's load while the job runs; without nvidia-smi it has no samples."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, float, float]] = []  # time, percent busy, MB in use
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Load:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        if shutil.which(command[0]) and torch.cuda.is_available():
            command.append(f"--loop-ms={int(SAMPLING_SECONDS * 1000)}")
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()

    def _read(self) -> None:
        output = None if self._process is None else self._process.stdout
        for line in output or ():
            with contextlib.suppress(ValueError):
                busy, memory = (float(part) for part in line.split(","))
                self.samples.append((time.monotonic(), busy, memory))

    def mean(self, start: float, end: float) -> float | None:
        """The mean percentage busy between two times, None without samples."""
        values = [busy for when, busy, _ in self.samples if start <= when <= end]
        return sum(values) / len(values) if values else None


def main() -> None:
    options = _options()
    # A machine whose time is up ends this process by SIGTERM; the stages so far are printed before.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    avoid_page_faults()
    device = choose_device(options.device)
    print(
        f"{machine_name(device)}, {os.cpu_count()} cores, torch {torch.__version__}, Python {sys.version.split()[0]}",
        flush=True,
    )
    rate = convolution_rate(device)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        start = time.monotonic()
        make_jpegs(Path(work) / "pictures", max(options.pictures))
        print(f"{max(options.pictures):,} JPEGs made in {time.monotonic() - start:.1f} s", flush=True)
        for count in options.pictures:
            run(options, Path(work), count, rate)


def run(options: argparse.Namespace, work: Path, count: int, rate: float) -> None:
    """Run a job over the first `count` pictures and print its table. rate: of a large convolution, FLOP/s."""
    atlas = work / f"atlas-{count}"
    compute_section = {"device": options.device, "batch": options.batch}
    profile = Profile.model_validate(
        {
            "name": options.model,
            "network": {"model": options.model, "weights": options.weights},
            "pictures": {"folder": str(work / "pictures"), "limit": count},
            "layers": {"which": options.layers, "channels": options.channels},
            "compute": {key: value for key, value in compute_section.items() if value is not None},
        }
    )
    reporter, least = Timeline(), {}
    with Load() as load:
        start = time.monotonic()
        try:
            store = compute(profile, atlas, reporter)
            end = time.monotonic()
            least = floors(profile, store, rate)
        except BaseException:  # a job that fails, or is stopped, still shows the stages that it completed
            _print_table(options, count, reporter, load, {}, (start, time.monotonic()), "stopped after ")
            raise
    _print_table(options, count, reporter, load, least, (start, end))
    size = sum(path.stat().st_size for path in atlas.rglob("*") if path.is_file())
    print(f"atlas: {size / 1e6:,.0f} MB", flush=True)
    shutil.rmtree(atlas)


def _print_table(
    options: argparse.Namespace,
    count: int,
    reporter: Timeline,
    load: Load,
    least: dict[str, float],
    times: tuple[float, float],
    what: str = "",
) -> None:
    """Print the stages that are complete. least: by stage, a lower bound in seconds; times: when the job began and
    ended."""
    start, end = times
    print(f"\n{options.model}, {count:,} pictures, {options.layers}: {what}{end - start:.1f} s\n")
    print(
        "| stage | start, s | count | seconds | per second | × lower bound | GPU busy |\n|---|---|---|---|---|---|---|"
    )
    begun = {name: (first, last) for name, first, last in reporter.spans}
    for stage in reporter.stages:
        first, last = begun.get(stage.name, (None, None))
        floor = least.get(stage.name)
        busy = None if first is None or last is None else load.mean(first, last)
        cells = (
            stage.name,
            "" if first is None else f"{first - start:.0f}",
            f"{stage.count:,} {stage.unit}",
            f"{stage.seconds:.1f}",
            f"{stage.count / stage.seconds:,.0f}" if stage.seconds else "",
            f"{stage.seconds / floor:.1f} × {floor:,.1f} s" if floor else "",
            "" if busy is None else f"{busy:.0f} %",
        )
        print("| " + " | ".join(cells) + " |")
    spans = [span for span in reporter.spans if span[0] in GPU_STAGES]
    samples = [busy for when, busy, _ in load.samples if any(a <= when <= b for _, a, b in spans)]
    if samples:
        whole = load.mean(start, end)
        memory = max(used for *_, used in load.samples)
        print(
            f"\nGPU busy {sum(samples) / len(samples):.0f} % of scan, stream and gradients, {whole:.0f} % of the whole "
            f"job; at most {memory:,.0f} MB in use"
        )
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--layers", default="blocks", choices=["blocks", "all"])
    parser.add_argument("--channels", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--work", help="a folder for the pictures and the atlas during the run")
    return parser.parse_args()


if __name__ == "__main__":
    main()

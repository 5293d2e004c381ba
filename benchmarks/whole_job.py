"""The whole job against its lower bounds: ResNet-50, JPEGs of ImageNet's usual size, block outputs or all layers.

Lower bounds: operations of forward passes and cones at the measured rate of a large convolution; JPEGs at the measured
decode rate of all cores; sprites at the measured encode rate of all cores. Weights are random and JPEGs drawn, because
the work is the same as with real ones. 50,000 pictures need a GPU; on two cores use --pictures 100 --channels 16, or
real pictures:

    python -m benchmarks.whole_job --model resnet50-caffe --weights FILE --images FOLDER

    python -m benchmarks.whole_job --pictures 50000 [--layers all] [--device cuda]

Or the whole site of one of the package's profiles, pages and links included, with processor time beside the clock's
seconds: on a machine with other work it says more.

    python -m benchmarks.whole_job --profile demo
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks._floors import cone_operations, convolution_rate, forward_operations
from benchmarks._jpegs import make_jpegs
from generator.core.progress import Advance, Reporter
from generator.core.records import Preprocessing
from generator.core.sprites import QUICK_METHOD, webp
from generator.core.store import Store
from generator.engine.device import avoid_page_faults, choose_device
from generator.engine.gradients.unit_gradients import Units, forward_switches
from generator.pictures.decoding import read_picture
from generator.site.links import check_links
from generator.site.render import render_site
from generator.stages.opening import open_network
from generator.stages.pipeline import compute
from generator.stages.profile import Profile, load

SAMPLED_UNITS = 200  # units per layer whose cones are counted


def main() -> None:
    options = _options()
    if options.profile:
        _site(options.profile, options.work)
        return
    avoid_page_faults()
    device = choose_device(options.device)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folder = Path(work)
        if options.images is None:
            make_jpegs(folder / "pictures", options.pictures)
        profile = Profile.model_validate(
            {
                "name": options.model,
                "network": {"model": options.model, "weights": options.weights},
                "pictures": {"folder": options.images or str(folder / "pictures")},
                "layers": {"which": options.layers, "channels": options.channels},
                "compute": {"device": options.device, "precision": options.precision, "batch": options.batch},
            }
        )
        reporter = Reporter()
        rates = [convolution_rate(device)]
        start = time.perf_counter()
        store = compute(profile, Path(options.atlas or folder / "atlas"), reporter)
        seconds = time.perf_counter() - start
        rates.append(convolution_rate(device))
        pictures = store.manifest().pictures.count
        print(f"\n{options.model}, {pictures:,} pictures on {machine_name(device)}: {seconds:.1f} s\n")
        _table(reporter, floors(profile, store, statistics.mean(rates)))
        print(
            f"\na large convolution before and after: {rates[0] / 1e9:,.0f} and {rates[1] / 1e9:,.0f} GFLOP/s"
        )


@dataclass
class _Timed(Reporter):
    """Records processor time by stage too: of this process and of those that worked for it and have ended. Stages that
    ran beside each other in the background have no time of their own."""

    used: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int, unit: str, done: int = 0) -> Iterator[Advance]:
        begun = _processor_time()
        with super().stage(name, total, unit, done) as advance:
            yield advance
        self.used[name] = _processor_time() - begun

    @contextmanager
    def waiting(self, name: str, unit: str = "") -> Iterator[Advance]:
        begun = _processor_time()
        with super().waiting(name, unit) as advance:
            yield advance
        self.used[name] = _processor_time() - begun


def _processor_time() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _site(name: str, work: str | None) -> None:
    """Compute and render a profile as `atlas site` does, and print what each stage took."""
    begun, reporter = time.perf_counter(), _Timed()
    with tempfile.TemporaryDirectory(dir=work) as folder:
        store = compute(load(name), Path(folder, name), reporter, site=True)
        site = Path(folder, "site")
        with reporter.stages_by_call("pages") as progress:
            render_site([store.folder], site, progress=progress)
            broken = check_links(site, lambda done, total: progress("links", done, total))
        seconds = time.perf_counter() - begun
    print(f"\n{name}, {os.cpu_count()} cores: {seconds:.1f} s, start of the program left out; ", end="")
    print(f"processor time since its start {_processor_time():.1f} s; {len(broken)} broken links\n")
    print("| stage | count | seconds | processor time, s |\n|---|---|---|---|")
    for stage in reporter.stages:
        used = f"{reporter.used[stage.name]:.1f}" if stage.name in reporter.used else "beside others"
        print(f"| {stage.name} | {stage.count:,} {stage.unit} | {stage.seconds:.1f} | {used} |")


def _table(reporter: Reporter, floors: dict[str, float]) -> None:
    print("| stage | count | seconds | per second | × lower bound |\n|---|---|---|---|---|")
    for stage in reporter.stages:
        rate = stage.count / stage.seconds if stage.seconds else 0.0
        floor = floors.get(stage.name)
        times = f"{stage.seconds / floor:.2f} × {floor:,.1f} s" if floor else ""
        print(
            f"| {stage.name} | {stage.count:,} {stage.unit} | {stage.seconds:.1f} | {rate:,.0f} | {times} |"
        )


def floors(profile: Profile, store: Store, rate: float) -> dict[str, float]:
    """A lower bound for the seconds of each stage. rate: of a large convolution, FLOP/s."""
    network, cores = open_network(profile).to("cpu", torch.float32), os.cpu_count() or 1
    count = store.manifest().pictures.count
    forward = forward_operations(network) * count / rate
    files = [Path(str(profile.pictures.folder)) / record.path for record in store.tables.images()][
        :: max(1, count // 100)
    ]
    decode = count / (_decode_rate(files, network.preprocessing) * cores)
    side = network.preprocessing.crop
    sizes = forward_switches(network, torch.zeros(1, 3, side, side)).sizes
    cones = 0.0
    sprites = 0
    for layer in network.layers:
        numbers = store.arrays.layer(layer.name)
        channel, slot = np.nonzero(numbers["top_image"][: profile.layers.channels] >= 0)
        sample = np.random.default_rng(0).permutation(len(channel))[:SAMPLED_UNITS]
        row, column = numbers["top_unit"][channel[sample], slot[sample]].T
        columns = (np.zeros_like(channel[sample]), channel[sample], row, column)
        units = Units(*(torch.from_numpy(part.astype(np.int64)) for part in columns))
        cones += cone_operations(network, layer.name, sizes, units)[1] / max(1, len(sample)) * len(channel)
        sprites += len(np.unique(channel))
    return {
        "scan": max(forward, decode),
        "patches and gradients": forward + cones / rate,
        "sprites": sprites / (_encode_rate(store.folder) * cores),
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", help="one of the package's profiles: its whole site instead")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--images", help="a folder of pictures instead of drawn JPEGs")
    parser.add_argument("--pictures", type=int, default=1000, help="number of drawn JPEGs")
    parser.add_argument("--layers", default="blocks", choices=["blocks", "all"])
    parser.add_argument("--channels", type=int)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--atlas", help="a folder for the atlas, which is kept")
    parser.add_argument("--work", help="a folder for the JPEGs and the atlas during the run")
    return parser.parse_args()


def _decode_rate(paths: list[Path], preprocessing: Preprocessing) -> float:
    """Pictures per second that one core decodes."""
    start = time.perf_counter()
    for path in paths:
        read_picture(path, preprocessing)
    return len(paths) / (time.perf_counter() - start)


def _encode_rate(folder: Path) -> float:
    """Sprites of this atlas per second that one core encodes."""
    sprites = [np.asarray(Image.open(path)) for path in sorted(folder.glob("sprites/*/*.webp"))[::50][:40]]
    start = time.perf_counter()
    for sprite in sprites:
        webp(sprite, 75, method=QUICK_METHOD)
    return len(sprites) / (time.perf_counter() - start)


def machine_name(device: torch.device) -> str:
    """The name of the GPU, or the number of cores."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{os.cpu_count()} cores"


if __name__ == "__main__":
    main()

"""Guided gradients of single units of ResNet-50 at 224 px: Captum, a plain autograd loop, and the cone.

    python -m benchmarks.unit_gradients [--repeats 3] [--layers res2c …] [--threads 1 --cpu-time] [--whole]

Random weights and pictures; all ways take turns in one process, page faults avoided for all of them.

- captum: NeuronGuidedBackprop, one unit and its picture a row, the best of some batch sizes;
- autograd loop: no hooks, whole pictures in batches, stopped at the layer, folded, channels_last;
- cone: the backward pass alone, its switches at hand;
- cone, forward shared: with the share of a forward pass that a unit bears in the whole job, where one forward
  serves a picture's units of every layer (15,104 channels × 9 units over 1,000 pictures: 136 a picture);
- crop and cone: units that share no picture, each with a forward pass on its own crop.

--whole: besides, seconds for all 135,936 block-output units, beside the floor that the rate of a large
convolution gives for the multiplications within the cones.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import torch
import torchvision
from torch import Tensor

from benchmarks._floors import cone_operations, convolution_rate
from benchmarks._timing import Spread, machine, ratio, take_turns
from generator.engine.device import avoid_page_faults, choose_device, one_thread_each
from generator.engine.gradients.unit_gradients import Switches, UnitGradients, Units, forward_switches
from generator.network import models
from generator.network.network import Network

UNITS_A_PICTURE = 136  # 15,104 channels × 9 units over 1,000 pictures
CONE_UNITS = {"res2c": 512, "res3d": 128, "res4f": 32, "res5c": 32}
# For --whole, by stage: a thread's units at once. A group of the whole job brings 79, 159, 318 and 635 of a layer; the
# more there are, the closer together are those of a batch, and the more of their windows is cut off at the border.
WHOLE_UNITS = {2: 80, 3: 160, 4: 160, 5: 160}
TARGETS = {"res2c": "120 and 70", "res3d": "20 and 9", "res4f": "2.8", "res5c": "2.5"}


@dataclass(frozen=True)
class Bench:
    """What all ways share. pictures: (P, 3, 224, 224)."""

    module: torch.nn.Module
    network: Network
    pictures: Tensor
    dtype: torch.dtype | None

    def units(self, layer: str, count: int) -> Units:
        info = self.network.layer(layer)
        limits = (info.channels, info.height, info.width)
        picture = (torch.arange(count) * len(self.pictures)) // count
        return Units(picture, *(torch.randint(0, limit, (count,)) for limit in limits))


def main() -> None:
    options = _options()
    avoid_page_faults()
    device = choose_device(options.device, threads=options.threads)
    torch.manual_seed(0)
    module = torchvision.models.resnet50(weights=None).eval().to(device)
    network = models.load("resnet50", "random").to(device, torch.float32)
    pictures = torch.randn(options.pictures, 3, 224, 224, device=device).contiguous(
        memory_format=torch.channels_last
    )
    bench = Bench(module, network, pictures, torch.bfloat16 if options.precision == "bf16" else None)
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(f"{machine()}; {options.repeats} interleaved rounds; {options.precision}", end="")
    print(", processor time" if options.cpu_time else "")
    for layer in options.layers:
        _compare(bench, layer, options.repeats, clock)
    if options.whole:
        _whole(bench, clock)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", nargs="*", default=list(CONE_UNITS), choices=list(CONE_UNITS))
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--cpu-time", action="store_true", help="time of this process, for a crowded machine")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of our backward pass")
    parser.add_argument("--whole", action="store_true", help="also estimate all units of all blocks")
    return parser.parse_args()


def _compare(bench: Bench, layer: str, repeats: int, clock: Callable[[], float]) -> None:
    """One table: units a second of every way at one layer, and how many times Captum's best that is."""
    network, count = bench.network, CONE_UNITS[layer]
    engine = UnitGradients(network, "guided", dtype=bench.dtype)
    switches = forward_switches(network, bench.pictures, layer)
    shared = bench.units(layer, count)
    # Crops are small: each picture serves several times, but nothing is kept from one time to the next.
    lonely = bench.units(layer, len(bench.pictures) * max(1, min(count // len(bench.pictures), 16)))
    runs: dict[str, tuple[int, Callable[[], object]]] = {}
    for batch in (1, 4):
        runs[f"captum, batch {batch}"] = (
            batch,
            partial(_captum, bench, layer, bench.units(layer, batch), batch),
        )
    runs["autograd loop, batch 4"] = (4, partial(_loop, bench, layer, bench.units(layer, 4)))
    runs["forward"] = (len(bench.pictures), partial(forward_switches, network, bench.pictures))
    runs["cone"] = (count, partial(engine.gradients, switches, layer, shared))
    runs["crop and cone"] = (len(lonely), partial(engine.unshared, bench.pictures, layer, lonely))
    seconds = take_turns({name: run for name, (_, run) in runs.items()}, repeats, clock=clock)
    each = {name: [one / runs[name][0] for one in times] for name, times in seconds.items()}  # seconds a unit
    each["cone, forward shared"] = [
        cone + forward / UNITS_A_PICTURE for cone, forward in zip(each["cone"], each["forward"], strict=True)
    ]
    captum = min(("captum, batch 1", "captum, batch 4"), key=lambda name: Spread.of(each[name]).middle)
    print(f"\n### {layer} (targets: × {TARGETS[layer]})\n\n| | units a second | × {captum} |\n|---|---|---|")
    for name, times in each.items():
        print(f"| {name} | {Spread.of([1 / t for t in times])} | {ratio(times, each[captum])} |")


def _captum(bench: Bench, layer: str, units: Units, batch: int) -> None:
    from captum.attr import NeuronGuidedBackprop

    part = bench.module.get_submodule(bench.network.layer(layer).path)
    # Captum takes one neuron for a whole batch of pictures.
    neuron = tuple(int(column[0]) for column in (units.channel, units.row, units.column))
    NeuronGuidedBackprop(bench.module, part).attribute(bench.pictures[:batch].clone(), neuron)


class _GuidedReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (x > 0)


def _loop(bench: Bench, layer: str, units: Units) -> Tensor:
    """Whole pictures, one unit a picture, autograd over the folded network up to the layer."""
    end = bench.network.step(layer)
    x = bench.pictures[units.picture].requires_grad_()
    values: dict[int, Tensor] = {0: x}
    for index, step in enumerate(bench.network.graph.steps[: end + 1]):
        if step.op == "relu":
            values[index] = _GuidedReLU.apply(values[step.inputs[0]])
        elif index:
            values[index] = step.run(*(values[i] for i in step.inputs))
    picked = values[end][torch.arange(len(units)), units.channel, units.row, units.column]
    return torch.autograd.grad(picked.sum(), x)[0]


def _whole(bench: Bench, clock: Callable[[], float]) -> None:
    """Seconds for nine units of every channel of every block, as the job pictures them (a thread a core, each with
    units of its own), beside the floor of their multiplications."""
    device = bench.pictures.device
    rates = [convolution_rate(device, clock)]
    switches = forward_switches(bench.network, bench.pictures)
    engine = UnitGradients(bench.network, dtype=bench.dtype)
    total, count = 0.0, 0
    operations = [0.0, 0.0]  # windows no larger than the map; windows cut off at its border for each unit
    for info in bench.network.layers:
        if info.kind != "block":
            continue
        size = WHOLE_UNITS[info.stage]
        seconds, units = _side_by_side(bench, engine, switches, info.name, size, clock)
        share = 9 * info.channels / len(units)
        total += seconds * share
        for kind, found in enumerate(cone_operations(bench.network, info.name, switches.sizes, units)):
            operations[kind] += found * share
        count += 9 * info.channels
        rates.append(convolution_rate(device, clock))
    rate = statistics.median(rates)
    print(
        f"\n### All block outputs\n\n{count:,} units: {total:,.0f} s; a convolution, beside each layer: ",
        end="",
    )
    print(f"{Spread.of([rate / 1e9 for rate in rates])} GFLOP/s")
    for done, what in zip(operations, ("cones", "cones cut off at the border"), strict=True):
        print(f"{total * rate / done:.2f} times the floor of the {what}, {done / rate:,.0f} s")


def _side_by_side(
    bench: Bench, engine: UnitGradients, switches: Switches, layer: str, size: int, clock: Callable[[], float]
) -> tuple[float, Units]:
    """Seconds for the returned units, of which every thread takes `size`."""
    with one_thread_each(bench.pictures.device) as threads:
        units = bench.units(layer, size * threads)
        parts = [units.take(part) for part in torch.randperm(len(units)).split(size)]
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:

            def run() -> float:
                start = clock()
                list(pool.map(partial(engine.gradients, switches, layer), parts))
                return clock() - start

            run()
            return run(), units


if __name__ == "__main__":
    main()

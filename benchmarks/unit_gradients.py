"""Guided gradients of single units of ResNet-50 at 224 px: Captum, a plain autograd loop, and our cones.

    python -m benchmarks.unit_gradients [--repeats 3] [--layers res2c …] [--threads 1 --cpu-time] [--whole]

Weights and pictures are random. The methods take turns in one process, with page faults avoided for all.

- captum: NeuronGuidedBackprop, one unit and its picture per row, the better of two batch sizes;
- autograd loop: no hooks, whole pictures in batches, stopped at the layer, folded, channels_last;
- cone: only the backward pass, with switches already computed;
- cone, forward shared: with a unit's part of the forward pass in the whole job, where one forward pass serves the
  picture's units of all layers (15,104 channels × 9 units over 1,000 pictures: 136 per picture);
- crop and cone: units that share no picture, each with a forward pass on its own crop.

--whole: also the seconds for all 135,936 block-output units, and their ratio to a lower bound: the operations within
the cones at the rate of a large convolution.
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

UNITS_PER_PICTURE = 136  # 15,104 channels × 9 units over 1,000 pictures
CONE_UNITS = {"res2c": 512, "res3d": 128, "res4f": 32, "res5c": 32}
# For --whole, by stage: units per call and thread. In the whole job a group has 79, 159, 318 and 635 units of a layer.
# The more there are, the closer together are the units of a batch, and the more of their windows is clipped at the
# border.
WHOLE_UNITS = {2: 80, 3: 160, 4: 160, 5: 160}
TARGETS = {"res2c": "120 and 70", "res3d": "20 and 9", "res4f": "2.8", "res5c": "2.5"}


@dataclass(frozen=True)
class Bench:
    """The input of all methods. module, network: of the same weights; pictures: (P, 3, 224, 224); dtype: of our
    backward pass, None for fp32."""

    module: torch.nn.Module
    network: Network
    pictures: Tensor
    dtype: torch.dtype | None

    def units(self, layer: str, count: int) -> Units:
        """Random units of a layer, evenly spread over the pictures."""
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
    parser.add_argument("--cpu-time", action="store_true", help="processor time, on a busy machine")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="of our backward pass")
    parser.add_argument("--whole", action="store_true", help="also estimate all units of all blocks")
    return parser.parse_args()


def _compare(bench: Bench, layer: str, repeats: int, clock: Callable[[], float]) -> None:
    """Print a table for a layer: units per second of each method, and the ratio to Captum's best."""
    network, count = bench.network, CONE_UNITS[layer]
    engine = UnitGradients(network, "guided", dtype=bench.dtype)
    switches = forward_switches(network, bench.pictures, layer)
    shared = bench.units(layer, count)
    # Crops are small. Each picture is used several times, but nothing is cached between uses.
    unshared = bench.units(layer, len(bench.pictures) * max(1, min(count // len(bench.pictures), 16)))
    runs: dict[str, tuple[int, Callable[[], object]]] = {}
    for batch in (1, 4):
        runs[f"captum, batch {batch}"] = (
            batch,
            partial(_captum, bench, layer, bench.units(layer, batch), batch),
        )
    runs["autograd loop, batch 4"] = (4, partial(_loop, bench, layer, bench.units(layer, 4)))
    runs["forward"] = (len(bench.pictures), partial(forward_switches, network, bench.pictures))
    runs["cone"] = (count, partial(engine.gradients, switches, layer, shared))
    runs["crop and cone"] = (len(unshared), partial(engine.unshared, bench.pictures, layer, unshared))
    seconds = take_turns({name: run for name, (_, run) in runs.items()}, repeats, clock=clock)
    each = {name: [t / runs[name][0] for t in times] for name, times in seconds.items()}  # seconds per unit
    each["cone, forward shared"] = [
        cone + forward / UNITS_PER_PICTURE
        for cone, forward in zip(each["cone"], each["forward"], strict=True)
    ]
    captum = min(("captum, batch 1", "captum, batch 4"), key=lambda name: Spread.of(each[name]).middle)
    print(
        f"\n### {layer} (targets: × {TARGETS[layer]})\n\n| | units per second | × {captum} |\n|---|---|---|"
    )
    for name, times in each.items():
        print(f"| {name} | {Spread.of([1 / t for t in times])} | {ratio(times, each[captum])} |")


def _captum(bench: Bench, layer: str, units: Units, batch: int) -> None:
    from captum.attr import NeuronGuidedBackprop

    submodule = bench.module.get_submodule(bench.network.layer(layer).path)
    # Captum takes one neuron for a whole batch of pictures.
    neuron = tuple(int(column[0]) for column in (units.channel, units.row, units.column))
    NeuronGuidedBackprop(bench.module, submodule).attribute(bench.pictures[:batch].clone(), neuron)


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
    """Gradients by autograd over the folded network up to the layer: whole pictures, one unit per picture."""
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
    """Print the seconds for nine units of each channel of all blocks, computed as in the job (one thread per core, each
    with its own units), and the ratio to the lower bound from their operations."""
    device = bench.pictures.device
    rates = [convolution_rate(device, clock)]
    switches = forward_switches(bench.network, bench.pictures)
    engine = UnitGradients(bench.network, dtype=bench.dtype)
    total, count = 0.0, 0
    operations = [
        0.0,
        0.0,
    ]  # windows limited to the size of the map; windows clipped at its border for each unit
    for info in bench.network.layers:
        if info.kind != "block":
            continue
        size = WHOLE_UNITS[info.stage]
        seconds, units = _side_by_side(bench, engine, switches, info.name, size, clock)
        share = 9 * info.channels / len(units)
        total += seconds * share
        for kind, count_of_cones in enumerate(
            cone_operations(bench.network, info.name, switches.sizes, units)
        ):
            operations[kind] += count_of_cones * share
        count += 9 * info.channels
        rates.append(convolution_rate(device, clock))
    rate = statistics.median(rates)
    print(
        f"\n### All block outputs\n\n{count:,} units: {total:,.0f} s; a convolution, measured with each layer: ",
        end="",
    )
    print(f"{Spread.of([rate / 1e9 for rate in rates])} GFLOP/s")
    for done, name in zip(operations, ("cones", "cones clipped at the border"), strict=True):
        print(f"{total * rate / done:.2f} times the lower bound of the {name}, {done / rate:,.0f} s")


def _side_by_side(
    bench: Bench, engine: UnitGradients, switches: Switches, layer: str, size: int, clock: Callable[[], float]
) -> tuple[float, Units]:
    """The seconds for the returned units, of which each thread takes `size`."""
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

"""The backward pass of convolutions with zeros skipped: `add_weighted` of loops/spread_loop.py in vector instructions
against the same sum in plain @njit, on layers of ResNet-50.

    python -m benchmarks.spread_loop [--repeats 9] [--layers res2c …]

Both compute the guided gradients of the same units in one thread and take turns. Ratios are of the minimum times, which
other load affects least. "difference" is the largest difference, as a fraction of the largest gradient.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from types import FunctionType
from typing import Any
from unittest import mock

import numpy as np
import torch
from numba import njit
from numba.extending import register_jitable

from benchmarks._timing import Spread, machine, take_turns
from benchmarks.unit_gradients import CONE_UNITS
from generator.engine.device import avoid_page_faults
from generator.engine.gradients.switches import forward_switches
from generator.engine.gradients.unit_gradients import UnitGradients, Units
from generator.engine.loops import compiled, spread_loop
from generator.engine.loops.spread_loop import BLOCK
from generator.network import models

U = np.uint64  # unsigned, because numba's check for negative indices prevents vectorisation


@register_jitable
def plain_add_weighted(
    result: Any, at: Any, weight: Any, block: Any, begins: Any, factors: Any, low: Any, high: Any
) -> None:
    """As spread_loop.add_weighted, except for the order of additions: all go to one sum."""
    at, block = U(at), U(block)
    for k in range(U(low), U(high)):
        begin = block + U(begins[k])
        for lane in range(U(BLOCK)):
            result[at + lane] += factors[k] * weight[begin + lane]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", nargs="*", default=list(CONE_UNITS), choices=list(CONE_UNITS))
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    avoid_page_faults()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = models.load("resnet50", "random").to("cpu", torch.float32)
    pictures = torch.randn(4, 3, 224, 224)
    instructions = compiled.loops()
    if instructions is None:
        raise SystemExit("numba does not work on this machine")
    variants = {"vector instructions": instructions, "plain @njit": _with(instructions, plain_add_weighted)}
    print(f"{machine()}; {options.repeats} interleaved rounds, processor time\n")
    print("| layer | loop | ms per unit | × vector instructions | difference |\n|---|---|---|---|---|")
    for layer in options.layers:
        switches = forward_switches(network, pictures, layer)
        info, count = network.layer(layer), max(8, CONE_UNITS[layer] // 4)
        limits = (info.channels, info.height, info.width)
        units = Units(
            torch.arange(count) * len(pictures) // count,
            *(torch.randint(0, limit, (count,)) for limit in limits),
        )
        runs, results = {}, {}
        for name, loops in variants.items():
            engine = UnitGradients(network)
            with mock.patch.object(compiled, "_loops", lambda loops=loops: loops):
                results[name] = engine.gradients(
                    switches, layer, units
                )  # also prepares the convolutions with these loops
            runs[name] = partial(engine.gradients, switches, layer, units)
        seconds = take_turns(runs, options.repeats, clock=time.process_time)
        expected = results["vector instructions"]
        for name, times in seconds.items():
            difference = float((results[name] - expected).abs().max() / expected.abs().max())
            each = Spread.of([1e3 * second / count for second in times])
            times_as_long = min(times) / min(seconds["vector instructions"])
            print(f"| {layer} | {name} | {each} | {times_as_long:.2f} | {difference:.1g} |", flush=True)


def _with(loops: compiled.Loops, add_weighted: Any) -> compiled.Loops:
    """The loops with another add_weighted. "contract" allows fused multiply–add, which the vector instructions use."""

    def replaced(function: FunctionType) -> Any:
        names = {**vars(spread_loop), "add_weighted": add_weighted}
        copy = FunctionType(function.__code__, names, function.__name__)
        return njit(nogil=True, error_model="numpy", fastmath={"contract"})(copy)

    return replace(
        loops,
        spread=replaced(spread_loop.spread),  # type: ignore[arg-type]
        spread_narrow=replaced(spread_loop.spread_narrow),  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    main()

"""Optimised pictures of ResNet-50: ours in batches, and Lucent's render_vis one at a time.

    python -m benchmarks.ascent [--repeats 3] [--steps 16] [--size 128] [--threads 1 --cpu-time]

All share the same random weights, steps, size, Fourier parameters, learning rate and Lucid's standard transforms. They
take turns in one process, with page faults avoided for all.

- lucent: render_vis as documented, which enlarges a picture below 224 px to that size before the network;
- lucent, own size: with fixed_image_size, so that the network sees as many pixels as ours does;
- lucent, own size, frozen: also with requires_grad off for the weights, which a user may set;
- ours, ours in bf16: Ascender in batches.

Channel objectives (mean of the map) of the last block of each stage; centre neurons of stages 2 and 3.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import torchvision
from lucent.optvis import objectives, param, render

from benchmarks._timing import Spread, machine, ratio, take_turns
from generator.engine.ascent.ascent import Ascender, AscentPlan
from generator.engine.device import avoid_page_faults, choose_device
from generator.network import models
from generator.network.network import Network

LAYERS = {"res2c": "layer1_2", "res3d": "layer2_3", "res4f": "layer3_5", "res5c": "layer4_2"}
CASES = (
    *(("channel", layer) for layer in LAYERS),
    *(("neuron", layer) for layer in ("res2c", "res3d")),
)
BATCH = {"channel": 16, "neuron": 64}
TARGETS = {"channel": 8, "neuron": 40}


def main() -> None:
    options = _options()
    avoid_page_faults()
    device = choose_device(options.device, threads=options.threads)
    network = models.load("resnet50", "random").to(device, torch.float32)
    learning, frozen = (torchvision.models.resnet50(weights=None).eval().to(device) for _ in range(2))
    module = models.load_module("resnet50", "random")
    for model in (learning, frozen):
        model.load_state_dict(module.state_dict())
    frozen.requires_grad_(False)
    clock = time.process_time if options.cpu_time else time.perf_counter
    print(
        f"{machine()}; {options.repeats} interleaved rounds; {options.steps} steps, {options.size} px", end=""
    )
    print(", processor time\n" if options.cpu_time else "\n")
    head = ["lucent", "own size", "own size, frozen", "ours", "ours bf16"]
    print("| objective | seconds per picture: " + " | ".join(head), end="")
    print(" | ours × lucent | × own size | × frozen | bf16 × lucent | × own size | target |")
    print("|---" * 12 + "|")
    for objective, layer in CASES:
        if layer in options.layers:
            _compare(objective, layer, network, learning, frozen, options, clock)


def _compare(
    objective: Literal["channel", "neuron"],
    layer: str,
    network: Network,
    learning: torch.nn.Module,
    frozen: torch.nn.Module,
    options: argparse.Namespace,
    clock: Callable[[], float],
) -> None:
    batch = BATCH[objective]
    plan = AscentPlan(
        objective=objective,
        steps=options.steps,
        size=None if options.size is None else (options.size,) * 2,
        batch=batch,
        cool=0,
    )
    ascenders = [Ascender(network, layer, replace(plan, precision=p)) for p in ("fp32", "bf16")]  # type: ignore[arg-type]
    own = options.size
    runs: dict[str, Callable[[], object]] = {
        "lucent": partial(_lucent, learning, objective, layer, options, None),
        "own": partial(_lucent, learning, objective, layer, options, own),
        "frozen": partial(_lucent, frozen, objective, layer, options, own),
        "ours": partial(ascenders[0].ascend, range(batch)),
        "bf16": partial(ascenders[1].ascend, range(batch)),
    }
    seconds = take_turns(runs, options.repeats, warmups=1, clock=clock)
    for ours in ("ours", "bf16"):
        seconds[ours] = [value / batch for value in seconds[ours]]
    pairs = [("ours", "lucent"), ("ours", "own"), ("ours", "frozen"), ("bf16", "lucent"), ("bf16", "own")]
    cells = [str(Spread.of(values)) for values in seconds.values()]
    cells += [str(ratio(seconds[ours], seconds[theirs])) for ours, theirs in pairs]
    print(f"| {objective}, {layer} | " + " | ".join(cells) + f" | ≥ {TARGETS[objective]} |", flush=True)


def _lucent(
    model: torch.nn.Module, objective: str, layer: str, options: argparse.Namespace, size: int | None
) -> None:
    make = objectives.channel if objective == "channel" else objectives.neuron
    render.render_vis(
        model,
        make(LAYERS[layer], 0),
        partial(param.image, options.size),
        thresholds=(options.steps,),
        progress=False,
        show_image=False,
        fixed_image_size=size,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--layers", nargs="+", default=list(LAYERS))
    parser.add_argument("--threads", type=int)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, on a busy machine; with --threads 1"
    )
    parser.add_argument("--device", default="auto")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""Lower bounds of the work: operations of forward passes and cones, and the measured rate of a convolution."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from benchmarks._timing import take_turns
from generator.engine.gradients.cones import Cone
from generator.engine.gradients.unit_gradients import Units
from generator.network.network import Network


def cone_operations(
    network: Network, layer: str, sizes: dict[int, tuple[int, int, int]], units: Units
) -> tuple[int, int]:
    """Floating-point operations of the convolutions in the units' cones: with windows limited to the size of the map,
    and with each unit's windows clipped at the border of the map.

    sizes: channels, height and width of the map of each step of the graph.
    """
    cone = Cone(network.graph, network.step(layer))
    whole = cut = 0
    for row, column in zip(units.row.tolist(), units.column.tolist(), strict=True):
        for index in cone.order:
            step = network.graph.steps[index]
            if step.op != "conv":
                continue
            assert step.weight is not None
            _, height, width = sizes[index]
            window = cone.windows[index]
            whole += 2 * min(window.size, height) * min(window.size, width) * step.weight.numel()
        cut += 2 * cone.multiply_adds(sizes, row, column)
    return whole, cut


def forward_operations(network: Network) -> int:
    """Floating-point operations of the convolutions of one picture's forward pass to the last layer."""
    return 2 * network.graph.multiply_adds(network.preprocessing.size, network.steps[-1])


def convolution_rate(device: torch.device, clock: Callable[[], float] = time.perf_counter) -> float:
    """Floating-point operations per second of a large 3 × 3 convolution in fp32, the best of twelve runs."""
    x = torch.randn(16, 128, 28, 28, device=device).contiguous(memory_format=torch.channels_last)
    weight = torch.randn(128, 128, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    seconds = take_turns({"convolution": lambda: F.conv2d(x, weight, None, 1, 1)}, 12, 3, clock)[
        "convolution"
    ]
    return 2 * 16 * 28 * 28 * weight.numel() / min(seconds)

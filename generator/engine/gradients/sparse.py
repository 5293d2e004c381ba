"""The gradient of a convolution with respect to its input where most of the output's gradient is zero.

Behind a ReLU's mask at least 70 % of a guided gradient are zeros, behind the stem's max-pooling at least 90 %. On a CPU
a loop that skips them (loops/spread_loop.py) is then faster than a convolution that multiplies all values. Whether it
is used depends on the network alone, so a unit's gradient does not depend on the other units of its batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.engine.loops.compiled import Loops, loops
from generator.network.graph import Graph
from generator.network.ops import Step

LANES, BLOCK = 8, 64  # as in spread_loop, which cannot be imported without numba
GROUP = 16  # C_out must be a multiple; torch computes other widths, whose last bits the loop would change


def behind_relu(graph: Graph, index: int) -> bool:
    """Whether only a ReLU reads a step, directly or after additions and norms.

    The gradient of the step's output is then zero where the ReLU's input was not positive and, in guided
    backpropagation, where the gradient was negative."""
    while len(readers := graph.consumers[index]) == 1:
        index = readers[0]
        if graph.steps[index].op not in ("add", "affine"):
            return graph.steps[index].op == "relu"
    return False


class SparseTransposedConvolution:
    """Carries gradients (U, h, w, C_out) to a convolution's input, (U, H, W, C_in), skipping zeros."""

    def __init__(self, step: Step, weight: Tensor, compiled: Loops) -> None:
        """weight: (C_out, C_in, k, k), of the step, in the gradients' dtype."""
        out, within, k, _ = weight.shape
        self.step, self.within = step, within
        rows = weight.permute(0, 2, 3, 1).reshape(out, k, k * within)
        self.loop = compiled.spread
        if within % BLOCK:
            self.loop = compiled.spread_narrow
            rows = F.pad(rows, (0, -(k * within) % LANES)).reshape(out, -1)
            rows = F.pad(rows, (0, -rows.shape[1] % BLOCK))
        blocks = rows.reshape(out, -1, BLOCK).transpose(0, 1)  # (weights of a channel / BLOCK, C_out, BLOCK)
        self.weight = blocks.contiguous().view(-1)

    @staticmethod
    def of(step: Step, weight: Tensor) -> SparseTransposedConvolution | None:
        """None where the loop cannot run or gains nothing: on GPUs, without numba, for C_out that is no multiple of
        GROUP, with groups or dilation, and for 1 × 1 kernels with 64 channels or fewer, whose values take as long to
        find as to multiply."""
        plain = step.groups == 1 and step.dilation == 1
        here = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
        out, within = weight.shape[:2]
        fits = out % GROUP == 0 and (step.kernel > 1 or (within % BLOCK == 0 and min(out, within) > BLOCK))
        compiled = loops() if plain and here and fits else None
        return SparseTransposedConvolution(step, weight, compiled) if compiled else None

    def __call__(self, gradient: Tensor, before: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """(U, h, w, C_out) → (U, H, W, C_in); before: rows and columns left out at the start of the whole result; size:
        H and W."""
        shape = (len(gradient), *size, self.within)
        count = shape[0] * shape[1] * shape[2] * shape[3]
        result = torch.zeros(count + LANES, dtype=gradient.dtype)
        # 1 × 1: the caller writes to every stride-th position.
        stride = 1 if self.step.kernel == 1 else self.step.stride
        self.loop(
            gradient.contiguous().view(-1).numpy(),
            self.weight.numpy(),
            result.numpy(),
            tuple(gradient.shape),
            shape[1:],
            self.step.kernel,
            stride,
            (-before[0], -before[1]),
        )
        return result[:count].view(shape)

"""The gradient of a convolution with respect to its input where most of the output's gradient is zero.

Behind a ReLU's mask three quarters of a guided gradient and more are zeros, behind the stem's max-pooling nine tenths.
On a CPU a loop that skips them (generator/spread_loop.py) is then faster than a convolution that multiplies all."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from generator.compiled import Loops, loops
from generator.graph import Step

GROUP, LANES, BLOCK = 16, 8, 64  # as in spread_loop, which is not to be imported without numba
SAMPLE = 4  # every so many rows and columns tell how many zeros there are

# Operations a second, in units of 10⁹, zeros counted in, of one thread (Cascade Lake at 2.5 GHz, where a large
# convolution does 140): of the ways in transposed.py, and, times the share of what is not zero, of this one.
DENSE = {"product": 115, "turned": 125, "transposed": 75, "phases": 54}
SMALL = 9  # smaller windows than this slow down the ways that are convolutions, in proportion
MEGABYTES = (1, 4)  # of weights: what a core's own cache holds, what a small part of the shared one does
# For weights up to the first of these sizes, up to the second, and above.
SKIPPING = {"row": (28, 28, 18), "kernel": (38, 32, 18)}


class SparseTransposedConvolution:
    """Carries gradients (U, h, w, C_out) to a convolution's input, (U, H, W, C_in), skipping zeros."""

    def __init__(self, step: Step, weight: Tensor, way: str, compiled: Loops) -> None:
        """weight: (C_out, C_in, k, k); way: the one in transposed.py that this is an alternative to."""
        out, within, k, _ = weight.shape
        self.step, self.way, self.within = step, way, within
        rows = weight.permute(0, 2, 3, 1).reshape(out, k, k * within)
        self.loop = compiled.spread
        if within % BLOCK:
            self.loop = compiled.spread_narrow
            rows = F.pad(rows, (0, -(k * within) % LANES)).reshape(out, -1)
            rows = F.pad(rows, (0, -rows.shape[1] % BLOCK))
        blocks = rows.reshape(out, -1, BLOCK).transpose(0, 1)  # (weights of a channel / BLOCK, C_out, BLOCK)
        self.weight = blocks.contiguous().view(-1)
        self.most = _most(weight, way)

    @staticmethod
    def of(step: Step, weight: Tensor, way: str) -> SparseTransposedConvolution | None:
        """None where there is no such way: on GPUs, without numba, for widths that fill no vector, with groups."""
        compiled = loops()
        plain = step.groups == 1 and step.dilation == 1
        here = weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)
        fits = weight.shape[0] % GROUP == 0 and (step.kernel > 1 or weight.shape[1] % BLOCK == 0)
        if compiled is None or not (plain and here and fits):
            return None
        return SparseTransposedConvolution(step, weight, way, compiled)

    def suits(self, gradient: Tensor) -> bool:
        """Whether the gradient has so many zeros that to skip them saves time."""
        window = min(gradient.shape[1:3])
        most = self.most if self.way == "product" else self.most * max(1, SMALL / window)
        sample = gradient[:, ::SAMPLE, ::SAMPLE].numpy()
        # NumPy counts truth values several times as fast as torch counts anything.
        return bool(np.count_nonzero(sample != 0) < most * sample.size)

    def __call__(self, gradient: Tensor, before: tuple[int, int], size: tuple[int, int]) -> Tensor:
        """before: rows and columns that are left out at the start of the natural window; size: of the result."""
        shape = (len(gradient), *size, self.within)
        count = shape[0] * shape[1] * shape[2] * shape[3]
        result = torch.zeros(count + LANES, dtype=gradient.dtype)
        self.loop(
            gradient.contiguous().view(-1).numpy(),
            self.weight.numpy(),
            result.numpy(),
            tuple(gradient.shape),
            shape[1:],
            self.step.kernel,
            1 if self.step.kernel == 1 else self.step.stride,
            (-before[0], -before[1]),
        )
        return result[:count].view(shape)


def _most(weight: Tensor, way: str) -> float:
    """The share of values that are not zero from which on `way` is faster."""
    if way == "product" and min(weight.shape[:2]) <= BLOCK:
        return 0.0  # as much time goes into finding the values as into multiplying them
    megabytes = weight.numel() * weight.element_size() / 2**20
    rates = SKIPPING["row" if way == "product" else "kernel"]
    return rates[sum(megabytes > most for most in MEGABYTES)] / DENSE[way]

"""How a gradient passes back through a ReLU: the plain gradient, guided backpropagation, deconvnet."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

# "plain": where the input was positive, the true gradient. "guided": where the input and the gradient are positive
# (arXiv:1412.6806). "deconvnet": where the gradient is positive (arXiv:1311.2901). "leaky": the true gradient, and LEAK
# of it where the input was not positive, so that inactive units can be optimised.
ReluRule = Literal["plain", "guided", "deconvnet", "leaky"]
UNIT_RULES: tuple[ReluRule, ...] = ("guided", "deconvnet", "plain")  # those of single units' gradients
LEAK = 0.1


def through_relu(gradient: Tensor, output: Tensor, rule: ReluRule) -> Tensor:
    """The gradient at a ReLU's input by the rule, from the gradient at its output and the output itself, all of one
    shape."""
    if rule in ("guided", "deconvnet"):
        gradient = gradient.clamp(min=0)
    if rule == "deconvnet":
        return gradient
    if rule == "leaky":  # torch's own operations: one pass over the map instead of several
        return torch.ops.aten.leaky_relu_backward(gradient, output, LEAK, True)
    return torch.ops.aten.threshold_backward(gradient, output, 0)

"""How a gradient passes back through a rectifier: the plain gradient, guided backpropagation, deconvnet.

Rectifiers are ReLUs, those with an upper limit (ReLU6) too, and activations: leaky or smooth ones such as LeakyReLU,
GELU and SiLU. `through_relu` is the rule as a function of tensors; `rectified` and `summed_relu` are rectifiers for
automatic differentiation, whose backward pass follows the rule."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

from generator.network.ops import Step

# At a ReLU. "plain": where the input was positive and below the limit, the true gradient. "guided": where that holds
# and the gradient is positive (arXiv:1412.6806). "deconvnet": where the gradient is positive (arXiv:1311.2901).
# "leaky": the true gradient, and LEAK of it where that is zero, so that inactive units can be optimised.
# At an activation. "plain" and "leaky": the derivative times the gradient; such units are never inactive. "guided": the
# derivative times the gradient, where the gradient and the output are positive. "deconvnet": as at a ReLU.
ReluRule = Literal["plain", "guided", "deconvnet", "leaky"]
UNIT_RULES: tuple[ReluRule, ...] = ("guided", "deconvnet", "plain")  # those of single units' gradients
LEAK = 0.1


def through_relu(
    gradient: Tensor, output: Tensor, rule: ReluRule, limit: float = math.inf, *, in_place: bool = False
) -> Tensor:
    """The gradient at a ReLU's input by the rule, from the gradient at its output and the output itself, all of one
    shape. limit: the largest value that it passes on; in_place: whether the result may be written over the gradient."""
    if (
        in_place and rule == "plain" and limit == math.inf
    ):  # the usual case: half the time of one with new memory
        return torch.ops.aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient)
    if rule in ("guided", "deconvnet"):
        gradient = gradient.clamp(min=0)
    if rule == "deconvnet":
        return gradient
    # torch's own operations: one pass over the map instead of several.
    if rule == "leaky":
        passed = torch.ops.aten.leaky_relu_backward(gradient, output, LEAK, True)
        return passed if limit == math.inf else torch.where(output < limit, passed, gradient * LEAK)
    if limit == math.inf:
        return torch.ops.aten.threshold_backward(gradient, output, 0)
    return torch.ops.aten.hardtanh_backward(gradient, output, 0, limit)


def rectified(step: Step, x: Tensor, rule: ReluRule = "plain") -> Tensor:
    """The output of a rectifier's step, whose gradient follows the rule."""
    if step.op == "relu":
        return _Relu.apply(x, step, rule)
    if rule == "deconvnet":
        return _PositiveGradient.apply(x, step)
    output = step.run(x)
    return _GuidedOutput.apply(output) if rule == "guided" else output


def summed_relu(step: Step, one: Tensor, other: Tensor, rule: ReluRule = "plain") -> Tensor:
    """As `rectified`, for the ReLU of a sum: one map is written and kept, where two steps would write and keep two."""
    return _SummedRelu.apply(one, other, step, rule)


class _Relu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Step, rule: ReluRule) -> Tensor:
        output = step.run(x)
        ctx.rule, ctx.limit = rule, step.limit
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (output,) = ctx.saved_tensors
        return through_relu(gradients[0], output, ctx.rule, ctx.limit), None, None


class _SummedRelu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor, step: Step, rule: ReluRule) -> Tensor:
        output = step.run(one + other, in_place=True)
        ctx.rule, ctx.limit = rule, step.limit
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (output,) = ctx.saved_tensors
        gradient = through_relu(gradients[0], output, ctx.rule, ctx.limit)
        return gradient, gradient, None, None


class _GuidedOutput(torch.autograd.Function):
    """An activation's output; back passes the gradient where both are positive."""

    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        ctx.save_for_backward(output)
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        return through_relu(gradients[0], output, "guided")


class _PositiveGradient(torch.autograd.Function):
    """An activation; back passes the gradient where it is positive, as if the activation were the identity."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Step) -> Tensor:
        return step.run(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0].clamp(min=0), None

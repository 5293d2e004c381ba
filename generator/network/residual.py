"""Residual blocks, found in the list of steps: where a block's shortcut and its branch are added.

A block's output is relu(shortcut + branch). The shortcut may be the block's own input, a projection of it (with or
without pooling before), or the input with added channels of zeros; the branch may have two convolutions or three, and
either may come first in the sum. In all of them the shortcut is the path with fewer steps from where the two part."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from generator.network.graph import Graph

# How far folded statistics may be from 0 and from 1: tools that fold set the variance to 1 or to 1 − ε.
MEAN_NOISE, VAR_NOISE = 1e-6, 1e-3


@dataclass(frozen=True)
class Residual:
    """The steps of one residual block. fork: its input; shortcut and branch: the two that are added; add: their
    sum; output: after the ReLU (the sum itself where there is none)."""

    fork: int
    shortcut: int
    branch: int
    add: int
    output: int

    is_shortcut_first: bool = True  # in the addition

    @property
    def is_identity(self) -> bool:
        """Whether the shortcut passes the block's input on unchanged."""
        return self.shortcut == self.fork

    @property
    def is_signed(self) -> bool:
        """Whether the output is the sum itself, which may be below zero: no ReLU follows it."""
        return self.output == self.add


def find_residual(graph: Graph, output: int) -> Residual | None:
    """The residual block that ends at this step, or None where no sum of a shortcut and a branch ends there."""
    add = graph.steps[output].inputs[0] if graph.steps[output].op == "relu" else output
    if graph.steps[add].op != "add":
        return None
    first, second = graph.steps[add].inputs
    above_first, above_second = {*graph.leading_to([first])}, {*graph.leading_to([second])}
    fork = max(above_first & above_second)
    above_fork = {*graph.leading_to([fork])}
    lengths = len(above_first - above_fork), len(above_second - above_fork)
    if lengths[0] == lengths[1]:
        return None  # two paths of equal length: neither is a shortcut
    shortcut, branch = (first, second) if lengths[0] < lengths[1] else (second, first)
    return Residual(fork, shortcut, branch, add, output, shortcut == first)


@dataclass(frozen=True)
class Magnitudes:
    """How large the weights at the end of a block's branch are, one number per channel, (C,) float64.

    norm: |weight| of the last BatchNorm, None where there is none; folded: whether that weight is γ / σ and not γ,
    because the running statistics were folded into weight and bias; convolution: mean |weight| of the last
    convolution's filter, before the BatchNorm is folded into it."""

    norm: Tensor | None
    convolution: Tensor
    folded: bool = False


def branch_magnitudes(graph: Graph, module: nn.Module, output: int) -> Magnitudes | None:
    """The magnitudes of the block that ends at this step; None where its branch does not end in a convolution
    (and its BatchNorm)."""
    residual = find_residual(graph, output)
    if residual is None or graph.steps[residual.branch].op != "conv":
        return None
    step = graph.steps[residual.branch]
    weight = step.weight if step.raw is None else step.raw
    assert weight is not None
    batch_norm = module.get_submodule(step.norm) if step.norm else None
    norm = getattr(batch_norm, "weight", None)
    return Magnitudes(
        None if norm is None else norm.detach().double().abs(),
        weight.double().abs().mean((1, 2, 3)),
        folded=batch_norm is not None and statistics_folded(batch_norm),
    )


def statistics_folded(norm: nn.Module) -> bool:
    """Whether a trained BatchNorm's running mean is 0 and its running variance 1 in every channel: its statistics were
    then folded into weight and bias, and its weight is γ / σ.

    A BatchNorm that was never trained (weight 1, bias 0) has these statistics too; its weight is its γ.
    """
    mean, variance = getattr(norm, "running_mean", None), getattr(norm, "running_var", None)
    if (
        mean is None
        or variance is None
        or mean.is_meta  # has no numbers
        or mean.abs().max() > MEAN_NOISE
        or (variance - 1).abs().max() > VAR_NOISE
    ):
        return False
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    untouched = (weight is None or bool((weight == 1).all())) and (bias is None or bool((bias == 0).all()))
    return not untouched

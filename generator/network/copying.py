"""Copies of modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def copied(module: nn.Module, made: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of a module in which `made` of a tensor stands for each of its tensors: parameters, buffers, and others
    that are attributes."""
    tensors = [*module.parameters(), *module.buffers()]
    for part in module.modules():
        tensors += [value for value in vars(part).values() if isinstance(value, Tensor)]
    memo: dict[int, Any] = {}
    for tensor in tensors:
        value = made(tensor.detach())
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(value, tensor.requires_grad) if is_parameter else value
    result: nn.Module = copy.deepcopy(module, memo)
    return result

"""Random weights, and the fingerprint of weights that come from no file."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and numbers of tensors, for weights that come from no file."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(name.encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def he_initialise(module: nn.Module, seed: int) -> None:
    """Fill a module with random weights under which activations keep their scale through a deep network: kaiming normal
    (arXiv:1502.01852), fan out, for ReLU; BatchNorm as the identity. The same seed gives the same weights, whatever the
    state of torch's global generator."""
    generator = torch.Generator().manual_seed(seed)
    for part in module.modules():
        match part:
            case nn.Conv2d():
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu", generator=generator)
            case nn.Linear():
                nn.init.normal_(part.weight, std=1 / math.sqrt(part.in_features), generator=generator)
            case nn.BatchNorm2d() | nn.BatchNorm1d():
                part.reset_running_stats()
                if part.weight is not None:
                    nn.init.ones_(part.weight)
            case _:
                continue
        if part.bias is not None:
            nn.init.zeros_(part.bias)

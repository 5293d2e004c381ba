"""Putting tensors into a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.network.weights.reading import COUNTER


def as_float(name: str, tensor: Tensor, path: Path) -> Tensor:
    """A tensor of a file as float32; a counter as it is. Raises AtlasError for numbers that are quantised, whole, or
    not finite."""
    if name.endswith(COUNTER):
        return tensor
    if tensor.is_quantized:
        raise AtlasError(
            f"the tensor {name} is quantised, the network needs floating-point numbers",
            path,
            "give the weights from before the quantisation",
        )
    if tensor.layout != torch.strided or not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise AtlasError(f"the tensor {name} is {kind}, the network needs floating-point numbers", path)
    if tensor.is_meta:
        raise AtlasError(f"the tensor {name} has a shape but no numbers (saved on torch's meta device)", path)
    tensor = tensor.detach().float()
    if not bool(torch.isfinite(tensor).all()):
        raise AtlasError(f"the tensor {name} holds infinite or undefined numbers (inf, nan)", path)
    return tensor


def fit(
    module: nn.Module,
    state: Mapping[str, Tensor],
    block_order: Sequence[str],
    *,
    source: Path,
    holds: str = "",
    remedy: str = "give a weights file of this model",
) -> str | None:
    """Load tensors into a module, which may be on the meta device; the tensors become the module's own.

    block_order: paths of the module's blocks in forward order; source, holds, remedy: for messages, the file, what
    it holds and what can be done.
    A truncated file is used up to its last complete block, whose path is returned, and what lies behind that block is
    zero; None if the file holds the whole network. Raises AtlasError naming the tensor if one is missing
    before that, or has the wrong shape.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    needed = [name for name in expected if not name.endswith(COUNTER)]
    place = _places(needed, block_order)
    missing = [name for name in needed if name not in state]
    first_gap = min((place[name] for name in missing), default=len(block_order) + 2)
    is_truncated = bool(missing) and all(place[name] <= first_gap for name in needed if name in state)
    # 0 is the stem, 1 the first block: without them no layer would be complete.
    if missing and (not is_truncated or first_gap < 2):
        name = missing[0]
        raise AtlasError(
            f"the weights file has no tensor {name} of shape {expected[name]}"
            + (holds and f"; it holds {holds}"),
            source,
            remedy,
        )
    complete = [name for name in needed if place[name] < first_gap]
    for name in complete:
        if tuple(state[name].shape) != expected[name]:
            raise AtlasError(
                f"the tensor {name} has shape {tuple(state[name].shape)}, the network needs {expected[name]}",
                source,
                remedy,
            )
        if name.endswith("running_var") and bool((state[name] < 0).any()):
            raise AtlasError(f"the tensor {name} holds negative variances", source)
    counters = {name: torch.tensor(0) for name in expected if name.endswith(COUNTER)}
    behind = {name: torch.zeros(expected[name]) for name in needed if place[name] >= first_gap}
    module.load_state_dict({**counters, **behind, **{name: state[name] for name in complete}}, assign=True)
    return block_order[first_gap - 2] if is_truncated else None


def _places(names: Sequence[str], block_order: Sequence[str]) -> dict[str, int]:
    """The part of the network that each tensor belongs to: 0 is the stem, n the n-th block; the head has the number
    after the last block's."""
    places: dict[str, int] = {}
    seen_block = False
    for name in names:
        block = next((i for i, path in enumerate(block_order, 1) if name.startswith(path + ".")), None)
        seen_block = seen_block or block is not None
        places[name] = block if block is not None else (len(block_order) + 1 if seen_block else 0)
    return places

"""Lesions of residual blocks: a block without its branch or its shortcut, or the blocks of a stage in another order
(arXiv:1605.06431, sections 4.1 and 4.3; arXiv:1612.07771, section 5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.network.network import Network

Way = Literal["branch removed", "shortcut removed", "swapped", "reversed"]
TOLERANCE = 1e-4  # relative and absolute, of maps that must be equal


@dataclass(frozen=True)
class Lesion:
    """way: 'swapped': with the next block; 'reversed': all blocks of the stage but its first, in reverse order; first,
    last: places of the blocks that differ; order: the places in which these blocks are run."""

    way: Way
    first: int
    last: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class Block:
    """path: of its module; stage: number; movable: whether it is not the first of its stage, and so returns maps of the
    shape of its input."""

    path: str
    module: nn.Module
    stage: int
    movable: bool


def lesions_of(blocks: Sequence[Block]) -> list[Lesion]:
    """All lesions: of every block its branch and its shortcut; every two neighbours of a stage but its first block; and
    all of these of a stage, where there are more than two."""
    single = [
        Lesion(way, place, place, (place,))
        for way in ("branch removed", "shortcut removed")
        for place in range(len(blocks))
    ]
    swaps, reversals = [], []
    for stage in dict.fromkeys(block.stage for block in blocks):
        movable = [place for place, block in enumerate(blocks) if block.stage == stage and block.movable]
        swaps += [Lesion("swapped", a, b, (b, a)) for a, b in pairwise(movable)]
        if len(movable) > 2:
            reversals.append(Lesion("reversed", movable[0], movable[-1], tuple(reversed(movable))))
    return [*single, *swaps, *reversals]


def blocks_of(network: Network) -> list[Block]:
    """The residual blocks that the weights reach, in forward order. Raises AtlasError where there are none, and where
    one is not the ReLU of its branch plus its shortcut."""
    blocks: list[Block] = []
    network.module.eval()
    for layer in network.layers:
        if layer.kind != "block":
            continue
        module = network.module.get_submodule(layer.path)
        if not _is_relu_of_sum(module):
            raise AtlasError(
                f"the block {layer.path} is not the ReLU of a branch plus a shortcut",
                network.model,
                "give a network whose blocks are, such as resnet50 or resnet20-cifar",
            )
        movable = bool(blocks) and blocks[-1].stage == layer.stage
        blocks.append(Block(layer.path, module, layer.stage, movable))
    if not blocks:
        raise AtlasError("the network has no residual blocks", network.model)
    return blocks


def run_lesion(x: Tensor, blocks: Sequence[Block], lesion: Lesion) -> list[Tensor]:
    """The maps after the last block that the lesion changes, and after every block behind it, (B, C, H, W) each. x: the
    input of the first block that it changes, (B, C, H, W)."""
    if len(lesion.order) == 1:
        module = blocks[lesion.first].module
        with _without(module, lesion.way):
            x = module(x)
    else:
        for place in lesion.order:
            x = blocks[place].module(x)
    return [x, *run_blocks(x, blocks[lesion.last + 1 :])]


def run_blocks(x: Tensor, blocks: Sequence[Block]) -> list[Tensor]:
    """The maps after each of the blocks, run one after the other; (B, C, H, W) each."""
    outputs = []
    for block in blocks:
        x = block.module(x)
        outputs.append(x)
    return outputs


def is_near(one: Tensor, other: Tensor) -> bool:
    """Whether two maps are equal but for the order of additions."""
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE)


# -- taking a block apart ----------------------------------------------------------------------------------------------


def _attributes(module: nn.Module) -> tuple[str, str] | None:
    """The names of the branch's last norm and of the shortcut; None for a module without these."""
    norm = next((name for name in ("bn3", "bn2") if hasattr(module, name)), None)
    shortcut = next((name for name in ("downsample", "shortcut") if hasattr(module, name)), None)
    return None if norm is None or shortcut is None else (norm, shortcut)


@torch.no_grad()
def _is_relu_of_sum(module: nn.Module) -> bool:
    """Whether the block is the ReLU of its branch plus its shortcut, tried on noise of both signs."""
    attributes = _attributes(module)
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    if attributes is None or first is None:
        return False
    x = torch.randn(2, first.in_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    own = getattr(module, attributes[1])
    shortcut = x if own is None else own(x)
    with _without(module, "branch removed"):
        if not is_near(module(x), shortcut.relu()):
            return False
    with _without(module, "shortcut removed"):
        branch = module(x)
    # Where the rectified branch is above zero, it is the branch.
    above = branch > 0
    return bool((branch >= 0).all()) and is_near(module(x)[above], (branch + shortcut).relu()[above])


class _Zeros(nn.Module):
    """Zeros of the input's shape."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


class _Zero(nn.Module):
    """One zero, which is added to anything."""

    def forward(self, x: Tensor) -> Tensor:
        return x.new_zeros(())


@contextmanager
def _without(module: nn.Module, way: Way) -> Iterator[None]:
    """The block without its branch or its shortcut. The ReLU after the addition stays."""
    attributes = _attributes(module)
    assert attributes is not None
    norm, shortcut = attributes
    name, replacement = (norm, _Zeros()) if way == "branch removed" else (shortcut, _Zero())
    original = getattr(module, name)
    setattr(module, name, replacement)
    try:
        yield
    finally:
        setattr(module, name, original)

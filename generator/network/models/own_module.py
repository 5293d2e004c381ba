"""The module of a network of your own as its code builds it: with its own numbers, and at sizes that it takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing, Size, size_words
from generator.network.copying import copied
from generator.network.models.model import Model

BUILT_IN, GIVEN = "built-in", "given in Python"  # where its numbers are from, if from no file of weights
# px, tried where a network refuses another size.
_SIDES = (28, 32, 64, 96, 128, 160, 192, 224, 256, 299, 384, 448, 512)


@dataclass(frozen=True)
class GivenModule:
    """Builds a network that is there already."""

    module: nn.Module
    source: str

    def __call__(self, outputs: int) -> nn.Module:
        return self.module


def as_built(model: Model) -> tuple[nn.Module, str]:
    """Your own module with its own numbers, and where these are from; raises AtlasError where they are random: where
    another seed gives other numbers."""
    if isinstance(model.build, GivenModule):
        return own_copy(model.build(model.outputs)), model.build.source
    with seeded(0):
        module: nn.Module = model.build(model.outputs)
    with seeded(1):
        again = model.build(model.outputs).state_dict()
    if any(not torch.equal(tensor, again[name]) for name, tensor in module.state_dict().items()):
        raise AtlasError(
            f"{model.name} has random numbers: its function loads no weights",
            remedy="bring a file with --weights, or say --weights random",
        )
    return module, BUILT_IN


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's random numbers begin with this seed, and afterwards go on as before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def own_copy(module: nn.Module) -> nn.Module:
    """A module with tensors of its own, in float32 on the CPU: what is done to one does not change the other."""

    def own(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to("cpu", torch.float32 if tensor.is_floating_point() else None, copy=True)

    return copied(module, own)


@contextlib.contextmanager
def other_sizes(model: Model, module: nn.Module, preprocessing: Preprocessing) -> Iterator[None]:
    """Where your own network cannot be read at a size of pictures, the error names sizes that it takes."""
    try:
        yield
    except AtlasError as error:
        if not model.is_own or _takes(module, preprocessing.channels, preprocessing.size):
            raise
        sides = [side for side in _SIDES if _takes(module, preprocessing.channels, (side, side))]
        if not sides:
            raise
        said = ", ".join(map(str, sides[:-1])) + (" or " if sides[1:] else "") + str(sides[-1])
        raise AtlasError(
            f"the network does not take pictures of {size_words(preprocessing.size)}",
            model.name,
            f"say their size; it takes --crop {said}",
        ) from error


def _takes(module: nn.Module, channels: int, size: Size) -> bool:
    training = [part for part in module.modules() if part.training]
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, channels, *size))
    except Exception:  # whatever the network raises
        return False
    finally:
        for part in training:
            part.training = True
    return True

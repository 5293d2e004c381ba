"""From the names of tensors in other codebases to those of the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Naming:
    """A way of naming tensors. words: whose names they are, '' for the network's own; own: such a name → the network's,
    '' for a name of another kind."""

    words: str
    own: Callable[[str], str]


def namings(module: nn.Module, names: Sequence[str], own: Callable[[str], str]) -> tuple[Naming, ...]:
    """The ways of naming a module's tensors that are known, its own first. names: of its tensors without the
    classifier's; own: the names that its published files have → the module's."""
    ways = [
        Naming("", own),
        Naming("names without those of torch's wrappers", lambda name: own(_unwrapped(name))),
        Naming("Hugging Face's names", lambda name: own(hugging_face(name))),
    ]
    children = [name for name, _ in module.named_children()]
    if children and not children[0].isdecimal():
        ways.append(Naming("names of a Sequential of the network's parts", _Numbered(children, own)))
    if prefix := _common([name.split(".")[:-2] for name in names]):
        ways.append(Naming(f"names without {prefix}", lambda name: prefix + name))
    return tuple(ways)


_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


def _unwrapped(name: str) -> str:
    """A name without the modules that compilation, sharding and checkpointing put inside a network."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _common(paths: Sequence[Sequence[str]]) -> str:
    """The modules that all paths begin with, with a dot behind each."""
    shortest = min(paths, key=len, default=())
    shared = 0
    while shared < len(shortest) and all(path[shared] == shortest[shared] for path in paths):
        shared += 1
    return "".join(f"{part}." for part in shortest[:shared])


_PART = r"(?P<part>convolution|normali[z]ation)\.(?P<tensor>\w+)"
_BLOCK = re.compile(
    r"encoder\.stages\.(?P<stage>\d+)\.layers\.(?P<block>\d+)\."
    r"(?:layer\.(?P<layer>\d+)|(?P<shortcut>shortcut))\." + _PART
)
_STEM = re.compile(r"embedder\.embedder\." + _PART)


def hugging_face(name: str) -> str:
    """A tensor's name in transformers' ResNetModel → torchvision's; '' for any other name.

    >>> hugging_face("encoder.stages.0.layers.1.layer.0.convolution.weight")
    'layer1.1.conv1.weight'
    """
    if stem := _STEM.fullmatch(name):
        return f"{'conv1' if stem['part'] == 'convolution' else 'bn1'}.{stem['tensor']}"
    if (match := _BLOCK.fullmatch(name)) is None:
        return ""
    block = f"layer{int(match['stage']) + 1}.{match['block']}"
    is_convolution = match["part"] == "convolution"
    if match["shortcut"]:
        return f"{block}.downsample.{0 if is_convolution else 1}.{match['tensor']}"
    return f"{block}.{'conv' if is_convolution else 'bn'}{int(match['layer']) + 1}.{match['tensor']}"


class _Numbered:
    """Names of `nn.Sequential(*network.children())`: `4.0.conv1.weight` → `layer1.0.conv1.weight`."""

    def __init__(self, children: Sequence[str], own: Callable[[str], str]) -> None:
        self.children, self.own = children, own

    def __call__(self, name: str) -> str:
        number, _, rest = name.partition(".")
        if not (number.isdecimal() and number.isascii() and int(number) < len(self.children)):
            return ""
        return self.own(f"{self.children[int(number)]}.{rest}")

"""What a network's channels answer to among the held-out drawings: the atlas's numbers, from maps at hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor

from generator.core.correspondence import LayerResponses, centred_ranks
from generator.core.hierarchy import nodes_of
from generator.engine.scan.top_units import TopUnits
from generator.methods.purity import Classes
from generator.pictures.drawn.families import drawn_hierarchy
from generator.pictures.drawn.world import CLASSES

BATCH = 220

Maps = Callable[[Tensor], Mapping[str, Tensor]]


@torch.no_grad()
def read_layers(maps: Maps, pictures: Tensor, *, signed: bool = False) -> dict[str, LayerResponses]:
    """The nine strongest pictures of every channel and the ranks of all, layer by layer; a picture's score is the
    channel's maximum over the map."""
    tops: dict[str, TopUnits] = {}
    scores: dict[str, list[Tensor]] = {}
    for start in range(0, len(pictures), BATCH):
        some = pictures[start : start + BATCH].contiguous(memory_format=torch.channels_last)
        for name, found in maps(some).items():
            if name not in tops:
                tops[name], scores[name] = TopUnits(found.shape[1], signed=signed), []
            scores[name].append(tops[name].update(found, torch.arange(start, start + len(some))))
    return {
        name: LayerResponses(top.images.numpy(), centred_ranks(torch.cat(scores[name]).numpy()))
        for name, top in tops.items()
    }


@cache
def drawn_classes(count: int) -> Classes:
    """The classes of drawings 0 … count − 1, with their families."""
    labels = [(number % len(CLASSES), CLASSES[number % len(CLASSES)]) for number in range(count)]
    tree = drawn_hierarchy()
    return Classes.of(labels, nodes_of(tree, [(name, "") for _, name in labels], strict=False), tree)

"""The top-9 pictures and score ranks of a network's channels over the held-out drawings, as the atlas computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor

from generator.core.correspondence import LayerResponses, centred_ranks
from generator.core.hierarchy import nodes_of
from generator.engine.scan.top_units import TopUnits
from generator.experiments.training import BATCH
from generator.methods.purity import Classes
from generator.pictures.drawn.families import drawn_hierarchy
from generator.pictures.drawn.world import CLASSES

Maps = Callable[[Tensor], Mapping[str, Tensor]]


@torch.no_grad()
def read_layers(maps: Maps, pictures: Tensor, *, signed: bool = False) -> dict[str, LayerResponses]:
    """By layer, the top-9 pictures of each channel and the ranks of all pictures.

    maps: a function from pictures (B, 3, S, S) to maps (B, C, H, W) by layer; pictures: (N, 3, S, S); signed: whether
    maps may be negative. The score of a picture is the maximum of the channel's map."""
    tops: dict[str, TopUnits] = {}
    scores: dict[str, list[Tensor]] = {}
    for start in range(0, len(pictures), BATCH):
        batch = pictures[start : start + BATCH].contiguous(memory_format=torch.channels_last)
        for name, layer_map in maps(batch).items():
            if name not in tops:
                tops[name], scores[name] = TopUnits(layer_map.shape[1], signed=signed), []
            scores[name].append(tops[name].update(layer_map, torch.arange(start, start + len(batch))))
    return {
        name: LayerResponses(top.images.numpy(), centred_ranks(torch.cat(scores[name]).numpy()))
        for name, top in tops.items()
    }


@cache
def drawn_classes(count: int, every: int = 1) -> Classes:
    """The classes and families of drawings 0, every, 2 · every …, count of them."""
    numbers = [every * place % len(CLASSES) for place in range(count)]
    labels = [(number, CLASSES[number]) for number in numbers]
    tree = drawn_hierarchy()
    return Classes.of(labels, nodes_of(tree, [(name, "") for _, name in labels], strict=False), tree)

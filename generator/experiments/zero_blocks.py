"""Residual blocks of zero gain put before and after each layer of a trained network: what do they add when training is
resumed (the outlook of arXiv:1701.02362)?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from generator.core.correspondence import LayerResponses
from generator.experiments.reading import read_layers
from generator.experiments.refinement import means
from generator.experiments.runs import BareRun, ResumedRun, StackRun, Training, network_of
from generator.experiments.setting import Setting
from generator.experiments.training import accuracy
from generator.network.architecture import cost
from generator.network.models.study.stacks import LAYERS, StackNetwork

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

RATE = 0.2  # of the first training's rate
SHARE = 3  # epochs: the first training's, divided by this


def resumed(start: StackRun, blocks: bool, setting: Setting) -> ResumedRun:
    return ResumedRun(start, blocks, max(1, setting.epochs // SHARE), RATE * setting.rate)


def runs(setting: Setting) -> list[Training]:
    """Of each seed the network, and training resumed without the blocks and with them."""
    found: list[Training] = []
    for seed in setting.seeds:
        start = StackRun(seed)
        found += [start, resumed(start, False, setting), resumed(start, True, setting)]
    return found + [BareRun(seed) for seed in setting.seeds]


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """zero_blocks: a row a network; zero_features: a row a layer, how far its channels are what they were before
    training was resumed; zero_branches: a row a new block, how much it adds to its input; zero_hidden: a row a
    network whose hidden layer has no norm."""
    networks, features, branches, bare = [], [], [], []
    learning, held_out = workshop.pictures
    before: dict[str, LayerResponses] = {}
    for run in runs:
        network, found = workshop.trained(run)
        assert isinstance(network, StackNetwork)
        who = {"kind": run.kind, "seed": run.seed}
        row = {
            **who,
            "epochs": getattr(run, "epochs", workshop.setting.epochs),
            "rate": getattr(run, "rate", workshop.setting.rate),
            **cost(network_of(run, workshop.setting).to("meta"), workshop.setting.side),
            "train_loss": found["curve"][-1]["train_loss"],
            "train_error": 1 - accuracy(network, learning),
            "test_error": 1 - accuracy(network, held_out),
        }
        if isinstance(run, BareRun):
            bare.append(row)
            continue
        networks.append(row)
        layers = read_layers(network.maps, held_out, signed=True)
        if isinstance(run, StackRun):
            before = layers  # the two that resume it come next
            continue
        for number in range(1, len(LAYERS) + 1):
            places = ("layer", "after") if run.blocks else ("layer",)  # type: ignore[attr-defined]
            features += [
                {
                    **who,
                    "layer": number,
                    "place": place,
                    **kept(before[f"layer{number}"], layers[f"{place}{number}"]),
                }
                for place in places
            ]
        if run.blocks:  # type: ignore[attr-defined]
            branches += [{**who, **row} for row in added(network, held_out)]
    return {
        "zero_blocks": networks,
        "zero_features": features,
        "zero_branches": branches,
        "zero_hidden": bare,
    }


def kept(own: LayerResponses, now: LayerResponses) -> dict[str, Any]:
    """Over the channels of equal number: pictures of nine kept, ρ of the scores, and the share whose best match has
    their own number."""
    similarity = own.similarity(now)
    best = similarity.transposed().strength.argmax(1)
    return means(
        {
            "kept": similarity.shared.diagonal().astype(float),
            "rho": similarity.rho.diagonal().astype(float),
            "own_match": (best == range(len(best))).astype(float),
        }
    )


@torch.no_grad()
def added(network: StackNetwork, pictures: torch.Tensor) -> list[dict[str, Any]]:
    """Of each new block, in forward order: how large what it changes is, ‖out − in‖ / ‖in‖ over all pictures."""
    pairs = [
        (f"before {number}", f"before{number}", f"in{number}") for number in range(1, len(LAYERS) + 1)
    ] + [(f"after {number}", f"layer{number}", f"after{number}") for number in range(1, len(LAYERS) + 1)]
    sums = {name: [0.0, 0.0] for name, *_ in pairs}
    for some in pictures.split(220):
        maps = network.maps(some.contiguous(memory_format=torch.channels_last))
        for name, inside, outside in pairs:
            sums[name][0] += float((maps[outside] - maps[inside]).double().square().sum())
            sums[name][1] += float(maps[inside].double().square().sum())
    order = sorted(sums, key=lambda name: (name.split()[1], name.startswith("after")))
    return [{"block": name, "change": (sums[name][0] / sums[name][1]) ** 0.5} for name in order]

"""Residual blocks of zero gain, inserted before and after each layer of a trained network: what do they add when
training is resumed (the outlook of arXiv:1701.02362)?"""

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

RESUMED_RATE = 0.2  # of the first training's rate
EPOCH_DIVISOR = 3  # resumed training has the first training's epochs divided by this


def resumed(start: StackRun, blocks: bool, setting: Setting) -> ResumedRun:
    """The run that resumes the training of `start`, with new blocks or without."""
    return ResumedRun(start, blocks, max(1, setting.epochs // EPOCH_DIVISOR), RESUMED_RATE * setting.rate)


def runs(setting: Setting) -> list[Training]:
    """For each seed the network, and its training resumed without the blocks and with them."""
    runs: list[Training] = []
    for seed in setting.seeds:
        start = StackRun(seed)
        runs += [start, resumed(start, False, setting), resumed(start, True, setting)]
    return runs + [BareRun(seed) for seed in setting.seeds]


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """zero_blocks: one row per network; zero_features: one row per layer, with the similarity of its channels to those
    before training was resumed; zero_branches: one row per new block, with how much it changes its input; zero_hidden:
    one row per network whose hidden layer has no norm."""
    networks, features, branches, bare = [], [], [], []
    drawings = workshop.pictures
    held_out = drawings.held_out
    before: dict[str, LayerResponses] = {}
    for run in runs:
        network, notes = workshop.trained(run)
        assert isinstance(network, StackNetwork)
        columns = {"kind": run.kind, "seed": run.seed}
        row = {
            **columns,
            "epochs": getattr(run, "epochs", workshop.setting.epochs),
            "rate": getattr(run, "rate", workshop.setting.rate),
            **cost(network_of(run, workshop.setting).to("meta"), workshop.setting.side),
            "train_loss": notes["curve"][-1]["train_loss"],
            "train_error": 1 - accuracy(network, drawings.learnt, drawings.learnt_labels),
            "test_error": 1 - accuracy(network, held_out, drawings.held_out_labels),
        }
        if isinstance(run, BareRun):
            bare.append(row)
            continue
        networks.append(row)
        layers = read_layers(network.maps, held_out, signed=True)
        if isinstance(run, StackRun):
            before = layers  # the two runs that resume it come next
            continue
        for number in range(1, len(LAYERS) + 1):
            positions = ("layer", "after") if run.blocks else ("layer",)  # type: ignore[attr-defined]
            features += [
                {
                    **columns,
                    "layer": number,
                    "place": position,
                    **retained(before[f"layer{number}"], layers[f"{position}{number}"]),
                }
                for position in positions
            ]
        if run.blocks:  # type: ignore[attr-defined]
            branches += [{**columns, **row} for row in added(network, held_out)]
    return {
        "zero_blocks": networks,
        "zero_features": features,
        "zero_branches": branches,
        "zero_hidden": bare,
    }


def retained(earlier: LayerResponses, later: LayerResponses) -> dict[str, Any]:
    """Means over channels of equal index: pictures shared by the two top-9, rank correlation of the scores, and the
    fraction whose best match has the same index."""
    similarity = earlier.similarity(later)
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
    """The relative change ‖out − in‖ / ‖in‖ that each new block makes, over all pictures, in forward order."""
    pairs = [
        (f"before {number}", f"before{number}", f"in{number}") for number in range(1, len(LAYERS) + 1)
    ] + [(f"after {number}", f"layer{number}", f"after{number}") for number in range(1, len(LAYERS) + 1)]
    sums = {name: [0.0, 0.0] for name, *_ in pairs}
    for batch in pictures.split(220):
        maps = network.maps(batch.contiguous(memory_format=torch.channels_last))
        for name, inside, outside in pairs:
            sums[name][0] += float((maps[outside] - maps[inside]).double().square().sum())
            sums[name][1] += float(maps[inside].double().square().sum())
    order = sorted(sums, key=lambda name: (name.split()[1], name.startswith("after")))
    return [{"block": name, "change": (sums[name][0] / sums[name][1]) ** 0.5} for name in order]

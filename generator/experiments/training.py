"""Train a small network on the drawn world; record its learning curve and gradient norms."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generator.experiments import demo_accuracy as measure
from generator.experiments.runs import Training, network_of
from generator.experiments.setting import Setting
from generator.network.models.study.designs import Gate
from generator.network.models.study.stacks import ZeroBlock
from generator.network.weights.initial import he_initialise
from generator.pictures.drawn.world import CLASSES

MOMENTUM = 0.9  # of SGD
PROBE = 220  # drawings over which gradients are measured


def reduced(pictures: np.ndarray, side: int) -> Tensor:
    """Drawings (N, 96, 96, 3) uint8 as input of the networks, (N, 3, side, side), normalised."""
    parts = [
        F.interpolate(
            measure.prepared(pictures[start : start + 500], torch.device("cpu")), (side, side), mode="area"
        )
        for start in range(0, len(pictures), 500)
    ]
    return torch.cat(parts)


def build(run: Training, setting: Setting) -> nn.Module:
    """The network of a run before training. Its weights depend only on the seed."""
    network = network_of(run, setting)
    he_initialise(network, run.seed)
    for part in network.modules():
        if isinstance(part, Gate | ZeroBlock):
            part.close()
    return network


def train(
    run: Training, setting: Setting, pictures: Tensor, held_out: Tensor, network: nn.Module | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Train `network`, or the one that `build` makes. Dropout depends only on the seed.

    pictures: (N, 3, S, S) to train on; held_out: (M, 3, S, S). Returns the network in eval mode, and a record: `curve`
    (per epoch: training loss and error during the epoch, error on the held-out drawings after it) and `gradients` (at
    the start and the end: the norm of the loss's gradient with respect to each convolution's weights, in forward
    order)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)  # only dropout draws from it
        network = build(run, setting) if network is None else network
        return _train(network, run.seed, setting, pictures, held_out)


def _train(
    network: nn.Module, seed: int, setting: Setting, pictures: Tensor, held_out: Tensor
) -> tuple[nn.Module, dict[str, Any]]:
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), setting.rate, momentum=MOMENTUM, weight_decay=setting.decay
    )
    labels = torch.arange(len(pictures)) % len(CLASSES)
    steps = len(pictures) // setting.batch
    start = gradient_norms(network, pictures, labels)
    curve = []
    for epoch in range(setting.epochs):
        network.train()
        order = torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(len(pictures)))
        total, wrong = 0.0, 0
        for step, picked in enumerate(order[: steps * setting.batch].split(setting.batch)):
            for group in optimiser.param_groups:
                group["lr"] = setting.rate * (1 - (epoch + step / steps) / setting.epochs)
            scores = network(pictures[picked].contiguous(memory_format=torch.channels_last))
            loss = F.cross_entropy(scores, labels[picked])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach())
            wrong += int((scores.argmax(1) != labels[picked]).sum())
        curve.append(
            {
                "train_loss": total / steps,
                "train_error": wrong / (steps * setting.batch),
                "test_error": 1 - accuracy(network, held_out),
            }
        )
    end = gradient_norms(network, pictures, labels)
    return network.eval(), {"curve": curve, "gradients": {"start": start, "end": end}}


@torch.no_grad()
def accuracy(network: nn.Module, pictures: Tensor) -> float:
    """The fraction of drawings (N, 3, S, S) that are classified correctly. The network is left in eval mode."""
    network.eval()
    labels = torch.arange(len(pictures)) % len(CLASSES)
    correct = [
        int((network(batch.contiguous(memory_format=torch.channels_last)).argmax(1) == known).sum())
        for batch, known in zip(pictures.split(220), labels.split(220), strict=True)
    ]
    return sum(correct) / len(pictures)


def gradient_norms(network: nn.Module, pictures: Tensor, labels: Tensor) -> list[float]:
    """‖∂loss / ∂W‖ of each convolution in forward order, over the first PROBE drawings, with batch statistics.

    Weights and statistics are left unchanged, and the network in training mode."""
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.train()
    weights = [part.weight for part in network.modules() if isinstance(part, nn.Conv2d)]
    loss = F.cross_entropy(network(pictures[:PROBE]), labels[:PROBE])
    norms = [float(gradient.norm()) for gradient in torch.autograd.grad(loss, weights)]
    network.load_state_dict(state)  # restores the running statistics
    return norms

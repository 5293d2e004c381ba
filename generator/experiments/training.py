"""Train a small network on the drawn world; record its learning curve and gradient norms."""

from __future__ import annotations

from dataclasses import dataclass, fields
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
from generator.pictures.drawn.world import CLASSES, DRAWING_KINDS

MOMENTUM = 0.9  # of SGD
PROBE = 220  # drawings over which gradients are measured
BATCH = 220  # drawings per forward pass where nothing is learnt
# By class, whether its mirror image is one of it.
MIRRORED = torch.tensor([kind.mirror for kind in DRAWING_KINDS])


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


def labels_of(setting: Setting, count: int) -> Tensor:
    """The classes of the first drawings of a setting, (count,)."""
    return torch.arange(count) * setting.every % len(CLASSES)


@dataclass(frozen=True)
class Drawings:
    """The drawings of a setting, (N, 3, S, S) to train on and (M, 3, S, S) held out, with their classes."""

    learnt: Tensor
    held_out: Tensor
    learnt_labels: Tensor
    held_out_labels: Tensor

    def to(self, device: torch.device) -> Drawings:
        return Drawings(*(getattr(self, field.name).to(device) for field in fields(self)))


def train(
    network: nn.Module, seed: int, setting: Setting, drawings: Drawings
) -> tuple[nn.Module, dict[str, Any]]:
    """Train a network on the device of the drawings.

    The order of the drawings, their crops and dropout depend only on the seed. Returns the network in eval mode, and a
    record: `curve` (per epoch: training loss and error during the epoch, on the cropped drawings; error on the held-out
    drawings after it, where it is tested), `train_error` (after training, on all training drawings as they are) and
    `gradients` (at the start and the end: the norm of the loss's gradient with respect to each convolution's weights,
    in forward order)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # only dropout draws from it
        return _train(network.to(drawings.learnt.device), seed, setting, drawings)


def _train(
    network: nn.Module, seed: int, setting: Setting, drawings: Drawings
) -> tuple[nn.Module, dict[str, Any]]:
    layout = layout_of(setting)
    network = network.to(memory_format=layout)
    optimiser = torch.optim.SGD(
        network.parameters(), setting.rate, momentum=MOMENTUM, weight_decay=setting.decay, foreach=True
    )
    pictures, labels = drawings.learnt.contiguous(memory_format=layout), drawings.learnt_labels
    steps = len(pictures) // setting.batch
    start = gradient_norms(network, pictures, labels)
    curve = []
    for epoch in range(setting.epochs):
        network.train()
        random = np.random.default_rng([seed, epoch])
        order = torch.from_numpy(random.permutation(len(pictures))).to(pictures.device)
        total, wrong = 0.0, 0
        for step, picked in enumerate(order[: steps * setting.batch].split(setting.batch)):
            for group in optimiser.param_groups:
                group["lr"] = setting.rate * setting.share(epoch + (step + 1) / (steps + 1))
            seen = augmented(pictures[picked], labels[picked], setting.shift, random)
            scores = network(seen.contiguous(memory_format=layout))
            loss = F.cross_entropy(scores, labels[picked])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += float(loss.detach())
            wrong += int((scores.argmax(1) != labels[picked]).sum())
        row = {"train_loss": total / steps, "train_error": wrong / (steps * setting.batch)}
        if setting.is_tested(epoch + 1):
            row["test_error"] = 1 - accuracy(network, drawings.held_out, drawings.held_out_labels)
        curve.append(row)
    end = gradient_norms(network, pictures, labels)
    at_the_end = 1 - accuracy(network, pictures, labels)
    return network.eval(), {
        "curve": curve,
        "train_error": at_the_end,
        "gradients": {"start": start, "end": end},
    }


def layout_of(setting: Setting) -> torch.memory_format:
    """How maps lie in memory while a network learns: channels last, which is faster, but for very narrow networks.

    On CPUs without AVX-512, oneDNN in torch 2.14 writes past the end of the weight gradient of a 1×1 convolution of
    stride 2 that reads fewer than 8 channels in this layout."""
    return torch.channels_last if setting.width >= 8 else torch.contiguous_format


def augmented(pictures: Tensor, labels: Tensor, shift: int, random: np.random.Generator) -> Tensor:
    """Pictures (B, 3, S, S), padded by `shift` px and cropped at random, half of them mirrored (arXiv:1512.03385,
    section 4.2); letters, whose mirror images are no letters, are not. Shift 0: the pictures."""
    if shift == 0:
        return pictures
    count, _, side, _ = pictures.shape
    device = pictures.device
    down, right = torch.from_numpy(random.integers(0, 2 * shift + 1, (2, count))).to(device)
    mirrored = torch.from_numpy(random.random(count) < 0.5).to(device) & MIRRORED.to(device)[labels]
    rows = down[:, None] + torch.arange(side, device=device)  # (B, S)
    columns = right[:, None] + torch.arange(side, device=device)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = F.pad(pictures, (shift,) * 4).permute(0, 2, 3, 1)  # (B, S', S', 3)
    numbers = torch.arange(count, device=device)[:, None, None]
    return padded[numbers, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


@torch.no_grad()
def accuracy(network: nn.Module, pictures: Tensor, labels: Tensor) -> float:
    """The fraction of drawings (N, 3, S, S) that are classified correctly. The network is left in eval mode."""
    network.eval()
    correct = [
        int((network(batch.contiguous(memory_format=torch.channels_last)).argmax(1) == known).sum())
        for batch, known in zip(pictures.split(BATCH), labels.split(BATCH), strict=True)
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

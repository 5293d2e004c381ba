"""Residual blocks with other shortcuts (arXiv:1512.03385, section 4.1; arXiv:1603.05027, section 3) and with norm and
ReLU in other places (section 4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import conv1x1, conv3x3

from generator.network.models.study.networks import MakeBlock
from generator.network.zero_padding import ZeroPadShortcut

SCALE = 0.5  # of shortcut and branch, arXiv:1603.05027, Table 1
DROPPED = 0.5  # share of the shortcut's values that dropout sets to zero
GATE = -6.0  # initial bias of exclusive gates, the best of Table 1


class Gate(nn.Module):
    """g = σ(W x + b), W a 1×1 convolution. bias: the initial b, set by `close`."""

    def __init__(self, channels: int, planes: int, stride: int, bias: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, planes, 1, stride)
        self.start = bias

    def close(self) -> None:
        nn.init.constant_(self.conv.bias, self.start)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, planes, H / stride, W / stride), 0 … 1
        return torch.sigmoid(self.conv(x))


class ShortcutBlock(nn.Module):
    """The block of arXiv:1512.03385 with another shortcut.

    projections: where sizes change ("changes") or everywhere ("all"), else zero padding; scale: of branch and shortcut;
    gate: initial bias of a gate g; the branch is multiplied by g, the shortcut by 1 − g; dropout: of the shortcut.
    """

    def __init__(
        self,
        channels: int,
        planes: int,
        stride: int,
        *,
        projections: Literal["", "changes", "all"] = "",
        scale: float = 1.0,
        gate: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        same = channels == planes and stride == 1
        self.shortcut: nn.Module
        if projections == "all" or (projections == "changes" and not same):
            self.shortcut = nn.Sequential(conv1x1(channels, planes, stride), nn.BatchNorm2d(planes))
        else:
            self.shortcut = ZeroPadShortcut.where_sizes_change(channels, planes, stride)
        self.scale, self.dropout = scale, nn.Dropout(dropout)
        self.gate = None if gate is None else Gate(channels, planes, stride, gate)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, planes, H / stride, W / stride)
        branch: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut: Tensor = self.dropout(self.shortcut(x))
        if self.gate is not None:
            gate = self.gate(x)
            branch, shortcut = gate * branch, (1 - gate) * shortcut
        return F.relu(self.scale * branch + self.scale * shortcut)


class ReluOnlyBlock(nn.Module):
    """arXiv:1603.05027, Figure 4(d): a ReLU before each convolution, a norm after it; the sum is signed."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.shortcut = ZeroPadShortcut.where_sizes_change(channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(F.relu(x))))))
        summed: Tensor = branch + self.shortcut(x)
        return summed


class PreActivationBlock(nn.Module):
    """Figure 4(e): norm and ReLU before each convolution. The first block has no norm of its own: shortcut and branch
    both read the stem's output after its norm and ReLU (appendix of the paper)."""

    def __init__(self, channels: int, planes: int, stride: int, first: bool) -> None:
        super().__init__()
        self.bn1 = nn.Identity() if first else nn.BatchNorm2d(channels)
        self.conv1 = conv3x3(channels, planes, stride)
        self.bn2, self.conv2 = nn.BatchNorm2d(planes), conv3x3(planes, planes)
        self.shortcut = ZeroPadShortcut.where_sizes_change(channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = self.conv1(F.relu(self.bn1(x)))
        branch = self.conv2(F.relu(self.bn2(branch)))
        summed: Tensor = branch + self.shortcut(x)
        return summed


def _shortcut(**settings: object) -> MakeBlock:
    return lambda channels, planes, stride, _: ShortcutBlock(channels, planes, stride, **settings)  # type: ignore[arg-type]


def _normed(channels: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


@dataclass(frozen=True)
class Design:
    """make: builds a block; closing: number of channels → the module after the last block."""

    make: MakeBlock
    closing: Callable[[int], nn.Module] | None = None


# The designs that are compared with the residual network of option A, which has `Block`s.
DESIGNS: Mapping[str, Design] = {
    "projection where sizes change": Design(_shortcut(projections="changes")),
    "projection everywhere": Design(_shortcut(projections="all")),
    "scaled": Design(_shortcut(scale=SCALE)),
    "exclusive gate": Design(_shortcut(gate=GATE)),
    "dropout": Design(_shortcut(dropout=DROPPED)),
    "ReLU-only pre-activation": Design(
        lambda channels, planes, stride, _: ReluOnlyBlock(channels, planes, stride), lambda _: nn.ReLU()
    ),
    "full pre-activation": Design(PreActivationBlock, _normed),
}

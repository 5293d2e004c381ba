"""ResNet with full pre-activation (arXiv:1603.05027): norm and ReLU come before each convolution.

Nothing follows the addition, so a block's output is signed: the stream that all later blocks add to. The atlas shows
that sum as the block; the convolutions inside are read after the norm and ReLU of the convolution that reads them. The
stem has no norm (the first block begins with it); the last block is followed by a norm and ReLU. timm's `resnetv2_50`
is the same network under other names; its weights are loaded as `timm/resnetv2_50`.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torchvision.models.resnet import conv1x1, conv3x3

from generator.network.models.hub import imagenet_names
from generator.network.models.model import IMAGENET, Model, residual_taps

EXPANSION = 4


class PreActBottleneck(nn.Module):
    """arXiv:1603.05027, figure 4(e), as a bottleneck; the stride is in the 3×3. A projection reads what the first
    convolution reads."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        out = planes * EXPANSION
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), conv1x1(channels, planes)
        self.bn2, self.conv2 = nn.BatchNorm2d(planes), conv3x3(planes, planes, stride)
        self.bn3, self.conv3 = nn.BatchNorm2d(planes), conv1x1(planes, out)
        self.relu = nn.ReLU(inplace=True)
        change = stride != 1 or channels != out
        self.downsample = nn.Sequential(conv1x1(channels, out, stride)) if change else None

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, 4 · planes, H / stride, W / stride), signed
        ready = self.relu(self.bn1(x))
        shortcut = x if self.downsample is None else self.downsample(ready)
        branch = self.conv1(ready)
        branch = self.conv2(self.relu(self.bn2(branch)))
        return self.conv3(self.relu(self.bn3(branch))) + shortcut


class PreActResNet(nn.Module):
    """(B, 3, H, W) → (B, outputs); blocks: bottlenecks per stage."""

    def __init__(self, blocks: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        channels = 64
        for number, count in enumerate(blocks):
            planes, stride = 64 * 2**number, 1 if number == 0 else 2
            first = PreActBottleneck(channels, planes, stride)
            channels = planes * EXPANSION
            rest = (PreActBottleneck(channels, planes, 1) for _ in range(1, count))
            self.add_module(f"layer{number + 1}", nn.Sequential(first, *rest))
        self.stages = len(blocks)
        self.norm = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))  # (B, 64, H/4, W/4)
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(self.relu(self.norm(x))), 1))
        return scores


MODELS = (
    Model(
        "preact_resnet50",
        "pre-activation ResNet-50 (arXiv:1603.05027): signed block outputs",
        build=functools.partial(PreActResNet, (3, 4, 6, 3)),
        taps=residual_taps,
        preprocessing=IMAGENET,
        parameters=25_549_352,  # timm's resnetv2_50
        class_names=imagenet_names,
    ),
)

"""The residual networks for CIFAR of arXiv:1512.03385, section 4.2: three stages of n basic blocks, 6n + 2
layers."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torchvision.models.resnet import conv3x3

from generator.core.records import Preprocessing
from generator.network.models.model import Model, residual_taps
from generator.network.zero_padding import ZeroPadShortcut

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut without parameters (option A)."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = ZeroPadShortcut.where_sizes_change(channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, planes, H / stride, W / stride)
        branch = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        output: Tensor = self.relu(branch + self.shortcut(x))
        return output


class CifarResNet(nn.Module):
    """(B, 3, 32, 32) → (B, outputs); `blocks` basic blocks per stage."""

    def __init__(self, blocks: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(3, 16)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(16, 16, blocks, stride=1)
        self.layer2 = _stage(16, 32, blocks, stride=2)
        self.layer3 = _stage(32, 64, blocks, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 16, 32, 32)
        x = self.layer3(self.layer2(self.layer1(x)))  # (B, 64, 8, 8)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    first = BasicBlock(channels, planes, stride)
    return nn.Sequential(first, *(BasicBlock(planes, planes, 1) for _ in range(1, blocks)))


def _model(depth: int, parameters: int) -> Model:
    return Model(
        f"resnet{depth}-cifar",
        f"ResNet-{depth} for 32 × 32 pictures (arXiv:1512.03385, section 4.2), option-A shortcuts",
        build=functools.partial(CifarResNet, (depth - 2) // 6),
        taps=residual_taps,
        preprocessing=Preprocessing(32, 32, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        outputs=10,
        parameters=parameters,
        class_names=lambda outputs: CIFAR10 if outputs == 10 else (),
        # The name in akamaster/pytorch_resnet_cifar10, from which most published weights come.
        aliases={"linear.": "fc."},
    )


MODELS = (
    _model(20, 269_722),
    _model(32, 464_154),
    _model(44, 658_586),
    _model(56, 853_018),
    _model(110, 1_727_962),
)

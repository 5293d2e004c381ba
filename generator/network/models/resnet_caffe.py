"""The original Caffe ResNet-50 of He et al. 2015, from which the figures of arXiv:1701.02362 were made.

It differs from torchvision's `resnet50`. A projection block has stride 2 in its first 1×1 convolution and in its
shortcut. conv1 has a bias. pool1 is not padded, and its size is rounded up. The input is 0–255 minus the mean, without
a division by the standard deviation. The tensor names are torchvision's.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, conv1x1, conv3x3

from generator.core.records import Preprocessing
from generator.network.models.model import Model, residual_taps

# RGB means of the released network. It reads BGR; in the weights used here the first kernels are reordered to RGB.
MEAN = (123.15163, 115.902885, 103.06262)


class CaffeBottleneck(Bottleneck):
    """torchvision's bottleneck with the stride moved to the first 1×1 convolution."""

    def __init__(
        self, channels: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ) -> None:
        super().__init__(channels, planes, stride, downsample)
        self.conv1 = conv1x1(channels, planes, stride)
        self.conv2 = conv3x3(planes, planes)


class CaffeResNet50(nn.Module):
    """(B, 3, H, W) RGB 0–255 minus MEAN → (B, outputs)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, kernel_size=7, stride=2, padding=3, bias=True)
        self.bn1 = nn.BatchNorm2d(64, eps=1e-5)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=0, ceil_mode=True)
        self.layer1 = _stage(64, 64, blocks=3, stride=1)
        self.layer2 = _stage(256, 128, blocks=4, stride=2)
        self.layer3 = _stage(512, 256, blocks=6, stride=2)
        self.layer4 = _stage(1024, 512, blocks=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2048, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # (B, 64, H/4, W/4)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # (B, 2048, H/32, W/32)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    out = planes * CaffeBottleneck.expansion
    projection = nn.Sequential(conv1x1(channels, out, stride), nn.BatchNorm2d(out))
    first = CaffeBottleneck(channels, planes, stride, projection)
    return nn.Sequential(first, *(CaffeBottleneck(out, planes) for _ in range(1, blocks)))


MODELS = (
    Model(
        "resnet50-caffe",
        "ResNet-50 (arXiv:1512.03385), the original Caffe layout: stride in the first 1×1",
        build=CaffeResNet50,
        taps=residual_taps,
        # arXiv:1702.02362 resized the shorter side to 256 and took the 224 × 224 centre.
        preprocessing=Preprocessing(256, 224, MEAN, (1.0, 1.0, 1.0), value_range=255.0),
        parameters=25_557_096,  # torchvision's count, and 64 for conv1's bias
    ),
)

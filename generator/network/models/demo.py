"""The small residual network of the demo: torchvision's bottleneck blocks on a 96-pixel picture.

The stem has no max-pooling, so the receptive fields of the four stages (strides 2, 4, 8, 16) relate to a
96-pixel picture about as those of ResNet-50 (strides 4, 8, 16, 32) relate to a 224-pixel one. The attribute
names are torchvision's, and with them the keys of the state dict.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, conv1x1

DEMO_SIDE = 96  # px, the side of the pictures that the network is trained on

# Mean and standard deviation of the drawn world's colours in [0, 1] by channel (R, G, B).
MEAN = (0.470, 0.485, 0.497)
STD = (0.283, 0.254, 0.268)

_STAGES = ((12, 3, 1), (24, 4, 2), (48, 6, 2), (96, 3, 2))  # planes, blocks, stride of the first block
_STEM = 24


class DemoResNet(nn.Module):
    """A ResNet-50 in small: 3, 4, 6, 3 bottleneck blocks of 48, 96, 192, 384 output channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _STEM, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.relu = nn.ReLU(inplace=True)
        channels = _STEM
        stages: list[nn.Sequential] = []
        for planes, blocks, stride in _STAGES:
            stages.append(_stage(channels, planes, blocks, stride))
            channels = planes * Bottleneck.expansion
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        for module in self.modules():
            if isinstance(module, Bottleneck):
                # Every block starts as its shortcut, which makes the first steps of training stable.
                nn.init.zeros_(module.bn3.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (B, num_classes), before the softmax, of normalised pictures (B, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))  # (B, 24, H/2, W/2)
        x = self.layer1(x)  # (B, 48, H/2, W/2)
        x = self.layer2(x)  # (B, 96, H/4, W/4)
        x = self.layer3(x)  # (B, 192, H/8, W/8)
        x = self.layer4(x)  # (B, 384, H/16, W/16)
        x = torch.flatten(self.avgpool(x), 1)  # (B, 384)
        return self.fc(x)


def _stage(channels: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    """One stage: a block with a projection (and the stride, in its 3×3), then blocks with plain shortcuts."""
    out = planes * Bottleneck.expansion
    projection = nn.Sequential(conv1x1(channels, out, stride), nn.BatchNorm2d(out))
    first = Bottleneck(channels, planes, stride, projection)
    return nn.Sequential(first, *(Bottleneck(out, planes) for _ in range(1, blocks)))


def demo_resnet(num_classes: int) -> DemoResNet:
    """The demo's network with fresh weights, for pictures of 96×96 pixels and `num_classes` classes."""
    return DemoResNet(num_classes)

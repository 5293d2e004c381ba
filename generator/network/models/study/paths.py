"""Bottleneck networks whose 3×3 convolution is split into groups (arXiv:1611.05431), and widths of equal cost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import conv1x1

STAGES = 3
# Output channels of a block, in multiples of the bottleneck's width in the network without groups.
EXPANSION = 4


def block_cost(out: int, cardinality: int, width: int) -> int:
    """Multiply-adds of a block with `out` channels at input and output, for one position of the map (section 3.3)."""
    return cardinality * width * (2 * out + 9 * width)


def equal_width(out: int, cardinality: int, factor: int = 1) -> int:
    """The width of a path for which a block's cost is nearest to `factor` times that of the block with one path."""
    target = factor * block_cost(out, 1, out // EXPANSION)
    return min(range(1, out + 1), key=lambda width: abs(block_cost(out, cardinality, width) - target))


class PathBlock(nn.Module):
    """Convolutions 1×1, grouped 3×3, 1×1 (Figure 3(c)); a projection where sizes change."""

    def __init__(self, channels: int, out: int, cardinality: int, width: int, stride: int) -> None:
        super().__init__()
        inner = cardinality * width
        self.conv1, self.bn1 = conv1x1(channels, inner), nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, groups=cardinality, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = conv1x1(inner, out), nn.BatchNorm2d(out)
        same = channels == out and stride == 1
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(conv1x1(channels, out, stride), nn.BatchNorm2d(out))
        )

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, out, H / stride, W / stride)
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(branch)))))
        return F.relu(branch + self.shortcut(x))


class PathNetwork(nn.Module):
    """(B, 3, H, W) → (B, outputs): a 3×3 stem of stride 2 and three stages of `blocks` blocks, 9 · blocks + 2 layers.

    out: channels of the first stage; cardinality: paths of a block; factor: cost of a block, in multiples of that of a
    single path of width out / 4.
    """

    def __init__(self, blocks: int, out: int, cardinality: int, factor: int, outputs: int) -> None:
        super().__init__()
        channels = out // EXPANSION
        self.conv1 = nn.Conv2d(3, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        for stage in range(STAGES):
            planes = out * 2**stage
            width = equal_width(planes, cardinality, factor)
            strides = [1 if stage == 0 else 2, *[1] * (blocks - 1)]
            parts = []
            for stride in strides:
                parts.append(PathBlock(channels, planes, cardinality, width, stride))
                channels = planes
            self.add_module(f"layer{stage + 1}", nn.Sequential(*parts))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in range(1, STAGES + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores

"""Small networks of arXiv:1512.03385, section 4.2, with shortcuts or without."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.resnet import conv3x3

from generator.network.zero_padding import ZeroPadShortcut


class Block(nn.Module):
    """Two 3×3 convolutions, with a shortcut that has no parameters (option A) or without.

    removed: set to true, the block returns its input; only for a block that keeps its input's shape.
    """

    def __init__(self, channels: int, planes: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, planes, stride), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.keeps_shape = channels == planes and stride == 1
        self.residual, self.removed = residual, False
        self.shortcut = ZeroPadShortcut.where_sizes_change(channels, planes, stride)

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, planes, H / stride, W / stride)
        if self.removed:
            return x
        branch: Tensor = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        rectified: Tensor = self.relu(branch + self.shortcut(x) if self.residual else branch)
        return rectified


# Channels coming in, channels going out, stride, and whether it is the network's first block.
MakeBlock = Callable[[int, int, int, bool], nn.Module]


class StudyNetwork(nn.Module):
    """(B, 3, H, W) → (B, outputs): three stages of `blocks` blocks, 6 · blocks + 2 layers, `width` channels in the
    first stage.

    make: builds a block, by default a `Block`; closing: number of channels → the module after the last block.
    """

    def __init__(
        self,
        blocks: int,
        width: int,
        outputs: int,
        *,
        residual: bool = True,
        make: MakeBlock | None = None,
        closing: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        make = make or (lambda channels, planes, stride, _: Block(channels, planes, stride, residual))
        self.conv1, self.bn1, self.relu = conv3x3(3, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        channels = width
        for stage in range(3):
            planes, stride = width * 2**stage, 1 if stage == 0 else 2
            first = make(channels, planes, stride, stage == 0)
            rest = (make(planes, planes, 1, False) for _ in range(1, blocks))
            self.add_module(f"layer{stage + 1}", nn.Sequential(first, *rest))
            channels = planes
        self.closing = None if closing is None else closing(channels)
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        for stage in range(1, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        if self.closing is not None:
            x = self.closing(x)
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores

    def blocks(self) -> list[tuple[str, Block]]:
        """The blocks by their paths, in forward order."""
        return [(path, part) for path, part in self.named_modules() if isinstance(part, Block)]

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """The output of each block, by its path; (B, 3, H, W) → (B, C, H', W') each."""
        x = self.relu(self.bn1(self.conv1(x)))
        outputs = {}
        for stage in range(1, 4):
            for name, block in self.get_submodule(f"layer{stage}").named_children():
                x = outputs[f"layer{stage}.{name}"] = block(x)
        return outputs

"""A small network modelled on AlexNet, and residual blocks that are the identity until they are trained
(arXiv:1701.02362, outlook)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import conv3x3

from generator.network.network import Tap

# Channels in multiples of the width, kernel, and whether a max-pooling follows, as in AlexNet.
LAYERS = ((2, 5, True), (4, 5, True), (6, 3, False), (6, 3, False), (4, 3, True))
HIDDEN = 8  # units of the hidden linear layer, in multiples of the width


class ZeroBlock(nn.Module):
    """x + branch(x). The branch's last gain is initially zero, so that the block returns its input bit for bit.

    rectified: whether a ReLU follows, as where x comes from one."""

    def __init__(self, channels: int, rectified: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.rectified = rectified

    def close(self) -> None:
        nn.init.zeros_(self.bn2.weight)
        nn.init.zeros_(self.bn2.bias)

    def branch(self, x: Tensor) -> Tensor:
        output: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return output

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → the same shape
        summed = x + self.branch(x)
        return F.relu(summed) if self.rectified else summed


class StackNetwork(nn.Module):
    """(B, 3, side, side) → (B, outputs): five convolutions and a hidden linear layer with batch norm and ReLU, three
    max-poolings.

    blocks: whether a `ZeroBlock` stands before and after each convolution; norm: whether the hidden layer has a
    BatchNorm."""

    def __init__(self, width: int, side: int, outputs: int, *, blocks: bool, norm: bool = True) -> None:
        super().__init__()
        channels = 3
        self.layers, self.before, self.after = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for number, (times, kernel, _) in enumerate(LAYERS):
            planes = times * width
            conv = nn.Conv2d(channels, planes, kernel, padding=kernel // 2, bias=False)
            self.layers.append(nn.Sequential(conv, nn.BatchNorm2d(planes), nn.ReLU()))
            self.before.append(ZeroBlock(channels, number > 0) if blocks else nn.Identity())
            self.after.append(ZeroBlock(planes, True) if blocks else nn.Identity())
            channels = planes
        flat = channels * (side // 2 ** sum(pooled for *_, pooled in LAYERS)) ** 2
        units = HIDDEN * width
        normed = (nn.BatchNorm1d(units),) if norm else ()
        self.hidden = nn.Sequential(nn.Linear(flat, units), *normed, nn.ReLU())
        self.fc = nn.Linear(units, outputs)

    def maps(self, x: Tensor) -> dict[str, Tensor]:
        """The maps at each layer n: `before{n}`, the input of the block before the layer; `in{n}`, that block's output;
        `layer{n}`, the layer's output; `after{n}`, the output of the block after it. And `features`, after the last
        pooling."""
        maps = {}
        for number, (_, _, pooled) in enumerate(LAYERS, 1):
            maps[f"before{number}"] = x
            x = maps[f"in{number}"] = self.before[number - 1](x)
            x = maps[f"layer{number}"] = self.layers[number - 1](x)
            x = maps[f"after{number}"] = self.after[number - 1](x)
            x = F.max_pool2d(x, 2) if pooled else x
        return {**maps, "features": x}

    def forward(self, x: Tensor) -> Tensor:
        features = torch.flatten(self.maps(x)["features"], 1)
        scores: Tensor = self.fc(self.hidden(features))
        return scores


def stack_taps(module: nn.Module) -> tuple[Tap, ...]:
    """The convolutions conv1 … conv5 and the blocks before and after them. after1 and before2 have the same number of
    channels and belong to one stage."""
    taps = []
    for number in range(1, len(LAYERS) + 1):
        for place, stage in (("before", number - 1), ("layers", number), ("after", number)):
            path = f"{place}.{number - 1}"
            if place == "layers":
                taps.append(Tap(f"conv{number}", f"{path}.0", "stem" if number == 1 else "layer", "", stage))
            elif isinstance(module.get_submodule(path), ZeroBlock):
                name = f"{place}{number}"
                taps += [
                    Tap(f"{name}_branch2{letter}", f"{path}.{convolution}", "branch", name, stage)
                    for letter, convolution in (("a", "conv1"), ("b", "conv2"))
                ]
                taps.append(Tap(name, path, "block", name, stage))
    return tuple(taps)

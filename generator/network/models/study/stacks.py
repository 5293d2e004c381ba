"""A small network after AlexNet, and residual blocks that change nothing until they are trained (arXiv:1701.02362,
outlook)."""

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
    """x + branch(x), rectified where x is; the branch's last gain is zero at first, so that the block gives its input
    bit for bit."""

    def __init__(self, channels: int, rectified: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = conv3x3(channels, channels), nn.BatchNorm2d(channels)
        self.rectified = rectified

    def close(self) -> None:
        nn.init.zeros_(self.bn2.weight)
        nn.init.zeros_(self.bn2.bias)

    def branch(self, x: Tensor) -> Tensor:
        found: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return found

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → the same shape
        summed = x + self.branch(x)
        return F.relu(summed) if self.rectified else summed


class StackNetwork(nn.Module):
    """(B, 3, side, side) → (B, outputs): five convolutions and a hidden linear layer with batch norm and ReLU, three
    max-poolings; blocks: with a `ZeroBlock` before and after each convolution; norm: whether the hidden layer has
    its own."""

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
        """What goes into each layer, `before1`, what its block makes of it, `in1`, what the layer gives, `layer1`, and
        what its block makes of that, `after1`."""
        found = {}
        for number, (_, _, pooled) in enumerate(LAYERS, 1):
            found[f"before{number}"] = x
            x = found[f"in{number}"] = self.before[number - 1](x)
            x = found[f"layer{number}"] = self.layers[number - 1](x)
            x = found[f"after{number}"] = self.after[number - 1](x)
            x = F.max_pool2d(x, 2) if pooled else x
        return {**found, "features": x}

    def forward(self, x: Tensor) -> Tensor:
        features = torch.flatten(self.maps(x)["features"], 1)
        scores: Tensor = self.fc(self.hidden(features))
        return scores


def stack_taps(module: nn.Module) -> tuple[Tap, ...]:
    """The convolutions conv1 … conv5, and the blocks beside them: before2 and after1 have as many channels and are of
    one stage."""
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

"""The demo's plain network: convolutions one after the other, without shortcuts, for the control of
arXiv:1701.02362: does channel n of a layer continue in channel n of the next where no addition ties them?

It sees the same pictures as the residual one and is trained in the same way. Layers come in pairs of equal width, so
that equal numbers can be compared.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from generator.network.network import Tap

_LAYERS = ((16, 7, 2), (24, 3, 1), (48, 3, 2), (48, 3, 1), (96, 3, 2), (96, 3, 1), (96, 3, 2), (96, 3, 1))


class PlainNet(nn.Module):
    """conv1 … conv8, each with BatchNorm and a ReLU; channels, kernel's side and stride as in _LAYERS."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        channels = 3
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (out, side, stride) in enumerate(_LAYERS, 1):
            convolution = nn.Conv2d(channels, out, side, stride, padding=side // 2, bias=False)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            layers[f"conv{number}"] = nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))
            channels = out
        self.features = nn.Sequential(layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores (B, num_classes), before the softmax, of normalised pictures (B, 3, H, W)."""
        x = self.features(x)  # (B, 96, H/16, W/16)
        return self.fc(torch.flatten(self.avgpool(x), 1))


def plain_taps(module: nn.Module) -> tuple[Tap, ...]:
    """conv1 … conv8, each after its ReLU."""
    return tuple(
        Tap(f"conv{number}", f"features.conv{number}.0", "stem" if number == 1 else "layer", "", number)
        for number in range(1, len(_LAYERS) + 1)
    )


def demo_plain(num_classes: int) -> PlainNet:
    """The plain network with fresh weights, for pictures of 96×96 pixels and `num_classes` classes."""
    return PlainNet(num_classes)

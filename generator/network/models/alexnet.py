"""AlexNet, the plain network with which arXiv:1701.02362 compares the residual one.

torchvision's AlexNet is the one-tower network of arXiv:1404.5997: no normalisation, a ReLU after every convolution.
Without shortcuts, channel n of one layer is unrelated to channel n of the next.
"""

from __future__ import annotations

from torch import nn

from generator.network.models.hub import torchvision_model
from generator.network.network import Tap

_CONVOLUTIONS = (0, 3, 6, 8, 10)  # their indices in torchvision's `features`


def alexnet_taps(module: nn.Module) -> tuple[Tap, ...]:
    """conv1 … conv5, each after its ReLU and before the pooling."""
    return tuple(
        Tap(f"conv{number}", f"features.{index}", "stem" if number == 1 else "layer", "", number)
        for number, index in enumerate(_CONVOLUTIONS, 1)
    )


MODELS = (
    torchvision_model(
        "alexnet",
        "AlexNet (arXiv:1404.5997), torchvision: plain, without shortcuts",
        61_100_840,
        alexnet_taps,
        head="classifier.6.weight",
    ),
)

"""AlexNet, the plain network that arXiv:1701.02362 sets beside the residual one.

torchvision's is the one-tower network of arXiv:1404.5997: no normalisation, every convolution followed by its
ReLU. It has no shortcut, so that channel n of one layer has nothing to do with channel n of the next.
"""

from __future__ import annotations

from torch import nn

from generator.network.models.hub import torchvision_model
from generator.network.network import Tap

_CONVOLUTIONS = (0, 3, 6, 8, 10)  # their places in torchvision's `features`


def alexnet_taps(module: nn.Module) -> tuple[Tap, ...]:
    """conv1 … conv5, each after its ReLU and before the pooling."""
    return tuple(
        Tap(f"conv{number}", f"features.{place}", "stem" if number == 1 else "layer", "", number)
        for number, place in enumerate(_CONVOLUTIONS, 1)
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

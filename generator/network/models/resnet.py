"""torchvision's ResNets, ResNeXts and wide ResNet with the weights that torchvision publishes.

arXiv:1512.03385 (ResNet), arXiv:1611.05431 (ResNeXt), arXiv:1605.07146 (wide ResNet). torchvision puts the
stride into the 3×3 convolution of a projection block ("ResNet v1.5"); the Caffe original is in
resnet_caffe.py.
"""

from __future__ import annotations

import functools

from generator.network.models.hub import torchvision_model
from generator.network.models.model import Model, residual_taps


def _model(name: str, text: str, parameters: int, *, numbered: bool = False) -> Model:
    return torchvision_model(name, text, parameters, functools.partial(residual_taps, numbered=numbered))


MODELS = (
    _model("resnet18", "ResNet-18 (arXiv:1512.03385), torchvision", 11_689_512),
    _model("resnet34", "ResNet-34 (arXiv:1512.03385), torchvision", 21_797_672),
    _model("resnet50", "ResNet-50 (arXiv:1512.03385), torchvision: stride in the 3×3", 25_557_032),
    _model(
        "resnet101",
        "ResNet-101 (arXiv:1512.03385), torchvision: stride in the 3×3",
        44_549_160,
        numbered=True,
    ),
    _model(
        "resnet152",
        "ResNet-152 (arXiv:1512.03385), torchvision: stride in the 3×3",
        60_192_808,
        numbered=True,
    ),
    _model("resnext50_32x4d", "ResNeXt-50 32×4d (arXiv:1611.05431), torchvision", 25_028_904),
    _model("resnext101_32x8d", "ResNeXt-101 32×8d (arXiv:1611.05431), torchvision", 88_791_336),
    _model("wide_resnet50_2", "Wide ResNet-50-2 (arXiv:1605.07146), torchvision", 68_883_240),
)

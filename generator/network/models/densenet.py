"""DenseNet (arXiv:1608.06993): every layer reads all maps before it in its dense block and appends its own.

Norm and ReLU come before the convolutions. A dense layer is a 1×1 convolution (after its norm and ReLU, 4 · 32
channels) and a 3×3 one whose 32 channels are new: they are the layer's output, signed, since each
reader applies its own norm and ReLU. Concatenation does not change earlier maps, so a channel is shown once, where it
is computed.
"""

from __future__ import annotations

import re
import string

from torch import nn

from generator.network.models.hub import torchvision_model
from generator.network.network import Tap


def dense_taps(module: nn.Module) -> tuple[Tap, ...]:
    """conv1, then of dense block n (stage n + 1) each layer's 1×1 and 3×3 convolution (`dense2a_1x1`, `dense2a`) and
    the transition's convolution (`transition2`) behind it."""
    features = module.get_submodule("features")
    taps = [Tap("conv1", "features.conv0", "stem", "", 1)]
    block = 1
    while (layers := getattr(features, f"denseblock{block}", None)) is not None:
        stage = block + 1
        for number, (inside, _) in enumerate(layers.named_children()):
            path, name = (
                f"features.denseblock{block}.{inside}",
                f"dense{stage}{string.ascii_lowercase[number]}",
            )
            taps.append(Tap(f"{name}_1x1", f"{path}.conv1", "branch", name, stage))
            taps.append(Tap(name, f"{path}.conv2", "layer", "", stage))
        if hasattr(features, f"transition{block}"):
            path = f"features.transition{block}.conv"
            taps.append(Tap(f"transition{stage}", path, "layer", "", stage))
        block += 1
    return tuple(taps)


def _renamed(name: str) -> str:
    """`….denselayer1.norm.1.weight`, as in the published files → `….denselayer1.norm1.weight`."""
    return re.sub(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)", r"\1\2", name)


MODELS = (
    torchvision_model(
        "densenet121",
        "DenseNet-121 (arXiv:1608.06993), torchvision",
        7_978_856,
        dense_taps,
        head="classifier.weight",
        rename=_renamed,
    ),
)

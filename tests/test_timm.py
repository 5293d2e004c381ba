"""timm's networks by its names and files; and timm as the oracle of the pre-activation ResNet."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch
from gradient_oracle import randomise
from safetensors.torch import save_file

from generator.core.errors import AtlasError
from generator.network import models
from generator.network.models.efficientnet_lite import EfficientNetLite0
from generator.network.models.model import residual_taps
from generator.network.models.resnet_preact import PreActResNet
from generator.stages import profile
from tools import timm_families

needs_timm = pytest.mark.skipif(
    __import__("importlib.util").util.find_spec("timm") is None, reason="the extra [timm] is not installed"
)


def test_without_timm_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        AtlasError, match=r"needs timm, which is not installed.*pip install 'timm>=1\.0'.*'\.\[timm\]'"
    ):
        models.load("timm/resnetv2_50", "random")


@needs_timm
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("timm/resnetv2_5", "timm has no such model: resnetv2_5 — did you mean .*resnetv2_50"),
        ("timm/vit_tiny_patch16_224", "no maps of features behind its first convolution: transformers"),
        ("timm/mixer_s32_224", "no maps of features behind its first convolution: transformers"),
    ],
)
def test_what_has_no_maps_of_features_is_refused(name: str, what: str) -> None:
    with pytest.raises(AtlasError, match=what):
        models.load(name, "random")


@pytest.mark.slow
@needs_timm
@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("seresnet18", "torch"),  # gates
        ("resnetblur50", "torch"),  # fixed filters before strides, which no file holds; mirrored padding
        ("resnet26d", "cones"),  # a pooling before the projection
        ("skresnet18", "torch"),  # a softmax over branches
        ("mobilenetv2_050", "cones"),
        ("efficientnet_lite0", "cones"),
    ],
)
def test_maps_scores_and_gradients_are_timms(name: str, way: str) -> None:
    """tools/timm_families.py sweeps all families."""
    row = timm_families.compare(name)
    assert row.agrees, row.reason
    assert row.way == way
    assert row.blocks == row.compared > 3


@needs_timm
def test_what_timm_calls_layers_keeps_its_name() -> None:
    """A long ResNeXt's blocks are numbered as ResNet-101's are; a projection behind a pooling is that of its block."""
    import timm

    with torch.device("meta"):
        long, short = (timm.create_model(name) for name in ("resnext101_32x4d", "resnet26d"))
    names = {tap.name: tap.path for tap in models.find("timm/resnext101_32x4d").taps_of(long)}
    assert names["res4b22_branch2c"] == "layer3.22.conv3"
    assert names["res3b1"] == "layer2.1"
    assert models.find("timm/resnet26d").taps_of(short) == ()  # found in the graph
    projections = {tap.path for tap in residual_taps(short) if tap.kind == "projection"}
    assert projections == {f"layer{stage}.0.downsample.1" for stage in (1, 2, 3, 4)}


@needs_timm
@torch.no_grad()
def test_efficientnet_lite_is_timms() -> None:
    """Same numbers from the same weights, which both define in one order, in float64."""
    import timm

    theirs, ours = randomise(timm.create_model("tf_efficientnet_lite0", num_classes=7)), EfficientNetLite0(7)
    state = zip(ours.state_dict(), theirs.state_dict().values(), strict=True)
    ours.load_state_dict(dict(state))
    picture = torch.randn(2, 3, 72, 97, dtype=torch.float64)
    torch.testing.assert_close(ours.double().eval()(picture), theirs(picture), rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@needs_timm
@pytest.mark.parametrize("name", ["resnetv2_50", "resnet26"])
@torch.no_grad()
def test_timms_file_computes_what_timms_model_does(name: str, tmp_path: Path) -> None:
    import timm

    module = randomise(timm.create_model(name, num_classes=5))
    save_file(
        {key: t.float().contiguous() for key, t in module.state_dict().items() if t.dim()},
        tmp_path / "w.safetensors",
    )
    module = module.float().double()  # as the file has it
    network = models.load(f"timm/{name}", tmp_path / "w.safetensors").to("cpu", torch.float64)
    picture = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    *_, (_, scores) = network.graph.run(picture)
    expected = module(picture)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())
    assert network.classes == tuple(f"class {number}" for number in range(5))
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    assert {layer.rectified for layer in blocks} == {name != "resnetv2_50"}
    assert blocks[0].name == "res2a"
    # 26 has two bottlenecks a stage: the first 3 × 3 adds two strides of its input, the second two of its output.
    sizes = {"resnetv2_50": (35, 91, 267, 427), "resnet26": (27, 27 + 8 + 16, 51 + 16 + 32, 99 + 32 + 64)}
    ends = [[layer for layer in blocks if layer.stage == stage][-1] for stage in (2, 3, 4, 5)]
    assert tuple(layer.receptive_field.side for layer in ends) == sizes[name]


@needs_timm
@torch.no_grad()
def test_the_pre_activation_resnet_is_timms() -> None:
    """Same numbers from the same weights, in float64, under two sets of names."""
    import timm

    theirs = randomise(timm.create_model("resnetv2_50", num_classes=7))
    ours = PreActResNet((3, 4, 6, 3), 7).double().eval()

    def renamed(name: str) -> str:
        name = re.sub(
            r"stages\.(\d)\.blocks\.(\d+)\.",
            lambda m: f"layer{int(m[1]) + 1}.{m[2]}.",
            name.replace("stem.conv", "conv1"),
        )
        name = re.sub(r"(layer.*)\.norm(\d)", r"\1.bn\2", name)
        return name.replace("downsample.conv", "downsample.0").replace("head.fc", "fc")

    state = {renamed(name): tensor for name, tensor in theirs.state_dict().items()}
    state["fc.weight"] = state["fc.weight"].flatten(1)
    ours.load_state_dict(state)
    picture = torch.randn(2, 3, 96, 96, dtype=torch.float64)
    torch.testing.assert_close(ours(picture.clone()), theirs(picture.clone()), rtol=1e-10, atol=1e-10)


@needs_timm
def test_timms_names_need_no_profile() -> None:
    chosen = profile.load("timm/resnetv2_50.a1h_in1k")
    assert (chosen.name, chosen.network.model) == ("timm-resnetv2_50.a1h_in1k", "timm/resnetv2_50.a1h_in1k")
    preprocessing = models.find(chosen.network.model).preprocessing
    assert (preprocessing.resize, preprocessing.crop, preprocessing.mean) == (235, 224, (0.5, 0.5, 0.5))

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
from generator.network.models.resnet_preact import PreActResNet
from generator.stages import profile

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
        ("timm/vit_tiny_patch16_224", "the atlas does not know this family"),
        ("timm/seresnet50", "does not know: mean in layer1.0.se"),
    ],
)
def test_what_is_no_plain_residual_network_is_refused_by_name(name: str, what: str) -> None:
    with pytest.raises(AtlasError, match=what):
        models.load(name, "random")


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

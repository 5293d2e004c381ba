"""Every network of the registry: its layers, their names and fields, and that it computes what it should."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing, WeightsInfo
from generator.engine.scan.plan import earlier_blocks
from generator.network import models
from generator.network.models import demo, drawn
from generator.network.network import Network
from generator.pictures.batch_reader import read_batches
from generator.pictures.reading import find_pictures

PUBLISHED = [name for name in models.names() if models.find(name).parameters]

# At the ends of the stages (strides 4, 8, 16, 32): sides of the fields; units of block outputs and of inner
# convolutions; worked out from strides and kernels.
SIDES = {
    "resnet18": (43, 99, 211, 435),
    "resnet34": (59, 179, 547, 899),
    "resnet50": (35, 91, 267, 427),
    "resnet101": (35, 91, 811, 971),
    "resnet152": (35, 155, 1291, 1451),
    "resnet50-caffe": (35, 99, 291, 483),
}
UNITS = {
    "resnet18": (1_920, 3_840),
    "resnet34": (3_776, 7_552),
    "resnet50": (15_104, 22_656),
    "resnet101": (32_512, 48_768),
    "resnet152": (47_872, 71_808),
}


def blank(name: str) -> Network:
    """The network without numbers, which is fast: names, shapes and fields do not depend on them."""
    model = models.find(name)
    with torch.device("meta"):
        module = model.build(model.outputs)
    info = WeightsInfo("none", "")
    return Network.from_module(name, module, model.taps(module), model.preprocessing, info)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name: str) -> None:
    model = models.find(name)
    with torch.device("meta"):
        module = model.build(model.outputs)
    assert sum(parameter.numel() for parameter in module.parameters()) == model.parameters


@pytest.mark.parametrize("name", SIDES)
def test_fields_and_units_are_as_published(name: str) -> None:
    network = blank(name)
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    ends = [[layer for layer in blocks if layer.stage == stage][-1] for stage in (2, 3, 4, 5)]
    assert tuple(layer.receptive_field.side for layer in ends) == SIDES[name]
    assert [layer.receptive_field.stride for layer in ends] == [4, 8, 16, 32]
    assert all(layer.rectified for layer in blocks)
    assert [layer.kind for layer in network.layers[:1]] == ["stem"]
    if name in UNITS:
        inner = sum(layer.channels for layer in network.layers if layer.kind == "branch")
        assert (sum(layer.channels for layer in blocks), inner) == UNITS[name]


def test_the_caffe_network_has_the_fields_of_its_readme() -> None:
    expected = {
        "res2a": (19, 4), "res2b": (27, 4), "res2c": (35, 4),
        "res3a": (51, 8), "res3b": (67, 8), "res3c": (83, 8), "res3d": (99, 8),
        "res4a": (131, 16), "res4b": (163, 16), "res4c": (195, 16),
        "res4d": (227, 16), "res4e": (259, 16), "res4f": (291, 16),
    }  # fmt: skip
    network = blank("resnet50-caffe")
    for name, (side, stride) in expected.items():
        field = network.layer(name).receptive_field
        assert (field.side, field.stride, field.centre) == (side, stride, 2.0)
    assert blank("resnet50").layer("res2a").receptive_field.centre == 0.0


def test_layers_have_caffes_names_and_torchvisions_paths() -> None:
    layers = blank("resnet50").layers
    assert [layer.name for layer in layers[:7]] == [
        "conv1", "res2a_branch2a", "res2a_branch2b", "res2a_branch2c", "res2a_branch1",
        "res2a", "res2b_branch2a",
    ]  # fmt: skip
    paths = {layer.name: layer.path for layer in layers}
    assert paths["res2a_branch1"] == "layer1.0.downsample.0"
    assert paths["res5c_branch2b"] == "layer4.2.conv2"
    assert paths["res3d"] == "layer2.3"
    rectified = {layer.name: layer.rectified for layer in layers}
    assert rectified["conv1"]
    assert rectified["res2a_branch2b"]
    assert not rectified["res2a_branch2c"]
    assert not rectified["res2a_branch1"]


def test_alexnets_fields_are_as_published() -> None:
    """Sides and strides as in the receptive-field tables of arXiv:1411.1792's network."""
    layers = blank("alexnet").layers
    fields = [(layer.name, layer.receptive_field.side, layer.receptive_field.stride) for layer in layers]
    assert fields == [
        ("conv1", 11, 4),
        ("conv2", 51, 8),
        ("conv3", 99, 16),
        ("conv4", 131, 16),
        ("conv5", 163, 16),
    ]
    assert [layer.channels for layer in layers] == [64, 192, 384, 256, 256]
    assert all(layer.rectified for layer in layers)
    assert not any(layer.is_inner for layer in layers)
    assert earlier_blocks(layers) == {}  # conv4 and conv5 have 256 channels each, yet nothing ties them


def test_pre_activation_blocks_are_signed_and_see_what_resnet_50_sees() -> None:
    layers = blank("preact_resnet50").layers
    blocks = [layer for layer in layers if layer.kind == "block"]
    assert not any(layer.rectified for layer in blocks)
    rectified = {layer.name: layer.rectified for layer in layers}
    assert [rectified[f"res3a_branch{part}"] for part in ("1", "2a", "2b", "2c")] == [
        False,
        True,
        True,
        False,
    ]
    ends = [[layer for layer in blocks if layer.stage == stage][-1] for stage in (2, 3, 4, 5)]
    assert tuple(layer.receptive_field.side for layer in ends) == SIDES["resnet50"]
    assert blank("preact_resnet50").graph.count("relu") == 49


def test_densenets_layers_are_those_of_its_table() -> None:
    """arXiv:1608.06993, table 1: dense blocks of 6, 12, 24, 16 layers, growth 32, halving transitions."""
    layers = blank("densenet121").layers
    made = [[x for x in layers if x.stage == stage and x.name.startswith("dense")] for stage in (2, 3, 4, 5)]
    assert [sum(not x.is_inner for x in some) for some in made] == [6, 12, 24, 16]
    assert {(x.channels, x.rectified) for some in made for x in some if not x.is_inner} == {(32, False)}
    assert {(x.channels, x.rectified) for some in made for x in some if x.is_inner} == {(128, True)}
    assert [x.channels for x in layers if x.name.startswith("transition")] == [128, 256, 512]
    assert [some[-1].receptive_field.stride for some in made] == [4, 8, 16, 32]
    # By hand: the stem sees 7 px, its pool 11; each layer's 3 × 3 adds 2 strides.
    assert [some[-1].receptive_field.side for some in made[:1]] == [11 + 6 * 2 * 4]
    assert earlier_blocks(layers) == {}


def test_densenets_published_files_have_older_names(tmp_path: Path) -> None:
    state = models.load_module("densenet121", "random", seed=1).state_dict()
    older = {re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", name): t for name, t in state.items()}
    assert older.keys() != state.keys()
    torch.save(older, tmp_path / "w.pth")
    loaded = models.load_module("densenet121", tmp_path / "w.pth").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


@pytest.mark.parametrize(
    ("name", "head"), [pytest.param("alexnet", "classifier.6", marks=pytest.mark.slow), ("resnet18", "fc")]
)
def test_a_file_with_other_classes_brings_its_own_head(tmp_path: Path, name: str, head: str) -> None:
    module = torchvision.models.get_model(name, num_classes=7)
    assert module.get_submodule(head).out_features == 7
    torch.save({"model": module.state_dict(), "epoch": 3}, tmp_path / "mine.pt")
    (tmp_path / "classes.txt").write_text("".join(f"kind {n}\n" for n in range(7)))
    network = models.load(name, tmp_path / "mine.pt", classes=tmp_path / "classes.txt")
    assert network.classes == tuple(f"kind {n}" for n in range(7))
    assert models.load(name, tmp_path / "mine.pt").classes[-1] == "class 6"


@pytest.mark.parametrize(
    ("name", "some", "count"),
    [
        ("resnet101", {"res3a", "res3b3", "res4a", "res4b1", "res4b22", "res2c", "res5c"}, 33),
        ("resnet152", {"res3b7", "res4b35", "res5b"}, 50),
        ("resnext101_32x8d", {"res3d", "res4w"}, 33),
        ("resnet34", {"res4f", "res5c"}, 16),
        ("resnet110-cifar", {"res2r", "res4r"}, 54),
    ],
)
def test_long_stages_are_numbered_as_caffe_does(name: str, some: set[str], count: int) -> None:
    blocks = {layer.name for layer in blank(name).layers if layer.kind == "block"}
    assert some <= blocks
    assert len(blocks) == count


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50-caffe",
        "resnet20-cifar",
        "demo",
        pytest.param("preact_resnet50", marks=pytest.mark.slow),
        pytest.param("alexnet", marks=pytest.mark.slow),
        pytest.param("densenet121", marks=pytest.mark.slow),
        pytest.param("resnext50_32x4d", marks=pytest.mark.slow),
    ],
)
def test_the_graph_computes_what_the_module_does(name: str) -> None:
    model = models.find(name)
    module = models.load_module(name, "random", seed=5)
    info = WeightsInfo("random", "")
    network = Network.from_module(name, module, model.taps(module), model.preprocessing, info)
    network = network.to("cpu", torch.float64)
    side = min(network.preprocessing.crop, 96)
    picture = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        expected = module.double()(picture)
        *_, (_, scores) = network.graph.run(picture)
    torch.testing.assert_close(scores, expected, rtol=1e-9, atol=1e-9 * expected.abs().max().item())


def test_random_weights_are_the_seeds_and_leave_torchs_generator_alone() -> None:
    state = torch.get_rng_state()
    first, again, other = (models.load("resnet20-cifar", "random", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.weights.sha256 == again.weights.sha256 != other.weights.sha256
    assert first.weights.random
    assert first.classes == ()


# -- finding weights -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weights", "what"),
    [
        ("resnet51", None, "unknown model: resnet51 — did you mean .*resnet50"),
        ("resnet50-caffe", None, "bring a file: --weights"),
        ("resnet20-cifar", None, "bring a file: --weights"),
        ("resnet50", "IMAGENET22K", "one of DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2, random"),
        ("resnet50", "nowhere/w.pth", "no such weights file"),
    ],
)
def test_wrong_names_are_one_sentence(name: str, weights: str | None, what: str) -> None:
    with pytest.raises(AtlasError, match=what):
        models.load(name, weights)


def test_a_failed_download_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    with pytest.raises(AtlasError, match=r"IMAGENET1K_V2 of resnet50.*no route.*--weights FILE"):
        models.load("resnet50")


@pytest.mark.parametrize(
    "asked", ["IMAGENET1K_V1", "DEFAULT", "ResNet18_Weights.IMAGENET1K_V1", None, "file"]
)
def test_published_weights_come_from_torchs_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str | None
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(models.load_module("resnet18", "random").state_dict(), folder / "resnet18-f37072fd.pth")
    network = models.load("resnet18", str(folder / "resnet18-f37072fd.pth") if asked == "file" else asked)
    assert network.weights.source == ("resnet18-f37072fd.pth" if asked == "file" else "IMAGENET1K_V1")
    assert network.preprocessing == Preprocessing(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert network.classes[0] == "tench"
    assert len(network.classes) == 1000


def test_published_weights_bring_their_own_preprocessing() -> None:
    weights = torchvision.models.ResNet50_Weights.IMAGENET1K_V2
    about = models.find("resnet50").recognise(Path("anywhere") / weights.url.rsplit("/", 1)[-1])
    assert about is not None
    assert about.preprocessing is not None
    assert about.preprocessing.resize == 232


def test_the_demo_is_built_in_and_names_its_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = demo.demo_resnet(3)
    path = tmp_path / "weights.safetensors"
    monkeypatch.setattr(drawn, "WEIGHTS", path)
    with pytest.raises(AtlasError, match="demo's weights are missing"):
        models.load("demo")
    save_file(module.state_dict(), path, {"classes": '["loop", "spiral", "ring"]'})
    network = models.load("demo")
    assert network.weights.source == "built-in"
    assert network.classes == ("loop", "spiral", "ring")
    assert network.layers[-1].name == "res5c"
    assert [layer.name for layer in network.layers if layer.stage == 4 and layer.kind == "block"][
        -1
    ] == "res4f"


# -- real weights --------------------------------------------------------------------------------------------


def test_the_papers_network_ends_at_res4f(shared_data: Path) -> None:
    network = models.load(
        "resnet50-caffe", shared_data / "resnet50-caffe/resnet50-caffe-to-res4f.safetensors"
    )
    blocks = " ".join(layer.name for layer in network.layers if layer.kind == "block")
    assert blocks == "res2a res2b res2c res3a res3b res3c res3d res4a res4b res4c res4d res4e res4f"
    assert network.layers[-1].name == "res4f"
    assert network.graph.count("linear") == 0
    assert network.preprocessing.value_range == 255.0


@pytest.mark.parametrize("name", ["resnet50", "resnet50-caffe", "resnet32-cifar"])
def test_anothers_weights_are_refused(shared_data: Path, name: str) -> None:
    caffe = shared_data / "resnet50-caffe/resnet50-caffe-to-res4f.safetensors"
    cifar = shared_data / "resnet20-cifar10/resnet20_cifar10.safetensors"
    with pytest.raises(AtlasError, match="give a weights file of this model"):
        models.load(name, caffe if name == "resnet50" else cifar)


@pytest.mark.slow
def test_resnet20_is_right_as_often_as_its_readme_says(shared_data: Path) -> None:
    network = models.load("resnet20-cifar", shared_data / "resnet20-cifar10/resnet20_cifar10.safetensors")
    network = network.to("cpu")
    pictures = find_pictures(shared_data / "cifar10-sample")
    assert len(pictures) == 2000
    right = 0
    for batch in read_batches(pictures, range(2000), network.preprocessing, batch=250, workers=0):
        with torch.no_grad():
            *_, (_, scores) = network.graph.run(network.prepare(batch.pixels))
        guesses = [network.classes[guess] for guess in scores.argmax(1).tolist()]
        truth = [pictures.files[index].label for index in batch.indices.tolist()]
        right += sum(guess == label for guess, label in zip(guesses, truth, strict=True))
    assert 0.80 < right / 2000 < 0.83

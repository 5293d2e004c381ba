"""Weights files, whole and broken, and how they go into a module."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.network import models
from generator.network.class_names import read_class_list
from generator.network.weights import he_initialise, read_classes, read_state_dict

NET = "resnet20-cifar"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def whole() -> State:
    return models.load_module(NET, "random", seed=3).state_dict()


def saved(state: State, folder: Path, name: str = "w.safetensors") -> Path:
    save_file({key: tensor.clone() for key, tensor in state.items()}, folder / name)
    return folder / name


def same(a: nn.Module, state: State) -> bool:
    mine = a.state_dict()
    return all(torch.equal(mine[key], tensor) for key, tensor in state.items() if "tracked" not in key)


# -- reading -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 90, "args": argparse.Namespace(lr=0.1)},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}, "optimizer": {"lr": 0.1}},
        lambda s: {"state_dict": {"model": {f"_orig_mod.module.{k}": v for k, v in s.items()}}},
        lambda s: {k.replace("fc.", "linear."): v for k, v in s.items()},
        lambda s: {k: v for k, v in s.items() if not k.endswith("num_batches_tracked")},
        lambda s: {k: v.double() if v.is_floating_point() else v for k, v in s.items()},
        lambda s: {k: nn.Parameter(v) if "conv" in k else v for k, v in s.items()},
    ],
)
def test_what_training_scripts_save_is_understood(
    tmp_path: Path, whole: State, wrap: Callable[[State], object]
) -> None:
    torch.save(wrap(whole), tmp_path / "w.pth")
    module = models.load_module(NET, tmp_path / "w.pth")
    assert same(module, whole)
    assert not any(tensor.is_meta for tensor in module.state_dict().values())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_short_numbers_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    read = read_state_dict(saved({"a": torch.tensor([1.5, -2.0], dtype=dtype)}, tmp_path))
    assert torch.equal(read["a"], torch.tensor([1.5, -2.0]))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("this must never run",))


def _spoilt(folder: Path, kind: str) -> Path:
    state = {"conv1.weight": torch.ones(2, 3, 1, 1)}
    path = folder / (f"{kind}.safetensors" if kind.startswith("st") else f"{kind}.pt")
    match kind:
        case "code":
            torch.save({"state_dict": state, "x": Evil()}, path)
        case "module":
            torch.save(nn.Linear(2, 2), path)
        case "cut":
            torch.save(state, path)
            path.write_bytes(path.read_bytes()[:-200])
        case "garbage" | "st-garbage":
            path.write_bytes(b"\x07garbage" * 50)
        case "zero" | "st-zero":
            path.write_bytes(b"")
        case "list":
            torch.save([torch.ones(2)], path)
        case "numbers":
            torch.save({"epoch": 3}, path)
        case "twice":
            torch.save({"a": torch.ones(1), "module.a": torch.ones(1)}, path)
        case "st-cut":
            path = saved(state, folder, "st-cut.safetensors")
            path.write_bytes(path.read_bytes()[:-4])
        case "st-nan":
            path = saved({"conv1.weight": torch.tensor([float("nan")])}, folder)
        case "st-int":
            path = saved({"conv1.weight": torch.ones(2, dtype=torch.int8)}, folder)
        case "folder":
            path.mkdir()
        case "ending":
            path = folder / "w.onnx"
    return path


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("code", "contains Python code, which is not run"),
        ("module", "contains Python code"),
        ("cut", "truncated"),
        ("garbage", "damaged or not one of torch's"),
        ("zero", "damaged or not one of torch's"),
        ("list", "not a dictionary of tensors"),
        ("numbers", "not a dictionary of tensors"),
        ("twice", "tensor a twice"),
        ("st-cut", "damaged or not safetensors"),
        ("st-garbage", "damaged or not safetensors"),
        ("st-zero", "damaged or not safetensors"),
        ("st-nan", "conv1.weight holds infinite or undefined"),
        ("st-int", "conv1.weight is int8"),
        ("folder", "a folder where"),
        ("missing", "no such weights file"),
        ("ending", r"ends in \.safetensors"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    tmp_path: Path, kind: str, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _spoilt(tmp_path, kind)
    with pytest.raises(AtlasError, match=what) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert "never run" not in capsys.readouterr().out


def test_class_names_travel_in_the_metadata(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors", {"classes": json.dumps(["owl", "tench"])})
    assert read_classes(tmp_path / "w.safetensors") == ("owl", "tench")
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors", {"classes": "owl"})
    with pytest.raises(AtlasError, match="JSON list"):
        read_classes(tmp_path / "w.safetensors")
    (tmp_path / "c.txt").write_text("\ufeffgreat owl\ntench\n\n", encoding="utf-8")
    assert read_class_list(tmp_path / "c.txt") == ("great owl", "tench")


# -- fitting -------------------------------------------------------------------------------------------------


def test_a_file_is_usable_up_to_its_last_whole_block(tmp_path: Path, whole: State) -> None:
    ends_in_the_middle = {
        k: v for k, v in whole.items() if not k.startswith(("layer3.1.conv2", "layer3.1.bn2"))
    }
    for prefix in ("layer3.2.", "fc."):
        ends_in_the_middle = {k: v for k, v in ends_in_the_middle.items() if not k.startswith(prefix)}
    network = models.load(NET, saved(ends_in_the_middle, tmp_path))
    assert network.layers[-1].name == "res4a"
    assert network.classes == ()
    assert "ends at res4a" in network.weights.note


def test_without_its_classifier_a_network_keeps_all_blocks(tmp_path: Path, whole: State) -> None:
    body = {k: v for k, v in whole.items() if not k.startswith("fc.")}
    network = models.load(NET, saved({**body, "classifier.0.weight": torch.ones(3, 64)}, tmp_path))
    assert network.layers[-1].name == "res4c"
    assert network.classes == ()


def test_a_finetuned_classifier_sets_the_number_of_classes(tmp_path: Path, whole: State) -> None:
    tuned = {**whole, "fc.weight": torch.ones(3, 64), "fc.bias": torch.zeros(3)}
    path = saved(tuned, tmp_path)
    assert models.load(NET, path).classes == ("class 0", "class 1", "class 2")
    (tmp_path / "names.txt").write_text("owl\ntench\ncat\n")
    assert models.load(NET, path, classes=tmp_path / "names.txt").classes == ("owl", "tench", "cat")
    (tmp_path / "names.txt").write_text("owl\n")
    with pytest.raises(AtlasError, match="names 1 class, the network has 3 outputs"):
        models.load(NET, path, classes=tmp_path / "names.txt")


def _without(state: State, *names: str) -> State:
    return {key: tensor for key, tensor in state.items() if not key.startswith(names)}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            lambda s: _without(s, "layer2.1.conv2"),
            r"no tensor layer2\.1\.conv2\.weight of shape \(32, 32, 3, 3\)",
        ),
        (lambda s: _without(s, "layer2.1.conv2", "fc."), r"no tensor layer2\.1\.conv2\.weight"),
        (lambda s: _without(s, "conv1"), r"no tensor conv1\.weight"),
        (lambda s: _without(s, "layer", "fc"), r"no tensor layer1\.0\.conv1\.weight"),
        (
            lambda s: {**s, "layer1.0.conv1.weight": torch.ones(16, 16, 1, 1)},
            r"layer1\.0\.conv1\.weight has shape \(16, 16, 1, 1\), the network needs \(16, 16, 3, 3\)",
        ),
        (
            lambda s: {**s, "layer3.3.conv1.weight": torch.ones(1)},
            r"that the network lacks: layer3\.3\.conv1\.weight",
        ),
        (lambda s: {**s, "conv1.bias": torch.ones(16)}, r"that the network lacks: conv1\.bias"),
        (lambda s: {**s, "bn1.running_var": -torch.ones(16)}, r"bn1\.running_var holds negative"),
    ],
)
def test_another_networks_weights_name_the_tensor_and_the_file(
    tmp_path: Path, whole: State, change: Callable[[State], State], what: str
) -> None:
    path = saved(change(whole), tmp_path)
    with pytest.raises(AtlasError, match=what) as caught:
        models.load(NET, path)
    assert str(path) in str(caught.value)


def test_he_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (
        nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.ReLU()) for _ in range(3)
    )
    he_initialise(first, 1)
    torch.manual_seed(99)
    he_initialise(again, 1)
    he_initialise(other, 2)
    assert same(again, first.state_dict())
    assert not same(other, first.state_dict())
    assert abs(first[0].weight.std().item() - (2 / (64 * 9)) ** 0.5) < 0.005


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\nfish\n",
        "\ufeffcat\r\ndog\r\nfish",
        "0 cat\n1 dog\n2 fish\n",
        "0: cat\n1: dog\n2: fish\n",
        "1,cat\n2,dog\n3,fish\n",
        '"cat"\n"dog"\n"fish"\n',
        "{0: 'cat',\n 1: 'dog',\n 2: 'fish'}\n",
        '["cat", "dog", "fish"]',
        '{"2": "fish", "0": "cat", "1": "dog"}',
        '{"fish": 2, "cat": 0, "dog": 1}',
    ],
)
def test_class_names_stand_in_the_order_of_the_outputs_however_they_are_written(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "c.txt").write_text(text, newline="")
    assert read_class_list(tmp_path / "c.txt") == ("cat", "dog", "fish")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("707-320\n3 litre\n", ("707-320", "3 litre")),  # numbers that are no count
        ("0\n1\n", ("0", "1")),
        ("1 001.Albatross\n2 002.Auklet\n", ("001.Albatross", "002.Auklet")),
        (
            '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}',
            ("n01440764 tench", "n01443537 goldfish"),
        ),
        ("[void]\ncat\n", ("[void]", "cat")),
        ("a\u2028b\nc\n", ("a\u2028b", "c")),
    ],
)
def test_class_names_lose_nothing_that_is_theirs(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    (tmp_path / "c.txt").write_text(text, encoding="utf-8")
    assert read_class_list(tmp_path / "c.txt") == names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2,cat\n0,dog\n1,fish\n", "line 1 has the number 2.*order"),
        ("1 cat\n3 dog\n2 fish\n", "line 2 has the number 3.*order"),
        ("cat\n\nfish\n", "line 2 is empty"),
        ('{"cat": 1, "dog": 2}', "neither a list of names nor a dictionary"),
        ('{"classes": ["cat", "dog"]}', "neither a list of names nor a dictionary"),
        ('{\n"0": "cat",\n}}\n', "neither a list of names nor a dictionary"),
    ],
)
def test_class_names_of_another_order_are_asked_about(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.txt").write_text(text)
    with pytest.raises(AtlasError, match=said):
        read_class_list(tmp_path / "c.txt")

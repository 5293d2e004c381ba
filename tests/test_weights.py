"""Weights files, whole and broken, and how they go into a module."""

from __future__ import annotations

import argparse
import collections
import gzip
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.records import IN_FILE
from generator.network import models
from generator.network.class_names import read_class_list
from generator.network.weights.fitting import as_float
from generator.network.weights.initial import he_initialise
from generator.network.weights.metadata import read_classes
from generator.network.weights.reading import read_weights

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
    path = saved({"a": torch.tensor([1.5, -2.0], dtype=dtype)}, tmp_path)
    (entry,) = read_weights(path).entries
    assert torch.equal(as_float("a", entry.tensor, path), torch.tensor([1.5, -2.0]))


class Evil:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (print, ("this must never run",))


def _archive(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def _spoilt(folder: Path, kind: str) -> Path:
    """A file of a kind that holds no usable tensors, without a suffix that would say so."""
    state = {"conv1.weight": torch.ones(2, 3, 1, 1)}
    path = folder / "weights"
    match kind:
        case "module":
            torch.save(nn.Linear(2, 2), path)
        case "old-module":
            torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)
        case "module-inside":
            torch.save({"epoch": 3, "model": nn.Linear(2, 2)}, path)
        case "object":
            torch.save(argparse.Namespace(lr=0.1), path)
        case "script":
            torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
        case "cut":
            torch.save(state, path)
            path.write_bytes(path.read_bytes()[:-200])
        case "garbage":
            path.write_bytes(b"\x07garbage" * 50)
        case "pickle-garbage":
            path.write_bytes(b"\x80\x02garbage" * 50)
        case "empty":
            path.write_bytes(b"")
        case "list":
            torch.save([torch.ones(2)], path)
        case "numbers":
            torch.save({"epoch": 3, "arch": "resnet18"}, path)
        case "st-cut":
            path.write_bytes(saved(state, folder).read_bytes()[:-4])
        case "tar":
            torch.save(state, folder / "w.pth")
            with tarfile.open(path, "w") as archive:
                archive.add(folder / "w.pth", "w.pth")
        case "gzip":
            path.write_bytes(gzip.compress(b"tensors"))
        case "zip":
            _archive(path, {"run/w.pth": b"x", "run/log.txt": b"y"})
        case "npz":
            np.savez(folder / "w.npz", a=np.ones(2))
            path = (folder / "w.npz").rename(path)
        case "lfs":
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
        case "page":
            path.write_text("<!DOCTYPE html><html><body>not found</body></html>")
        case "index":
            parts = {"conv1.weight": "model-00001-of-00002.bin", "fc.weight": "model-00002-of-00002.bin"}
            path.write_text(json.dumps({"metadata": {}, "weight_map": parts}))
        case "json":
            path.write_text('{"epochs": 3}')
        case "hdf5":
            path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(90))
        case "folder":
            path.mkdir()
            (path / "model.safetensors").write_bytes(b"")
    return path


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("module", r"is a whole module of the class torch\.nn\.modules\.linear\.Linear.*not run"),
        ("old-module", "holds a whole module in the form before torch 1.6"),
        (
            "module-inside",
            r"holds under `model` a whole module of the class.*Linear.*\['model'\]\.state_dict",
        ),
        ("object", r"is an object of the class argparse\.Namespace"),
        ("script", "is a TorchScript archive"),
        ("cut", "truncated"),
        ("garbage", "damaged or not one of torch's"),
        ("pickle-garbage", "damaged or not one of torch's"),
        ("empty", "is empty"),
        ("list", "not a dictionary of tensors: it holds a list"),
        ("numbers", "holds no tensors; its keys are epoch, arch"),
        ("st-cut", "damaged: it begins as a safetensors file"),
        ("tar", "is a tar archive"),
        ("gzip", "compressed by gzip"),
        ("zip", r"zip archive of other files \(run/w\.pth"),
        ("npz", "archive of NumPy arrays"),
        ("lfs", "git lfs pull"),
        ("page", "is a web page"),
        ("index", r"index of a checkpoint in 2 parts \(model-00001-of-00002\.bin"),
        ("json", "JSON text and holds no tensors"),
        ("hdf5", "HDF5"),
        ("folder", "a folder where.*model.safetensors"),
        ("missing", "no such weights file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence_that_says_what_it_is(
    tmp_path: Path, kind: str, what: str
) -> None:
    path = _spoilt(tmp_path, kind)
    with pytest.raises(AtlasError, match=what) as caught:
        read_weights(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tensor", "what"),
    [
        (torch.full((16, 3, 3, 3), float("nan")), "conv1.weight holds infinite or undefined"),
        (torch.ones(16, 3, 3, 3, dtype=torch.int8), "conv1.weight is int8"),
        (
            torch.quantize_per_tensor(torch.ones(16, 3, 3, 3), 0.1, 0, torch.qint8),
            "conv1.weight is quantised",
        ),
        (torch.ones(16, 3, 3, 3, device="meta"), "conv1.weight has a shape but no numbers"),
    ],
)
def test_a_tensor_without_usable_numbers_is_one_sentence(
    tmp_path: Path, whole: State, tensor: Tensor, what: str
) -> None:
    torch.save({**whole, "conv1.weight": tensor}, tmp_path / "w.pth")
    with pytest.raises(AtlasError, match=what):
        models.load(NET, tmp_path / "w.pth")


class Config(dict):  # type: ignore[type-arg]
    """As configuration libraries have them: a dictionary of a class of its own."""


@pytest.mark.parametrize("is_zip", [True, False])
def test_foreign_objects_next_to_the_tensors_are_neither_run_nor_in_the_way(
    tmp_path: Path, whole: State, is_zip: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    lists: collections.defaultdict[str, list[int]] = collections.defaultdict(list)
    lists["a"].append(1)
    content = {
        "state_dict": whole,
        "args": argparse.Namespace(lr=0.1, data=Path("/x"), loss=nn.Linear(2, 2) if is_zip else None),
        "best": np.float64(0.9),
        "array": np.ones(3),
        "size": torch.Size([2]),
        "config": Config(lr=0.1, nested=Config(a=1)),
        "history": collections.deque([1, 2], 4),
        "lists": lists,
        "places": {Path("/x"), Path("/y")},
        "code": Evil(),
    }
    torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=is_zip)
    assert same(models.load_module(NET, tmp_path / "w"), whole)
    assert "never run" not in capsys.readouterr().out


def test_tensors_in_a_dictionary_of_a_class_of_its_own_are_found(tmp_path: Path, whole: State) -> None:
    torch.save(Config(model=Config(whole)), tmp_path / "w")
    assert same(models.load_module(NET, tmp_path / "w"), whole)


@pytest.mark.parametrize("name", ["w.pth.tar", "w.ckpt", "pytorch_model.bin", "w", "w.safetensors", "w.onnx"])
def test_a_file_is_recognised_by_its_content_whatever_its_name(
    tmp_path: Path, whole: State, name: str
) -> None:
    (tmp_path / "a").mkdir()
    torch.save(whole, tmp_path / name)
    assert same(models.load_module(NET, tmp_path / name), whole)
    saved(whole, tmp_path / "a", name)
    assert same(models.load_module(NET, tmp_path / "a" / name), whole)


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
    network = models.load(NET, saved({**body, "decoder.0.weight": torch.ones(3, 64)}, tmp_path))
    assert network.layers[-1].name == "res4c"
    assert network.classes == ()
    assert network.weights.note.startswith(
        "left out: decoder; no classifier in the file: no accuracy, no map"
    )


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


# -- where the tensors stand in the file ---------------------------------------------------------------------

EMPTY = torch.ones(2, 2)


def under(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def other(state: State) -> State:
    """The same tensors with other numbers."""
    return {name: tensor * 0.5 if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def without_fc(state: State) -> State:
    return _without(state, "fc.")


@pytest.mark.parametrize(
    ("wrap", "note"),
    [
        (lambda s: under("backbone.", s), "the tensors under backbone"),
        (lambda s: under("module._orig_mod.", s), "the tensors under module._orig_mod"),
        (lambda s: {"state_dict": under("model.model.", s)}, "the tensors under state_dict.model.model"),
        (lambda s: {"net": under("my_own_name.", s), "acc": 90.1}, "the tensors under net.my_own_name"),
        (
            lambda s: {"model": s, "opt": {"state": {0: {"exp_avg": EMPTY}}}},
            "the tensors under model",
        ),  # fastai
        # torch.optim.swa_utils.AveragedModel
        (
            lambda s: {"n_averaged": torch.tensor(3), **under("module.", s)},
            "the tensors under module",
        ),
        # torchvision's reference scripts
        (
            lambda s: {
                "model": s,
                "model_ema": {"n_averaged": torch.tensor(3), **under("module.", other(s))},
            },
            "the tensors under model; not those under model_ema.module, which fit too (--weights-key)",
        ),
        # mmengine
        (
            lambda s: {
                "meta": {},
                "state_dict": s,
                "ema_state_dict": {"steps": EMPTY, **under("module.", other(s))},
            },
            "the tensors under state_dict; not those under ema_state_dict.module, which fit too (--weights-key)",
        ),
        # MoCo and BYOL keep a slow encoder
        (
            lambda s: {
                "state_dict": {**under("module.encoder_q.", s), **under("module.encoder_k.", other(s))}
            },
            "the tensors under state_dict.module.encoder_q; not those under state_dict.module.encoder_k, "
            "which fit too (--weights-key)",
        ),
        (
            lambda s: {**under("online_network.", s), **under("target_network.", other(s))},
            "the tensors under online_network; not those under target_network, which fit too (--weights-key)",
        ),
        # madrylab/robustness: the same module twice
        (
            lambda s: {"model": {**under("module.attacker.model.", s), **under("module.model.", s)}},
            "the tensors under model.module.model; left out: module.attacker (",
        ),
        (lambda s: {"module": {"module": s}, "ds_config": {"x": 1}}, "the tensors under module.module"),
        (lambda s: {"a": {"b": {"c": {"d": s}}}}, "the tensors under a.b.c.d"),
        (lambda s: {"models": [s], "epoch": 3}, "the tensors under models.0"),
        (lambda s: (s, {"lr": 0.1}), "the tensors under 0"),
        # VISSL
        (
            lambda s: {
                "classy_state_dict": {
                    "base_model": {
                        "model": {
                            "trunk": under("_feature_blocks.", without_fc(s)),
                            "heads": {"0.clf.0.weight": EMPTY},
                        }
                    }
                }
            },
            "the tensors under classy_state_dict.base_model.model.trunk._feature_blocks; left out: "
            "classy_state_dict.base_model.model.heads; no classifier",
        ),
        # an average that keeps its settings next to it
        (
            lambda s: {"state_dict": under("module.", s), "ema": {"decay": 0.99, "shadow": other(s)}},
            "the tensors under state_dict.module; not those under ema.shadow, which fit too (--weights-key)",
        ),
        (
            lambda s: {
                name.replace("layer2.", "layer2._fsdp_wrapped_module."): tensor for name, tensor in s.items()
            },
            "names without those of torch's wrappers",
        ),
        (lambda s: {"epoch": 3, **s}, ""),
        (
            lambda s: {**s, "queue": torch.ones(2, 3), "loss.weight": EMPTY},
            "left out: fc (2 tensors), queue, loss; no classifier",
        ),
    ],
)
def test_the_networks_tensors_are_found_by_search_and_the_line_says_where(
    tmp_path: Path, whole: State, wrap: Callable[[State], object], note: str
) -> None:
    torch.save(wrap(whole), tmp_path / "w")
    assert same(models.load_module(NET, tmp_path / "w"), without_fc(whole))
    said = models.load(NET, tmp_path / "w").weights.note
    assert said.startswith(note)
    assert bool(said) == bool(note)


def test_a_network_of_one_part_is_one_set(tmp_path: Path) -> None:
    state = models.load_module("demo-plain").state_dict()  # all but the classifier is in `features`
    assert models.load("demo-plain").weights.note == ""
    torch.save(under("module.", state), tmp_path / "w")
    assert same(models.load_module("demo-plain", tmp_path / "w"), state)
    bare = {name.removeprefix("features."): tensor for name, tensor in state.items()}
    torch.save(bare, tmp_path / "w")
    assert same(models.load_module("demo-plain", tmp_path / "w"), state)
    assert models.load("demo-plain", tmp_path / "w").weights.note == "names without features.; classifier: fc"


TWO = [
    (
        lambda a, b: {"student": under("module.backbone.", a), "teacher": under("module.backbone.", b)},
        "teacher",
    ),
    (lambda a, b: {"state_dict": a, "best_state_dict": b}, "best_state_dict"),
    (lambda a, b: {**under("first.", a), **under("second.", b)}, "second"),
    (lambda a, b: {"state_dict_ema": a, "state_dict_swa": b}, "state_dict_swa"),
]


@pytest.mark.parametrize(("wrap", "key"), TWO)
def test_of_two_sets_that_fit_the_user_chooses(
    tmp_path: Path, whole: State, wrap: Callable[[State, State], object], key: str
) -> None:
    torch.save(wrap(whole, other(whole)), tmp_path / "w")
    with pytest.raises(AtlasError, match=r"2 sets of tensors.*choose one with --weights-key") as caught:
        models.load(NET, tmp_path / "w")
    assert key in str(caught.value)
    network = models.load(NET, tmp_path / "w", weights_key=key)
    assert f"the tensors under {key}" in network.weights.note
    weight = next(step.weight for step in network.graph.steps if step.op == "linear")
    assert torch.equal(weight.float(), whole["fc.weight"] * 0.5)


def test_the_averaged_set_is_taken_where_it_is_asked_for(tmp_path: Path, whole: State) -> None:
    torch.save({"state_dict": whole, "state_dict_ema": other(whole)}, tmp_path / "w")
    network = models.load(NET, tmp_path / "w", weights_key="state_dict_ema")
    assert network.weights.note == "the tensors under state_dict_ema; left out: state_dict (" + (
        f"{sum('tracked' not in name for name in whole)} tensors)"
    )
    with pytest.raises(
        AtlasError, match=r"under the key ema of .*its tensors stand under: state_dict, state_dict_ema"
    ):
        models.load(NET, tmp_path / "w", weights_key="ema")
    with pytest.raises(AtlasError, match="leave out --weights-key"):
        models.load(NET, "random", weights_key="ema")


def test_a_file_of_another_network_says_what_it_holds(tmp_path: Path, whole: State) -> None:
    torch.save({"epoch": 1, "decoder": {"up.weight": torch.ones(2, 3)}}, tmp_path / "w")
    with pytest.raises(AtlasError) as caught:
        models.load(NET, tmp_path / "w")
    for words in (
        "holds a torch checkpoint with the keys epoch, decoder, 1 tensor: decoder.up.weight (2, 3)",
        "looked for conv1.weight (16, 3, 3, 3)",
    ):
        assert words in str(caught.value)


def test_a_deeper_networks_file_is_not_taken_for_a_shallower_ones(tmp_path: Path) -> None:
    torch.save(under("module.", models.load_module("resnet32-cifar", "random").state_dict()), tmp_path / "w")
    with pytest.raises(AtlasError, match=r"that the network lacks: layer1\.3\.conv1\.weight"):
        models.load(NET, tmp_path / "w")


# -- names of other codebases --------------------------------------------------------------------------------


def _hugging_face(name: str) -> str:
    """torchvision's name → transformers', written out from modeling_resnet.py."""
    parts = name.split(".")
    if parts[0] in ("conv1", "bn1"):
        kind = {"conv1": "convolution", "bn1": "normalization"}[parts[0]]
        return f"resnet.embedder.embedder.{kind}.{parts[1]}"
    if parts[0] == "fc":
        return f"classifier.1.{parts[1]}"
    block = f"resnet.encoder.stages.{int(parts[0][5:]) - 1}.layers.{parts[1]}"
    if parts[2] == "downsample":
        return f"{block}.shortcut.{('convolution', 'normalization')[int(parts[3])]}.{parts[4]}"
    kind = "convolution" if parts[2].startswith("conv") else "normalization"
    return f"{block}.layer.{int(parts[2][-1]) - 1}.{kind}.{parts[3]}"


@pytest.fixture(scope="module")
def resnet18() -> State:
    torch.manual_seed(0)
    return models.blank("resnet18", 3).to_empty(device="cpu").apply(_randomise).state_dict()


def _randomise(part: nn.Module) -> None:
    for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False)):
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.1, 0.5)
        else:
            nn.init.zeros_(tensor)


@pytest.mark.parametrize("is_safetensors", [True, False])
def test_hugging_faces_names_are_known(tmp_path: Path, resnet18: State, is_safetensors: bool) -> None:
    named = {_hugging_face(name): tensor for name, tensor in resnet18.items()}
    if is_safetensors:
        saved(named, tmp_path, "w")
    else:
        torch.save(named, tmp_path / "w")
    assert same(models.load_module("resnet18", tmp_path / "w"), resnet18)
    network = models.load("resnet18", tmp_path / "w")
    assert network.outputs == 3
    assert "under resnet; Hugging Face's names; classifier: classifier.1" in network.weights.note


def _numbered(name: str, module: nn.Module) -> str:
    children = [child for child, _ in module.named_children()]
    first, _, rest = name.partition(".")
    return f"{children.index(first)}.{rest}"


def test_the_numbers_of_a_sequential_of_the_networks_parts_are_known(tmp_path: Path, whole: State) -> None:
    module = models.blank(NET)
    numbered = {_numbered(name, module): tensor for name, tensor in without_fc(whole).items()}
    torch.save(
        {"state_dict": {**under("encoder.", numbered), "fc.weight": torch.ones(4, 64)}}, tmp_path / "w"
    )
    network = models.load(NET, tmp_path / "w")
    assert same(models.load_module(NET, tmp_path / "w"), without_fc(whole))
    assert network.outputs == 4
    assert network.weights.note == (
        "the tensors under state_dict.encoder; names of a Sequential of the network's parts; classifier: fc"
    )


def test_other_names_are_matched_by_order_only_where_every_kind_and_shape_agrees(
    tmp_path: Path, whole: State
) -> None:
    renamed = {
        f"stage.x{number}.{name.rsplit('.', 1)[-1]}": tensor
        for number, (name, tensor) in enumerate(whole.items())
    }
    torch.save({"model": renamed}, tmp_path / "w")
    assert same(models.load_module(NET, tmp_path / "w"), whole)
    note = models.load(NET, tmp_path / "w").weights.note
    assert note == "the tensors under model.stage; names of another code, matched by order and shape"
    swapped = list(renamed.items())
    first = next(k for k, (_, tensor) in enumerate(swapped) if tuple(tensor.shape) == (32, 16, 3, 3))
    swapped.insert(0, swapped.pop(first))
    torch.save({"model": dict(swapped)}, tmp_path / "w")
    with pytest.raises(AtlasError, match="no tensor of the network is in the weights file"):
        models.load(NET, tmp_path / "w")
    saved(renamed, tmp_path, "w")  # which are sorted by name
    with pytest.raises(AtlasError, match="no tensor of the network is in the weights file"):
        models.load(NET, tmp_path / "w")


# -- classifiers ---------------------------------------------------------------------------------------------


def _headed(whole: State, head: nn.Module, name: str = "fc") -> State:
    return {**without_fc(whole), **under(f"{name}.", head.eval().apply(_randomise).state_dict())}


def _scores(path: Path, x: Tensor) -> Tensor:
    module = models.load_module(NET, path)
    with torch.no_grad():
        return module(x)


@pytest.mark.parametrize(
    ("head", "outputs", "note"),
    [
        (nn.Sequential(nn.Dropout(0.5), nn.Linear(64, 3)), 3, "classifier: fc.1"),
        (nn.Sequential(nn.Linear(64, 1)), 1, "classifier: fc.0"),
        (nn.Linear(64, 5, bias=False), 5, ""),
        (
            nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)),
            3,
            "classifier: fc, a ReLU between its linear layers is assumed",
        ),
        (
            nn.Sequential(nn.Linear(64, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)),
            3,
            "classifier: fc, a ReLU between its linear layers is assumed",
        ),
        (
            nn.Sequential(
                nn.BatchNorm1d(64),
                nn.Dropout(),
                nn.Linear(64, 8),
                nn.ReLU(),
                nn.BatchNorm1d(8),
                nn.Linear(8, 3),
            ),
            3,
            "classifier: fc, a ReLU between its linear layers is assumed",
        ),
        (nn.Sequential(nn.Linear(64, 8), nn.Linear(8, 3)), 3, "classifier: fc"),
    ],
)
def test_a_classifier_is_what_the_file_has(
    tmp_path: Path, whole: State, head: nn.Module, outputs: int, note: str
) -> None:
    torch.save(_headed(whole, head), tmp_path / "w")
    network = models.load(NET, tmp_path / "w")
    assert (network.outputs, network.weights.note) == (outputs, note)
    assert network.last_vector is not None
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    oracle = models.load_module(NET, "random")
    oracle.fc = head
    oracle.load_state_dict(torch.load(tmp_path / "w"))
    with torch.no_grad():
        torch.testing.assert_close(_scores(tmp_path / "w", x), oracle.eval()(x))


@pytest.mark.parametrize(
    ("head", "outputs", "note"),
    [
        (
            {"head.fc.weight": torch.ones(3, 64), "head.fc.bias": torch.ones(3)},
            3,
            "classifier: head.fc",
        ),  # mmpretrain
        ({"classifier.weight": torch.ones(3, 64)}, 3, "classifier: classifier"),  # Lightning's tutorials
        ({}, None, "no classifier in the file"),
        (
            {"head.fc.weight": torch.ones(3, 64), "classifier.weight": torch.ones(5, 64)},
            None,
            "no classifier: 2 would fit, none is taken",
        ),
        (
            {"head.0.weight": torch.ones(64, 64), "head.2.weight": torch.ones(9, 64)},
            None,
            "no classifier: head, outside the network, has 2 linear layers",
        ),
        (
            {"head.weight": torch.ones(3, 128)},
            None,
            "no classifier: head reads 128 features, the network gives 64",
        ),
        (
            {"head.last.weight_v": torch.ones(3, 64)},
            None,
            "no classifier: head is no sequence of linear layers",
        ),
        (
            {"classifier.weight": torch.ones(3, 64), "projector.0.weight": torch.ones(9, 64)},
            None,
            "no classifier: it was trained without classes (projector is in the file)",
        ),
    ],
)
def test_a_classifier_outside_the_network_is_taken_where_it_is_certain(
    tmp_path: Path, whole: State, head: State, outputs: int | None, note: str
) -> None:
    torch.save({"state_dict": {**under("backbone.", without_fc(whole)), **head}}, tmp_path / "w")
    network = models.load(NET, tmp_path / "w")
    assert network.outputs == outputs
    assert note in network.weights.note
    assert ("no accuracy, no map of the pictures" in network.weights.note) == (outputs is None)
    body = sum(p.numel() for name, p in models.blank(NET).named_parameters() if not name.startswith("fc."))
    assert network.parameters - body == sum(t.numel() for t in head.values() if outputs is not None)
    assert ("left out" in network.weights.note) == (outputs is None and bool(head))


def test_what_a_training_without_classes_puts_in_the_classifiers_place_is_none(
    tmp_path: Path, whole: State
) -> None:
    moco = {
        **under("module.encoder_q.", {**whole, "fc.weight": torch.ones(128, 64)}),
        **under("module.encoder_k.", other(whole)),
        "module.queue": torch.ones(128, 16),
        "module.queue_ptr": torch.zeros(1),
    }
    torch.save({"arch": "x", "state_dict": moco}, tmp_path / "w")
    network = models.load(NET, tmp_path / "w")
    assert network.outputs is None
    assert "it was trained without classes (queue is in the file)" in network.weights.note
    assert "left out: module.encoder_q.fc (2 tensors), module.queue, module.queue_ptr" in network.weights.note


# -- the first convolution -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_file_says_how_many_channels_a_picture_has(tmp_path: Path, whole: State, channels: int) -> None:
    state = {**whole, "conv1.weight": torch.rand(16, channels, 3, 3)}
    torch.save(under("module.", state), tmp_path / "w")
    module = models.load_module(NET, tmp_path / "w")
    assert same(module, state)
    assert module.get_submodule("conv1").in_channels == channels
    assert module(torch.rand(1, channels, 32, 32)).shape == (1, 10)


def test_a_first_convolution_of_another_size_asks_for_the_network(tmp_path: Path, resnet18: State) -> None:
    torch.save({**resnet18, "conv1.weight": torch.ones(64, 3, 3, 3)}, tmp_path / "w")
    with pytest.raises(
        AtlasError, match=r"is 3 × 3, the network's 7 × 7.*max-pooling.*--model file\.py:name"
    ):
        models.load("resnet18", tmp_path / "w")


# -- mean and standard deviation -----------------------------------------------------------------------------

MEAN, STD = torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])


@pytest.mark.parametrize(
    ("layer", "scale"),
    [
        (
            {
                "module.normalizer.new_mean": MEAN.view(3, 1, 1),
                "module.normalizer.new_std": STD.view(3, 1, 1),
            },
            1,
        ),
        ({"module.normalize.mean": MEAN.view(1, 3, 1, 1), "module.normalize.std": STD.view(1, 3, 1, 1)}, 1),
        ({"module.normalizer.mean": MEAN * 255, "module.normalizer.std": STD * 255}, 255),
    ],
)
def test_a_normalising_layer_next_to_the_network_gives_mean_and_std(
    tmp_path: Path, whole: State, layer: State, scale: int
) -> None:
    others = {"module.attacker.normalize.new_mean": EMPTY, "module.attacker.normalize.new_std": EMPTY}
    torch.save({"model": {**under("module.model.", whole), **layer, **others}}, tmp_path / "w")
    found = models.load(NET, tmp_path / "w").preprocessing
    np.testing.assert_allclose(
        (*found.mean, *found.std), [scale * x for x in (0.4, 0.5, 0.6, 0.2, 0.25, 0.3)]
    )
    assert (found.value_range, found.source) == (scale, IN_FILE)


@pytest.mark.parametrize(
    "layer",
    [
        {"module.normalizer.mean": MEAN},
        {"module.normalizer.mean": MEAN, "module.normalizer.std": STD * 0},
        {"module.normalizer.mean": MEAN[:2], "module.normalizer.std": STD[:2]},
        {"other.normalizer.mean": MEAN, "other.normalizer.std": STD},
        under("module.normalizer.", {"mean": MEAN, "std": STD})
        | under("module.normalize.", {"mean": STD, "std": MEAN}),
    ],
)
def test_a_normalising_layer_that_is_not_certain_is_not_read(
    tmp_path: Path, whole: State, layer: State
) -> None:
    torch.save({**under("module.model.", whole), **layer}, tmp_path / "w")
    assert models.load(NET, tmp_path / "w").preprocessing.assumption


# -- your own network ----------------------------------------------------------------------------------------

OWN = """
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

class Wrapped(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.backbone = ResNet(BasicBlock, [1, 1, 1, 1], n)

    def forward(self, x):
        return self.backbone(x)

def net(num_classes):
    return Wrapped(num_classes)

def headless():
    wrapped = Wrapped(2)
    wrapped.backbone.fc = nn.Identity()
    return wrapped
"""


@pytest.fixture(scope="module")
def own_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "mine.py"
    path.write_text(OWN)
    return path


@pytest.fixture(scope="module")
def own_state(own_file: Path) -> State:
    module = models.find(f"{own_file}:net").build(5)
    return module.apply(_randomise).state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrap", "note"),
    [
        (lambda s: s, ""),
        (lambda s: {"state_dict": under("model.", s)}, "the tensors under state_dict.model"),
        (
            lambda s: {"net": {name.removeprefix("backbone."): tensor for name, tensor in s.items()}},
            "the tensors under net; names without backbone.",
        ),
    ],
)
def test_a_file_for_your_own_network_is_searched_too(
    tmp_path: Path, own_file: Path, own_state: State, wrap: Callable[[State], object], note: str
) -> None:
    torch.save(wrap(own_state), tmp_path / "w")
    network = models.load(f"{own_file}:net", tmp_path / "w", size=64)
    assert (network.outputs, network.weights.note) == (5, note)
    weight = next(step.weight for step in network.graph.steps if step.op == "linear")
    assert torch.equal(weight.float(), own_state["backbone.fc.weight"])


@pytest.mark.slow
def test_your_own_network_is_taken_as_it_is_written(tmp_path: Path, own_file: Path, own_state: State) -> None:
    body = {name: tensor for name, tensor in own_state.items() if ".fc." not in name}
    torch.save(body, tmp_path / "w")
    with pytest.raises(AtlasError, match=r"all of the network but its classifier, backbone\.fc.*Identity"):
        models.load(f"{own_file}:net", tmp_path / "w", size=64)
    network = models.load(f"{own_file}:headless", tmp_path / "w", size=64)  # the remedy
    assert (network.outputs, network.classes) == (None, ())
    grey = {**own_state, "backbone.conv1.weight": torch.ones(64, 1, 7, 7)}
    torch.save(grey, tmp_path / "w")
    with pytest.raises(
        AtlasError, match=r"conv1\.weight has shape \(64, 1, 7, 7\), the network needs \(64, 3, 7, 7\)"
    ):
        models.load(f"{own_file}:net", tmp_path / "w", size=64)


# -- random weights, and class names -------------------------------------------------------------------------


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

"""A network of one's own from the command line, and an atlas of signed blocks from the pictures to the pages."""

from __future__ import annotations

import functools
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image
from torch import Tensor, nn

from generator.__main__ import _Pair, main
from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.network import models
from generator.network.models import own, own_source
from generator.network.models.resnet_preact import PreActResNet
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.pipeline import compute
from generator.stages.profile import Profile
from generator.stages.verify import Sources, verify


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(1)
    for index in range(14):
        rough = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(rough).resize((48, 48), Image.Resampling.BICUBIC).save(folder / f"{index:02d}.png")
    return folder


def test_a_checkpoint_of_ones_own_needs_no_profile(tmp_path: Path, pictures: Path) -> None:
    module = torchvision.models.resnet18(num_classes=3)
    torch.save(
        {"state_dict": {f"module.{k}": t for k, t in module.state_dict().items()}}, tmp_path / "mine.pt"
    )
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\n")
    given = {"model": "resnet18", "weights": tmp_path / "mine.pt", "classes": tmp_path / "classes.txt"}
    given |= {"images": pictures, "name": "mine", "layers": "conv1", "channels": 2, "workers": 0}
    given |= {"out": tmp_path / "atlas"}
    line = [part for key, value in given.items() for part in (f"--{key}", str(value))]
    result = CliRunner().invoke(main, ["compute", *line])
    assert result.exit_code == 0, result.output
    manifest = Store(tmp_path / "atlas").manifest()
    assert (manifest.name, manifest.title, manifest.model) == ("mine", "mine", "resnet18")
    assert manifest.weights.source == "mine.pt"
    refused = CliRunner().invoke(main, ["compute", "--images", str(pictures)])
    assert refused.exit_code == 1
    assert "no profile" in refused.output


@pytest.mark.slow
def test_signed_blocks_show_nine_whatever_their_sign(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One channel of the stream is pushed far below zero, one made constant: nine tiles, and none."""
    entry = replace(models.find("preact_resnet50"), build=functools.partial(PreActResNet, (2, 1)))
    monkeypatch.setitem(models.MODELS, "preact_resnet50", entry)
    module = entry.build(1000)
    with torch.no_grad():
        for block in module.layer1:
            block.conv3.weight[:2] = 0
        module.layer1[0].downsample[0].weight[0] *= -5
        module.layer1[0].downsample[0].weight[0].abs_().neg_()  # of a rectified input: never above zero
        module.layer1[0].downsample[0].weight[1] = 0
    torch.save(module.state_dict(), tmp_path / "w.pt")
    chosen = profile.load("preact_resnet50").changed(
        network={"weights": str(tmp_path / "w.pt")},
        pictures={"folder": str(pictures), "resize": 48, "crop": 48},
        layers={"which": ["res2a", "res2b"], "channels": 3},
        compute={"workers": 0, "device": "cpu"},
    )
    store = compute(chosen, tmp_path / "atlas")
    numbers = store.arrays.layer("res2b")
    assert numbers["dead"][:3].tolist() == [False, True, False]
    assert (numbers["top_value"][0] < 0).all()
    assert (np.diff(numbers["top_value"][0]) <= 0).all()
    scores = np.array(store.arrays.scores("res2b"))[:, 0]
    assert numbers["top_image"][0].tolist() == np.argsort(-scores, kind="stable")[:9].tolist()
    assert np.isfinite(numbers["spearman_previous"][0])
    atlas = Atlas(tmp_path / "atlas")
    assert "same on all 14" in channel_sentence(atlas, atlas.manifest.layer("res2b"), 1)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    drawn = (tmp_path / "site" / "preact_resnet50" / "architecture.html").read_text()
    assert 'href="res2b/index.html"' in drawn
    assert 'href="res3a/index.html"' not in drawn  # a layer that this atlas does not hold
    assert (
        sum(p.numel() for p in module.parameters())
        == store.tables.read_json("architecture.json")["parameters"]
    )
    page = (tmp_path / "site" / "preact_resnet50" / "res2b" / "0.html").read_text()
    assert page.count("<a id=") == 9
    assert "−" in page


# -- a network in a file of one's own --------------------------------------------------------------------------------

NET = '''
import torch
from torch import nn

import parts  # a file next to this one


class Net(nn.Module):
    """Two blocks, the shortcut in an attribute of another name."""

    def __init__(self, n, width=8, scale=1.0):
        super().__init__()
        self.start = nn.Conv2d(3, width, 3, padding=1)
        self.first, self.second = parts.Part(width, 1), parts.Part(width, 2)
        self.out = nn.Linear(width, n)

    def forward(self, x):
        x = self.second(self.first(torch.relu(self.start(x))))
        return self.out(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


def make(n, **rest):
    return Net(n, **rest)


def trained():
    net = Net(4)
    with torch.no_grad():
        for number, parameter in enumerate(net.parameters()):
            flat = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_((torch.sin(flat + number) / 5).view(parameter.shape))
    return net


def broken():
    return Net("four")


def nothing():
    return {"net": Net(3)}


ready = trained()
depth = 3
'''
PARTS = """
import torch
from torch import Tensor, nn


class Part(nn.Module):
    def __init__(self, width, stride):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, width, 3, stride, 1), nn.Conv2d(width, width, 3, 1, 1)
        self.way = nn.Conv2d(width, width, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return torch.relu(self.two(torch.relu(self.one(x))) + self.way(x))
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "parts.py").write_text(PARTS)
    (folder / "net.py").write_text(NET)
    return folder / "net.py"


def _saved(net: Path, path: Path, outputs: int = 3) -> Path:
    torch.manual_seed(0)
    torch.save(models.find(f"{net}:Net").build(outputs).state_dict(), path)
    return path


def test_the_number_of_outputs_is_that_of_the_weights(net: Path, tmp_path: Path) -> None:
    loaded = models.load(f"{net}:Net", _saved(net, tmp_path / "w.pt"), size=32)
    assert (loaded.model, loaded.outputs, loaded.preprocessing.size) == ("net.py:Net", 3, (32, 32))
    assert [layer.name for layer in loaded.layers if not layer.is_inner] == ["conv1", "res2a", "res3a"]
    assert loaded.preprocessing.assumption.startswith("ImageNet's mean and std were assumed")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\ne\n")
    five = models.load(f"{net}:Net", "random", size=32, classes=tmp_path / "names.txt")
    assert five.outputs == 5 and "n = 5, the number of outputs" in five.weights.note
    assert models.load(f"{net}:make", "random", size=32, args={"n": 2, "width": 4}).outputs == 2


def test_the_maps_are_those_of_the_module(net: Path, tmp_path: Path) -> None:
    loaded = models.load(f"{net}:Net", _saved(net, tmp_path / "w.pt"), size=32).to("cpu", torch.float64)
    module = models.find(f"{net}:Net").build(3).double().eval()
    module.load_state_dict(torch.load(tmp_path / "w.pt"))
    maps: dict[str, torch.Tensor] = {}
    for path in ("first", "second"):
        module.get_submodule(path).register_forward_hook(
            lambda part, inputs, output, path=path: maps.update({path: output})
        )
    pictures = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    scores = module(pictures)
    graph = dict(loaded.graph.visit(pictures, [*loaded.steps, len(loaded.graph) - 1]))
    torch.testing.assert_close(graph[len(loaded.graph) - 1], scores)
    for path, name in (("first", "res2a"), ("second", "res3a")):
        torch.testing.assert_close(graph[loaded.step(name)], maps[path])


def test_numbers_that_the_function_gives_are_used_and_random_ones_refused(net: Path) -> None:
    trained = models.load(f"{net}:trained", size=32)
    assert trained.weights.source == "built-in"
    assert trained.weights.sha256 == models.load(f"{net}:ready", size=32).weights.sha256
    with pytest.raises(AtlasError, match=r"random numbers.*--weights random"):
        models.load(f"{net}:Net", size=32)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("Ne", {}, r"there is no Ne: .*did you mean Net"),
        ("", {}, r"the name of the network in the file is missing.*net.py:NAME; it has Net, make"),
        ("depth", {}, "depth is an int"),
        ("nothing", {}, "nothing returns a dict, not a torch.nn.Module"),
        ("broken", {}, r"broken cannot be called \(TypeError: .*net.py, line \d+ — correct it there"),
        ("ready", {"n": 3}, "takes no arguments"),
        ("Net", {"widht": 3}, r"Net has no argument widht: .*did you mean width"),
        ("parts.Part", {}, r"Part needs width, stride: .*--arg width=… --arg stride=…"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_one_sentence(
    net: Path, name: str, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(AtlasError, match=message) as error:
        models.load(f"{net}:{name}" if name else str(net), "random", args=arguments, size=32)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\ndef f(:", r"SyntaxError: .*bad.py, line 2"),
        ("import nowhere_at_all", r"No module named 'nowhere_at_all'\): .*bad.py, line 1"),
        ("\n\n1 / 0", r"ZeroDivisionError: division by zero\): .*bad.py, line 3"),
        ("raise SystemExit(2)", "it ends the program"),
        ("def f(): return missing", r"NameError: .*bad.py, line 1"),
    ],
)
def test_an_error_in_a_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(AtlasError, match=message):
        models.load(f"{tmp_path / 'bad.py'}:f", "random")


def test_what_is_not_there_is_asked_for(tmp_path: Path) -> None:
    for name, message in (
        (f"{tmp_path}/absent.py:f", "no such file of a network"),
        ("no_such_package_at_all:f", "no such Python package"),
        ("torchvision.models:resnet1", "did you mean resnet18"),
    ):
        with pytest.raises(AtlasError, match=message):
            models.find(name)


def test_files_of_one_name_do_not_collide_and_a_changed_file_is_read_anew(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "parts.py").write_text(PARTS.replace("1, 1)\n", "1, 1, bias=False)\n", 1))
    (other / "net.py").write_text(NET)
    first, second = (models.load(f"{file}:Net", "random", size=32) for file in (net, other / "net.py"))
    assert first.parameters - second.parameters == 2 * 8
    (net.parent / "parts.py").write_text(PARTS.replace("width, 3, 1, 1)", "width, 1, 1, 0)"))
    assert models.load(f"{net}:Net", "random", size=32).parameters == first.parameters - 2 * 8 * 64
    assert "parts" not in sys.modules


def test_a_size_that_the_network_refuses_is_answered_with_sizes_that_it_takes(tmp_path: Path) -> None:
    (tmp_path / "fixed.py").write_text(
        "from torch import nn\n"
        "def f(n):\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 256, n))\n"
    )
    with pytest.raises(AtlasError, match=r"does not take pictures of 224 × 224 px: fixed.py:f .*--crop 32"):
        models.load(f"{tmp_path / 'fixed.py'}:f", "random")
    assert models.load(f"{tmp_path / 'fixed.py'}:f", "random", size=32).outputs == 1000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[false,true,true]", [False, True, True]),
        ("[False, True]", [False, True]),
        ("12", 12),
        ("1e-3", 1e-3),
        ("null", None),
        ("None", None),
        ("(3, 3)", (3, 3)),
        ("gelu", "gelu"),
        ("'8'", "8"),
        ("a=b", "a=b"),
    ],
)
def test_arguments_are_json_or_python_or_text(text: str, value: object) -> None:
    assert _Pair("key=value", literal=True).convert(f"key={text}", None, None) == ("key", value)


def test_the_list_s_networks_take_their_function_s_arguments() -> None:
    dilated = models.load("resnet50", "random", args={"replace_stride_with_dilation": [False, True, True]})
    assert dilated.model == "resnet50(replace_stride_with_dilation=[False, True, True])"
    module = torchvision.models.resnet50(replace_stride_with_dilation=[False, True, True])
    assert dilated.layer("res5c").height == 28 == module.eval().layer4(torch.zeros(1, 1024, 28, 28)).shape[2]
    assert models.load("resnet18", "random", args={"num_classes": 7}).outputs == 7
    with pytest.raises(AtlasError, match="unexpected keyword argument 'depth'"):
        models.load("resnet18", "random", args={"depth": 7})


def test_a_package_offers_networks_by_entry_points(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(net.parent)
    offered = {"my-net": EntryPoint("my-net", "net:trained", own_source.GROUP)}
    for module in (own, own_source):
        monkeypatch.setattr(module, "entry_points_offered", lambda: offered)
    assert "my-net" in CliRunner().invoke(main, ["list", "models"]).output.split()
    loaded = models.load("my-net", size=32)
    assert (loaded.model, loaded.outputs) == ("my-net", 4)


def test_a_module_given_in_python_is_read_as_it_is_and_left_as_it_is() -> None:
    module = torchvision.models.resnet18(num_classes=3).train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    loaded = models.load(module, size=64, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    assert module.training and all(
        torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items()
    )
    assert (loaded.model, loaded.weights.source, loaded.outputs) == ("ResNet", "given in Python", 3)
    assert loaded.preprocessing.source == "given" and not loaded.preprocessing.assumption
    with torch.no_grad():
        module.conv1.weight.zero_()
    pictures = torch.rand(2, 3, 64, 64)
    step = loaded.step("conv1")
    assert dict(loaded.to("cpu").graph.visit(pictures, [step]))[step].abs().max() > 0.1


def _line(**given: object) -> list[str]:
    return [part for key, value in given.items() for part in (f"--{key}", str(value))]


@pytest.mark.slow
def test_an_atlas_of_a_file_keeps_no_path_and_is_verified_where_the_file_is(
    net: Path, tmp_path: Path, pictures: Path
) -> None:
    weights = _saved(net, tmp_path / "w.pt")
    given = {"model": f"{net}:Net", "weights": weights, "images": pictures, "crop": 32, "channels": 2}
    line = _line(**given, workers=0, out=tmp_path / "atlas", arg="width=8", layer="early=first")
    result = CliRunner().invoke(main, ["compute", *line])
    assert result.exit_code == 0, result.output
    store = Store(tmp_path / "atlas")
    manifest = store.manifest()
    assert (manifest.name, manifest.model) == ("net-net", "net.py:Net(width=8)")
    assert manifest.profile["network"]["args"] == {"width": 8}
    assert [layer.name for layer in manifest.layers] == ["conv1", "early", "res3a"]
    published = [path for path in store.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
    assert not any(str(tmp_path).encode() in path.read_bytes() for path in published)
    render_site([store.folder], tmp_path / "site")
    assert "net.py:Net" in (tmp_path / "site" / "net-net" / "index.html").read_text()

    def verified(*options: str) -> str:
        return CliRunner().invoke(main, ["verify", str(store.folder), "--units", "9", *options]).output

    assert "bit for bit the same" in verified()
    net.parent.rename(tmp_path / "moved")
    assert "the atlas's network is not here: " in verified() and "--model" in verified()
    assert "bit for bit the same" in verified("--model", str(tmp_path / "moved" / "net.py"))


@pytest.mark.slow
def test_a_comment_changes_nothing_and_another_operation_is_computed_again(
    net: Path, tmp_path: Path, pictures: Path
) -> None:
    weights = _saved(net, tmp_path / "w.pt")
    chosen = profile.of_model(f"{net}:Net").changed(
        network={"weights": str(weights)},
        pictures={"folder": str(pictures), "crop": 32},
        layers={"which": ["conv1", "res2a"], "channels": 2},
        compute={"workers": 0, "device": "cpu"},
    )

    def stages_run() -> set[str]:
        reporter = Reporter(quiet=True)
        compute(chosen, tmp_path / "atlas", reporter)
        return {stage.name for stage in reporter.stages if stage.count} - {"fingerprints", "checksums"}

    assert "scan" in stages_run()
    net.write_text("# a comment\n" + NET)
    assert stages_run() == set()
    old = "x = self.second(self.first(torch.relu(self.start(x))))"
    new = "x = self.first(torch.relu(self.start(x)))\n        x = self.second(x + x)"
    assert old in NET
    net.write_text(NET.replace(old, new))
    assert "scan" not in stages_run()  # the layers of the atlas do not depend on it
    net.write_text(NET.replace("torch.relu(self.start(x))", "torch.relu(self.start(x + x))"))
    assert "scan" in stages_run()


@pytest.mark.slow
def test_a_module_given_in_python_becomes_an_atlas(tmp_path: Path, pictures: Path) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU())
    network = models.load(module, size=32, mean=(0.5,) * 3, std=(0.5,) * 3)
    chosen = Profile(
        name="mine",
        network={"model": network.model},
        pictures={"folder": str(pictures)},
        compute={"workers": 0},
    )
    store = compute(chosen, tmp_path / "atlas", network=network)
    assert store.manifest().title == "Sequential, weights given in Python"
    report = verify(store.folder, Sources(network=network), units=9)
    assert report.is_right and report.units >= 9
    with pytest.raises(AtlasError, match="given in Python"):
        verify(store.folder, units=9)


class _Ending(nn.Module):
    """A network that makes probabilities of its scores itself."""

    def __init__(self, ending: str) -> None:
        super().__init__()
        self.net, self.ending = torchvision.models.resnet18(num_classes=3), ending

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = getattr(torch, self.ending)(self.net(x), *([1] if "softmax" in self.ending else []))
        return scores


@pytest.mark.parametrize("ending", ["softmax", "log_softmax", "sigmoid"])
def test_the_softmax_at_a_networks_end_is_the_head_and_not_read_twice(ending: str) -> None:
    module = _Ending(ending).eval()
    network = models.load(module, size=64)
    x = torch.rand(2, 3, 64, 64)
    *_, (_, scores) = network.to("cpu").graph.run(x)
    with torch.no_grad():
        torch.testing.assert_close(scores, module.net(x), rtol=1e-4, atol=1e-5)
    assert network.head is not None
    assert (network.head.kind, network.head.assumed) == (ending.removeprefix("log_"), False)


def test_weights_of_another_shape_are_answered_with_the_arguments(net: Path, tmp_path: Path) -> None:
    weights = _saved(net, tmp_path / "w.pt")
    with pytest.raises(AtlasError, match=r"all of other shapes: start.weight is \(8, .*--arg"):
        models.load(f"{net}:Net", weights, size=32, args={"width": 5})
    state = {**torch.load(weights), "second.two.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(AtlasError, match=r"second.two.bias has shape .*, or build the network .*--arg"):
        models.load(f"{net}:Net", tmp_path / "odd.pt", size=32)
    with pytest.raises(AtlasError, match=r"under the key ema .*under no key: leave out --weights-key"):
        models.load(f"{net}:Net", weights, size=32, weights_key="ema")


def test_a_network_that_ends_in_a_softmax_is_read_for_other_sizes_too() -> None:
    """Behind a gate the module is read again for a dream of another size; its ending does not count."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.conv(torch.relu(self.stem(x))))
            x = x * x.mean((2, 3), keepdim=True).sigmoid() + x
            return self.fc(x.mean((2, 3))).softmax(1)

    network = models.load(Gated(), size=32).to("cpu")
    last = len(network.graph) - 1
    graph = network.graph_of((48, 40), last)
    assert graph is not network.graph
    assert [step.op for step in graph.steps] == [step.op for step in network.graph.steps]

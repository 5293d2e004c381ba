"""`atlas explain`: class gradients against Captum and autograd on the original module, contributions, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gradient_oracle import RuledReLUs
from PIL import Image
from torch import nn

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.head import Head
from generator.core.sprites import saliency_pixels
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.methods.explaining import class_gradients, explain
from generator.network import models
from generator.network.models import load, load_module
from generator.network.tracing import trace
from generator.pictures.decoding import read_picture

RULES = ("plain", "guided", "deconvnet")


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "a <b> picture.png"
    rough = np.random.default_rng(4).integers(0, 256, (7, 7, 3), dtype=np.uint8)
    Image.fromarray(rough).resize((120, 100), Image.Resampling.BICUBIC).save(path)
    return path


class Small(nn.Module):
    """A residual network whose ReLUs are modules of their own: what Captum's guided backpropagation can treat."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.one, self.two, self.three = (nn.Conv2d(i, 8, 3, padding=1) for i in (3, 8, 8))
        self.act1, self.act2, self.act3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.act1(self.one(x))
        x = self.act3(self.three(self.act2(self.two(x))) + x)
        return self.fc(torch.flatten(self.pool(x), 1))


def test_guided_backpropagation_of_a_class_is_captums():
    captum = pytest.importorskip("captum.attr")
    module = Small().double().eval()
    x = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    graph = trace(module).to("cpu", torch.float64)
    walk = WindowedForward(graph, len(graph) - 1, (12, 12))
    for number in (0, 3):
        expected = captum.GuidedBackprop(module).attribute(x, target=number)
        found, _, _ = class_gradients(walk, x, number, "guided")
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_class_gradients_of_the_demo_are_autograds_under_the_rule(rule):
    network = load("demo").to("cpu", torch.float64)
    module = load_module("demo").double()
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 3, 96, 96))).requires_grad_(True)
    with RuledReLUs(rule) as mode:
        scores = module(x)
    assert mode.count == 49
    (expected,) = torch.autograd.grad(scores[0, 7], x)
    walk = WindowedForward(network.graph, len(network.graph) - 1, (96, 96))
    found, _, _ = class_gradients(walk, x, 7, rule)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))


def test_saliency_is_captums_with_the_largest_of_the_colours():
    captum = pytest.importorskip("captum.attr")
    network, module = load("demo").to("cpu", torch.float64), load_module("demo").double()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, 96, 96)))
    expected = captum.Saliency(module).attribute(x, target=3, abs=True)[0].amax(0)
    walk = WindowedForward(network.graph, len(network.graph) - 1, (96, 96))
    found = saliency_pixels(class_gradients(walk, x, 3, "plain")[0][0].abs().amax(0).numpy())
    white = float(expected.quantile(0.995))
    level = (expected / white).clamp(max=1) * 255
    assert np.abs(found - level.numpy()).max() <= 0.51


def test_contributions_add_up_to_the_score_behind_global_pooling(picture):
    """Pooling and classifier are linear, so all channels' gradient × activation and the bias make the score."""
    network = load("demo").to("cpu", torch.float32)
    found = explain(network, picture)
    top = len(network.graph) - 1
    x = network.prepare(torch.from_numpy(found.pixels)[None])
    walk = WindowedForward(network.graph, top, (96, 96))
    _, activation, inner = class_gradients(walk, x, found.chosen[0], "plain", network.step(found.layer.name))
    share = (activation * inner)[0].sum((1, 2))
    bias = network.graph.steps[top].bias[found.chosen[0]]
    assert float(share.sum() + bias) == pytest.approx(found.score, rel=1e-4)
    best = sorted(share.tolist(), reverse=True)[:10]
    assert [one.share for one in found.contributions] == pytest.approx(best, rel=1e-4)


def test_the_class_is_chosen_by_name_beginning_or_number(picture):
    network = load("demo").to("cpu", torch.float32)
    name = network.classes[5]
    assert explain(network, picture, name.upper()).chosen == (5, name)
    assert explain(network, picture, "5").chosen == (5, name)
    assert explain(network, picture).chosen[0] == explain(network, picture).predictions[0][0]
    with pytest.raises(AtlasError, match="knows no such class"):
        explain(network, picture, "no such thing")


def test_what_is_no_picture_and_what_has_no_classifier_is_one_sentence(tmp_path, picture):
    network = load("demo").to("cpu", torch.float32)
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(AtlasError, match="picture cannot be used"):
        explain(network, tmp_path / "a.png")
    from dataclasses import replace

    cut = replace(network, graph=network.graph.until(network.step("res5c")))
    with pytest.raises(AtlasError, match="no classifier"):
        explain(cut, picture)


def test_a_classifier_that_is_a_convolution_is_explained_like_a_linear_one(picture):
    class Convolution(Small):
        def forward(self, x):
            x = self.act1(self.one(x))
            x = self.pool(self.act3(self.three(self.act2(self.two(x))) + x))
            return nn.functional.conv2d(x, self.fc.weight[:, :, None, None], self.fc.bias)[..., 0, 0]

    one, other = (
        explain(models.load(kind(), size=48).to("cpu", torch.float32), picture)
        for kind in (Small, Convolution)
    )
    assert [p[:2] for p in other.predictions] == [p[:2] for p in one.predictions]
    assert (other.chosen, other.score) == (one.chosen, pytest.approx(one.score))
    assert [c.channel for c in other.contributions] == [c.channel for c in one.contributions]
    np.testing.assert_allclose(other.guided, one.guided, atol=1)


# -- heads -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Weights files of a resnet20-cifar by their number of outputs, and the module."""

    def make(outputs: int) -> tuple[Path, nn.Module]:
        path = tmp_path_factory.mktemp("weights") / f"own-{outputs}.pt"
        torch.manual_seed(outputs)
        module = models.find("resnet20-cifar").build(outputs).eval()
        torch.save(module.state_dict(), path)
        return path, module

    return make


def _explained(weights: Path, picture: Path, tmp_path: Path, *options: str) -> tuple[str, str]:
    """The last line and the page."""
    out = tmp_path / "why.html"
    command = ["explain", str(picture), "--model", "resnet20-cifar", "--weights", str(weights)]
    done = CliRunner().invoke(main, [*command, "--out", str(out), *options])
    assert done.exit_code == 0, done.output
    return done.output.splitlines()[-1], out.read_text()


@torch.no_grad()
def _scores(module: nn.Module, weights: Path, picture: Path) -> torch.Tensor:
    network = load("resnet20-cifar", weights)
    pixels = read_picture(picture, network.preprocessing).pixels
    return module(network.to("cpu", torch.float32).prepare(torch.from_numpy(pixels)[None]))[0].double()


@pytest.mark.parametrize(
    ("outputs", "given", "expected"),
    [
        (3, None, "softmax"),
        (3, "softmax", "softmax"),
        (3, "sigmoid", "sigmoid"),
        (3, "none", "none"),
        (1, None, "sigmoid"),
        (1, "sigmoid", "sigmoid"),
        (1, "none", "none"),
    ],
)
def test_outputs_are_read_as_the_head_says(own, picture, tmp_path, outputs, given, expected):
    weights, module = own(outputs)
    network = load("resnet20-cifar", weights, head=given)
    assert network.head == Head(expected, outputs, given is None)
    scores = _scores(module, weights, picture)
    oracle = {"softmax": scores.softmax(0), "sigmoid": scores.sigmoid(), "none": scores}[expected]
    found = explain(network.to("cpu", torch.float32), picture)
    assert [value for _, _, value in found.predictions] == pytest.approx(
        oracle.sort(descending=True).values.tolist(), rel=1e-4
    )
    assert found.score == pytest.approx(float(scores.max()), rel=1e-4)
    line, page = _explained(weights, picture, tmp_path, *(("--head", given) if given else ()))
    assert ("(assumed)" in line) == ("(assumed)" in page) == (given is None)
    table = page[page.index("<table") : page.index("</table>")]
    assert ("%" in table) == ("<meter" in table) == (expected != "none")
    assert ("%" in page.split("<ol")[1].split("</ol>")[0]) <= (expected != "none")
    assert ("before the " in page) == (expected != "none")
    if expected != "none":
        assert f"before the {expected}." in page
    if outputs == 1 and expected == "sigmoid":
        assert "p(class 1)" in table and "p(class 1) = " in line


def test_a_large_score_of_one_output_is_a_probability_and_no_overflow():
    head = Head("sigmoid", 1)
    with np.errstate(over="raise", invalid="raise"):
        found = [float(head.readings(np.array([score]))[0]) for score in (-800.0, -1.0, 0.0, 1.0, 800.0)]
    assert found == pytest.approx([0, 1 / (1 + np.e), 0.5, 1 / (1 + 1 / np.e), 1])


@pytest.mark.parametrize(("names", "shown"), [("dog", "dog"), ("cat\ndog", "dog"), (None, "class 1")])
def test_one_output_is_called_by_its_class(own, picture, tmp_path, names, shown):
    weights, _ = own(1)
    options = []
    if names is not None:
        (tmp_path / "classes.txt").write_text(names)
        options = ["--classes", str(tmp_path / "classes.txt")]
    line, page = _explained(weights, picture, tmp_path, *options)
    assert f"p({shown}) = " in line and f"p({shown})</th>" in page
    assert _explained(weights, picture, tmp_path, *options, "--class", shown)[0] == line


def test_what_a_head_cannot_be_is_one_sentence(own, picture, tmp_path):
    weights, _ = own(1)
    command = ["explain", str(picture), "--model", "resnet20-cifar", "--weights", str(weights)]
    command += ["--out", str(tmp_path / "why.html")]
    done = CliRunner().invoke(main, [*command, "--head", "softmax"])
    assert done.exit_code == 1 and "always 1" in done.output and "--head sigmoid" in done.output
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    done = CliRunner().invoke(main, [*command, "--classes", str(tmp_path / "three.txt")])
    assert done.exit_code == 1 and "names 3 classes" in done.output and "two lines" in done.output
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    done = CliRunner().invoke(main, [*command, "--classes", str(tmp_path / "two.txt"), "--class", "cat"])
    assert done.exit_code == 1 and "stands for 'dog'" in done.output


def test_several_classes_may_be_above_a_half(own, picture, tmp_path):
    weights, _ = own(3)
    state = torch.load(weights)
    state["fc.bias"] += torch.tensor([20.0, 21.0, -20.0])
    torch.save(state, tmp_path / "both.pt")
    line, page = _explained(tmp_path / "both.pt", picture, tmp_path, "--head", "sigmoid")
    assert "class 1, 100.0%; class 0, 100.0%" in line and "class 2" not in line
    assert "each class by itself" in page
    state["fc.bias"] -= 40
    torch.save(state, tmp_path / "no.pt")
    assert "no class above 50 %" in _explained(tmp_path / "no.pt", picture, tmp_path, "--head", "sigmoid")[0]


def test_a_published_network_assumes_nothing():
    assert load("demo").head == Head("softmax", 44, False)


def test_the_page_is_one_file_with_links_into_the_atlas(tmp_path, picture):
    pages = tmp_path / "site" / "demo"
    (pages / "res5c").mkdir(parents=True)
    for channel in range(384):
        Image.new("RGB", (6, 3)).save(pages / "res5c" / f"{channel}.webp")
    out = tmp_path / "out" / "why.html"
    done = CliRunner().invoke(
        main, ["explain", str(picture), "--model", "demo", "--atlas", str(pages), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    text = out.read_text()
    links = re.findall(r'href="([^"]*)"', text)
    assert len(links) == 10 and all(re.fullmatch(r"\.\./site/demo/res5c/\d+\.html", link) for link in links)
    sources = re.findall(r'src="([^"]*)"', text)
    assert len(sources) == 13 and all(source.startswith("data:image/webp;base64,") for source in sources)
    assert "a &lt;b&gt; picture.png" in text and "<b> picture" not in text
    assert "<script" not in text


def test_an_address_is_linked_as_it_is_and_a_missing_folder_is_one_sentence(tmp_path, picture):
    out = tmp_path / "why.html"
    command = ["explain", str(picture), "--model", "demo", "--out", str(out), "--atlas"]
    assert CliRunner().invoke(main, [*command, "https://example.org/demo/"]).exit_code == 0
    assert 'href="https://example.org/demo/res5c/' in out.read_text()
    done = CliRunner().invoke(main, [*command, str(tmp_path / "absent")])
    assert done.exit_code == 1 and "no atlas pages here" in done.output

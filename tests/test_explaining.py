"""`atlas explain`: class gradients against Captum and autograd on the original module, contributions, and the page."""

from __future__ import annotations

import re
from pathlib import Path

import captum.attr
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from gradient_oracle import RuledReLUs
from PIL import Image
from torch import nn

from generator.__main__ import main
from generator.cone_walk import ConeWalk
from generator.errors import AtlasError
from generator.explaining import class_gradients, explain
from generator.graph import trace
from generator.models import load, load_module
from generator.sprites import saliency_pixels

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
    module = Small().double().eval()
    x = torch.randn(1, 3, 12, 12, dtype=torch.float64)
    graph = trace(module).to("cpu", torch.float64)
    walk = ConeWalk(graph, len(graph) - 1, 12)
    for number in (0, 3):
        expected = captum.attr.GuidedBackprop(module).attribute(x, target=number)
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
    walk = ConeWalk(network.graph, len(network.graph) - 1, 96)
    found, _, _ = class_gradients(walk, x, 7, rule)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8 * float(expected.abs().max()))


def test_saliency_is_captums_with_the_largest_of_the_colours():
    network, module = load("demo").to("cpu", torch.float64), load_module("demo").double()
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, 96, 96)))
    expected = captum.attr.Saliency(module).attribute(x, target=3, abs=True)[0].amax(0)
    walk = ConeWalk(network.graph, len(network.graph) - 1, 96)
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
    walk = ConeWalk(network.graph, top, 96)
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

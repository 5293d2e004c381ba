"""A network of one's own from the command line, and an atlas of signed blocks from the pictures to the pages."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from PIL import Image

from generator.__main__ import main
from generator.core.store import Store
from generator.network import models
from generator.network.models.resnet_preact import PreActResNet
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.pipeline import compute


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

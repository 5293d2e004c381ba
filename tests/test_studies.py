"""The experiments' small networks can be looked at like any other, and their report names their atlases."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from make_small_atlas import make_atlas
from torch import nn

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.experiments.running import EXPERIMENTS
from generator.experiments.runs import BareRun, DesignRun, PathRun, Run, StackRun, Training, network_of
from generator.experiments.setting import QUICK, Setting
from generator.experiments.studies import compute_studies
from generator.experiments.training import accuracy, labels_of, reduced
from generator.experiments.workshop import Workshop
from generator.network import models
from generator.network.models import study
from generator.network.tracing import trace
from generator.network.weights.initial import he_initialise
from generator.pictures.drawn.world import ATLAS_SEED, draw
from generator.site.chapters.experiments import experiments_page
from generator.site.links import check_links
from generator.site.reading.atlas import Atlas
from generator.site.reading.comparison import comparable
from generator.site.render import render_site

QUIET = Reporter(quiet=True)
TINY: dict[str, Any] = {"stages": ((2, 2, 4),), "side": 32, "pictures": 12}


def every_run() -> list[Training]:
    setting = Setting(seeds=(0,))
    runs = [run for experiment in EXPERIMENTS.values() for run in experiment.runs(setting)]
    return list({(run.kind, run.depth): run for run in runs}.values())


# -- the networks ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", every_run(), ids=lambda run: f"{run.kind}-{run.depth}")
def test_the_model_is_the_network_that_was_trained(run: Training) -> None:
    """By the names and shapes of its tensors: a run's weights go in as they are."""
    trained = network_of(run, Setting()).state_dict()
    model = models.find(study.name_of(run.kind, run.depth))
    state = model.build(44).state_dict()
    assert {name: tensor.shape for name, tensor in state.items()} == {
        model.rename(name): tensor.shape for name, tensor in trained.items()
    }
    assert model.head in state


@pytest.mark.parametrize(
    "run",
    [Run(False, 8, 0), Run(True, 8, 0), DesignRun("scaled", 8, 0), DesignRun("projection everywhere", 8, 0),
     DesignRun("ReLU-only pre-activation", 8, 0), DesignRun("full pre-activation", 8, 0), PathRun(1, 4, 1, 0),
     StackRun(0), BareRun(0)],
    ids=lambda run: run.kind,
)  # fmt: skip
@torch.no_grad()
def test_it_answers_to_a_picture_as_in_the_experiment(run: Training, tmp_path: Path) -> None:
    """Through the atlas's graph, from the picture's bytes: as the network itself on the reduced drawing."""
    from safetensors.torch import save_file

    own = network_of(run, Setting())
    he_initialise(own, 3)
    for part in own.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):  # so that no norm is the identity
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    save_file(own.state_dict(), tmp_path / "mine.safetensors")
    pictures = np.stack([np.asarray(draw(index).image) for index in range(3)])
    expected = own.eval()(reduced(pictures, Setting().side))
    network = models.load(study.name_of(run.kind, run.depth), tmp_path / "mine.safetensors")
    network = network.to("cpu", torch.float32)
    *_, (_, scores) = network.graph.run(network.prepare(torch.from_numpy(pictures)))
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)


def test_added_blocks_are_layers_of_their_own() -> None:
    network = models.load("study/stack-resumed-with-blocks-7", "random")
    names = [layer.name for layer in network.layers if not layer.is_inner]
    assert names == [f"{place}{n}" for n in range(1, 6) for place in ("before", "conv", "after")]
    stages: dict[int, set[int]] = {}
    for layer in network.layers:
        if layer.kind == "block":
            stages.setdefault(layer.stage, set()).add(layer.channels)
    assert all(len(widths) == 1 for widths in stages.values()), "blocks of a stage have one width"


def test_a_name_says_width_and_side_where_they_are_unusual() -> None:
    assert study.name_of("plain", 8) == "study/plain-8"
    assert study.name_of("plain", 8, 2, 12) == "study/plain-8-w2-s12"
    module = models.load_module("study/plain-8-w2-s12", "random")
    assert module.reduce.kernel_size == 8
    assert module.network.conv1.weight.shape[0] == 2
    assert study.title_of("full pre-activation", 14) == "Full pre-activation, 14 layers"
    assert study.title_of("paths64-cost2", 11) == "64 paths at 2 times the cost, 11 layers"


@pytest.mark.parametrize("name", ["study/", "study/residual", "study/curly-8", "study/residual-8-w8-s25"])
def test_a_name_that_says_no_network_is_one_sentence(name: str) -> None:
    with pytest.raises(AtlasError, match="study network"):
        models.find(name)


def test_a_gate_is_read_and_run_by_torch() -> None:
    """Figure 2(b) of arXiv:1603.05027 multiplies maps: the scores are the module's own."""
    module = models.load_module("study/exclusive-gate-14", "random")
    x = torch.randn(2, 3, 96, 96)
    *_, (_, found) = trace(module, (96, 96)).to("cpu", torch.float32).run(x)
    with torch.no_grad():
        torch.testing.assert_close(found, module(x), rtol=1e-5, atol=1e-5)


# -- what the graph reads since ------------------------------------------------------------------------------------


class _Other(nn.Module):
    """A product with a number on a branch of its own and behind a convolution, torch's functional pooling, and a norm
    behind a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.hidden, self.norm, self.fc = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = 0.25 * self.conv(x)
        x = F.max_pool2d(x, 3, stride=2, padding=1, ceil_mode=True)
        x = F.relu(1.0 * x + x * 0.5)
        x = F.max_pool2d(x, 2)
        return self.fc(F.relu(self.norm(self.hidden(F.adaptive_avg_pool2d(x, 1).flatten(1)))))


@torch.no_grad()
def test_products_with_numbers_functional_pooling_and_norms_of_vectors_are_read() -> None:
    torch.manual_seed(0)
    module = _Other().double().eval()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    graph = trace(module)
    assert [step.op for step in graph.steps] == [
        "input", "conv", "max_pool", "affine", "add", "relu", "max_pool", "adaptive_pool", "flatten", "linear",
        "relu", "linear",
    ]  # fmt: skip
    x = torch.randn(2, 3, 17, 17, dtype=torch.float64)
    *_, (_, found) = graph.to("cpu", torch.float64).run(x)
    torch.testing.assert_close(found, module(x))


@torch.no_grad()
def test_a_norm_of_a_vector_that_cannot_be_folded_is_kept() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.ReLU(),
        nn.BatchNorm1d(4),
        nn.Linear(4, 2),
    )
    module = module.double().eval()
    module[4].running_mean.normal_()
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    *_, (_, found) = trace(module).to("cpu", torch.float64).run(x)
    torch.testing.assert_close(found, module(x))


# -- the atlases, and where they are named --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_report_names_the_atlases_of_a_questions_networks(tmp_path: Path) -> None:
    for name in ("residual-20", "scaled-20", "residual-8", "stack-7", "residual-20-w2-s12"):
        make_atlas(tmp_path / name, name=f"study-{name}", model=f"study/{name}", **TINY)
    atlases = [Atlas(path) for path in sorted(tmp_path.iterdir())]
    report = experiments_page(atlases)
    assert report is not None
    named = {table: [atlas.name for atlas in found] for table, found in report.atlases.items()}
    assert named["degradation"] == ["study-residual-20", "study-residual-8"]
    assert named["shortcuts"] == ["study-residual-20", "study-scaled-20"]
    assert named["refinement"] == ["study-residual-20"]
    assert named["zero_blocks"] == ["study-stack-7"]
    assert named["cardinality"] == []
    pairs = [(a.name, b.name) for a in atlases for b in atlases if a.name < b.name and comparable(a, b)]
    assert pairs == [("study-residual-20", "study-scaled-20")], (
        "each beside the residual one of its depth alone"
    )


@pytest.mark.slow
def test_beside_others_they_stand_in_a_list_and_the_report_links_them(tmp_path: Path) -> None:
    make_atlas(tmp_path / "demo", **TINY)
    for name in ("residual-14", "plain-8"):
        make_atlas(tmp_path / name, name=f"study-{name}", model=f"study/{name}", title=f"T {name}", **TINY)
    site = tmp_path / "site"
    render_site([tmp_path / "demo", tmp_path / "residual-14", tmp_path / "plain-8"], site)
    home = (site / "index.html").read_text("utf-8")
    assert '<a href="study-residual-14/index.html">T residual-14</a>' in home
    assert home.count('class="strips"') == 1, "the demo's alone"
    report = (site / "networks/experiments.html").read_text("utf-8")
    assert '<a href="../study-plain-8/index.html">T plain-8</a>' in report
    assert "atlas experiments --atlases" not in report
    assert check_links(site) == []
    alone = tmp_path / "alone"
    render_site([tmp_path / "demo"], alone)
    assert "atlas experiments --atlases" in (alone / "networks/experiments.html").read_text("utf-8")
    only = tmp_path / "only"
    render_site([tmp_path / "residual-14"], only)
    assert "<h1>T residual-14</h1>" in (only / "index.html").read_text("utf-8")


@pytest.mark.slow
def test_atlases_of_what_was_trained_are_made_and_hold(tmp_path: Path) -> None:
    setting = replace(QUICK, depths=(8,), held_out=88, every=4)
    made = compute_studies(("degradation", "order", "zero-blocks"), setting, tmp_path, QUIET)
    assert len(made) == len({path.name for path in made}) == 8
    assert all(re.fullmatch(r"study-[a-z-]+-\d+-w2-s12", path.name) for path in made)
    for path in made:
        store = Store(path)
        assert store.manifest().pictures.count == 88
    workshop = Workshop(setting, tmp_path, QUIET)
    network, _ = workshop.trained(Run(True, 8, 0))
    drawn = np.stack([np.asarray(draw(4 * index, ATLAS_SEED).image) for index in range(88)])
    (own,) = [path for path in made if path.name == "study-residual-8-w2-s12"]
    right = Store(own).manifest().accuracy
    assert right == pytest.approx(accuracy(network, reduced(drawn, setting.side), labels_of(setting, 88)))
    before = {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}
    compute_studies(("degradation",), setting, tmp_path, QUIET)
    assert before == {path: path.read_bytes() for path in own.rglob("*") if path.is_file()}

"""The designs compared: the runner on a tiny setting, planted answers, and what is committed."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from damages import TO_FILES, Damage, cut_the_end, directory, empty, garbage, truncate, zeros
from torch import nn

from generator.__main__ import main
from generator.core.progress import Reporter
from generator.core.store import fingerprint
from generator.experiments import training
from generator.experiments.running import constants, run_experiments
from generator.experiments.runs import Run
from generator.experiments.setting import QUICK, Setting
from generator.experiments.training import accuracy, build, gradient_norms
from generator.experiments.workshop import Workshop
from generator.network.models.study.networks import Block, StudyNetwork
from generator.network.tracing import trace
from generator.pictures.drawn import pool
from generator.pictures.drawn.world import HELD_OUT_SEED, TRAIN_SEED
from generator.site.chapters.experiment_tables import by_seed, results
from generator.site.chapters.experiments import (
    degradation,
    experiments_page,
    lesion,
)
from generator.site.figures.charts import Series, line_chart
from generator.site.formats import mean_and_spread

pytestmark = pytest.mark.slow  # whole atlases are computed

TINY = replace(QUICK, seeds=(0, 1))
QUIET = Reporter(quiet=True)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiments")
    run_experiments(["degradation", "lesion"], TINY, folder, QUIET)
    return folder


def tables(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "results").iterdir())}


def test_the_tables_hold_every_run(workshop: Path) -> None:
    found = tables(workshop)
    assert set(found) == {"degradation.csv", "gradients.csv", "lesion.csv", "setting.json"}
    lines = found["degradation.csv"].decode().splitlines()
    assert lines[0] == "kind,depth,seed,epoch,train_loss,train_error,test_error"
    assert len(lines) == 1 + 2 * 2 * 2 * TINY.epochs
    assert len(found["gradients.csv"].splitlines()) == 1 + 2 * 2 * 2 * (7 + 13)  # start and end; convolutions
    assert len(found["lesion.csv"].splitlines()) == 1 + 2 * 2 * (1 + 4)  # blocks that keep their shape


def test_a_stopped_run_goes_on_to_the_same_bytes(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tables(workshop)
    done: list[Run] = []
    true_train = training.train

    def counted(run, *rest):
        done.append(run)
        if len(done) == 4:
            raise KeyboardInterrupt
        return true_train(run, *rest)

    monkeypatch.setattr("generator.experiments.workshop.train", counted)
    (tmp_path / "drawings").symlink_to(workshop / "drawings")
    with pytest.raises(KeyboardInterrupt):
        run_experiments(["degradation", "lesion"], TINY, tmp_path, QUIET)
    run_experiments(["degradation", "lesion"], TINY, tmp_path, QUIET)
    assert len(done) == 8 + 1  # three were kept, the fourth was stopped and done again
    assert tables(tmp_path) == expected
    done.clear()
    run_experiments(["lesion"], TINY, tmp_path, QUIET)
    assert done == []


@pytest.mark.parametrize("damage", TO_FILES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_training_is_done_again_with_a_note(
    workshop: Path, tmp_path: Path, suffix: str, damage: Damage
) -> None:
    (tmp_path / "drawings").symlink_to(workshop / "drawings")
    shutil.copytree(workshop / "runs", tmp_path / "runs")
    run, reporter = Run(True, 8, 0), Reporter(quiet=True)
    weights = Workshop(TINY, tmp_path, reporter).weights(run)
    files = [weights, weights.with_suffix(".json")]
    before = [path.read_bytes() for path in files]
    assert Workshop(TINY, tmp_path, reporter).trained(run)[1]["curve"] and not reporter.notes
    damage(weights.with_suffix(suffix))
    Workshop(TINY, tmp_path, reporter).trained(run)
    assert [path.read_bytes() for path in files] == before
    assert len(reporter.notes) == 1 and "is damaged" in reporter.notes[0]


def test_damaged_drawings_are_drawn_again(workshop: Path, tmp_path: Path) -> None:
    expected = pool.drawings(44, HELD_OUT_SEED, tmp_path, 1)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damage in (truncate, cut_the_end, zeros, garbage, empty, directory):
        damage(path)
        np.testing.assert_array_equal(pool.drawings(44, HELD_OUT_SEED, tmp_path, 1), expected)
        assert path.read_bytes() == whole


def test_another_setting_is_another_training(workshop: Path) -> None:
    before = set((workshop / "runs").iterdir())
    Workshop(replace(TINY, rate=0.01), workshop, QUIET).trained(Run(True, 8, 0))
    assert len(set((workshop / "runs").iterdir()) - before) == 2
    Workshop(replace(TINY, rate=0.01, seeds=(5,)), workshop, QUIET).trained(Run(True, 8, 0))
    assert len(set((workshop / "runs").iterdir()) - before) == 2


def test_the_keys_of_trainings_stay(workshop: Path) -> None:
    """What was trained is found again: the key's parts, spelt out."""
    run = {"residual": True, "depth": 8, "seed": 0}
    common = {
        "pictures": 88, "held_out": 44, "side": 12, "width": 2, "epochs": 2, "batch": 22, "rate": 0.1, "decay": 1e-4
    }  # fmt: skip
    key = fingerprint(1, run, common, pool.fingerprint())[:16]
    assert (workshop / "runs" / f"residual-8-0-{key}.json").is_file()


def test_plain_and_residual_start_from_the_same_weights() -> None:
    plain, residual = (build(Run(kind, 14, 3), TINY).state_dict() for kind in (False, True))
    assert all(torch.equal(plain[name], residual[name]) for name in plain)
    convolutions = [part for part in build(Run(True, 14, 3), TINY).modules() if isinstance(part, nn.Conv2d)]
    assert len(convolutions) == 13  # and the linear layer: 14
    assert trace(StudyNetwork(2, 2, 5, residual=True)).count("add") == 6
    assert trace(StudyNetwork(2, 2, 5, residual=False)).count("add") == 0


def test_a_block_that_adds_nothing_can_be_left_out() -> None:
    """With a gain of zero the branch is zero: a residual block is then the identity, a plain one wipes all out."""
    torch.manual_seed(0)
    x = torch.rand(2, 4, 5, 5)
    for residual in (True, False):
        block = Block(4, 4, 1, residual).eval()
        nn.init.zeros_(block.bn2.weight)
        assert torch.equal(block(x), x if residual else torch.zeros_like(x))
        block.removed = True
        assert torch.equal(block(x), x)


def test_gradient_norms_are_those_of_the_loss_and_change_nothing() -> None:
    network = build(Run(True, 8, 1), TINY).double()
    x, labels = torch.randn(6, 3, 12, 12, dtype=torch.float64), torch.arange(6)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    norms = gradient_norms(network, x, labels)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    weight, step = network.conv1.weight, 1e-6
    slopes = []
    for index in range(weight.numel()):  # central differences of the loss, one weight at a time
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                weight.view(-1)[index] += sign * step
                losses.append(float(F.cross_entropy(network.train()(x), labels)))
                weight.view(-1)[index] -= sign * step
        slopes.append((losses[0] - losses[1]) / (2 * step))
    assert norms[0] == pytest.approx(np.linalg.norm(slopes), rel=1e-4)


def test_accuracy_counts() -> None:
    class First(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.one_hot(x[:, 0, 0, 0].long(), 44).float()

    labels = torch.arange(300) % 44
    labels[:30] += 1
    assert accuracy(First(), labels.view(-1, 1, 1, 1).expand(-1, 3, 2, 2).float() % 44) == pytest.approx(0.9)


def test_the_command_knows_its_experiments(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["experiments", "degredation", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "unknown experiment: degredation — known: degradation, lesion, shortcuts, order" in result.output


# -- the report ----------------------------------------------------------------------------------------------


def planted() -> list[dict[str, str]]:
    """Two seeds: the plain network is 20 points worse when deep, the residual one 10 better."""
    ends = {("plain", 8): 0.3, ("plain", 32): 0.5, ("residual", 8): 0.3, ("residual", 32): 0.2}
    return [
        {"kind": kind, "depth": str(depth), "seed": str(seed), "epoch": str(epoch), "train_loss": "1",
         "train_error": str(end + (0.1 if epoch == 1 else 0) + 0.02 * seed), "test_error": str(end)}
        for (kind, depth), end in ends.items() for seed in (0, 1) for epoch in (1, 2)
    ]  # fmt: skip


def test_the_report_says_what_the_table_holds() -> None:
    found = degradation(planted())
    assert (
        "With 32 layers the training error at the end is, without shortcuts, 20.0 percentage points higher"
        in found.summary
    )
    assert (
        "than with 8; with shortcuts 10.0 percentage points lower (95 % interval −10.0 to −10.0)"
        in found.summary
    )
    assert {row[0]: row[1] for row in found.table.rows}["plain, 32 layers"] == "51.0 ± 1.4"
    blocks = [
        {
            "kind": kind,
            "depth": "14",
            "seed": "0",
            "block": block,
            "accuracy": "0.8",
            "accuracy_without": without,
        }
        for kind, drops in (("plain", ("0.2", "0.4")), ("residual", ("0.72", "0.8")))
        for block, without in zip(("layer1.0", "layer2.1"), drops, strict=True)
    ]
    summary = lesion(blocks).summary
    assert "costs the plain network 62.5 % of its accuracy on average, the residual one 5.0 %." in summary


def test_a_difference_that_three_seeds_do_not_show_is_not_called_clear() -> None:
    rows = [
        {"kind": kind, "depth": str(depth), "seed": str(seed), "epoch": "1", "test_error": "0.5",
         "train_error": str(0.3 + (rise if depth == 32 else 0))}
        for kind in ("plain", "residual") for depth in (8, 32) for seed, rise in enumerate((0.36, -0.19, 0.04))
    ]  # fmt: skip
    summary = degradation(rows).summary
    # By hand: mean 7, standard deviation 27.62, t of 2 degrees of freedom 4.303: 4.303 × 27.62 / √3 = 68.6.
    assert "7.0 percentage points higher (95 % interval −61.6 to 75.6, not clearly different)" in summary


def test_a_charts_lines_run_through_their_points() -> None:
    values = np.array([[1.0, 3.0, 5.0], [3.0, 3.0, 5.0]])
    chart = line_chart([Series("a", "plain", [1, 2, 3], values)], "x", "y")
    points = [tuple(map(float, part.split())) for part in chart.curves[0].line[1:].split("L")]
    ys = {float(tick.text): tick.position for tick in chart.y.ticks}
    assert [y for _, y in points] == pytest.approx(
        [np.interp(v, *zip(*sorted(ys.items()), strict=True)) for v in (2, 3, 5)], abs=0.1
    )
    assert points[0][0] == chart.x.start
    assert points[-1][0] == chart.x.end
    assert min(ys) <= 2 - np.sqrt(2)
    assert max(ys) >= 5
    decades = line_chart([Series("a", "plain", [1, 2], np.array([[0.01, 10.0]]))], "x", "y", logarithmic=True)
    assert [tick.text for tick in decades.y.ticks] == ["10⁻²", "10⁻¹", "10⁰", "10¹"]
    assert mean_and_spread(np.array([1.0])) == "1.0"


def test_the_committed_results_are_whole() -> None:
    found = results()
    assert found is not None
    committed = {name: tuple(v) if isinstance(v, list) else v for name, v in vars(found.setting).items()}
    setting = Setting()
    assert committed == {**asdict(setting), **constants()}
    assert len(setting.seeds) >= 3
    for kind in ("plain", "residual"):
        for depth in setting.depths:
            assert by_seed(found.tables["degradation"], kind, depth, "test_error").shape == (
                3,
                setting.epochs,
            )
    assert experiments_page() is not None


def test_the_committed_gradients_at_the_start_come_out_again(tmp_path: Path) -> None:
    """They depend on the drawings, how they are reduced, the network and its first weights, and the loss."""
    found = results()
    assert found is not None
    committed = [
        float(row["norm"])
        for row in found.tables["gradients"]
        if (row["kind"], row["depth"], row["seed"], row["when"]) == ("residual", "8", "0", "start")
    ]
    pictures = training.reduced(pool.drawings(training.PROBE, TRAIN_SEED, tmp_path, 1), Setting().side)
    labels = torch.arange(training.PROBE) % 44
    norms = gradient_norms(build(Run(True, 8, 0), Setting()), pictures, labels)
    assert norms == pytest.approx(committed, rel=1e-3)


@pytest.mark.long
def test_the_committed_curve_comes_out_again(tmp_path: Path) -> None:
    """One run done again; another machine sums in another order, which training magnifies."""
    found = results()
    assert found is not None
    _, again = Workshop(Setting(), tmp_path, QUIET).trained(Run(True, 8, 0))
    for column in ("train_error", "test_error"):
        committed = by_seed(found.tables["degradation"], "residual", 8, column)[0]
        np.testing.assert_allclose([row[column] for row in again["curve"]][-3:], committed[-3:], atol=0.06)

"""The designs compared: the runner on a tiny setting, planted answers, and what is committed."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from damages import TO_FILES, Damage, cut_the_end, directory, empty, garbage, truncate, zeros
from scipy.stats import ttest_rel
from torch import nn

from generator.__main__ import main
from generator.core.progress import Reporter
from generator.core.store import fingerprint
from generator.experiments import training
from generator.experiments.comparing import curve_of
from generator.experiments.running import (
    EXPERIMENTS,
    FEWER_SEEDS,
    SEEDS_OF,
    constants,
    own_setting,
    run_experiments,
)
from generator.experiments.runs import Run
from generator.experiments.setting import QUICK, Setting
from generator.experiments.training import accuracy, augmented, build, gradient_norms, labels_of
from generator.experiments.workshop import Workshop
from generator.network.models.study.networks import Block, StudyNetwork
from generator.network.tracing import trace
from generator.pictures.drawn import pool
from generator.pictures.drawn.world import DRAWING_KINDS, HELD_OUT_SEED, TRAIN_SEED, draw
from generator.site.chapters.experiment_depth import degradation, lesion
from generator.site.chapters.experiment_tables import by_seed, results
from generator.site.chapters.experiments import experiments_page
from generator.site.figures.charts import Series, line_chart
from generator.site.formats import interval, mean_and_spread, signed

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
    assert set(found) == {
        "degradation.csv", "gradients.csv", "lesion.csv", "setting-degradation.json", "setting-lesion.json"
    }  # fmt: skip
    lines = found["degradation.csv"].decode().splitlines()
    assert lines[0] == "kind,depth,seed,epoch,train_loss,train_error,test_error,fit_error"
    assert len(lines) == 1 + 2 * 2 * 2 * TINY.epochs
    assert len(found["gradients.csv"].splitlines()) == 1 + 2 * 2 * 2 * (7 + 13)  # start and end; convolutions
    assert len(found["lesion.csv"].splitlines()) == 1 + 2 * 2 * (1 + 4)  # blocks that keep their shape


def test_a_stopped_run_goes_on_to_the_same_bytes(
    workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = tables(workshop)
    done: list[nn.Module] = []
    true_train = training.train

    def counted(network, *rest):
        done.append(network)
        if len(done) == 4:
            raise KeyboardInterrupt
        return true_train(network, *rest)

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


def test_several_networks_at_the_same_time_are_the_same_networks(workshop: Path, tmp_path: Path) -> None:
    """Those that resume another training too."""
    for name, processes in (("one", 0), ("two", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "drawings").symlink_to(workshop / "drawings")
        run_experiments(["degradation", "zero-blocks"], QUICK, tmp_path / name, QUIET, processes=processes)
    assert tables(tmp_path / "two") == tables(tmp_path / "one")
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "runs").iterdir()}
        for name in ("one", "two")
    )
    assert two == one


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
        "pictures": 88, "held_out": 44, "every": 1, "side": 12, "width": 2, "epochs": 2, "batch": 22, "rate": 0.05,
        "warm": 0.5, "decay": 1e-4, "shift": 1, "tested": 1,
    }  # fmt: skip
    key = fingerprint(2, run, common, pool.fingerprint())[:16]
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
    shown = labels.clone()
    shown[:30] += 1
    pictures = (shown % 44).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).float()
    assert accuracy(First(), pictures, labels) == pytest.approx(0.9)


def test_labels_are_those_of_the_drawings_that_are_used() -> None:
    """Every fourth drawing: 11 classes, one after the other, with the names that the drawn world gives them."""
    setting = replace(TINY, every=4)
    assert setting.classes == 11
    labels = labels_of(setting, 24)
    assert [draw(4 * place).label for place in range(24)] == labels.tolist()


def test_crops_are_cut_from_the_padded_picture_and_mirrored_where_the_class_allows() -> None:
    """Each crop, mirrored back, is found once in the zero-padded picture; letters are never mirrored."""
    random = np.random.default_rng(3)
    pictures = torch.rand(200, 3, 6, 6)
    labels = torch.arange(200) % 44
    found = augmented(pictures, labels, 1, random)
    padded = F.pad(pictures, (1, 1, 1, 1))
    places, mirrored = set(), 0
    for own, whole, label in zip(found, padded, labels.tolist(), strict=True):
        hits = [
            (down, right, flip)
            for down in range(3)
            for right in range(3)
            for flip in (False, True)
            if torch.equal(own.flip(2) if flip else own, whole[:, down : down + 6, right : right + 6])
        ]
        ((down, right, flip),) = hits
        assert not flip or DRAWING_KINDS[label].mirror
        places.add((down, right))
        mirrored += flip
    assert len(places) == 9 and 60 < mirrored < 140
    assert augmented(pictures, labels, 0, random) is pictures


def test_the_rate_rises_and_falls_to_zero_along_half_a_cosine() -> None:
    setting = replace(TINY, epochs=40, warm=4, tested=5)
    assert setting.share(2) == pytest.approx(0.5 * (1 + np.cos(np.pi / 20)) / 2)
    assert setting.share(20) == pytest.approx(0.5)
    assert setting.share(40) == pytest.approx(0, abs=1e-12)
    assert [epoch for epoch in range(1, 41) if setting.is_tested(epoch)] == list(range(5, 41, 5))


def test_what_was_not_measured_is_an_empty_cell() -> None:
    notes = {"curve": [{"train_loss": 1.0, "train_error": 0.5}] * 2 + [
        {"train_loss": 0.5, "train_error": 0.25, "test_error": 0.3}], "train_error": 0.125}  # fmt: skip
    rows = curve_of(notes)
    assert [row["test_error"] for row in rows] == ["", "", 0.3]
    assert [row["fit_error"] for row in rows] == ["", "", 0.125]
    text = [{"kind": "a", "depth": "8", "seed": "0", **{k: str(v) for k, v in row.items()}} for row in rows]
    assert by_seed(text, "a", 8, "test_error").tolist() == [[0.3]]


def test_the_command_knows_its_experiments(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["experiments", "degredation", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "unknown experiment: degredation — known: degradation, lesion, shortcuts, order" in result.output


@pytest.mark.parametrize("depths", ["8", "20,8", "8,21", "8,x", "2,8", "8,8"])
def test_the_command_refuses_depths_that_no_network_has(depths: str) -> None:
    result = CliRunner().invoke(main, ["experiments", "degradation", "--quick", "--depths", depths])
    assert result.exit_code == 2
    assert "is no rising list of two or more of 8, 14, 20" in " ".join(result.output.split())


@pytest.mark.parametrize("command", [["experiments", "degradation", "--quick"], ["demo", "train"]])
@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there_is_one_sentence(command: list[str], device: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, [*command, "--device", device, "--out", str(tmp_path)])
    assert result.exit_code == 1 and not list(tmp_path.iterdir())
    assert re.search("unknown device: banana|CUDA device", result.output)


# -- the report ----------------------------------------------------------------------------------------------


def planted(seeds: int = 10) -> list[dict[str, str]]:
    """The plain network is 20 points worse with 32 layers, the residual one as good; with 20 layers seeds disagree."""
    ends = {("plain", 8): 0.3, ("plain", 20): 0.35, ("plain", 32): 0.5,
            ("residual", 8): 0.3, ("residual", 20): 0.3, ("residual", 32): 0.3}  # fmt: skip
    random = np.random.default_rng(7)
    rows = []
    for (kind, depth), end in ends.items():
        for seed in range(seeds):
            spread = 0.2 if (kind, depth) == ("plain", 20) else 0.005
            fit = end + 0.01 * seed + random.normal(0, spread)
            rows += [
                {"kind": kind, "depth": str(depth), "seed": str(seed), "epoch": str(epoch), "train_loss": "1",
                 "train_error": str(end + 0.1), "test_error": "" if epoch == 1 else str(end),
                 "fit_error": "" if epoch == 1 else str(fit)}
                for epoch in (1, 2)
            ]  # fmt: skip
    return rows


def test_the_report_says_what_the_table_holds() -> None:
    rows = planted()
    found = degradation(rows)
    assert (found.depths, found.seeds) == ([8, 20, 32], 10)

    def of(kind: str, depth: int) -> np.ndarray:
        own = [r for r in rows if (r["kind"], r["depth"], r["epoch"]) == (kind, str(depth), "2")]
        return np.array([100 * float(row["fit_error"]) for row in own])

    for row, (name, later, earlier) in zip(
        found.differences.rows,
        [("plain, 20 less 8 layers", of("plain", 20), of("plain", 8)),
         ("plain, 32 less 8 layers", of("plain", 32), of("plain", 8)),
         ("residual, 20 less 8 layers", of("residual", 20), of("residual", 8)),
         ("residual, 32 less 8 layers", of("residual", 32), of("residual", 8)),
         ("residual less plain, 8 layers", of("residual", 8), of("plain", 8)),
         ("residual less plain, 20 layers", of("residual", 20), of("plain", 20)),
         ("residual less plain, 32 layers", of("residual", 32), of("plain", 32))],
        strict=True,
    ):  # fmt: skip
        test = ttest_rel(later, earlier)
        low, high = test.confidence_interval(0.95)
        assert row[:3] == [name, signed((later - earlier).mean(), 1), interval(low, high)]
    shown = [row[-1] for row in found.differences.rows]
    assert shown == ["not decided", "higher", *["no difference"] * 3, "not decided", "lower"]
    assert (
        "Against the plain network of 8 layers, the training error of plain networks is not decided ("
        in found.summary
    )
    assert ") with 20 layers and higher (+" in found.summary
    assert "of residual networks is not different by 2 percentage points or more (" in found.summary
    assert (
        "Against the plain network of 32 layers, the training error of the residual network of 32 layers is lower (−"
        in found.summary
    )
    plain = found.charts[0]
    assert [curve.name for curve in plain.curves] == ["8 layers", "20 layers", "32 layers"]
    assert [(tick.text) for tick in plain.y.ticks] == ["0", "20", "40", "60", "80", "100"]


def test_the_lesions_report_says_what_the_table_holds() -> None:
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
    assert lesion(blocks).summary == (
        "With 14 layers, leaving out one block costs the plain network on average 62.5 % of its accuracy of 80.0 %, "
        "the residual network 5.0 % of its accuracy of 80.0 %."
    )
    assert lesion(blocks).differences.rows[0][:2] == ["residual less plain, 14 layers", "−57.5"]


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
    """All questions in today's setting; depth with ten seeds, the others with the first five."""
    found = results()
    assert found is not None and set(found.settings) == set(EXPERIMENTS)
    today = Setting()
    for name, setting in found.settings.items():
        committed = {key: tuple(v) if isinstance(v, list) else v for key, v in vars(setting).items()}
        assert committed == {**asdict(own_setting(name, today)), **constants(today), "device": "cpu"}, name
        assert len(setting.seeds) == SEEDS_OF.get(name, FEWER_SEEDS)
    for kind in ("plain", "residual"):
        for depth in (8, 20, 32, 56):
            rows = found.tables["degradation"]
            assert by_seed(rows, kind, depth, "train_error").shape == (10, today.epochs)
            assert by_seed(rows, kind, depth, "test_error").shape == (10, -(-today.epochs // today.tested))
            assert by_seed(rows, kind, depth, "fit_error").shape == (10, 1)
    assert experiments_page() is not None


def test_in_this_setting_the_networks_learn() -> None:
    """The networks of 8 and 20 layers end below 5 % training error, so that depth is what stands in the way."""
    found = results()
    assert found is not None
    for kind in ("plain", "residual"):
        for depth in (8, 20):
            assert by_seed(found.tables["degradation"], kind, depth, "fit_error").mean() < 0.05


def test_the_page_is_made_of_the_committed_tables_alone() -> None:
    """Every difference on the page comes out again from the CSV with SciPy."""
    found, page = results(), experiments_page()
    assert found is not None and page is not None
    rows = found.tables["degradation"]
    for name, difference, limits, *_ in page.degradation.differences.rows:
        kind, later, earlier = re.fullmatch(r"(\w+), (\d+) less (\d+) layers", name).groups() if "," in name[:9] else (
            "", "", "")  # fmt: skip
        if not kind:
            depth = int(re.search(r"(\d+) layers", name)[1])
            pair = [by_seed(rows, own, depth, "fit_error")[:, 0] for own in ("residual", "plain")]
        else:
            pair = [by_seed(rows, kind, int(depth), "fit_error")[:, 0] for depth in (later, earlier)]
        test = ttest_rel(*pair)
        low, high = test.confidence_interval(0.95)
        assert difference == signed(100 * float((pair[0] - pair[1]).mean()), 1)
        assert limits == interval(100 * low, 100 * high)


def test_the_committed_gradients_at_the_start_come_out_again(tmp_path: Path) -> None:
    """They depend on the drawings, how they are reduced, the network and its first weights, and the loss."""
    found = results()
    assert found is not None
    committed = [
        float(row["norm"])
        for row in found.tables["gradients"]
        if (row["kind"], row["depth"], row["seed"], row["when"]) == ("residual", "8", "0", "start")
    ]
    setting = Setting()
    pictures = pool.drawings(training.PROBE, TRAIN_SEED, tmp_path, 1, every=setting.every)
    norms = gradient_norms(
        build(Run(True, 8, 0), setting),
        training.reduced(pictures, setting.side),
        labels_of(setting, training.PROBE),
    )
    assert norms == pytest.approx(committed, rel=1e-3)


@pytest.mark.long
def test_the_committed_curve_comes_out_again(tmp_path: Path) -> None:
    """One run done again; another machine sums in another order, which training magnifies."""
    found = results()
    assert found is not None
    _, again = Workshop(Setting(), tmp_path, QUIET).trained(Run(True, 8, 0))
    rows = found.tables["degradation"]
    committed = by_seed(rows, "residual", 8, "train_error")[0]
    np.testing.assert_allclose([row["train_error"] for row in again["curve"]][-3:], committed[-3:], atol=0.06)
    assert again["train_error"] == pytest.approx(by_seed(rows, "residual", 8, "fit_error")[0, 0], abs=0.03)

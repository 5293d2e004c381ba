"""The designs that the experiments compare: formulas, planted answers, equal costs, and the tables they write."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import ttest_rel
from torch import nn

from generator.core.correspondence import LayerResponses, centred_ranks
from generator.core.progress import Reporter
from generator.experiments import cardinality, refinement, zero_blocks
from generator.experiments.reading import drawn_classes, read_layers
from generator.experiments.running import run_experiments
from generator.experiments.runs import BareRun, DesignRun, PathRun, Run, StackRun, network_of
from generator.experiments.setting import QUICK, Setting
from generator.experiments.shortcuts import SHORTCUT_DESIGNS
from generator.experiments.training import build
from generator.experiments.workshop import Workshop
from generator.network.architecture import cost
from generator.network.models.study.designs import (
    DESIGNS,
    Gate,
    PreActivationBlock,
    ReluOnlyBlock,
    ShortcutBlock,
)
from generator.network.models.study.networks import Block, StudyNetwork
from generator.network.models.study.paths import PathBlock, block_cost, equal_width
from generator.network.models.study.stacks import LAYERS, StackNetwork, ZeroBlock
from generator.site.chapters.experiment_designs import cardinality as cardinality_page
from generator.site.chapters.experiment_designs import order as order_page
from generator.site.chapters.experiment_designs import shortcuts as shortcuts_page
from generator.site.chapters.experiment_features import refinement as refinement_page
from generator.site.chapters.experiment_features import zero_blocks as zero_page
from generator.site.chapters.experiment_tables import by_seed, results
from generator.site.chapters.experiments import experiments_page
from generator.site.figures.dots import dot_rows
from generator.site.formats import interval, signed

pytestmark = pytest.mark.slow  # small networks are trained

NEW = ("shortcuts", "order", "cardinality", "refinement", "zero-blocks")
QUIET = Reporter(quiet=True)
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("designs")
    run_experiments(NEW, QUICK, folder, QUIET)
    return folder


def table(folder: Path, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "results" / f"{name}.csv").read_text("utf-8").splitlines()))


# -- shortcuts and order ---------------------------------------------------------------------------------------


def branch_of(block: Block | ShortcutBlock, x: torch.Tensor) -> torch.Tensor:
    return block.bn2(block.conv2(F.relu(block.bn1(block.conv1(x)))))


def test_shortcuts_are_their_formulas() -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        scaled = ShortcutBlock(4, 4, 1, scale=0.5).eval()
        torch.testing.assert_close(scaled(x), F.relu(0.5 * branch_of(scaled, x) + 0.5 * x))
        gated = ShortcutBlock(4, 4, 1, gate=-6.0).eval()
        assert gated.gate is not None
        weight, bias = gated.gate.conv.weight[:, :, 0, 0], gated.gate.conv.bias
        assert bias is not None
        g = torch.sigmoid(torch.einsum("oc,bchw->bohw", weight, x) + bias[None, :, None, None])
        torch.testing.assert_close(gated(x), F.relu(g * branch_of(gated, x) + (1 - g) * x))
        projected = ShortcutBlock(4, 8, 2, projections="changes").eval()
        conv, norm = projected.shortcut
        torch.testing.assert_close(projected(x), F.relu(branch_of(projected, x) + norm(conv(x))))


def test_a_shortcut_with_nothing_special_is_option_a() -> None:
    torch.manual_seed(0)
    for channels, planes, stride in ((4, 4, 1), (4, 8, 2)):
        plain, other = Block(channels, planes, stride, True), ShortcutBlock(channels, planes, stride)
        other.load_state_dict(plain.state_dict())
        x = torch.randn(2, channels, 6, 6)
        assert torch.equal(plain(x), other(x))


def test_gates_start_where_the_paper_sets_them() -> None:
    gates = [p for p in build(DesignRun("exclusive gate", 14, 0), QUICK).modules() if isinstance(p, Gate)]
    assert len(gates) == 6
    for gate in gates:
        assert torch.equal(gate.conv.bias, torch.full_like(gate.conv.bias, -6))
        blank = gate(torch.zeros(1, gate.conv.in_channels, 3, 3))
        torch.testing.assert_close(blank, torch.full_like(blank, 1 / (1 + np.exp(6))))


def test_dropout_is_off_in_eval_and_depends_on_the_seed_alone(tmp_path: Path) -> None:
    network = build(DesignRun("dropout", 14, 0), QUICK)
    x = torch.randn(4, 3, 12, 12)
    residual = build(Run(True, 14, 0), QUICK)
    network.load_state_dict(residual.state_dict())
    assert torch.equal(network.eval()(x), residual.eval()(x))
    assert not torch.equal(network.train()(x), network.train()(x))
    curves = []
    for name in ("one", "two"):
        torch.manual_seed(len(curves))
        curves.append(
            Workshop(QUICK, tmp_path / name, QUIET).trained(DesignRun("dropout", 14, 0))[1]["curve"]
        )
    assert curves[0] == curves[1]


def test_options_a_b_and_c_have_the_parameters_of_their_projections() -> None:
    w = QUICK.width
    counts = {
        run.kind: cost(network_of(run, QUICK).to("meta"), QUICK.side)["parameters"]
        for run in (Run(True, 14, 0), *(DesignRun(kind, 14, 0) for kind in DESIGNS))
    }
    at_changes = sum(a * b + 2 * b for a, b in ((w, 2 * w), (2 * w, 4 * w)))  # 1×1 weights, and gain and bias
    kept = sum(c * c + 2 * c for c in (w, w, 2 * w, 4 * w))  # the blocks that change nothing
    a = counts["residual"]
    assert counts["projection where sizes change"] == a + at_changes
    assert counts["projection everywhere"] == a + at_changes + kept
    assert counts["scaled"] == counts["dropout"] == a
    gates = sum(
        a * b + b for a, b in ((w, w), (w, w), (w, 2 * w), (2 * w, 2 * w), (2 * w, 4 * w), (4 * w, 4 * w))
    )
    assert counts["exclusive gate"] == a + gates
    assert counts["ReLU-only pre-activation"] == counts["full pre-activation"] == a


def test_pre_activation_blocks_keep_what_comes_along_the_shortcut() -> None:
    """With the branch's last weights zero the sum is the input, signs and all; the original's ReLU would cut it."""
    x = torch.randn(2, 4, 5, 5)
    only, full = ReluOnlyBlock(4, 4, 1).eval(), PreActivationBlock(4, 4, 1, False).eval()
    nn.init.zeros_(only.bn2.weight)
    nn.init.zeros_(full.conv2.weight)
    original = Block(4, 4, 1, True).eval()
    nn.init.zeros_(original.bn2.weight)
    with torch.no_grad():
        before = x.clone()
        assert torch.equal(only(x), x)
        assert torch.equal(full(x), x)
        assert torch.equal(original(x), F.relu(x))
        assert torch.equal(x, before)


def test_orders_start_from_the_same_convolutions() -> None:
    networks = [build(Run(True, 14, 3), QUICK)]
    networks += [
        build(DesignRun(k, 14, 3), QUICK) for k in ("ReLU-only pre-activation", "full pre-activation")
    ]
    weights = [[p.weight for p in n.modules() if isinstance(p, nn.Conv2d)] for n in networks]
    assert all(len(found) == 13 for found in weights)
    for other in weights[1:]:
        assert all(torch.equal(a, b) for a, b in zip(weights[0], other, strict=True))


def test_maps_are_what_the_forward_pass_makes() -> None:
    network = build(DesignRun("full pre-activation", 14, 0), QUICK).eval()
    assert isinstance(network, StudyNetwork)
    x = torch.randn(3, 3, 12, 12)
    maps = network.maps(x)
    assert list(maps) == [f"layer{stage}.{block}" for stage in (1, 2, 3) for block in (0, 1)]
    assert network.closing is not None
    last = network.closing(maps["layer3.1"])
    torch.testing.assert_close(network.fc(last.mean((2, 3))), network(x))
    assert bool((maps["layer3.1"] < 0).any())


# -- cardinality -------------------------------------------------------------------------------------------------


def test_a_blocks_cost_is_torchs_count() -> None:
    for paths in cardinality.CARDINALITIES:
        width = equal_width(64, paths)
        block = PathBlock(64, 64, paths, width, 1).to("meta")
        assert cost(block, 5, 64)["multiply_adds"] == 25 * block_cost(64, paths, width)


def test_the_papers_widths_come_out() -> None:
    """Table 2 of arXiv:1611.05431: 1×64d, 2×40d, 4×24d, 8×14d, 32×4d for blocks of 256 channels."""
    assert [equal_width(256, paths) for paths in cardinality.CARDINALITIES] == [64, 40, 24, 14, 4]


def test_cardinalities_cost_the_same() -> None:
    setting = Setting()
    costs = [
        cost(network_of(PathRun(1, paths, 1, 0), setting).to("meta"), setting.side)["multiply_adds"]
        for paths in cardinality.CARDINALITIES
    ]
    assert max(costs) / min(costs) < 1.08
    for blocks, paths, factor in cardinality.TWICE_THE_COST:
        run = PathRun(blocks, paths, factor, 0)
        doubled = cost(network_of(run, setting).to("meta"), setting.side)["multiply_adds"]
        assert 1.6 < doubled / costs[0] < 1.9  # stem, projections and the linear layer stay as they are


# -- refinement ----------------------------------------------------------------------------------------------------


def test_refinement_is_found_where_it_was_planted() -> None:
    """44 × 4 pictures. Channel 0 orders them alike in both blocks, but only later are its nine of few classes."""
    count = 176
    classes = drawn_classes(count)
    label = np.arange(count) % 44
    random = np.random.default_rng(0)
    base = random.permutation(count).astype(np.float64)
    later = base + np.where(label < 2, 1000.0, 0.0)
    noise = random.normal(size=(count, 2))

    def numbers(scores: np.ndarray) -> LayerResponses:
        return LayerResponses(np.argsort(-scores, axis=0, kind="stable")[:9].T, centred_ranks(scores))

    found, at_random = refinement.compared(
        numbers(np.column_stack([base, noise[:, 0]])),
        numbers(np.column_stack([later, noise[:, 0]])),
        classes,
        0,
    )
    assert found["score"][0] > 0.3
    assert found["score"][1] == pytest.approx(0)
    assert found["kept"][1] == 9
    assert found["own_match"].tolist() == [1, 1]
    assert refinement.score_at_random([at_random]) < float(found["score"].mean())


def test_layers_are_read_as_the_atlas_reads_them() -> None:
    """Spatial maximum, ties to the earlier picture, rectified channels only above zero."""
    maps = torch.zeros(12, 2, 3, 3)
    maps[:, 0, 1, 2] = torch.tensor([5.0, 7, 7, 1, 2, 3, 4, 8, 9, 10, 11, 12])
    maps[:, 0, 0, 0] = 0.5
    top = read_layers(lambda x: {"a": x}, maps)["a"]
    assert top.top_image[0].tolist() == [11, 10, 9, 8, 7, 1, 2, 0, 6]
    assert top.top_image[1].tolist() == [-1] * 9
    assert not top.active[1]
    assert read_layers(lambda x: {"a": x}, maps, signed=True)["a"].top_image[1].tolist() == list(range(9))


# -- added blocks ----------------------------------------------------------------------------------------------------


def test_new_blocks_change_no_bit_of_the_output() -> None:
    start = build(StackRun(0), QUICK)
    blocks = build(zero_blocks.resumed(StackRun(0), True, QUICK), QUICK)
    blocks.load_state_dict(start.state_dict(), strict=False)
    assert sum(isinstance(part, ZeroBlock) for part in blocks.modules()) == 2 * len(LAYERS)
    x = torch.randn(5, 3, QUICK.side, QUICK.side)
    for mode in (True, False):
        assert torch.equal(start.train(mode)(x), blocks.train(mode)(x))
    assert isinstance(blocks, StackNetwork)
    assert all(row["change"] == 0 for row in zero_blocks.added(blocks.eval(), x))


def test_without_the_hidden_norm_all_else_is_alike() -> None:
    normed, bare = build(StackRun(0), QUICK).state_dict(), build(BareRun(0), QUICK).state_dict()
    assert {name for name in normed if name not in bare} == {f"hidden.1.{part}" for part in NORM}
    assert all(torch.equal(normed[name], tensor) for name, tensor in bare.items())


def test_training_is_resumed_from_the_trained_weights(workshop: Path) -> None:
    """With a rate of zero the resumed network is the trained one."""
    again = Workshop(QUICK, workshop, QUIET)
    start, _ = again.trained(StackRun(0))
    still, _ = again.trained(replace(zero_blocks.resumed(StackRun(0), True, QUICK), rate=0.0))
    moved, _ = again.trained(zero_blocks.resumed(StackRun(0), False, QUICK))
    weights = {name: tensor for name, tensor in start.state_dict().items() if name.endswith("weight")}
    assert all(torch.equal(still.state_dict()[name], tensor) for name, tensor in weights.items())
    assert not all(torch.equal(moved.state_dict()[name], tensor) for name, tensor in weights.items())


# -- tables and report -------------------------------------------------------------------------------------------------


def test_the_tables_hold_every_run(workshop: Path) -> None:
    epochs = QUICK.epochs
    assert len(table(workshop, "shortcuts")) == 6 * epochs
    assert len(table(workshop, "order")) == 3 * epochs
    assert len(table(workshop, "cardinality")) == 8 * epochs
    assert len(table(workshop, "refinement")) == 3
    assert len(table(workshop, "refinement_pairs")) == 3 * 3 * 2
    assert [row["kind"] for row in table(workshop, "zero_blocks")] == [
        "stack",
        "stack resumed",
        "stack resumed with blocks",
    ]
    assert len(table(workshop, "zero_features")) == 5 + 2 * 5
    assert len(table(workshop, "zero_branches")) == 10
    assert [row["kind"] for row in table(workshop, "zero_hidden")] == ["stack without hidden norm"]
    assert len(list((workshop / "runs").glob("*.json"))) >= 6 + 2 + 8 + 1 + 3  # the residual ones are shared


def test_the_same_tables_come_out_again(workshop: Path) -> None:
    before = {path.name: path.read_bytes() for path in (workshop / "results").iterdir()}
    weights = {path.name: path.stat().st_mtime_ns for path in (workshop / "runs").iterdir()}
    run_experiments(NEW, QUICK, workshop, QUIET)
    assert {path.name: path.read_bytes() for path in (workshop / "results").iterdir()} == before
    after = {path.name: path.stat().st_mtime_ns for path in (workshop / "runs").iterdir()}
    assert {name: after[name] for name in weights} == weights


def test_the_report_can_be_made_of_them(workshop: Path) -> None:
    sections = [
        shortcuts_page(table(workshop, "shortcuts")),
        order_page(table(workshop, "order")),
        cardinality_page(table(workshop, "cardinality")),
        refinement_page(table(workshop, "refinement")),
        zero_page(
            *(
                table(workshop, name)
                for name in ("zero_blocks", "zero_features", "zero_branches", "zero_hidden")
            )
        ),
    ]
    assert [len(section.table.rows) for section in sections] == [6, 3, 8, 3, 3]
    tables = [section.table for section in sections]
    assert all(len(row) == len(shown.heads) for shown in tables for row in shown.rows)


def test_the_committed_tables_are_whole() -> None:
    """Of each experiment that is committed: every seed of every kind, all epochs."""
    found = results()
    assert found is not None
    tables = found.tables
    for name in ("shortcuts", "order", "cardinality"):
        setting = found.settings[name]
        tested = -(-setting.epochs // setting.tested)  # the last epoch too
        kinds = {(row["kind"], int(row["depth"])) for row in tables.get(name, ())}
        for kind in kinds:
            shape = by_seed(tables[name], *kind, "test_error").shape
            assert shape == (len(setting.seeds), tested)
    committed_kinds = {row["kind"] for row in tables["shortcuts"]}
    assert committed_kinds == {"residual", *SHORTCUT_DESIGNS}
    equal = {
        int(row["cardinality"]) for row in tables["cardinality"] if row["factor"] == row["blocks"] == "1"
    }
    assert equal == set(cardinality.CARDINALITIES)
    dearer = {
        tuple(int(row[n]) for n in ("blocks", "cardinality", "factor")) for row in tables["cardinality"]
    }
    assert dearer >= set(cardinality.TWICE_THE_COST)
    assert {int(row["seed"]) for row in tables["zero_hidden"]} == set(found.settings["zero-blocks"].seeds)
    page = experiments_page()
    assert page is not None and page.shortcuts is not None
    assert page.order is not None
    # The residual network with option A is one training, whichever table shows it.
    for table, depth in (("shortcuts", page.shortcuts.depth), ("order", page.order.depth)):
        own, first = (
            by_seed(tables[name], "residual", depth, "test_error") for name in (table, "degradation")
        )
        np.testing.assert_array_equal(own, first[: len(own)])


def test_what_the_blocks_change_comes_out_again_with_scipy() -> None:
    """Paired by seed: with the blocks less without, after the same further training."""
    found, page = results(), experiments_page()
    assert found is not None and page is not None and page.zero_blocks is not None

    def errors(column: str, kind: str) -> list[float]:
        rows = found.tables["zero_blocks"]
        return [100 * float(row[column]) for row in rows if row["kind"] == kind]

    def kept(kind: str, place: str) -> list[float]:
        own: dict[str, list[float]] = {}
        for row in found.tables["zero_features"]:
            if (row["kind"], row["place"]) == (kind, place):
                own.setdefault(row["seed"], []).append(float(row["kept"]))
        return [float(np.mean(values)) for values in own.values()]

    plain, blocks = "stack resumed", "stack resumed with blocks"
    pairs = [
        (errors("train_error", blocks), errors("train_error", plain), 2.0),
        (errors("test_error", blocks), errors("test_error", plain), 2.0),
        (kept(blocks, "layer"), kept(plain, "layer"), 0.5),
        (kept(blocks, "after"), kept(plain, "layer"), 0.5),
    ]
    table = page.zero_blocks.differences
    for row, (ours, theirs, margin) in zip(table.rows, pairs, strict=True):
        test = ttest_rel(ours, theirs)
        low, high = test.confidence_interval(0.95)
        assert row[1:3] == [signed(float(np.subtract(ours, theirs).mean()), 1), interval(low, high)]
        low, high = test.confidence_interval(1 - 0.05 / len(pairs))
        assert row[3] == interval(low, high)
        assert (row[-1] == "no difference") <= (-margin < low < high < margin)


def test_dots_stand_at_their_values() -> None:
    figure = dot_rows([("a", np.array([10.0, 20.0])), ("longer", np.array([30.0, 30.0]))], "x")
    at = {float(tick.text): tick.position for tick in figure.axis.ticks}
    first, second = figure.rows
    assert first.dots == (at[10.0], at[20.0])
    assert first.mean == pytest.approx((at[10.0] + at[20.0]) / 2)
    assert first.high - first.low == pytest.approx(2 * np.sqrt(50) * (at[20.0] - at[10.0]) / 10, abs=0.2)
    assert second.low == second.high == at[30.0]

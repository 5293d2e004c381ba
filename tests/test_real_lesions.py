"""Lesions of trained networks: what is taken away, what is counted, and what the report says of it."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.experiments import lesion_responses
from generator.experiments.block_lesions import Lesion, blocks_of, lesions_of, run_lesion
from generator.experiments.kept_pictures import kept_pictures
from generator.experiments.lesion_responses import LesionedNetwork
from generator.experiments.real_lesions import LesionTables, lesion_tables, write_lesions
from generator.experiments.runs import Run as TrainingRun
from generator.experiments.setting import Setting
from generator.experiments.training import build
from generator.network import models
from generator.network.network import Network
from generator.pictures.batch_reader import PictureBatch
from generator.pictures.decoding import read_picture
from generator.pictures.reading import PictureSet, find_pictures
from generator.site.chapters import experiment_lesions
from generator.site.chapters.experiment_lesions import change_of
from generator.site.chapters.experiment_lesions import real_lesions as report
from generator.site.chapters.experiments import ExperimentsPage, experiments_page
from generator.site.templates import environment

QUIET = Reporter(quiet=True)
COUNTS = ("right", "right_after", "lost", "gained")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """With weights from a file, so that there is an accuracy; its predictions vary, because its maps do."""
    module = models.load("resnet20-cifar", "random", seed=4).module
    file = tmp_path_factory.mktemp("weights") / "drawn.safetensors"
    save_file(module.state_dict(), file)
    return models.load("resnet20-cifar", file).to("cpu", torch.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("noise")
    random = np.random.default_rng(0)
    for number in range(25):
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        (folder / ("cat", "dog")[number % 2]).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / ("cat", "dog")[number % 2] / f"{number:02d}.png")
    return folder


def tables_of(network: Network, pictures: PictureSet) -> LesionTables:
    """In a folder of its own, so that nothing of an earlier run is there."""
    with tempfile.TemporaryDirectory() as folder:
        return lesion_tables(network, pictures, Path(folder), QUIET)


def test_blocks_that_keep_their_shape_are_found_and_swapped(network: Network) -> None:
    blocks = blocks_of(network)
    assert [block.path for block in blocks if not block.movable] == ["layer1.0", "layer2.0", "layer3.0"]
    found = lesions_of(blocks)
    assert sum(lesion.way == "branch removed" for lesion in found) == 9
    assert [lesion.order for lesion in found if lesion.way == "swapped"] == [(2, 1), (5, 4), (8, 7)]
    assert not [lesion for lesion in found if lesion.way == "reversed"], "as swapped, with two blocks"
    deep = blocks_of(models.load("resnet32-cifar", "random").to("cpu", torch.float32))
    assert [lesion.order for lesion in lesions_of(deep) if lesion.way == "reversed"] == [
        (4, 3, 2, 1), (9, 8, 7, 6), (14, 13, 12, 11)
    ]  # fmt: skip


@torch.no_grad()
def test_each_lesion_is_the_formula_of_its_block(network: Network) -> None:
    """ReLU of the shortcut alone, ReLU of the branch alone, and the blocks in the given order."""
    torch.manual_seed(0)
    blocks = blocks_of(network)
    x = torch.rand(2, 16, 8, 8)
    for place in (3, 4):  # with another shape, and with the same
        block = blocks[place].module.eval()
        given = x if place == 3 else torch.rand(2, 32, 8, 8)
        branch = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(given)))))
        for way, expected in (
            ("branch removed", F.relu(block.shortcut(given))),
            ("shortcut removed", F.relu(branch)),
        ):
            found = run_lesion(given, blocks[: place + 1], Lesion(way, place, place, (place,)))
            torch.testing.assert_close(found[0], expected)
        torch.testing.assert_close(block(given), F.relu(branch + block.shortcut(given)))  # whole again
    swapped = run_lesion(x, blocks[:3], Lesion("swapped", 1, 2, (2, 1)))
    torch.testing.assert_close(swapped[0], blocks[1].module(blocks[2].module(x)))


def test_the_tables_are_those_of_a_network_rebuilt_with_each_lesion(network: Network, folder: Path) -> None:
    """The oracle runs whole networks, whose blocks are replaced in a copy of the module."""
    import copy

    pictures = find_pictures(folder)
    tables = tables_of(network, pictures)
    pixels = np.stack([read_picture(folder / f.path, network.preprocessing).pixels for f in pictures.files])
    x = network.prepare(torch.from_numpy(pixels))
    labels = torch.tensor([("cat", "dog").index(file.label) * 2 + 3 for file in pictures.files])

    class Skipped(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.shortcut = block.shortcut

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.relu(self.shortcut(x))

    @torch.no_grad()
    def seen(module: nn.Module) -> tuple[np.ndarray, np.ndarray]:
        last: list[torch.Tensor] = []
        hook = module.layer3[2].register_forward_hook(lambda _m, _i, out: last.append(out))
        right = (module(x).argmax(1) == labels).numpy()
        hook.remove()
        return right, last[0].amax((2, 3)).numpy()

    before, whole = seen(network.module.eval())
    for row in tables.lesions:
        if row["way"] not in ("branch removed", "swapped"):
            continue
        module = copy.deepcopy(network.module).eval()
        stage, index = row["block"].split(".")
        blocks = module.get_submodule(stage)
        if row["way"] == "branch removed":
            blocks[int(index)] = Skipped(blocks[int(index)])
        else:
            later = int(row["until"].split(".")[1])
            blocks[int(index)], blocks[later] = blocks[later], blocks[int(index)]
        after, maps = seen(module)
        assert (row["right"], row["right_after"]) == (int(before.sum()), int(after.sum()))
        assert row["lost"] == int((before & ~after).sum())
        assert row["gained"] == int((~before & after).sum())
        if row["until"] != "layer3.2":
            assert row["last_kept"] == pytest.approx(kept_pictures(whole, maps).mean, abs=0.2)
    assert tables.blocks[1]["kept"] > tables.blocks[1]["chance"]
    assert tables.blocks[3]["kept"] == ""


def test_pictures_kept_are_counted_by_hand() -> None:
    scores = np.array([[5.0, 0.0], [4.0, 0.0], [5.0, 0.0], *[[float(n) / 10, 0.0] for n in range(1, 12)]])
    assert kept_pictures(scores, scores).mean == 9  # the silent channel takes no part
    other = scores.copy()
    other[[0, 1], 0] = 0  # both are among the nine, of equal scores the earlier picture
    assert kept_pictures(scores, other).mean == 7
    random = np.random.default_rng(1)
    kept = kept_pictures(random.random((90, 40)), random.random((90, 40)))
    assert kept.mean == pytest.approx(0.9, abs=0.4) and kept.chance == pytest.approx(0.9, abs=0.1)


def test_the_error_of_a_mean_over_channels_is_about_its_spread_over_samples_of_pictures() -> None:
    random = np.random.default_rng(2)
    means, errors = [], []
    for _ in range(60):
        common = random.normal(size=(120, 30)) + 2 * random.random((120, 1))
        a = common + 0.8 * random.normal(size=(120, 30)) + 10
        b = common + 0.8 * random.normal(size=(120, 30)) + 10
        kept = kept_pictures(a, b)
        means.append(kept.mean)
        errors.append(kept.error)
    assert np.mean(errors) == pytest.approx(np.std(means, ddof=1), rel=0.35)


def test_nominal_95_percent_of_the_intervals_of_paired_accuracies_cover() -> None:
    random = np.random.default_rng(3)
    for lost, gained in ((0.02, 0.01), (0.3, 0.05), (0.1, 0.1)):
        draws = random.multinomial(200, [lost, gained, 1 - lost - gained], 3000)
        true = 100 * (gained - lost)
        covers = [
            low <= true <= high for low, high in (change_of(int(a), int(b), 200)[1:] for a, b, _ in draws)
        ]
        assert 0.93 < np.mean(covers) < 0.985


def test_the_command_writes_tables_that_come_out_again(folder: Path, tmp_path: Path) -> None:
    command = ["lesions", "resnet20-cifar", "--weights", "random", "--images", str(folder), "--limit", "20"]
    written = []
    for name in ("one", "two"):
        result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert written[0] == written[1]
    assert set(written[0]) == {
        "lesions-resnet20-cifar.csv", "blocks-resnet20-cifar.csv", "lesions-resnet20-cifar.json"
    }  # fmt: skip
    rows = list(csv.DictReader(written[0]["lesions-resnet20-cifar.csv"].decode().splitlines()))
    assert all(row["lost"] == "" for row in rows), "random weights have no accuracy"
    about = json.loads(written[0]["lesions-resnet20-cifar.json"])
    assert about["pictures"] == 20 and about["accuracy"] == "no accuracy: the weights are random"


def copied(folder: Path, to: Path) -> Path:
    for file in folder.rglob("*.png"):
        (to / file.parent.name).mkdir(parents=True, exist_ok=True)
        (to / file.parent.name / file.name).write_bytes(file.read_bytes())
    return to


def test_pictures_without_a_label_do_not_count_for_the_accuracy(
    network: Network, folder: Path, tmp_path: Path
) -> None:
    """They count for the pictures kept; without them the counts of right pictures are the same."""
    mixed = copied(folder, tmp_path / "mixed")
    random = np.random.default_rng(9)
    for number in range(7):
        Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(mixed / f"{number}.png")
    pictures = find_pictures(mixed)
    assert (len(pictures), pictures.labels.labelled) == (32, 25)
    alone = tables_of(network, find_pictures(folder)).lesions
    for row, expected in zip(tables_of(network, pictures).lesions, alone, strict=True):
        assert (row["pictures"], row["labelled"]) == (32, 25)
        assert [row[name] for name in COUNTS] == [expected[name] for name in COUNTS]
        wrong = row["labelled"] - row["right"] - row["gained"]
        assert wrong >= 0, "the wrong ones are labelled ones too"


def test_a_damaged_picture_is_left_out_counted_and_named(
    network: Network, folder: Path, tmp_path: Path
) -> None:
    broken = copied(folder, tmp_path / "broken")
    (broken / "cat/04.png").write_bytes(b"no picture")
    (broken / "dog/05.png").unlink()
    (broken / "dog/05.jpg").write_bytes((folder / "dog/05.png").read_bytes()[:300])
    command = ["lesions", "resnet20-cifar", "--weights", "random", "--images", str(broken)]
    result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert (
        "2 of the folder's files cannot be used, the first cat/04.png (not a picture of a known format)"
        in (result.output.replace("\n", " "))
    )
    about = json.loads((tmp_path / "out/lesions-resnet20-cifar.json").read_text("utf-8"))
    assert about["pictures"] == 23
    assert [path for path, _ in about["skipped"]] == ["cat/04.png", "dog/05.jpg"]
    rows = tables_of(network, find_pictures(broken)).lesions
    whole = copied(broken, tmp_path / "whole")
    (whole / "cat/04.png").unlink()
    for row, expected in zip(rows, tables_of(network, find_pictures(whole)).lesions, strict=True):
        assert row["pictures"] == row["labelled"] == 23
        assert [row[name] for name in COUNTS] == [expected[name] for name in COUNTS]


@pytest.mark.parametrize("damage", [False, True])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, damage: bool
) -> None:
    mixed = copied(folder, tmp_path / "mixed")
    (mixed / "cat/00.png").write_bytes(b"no picture")
    monkeypatch.setattr(lesion_responses, "BATCH", 5)
    make = LesionedNetwork.responses
    measured: list[int] = []

    def stopping(at: int) -> Callable[..., object]:
        def responses(lesioned: LesionedNetwork, pictures: PictureSet, batch: PictureBatch) -> object:
            if len(measured) == at:
                raise KeyboardInterrupt
            measured.append(5 * (int(batch.indices[-1]) // 5))
            return make(lesioned, pictures, batch)

        return responses

    def run(to: str, at: int = 99) -> dict[str, bytes]:
        measured.clear()
        monkeypatch.setattr(LesionedNetwork, "responses", stopping(at))
        write_lesions("resnet20-cifar", "random", mixed, None, tmp_path / to, QUIET)
        return {path.name: path.read_bytes() for path in (tmp_path / to).iterdir()}

    whole = run("whole")
    assert measured == [0, 5, 10, 15, 20] and len(whole) == 3
    with pytest.raises(KeyboardInterrupt):
        run("stopped", 3)
    parts = sorted((tmp_path / "stopped/unfinished-resnet20-cifar").rglob("*.npz"))
    assert len(parts) == 3 and len(list((tmp_path / "stopped").iterdir())) == 1
    if damage:
        parts[0].write_bytes(parts[0].read_bytes()[:-700])
    assert run("stopped") == whole
    assert len(measured) == 2 + damage
    # Other pictures are another run.
    with pytest.raises(KeyboardInterrupt):
        run("other", 3)
    (mixed / "dog/01.png").write_bytes((mixed / "dog/03.png").read_bytes())
    run("other")
    assert measured == [0, 5, 10, 15, 20]


def test_a_file_of_class_names_gives_a_study_network_its_accuracy(folder: Path, tmp_path: Path) -> None:
    """Its outputs have no names of their own."""
    names = tmp_path / "classes.txt"
    names.write_text("".join(f"{name}\n" for name in ("cat", "dog", *map(str, range(42)))), "utf-8")
    weights = tmp_path / "residual-8.safetensors"
    save_file(build(TrainingRun(True, 8, 0), Setting()).state_dict(), weights)
    command = ["lesions", "study/residual-8", "--images", str(folder), "--weights", str(weights)]
    for options, labelled in (([], False), (["--classes", str(names)], True)):
        result = CliRunner().invoke(main, [*command, "--out", str(tmp_path / "out"), *options])
        assert result.exit_code == 0, result.output
        rows = (tmp_path / "out/lesions-study-residual-8.csv").read_text("utf-8").splitlines()
        columns = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
        assert (columns["labelled"] != "") == labelled


def test_too_few_usable_pictures_are_one_sentence(network: Network, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.png").write_bytes(b"no picture")
    with pytest.raises(
        AtlasError, match=r"^0 usable pictures, the first file 0\.png: .* — lesions need at least 9$"
    ):
        tables_of(network, find_pictures(tmp_path))


@pytest.mark.parametrize(
    "model", ["preact_resnet50", "study/full pre-activation-8", "study/scaled-8", "study/exclusive gate-8"]
)
def test_blocks_that_are_not_the_relu_of_a_sum_are_refused(model: str) -> None:
    other = models.load(model, "random").to("cpu", torch.float32)
    with pytest.raises(
        AtlasError,
        match=r"the block (network\.)?layer1\.0 is not the ReLU of a branch plus a shortcut: .* — ",
    ):
        blocks_of(other)


@pytest.mark.parametrize(
    "model", ["resnet18", "resnext50_32x4d", "resnet50-caffe", "demo", "study/residual-8"]
)
def test_blocks_of_the_usual_networks_can_be_taken_apart(model: str) -> None:
    assert blocks_of(models.load(model, None if model == "demo" else "random").to("cpu", torch.float32))


def test_a_classifier_that_reads_something_else_gives_no_accuracy(network: Network, folder: Path) -> None:
    import copy

    other = replace(network, module=copy.deepcopy(network.module))
    other.module.fc = nn.Sequential(nn.Tanh(), other.module.fc)
    found = tables_of(other, find_pictures(folder))
    assert found.accuracy == "no accuracy: the classifier does not read the averages of the last block's maps"
    assert {row["labelled"] for row in found.lesions} == {""}


def test_a_network_without_blocks_is_refused(folder: Path) -> None:
    plain = models.load("alexnet", "random").to("cpu", torch.float32)
    with pytest.raises(AtlasError, match="no residual blocks"):
        tables_of(plain, find_pictures(folder, limit=9))


def html_of(page: ExperimentsPage) -> str:
    """The page *Designs, compared* as its template renders it, with the variables that every page has."""
    frame = {
        "root": "../",
        "model": "",
        "several": False,
        "made_from": "",
        "notice": "",
        "note": "",
        "takedown": False,
    }
    return environment().get_template("experiments.html").render({**frame, **vars(page)})


def test_the_report_is_redrawn_from_the_committed_tables() -> None:
    page = report()
    assert page is not None
    for network in page.networks:
        assert len(network.table.rows) == len({(row[0], row[1]) for row in network.table.rows}), (
            "one row per lesion"
        )
    assert {row[0] for row in page.overview.rows} == {network.name for network in page.networks}
    last = {row[0]: row[3] for row in page.overview.rows}
    assert page.overview.heads[3] == "last block"
    assert {network.name: network.blocks[-1] for network in page.networks} == last
    caffe = next(network for network in page.networks if network.file == "resnet50-caffe")
    assert last[caffe.name] == "layer3.5" and "to-res4f" in str(caffe.about["weights"]), "as its origin says"


def test_the_page_says_where_weights_come_from_and_why_there_is_no_accuracy() -> None:
    page = experiments_page()
    assert page is not None and page.real_lesions is not None
    text = " ".join(re.sub(r"<[^>]+>", "", html_of(page)).split())
    assert "as they were published" not in text
    for network in page.real_lesions.networks:
        assert f"{network.about['weights']}: {network.origin}." in text
        assert network.labelled == (0 if len(network.charts) == 1 else network.about["pictures"])
    assert "The accuracy is not known: the weights end before the classifier. Bands are" in text
    assert text.count("The accuracy is not known") == 1


def test_the_change_of_accuracy_is_of_the_labelled_pictures() -> None:
    row = {"lost": "6", "gained": "1", "pictures": "200", "labelled": "50"}
    assert experiment_lesions._changed(row) == change_of(6, 1, 50)


def test_the_real_resnet_gives_the_committed_numbers(shared_data: Path) -> None:
    """Of ResNet-20 on fewer pictures: what it gets right before, and that its lesions are those of the table."""
    network = models.load("resnet20-cifar", shared_data / "resnet20-cifar10/resnet20_cifar10.safetensors").to(
        "cpu", torch.float32
    )
    pictures = find_pictures(shared_data / "cifar10-sample", limit=200)
    tables = tables_of(network, pictures)
    by_block = {(row["way"], row["block"]): row for row in tables.lesions}
    own = by_block["branch removed", "layer2.2"]
    assert own["right"] == 157 and own["right"] - own["lost"] + own["gained"] == own["right_after"]
    harm = {way: by_block[way, "layer2.2"]["right_after"] for way in ("branch removed", "shortcut removed")}
    assert harm["shortcut removed"] < harm["branch removed"] - 50


def test_shared_pictures_are_those_of_the_atlas() -> None:
    """Channel by channel and over all pairs, as core/correspondence.py counts them."""
    random = np.random.default_rng(8)
    a, b = np.maximum(random.normal(-0.5, 1, (30, 12)), 0), np.maximum(random.normal(-0.5, 1, (30, 12)), 0)
    a[:, 3] = 0
    active = (a > 0).any(axis=0)
    tops, others = (
        [set(np.argsort(-column, kind="stable")[:9]) & set(np.flatnonzero(column > 0)) for column in scores.T]
        for scores in (a[:, active], b[:, active])
    )
    shared = np.array([[len(one & other) for other in others] for one in tops])
    kept = kept_pictures(a, b)
    assert kept.mean == pytest.approx(np.trace(shared) / 11)
    assert kept.chance == pytest.approx((shared.sum() - np.trace(shared)) / 110)

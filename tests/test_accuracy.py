"""Accuracy only where labels and outputs are known to mean the same classes; otherwise one sentence why not."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from scipy.stats import binom, binomtest

from generator.core.head import Head, HeadKind
from generator.core.hierarchy import imagenet_wnids
from generator.core.progress import Reporter
from generator.core.records import WeightsInfo
from generator.methods.proportion import wilson_interval
from generator.network import models
from generator.network.network import Network
from generator.pictures.decoding import read_picture
from generator.pictures.reading import find_pictures
from generator.stages import profile
from generator.stages.accuracy import accuracy_basis
from generator.stages.pipeline import compute

IMAGENET = tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


class _Classified:
    """What the matching looks at of a network: its outputs' names, how they are read, whether weights are random."""

    def __init__(self, classes: tuple[str, ...], *, random: bool = False, head: Head | None = None) -> None:
        self.classes = classes
        self.head = head
        self.weights = WeightsInfo("file.pth", "", random)
        self.last = "layer1.0"

    without_outputs = Network.without_outputs


def network(*classes: str, random: bool = False) -> Network:
    return _Classified(classes, random=random)  # type: ignore[return-value]


def unnamed(count: int) -> Network:
    return network(*(f"class {number}" for number in range(count)))


def outputs_of(
    tmp_path: Path, net: Network, paths: list[str], table: str = ""
) -> tuple[list[int] | None, str]:
    """The output of each picture's class, and the sentence."""
    folder = tmp_path / "pictures"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x")
    if table:
        (tmp_path / "labels.csv").write_text(table)
    found = find_pictures(folder, labels=tmp_path / "labels.csv" if table else None)
    basis = accuracy_basis(net, found)
    assert "\n" not in basis.sentence and basis.sentence
    if basis.numbers is None:
        assert basis.sentence.startswith("no accuracy: ")
        return None, basis.sentence
    by_path = dict(zip([file.path for file in found.files], basis.numbers, strict=True))
    return [by_path[path] for path in paths], basis.sentence


def headed(head: Head, *classes: str) -> Network:
    return _Classified(classes, head=head)  # type: ignore[return-value]


# -- heads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("folders", [("cat", "dog"), ("0", "1")])
def test_one_output_has_an_accuracy_where_both_classes_are_known(
    tmp_path: Path, folders: tuple[str, str]
) -> None:
    names = folders if folders[0] == "cat" else ("class 0", "class 1")
    outputs, _ = outputs_of(
        tmp_path, headed(Head("sigmoid", 1), *names), [f"{folders[0]}/a.png", f"{folders[1]}/b.png"]
    )
    assert outputs == [0, 1]
    predicted = Head("sigmoid", 1).predicted(np.zeros(3, np.int32), np.array([-0.1, 0.0, 0.1], np.float32))
    assert predicted.tolist() == [0, 0, 1]
    several = Head("softmax", 3).predicted(np.array([2, 0], np.int32), np.array([-1.0, 1.0], np.float32))
    assert several.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("head", "names", "why"),
    [
        (Head("sigmoid", 2), ("cat", "dog"), "head sigmoid"),
        (Head("none", 2), ("cat", "dog"), "head none"),
        (Head("none", 1), ("cat", "dog"), "head none"),
        (Head("sigmoid", 1), ("dog",), "other class has no name"),
    ],
)
def test_outputs_that_name_no_one_class_have_no_accuracy(
    tmp_path: Path, head: Head, names: tuple[str, ...], why: str
) -> None:
    outputs, sentence = outputs_of(tmp_path, headed(head, *names), ["cat/a.png", "dog/b.png"])
    assert outputs is None and why in sentence


# -- matched ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "labels", "expected"),
    [
        (("cat", "dog", "fish"), ["fish", "cat"], [2, 0]),
        (("Cat", "DOG"), ["dog", "cat"], [1, 0]),
        (("great white shark", "tench"), ["great_white_shark", "tench"], [0, 1]),
        (("ice-cream", "T shirt"), ["T-shirt", "ice_cream"], [1, 0]),
        (("tench, Tinca tinca", "goldfish, Carassius auratus"), ["goldfish", "tench"], [1, 0]),
        (
            ("0", "1", "10", "11", "2"),
            ["10", "2", "0", "1", "11"],
            [2, 4, 0, 1, 3],
        ),  # names as ImageFolder sorts them
        (("tench", "church"), ["n03028079", "n01440764"], [1, 0]),  # the package's names of WordNet folders
        (("n03028079 church, church building", "n01440764 tench"), ["n03028079", "n01440764"], [0, 1]),
        (("n03028079", "n01440764"), ["n01440764-tench"], [1]),
    ],
)
def test_equal_names(
    tmp_path: Path, classes: tuple[str, ...], labels: list[str], expected: list[int]
) -> None:
    outputs, sentence = outputs_of(tmp_path, network(*classes), [f"{label}/1.png" for label in labels])
    assert outputs == expected and sentence.startswith("labels and outputs matched by")


@pytest.mark.parametrize("net", [network(*IMAGENET), unnamed(1000)], ids=["named", "unnamed"])
@pytest.mark.parametrize("ending", ["", "_some_name", "-some_name"])
def test_a_subset_of_imagenets_wordnet_folders(tmp_path: Path, net: Network, ending: str) -> None:
    chosen = [0, 134, 517, 638, 639, 999]  # both cranes, both maillots
    paths = [f"{imagenet_wnids()[number]}{ending}/1.png" for number in chosen]
    outputs, sentence = outputs_of(tmp_path, net, paths)
    assert outputs == chosen
    assert "matched by WordNet number" in sentence
    assert ("taken as ImageNet's classes" in sentence) == (net.classes[0] == "class 0")


@pytest.mark.parametrize("named", [True, False])
def test_folders_that_are_numbers(tmp_path: Path, named: bool) -> None:
    net = network(*"ant bee cow dog eel fox gnu hen ibis jay koi lynx".split()) if named else unnamed(12)  # noqa: SIM905
    outputs, sentence = outputs_of(tmp_path, net, [f"{number}/1.png" for number in range(12)])
    assert outputs == list(range(12)) and "numbers" in sentence


@pytest.mark.parametrize(
    ("names", "folders", "expected"),
    [
        (("00", "01", "02"), ["0", "1", "2"], [0, 1, 2]),
        (("3", "1", "2"), ["01", "02", "03"], [1, 2, 0]),
        (("01", "02", "03"), ["3", "1"], [2, 0]),
    ],
)
def test_outputs_called_by_numbers_are_found_by_them(
    tmp_path: Path, names: tuple[str, ...], folders: list[str], expected: list[int]
) -> None:
    paths = [f"{folder}/1.png" for folder in folders]
    assert outputs_of(tmp_path, network(*names), paths)[0] == expected


def test_numbers_of_imagenet_v2_with_some_missing(tmp_path: Path) -> None:
    chosen = [0, 1, 10, 100, 999]
    assert outputs_of(tmp_path, network(*IMAGENET), [f"{n}/1.png" for n in chosen])[0] == chosen


def test_numbers_that_the_label_file_gives(tmp_path: Path) -> None:
    paths = ["a.png", "b.png"]
    table = "path,label,label_id\na.png,crane,134\nb.png,crane,517\n"
    assert outputs_of(tmp_path, network(*IMAGENET), paths, table)[0] == [134, 517]
    table = "path,label,label_id\na.png,x,2\nb.png,y,0\n"
    assert outputs_of(tmp_path, unnamed(3), paths, table)[0] == [2, 0]


def test_names_hold_where_the_label_files_numbers_are_its_own(tmp_path: Path) -> None:
    table = "path,label,label_id\na.png,cat,0\nb.png,dog,1\n"
    assert outputs_of(tmp_path, network("dog", "fish", "cat"), ["a.png", "b.png"], table)[0] == [2, 0]


def test_an_ambiguous_name_is_left_out_and_said(tmp_path: Path) -> None:
    net = network("tench", "crane", "goldfish", "crane")
    outputs, sentence = outputs_of(tmp_path, net, ["crane/1.png", "goldfish/1.png"])
    assert outputs == [-1, 2] and "without crane, which names several classes" in sentence


def test_imagenets_two_cranes_are_never_guessed(tmp_path: Path) -> None:
    """Of its outputs only one is called crane, the other crane bird; a folder called crane may hold either."""
    outputs, sentence = outputs_of(tmp_path, network(*IMAGENET), ["crane/1.png", "goldfish/1.png"])
    assert outputs == [-1, 1] and "without crane" in sentence


def test_pictures_without_a_label_do_not_count(tmp_path: Path) -> None:
    assert outputs_of(tmp_path, network("dog", "cat"), ["cat/1.png", "dog/1.png", "x.png"])[0] == [1, 0, -1]


def test_splits_are_no_classes(tmp_path: Path) -> None:
    paths = ["train/cat/1.png", "train/dog/1.png", "val/cat/1.png"]
    assert outputs_of(tmp_path, network("cat", "dog"), paths)[0] == [0, 1, 0]


def test_a_limit_does_not_change_what_labels_mean(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "1.png").write_bytes(b"x")
    found = find_pictures(tmp_path, limit=3)
    assert accuracy_basis(unnamed(12), found).numbers == [file.label_id for file in found.files]


# -- not matched -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "paths", "table", "why"),
    [
        (network("cat", "dog", random=True), ["cat/1.png", "dog/1.png"], "", "random"),
        (network(), ["cat/1.png"], "", "end before the classifier"),
        (network("cat", "dog"), ["1.png", "2.png"], "", "no labels"),
        (network("cat", "dog"), ["train/1.png", "val/1.png"], "", "no labels"),
        # as many labels as outputs, other names: never by sorted position
        (network("ant", "bee", "cow"), ["x/1.png", "y/1.png", "z/1.png"], "", "'x'.*'ant'"),
        (unnamed(3), ["cat/1.png", "dog/1.png", "fish/1.png"], "", "no names.*--classes"),
        (unnamed(3), ["n01440764/1.png", "n01443537/1.png", "n01484850/1.png"], "", "no names"),
        (
            network("cat", "dog"),
            ["cat/1.png", "dog/1.png", "fish/1.png"],
            "",
            "1 of the 3 labels is no.*'fish'",
        ),
        # numbers from 1, beyond the outputs, or too few to be theirs
        (unnamed(12), [f"{n}/1.png" for n in range(1, 13)], "", "go up to 12.*0 … 11"),
        (unnamed(12), [f"{n}/1.png" for n in range(1, 12)], "", "not known"),
        (network(*IMAGENET), ["0/1.png", "1/1.png"], "", "not known"),
        # outputs that are called by other numbers than their places
        (
            network("1", "2", "3"),
            ["0/1.png", "1/1.png", "2/1.png"],
            "",
            "names are numbers too, and no output.*0",
        ),
        (unnamed(2), ["1/1.png"], "", "the one number 1, and it is not known"),
        # what nobody named, called as the labels are
        (unnamed(3), ["class_1/1.png", "class_2/1.png"], "", "no names"),
        # counted from 1, and no name says otherwise
        (unnamed(3), ["a.png", "b.png"], "path,label,label_id\na.png,x,1\nb.png,y,2\n", "1 … 2.*not known"),
        # numbers of a label file that are its own
        (
            network(*IMAGENET),
            ["a.png", "b.png"],
            "path,label,label_id\na.png,x,0\nb.png,y,1\n",
            "'x'.*'tench'",
        ),
        (unnamed(3), ["a.png"], "path,label,label_id\na.png,x,3\n", "number 3.*0 … 2"),
        (
            network("a", "b", "c"),
            ["a.png", "b.png"],
            "path,label,label_id\na.png,a,0\nb.png,c,1\nb.png,c,1\n",
            None,  # the names are known, and are what counts
        ),
        (
            network("a", "b", "c"),
            ["a.png", "b.png", "c.png"],
            "path,label,label_id\na.png,a,0\nb.png,c,1\nc.png,z,2\n",
            "number 1 is 'c'.*'b'",
        ),
        # WordNet numbers that are none of the outputs'
        (network(*IMAGENET), ["n01440764/1.png", "n99999999/1.png"], "", "1 of the labels' 2.*n99999999"),
        # names that are one only when their hyphens go
        (network("a-b", "a b", "c"), ["a_b/1.png", "c/1.png"], "", "several outputs"),
        (network("crane", "crane"), ["crane/1.png"], "", "several outputs"),
    ],
)
def test_otherwise_one_sentence_says_why(
    tmp_path: Path, net: Network, paths: list[str], table: str, why: str | None
) -> None:
    import re

    outputs, sentence = outputs_of(tmp_path, net, paths, table)
    if why is None:
        assert outputs == [0, 2]
    else:
        assert outputs is None and re.search(why, sentence), sentence


def test_a_thousand_outputs_of_other_names_are_not_imagenets(tmp_path: Path) -> None:
    net = network(*(f"thing {number}" for number in range(1000)))
    outputs, _ = outputs_of(tmp_path, net, ["n01440764/1.png", "n01443537/1.png"])
    assert outputs is None


def test_other_orders_of_imagenets_names_are_matched_by_name(tmp_path: Path) -> None:
    paths = [f"{wnid}/1.png" for wnid in (imagenet_wnids()[0], imagenet_wnids()[1])]
    outputs, sentence = outputs_of(tmp_path, network(*reversed(IMAGENET)), paths)
    assert outputs == [999, 998] and "equal names" in sentence


def test_the_basis_survives_the_manifest(tmp_path: Path) -> None:
    from generator.core.records import LabelReading, PictureSetInfo, Skipped, manifest_from_json, to_json
    from generator.core.store import Store

    manifest = Store(
        Path(__file__).parent / "small_atlas"
    ).manifest()  # of an older version: without the fields
    assert manifest.pictures.labels == LabelReading() and manifest.accuracy_basis == ""
    reading = LabelReading("the names of 2 class folders", 7, 2, ("a note",))
    pictures = PictureSetInfo("p", "", 9, (Skipped("a.heic", "why"),), reading)
    assert manifest.pictures.trained_on is None and manifest.accuracy_interval is None
    full = replace(
        manifest,
        pictures=replace(pictures, trained_on=False),
        accuracy_basis="no accuracy: why",
        accuracy_interval=(0.25, 0.75),
        accuracy_pictures=9,
    )
    import json

    assert manifest_from_json(json.loads(json.dumps(to_json(full)))) == full


# -- the interval --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "trials"), [(0, 12), (12, 12), (1, 1), (7, 9), (761, 1000), (49_990, 50_000)]
)
def test_the_interval_is_the_one_that_inverts_the_score_test(hits: int, trials: int) -> None:
    low, high = wilson_interval(hits, trials)
    interval = binomtest(hits, trials).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert low <= hits / trials <= high
    for end in {low, high} - {0.0, 1.0}:
        z = abs(hits / trials - end) / math.sqrt(end * (1 - end) / trials)
        assert z == pytest.approx(1.959964, abs=1e-4)


@pytest.mark.parametrize("accuracy", [0.5, 0.76, 0.96])
def test_nominal_95_percent_cover_92_to_98(accuracy: float) -> None:
    """Exactly: over all outcomes of 400 independent pictures, each with its probability."""
    trials = 400
    covers = 0.0
    for hits in range(trials + 1):
        low, high = wilson_interval(hits, trials)
        if low <= accuracy <= high:
            covers += float(binom.pmf(hits, trials, accuracy))
    assert 0.92 < covers < 0.98


@pytest.mark.slow
@pytest.mark.parametrize("head", [None, "none"])
def test_an_atlas_of_one_output_states_what_a_threshold_of_a_half_gives(
    tmp_path: Path, head: HeadKind | None
) -> None:
    """Against the module run by torch; of the first layer alone, from which the scan need not go on by itself."""
    rng = np.random.default_rng(0)
    for number in range(12):
        path = tmp_path / "pictures" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    torch.manual_seed(1)
    module = models.find("resnet20-cifar").build(1).eval()
    files = sorted((tmp_path / "pictures").rglob("*.png"), key=lambda path: str(path.relative_to(tmp_path)))
    torch.save(module.state_dict(), tmp_path / "first.pt")
    network = models.load("resnet20-cifar", tmp_path / "first.pt")
    pixels = np.stack([read_picture(path, network.preprocessing).pixels for path in files])
    with torch.no_grad():
        pictures = network.to("cpu", torch.float32).prepare(torch.from_numpy(pixels))
        module.fc.bias -= module(pictures).median()  # half of the pictures on either side
        scores = module(pictures)[:, 0]
    torch.save(module.state_dict(), tmp_path / "one.pt")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    section = {"model": "resnet20-cifar", "weights": str(tmp_path / "one.pt"), "head": head}
    section["classes"] = str(tmp_path / "classes.txt")
    chosen = profile.validated(
        {
            "name": "one",
            "network": section,
            "pictures": {"folder": str(tmp_path / "pictures")},
            "layers": {"which": ["conv1"], "channels": 1},
            "compute": {"device": "cpu", "workers": 0},
        },
        "test",
    )
    manifest = compute(chosen, tmp_path / "atlas", Reporter(quiet=True)).manifest()
    assert manifest.head == Head(head or "sigmoid", 1, head is None)
    assert manifest.classes == ("cat", "dog")
    if head == "none":
        assert manifest.accuracy is None and "plain scores" in manifest.accuracy_basis
    else:
        dogs = torch.tensor([path.parent.name == "dog" for path in files])
        assert manifest.accuracy == pytest.approx(float(((scores.sigmoid() > 0.5) == dogs).float().mean()))
        assert 0 < manifest.accuracy < 1
        test = binomtest(round(manifest.accuracy * len(files)), manifest.accuracy_pictures)
        interval = test.proportion_ci(method="wilson")
        assert manifest.accuracy_pictures == len(files)
        assert manifest.accuracy_interval == pytest.approx((interval.low, interval.high))

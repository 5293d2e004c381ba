"""What is said before a job begins: true for every kind of input, and a dry run writes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from interrupting import Interrupting, file_bytes
from small_job import rough_picture

from generator.core.progress import Reporter
from generator.network import models
from generator.stages import announcement, profile, time_estimate
from generator.stages import trials as trials_module
from generator.stages.opening import drawn_pictures
from generator.stages.pipeline import compute
from generator.stages.time_estimate import Estimate, Part, estimate

LAYERS = ("conv1", "res2a", "res3a", "res4c")
CLASSES = ("cat", "dog", "owl", "pig", "ram", "elk", "hen", "ape", "bee", "eel")
LINES = (
    "network",
    "weights",
    "outputs",
    "input",
    "device",
    "pictures",
    "labels",
    "accuracy",
    "atlas",
    "makes",
    "takes",
)
PROFILE = """
name = "small"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a", "res3a", "res4c"]
channels = 4
[pictures]
folder = "{folder}"
[compute]
workers = 0
"""


def write_picture(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rough_picture(np.random.default_rng(number), (40, 36)).save(path, format="PNG")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Fourteen pictures in the folders cat and dog."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(14):
        write_picture(folder / CLASSES[number % 2] / f"{number}.png", number)
    return folder


@pytest.fixture(scope="module")
def small(pictures, tmp_path_factory) -> profile.Profile:
    path = tmp_path_factory.mktemp("profile") / "small.toml"
    path.write_text(PROFILE.format(folder=pictures))
    return profile.load(str(path))


@pytest.fixture(scope="module")
def atlas(small, tmp_path_factory) -> Path:
    return compute(small, tmp_path_factory.mktemp("atlas") / "small", Reporter(quiet=True)).folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """A whole network's, of the user's own."""
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    module = models.load_module("resnet20-cifar", "random")
    safetensors.torch.save_file({k: v.contiguous() for k, v in module.state_dict().items()}, path)
    return path


REALLY_TIMED = (
    "test_a_dry_run_says_all_in_aligned_lines_and_writes_nothing",
    "test_a_dry_run_alters_no_byte_of_what_the_run_makes",
    "test_trials_run_in_as_many_threads_as_the_job",
)


@pytest.fixture(autouse=True)
def trials(request, monkeypatch) -> None:
    """But for three tests trials that say the same on every machine: only what is counted makes a difference."""
    if request.node.originalname in REALLY_TIMED:
        return
    for name, seconds in {
        "read": 0.001,
        "scanned": 0.01,
        "streamed": 0.03,
        "switched": 1e-9,
        "plain": 1e-10,
        "picture": 0.001,
        "start": 0.1,
    }.items():
        monkeypatch.setattr(time_estimate.Trials, name, seconds)
    monkeypatch.setattr(time_estimate.Trials, "unit", lambda self, layer: 1e-9 * self.cone(layer))
    monkeypatch.setattr(time_estimate.Trials, "sprite", lambda self, layer: 0.01)
    monkeypatch.setattr(time_estimate.Trials, "ascent_step", lambda self, *a: 1e-9)


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder below, with size and time of change."""
    return {
        str(path.relative_to(folder)): (status.st_size, status.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if (status := path.lstat())
    }


def announced(capsys, chosen: profile.Profile, folder: Path, **options: bool) -> dict[str, str]:
    """The lines of a dry run by their first word; nothing may have been written."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    before = everything(folder.parent)
    capsys.readouterr()
    compute(chosen, folder, Reporter(), dry_run=True, **options)
    assert everything(folder.parent) == before
    output = capsys.readouterr().err
    found: dict[str, str] = {"": output}
    for line in output.splitlines():
        name = line[: announcement.WIDTH]
        if re.fullmatch(r"[a-z ]+ +", name) and len(name) == announcement.WIDTH:
            assert name.strip() not in found, "said twice"
            found[name.strip()] = line[announcement.WIDTH :]
    return found


# -- kinds of input ----------------------------------------------------------------------------------------------------


def test_a_dry_run_says_all_in_aligned_lines_and_writes_nothing(small, capsys, tmp_path):
    said = announced(capsys, small, tmp_path / "build" / "small")
    assert [name for name in said if name in LINES] == list(LINES)
    assert not list((tmp_path / "build").iterdir())
    assert said["network"].startswith("resnet20-cifar (0.3 million parameters")
    assert "of which 4 shown" in said["network"] and "conv1 to res4c" in said["network"]
    assert (
        "random" in said["weights"] and said["accuracy"].startswith("none") and "random" in said["accuracy"]
    )
    assert said["input"].startswith("32 × 32 px")
    assert said["pictures"].startswith("14 ")
    assert said["labels"].startswith("from ") and "2 classes (cat, dog)" in said["labels"]
    assert said["device"] == f"CPU, {torch.get_num_threads()} thread" + "s" * (torch.get_num_threads() != 1)
    assert "16 sprites" in said["makes"] and "patches and guided gradients" in said["makes"]
    assert re.match(r"(about|less than) \d", said["takes"])
    assert "nothing written" in said[""].splitlines()[-1]


def test_the_network_s_numbers_are_those_of_its_module(small, capsys, tmp_path):
    module = models.load_module("resnet20-cifar", "random")
    convolutions = sum(isinstance(part, torch.nn.Conv2d) for part in module.modules())
    count = sum(parameter.numel() for parameter in module.parameters())
    said = announced(capsys, small, tmp_path / "small")
    assert f"{convolutions + 9} layers of which 4 shown" in said["network"], (
        "the sums of nine blocks are layers too"
    )
    assert f"{count / 1e6:.1f} million" in said["network"]


def test_weights_of_ones_own_are_named_by_their_file(small, weights, capsys, tmp_path):
    said = announced(capsys, small.changed(network={"weights": str(weights)}), tmp_path / "small")
    assert "mine.safetensors" in said["weights"] and "whole network" in said["weights"]


def test_a_file_that_ends_early_says_where(small, weights, capsys, tmp_path):
    state = safetensors.torch.load_file(weights)
    short = {
        name: tensor for name, tensor in state.items() if not name.startswith(("layer3", "fc", "linear"))
    }
    safetensors.torch.save_file(short, tmp_path / "short.safetensors")
    chosen = small.changed(
        network={"weights": str(tmp_path / "short.safetensors")}, layers={"which": ["conv1", "res3a"]}
    )
    said = announced(capsys, chosen, tmp_path / "build" / "small")
    assert "ends at res3c" in said["weights"] and "whole network" not in said["weights"]
    assert said["accuracy"].startswith("none")
    assert "map" not in said["makes"]


@pytest.mark.parametrize(
    ("names", "says"),
    [(CLASSES, "can be computed"), (tuple(f"kind {n}" for n in range(10)), "none")],
    ids=["fit", "do not fit"],
)
def test_accuracy_is_promised_where_labels_are_among_the_outputs(
    small, weights, capsys, tmp_path, names, says
):
    (tmp_path / "classes.txt").write_text("\n".join(names))
    chosen = small.changed(network={"weights": str(weights), "classes": str(tmp_path / "classes.txt")})
    said = announced(capsys, chosen, tmp_path / "build" / "small")
    assert said["accuracy"].startswith(says)
    assert len(said["accuracy"]) > len("none: ")
    if says.startswith("can be"):
        assert "--trained-on yes or no" in said["accuracy"]
        stated = chosen.changed(pictures={"trained_on": False})
        said = announced(capsys, stated, tmp_path / "build" / "small")
        assert said["accuracy"].endswith("; the network was not trained on these pictures")


@pytest.mark.slow
def test_the_promise_of_accuracy_is_kept(small, weights, tmp_path, capsys):
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    chosen = small.changed(network={"weights": str(weights), "classes": str(tmp_path / "classes.txt")})
    said = announced(capsys, chosen, tmp_path / "build" / "small")
    store = compute(chosen, tmp_path / "build" / "small", Reporter(quiet=True))
    assert (store.manifest().accuracy is not None) == said["accuracy"].startswith("can be")


def test_pictures_without_labels_are_said(small, weights, capsys, tmp_path):
    for number in range(3):
        write_picture(tmp_path / "flat" / f"{number}.png", number)
    chosen = small.changed(pictures={"folder": str(tmp_path / "flat")}, network={"weights": str(weights)})
    said = announced(capsys, chosen, tmp_path / "build" / "small")
    assert said["labels"].startswith("none") and said["accuracy"].startswith("none")
    assert "label" in said["accuracy"]


@pytest.mark.parametrize("head", [None, "sigmoid", "none"])
def test_how_the_outputs_are_read_is_said(small, weights, capsys, tmp_path, head):
    chosen = small.changed(network={"weights": str(weights), "head": head})
    said = announced(capsys, chosen, tmp_path / "small")
    assert said["outputs"].startswith("10 outputs, ") and (head or "softmax") in said["outputs"].replace(
        "plain", "none"
    )
    assert ("(assumed)" in said["outputs"]) == (head is None)
    if head is not None:
        assert said["accuracy"].startswith("none: the outputs are")


def test_a_limit_is_said(small, capsys, tmp_path):
    said = announced(capsys, small.changed(pictures={"limit": 5}), tmp_path / "small")
    assert said["pictures"].startswith("5 ") and "limit" in said["pictures"]


def test_what_a_profile_adds_is_among_what_is_made(small, capsys, tmp_path):
    path = tmp_path / "more.toml"
    text = PROFILE.format(folder=small.pictures.folder)
    path.write_text(
        text
        + '[ascent]\nlayers = ["res2a", "res3a"]\nsteps = 8\n[deepdream]\npictures = [0, 99]\nside = 64\n'
    )
    said = announced(capsys, profile.load(str(path)), tmp_path / "small")
    assert "8 optimised pictures in 2 layers" in said["makes"]
    assert re.search(r"\b[34] dreams", said["makes"]), (
        "of the picture that there is, in the last layer of each stage"
    )


def test_files_passed_over_are_counted_with_their_reasons(small, capsys, tmp_path):
    write_picture(tmp_path / "phone" / "one.png")
    for name in ("a.heic", "b.HEIC", "c.mp4"):
        (tmp_path / "phone" / name).write_bytes(b"....")
    os.symlink(tmp_path / "nowhere.png", tmp_path / "phone" / "gone.png")
    said = announced(
        capsys, small.changed(pictures={"folder": str(tmp_path / "phone")}), tmp_path / "b" / "small"
    )
    assert said["pictures"].startswith("1 in ") and "4 passed over" in said["pictures"]
    assert re.search(r"2: a HEI\w+", said["pictures"])


def test_where_mean_and_std_come_from_is_said(small, weights, capsys, tmp_path):
    own = small.changed(network={"weights": str(weights)})
    assert "assumed: ImageNet's mean and std" in announced(capsys, own, tmp_path / "small")["input"]
    given = own.changed(pictures={"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.1]})
    line = announced(capsys, given, tmp_path / "small")["input"]
    assert "mean 0.5 0.4 0.3, std 0.2 0.2 0.1" in line and line.endswith("(given)")
    squashed = own.changed(pictures={"resize": [48, 40], "crop": 32, "interpolation": "bicubic"})
    line = announced(capsys, squashed, tmp_path / "small")["input"]
    assert "squashed to 48 × 40 px (height × width), centre crop" in line and "bicubic" in line


def test_the_walk_through_a_folder_tells_how_far_it_is(pictures):
    from generator.pictures.reading import find_pictures

    seen: list[int] = []
    found = find_pictures(pictures, progress=seen.append)
    assert sum(seen) == len(found) + 2 and len(seen) == 3, "the files and the two folders, folder by folder"


# -- what is there already ---------------------------------------------------------------------------------------------


def test_a_complete_atlas_says_so_and_is_not_tried(small, atlas, capsys, monkeypatch):
    monkeypatch.setattr(announcement, "estimate", lambda *a, **k: pytest.fail("timed for nothing"))
    said = announced(capsys, small, atlas)
    assert "is complete" in said[""] and "takes" not in said


STOPPED = [
    ("scan", 1, "", "scan"),
    ("patches and gradients", 1, "scan", "patches and gradients"),
    ("gradient rules", 1, "sprites", "gradient rules"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "after", "done", "left"), STOPPED, ids=[stage for stage, *_ in STOPPED])
def test_a_run_that_was_stopped_says_what_is_done_and_times_the_rest(
    small, capsys, tmp_path, monkeypatch, stage, after, done, left
):
    folder = tmp_path / "build" / "small"
    with pytest.raises(KeyboardInterrupt):
        compute(small, folder, Interrupting(stage, after))
    estimates = []
    monkeypatch.setattr(
        announcement, "estimate", lambda *a, **k: estimates.append(estimate(*a, **k)) or estimates[-1]
    )
    said = announced(capsys, small, folder)
    assert done in said.get("done before", "") and ("done before" in said) == bool(done)
    names = [part.name for part in estimates[0].parts]
    assert left in names
    assert not set(said.get("done before", "").split(", ")) & set(names)


def test_a_damaged_sprite_is_all_that_is_left(small, atlas, capsys, tmp_path, monkeypatch):
    shutil.copytree(atlas, tmp_path / "small")
    (tmp_path / "small" / "sprites" / "res2a" / "1.webp").write_bytes(b"damaged")
    counts = []
    monkeypatch.setattr(
        announcement,
        "estimate",
        lambda inputs, run, done, *a, **k: counts.append((done.sprites_left(), len(done.units_left()))),
    )
    said = announced(capsys, small, tmp_path / "small")
    assert counts == [({"conv1": 0, "res2a": 1, "res3a": 0, "res4c": 0}, 9)]
    assert "scan" in said["done before"] and "sprites" not in said["done before"]


def test_other_settings_leave_what_still_holds(small, atlas, capsys, tmp_path):
    shutil.copytree(atlas, tmp_path / "small")
    said = announced(capsys, small.changed(layers={"channels": 6}), tmp_path / "small")
    assert "scan" in said["done before"] and "sprites" not in said["done before"]


@pytest.mark.slow
def test_a_dry_run_alters_no_byte_of_what_the_run_makes(small, atlas, capsys, tmp_path):
    announced(capsys, small, tmp_path / "small")
    compute(small, tmp_path / "small", Reporter())
    assert file_bytes(tmp_path / "small") == file_bytes(atlas)


# -- the console -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["\x1b[2Jcat", "cat\ndevice       hers", "\u202etac", b"c\xe4t", "[red]cat", "c" * 200]
)
def test_names_of_folders_cannot_disturb_the_lines(small, capsys, tmp_path, name):
    folder = os.fsencode(tmp_path / "pictures")
    os.makedirs(os.path.join(folder, os.fsencode(name)))
    write_picture(tmp_path / "one.png")
    for number in range(2):
        shutil.copy(tmp_path / "one.png", os.path.join(folder, os.fsencode(name), b"%d.png" % number))
    said = announced(
        capsys, small.changed(pictures={"folder": str(tmp_path / "pictures")}), tmp_path / "b" / "small"
    )
    assert [name for name in said if name in LINES] == list(LINES)
    assert all(line.isprintable() for line in said[""].splitlines())
    assert len(said["labels"]) < 110


def test_a_quiet_run_says_nothing_and_tries_nothing(small, atlas, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(announcement, "estimate", lambda *a, **k: pytest.fail("timed for nobody"))
    capsys.readouterr()
    compute(small, tmp_path / "small", Reporter(quiet=True), dry_run=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["compute", "site"])
def test_the_command_s_dry_run_ends_well_on_any_terminal_and_leaves_no_folder(
    small, pictures, tmp_path, command
):
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(PROFILE.format(folder=pictures).replace("small", name))
    chosen = ["one.toml"] if command == "compute" else ["one.toml", "two.toml"]
    before = everything(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "generator", command, *chosen, "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict", "LC_ALL": "C"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert everything(tmp_path) == before
    assert done.stderr.count("\ntakes ") == len(chosen) and "32 x 32 px" in done.stderr
    assert [
        Path(line.split()[-1]).name for line in done.stderr.splitlines() if line.startswith("atlas ")
    ] == [Path(name).stem for name in chosen]


# -- the drawn world ---------------------------------------------------------------------------------------------------


@pytest.fixture
def drawn(tmp_path) -> profile.Profile:
    path = tmp_path / "drawn.toml"
    path.write_text(PROFILE.replace('folder = "{folder}"', "drawn = 120"))
    return profile.load(str(path))


def test_drawn_pictures_are_not_drawn_for_a_dry_run(drawn, capsys, tmp_path):
    said = announced(capsys, drawn.changed(pictures={"limit": 6}), tmp_path / "build" / "small")
    assert said["pictures"].startswith("6 of 120") and "still to be drawn" in said["pictures"]
    assert "takes" in said


@pytest.mark.slow
def test_a_limit_draws_the_wanted_pictures_alone_with_the_same_bytes(drawn, tmp_path):
    from generator.pictures.drawn.world import picture_path, write_pictures
    from generator.pictures.reading import find_pictures

    whole, build = tmp_path / "whole", tmp_path / "build"
    write_pictures(whole, 120)
    expected = find_pictures(whole, limit=6)
    compute(drawn.changed(pictures={"limit": 6}), build / "small", Reporter(quiet=True))
    there = sorted((build / "drawn" / "world-120").rglob("*.png"))
    assert [path.relative_to(build / "drawn" / "world-120").as_posix() for path in there] == [
        file.path for file in expected.files
    ]
    for path in there:
        assert path.read_bytes() == (whole / path.relative_to(build / "drawn" / "world-120")).read_bytes()
    sought = drawn_pictures(120, 6, build / "small")
    assert sought.pictures.files == expected.files, "the same numbers of labels too"
    assert [picture_path(number).as_posix() for number in sought.drawn] == [
        file.path for file in expected.files
    ]
    assert not sought.missing
    assert drawn_pictures(120, None, build / "small").pictures.files == find_pictures(whole).files
    assert len(drawn_pictures(120, None, build / "small").missing) == 114


# -- the estimate ------------------------------------------------------------------------------------------------------


def parts_of(monkeypatch, capsys, chosen, folder) -> dict[str, Part]:
    found: list[Estimate] = []
    monkeypatch.setattr(
        announcement, "estimate", lambda *a, **k: found.append(estimate(*a, **k)) or found[-1]
    )
    announced(capsys, chosen, folder)
    return {part.name: part for part in found[0].parts}


def test_twice_the_work_takes_twice_the_time(small, monkeypatch, capsys, tmp_path):
    for number in range(256):
        write_picture(tmp_path / "many" / "cat" / f"{number}.png", number)
    many = small.changed(pictures={"folder": str(tmp_path / "many")})
    whole = parts_of(monkeypatch, capsys, many, tmp_path / "b" / "small")
    half = parts_of(monkeypatch, capsys, many.changed(pictures={"limit": 128}), tmp_path / "b" / "small")
    for name in ("scan", "residual stream"):
        assert whole[name].high == pytest.approx(2 * half[name].high, rel=0.2), name
    wide = parts_of(monkeypatch, capsys, many.changed(layers={"channels": 8}), tmp_path / "b" / "small")
    assert wide["scan"] == whole["scan"]
    start = 0.1 * time_estimate.MORE  # of a process: as long for more sprites
    assert wide["sprites"].high - start == pytest.approx(2 * (whole["sprites"].high - start))
    # A picture that serves more units has one forward for all of them.
    assert 1.5 < wide["patches and gradients"].high / whole["patches and gradients"].high < 2


def test_trials_run_in_as_many_threads_as_the_job(small, monkeypatch, capsys, tmp_path):
    """Not in one, which is what torch has within a trial; the estimate would be that of a single core."""
    asked: list[int] = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads: int, **options) -> None:
            if "initializer" in options:  # of the network's passes, not of the encoding
                asked.append(threads)
            super().__init__(threads, **options)

    monkeypatch.setattr(trials_module, "ThreadPoolExecutor", Pool)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        announced(capsys, small, tmp_path / "small")
    finally:
        torch.set_num_threads(before)
    assert asked
    assert set(asked) == {3}


def test_what_runs_in_the_background_takes_time_only_where_it_takes_longer():
    parts = Part("scan", 10, 20), Part("sprites", 5, 6), Part("map", 12, 40, in_background=True)
    assert (Estimate(parts).low, Estimate(parts).high) == (15, 40)
    assert (Estimate(parts[:2]).low, Estimate(parts[2:]).high) == (15, 40)


def test_what_a_profile_leaves_out_takes_no_time(small, monkeypatch, capsys, tmp_path):
    bare = small.changed(stream={"enabled": False}, embedding={"enabled": False})
    names = set(parts_of(monkeypatch, capsys, bare, tmp_path / "small"))
    assert {"scan", "patches and gradients", "sprites"} <= names
    assert not names & {"residual stream", "map", "drawing", "sizes", "optimised pictures", "dreams", "pages"}


def test_multiply_adds_of_a_cone_are_those_of_torch_on_its_crop():
    """A unit whose field fits into the picture: the windows' products against a hand count of the first two layers."""
    from generator.engine.gradients.cones import Cone

    network = models.load("resnet20-cifar", "random")
    shapes = dict(enumerate(network.graph.shapes((32, 32))))
    cone = Cone(network.graph, network.step("conv1"))
    assert cone.multiply_adds(shapes, 16, 16) == 3 * 3 * 3 * 16  # one position of one 3 × 3 convolution
    # res2a: one position of the second convolution, 3 × 3 of the first, 5 × 5 of the stem; at a corner 2 × 2 and 3 × 3.
    cone = Cone(network.graph, network.step("res2a"))
    assert cone.multiply_adds(shapes, 16, 16) == 9 * 16 * 16 + 9 * (9 * 16 * 16) + 25 * 9 * 3 * 16
    assert cone.multiply_adds(shapes, 0, 0) == 9 * 16 * 16 + 4 * (9 * 16 * 16) + 9 * 9 * 3 * 16


@pytest.mark.slow
def test_a_trial_that_fails_is_said_and_the_job_goes_on(small, atlas, capsys, tmp_path, monkeypatch):
    def full(self):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(time_estimate.Trials, "scanned", property(full))
    compute(small, tmp_path / "small", Reporter())
    assert re.search(r"^takes +not known", capsys.readouterr().err, re.M)
    assert file_bytes(tmp_path / "small") == file_bytes(atlas)


RANGES = [
    ([(0.1, 0.2), (3, 6)], "less than 10 seconds"),
    ([(20, 33)], "about 20 to 35 seconds (a 26)"),
    ([(70, 119)], "about 70 to 120 seconds (a 94)"),
    ([(46, 160)], "about 45 seconds to 3 minutes (a 0.8 to 3)"),
    ([(61, 119.9), (180, 300)], "about 4 to 7 minutes (b 4, a 1.5)"),
    ([(60, 120), (100, 300)], "about 2 to 7 minutes (b 3, a 1.5)"),
    ([(3600, 7100), (100, 200)], "about 60 to 130 minutes (a 89)"),
    ([(3000, 14000)], "about 50 minutes to 4 hours (a 0.8 to 4)"),
    ([(7200, 14400)], "about 2 to 4 hours (a 3)"),
    ([(36000, 90000)], "about 10 to 25 hours (a 18)"),
]


@pytest.mark.parametrize(("parts", "text"), RANGES, ids=[text for _, text in RANGES])
def test_times_are_ranges_in_one_fitting_unit(parts, text):
    named = [Part("abc"[n], low, high) for n, (low, high) in enumerate(parts)]
    assert announcement.takes_text(Estimate(tuple(named))) == text

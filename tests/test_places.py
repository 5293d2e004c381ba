"""Nothing published names a path of the machine where it was made; `atlas verify` finds the inputs all the same."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from small_job import write_rough_pictures

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.input_paths import input_paths, with_input_paths, without_paths
from generator.core.progress import Reporter
from generator.core.store import INPUT_PATHS, Store
from generator.network import models
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.pipeline import compute
from generator.stages.verify import verify

SECRET = "builders-own-disk"
QUIET = Reporter(quiet=True)


def test_a_published_profile_keeps_names_alone_and_gets_its_places_back(tmp_path: Path) -> None:
    for name in ("w.pt", "other.pt", "names.txt", "tree.csv", "labels.csv", "start.png"):
        (tmp_path / name).touch()
    (tmp_path / "pictures").mkdir()
    here = str(tmp_path)
    given = profile.validated(
        {
            "name": "x",
            "network": {"model": "resnet18", "weights": f"{here}/w.pt", "classes": f"{here}/names.txt"},
            "pictures": {
                "folder": f"{here}/pictures/",
                "labels": os.path.relpath(f"{here}/labels.csv"),
                "hierarchy": f"{here}/tree.csv",
                "visual_features": f"{here}/other",
            },
            "kernels": {"others": [{"model": "resnet18", "weights": f"{here}/other.pt"}, {"model": "demo"}]},
            "deepdream": {"pictures": [f"{here}/start.png", 3]},
        },
        "test",
    ).model_dump()
    public = without_paths(given)
    assert SECRET not in json.dumps(public) and here not in json.dumps(public)
    assert public["network"]["weights"] == "w.pt" and public["pictures"]["folder"] == "pictures"
    assert public["kernels"]["others"][0]["weights"] == "other.pt"
    assert public["deepdream"]["pictures"] == ["start.png", 3]
    assert without_paths(public) == public and given["network"]["weights"] == f"{here}/w.pt"
    back = with_input_paths(public, input_paths(given))
    assert back["network"]["weights"] == f"{here}/w.pt"
    assert back["pictures"]["folder"] == f"{here}/pictures"
    assert back["pictures"]["labels"] == f"{here}/labels.csv"
    assert back["deepdream"]["pictures"] == [f"{here}/start.png", 3]
    public["network"]["weights"] = "another.pt"  # a manifest of other inputs than the places tell of
    assert with_input_paths(public, input_paths(given))["network"]["weights"] == "another.pt"


@pytest.mark.parametrize(
    "weights", ["IMAGENET1K_V2", "ResNet50_Weights.IMAGENET1K_V2", "random", "built-in", None]
)
def test_names_of_weights_are_no_paths(weights: str | None) -> None:
    given = {"network": {"model": "resnet50", "weights": weights}, "pictures": {"folder": None}}
    assert without_paths(given) == given
    assert input_paths(given) == {}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that a profile can name."""
    folder = tmp_path_factory.mktemp("home") / SECRET
    write_rough_pictures(folder / "photos", 12, (40, 36))
    (folder / "photos" / "broken.png").write_bytes(b"\x89PNG and no more")
    shutil.copy(folder / "photos" / "00.png", folder / "start.png")
    torch.manual_seed(0)
    torch.save(models.find("resnet20-cifar").build(2).state_dict(), folder / "mine.pt")
    torch.save(models.find("resnet32-cifar").build(2).state_dict(), folder / "other.pt")
    (folder / "names.txt").write_text("ant\nbee\n")
    lines = [f"{index:02d}.png,{('ant', 'bee')[index % 2]}" for index in range(12)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *lines, "broken.png,ant"]))
    (folder / "tree.csv").write_text("child,parent\nant,insect\nbee,insect\ninsect,\n")
    text = f"""
name = "mine"
[network]
model = "resnet20-cifar"
weights = "{folder}/mine.pt"
classes = "{folder}/names.txt"
[pictures]
folder = "{folder}/photos"
labels = "{folder}/labels.csv"
hierarchy = "{folder}/tree.csv"
[layers]
which = ["conv1", "res2a", "res2b", "res4c"]
channels = 2
[deepdream]
pictures = ["{folder}/start.png", 0]
layers = ["res2a"]
steps = 1
octaves = 1
[[kernels.others]]
model = "resnet32-cifar"
weights = "{folder}/other.pt"
[compute]
device = "cpu"
workers = 0
"""
    (folder / "mine.toml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def atlas(inputs: Path) -> Store:
    return compute(profile.load(str(inputs / "mine.toml")), inputs / "build" / "mine", QUIET)


@pytest.fixture(scope="module")
def site(atlas: Store, inputs: Path) -> Path:
    render_site([atlas.folder], inputs / "site")
    return inputs / "site"


def _naming(folder: Path, *texts: str) -> list[str]:
    """The files that hold one of the texts, in whatever kind of file."""
    wanted = [text.encode() for text in texts]
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(text in path.read_bytes() for text in wanted)
    ]


@pytest.mark.slow
def test_no_file_of_a_site_names_a_place_of_its_builder(site: Path, inputs: Path) -> None:
    home, temporary = str(Path.home()), tempfile.gettempdir()
    assert _naming(site, SECRET, str(inputs), f"{home}/", f"{temporary}/") == []
    manifest = json.loads((site / "mine" / "data" / "manifest.json").read_text())
    assert manifest["profile"]["pictures"]["folder"] == manifest["pictures"]["source"] == "photos"
    assert manifest["profile"]["network"]["weights"] == "mine.pt"


@pytest.mark.slow
def test_in_the_atlas_only_the_hidden_file_names_places(atlas: Store) -> None:
    assert _naming(atlas.folder, SECRET) == [INPUT_PATHS]
    assert INPUT_PATHS not in (atlas.folder / "SHA256SUMS").read_text()


@pytest.mark.slow
def test_a_manifest_of_earlier_days_is_published_without_its_places(
    atlas: Store, inputs: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(atlas.folder, tmp_path / "old"))
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["profile"]["pictures"]["folder"] = str(inputs / "photos")
    (old / "manifest.json").write_text(json.dumps(manifest))
    assert SECRET.encode() not in Store(old).published_manifest()


@pytest.mark.slow
def test_verify_finds_the_inputs_from_any_folder_and_asks_for_them_where_they_are_gone(
    atlas: Store, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert verify(atlas.folder, units=9, reporter=QUIET).is_right
    away = Path(shutil.copytree(atlas.folder, tmp_path / "away"))
    (away / INPUT_PATHS).unlink()  # as on another machine
    with pytest.raises(AtlasError, match=r"weights are not here.*--weights"):
        verify(away, units=9, reporter=QUIET)
    here = ["--weights", str(inputs / "mine.pt")]
    done = CliRunner().invoke(main, ["verify", str(away), "--units", "9", *here])
    assert done.exit_code == 1 and "pictures are not here" in done.output and "--images" in done.output
    done = CliRunner().invoke(
        main, ["verify", str(away), "--units", "9", *here, "--images", str(inputs / "photos")]
    )
    assert done.exit_code == 0, done.output


@pytest.mark.slow
def test_pictures_that_moved_are_looked_for_where_they_were_computed_last(
    atlas: Store, inputs: Path, tmp_path: Path
) -> None:
    """Nothing is computed, but the new place is known."""
    copy = Path(shutil.copytree(atlas.folder, tmp_path / "copy"))
    moved = Path(shutil.copytree(inputs / "photos", tmp_path / "elsewhere" / "photos"))
    chosen = profile.load(str(inputs / "mine.toml")).changed(pictures={"folder": str(moved)})
    reporter = Reporter(quiet=True)
    compute(chosen, copy, reporter)
    assert "scan" not in {stage.name for stage in reporter.stages if stage.count}
    assert Store(copy).input_paths()["pictures.folder"] == str(moved)


def test_an_explanation_names_no_place(inputs: Path) -> None:
    out = inputs / "why.html"
    command = ["explain", str(inputs / "start.png"), "--model", "resnet20-cifar"]
    command += ["--weights", str(inputs / "mine.pt"), "--classes", str(inputs / "names.txt")]
    done = CliRunner().invoke(main, [*command, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert SECRET not in out.read_text() and str(inputs.parent) not in out.read_text()

"""A damaged file of an atlas is found by its fingerprint and made anew; the rest is left as it is."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from interrupting import Interrupting, file_bytes, stages_at_work

from generator.core import checksums
from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.stages import profile, table
from generator.stages.pipeline import compute

pytestmark = pytest.mark.slow  # whole atlases are computed


def _flip(path: Path) -> None:
    """One bit of the middle byte."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES: list[tuple[str, Callable[[Path], None], set[str]]] = [
    ("manifest.json", _flip, set()),
    ("manifest.json", _empty, set()),
    ("manifest.json", Path.unlink, set()),
    ("keys.json", _flip, set()),
    ("channels.csv", _flip, set()),
    ("kernels/conv1.webp", _flip, set()),
    ("images.csv", _flip, {"scan"}),
    ("scores/res3a.npy", _flip, {"scan"}),
    ("layers/res2b/top.npz", _empty, {"scan"}),
    ("layers/res2b/statistics.npz", _flip, {"scan"}),
    ("layers/res2b/connections.npz", _flip, set()),
    ("layers/res2b/classes.npz", Path.unlink, set()),
    ("layers/res2b/refinement.npz", _empty, set()),
    ("layers/res2b/stream.npz", _flip, {"stream readings", "residual stream"}),
    ("stream.json", _flip, {"stream readings", "residual stream"}),
    ("layers/res2b/zooms.npz", Path.unlink, {"zooms", "zooms' tables"}),
    ("zooms.json", _flip, {"zooms", "zooms' tables"}),
    ("predictions.npz", _flip, {"predictions"}),
    ("embedding/features.npy", _flip, {"features"}),
    ("embedding/map.npz", _flip, {"map of the pictures"}),
    ("embedding/thumbs.webp", Path.unlink, {"map of the pictures"}),
    ("sprites/res2b/{alive}.webp", _flip, {"patches and gradients", "sprites"}),
    ("sprites/res4c/{alive}.webp", Path.unlink, {"patches and gradients", "sprites"}),
    ("thumbs/res3a.webp", _flip, {"patches and gradients"}),
    ("pictures/{shown}.webp", _flip, {"pictures"}),
    ("rules.json", _flip, {"gradient rules"}),
    ("rules/res2b-guided.webp", Path.unlink, {"gradient rules"}),
    ("randomisation.json", _flip, {"randomised weights"}),
    ("first_layers/index.json", _flip, set()),
]


@pytest.fixture
def copy(atlas, tmp_path) -> Path:
    return Path(shutil.copytree(atlas.folder, tmp_path / "copy"))


def _path(store: Store, name: str) -> Path:
    sprites = name.split("/")[1] if name.startswith("sprites/") else "res2b"
    alive = next(path.stem for path in sorted((store.folder / "sprites" / sprites).iterdir()))
    shown = next(path.stem for path in sorted((store.folder / "pictures").iterdir()))
    return store.folder / name.format(alive=alive, shown=shown)


@pytest.mark.parametrize(
    ("name", "damage", "stages"), DAMAGES, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_damaged_file_is_found_and_only_its_stages_run(atlas, small, copy, name, damage, stages):
    path = _path(Store(copy), name)
    damage(path)
    untouched = {other: other.stat().st_ino for other in copy.glob("sprites/*/*.webp") if other != path}
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), copy, reporter)
    assert stages_at_work(reporter) - {"statistics", "stream's tables"} == stages
    assert any(str(path.relative_to(copy)) in note for note in reporter.notes)
    assert file_bytes(copy) == file_bytes(atlas.folder)
    assert untouched == {other: other.stat().st_ino for other in untouched}


def test_relations_damaged_or_of_another_hierarchy_are_made_anew_alone(atlas, small, copy, tmp_path):
    before = file_bytes(atlas.folder)
    _flip(copy / "relations.json")
    next((copy / "matches").iterdir()).unlink()
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert file_bytes(copy) == before
    tree = tmp_path / "tree.csv"
    tree.write_text("child,parent\nclass 0,near\nclass 1,near\nclass 2,far\n")
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)).changed(pictures={"hierarchy": str(tree)}), copy, reporter)
    worked = {stage.name for stage in reporter.stages if stage.count}
    # Which channels show the kinds of gradients follows from the agreement of their labels.
    changed = {"classes", "categories", "labels along the range", "refinement", "gradient rules"}
    assert worked <= {"fingerprints", "checksums", *changed}
    relations = Store(copy).tables.read_json("classes.json")
    assert relations["hierarchy"] == "tree.csv" and relations["groups"] == ["class 0", "class 1", "class 2"]
    assert (copy / "classes.csv").read_text().splitlines()[1] == "0,class 0,class 0"
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert file_bytes(copy) == before


def test_a_hierarchy_that_lacks_a_label_is_refused_before_anything_is_made(small, tmp_path):
    tree = tmp_path / "tree.csv"
    tree.write_text("child,parent\nclass 0,near\n")
    with pytest.raises(AtlasError, match=r"'class [12]'"):
        compute(profile.load(str(small)).changed(pictures={"hierarchy": str(tree)}), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_only_the_damaged_channels_units_are_pictured_again(small, copy):
    _flip(_path(Store(copy), "sprites/res2b/{alive}.webp"))
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), copy, reporter)
    units = next(stage.count for stage in reporter.stages if stage.name == "patches and gradients")
    assert 0 < units <= 9


@pytest.mark.slow
def test_many_damaged_files_and_a_stop_amid_the_mending_end_with_the_same_bytes(atlas, small, copy):
    for path in [*sorted(copy.glob("sprites/*/*.webp"))[::5], *sorted(copy.glob("pictures/*"))[::3]]:
        path.unlink()
    _flip(copy / "thumbs" / "conv1.webp")
    for stage in ("patches and gradients", "pictures", "sprites"):
        with pytest.raises(KeyboardInterrupt):
            compute(profile.load(str(small)), copy, Interrupting(stage, 2))
        assert not (copy / "manifest.json").exists()
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert file_bytes(copy) == file_bytes(atlas.folder)


def test_a_damaged_list_costs_what_it_does_not_name_and_nothing_foreign_is_touched(atlas, small, copy):
    (copy / "notes of mine.txt").write_text("keep me")
    lines = (copy / checksums.NAME).read_text().splitlines(keepends=True)
    (copy / checksums.NAME).write_text("".join(line for line in lines if "pictures/" not in line))
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert (copy / "notes of mine.txt").read_text() == "keep me"
    (copy / "notes of mine.txt").unlink()
    assert file_bytes(copy) == file_bytes(atlas.folder)


def test_every_file_of_an_atlas_stands_in_its_list(atlas):
    assert set(atlas.checksums()) == set(checksums.files_of(atlas.folder))


def test_an_atlas_from_before_the_checksums_gets_them_without_being_computed_again(atlas, small, copy):
    (copy / checksums.NAME).unlink()
    (copy / "keys.json").unlink()
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), copy, reporter)
    assert not {"scan", "patches and gradients", "sprites"} & {s.name for s in reporter.stages if s.count}
    assert file_bytes(copy) == file_bytes(atlas.folder)


def test_an_atlas_of_schema_1_is_computed_again_and_leaves_no_file(atlas, small, copy):
    store = Store(copy)
    for layer in store.manifest().layers:
        arrays = store.arrays.layer(layer.name)
        shutil.rmtree(copy / "layers" / layer.name)
        np.savez(copy / "layers" / f"{layer.name}.npz", **arrays)
    manifest = store.tables.read_json("manifest.json")
    made_from = dict.fromkeys(manifest["extra"]["keys"], "of schema 1")
    store.tables.write_json("keys.json", made_from)
    manifest["extra"]["keys"] = made_from
    store.tables.write_json("manifest.json", manifest | {"schema": 1})
    store.write_checksums(table.roots())
    with pytest.raises(
        AtlasError, match=r"schema 1, this version reads 2: .*manifest.json — compute the atlas again"
    ):
        store.manifest()
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert file_bytes(copy) == file_bytes(atlas.folder)


def test_a_mended_atlas_keeps_its_date(small, copy, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    (copy / "manifest.json").unlink()
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert Store(copy).manifest().date == "1970-01-01"
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    _flip(copy / "channels.csv")
    compute(profile.load(str(small)), copy, Reporter(quiet=True))
    assert Store(copy).manifest().date == "1970-01-01"


def test_sha256sum_reads_the_list(copy):
    if shutil.which("sha256sum") is None:
        pytest.skip("no sha256sum here")
    command = ["sha256sum", "--check", "--strict", "--quiet", checksums.NAME]
    assert subprocess.run(command, cwd=copy, check=False).returncode == 0
    _flip(copy / "channels.csv")
    done = subprocess.run(command, cwd=copy, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "channels.csv: FAILED" in done.stdout


def test_the_list_names_every_file_once(tmp_path):
    for name in ("b", "sub/a", ".hidden", "work/x", "sub/.half.tmp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    text = checksums.checksum_text(tmp_path, checksums.files_of(tmp_path), {"z": b"later"})
    assert [line.split("  ")[1] for line in text.splitlines()] == ["b", "sub/a", "z"]
    assert text.splitlines()[2].split("  ")[0] == hashlib.sha256(b"later").hexdigest()
    (tmp_path / checksums.NAME).write_text(text + "not a line\n")
    (tmp_path / "b").write_text("B")
    (tmp_path / "c").write_text("c")
    faults = checksums.find_faults(tmp_path)
    assert faults == checksums.Faults(changed=("b",), missing=("z",), unlisted=("c",))

"""`atlas verify`: what was changed is named, and an atlas that was not is bit for bit the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.sprites import webp
from generator.core.store import Store
from generator.stages import table
from generator.stages.verify import Sources, verify

pytestmark = pytest.mark.slow  # whole atlases are computed

QUIET = Reporter(quiet=True)


@pytest.fixture
def copy(atlas, tmp_path) -> Path:
    return Path(shutil.copytree(atlas.folder, tmp_path / "copy"))


def _bless(folder: Path) -> None:
    """Make the checksums right again, so that only computing the units anew can tell."""
    store = Store(folder)
    store.write_checksums(table.roots())


def _snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_untouched_atlas_is_the_same_bit_for_bit_and_is_left_alone(atlas):
    before = _snapshot(atlas.folder)
    report = verify(atlas.folder, units=60, reporter=QUIET)
    assert report.is_right and report.notes == []
    assert report.files == len(atlas.checksums())
    assert 60 <= report.exact == report.units
    assert _snapshot(atlas.folder) == before


def test_the_sample_depends_on_the_seed_alone(atlas):
    from generator.stages.verify import _sample

    samples = [_sample(atlas, atlas.manifest(), 30, seed) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("layers/res2a/top.npz", "bytes have changed"),
        ("thumbs/res2a.webp", "missing"),
        ("sprites/res2a/999.webp", "belong"),
    ],
)
def test_changed_missing_and_stray_files_are_named(copy, name, said):
    path = copy / name
    match said:
        case "missing":
            path.unlink()
        case "belong":
            path.write_bytes(b"stray")
        case _:
            path.write_bytes(path.read_bytes() + b" ")
    report = verify(copy, reporter=QUIET)
    assert not report.is_right
    assert [line for line in report.differences if name in line and said in line] == report.differences


def _other_score(store: Store) -> None:
    numbers = store.arrays.layer("res2b", "top")
    numbers["top_value"] = numbers["top_value"] * np.float32(1.01)
    store.arrays.write_layer("res2b", "top", numbers)


def _other_unit(store: Store) -> None:
    numbers = store.arrays.layer("res2b", "top")
    numbers["top_unit"] = numbers["top_unit"][:, :, ::-1] + 1
    store.arrays.write_layer("res2b", "top", numbers)


def _other_pictures(store: Store) -> None:
    numbers = store.arrays.layer("res2b", "top")
    numbers["top_image"] = np.where(numbers["top_image"] >= 0, (numbers["top_image"] + 1) % 80, -1)
    store.arrays.write_layer("res2b", "top", numbers)


def _other_gradients(store: Store) -> None:
    for path in (store.folder / "sprites" / "res2b").glob("*.webp"):
        pixels = np.asarray(Image.open(path).convert("RGB"))
        path.write_bytes(webp(np.ascontiguousarray(pixels[:, ::-1]), 75))


@pytest.mark.parametrize("change", [_other_score, _other_unit, _other_pictures, _other_gradients])
def test_what_no_checksum_can_tell_the_computing_does(copy, change):
    change(Store(copy))
    _bless(copy)
    report = verify(copy, units=2000, reporter=QUIET)
    assert report.differences and all("res2b:" in line for line in report.differences)


def test_rounding_within_the_tolerances_is_no_difference(copy):
    store = Store(copy)
    numbers = store.arrays.layer("res2b", "top")
    numbers["top_value"] = numbers["top_value"] * np.float32(1 + 1e-5)
    store.arrays.write_layer("res2b", "top", numbers)
    _bless(copy)
    report = verify(copy, units=2000, reporter=QUIET)
    assert report.is_right and report.exact < report.units


def test_other_pictures_and_other_weights_are_named(copy, pictures, tmp_path):
    mine = Path(shutil.copytree(pictures, tmp_path / "mine"))
    assert verify(copy, Sources(images=mine), units=9, reporter=QUIET).is_right
    Image.fromarray(np.zeros((36, 40, 3), np.uint8)).save(mine / "class 0" / "00.png")
    (said,) = verify(copy, Sources(images=mine), units=9, reporter=QUIET).differences
    assert "not those that the manifest names" in said
    (mine / "class 0" / "00.png").unlink()
    (said,) = verify(copy, Sources(images=mine), units=9, reporter=QUIET).differences
    assert "class 0/00.png: missing" in said
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["profile"]["network"]["seed"] = 1
    (copy / "manifest.json").write_text(json.dumps(manifest))
    _bless(copy)
    (said,) = verify(copy, units=9, reporter=QUIET).differences
    assert "weights are not those" in said


def test_pictures_that_are_gone_are_one_sentence(copy, tmp_path):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["profile"]["pictures"]["folder"] = str(tmp_path / "gone")
    (copy / "manifest.json").write_text(json.dumps(manifest))
    _bless(copy)
    with pytest.raises(AtlasError, match="--images"):
        verify(copy, reporter=QUIET)


def test_an_atlas_without_checksums_is_computed_again_all_the_same(copy):
    (copy / "SHA256SUMS").unlink()
    report = verify(copy, units=9, reporter=QUIET)
    assert report.is_right and report.exact >= 9
    assert "no SHA256SUMS" in report.notes[0]


def test_the_command_says_all_and_exits_with_a_code(copy):
    done = CliRunner().invoke(main, ["verify", str(copy), "--units", "9"])
    assert done.exit_code == 0 and "bit for bit the same" in done.output
    (copy / "channels.csv").write_text("")
    done = CliRunner().invoke(main, ["verify", str(copy), "--units", "0"])
    assert done.exit_code == 1
    assert "channels.csv: its bytes have changed" in done.output and "1 differences" in done.output

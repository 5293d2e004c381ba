"""The stage that makes optimised pictures, on a small network with random weights."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from interrupting import Interrupting, file_bytes
from PIL import Image
from small_job import write_rough_pictures

from generator.core.progress import Reporter
from generator.core.records import ReceptiveField
from generator.core.store import Store
from generator.methods.optimised import kept_picture, strongest_in_the_middle
from generator.network.windows import Window
from generator.site.formats import significant
from generator.site.links import check_links
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.optimised_pictures import FROM_PATCH, plan_of, within
from generator.stages.pipeline import compute
from generator.stages.profile import AscentSection

pytestmark = pytest.mark.slow  # whole atlases are computed

PROFILE = """
name = "small"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a", "res3a"]
[pictures]
folder = "{folder}"
[compute]
batch = 8
workers = 0
[ascent]
steps = 6
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_rough_pictures(folder, 12, (40, 36))
    path = tmp_path_factory.mktemp("profile") / "small.toml"
    path.write_text(PROFILE.format(folder=folder))
    return path


@pytest.fixture(scope="module")
def atlas(small, tmp_path_factory) -> Store:
    return compute(profile.load(str(small)), tmp_path_factory.mktemp("atlas"), Reporter(quiet=True))


def _run(small: Path, folder: Path, old: str = "", new: str = "") -> tuple[Store, dict[str, int]]:
    other = folder.parent / "other.toml"
    other.write_text(small.read_text().replace(old, new) if old else small.read_text())
    reporter = Reporter(quiet=True)
    store = compute(profile.load(str(other)), folder, reporter)
    return store, {stage.name: stage.count for stage in reporter.stages}


def test_every_channel_of_a_block_has_a_picture_and_a_value(atlas):
    for name in ("res2a", "res3a"):
        numbers = atlas.arrays.layer(name)
        channels = len(numbers["top_value"])
        assert np.isfinite(numbers["ascent_value"]).all() and set(numbers["ascent_start"]) <= {0, 1}
        for channel in range(channels):
            with Image.open(atlas.pictures.optimised_path(name, channel)) as picture:
                assert picture.width == picture.height >= 100
        with Image.open(atlas.pictures.optimised_sheet_path(name)) as sheet:
            assert sheet.width * sheet.height >= channels * 48**2
    assert not atlas.pictures.optimised_path("conv1", 0).exists()
    assert np.isnan(atlas.arrays.layer("conv1")["ascent_value"]).all()


def test_the_values_stand_in_the_table(atlas):
    with (atlas.folder / "channels.csv").open() as file:
        rows = list(csv.DictReader(file))
    values = {(row["layer"], int(row["channel"])): row["ascent_value"] for row in rows}
    assert values["conv1", 0] == ""
    assert float(values["res3a", 5]) == pytest.approx(float(atlas.arrays.layer("res3a")["ascent_value"][5]))


def test_what_stayed_below_its_best_patch_began_at_it_and_rose(atlas):
    begun = rose = 0
    for name in ("res2a", "res3a"):
        numbers = atlas.arrays.layer(name)
        patch = numbers["ascent_start"] == FROM_PATCH
        begun += int(patch.sum())
        rose += int((numbers["ascent_value"] > numbers["top_value"][:, 0])[patch].sum())
    assert begun and rose >= 0.5 * begun
    report = atlas.manifest().extra["ascent"]
    assert report["pictures"] == 48 and report["from_patch"] == rose
    assert report["stronger"] <= report["living"] <= report["pictures"]


def test_without_the_right_to_publish_no_picture_begins_at_a_patch(small, tmp_path):
    store, _ = _run(small, tmp_path / "atlas", "[ascent]", "[site]\npublish_patches = false\n[ascent]")
    assert set(store.arrays.layer("res3a")["ascent_start"]) == {0}


def test_stopped_in_both_starts_it_ends_with_the_same_bytes(atlas, small, tmp_path):
    for stage, after in (("optimised pictures", 1), ("optimised pictures", 17), ("from their patches", 1)):
        with pytest.raises(KeyboardInterrupt):
            compute(profile.load(str(small)), tmp_path / "atlas", Interrupting(stage, after))
    compute(profile.load(str(small)), tmp_path / "atlas", Reporter(quiet=True))
    assert file_bytes(tmp_path / "atlas") == file_bytes(atlas.folder)


def test_other_settings_make_new_pictures_and_nothing_else(atlas, small, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "atlas")
    store, stages = _run(small, tmp_path / "atlas", "steps = 6", "steps = 2")
    assert stages["optimised pictures"] == 48 and not stages.get("scan") and not stages.get("sprites")
    assert not np.array_equal(
        store.arrays.layer("res2a")["ascent_value"], atlas.arrays.layer("res2a")["ascent_value"]
    )
    again, _ = _run(small, tmp_path / "atlas")
    assert file_bytes(again.folder) == file_bytes(atlas.folder)


def test_switched_off_they_go(atlas, small, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "atlas")
    store, stages = _run(small, tmp_path / "atlas", "[ascent]\nsteps = 6\n", " ")
    assert "optimised pictures" not in stages and not (store.folder / "optimised").exists()
    assert "ascent_value" not in store.arrays.layer("res2a") and "ascent" not in store.manifest().extra


def test_a_damaged_picture_is_made_anew_with_its_layer_alone(atlas, small, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "atlas")
    Store(tmp_path / "atlas").pictures.optimised_path("res2a", 3).write_bytes(b"no picture")
    store, stages = _run(small, tmp_path / "atlas")
    assert stages["optimised pictures"] == 16 and not stages.get("scan")
    assert file_bytes(store.folder) == file_bytes(atlas.folder)


def test_without_its_lists_of_pictures_a_layer_is_scanned_again_and_nothing_optimised(atlas, small, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "atlas")
    Store(tmp_path / "atlas").arrays.layer_path("res2a", "top").unlink()
    store, stages = _run(small, tmp_path / "atlas")
    assert stages["scan"] and "optimised pictures" not in stages
    assert file_bytes(store.folder) == file_bytes(atlas.folder)


def test_without_its_values_a_layer_is_optimised_again_alone(atlas, small, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "atlas")
    Store(tmp_path / "atlas").arrays.layer_path("res2a", "optimised").unlink()
    store, stages = _run(small, tmp_path / "atlas")
    assert stages["optimised pictures"] == 16 and not stages.get("scan")
    assert file_bytes(store.folder) == file_bytes(atlas.folder)


def test_the_site_shows_them_beside_the_patches(atlas, tmp_path):
    render_site([atlas.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    folder = tmp_path / "site" / "small" / "res3a"
    page = (folder / "5.html").read_text()
    value = atlas.arrays.layer("res3a")["ascent_value"][5]
    assert '<img src="optimised/5.webp"' in page and f"activation <b>{significant(float(value))}</b>" in page
    assert (folder / "optimised" / "5.webp").read_bytes() == atlas.pictures.optimised_path(
        "res3a", 5
    ).read_bytes()
    assert 'name="optimised"' in (folder / "index.html").read_text()
    plain = tmp_path / "site" / "small" / "conv1"
    assert "optimised/" not in (plain / "0.html").read_text() and not (plain / "optimised").exists()
    assert 'name="optimised"' not in (plain / "index.html").read_text()


def test_layers_are_named_and_those_that_the_atlas_leaves_out_are_passed_over(small, tmp_path):
    store, stages = _run(small, tmp_path / "atlas", "steps = 6", 'steps = 2\nlayers = ["layer1.0", "res4c"]')
    assert stages["optimised pictures"] == 16
    assert {path.stem for path in (store.folder / "optimised").iterdir()} == {"res2a"}


# -- the parts -----------------------------------------------------------------------------------------------


def test_the_strongest_unit_comes_to_the_middle():
    pixels = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint16)
    field = ReceptiveField(side=7, stride=4, centre=1.5)
    top, left, bottom, right = field.box(2, 5)
    middle = field.box(4, 4)
    cut = strongest_in_the_middle(pixels, field, 2, 5, (4, 4), (Window.fixed(middle[0], middle[2]),) * 2)
    np.testing.assert_array_equal(cut, pixels[top:bottom, left:right])
    corner = strongest_in_the_middle(pixels, field, 0, 0, (4, 4), (Window.fixed(middle[0], middle[2]),) * 2)
    np.testing.assert_array_equal(corner[0, 0], pixels[0, 0])


@pytest.mark.parametrize(("side", "kept"), [(11, 143), (35, 140), (91, 91), (224, 144)])
def test_kept_pictures_are_about_as_large_as_wanted(side, kept):
    shape = kept_picture(np.zeros((side, side, 3), np.uint8), 144).shape
    assert 0.6 * 144 <= shape[0] <= 1.25 * 144 and shape[0] == shape[1]


def test_jitter_grows_with_the_field():
    section = AscentSection()
    moved = [{t.kind: t.values for t in plan_of(section, side).transforms} for side in (11, 35, 224)]
    assert "jitter" not in moved[0] and moved[1]["jitter"] == (2.0,) and moved[2]["jitter"] == (14.0,)
    still = plan_of(AscentSection(jitter=0, scales=[1.0], angles=[0.0]), 224)
    assert still.transforms == ()


def test_work_bounds_the_steps_and_makes_them_longer():
    plan = plan_of(AscentSection(steps=100, lr=0.1), 96)
    found = [within(plan, work, 10**7) for work in (None, 10, 0.25, 0.01)]
    assert [one.steps for one in found] == [100, 100, 25, 8]
    assert found[2].lr == pytest.approx(0.2)

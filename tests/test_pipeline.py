"""The main job end to end, on a small network and few pictures."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupting import Interrupting, file_bytes
from PIL import Image
from small_job import COUNT, PICTURED, command

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.core.store import Store
from generator.network import models
from generator.pictures.decoding import read_picture
from generator.stages import background, checkpointed_pass, profile
from generator.stages.pipeline import compute


def test_the_folder_holds_what_the_format_says_and_nothing_else(atlas):
    manifest = atlas.manifest()
    assert [layer.name for layer in manifest.layers] == [
        "conv1",
        "res2a",
        "res2b",
        "res3a_branch2b",
        "res3a",
        "res4c",
    ]
    top = {path.name for path in atlas.folder.iterdir()} - {".lock", ".inputs.json"}
    assert top == {
        "manifest.json", "keys.json", "SHA256SUMS", "images.csv", "channels.csv", "scan.json", "layers", "scores",
        "sprites", "thumbs", "pictures", "kernels", "architecture.json", "relations.json",
        "classes.csv", "halves.csv", "classes.json", "categories.json", "categories.npz", "refinement.json",
        "label_range.json", "machine_score.json", "connections.json", "feeds.json",
        "matches", "stream.json", "effects.json", "contributions", "zooms.json", "rules", "rules.json",
        "randomisation.json", "first_layers", "embedding", "predictions.npz", "live",
    }  # fmt: skip
    assert manifest.weights.random
    for layer in manifest.layers:
        numbers = atlas.arrays.layer(layer.name)
        assert numbers["top_value"].dtype == np.float32 and numbers["top_value"].shape == (layer.channels, 9)
        assert numbers["top_image"].dtype == np.int32 and numbers["top_unit"].shape == (layer.channels, 9, 2)
        alive = numbers["top_image"][:, 0] >= 0
        assert np.array_equal(~alive, numbers["dead"])
        for channel in range(layer.channels):
            pictured = alive[channel] and channel < PICTURED
            assert atlas.pictures.sprite_path(layer.name, channel).exists() == pictured


FURTHER = ("strip_image", "effect_image")  # lists besides the top-9


def test_the_whole_pictures_of_all_channels_lists_are_there_also_of_those_without_sprites(atlas):
    layers = [atlas.arrays.layer(layer.name) for layer in atlas.manifest().layers]
    lists = [numbers["top_image"] for numbers in layers]
    of_sprites = np.unique(np.concatenate([numbers[:PICTURED] for numbers in lists]))
    further = [numbers[name].ravel() for numbers in layers for name in FURTHER if name in numbers]
    of_all = set(np.unique(np.concatenate([*(numbers.ravel() for numbers in lists), *further])).tolist()) - {
        -1
    }
    assert atlas.pictures.pictures() == of_all > set(of_sprites.tolist()) - {-1}


def test_a_broken_picture_is_skipped_counted_and_listed_and_the_rest_is_numbered_without_gap(atlas):
    pictures = atlas.manifest().pictures
    assert pictures.count == COUNT and [skipped.path for skipped in pictures.skipped] == [
        "class 1/00 broken.png"
    ]
    images = atlas.tables.images()
    assert [image.index for image in images] == list(range(COUNT))
    assert {image.label for image in images} == {"class 0", "class 1", "class 2"}
    assert (images[0].width, images[0].height) == (40, 36)


def test_the_top_nine_are_those_of_a_plain_implementation(atlas, pictures):
    manifest = atlas.manifest()
    network = models.load("resnet20-cifar", "random")
    module = models.load_module("resnet20-cifar", "random").double()
    pixels = np.stack(
        [
            read_picture(pictures / image.path, manifest.preprocessing).pixels
            for image in atlas.tables.images()
        ]
    )
    double = network.to("cpu", torch.float64)
    maps = {}
    for name, path in (("res2b", "layer1.1"), ("res4c", "layer3.2")):
        # The block's own last call is what leaves it, so its output needs no clone here.
        module.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, name=name: maps.update({name: out.clone()})
        )
    with torch.inference_mode():
        module(double.prepare(torch.from_numpy(pixels)))
    for name, values in maps.items():
        scores = values.amax((2, 3)).numpy()  # (N, C)
        numbers = atlas.arrays.layer(name)
        for channel in range(scores.shape[1]):
            order = np.lexsort((np.arange(len(scores)), -scores[:, channel]))[:9]
            kept = order[scores[order, channel] > 0]
            ours = numbers["top_image"][channel][: len(kept)]
            np.testing.assert_allclose(
                numbers["top_value"][channel][: len(kept)], scores[kept, channel], rtol=1e-4
            )
            # Where two scores differ by rounding alone, float32 may order them otherwise.
            if len(kept) > 1 and np.min(-np.diff(scores[kept, channel])) > 1e-4 * scores[kept[0], channel]:
                assert np.array_equal(ours, kept)
            row, column = numbers["top_unit"][channel, 0]
            best = values[kept[0], channel]
            assert best[row, column].item() == pytest.approx(best.max().item(), rel=1e-5)


def test_the_kinds_of_gradients_stand_side_by_side_for_the_channel_that_is_clearest_in_each_stage(atlas):
    rows = atlas.tables.read_json("rules.json")["rows"]
    assert [row["layer"] for row in rows] == ["conv1", "res2b", "res3a", "res4c"]
    for row in rows:
        numbers = atlas.arrays.layer(row["layer"])
        merit = np.where((numbers["top_image"] >= 0).all(1), numbers["label_agreement"], -np.inf)[:PICTURED]
        assert merit[row["channel"]] == merit.max()
        assert row["kinds"] == ["deconvnet", "guided", "patches", "plain", "saliency"]
        folder, panels = atlas.folder / "rules", atlas.manifest().sprites[row["layer"]].panels
        with Image.open(atlas.pictures.sprite_path(row["layer"], row["channel"])) as whole:
            beside = np.array(whole.convert("RGB"), np.int16)
        for kind in panels:  # what the channel's own page shows
            first = panels.index(kind) * beside.shape[0]
            with Image.open(folder / f"{row['layer']}-{kind}.webp") as picture:
                found = np.array(picture.convert("RGB"), np.int16)
            alike = np.corrcoef(found.ravel(), beside[:, first : first + len(beside)].ravel())[0, 1]
            assert alike > 0.9  # both were compressed, each in its own frame
        with Image.open(folder / f"{row['layer']}-saliency.webp") as picture:
            colours = np.array(picture.convert("RGB"), np.int16)
        assert np.abs(colours - colours.mean(2, keepdims=True)).max() < 3  # grey


def test_a_second_run_finds_nothing_to_do(atlas, small, tmp_path):
    folder = Path(shutil.copytree(atlas.folder, tmp_path / "copy"))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.webp")}
    compute(profile.load(str(small)), folder, Reporter(quiet=True))
    assert file_bytes(folder) == file_bytes(atlas.folder)
    assert before == {path: path.stat().st_mtime_ns for path in before}


@pytest.mark.slow
def test_another_quality_makes_new_sprites_without_a_new_scan(atlas, small, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(atlas.folder, folder)
    text = small.read_text() + "\n[sprites]\nquality = 30\n"
    (tmp_path / "other.toml").write_text(text)
    reporter = Reporter(quiet=True)
    compute(profile.load(str(tmp_path / "other.toml")), folder, reporter)
    stages = [stage.name for stage in reporter.stages]
    assert "sprites" in stages and "scan" not in stages
    sprite = atlas.pictures.sprite_path("res2a", int(np.flatnonzero(~atlas.arrays.layer("res2a")["dead"])[0]))
    assert (folder / sprite.relative_to(atlas.folder)).stat().st_size < sprite.stat().st_size


@pytest.mark.slow
def test_a_changed_picture_changes_the_scan(atlas, small, pictures, tmp_path):
    mine = tmp_path / "pictures"
    shutil.copytree(pictures, mine)
    folder = tmp_path / "copy"
    shutil.copytree(atlas.folder, folder)
    Image.fromarray(np.full((36, 40, 3), 255, np.uint8)).save(mine / "class 0" / "00.png")
    (tmp_path / "other.toml").write_text(small.read_text().replace(str(pictures), str(mine)))
    reporter = Reporter(quiet=True)
    compute(profile.load(str(tmp_path / "other.toml")), folder, reporter)
    assert "scan" in [stage.name for stage in reporter.stages]
    assert Store(folder).manifest().pictures.sha256 != atlas.manifest().pictures.sha256


@pytest.mark.slow
def test_without_the_right_to_publish_no_patch_is_computed(small, tmp_path):
    (tmp_path / "other.toml").write_text(small.read_text() + "publish_patches = false\n")
    store = compute(profile.load(str(tmp_path / "other.toml")), tmp_path / "atlas", Reporter(quiet=True))
    assert not (store.folder / "pictures").exists() and not (store.folder / "live" / "pictures").exists()
    assert {sprite.panels for sprite in store.manifest().sprites.values()} == {("guided",)}


@pytest.mark.slow
def test_every_gradient_of_the_profile_gets_its_panel(small, tmp_path):
    text = 'gradients = ["guided", "plain", "deconvnet"]\n' + small.read_text()
    (tmp_path / "other.toml").write_text(text)
    store = compute(profile.load(str(tmp_path / "other.toml")), tmp_path / "atlas", Reporter(quiet=True))
    sprite = store.manifest().sprites["res2a"]
    assert sprite.panels == ("patches", "guided", "plain", "deconvnet")
    channel = int(np.flatnonzero(~store.arrays.layer("res2a")["dead"])[0])
    with Image.open(store.pictures.sprite_path("res2a", channel)) as picture:
        assert picture.size == (12 * sprite.tile, 3 * sprite.tile)


def test_a_folder_without_one_usable_picture_is_one_sentence(small, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no")
    chosen = profile.load(str(small)).changed(pictures={"folder": str(tmp_path / "pictures")})
    with pytest.raises(AtlasError, match="not one picture could be used"):
        compute(chosen, tmp_path / "atlas", Reporter(quiet=True))
    assert not (tmp_path / "atlas" / "manifest.json").exists()


@pytest.mark.slow
def test_stopped_in_every_stage_again_and_again_it_ends_with_the_same_bytes(
    atlas, small, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpointed_pass, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(
        background, "AT_ONCE", 1
    )  # else stages beside the one that is stopped would be finished
    stops = [
        ("scan", 9),
        ("scan", 9),
        ("statistics", 2),
        ("map of the pictures", 90),
        ("connections", 3),
        ("classes", 2),
        ("correspondence", 2),
        ("refinement", 2),
        ("categories", 2),
    ]
    stops += [("patches and gradients", 50), ("sprites", 3), ("sprites", 20)]
    stops += [("residual stream", 9), ("residual stream", 9), ("stream's tables", 2), ("gradient rules", 2)]
    for stage, after in stops:
        with pytest.raises(KeyboardInterrupt):
            compute(profile.load(str(small)), tmp_path, Interrupting(stage, after))
        assert not (tmp_path / "manifest.json").exists()
    reporter = Reporter(quiet=True)
    compute(profile.load(str(small)), tmp_path, reporter)
    assert "scan" not in [stage.name for stage in reporter.stages if stage.count]
    assert file_bytes(tmp_path) == file_bytes(atlas.folder)


@pytest.mark.alone
@pytest.mark.slow
def test_killed_at_any_moment_it_ends_byte_for_byte_the_same(atlas, small, tmp_path):
    """A moment after a file of the stage is there, however fast the machine is."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    chance = random.Random(0)
    folder = tmp_path / "atlas"
    for sign in ("work", "sprites"):
        process = subprocess.Popen(
            command(small, folder), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not any((folder / sign).glob("*")):
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.wait()
        assert any((folder / sign).glob("*")), sign
    assert not (folder / "manifest.json").exists()
    subprocess.run(command(small, folder), check=True, capture_output=True, env=environment)
    assert file_bytes(folder) == file_bytes(atlas.folder)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.long)])
def test_torchrun_ends_with_the_numbers_of_one_process(atlas, small, tmp_path, processes):
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
    ]
    line = [*torchrun, "-m", "generator", "compute", str(small), "--out", str(tmp_path / "atlas")]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert file_bytes(tmp_path / "atlas") == file_bytes(atlas.folder)


@pytest.mark.slow
def test_the_command_line_says_one_sentence_and_exits_with_a_code(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    command = [
        sys.executable,
        "-m",
        "generator",
        "compute",
        "demo",
        "--images",
        str(tmp_path / "absent"),
        "--out",
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "absent" in done.stderr
    assert not (tmp_path / "x").exists()

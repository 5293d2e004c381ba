"""Patches and gradients of the units in the strips of a channel's range, where the profile asks for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gradient_oracle import framed, layer_maps
from interrupting import Interrupting, file_bytes
from PIL import Image
from small_job import compute_on_rough_pictures

from generator.core.progress import Reporter
from generator.core.sprites import enlarge, enlargement, gradient_pixels, native_side, strips_sprite
from generator.core.store import Store
from generator.network import models
from generator.pictures.decoding import read_picture
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.opening import open_network
from generator.stages.pipeline import compute
from generator.stages.verify import verify

COUNT, CHANNELS = 60, 3  # pictures: enough for strips at the 75 and 50 % quantiles
PROFILE = f"""
name = "strips"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["res2a", "res2b_branch2a", "res4b"]
channels = {CHANNELS}
[pictures]
folder = "{{folder}}"
[compute]
workers = 0
[range]
gradients = true
[stream]
enabled = false
[effects]
enabled = false
[embedding]
enabled = false
"""


@pytest.fixture(scope="module")
def strips(made_once) -> Path:
    """The folder of a profile, its pictures and its atlas."""
    return made_once(
        "strips-atlas", lambda folder: compute_on_rough_pictures(folder, PROFILE, COUNT, (32, 32))
    )


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), float)


def test_a_sprite_of_strips_has_nine_columns_and_the_panels_of_each_strip_below_each_other():
    panels = np.zeros((2, 27, 4, 4, 3), np.uint8)
    panels[..., 0] = (np.arange(2)[:, None] * 100 + np.arange(27))[:, :, None, None]
    alive = np.arange(27) >= 0
    alive[9:18] = False
    picture = strips_sprite(panels, alive, 1)
    side = picture.shape[1] // 9
    assert picture.shape == (4 * side, 9 * side, 3)
    middles = picture[side // 2 :: side, side // 2 :: side, 0]
    assert middles.tolist() == [
        [*range(9)], [*range(100, 109)], [*range(18, 27)], [*range(118, 127)]
    ]  # fmt: skip


@pytest.mark.slow
def test_tiles_of_strips_are_the_fields_and_the_gradients_of_autograd(strips: Path) -> None:
    """Of a layer whose tiles show whole fields, so that no focus is involved."""
    store, own = Store(strips / "atlas"), profile.load(str(strips / "profile.toml"))
    network, module = open_network(own), models.load_module("resnet20-cifar", "random").double()
    preprocessing, size = store.manifest().preprocessing, (32, 32)
    watched = {"res2a": ("layer1.0", False)}
    layer, info = network.layer("res2a"), store.manifest().sprites["res2a"]
    numbers = store.arrays.layer("res2a")
    native = native_side(layer.receptive_field.side, size, own.sprites.tile)
    factor, margin, compared = enlargement(native, own.sprites.tile), (info.tile - info.side) // 2, 0
    for channel in range(CHANNELS):
        shown = _picture(store.pictures.range_path("res2a", channel))
        there = [n for n in range(6) if (numbers["strip_image"][channel, n] >= 0).any()]
        assert shown.shape == (2 * len(there) * info.tile, 9 * info.tile, 3)
        assert there[0] == 0 and len(there) > 2
        for place, strip in enumerate(there):
            for column in range(0, 9, 4):
                number = numbers["strip_image"][channel, strip, column]
                row, across = numbers["strip_unit"][channel, strip, column].tolist()
                pixels = read_picture(strips / "pictures" / f"{number:02d}.png", preprocessing).pixels
                x = network.to("cpu", torch.float64).prepare(torch.from_numpy(pixels)[None])
                x = x.detach().requires_grad_()
                maps, _ = layer_maps(module, x, "guided", watched)
                (gradient,) = torch.autograd.grad(maps["res2a"][0, channel, row, across], x)
                whole = framed(gradient[0], layer.receptive_field, row, across)
                expected = enlarge(gradient_pixels(whole.permute(1, 2, 0).numpy()), factor)
                top, left = (2 * place + 1) * info.tile + margin, column * info.tile + margin
                tile = shown[top : top + info.side, left : left + info.side]
                assert np.abs(tile - expected).mean() < 12, (channel, strip, column)  # WebP is lossy
                compared += 1
    assert compared > 20


@pytest.mark.slow
def test_only_layers_with_strips_have_such_files_and_the_strongest_strip_is_the_sprite(strips: Path) -> None:
    store = Store(strips / "atlas")
    for layer in store.manifest().layers:
        alive = store.arrays.layer(layer.name)["top_image"][:CHANNELS, 0] >= 0
        made = set() if layer.is_inner else set(np.flatnonzero(alive).tolist())
        assert store.pictures.ranges(layer.name) == made
        tile = store.manifest().sprites[layer.name].tile
        for channel in made:
            strip, sprite = (
                _picture(path(layer.name, channel))
                for path in (store.pictures.range_path, store.pictures.sprite_path)
            )
            for panel in range(2):
                for slot in range(9):
                    one = strip[panel * tile : (panel + 1) * tile, slot * tile : (slot + 1) * tile]
                    left = (3 * panel + slot % 3) * tile
                    other = sprite[slot // 3 * tile : (slot // 3 + 1) * tile, left : left + tile]
                    assert np.abs(one - other).mean() < 8
    assert any(layer.is_inner for layer in store.manifest().layers)


@pytest.mark.slow
def test_batches_and_parts_change_no_byte(strips: Path, tmp_path: Path, small_steps: None) -> None:
    own = profile.load(str(strips / "profile.toml")).changed(compute={"batch": 5})
    compute(own, tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(strips / "atlas")


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "after"), [("patches and gradients", 40), ("sprites", 4)])
def test_a_stopped_run_ends_with_the_same_bytes(strips: Path, tmp_path: Path, stage: str, after: int) -> None:
    own = profile.load(str(strips / "profile.toml"))
    with pytest.raises(KeyboardInterrupt):
        compute(own, tmp_path, Interrupting(stage, after))
    compute(own, tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(strips / "atlas")


@pytest.mark.slow
def test_a_lost_file_is_made_again_alone_and_a_profile_without_removes_all(
    strips: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(strips / "atlas", tmp_path / "copy"))
    own = profile.load(str(strips / "profile.toml"))
    (copy / "ranges/res4b/1.webp").unlink()
    kept = {path: path.stat().st_ino for path in copy.glob("*/res*/*.webp")}
    compute(own, copy, Reporter(quiet=True))
    assert file_bytes(copy) == file_bytes(strips / "atlas")
    assert kept == {path: path.stat().st_ino for path in kept}
    compute(own.changed(range={"gradients": False}), copy, Reporter(quiet=True))
    assert not list(copy.glob("ranges/*/*"))


@pytest.mark.slow
def test_such_an_atlas_is_verified(strips: Path) -> None:
    report = verify(strips / "atlas", units=9, reporter=Reporter(quiet=True))
    assert report.is_right and report.units >= 9


@pytest.mark.slow
def test_the_page_names_the_file_and_what_it_shows(strips: Path, tmp_path: Path) -> None:
    render_site([strips / "atlas"], tmp_path)
    page = (tmp_path / "strips/res4b/1.html").read_text("utf-8")
    assert 'data-sprite="1-range.webp" data-panels="2"' in page
    assert "Under each patch: guided backprop of its unit, in the same part of the picture." in " ".join(
        page.split()
    )
    published = (tmp_path / "strips/res4b/1-range.webp").read_bytes()
    assert published == (strips / "atlas/ranges/res4b/1.webp").read_bytes()
    inner = (tmp_path / "strips/res2b_branch2a/1.html").read_text("utf-8")
    assert "data-sprite" not in inner
    assert not (tmp_path / "strips/res2b_branch2a/1-range.webp").exists()

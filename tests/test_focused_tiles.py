"""Tiles of units with large fields are cut to their focus: from the gradients to the atlas, and on the pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupting import Interrupting, file_bytes
from make_small_atlas import make_atlas
from PIL import Image
from serving import served
from small_job import compute_on_rough_pictures

from generator.core.progress import Reporter
from generator.core.records import ReceptiveField
from generator.core.sprites import enlarge, enlargement, is_focused, native_side, sprite, webp
from generator.core.store import Store
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.methods import focus
from generator.methods.focus import focus_squares, frames
from generator.methods.gradients import gradient_tiles
from generator.methods.patches import patches
from generator.pictures.decoding import read_picture
from generator.site.chapters.revisited import gradient_reach
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel import channel_page
from generator.site.reading.tiles import Tile
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.opening import open_network
from generator.stages.pipeline import compute
from generator.stages.verify import _apart, _near

SIDE = 56  # px of the pictures: res3c sees 37 px of them, res4b 65
PROFILE = f"""
name = "deep"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["res2a", "res3c", "res4b"]
channels = 4
[pictures]
folder = "{{folder}}"
resize = {SIDE}
crop = {SIDE}
[compute]
workers = 0
[stream]
enabled = false
[embedding]
enabled = false
"""


@pytest.fixture(scope="module")
def deep(made_once) -> Iterator[Path]:
    """The folder of a profile, its pictures and its atlas."""
    # The gradients of random weights are small: their squares may be so too.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(focus, "FOCUS_LEAST", 6)
        yield made_once("deep-atlas", lambda folder: compute_on_rough_pictures(folder, PROFILE, 24, (60, 60)))


@pytest.mark.slow
def test_tiles_are_cut_out_of_the_whole_gradient_and_the_picture(deep: Path) -> None:
    store = Store(deep / "atlas")
    own_profile = profile.load(str(deep / "profile.toml"))
    preprocessing = store.manifest().preprocessing
    network = open_network(own_profile).to("cpu", torch.float32)
    assert not store.arrays.layer_path("res2a", "focus").exists()
    sides = []
    for name in ("res3c", "res4b"):
        layer, arrays = network.layer(name), store.arrays.layer(name)
        assert is_focused(layer.receptive_field.side, (SIDE, SIDE))
        squares_of, info = arrays["top_focus"], store.manifest().sprites[name]
        assert squares_of.dtype == np.int32 and squares_of.shape == (layer.channels, 9, 3)
        assert not squares_of[4:].any()
        for channel in range(4):
            images, (row, column) = arrays["top_image"][channel], arrays["top_unit"][channel].T
            files = [deep / "pictures" / f"{image:02d}.png" for image in images.tolist()]
            pixels = np.stack([read_picture(file, preprocessing).pixels for file in files])
            switches = forward_switches(network, network.prepare(torch.from_numpy(pixels)), name)
            order = torch.arange(9)
            places = torch.from_numpy(row).long(), torch.from_numpy(column).long()
            units = Units(order, torch.full_like(order, channel), *places)
            gradients = UnitGradients(network, "guided").gradients(switches, name, units)
            own = frames(layer.receptive_field, (SIDE, SIDE), row, column)
            squares = focus_squares(gradients, own.seen)
            assert np.array_equal(own.in_picture(squares), squares_of[channel])
            sides += squares[:, 2].tolist()
            wanted = own_profile.sprites.tile
            native = native_side(layer.receptive_field.side, (SIDE, SIDE), wanted)
            cut = patches(pixels, layer.receptive_field, order.numpy(), row, column, native, {}, squares)
            panels = (cut, gradient_tiles(gradients, native, squares))
            shown_sprite = np.asarray(
                Image.open(store.pictures.sprite_path(name, channel)).convert("RGB"), float
            )
            margin = (info.tile - info.side) // 2
            for panel, tiles in enumerate(panels):
                for slot, tile in enumerate(tiles):
                    large = enlarge(tile, enlargement(native, wanted))
                    top, left = slot // 3 * info.tile + margin, (panel * 3 + slot % 3) * info.tile + margin
                    shown = shown_sprite[top : top + info.side, left : left + info.side]
                    assert np.abs(shown - large).mean() < 12  # WebP is lossy
    assert min(sides) >= 6 and len(set(sides)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["layers/res3c/focus.npz", "thumbs/res4b.webp", "sprites/res4b/0.webp"])
def test_what_is_lost_is_made_again_with_the_same_bytes(deep: Path, tmp_path: Path, lost: str) -> None:
    copy = Path(shutil.copytree(deep / "atlas", tmp_path / "copy"))
    (copy / lost).unlink()
    kept = {path: path.stat().st_ino for path in copy.glob("sprites/*/*.webp")}
    compute(profile.load(str(deep / "profile.toml")), copy, Reporter(quiet=True))
    assert file_bytes(copy) == file_bytes(deep / "atlas")
    assert kept == {path: path.stat().st_ino for path in kept}


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "after"), [("patches and gradients", 20), ("sprites", 5)])
def test_a_stopped_run_ends_with_the_same_bytes(deep: Path, tmp_path: Path, stage: str, after: int) -> None:
    own = profile.load(str(deep / "profile.toml"))
    with pytest.raises(KeyboardInterrupt):
        compute(own, tmp_path, Interrupting(stage, after))
    compute(own, tmp_path, Reporter(quiet=True))
    assert file_bytes(tmp_path) == file_bytes(deep / "atlas")


# -- pages ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def focused(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn atlas one of whose layers has a focus for each of its units but the last of channel 1."""
    folder = tmp_path_factory.mktemp("focused") / "atlas"
    make_atlas(folder, stages=((2, 2, 6),), inner=(), stem=4, pictures=12, side=64, tile=24)
    store = Store(folder)
    manifest = store.manifest()
    fields = {"res2a": ReceptiveField(43, 4, 1.5), "res2b": ReceptiveField(131, 4, 1.5)}
    layers = tuple(
        type(layer)(**{**vars(layer), "receptive_field": fields.get(layer.name, layer.receptive_field)})
        for layer in manifest.layers
    )
    store.write_manifest(store.manifest_bytes(type(manifest)(**{**vars(manifest), "layers": layers})))
    squares = np.zeros((6, 9, 3), np.int32)
    squares[:] = [10, 20, 32]
    squares[:, 1] = [0, 3, 40]
    squares[1, 8] = 0
    for name in fields:
        store.arrays.write_layer(name, "focus", {"top_focus": squares})
    return folder


def test_a_tile_names_its_focus(focused: Path) -> None:
    atlas = Atlas(focused)
    top = channel_page(atlas, atlas.manifest.layer("res2b"), 1, "").top
    assert top.focus == (32, 40) and top.whole  # the last tile shows the whole picture
    assert [bool(tile.mark) for tile in top.tiles] == [False] * 8 + [True]
    first, second, last = top.tiles[0].focus, top.tiles[1].focus, top.tiles[8].focus
    assert first is not None and second is not None and last is None
    assert (first.square, second.square) == ((20, 10, 32), (3, 0, 40)) and first.is_published
    smaller = channel_page(atlas, atlas.manifest.layer("res2a"), 0, "").top
    assert not smaller.whole and smaller.tiles[0].focus is not None
    stem = channel_page(atlas, atlas.manifest.layer("conv1"), 0, "").top
    assert stem.focus is None and all(tile.focus is None for tile in stem.tiles)


def test_only_published_pictures_are_offered_with_their_focus(focused: Path, tmp_path: Path) -> None:
    shutil.copytree(focused, tmp_path / "atlas")
    shutil.rmtree(tmp_path / "atlas/pictures")
    for folder, offered in ((focused, True), (tmp_path / "atlas", False)):
        render_site([folder], tmp_path / "site")
        text = (tmp_path / "site/small/res2b/1.html").read_text("utf-8")
        assert "the smallest square (32 to 40 px) that holds nine tenths" in " ".join(text.split())
        assert ('<a id="1" href="../pictures/' in text) == offered


def test_how_far_a_gradient_reaches_is_measured_in_its_focus(focused: Path) -> None:
    """In px of the picture: a tile of a third of the side reaches a third as far."""
    atlas = Atlas(focused)
    reach = gradient_reach(atlas, "res2a", 2)
    atlas.layer("res2a").arrays["top_focus"] = np.tile([10, 20, 120], (6, 9, 1))
    del atlas.layer("res2a").__dict__["_focus"]
    of_all = gradient_reach(atlas, "res2a", 2)
    atlas.layer("res2a").arrays["top_focus"] = np.tile([10, 20, 40], (6, 9, 1))
    del atlas.layer("res2a").__dict__["_focus"]
    assert gradient_reach(atlas, "res2a", 2) == pytest.approx(of_all / 3) != pytest.approx(reach)


@pytest.fixture(scope="module")
def address(focused: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    site = tmp_path_factory.mktemp("site")
    render_site([focused], site)
    with served(site) as host:
        yield f"{host}/small"


def _first_tile(folder: Path, layer: str, channel: int) -> Tile:
    atlas = Atlas(folder)
    return channel_page(atlas, atlas.manifest.layer(layer), channel, "").top.tiles[0]


@pytest.mark.browser
def test_the_whole_pictures_with_the_focus_are_one_click_away(
    browser: Any, address: str, focused: Path
) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/res2b/1.html")
    patches_panel, whole = page.locator(".panels .patches"), page.locator("#whole")
    expect(patches_panel).to_be_visible()
    expect(whole).to_be_hidden()
    link = page.get_by_role("link", name="Show the whole pictures")
    link.focus()
    page.keyboard.press("Enter")
    expect(whole).to_be_visible()
    expect(patches_panel).to_be_hidden()
    expect(page.locator(".panels .p1")).to_be_visible()
    assert page.url.endswith("#whole")
    expect(whole.locator("img")).to_have_count(8)
    assert whole.locator("svg").nth(0).get_attribute("viewBox") == "0 0 64 64"
    unit = _first_tile(focused, "res2b", 1)
    paths = [path.get_attribute("d") for path in whole.locator("path").all()]
    assert paths[:2] == ["M20 10h32v32h-32z", f"M{4 * unit.column} {4 * unit.row}h4v4h-4z"]  # focus and place
    assert paths[2] == "M3 0h40v40h-40z" and len(paths) == 16
    assert whole.bounding_box()["width"] == whole.locator(".nine").bounding_box()["width"]
    page.get_by_role("link", name="Back to the focus").click()
    expect(whole).to_be_hidden()
    expect(patches_panel).to_be_visible()
    page.goto("about:blank")
    page.goto(f"{address}/res2b/1.html#whole")
    expect(whole).to_be_visible()
    page.goto(f"{address}/res2a/0.html#whole")
    unit = _first_tile(focused, "res2a", 0)
    above, left, _, _ = ReceptiveField(43, 4, 1.5).box(unit.row, unit.column)
    assert whole.locator("path").nth(1).get_attribute("d") == f"M{left} {above}h43v43h-43z"
    page.close()


@pytest.mark.browser
def test_without_scripts_a_tile_leads_to_its_whole_picture(browser: Any, address: str) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/res2b/1.html")
    expect(page.get_by_role("link", name="Show the whole pictures")).to_have_count(0)
    links = page.locator(".panels .nine > a")
    assert links.nth(8).get_attribute("href") == "#9"  # it shows the whole picture itself
    links.first.click()
    assert re.search(r"/pictures/\d+\.webp$", page.url)
    context.close()


@pytest.mark.browser
def test_rows_and_the_dialog_draw_the_focus_and_no_place_on_a_cut_tile(browser: Any, address: str) -> None:
    expect = pytest.importorskip("playwright.sync_api").expect
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}/res2b/1.html")
    row = page.locator(".strip .row[data-row=res2b]")
    row.scroll_into_view_if_needed()
    expect(row.locator(".line.p0 .mark")).to_have_count(1)  # on the tile that is not cut
    page.locator(".panels .nine > a").first.click()
    dialog = page.locator("dialog")
    expect(dialog.get_by_text("whole picture; the focus of 32 px; dashed: the unit's place")).to_be_visible()
    assert dialog.locator(".mark path").nth(0).get_attribute("d") == "M20 10h32v32h-32z"
    expect(dialog.locator(".mark path.o")).to_have_count(1)
    page.close()


# -- verification ---------------------------------------------------------------------------------------------------


def test_a_tile_that_rounding_cut_to_a_neighbouring_square_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    tiles = np.repeat(rng.integers(0, 256, (2, 9, 1, 1, 3), dtype=np.uint8), 28, 2).repeat(28, 3)
    other = tiles.copy()
    other[:, 3] = 128
    old, new = (webp(sprite(each, 1), 80) for each in (tiles, other))
    squares = np.full((1, 9, 3), 40, np.int32)
    moved = squares.copy()
    moved[0, 3] = [38, 41, 41]
    near, none = _near([squares, moved], 0), _near([squares, squares], 0)
    assert near.tolist() == [False] * 3 + [True] + [False] * 5 and not none.any()
    assert _apart(old, new, 32, near) < 4 < 20 < _apart(old, new, 32, none)
    moved[0, 3, 2] = 43  # no rounding makes such a step
    assert not _near([squares, moved], 0).any() and not _near([None, squares], 0).any()

"""Sprites in AVIF: as good as those in WebP, on the pages under their own names, and refused where Pillow has none."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generator.core import sprites
from generator.core.errors import AtlasError
from generator.network import models
from generator.pictures.reading import PictureSet
from generator.site.links import check_links
from generator.site.reading.atlas import Atlas
from generator.site.render import render_site
from generator.stages import inputs as stage_inputs
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.opening import check_encoder
from generator.stages.profile import Profile

SMALL = Path(__file__).parent / "small_atlas"
pytestmark = pytest.mark.skipif(not sprites.writes_avif(), reason="this Pillow writes no AVIF")


def _decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float64)


def test_a_sprite_is_avif_where_a_quality_of_it_is_given() -> None:
    pixels = np.full((24, 48, 3), sprites.GROUND, np.uint8)
    assert Image.open(io.BytesIO(sprites.encoded_sprite(pixels, 60, None))).format == "WEBP"
    assert Image.open(io.BytesIO(sprites.encoded_sprite(pixels, 60, 55))).format == "AVIF"


@pytest.mark.parametrize("native", [19, 92])
def test_a_bright_patch_does_not_run_into_the_grey_beside_it(native: int) -> None:
    panels = np.full((2, 9, native, native, 3), sprites.GROUND, np.uint8)
    panels[0] = (255, 0, 0)
    picture = _decoded(sprites.avif(sprites.sprite(panels, 1), sprites.AVIF_QUALITY))
    grey = picture[:, picture.shape[1] // 2 + sprites.MARGIN :]
    assert np.abs(grey - sprites.GROUND).max() <= 8


def test_the_same_pixels_give_the_same_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    first, second = (sprites.avif(pixels, 50) for _ in range(2))
    assert first == second


def test_pages_show_sprites_by_their_own_names(tmp_path: Path) -> None:
    atlas = tmp_path / "small"
    shutil.copytree(SMALL, atlas)
    for path in (atlas / "sprites").rglob("*.webp"):
        with Image.open(path) as picture:
            path.with_suffix(".avif").write_bytes(sprites.avif(np.asarray(picture.convert("RGB")), 55))
        path.unlink()
    manifest = json.loads((atlas / "manifest.json").read_text("utf-8"))
    for sprite in manifest["sprites"].values():
        sprite["format"] = "avif"
    (atlas / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert Atlas(atlas).sprite_format == "avif"

    render_site([atlas], tmp_path / "site")
    layer = tmp_path / "site/small/res3d"
    page = (layer / "1.html").read_text("utf-8")
    assert 'src="1.avif"' in page and 'src="../res3a/1.avif"' in page and 'data-sprites="avif"' in page
    assert (layer / "1.avif").is_file() and not (layer / "1.webp").exists()
    assert check_links(tmp_path / "site") == []


def test_a_profile_that_wants_avif_is_refused_where_pillow_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = Profile.model_validate(
        {"name": "a", "network": {"model": "demo"}, "pictures": {"drawn": 8}, "sprites": {"format": "avif"}}
    )
    check_encoder(profile)

    def unknown(*args: object) -> bytes:
        raise KeyError("AVIF")  # as Pillow does for a format that it does not know

    monkeypatch.setattr(sprites, "avif", unknown)
    with pytest.raises(AtlasError, match="writes no AVIF"):
        check_encoder(profile)
    check_encoder(
        Profile.model_validate({"name": "a", "network": {"model": "demo"}, "pictures": {"drawn": 8}})
    )


def _inputs(**sprites: object) -> Inputs:
    network = models.load("resnet20-cifar", "random")
    profile = Profile.model_validate(
        {
            "name": "a",
            "network": {"model": "resnet20-cifar"},
            "pictures": {"folder": "/x"},
            "sprites": sprites,
        }
    )
    return Inputs(profile, network, PictureSet("none", Path("/x"), (), ""), "", ("cpu",))


def test_many_sprites_are_avif_unless_the_profile_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    few = _inputs()
    assert few.sprite_format == "webp" and few.avif_quality is None

    monkeypatch.setattr(stage_inputs, "MANY_CHANNELS", few.pictured)
    assert _inputs().sprite_format == "webp"
    monkeypatch.setattr(stage_inputs, "MANY_CHANNELS", few.pictured - 1)
    many = _inputs()
    assert many.sprite_format == "avif" and many.avif_quality == sprites.AVIF_QUALITY
    assert many.sprite_info(many.network.layers[0]).format == "avif"
    assert keys.sprites(many) != keys.sprites(few)
    assert _inputs(format="webp").sprite_format == "webp"
    assert keys.sprites(_inputs(format="avif")) == keys.sprites(many)

    monkeypatch.setattr(stage_inputs, "writes_avif", lambda: False)
    assert _inputs().sprite_format == "webp"

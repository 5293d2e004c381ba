"""What is done to a picture before the network sees it: against torchvision's own pipeline, bit for bit; what can be
said about it, what is refused, and where the numbers are said to come from."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from bad_files import deep_png, tiff
from click.testing import CliRunner
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode

from generator.__main__ import _preprocessing, main, preprocessing_options
from generator.core.errors import AtlasError
from generator.core.records import (
    ASSUMED,
    GIVEN,
    IN_FILE,
    PUBLISHED,
    Preprocessing,
    manifest_from_json,
    to_json,
)
from generator.core.store import Store
from generator.network import models
from generator.network.network import Network
from generator.network.weights.metadata import read_preprocessing
from generator.pictures.decoding import PictureError, read_picture
from generator.pictures.reading import PictureSet
from generator.stages import keys as fingerprints
from generator.stages import profile
from generator.stages.inputs import Inputs
from generator.stages.preprocessing import preprocessing
from generator.stages.profile import PicturesSection

PLAIN = Preprocessing(0, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = Preprocessing(256, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
LIKE_IMAGEFOLDER = replace(PLAIN, transparency="drop", exif=False)
FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")


def chosen(own: Preprocessing = IMAGENET, **keys: Any) -> Preprocessing:
    """A network's preprocessing with the profile's keys."""
    loaded = profile.validated({"name": "a", "network": {"model": "demo"}, "pictures": keys}, "here")
    return preprocessing(own, loaded.pictures)


# -- the pixels of ImageFolder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures in which ImageFolder and a careful reader see different things."""
    root = tmp_path_factory.mktemp("odd")
    folder = root / "a"
    folder.mkdir()
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (45, 61, 3), dtype=np.uint8)
    alpha = np.where(rng.random((45, 61)) < 0.5, 0, rng.integers(0, 256, (45, 61))).astype(np.uint8)
    picture = Image.fromarray(colours)
    hidden = Image.fromarray(np.dstack([colours, alpha]))  # colours under full transparency
    hidden.save(folder / "rgba.png")
    hidden.save(folder / "rgba.webp", lossless=True, exact=True)
    hidden.save(folder / "rgba.tiff")
    Image.fromarray(np.dstack([colours[..., 0], alpha])).save(folder / "la.png")
    palette = picture.quantize(16)
    palette.save(folder / "palette.png")
    palette.save(folder / "palette-clear.png", transparency=3)
    palette.save(folder / "palette-alpha.png", transparency=bytes(range(0, 256, 16)))
    palette.save(folder / "palette.gif", transparency=5)
    picture.save(folder / "key.png", transparency=tuple(colours[20, 30].tolist()))
    picture.convert("L").save(folder / "grey-key.png", transparency=int(colours[0, 0, 0]))
    picture.convert("CMYK").save(folder / "cmyk.jpg")
    picture.convert("CMYK").save(folder / "cmyk.tiff")
    picture.convert("1").save(folder / "bits.png")
    picture.convert("L").save(folder / "grey.jpg")
    frames = [picture, picture.rotate(90)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for kind in ("jpg", "png", "webp", "tiff"):
            picture.save(folder / f"turned-{orientation}.{kind}", exif=exif)
    return root


@pytest.mark.parametrize(
    ("resize", "crop", "interpolation"),
    [
        (0, 40, "bilinear"),
        (32, 24, "bilinear"),
        ((30, 30), 30, "bilinear"),
        ((37, 52), 32, "bilinear"),
        (0, 80, "bilinear"),
        *((50, 32, name) for name in FILTERS),
        *(((28, 28), 28, name) for name in FILTERS),
    ],
)
def test_the_pixels_are_those_of_imagefolder(
    odd: Path, resize: int | tuple[int, int], crop: int, interpolation: str
) -> None:
    steps: list[Any] = [transforms.CenterCrop(crop)]
    if resize:
        steps.insert(0, transforms.Resize(resize, InterpolationMode(interpolation)))
    theirs = ImageFolder(str(odd), transforms.Compose([*steps, transforms.PILToTensor()]))
    ours = replace(LIKE_IMAGEFOLDER, resize=resize, crop=crop, interpolation=interpolation)
    assert len(theirs) == 46  # no GIF
    for (path, _), (expected, _) in zip(theirs.samples, theirs, strict=True):
        pixels = torch.from_numpy(read_picture(path, ours).pixels).permute(2, 0, 1)
        assert torch.equal(pixels, expected), path


def test_without_the_setting_hidden_colours_stay_hidden_and_pictures_are_turned(odd: Path) -> None:
    settings = replace(PLAIN, crop=40)
    for name in ("rgba.png", "rgba.webp", "rgba.tiff", "la.png", "palette-clear.png", "key.png"):
        with Image.open(odd / "a" / name) as file:
            clear = np.asarray(file.convert("RGBA"))[2:42, 10:50, 3] == 0  # the crop's rows and columns
        assert clear.any(), name
        for ground, value in (("white", 255), ("black", 0)):
            pixels = read_picture(odd / "a" / name, replace(settings, transparency=ground)).pixels
            assert (pixels[clear] == value).all(), name
        dropped = read_picture(odd / "a" / name, replace(settings, transparency="drop")).pixels
        assert (dropped[clear] != 255).any(), name
    upright = read_picture(odd / "a" / "turned-1.png", settings)
    for orientation in range(1, 9):
        turned = read_picture(odd / "a" / f"turned-{orientation}.png", settings)
        stored = read_picture(odd / "a" / f"turned-{orientation}.png", replace(settings, exif=False))
        assert (stored.pixels == upright.pixels).all()
        assert (turned.pixels == upright.pixels).all() == (orientation == 1)
        assert (turned.width, turned.height) == ((61, 45) if orientation < 5 else (45, 61))


# -- files of 16 bits ------------------------------------------------------------------------------------------


def ramp(bits: int) -> np.ndarray:
    """(8, 8) from black to the largest sample of so many bits."""
    return np.linspace(0, (1 << bits) - 1, 64).astype(np.int64).reshape(8, 8)


def decoded(tmp_path: Path, content: bytes, **settings: Any) -> np.ndarray:
    """The pixels (8, 8, 3) of a file, its name without meaning."""
    (tmp_path / "a.png").write_bytes(content)
    return read_picture(tmp_path / "a.png", replace(PLAIN, **settings)).pixels


def scaled(samples: np.ndarray, bits: int) -> np.ndarray:
    """Greyscale in 8 bits, (8, 8, 3)."""
    return np.repeat(np.floor(samples / ((1 << bits) - 1) * 255 + 0.5).astype(np.uint8)[..., None], 3, 2)


def pgm(samples: np.ndarray, white: int) -> bytes:
    return b"P5 # made by hand\n8 8 %d\n" % white + samples.astype(">u2").tobytes()


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_fewer_bits_in_a_file_of_16_are_refused_with_the_largest_sample(tmp_path: Path, bits: int) -> None:
    samples = ramp(bits)
    whole = f"{samples.max():,}.*samples of {bits} bits.*bits = {bits} or bits = 16"
    for content in (
        deep_png(samples),
        tiff(samples, 16),
        tiff(samples, 16, form=2),
        tiff(samples, 32),
        pgm(samples, 65535),
    ):
        with pytest.raises(PictureError, match=whole):
            decoded(tmp_path, content)
    # The brightest sample of one picture does not decide: a darker one of the same camera is read on the same scale.
    dark = samples // 3
    assert (decoded(tmp_path, deep_png(dark), bits=bits) == scaled(dark, bits)).all()
    assert (decoded(tmp_path, tiff(dark, 16), bits=16) == scaled(dark, 16)).all()
    with pytest.raises(PictureError, match=r"a sample of .* too large for samples of"):
        decoded(tmp_path, deep_png(samples + 1), bits=bits)


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_what_a_file_says_of_its_bits_is_used(tmp_path: Path, bits: int) -> None:
    samples, white = ramp(bits), (1 << bits) - 1
    expected = scaled(samples, bits)
    assert (decoded(tmp_path, deep_png(samples, (b"sBIT", bytes([bits])))) == expected).all()
    assert (decoded(tmp_path, tiff(samples, 16, t281=white)) == expected).all()
    assert (
        np.abs(decoded(tmp_path, pgm(samples, white)).astype(int) - expected).max() <= 1
    )  # Pillow rounds too
    # sBIT on samples that were scaled up, as the specification wants it: by a shift, or by repeating the bits.
    shifted = samples << 16 - bits
    for full in (shifted, shifted | shifted >> bits):
        dark = np.where(full < 4096, full, 0)
        for one in (full, dark):
            assert (decoded(tmp_path, deep_png(one, (b"sBIT", bytes([bits])))) == scaled(one, 16)).all()
    # A largest value that is no power of two is the picture's own, not the scale's.
    with pytest.raises(PictureError, match="the largest 16-bit sample"):
        decoded(tmp_path, tiff(samples // 2, 16, t281=int(samples.max() // 2 - 1) | 1 << 3))


def test_twelve_packed_bits_are_read_as_twelve(tmp_path: Path) -> None:
    assert (decoded(tmp_path, tiff(ramp(12) // 9, 12)) == scaled(ramp(12) // 9, 12)).all()


def test_whole_16_bits_need_no_word(tmp_path: Path) -> None:
    for samples in (ramp(16), ramp(16) // 3, ramp(16) * 0):
        for content in (deep_png(samples), tiff(samples, 16), tiff(samples, 32), pgm(samples, 65535)):
            assert (decoded(tmp_path, content) == scaled(samples, 16)).all()
    dark = ramp(11)
    assert (decoded(tmp_path, deep_png(dark, (b"sBIT", b"\x10"))) == scaled(dark, 16)).all()


def test_the_largest_signed_sample_is_white(tmp_path: Path) -> None:
    assert (decoded(tmp_path, tiff(ramp(15), 16, form=2)) == scaled(ramp(15), 15)).all()
    assert (decoded(tmp_path, tiff(ramp(7), 8, form=2)) == scaled(ramp(7), 7)).all()


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_negative_samples_are_refused_as_such(tmp_path: Path, bits: int) -> None:
    samples = ramp(7) - 100
    with pytest.raises(PictureError, match=r"negative samples .the lowest is -100."):
        decoded(tmp_path, tiff(samples, bits, form=2))
    with pytest.raises(PictureError, match="negative samples"):
        decoded(tmp_path, tiff(samples, bits, form=2), bits=12)


def test_other_samples_are_refused_with_their_own_reason(tmp_path: Path) -> None:
    for wide in (ramp(17), ramp(32)):
        with pytest.raises(PictureError, match="integer samples of more than 16 bits"):
            decoded(tmp_path, tiff(wide, 32))
    with pytest.raises(PictureError, match=r"floating-point samples outside 0 to 1 .-1024 to 3071"):
        decoded(tmp_path, tiff(np.where(ramp(1) > 0, 3071.0, -1024.0), 32, form=3))
    with pytest.raises(PictureError, match="not finite numbers"):
        decoded(tmp_path, tiff(np.full((8, 8), np.nan), 32, form=3))
    for unknown in (tiff(ramp(7) / 127, 64, form=3), tiff(np.stack([ramp(7)] * 3, 2), 16, 2, 2)):
        with pytest.raises(PictureError, match="a TIFF variant that cannot be read"):
            decoded(tmp_path, unknown)


def test_white_may_be_zero(tmp_path: Path) -> None:
    assert (decoded(tmp_path, tiff(ramp(16), 16, photometric=0)) == 255 - scaled(ramp(16), 16)).all()
    assert (decoded(tmp_path, tiff(ramp(8), 8, photometric=0)) == 255 - scaled(ramp(8), 8)).all()


def test_a_transparent_grey_of_16_bits_is_transparent(tmp_path: Path) -> None:
    samples = ramp(16)
    samples[2, 3] = 20_000
    content = deep_png(samples, (b"tRNS", (20_000).to_bytes(2, "big")))
    expected = scaled(samples, 16)
    assert (decoded(tmp_path, content, transparency="drop") == expected).all()
    expected[2, 3] = 255
    assert (decoded(tmp_path, content) == expected).all()


@pytest.mark.parametrize("planes", [2, 3, 4])
def test_colours_of_16_bits_keep_their_upper_eight_and_dark_ones_are_refused(
    tmp_path: Path, planes: int
) -> None:
    def content(samples: np.ndarray, *more: tuple[bytes, bytes]) -> bytes:
        stacked = np.stack([samples] * planes, 2)
        if planes != 3:
            stacked[..., -1] = 65535  # opaque
        return deep_png(stacked, *more)

    upper = np.repeat((ramp(16) >> 8).astype(np.uint8)[..., None], 3, 2)
    assert (decoded(tmp_path, content(ramp(16))) == upper).all()
    for bits in (8, 12, 14):
        for settings in ({}, {"bits": bits}):
            with pytest.raises(PictureError, match="no 16-bit colour is above"):
                decoded(tmp_path, content(ramp(bits)), **settings)
    assert decoded(tmp_path, content(ramp(12)), bits=16).max() == 15
    significant = bytes([16] * planes)
    assert decoded(tmp_path, content(ramp(12), (b"sBIT", significant))).max() == 15


def test_dark_colours_of_other_formats(tmp_path: Path) -> None:
    colours = np.stack([ramp(12)] * 3, 2)
    with pytest.raises(PictureError, match="no 16-bit colour"):
        decoded(tmp_path, tiff(colours, 16, photometric=2))
    with pytest.raises(PictureError, match="no 16-bit colour"):
        decoded(tmp_path, b"P6 8 8 65535\n" + colours.astype(">u2").tobytes())
    said = decoded(tmp_path, b"P6 8 8 4095\n" + colours.astype(">u2").tobytes())
    assert np.abs(said.astype(int) - scaled(ramp(12), 12)).max() <= 1
    eight = np.stack([ramp(4)] * 3, 2)  # dark in 8 bits is dark
    assert decoded(tmp_path, tiff(eight, 8, photometric=2)).max() == 15


# -- what can be given -----------------------------------------------------------------------------------------


def test_every_key_of_the_profile_changes_what_it_names_alone() -> None:
    keys: dict[str, tuple[Any, str, Any]] = {
        "resize": (300, "resize", 300),
        "crop": (192, "crop", 192),
        "interpolation": ("bicubic", "interpolation", "bicubic"),
        "transparency": ("drop", "transparency", "drop"),
        "exif": (False, "exif", False),
        "bits": (12, "bits", 12),
        "mean": ([0.5, 0.4, 0.3], "mean", (0.5, 0.4, 0.3)),
        "std": ([0.5, 1, 0.3], "std", (0.5, 1, 0.3)),
    }
    for key, (value, field, expected) in keys.items():
        assert chosen(**{key: value}) == replace(IMAGENET, **{field: expected})
    assert chosen() == IMAGENET
    plain = replace(IMAGENET, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert chosen(plain, range=255) == replace(plain, value_range=255.0)


@pytest.mark.parametrize(
    ("keys", "resize", "crop"),
    [
        ({"fit": "squash"}, (224, 224), 224),
        ({"fit": "squash", "crop": 96}, (96, 96), 96),
        ({"fit": "squash", "resize": 240}, (240, 240), 224),
        ({"fit": "squash", "resize": [240, 320]}, (240, 320), 224),
        ({"resize": [240, 320]}, (240, 320), 224),
        ({"crop": [96, 96]}, 256, 96),
        ({"crop": [200, 256]}, 256, (200, 256)),
        ({"resize": 256, "crop": [224, 320]}, 256, (224, 320)),
        ({"fit": "squash", "crop": [224, 320]}, (224, 320), (224, 320)),
        ({"resize": 0, "crop": 400}, 0, 400),
        ({"fit": "shorter"}, 256, 224),
    ],
)
def test_squash_and_pairs_of_numbers(keys: dict[str, Any], resize: Any, crop: int) -> None:
    assert chosen(**keys) == replace(IMAGENET, resize=resize, crop=crop)
    squashed = replace(IMAGENET, resize=(256, 256))  # as some of timm's networks have it
    assert chosen(squashed, fit="shorter").resize == 256


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"mean": [0.5, 0.5]}, "mean has 2 numbers, the network reads 3 channels"),
        ({"std": [0.5]}, "std has 1 number, the network reads 3 channels"),
        ({"mean": []}, "pictures.mean"),
        ({"mean": [0.5, 0.5, float("nan")]}, "pictures.mean.2"),
        ({"mean": [-0.5, 0.5, 0.5]}, "pictures.mean.0"),
        ({"std": [0.5, 0, 0.5]}, "pictures.std.1.*greater than 0"),
        ({"std": [0.5, float("inf"), 0.5]}, "pictures.std.1"),
        ({"range": 2}, "pictures.range.*1 or 255"),
        ({"mean": [123.7, 116.3, 103.5]}, "123.7, 116.3, 103.5.*range 255 meant"),
        ({"mean": [123.7, 116.3, 103.5], "std": [58.4, 57.1, 57.4]}, "range 255 meant"),
        ({"std": [58.4, 57.1, 57.4]}, "range 255 meant"),
        ({"mean": [300, 300, 300], "range": 255}, "do not lie in the value range 0 to 255"),
        ({"range": 255}, "values from 0 to 1.*range 1 meant"),
        ({"mean": [0.5, 0.5, 0.5], "std": [60, 60, 60], "range": 255}, "range 1 meant"),
        (
            {"crop": [224, 320]},
            "crop .224 × 320 px. is larger than what resize leaves .256 px.*320",
        ),
        ({"resize": 200, "crop": [224, 320]}, "is larger than what resize leaves .200 px.*224 or more"),
        (
            {"resize": [256, 256], "crop": [224, 320]},
            "is larger than what resize leaves .256 × 256 px.*224, 320",
        ),
        ({"crop": [224, 4]}, r"pictures.crop.*from 8 to 4096, or \[height, width\]"),
        ({"crop": 320}, "crop .320 px. is larger than what resize leaves .256 px.*resize too"),
        ({"resize": [200, 300]}, "crop .224 px. is larger than what resize leaves .200 × 300 px"),
        ({"resize": [200, 300], "crop": 224}, "crop .224 px. is larger"),
        ({"resize": [200, 300], "fit": "shorter"}, "wants one number"),
        ({"resize": 0, "fit": "squash"}, "wants a size"),
        ({"resize": [200]}, "pictures.resize.*height, width"),
        ({"resize": "256"}, "pictures.resize.*number of px"),
        ({"crop": True}, "pictures.crop"),
        ({"crop": 4}, "pictures.crop.*from 8"),
        ({"interpolation": "linear"}, "pictures.interpolation"),
        ({"transparency": "grey"}, "pictures.transparency"),
        ({"bits": 17}, "pictures.bits"),
        ({"fitt": "squash"}, "did you mean fit"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(AtlasError, match=f"(?i){said}") as caught:
        chosen(**keys)
    assert "\n" not in str(caught.value)


def test_the_command_line_gives_the_same_keys() -> None:
    import click

    found: list[dict[str, Any]] = []
    command = click.command()(preprocessing_options(lambda **options: found.append(_preprocessing(options))))
    runner = CliRunner()
    line = "--mean 123.7,116.3,103.5 --std 58.4,57.1,57.4 --range 255 --resize 256x320 --crop 224 --like-imagefolder "
    line += "--interpolation bicubic --bits 12"
    assert runner.invoke(command, line.split(), catch_exceptions=False).exit_code == 0
    given = {key: value for key, value in found.pop().items() if value is not None}
    assert chosen(**given) == Preprocessing(
        (256, 320), 224, (123.7, 116.3, 103.5), (58.4, 57.1, 57.4), 255.0, "bicubic", "drop", False, 12
    )
    assert runner.invoke(command, [], catch_exceptions=False).exit_code == 0
    assert set(found.pop().values()) == {None}
    runner.invoke(command, ["--resize", "300", "--fit", "squash"], catch_exceptions=False)
    assert chosen(**{k: v for k, v in found.pop().items() if v is not None}).resize == (300, 300)
    for wrong in (
        ["--mean", "0.5,"],
        ["--std", "1,2,3,4,5"],
        ["--mean", "a,b,c"],
        ["--crop", "1x2x3"],
        ["--range", "2"],
    ):
        result = runner.invoke(command, wrong)
        assert result.exit_code == 2 and "Error" in result.output


def test_all_prepared_values_are_those_of_the_formula(tmp_path: Path) -> None:
    own = models.load("resnet20-cifar", "random")
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8))
    for keys in (
        {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]},
        {"mean": [99, 98, 97], "std": [1, 2, 3], "range": 255},
    ):
        network = own.with_preprocessing(chosen(own.preprocessing, **keys)).to("cpu", torch.float64)
        values = pixels.double() * (1 if "range" in keys else 1 / 255)
        expected = (values - torch.tensor(keys["mean"])) / torch.tensor(keys["std"])
        torch.testing.assert_close(
            network.prepare(pixels), expected.permute(0, 3, 1, 2), rtol=1e-6, atol=1e-6
        )


def test_another_crop_gives_other_maps() -> None:
    network = models.load("resnet20-cifar", "random")
    larger = network.with_preprocessing(replace(network.preprocessing, resize=(48, 48), crop=48))
    assert [layer.height for layer in larger.layers] == [layer.height * 3 // 2 for layer in network.layers]


# -- given or assumed ------------------------------------------------------------------------------------------


def saved(path: Path, model: str, metadata: dict[str, str] | None = None) -> Path:
    """Somebody's own weights of a model."""
    module = models.load_module(model, "random")
    safetensors.torch.save_file(module.state_dict(), path, metadata)
    return path


def test_a_file_of_ones_own_is_an_assumption_and_a_release_is_none(tmp_path: Path) -> None:
    mine = models.load("resnet20-cifar", saved(tmp_path / "mine.safetensors", "resnet20-cifar")).preprocessing
    assert mine.source == f"{ASSUMED}ImageNet's mean and std"
    assert mine.assumption == (
        "ImageNet's mean and std were assumed: these weights do not say what they were trained with"
    )
    demo = models.load("demo")
    assert (demo.preprocessing.source, demo.preprocessing.assumption) == (PUBLISHED, "")
    again = models.load("demo", saved(tmp_path / "again.safetensors", "demo")).preprocessing
    assert again.assumption.startswith("demo's mean and std were assumed")
    untrained = models.load("demo", "random").preprocessing
    assert "random" in untrained.source and untrained.assumption == ""


def test_a_release_is_known_by_its_files_name(tmp_path: Path) -> None:
    module = models.load_module("resnet18", "random")
    name = models.find("resnet18").recognise
    for file, source in (
        ("resnet18-f37072fd.pth", PUBLISHED),
        ("mine.pth", f"{ASSUMED}ImageNet's mean and std"),
    ):
        torch.save(module.state_dict(), tmp_path / file)
        assert (name(tmp_path / file) is not None) == (source == PUBLISHED)
        assert models.load("resnet18", tmp_path / file).preprocessing.source == source


def test_the_weights_file_may_say_it(tmp_path: Path) -> None:
    said = {
        "mean": "[120, 110, 100]",
        "std": "[50.5, 60, 70]",
        "value_range": "255",
        "crop": "40",
        "resize": "48",
    }
    path = saved(tmp_path / "said.safetensors", "resnet20-cifar", said)
    own = models.load("resnet20-cifar", path).preprocessing
    assert own == Preprocessing(48, 40, (120, 110, 100), (50.5, 60, 70), 255.0)
    assert (own.source, own.assumption) == (IN_FILE, "")
    path = tmp_path / "other.safetensors"
    for other in (
        {"mean": "[1, 2]", "std": "[1, 1, 1]"},
        {"mean": "0.5", "std": "0.5"},
        {"mean": "[0, 0, 0]", "std": "[0, 1, 1]"},
        {"mean": "a", "std": "b"},
        {"mean": "[NaN, 0, 0]", "std": "[1, 1, 1]"},
        {"mean": "[0, 0, 0]"},
        {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "value_range": "7"},
        {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "crop": "-4"},
    ):
        safetensors.torch.save_file({"a": torch.zeros(1)}, path, other)
        assert read_preprocessing(path) == {}, other
    saved(path, "resnet20-cifar", other)
    assert models.load("resnet20-cifar", path).preprocessing.assumption


def test_a_release_that_was_trained_further_is_an_assumption(tmp_path: Path, monkeypatch: Any) -> None:
    model = models.find("resnet20-cifar")
    release = replace(model, preprocessing=replace(model.preprocessing, source=PUBLISHED))
    monkeypatch.setitem(models.MODELS, "resnet20-cifar", release)
    for outputs, source in ((10, PUBLISHED), (5, f"{ASSUMED}ImageNet's mean and std")):
        module = models.blank("resnet20-cifar", outputs).to_empty(device="cpu")
        state = {name: torch.zeros_like(tensor) for name, tensor in module.state_dict().items()}
        torch.save(state, tmp_path / "mine.pt")
        assert models.load("resnet20-cifar", tmp_path / "mine.pt").preprocessing.source == source


def test_what_is_given_is_no_assumption() -> None:
    assumed = replace(IMAGENET, source=f"{ASSUMED}ImageNet's mean and std")
    both = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    for own in (assumed, replace(IMAGENET, source=PUBLISHED), IMAGENET):
        assert chosen(own, **both).source == GIVEN
    assert chosen(assumed, mean=[0.5, 0.5, 0.5]).assumption.startswith("ImageNet's std was assumed")
    assert chosen(assumed, std=[0.5, 0.5, 0.5]).assumption.startswith("ImageNet's mean was assumed")
    assert (
        chosen(replace(IMAGENET, source=PUBLISHED), mean=[0, 0, 0]).source == f"mean given, std {PUBLISHED}"
    )
    assert chosen(assumed, crop=96, exif=False).assumption == assumed.assumption


# -- kept, shown, and part of what an atlas was made from ------------------------------------------------------


def test_a_preprocessing_survives_the_manifest_and_an_old_one_is_read(root: Path) -> None:
    data = json.loads((root / "tests" / "small_atlas" / "manifest.json").read_text("utf-8"))
    assert manifest_from_json(data).preprocessing == Preprocessing(0, 96, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    for resize in (64, (64, 80)):
        whole = Preprocessing(
            resize, 64, (1, 2, 3), (4, 5, 6), 255.0, "bicubic", "drop", False, 12, source=GIVEN
        )
        kept = manifest_from_json({**data, "preprocessing": json.loads(json.dumps(to_json(whole)))})
        assert kept.preprocessing == whole and kept.preprocessing.source == GIVEN
    with pytest.raises(AtlasError, match="damaged"):
        manifest_from_json({**data, "preprocessing": {**data["preprocessing"], "resize": [1, 2, 3]}})


def test_every_number_is_part_of_the_scans_fingerprint_and_its_source_is_not(tmp_path: Path) -> None:
    network = models.load("resnet20-cifar", "random")
    section = profile.validated({"name": "a", "network": {"model": "resnet20-cifar"}}, "here")

    def key(p: Preprocessing) -> str:
        shown: Network = replace(network, preprocessing=p)
        pictures = PictureSet("none", tmp_path, (), "")
        return fingerprints.scan(Inputs(section, shown, pictures, "", ("cpu",)))

    others: dict[str, Any] = {
        "resize": (32, 32), "crop": 40, "mean": (0, 0, 0), "std": (1, 1, 1), "value_range": 255.0,
        "interpolation": "bicubic", "transparency": "drop", "exif": False, "bits": 12,
    }  # fmt: skip
    own = network.preprocessing
    assert {field.name for field in fields(Preprocessing)} == {*others, "source"}
    keys = {key(own), *(key(replace(own, **{name: value})) for name, value in others.items())}
    assert len(keys) == len(others) + 1


def test_the_words_say_what_is_done() -> None:
    assert IMAGENET.size_words == "shorter side resized to 256 px (bilinear), then the central 224 × 224 px"
    squashed = replace(IMAGENET, resize=(224, 224), interpolation="bicubic")
    assert squashed.size_words == "resized to 224 × 224 px whatever the aspect ratio (bicubic)"
    wide = replace(IMAGENET, resize=(240, 320))
    assert wide.size_words.startswith(
        "resized to 240 × 320 px (height × width)"
    ) and wide.size_words.endswith("224 × 224 px")
    assert replace(IMAGENET, resize=0).size_words == "the central 224 × 224 px, not resized"
    assert IMAGENET.file_words == "transparency laid on white; turned upright as EXIF says"
    other = replace(IMAGENET, transparency="drop", exif=False, bits=12)
    assert other.file_words == (
        "transparency dropped; EXIF orientation ignored; greyscale of 16-bit files read as 12 bits"
    )
    assert "0 to 255, mean 0.485, 0.456, 0.406, standard" in replace(IMAGENET, value_range=255.0).values_words


@pytest.mark.slow
def test_console_page_and_manifest_say_what_was_used_and_a_change_is_computed_anew(tmp_path: Path) -> None:
    weights = saved(tmp_path / "mine.safetensors", "resnet20-cifar")
    rng = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for index in range(9):
        pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    command = ["compute", "--model", "resnet20-cifar", "--weights", str(weights), "--name", "mine"]
    command += ["--images", str(tmp_path / "pictures"), "--layers", "conv1,res2a", "--channels", "2"]
    out, site = tmp_path / "mine", tmp_path / "site"

    def run(*more: str) -> str:
        result = CliRunner().invoke(main, [*command, "--workers", "0", "--out", str(out), *more])
        assert result.exit_code == 0, result.output
        assert CliRunner().invoke(main, ["render", str(out), "--out", str(site)]).exit_code == 0
        return result.output

    def values() -> np.ndarray:
        return Store(out).arrays.layer("res2a")["top_value"]

    assert "ImageNet's mean and std were assumed" in run()
    page = (site / "index.html").read_text("utf-8")
    assert "<strong>ImageNet&#39;s mean and std were assumed: these weights do not say" in page
    assert "shorter side resized to 32 px" in page
    first = values()
    given = ["--mean", "0.5,0.4,0.3", "--std", "0.25,0.25,0.2"]
    assert "mean and std were assumed" not in run(*given)
    page = (site / "index.html").read_text("utf-8")
    assert (
        "mean and std were assumed" not in page
        and "0 to 1, mean 0.5, 0.4, 0.3, standard deviation 0.25, 0.25, 0.2" in page
    )
    manifest = Store(out).manifest()
    assert manifest.preprocessing.mean == (0.5, 0.4, 0.3) and manifest.preprocessing.source == GIVEN
    assert not np.array_equal(values(), first)
    assert "nothing to compute" in run(*given)
    assert "nothing to compute" not in run(*given, "--fit", "squash", "--like-imagefolder")
    page = (site / "index.html").read_text("utf-8")
    assert "resized to 32 × 32 px whatever the aspect ratio" in page and "transparency dropped" in page
    result = CliRunner().invoke(main, ["verify", str(out), "--units", "9"])
    assert result.exit_code == 0, result.output
    # Numbers that are the same, now given instead of assumed, are computed again by nobody; the manifest says it.
    imagenet = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]
    run()
    run(*imagenet)
    assert Store(out).manifest().preprocessing.source == GIVEN
    assert np.array_equal(values(), first)


def test_explain_takes_the_same_options(tmp_path: Path) -> None:
    weights = saved(tmp_path / "mine.safetensors", "resnet20-cifar")
    pixels = np.random.default_rng(0).integers(0, 256, (40, 36, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    page = tmp_path / "a.html"
    command = ["explain", str(tmp_path / "a.png"), "--model", "resnet20-cifar", "--weights", str(weights)]

    def run(*more: str) -> str:
        result = CliRunner().invoke(main, [*command, "--out", str(page), *more])
        assert result.exit_code == 0, result.output
        return result.output

    assert "ImageNet's mean and std were assumed" in run()
    assumed = page.read_text("utf-8")
    assert "ImageNet&#39;s mean and std were assumed" in assumed
    options = ["--mean", "120,110,100", "--std", "60,60,60", "--range", "255", "--fit", "squash"]
    assert "mean and std were assumed" not in run(*options)
    given = page.read_text("utf-8")
    assert "mean and std were assumed" not in given and "0 to 255, mean 120, 110, 100" in given
    assert "resized to 32 × 32 px whatever the aspect ratio" in given
    result = CliRunner().invoke(main, [*command, "--mean", "120,110,100", "--out", str(page)])
    assert result.exit_code == 1 and "was range 255 meant?" in result.output


def test_no_key_is_forgotten_on_the_command_line_or_in_the_record() -> None:
    others = {"folder", "drawn", "labels", "hierarchy", "limit", "trained_on", "visual_features"}
    keys = set(PicturesSection.model_fields) - others
    options = {"like_imagefolder": True, "value_range": "1"}
    options |= dict.fromkeys(("mean", "std", "resize", "crop", "fit", "interpolation", "bits"), 1)
    assert set(_preprocessing(options)) == keys

"""Finding, labelling, decoding and reading pictures."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import signal
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from torchvision import transforms
from torchvision.datasets import ImageFolder

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing
from generator.pictures.batch_reader import read_batches
from generator.pictures.decoding import PictureError, _crop, _resize, read_picture
from generator.pictures.reading import find_pictures

AS_IT_IS = Preprocessing(0, 8, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def make(folder: Path, *names: str) -> Path:
    """Files that only have to exist."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return folder


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


# -- finding -------------------------------------------------------------------------------------------------


def test_order_is_that_of_the_paths_bytes_and_foreign_files_are_passed_over(tmp_path: Path) -> None:
    make(
        tmp_path,
        "b/x.JPG",
        "B/x.png",
        "a.jpg",
        "ä.jpg",
        ".hidden.jpg",
        ".git/x.jpg",
        "notes.txt",
        "b/c/d.webp",
    )
    found = find_pictures(tmp_path)
    assert [file.path for file in found.files] == ["B/x.png", "a.jpg", "b/c/d.webp", "b/x.JPG", "ä.jpg"]
    assert found.passed_over == ()


def test_loops_of_links_end_and_names_need_not_be_utf8(tmp_path: Path) -> None:
    make(tmp_path, "a/one.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.jpg").symlink_to(tmp_path / "a" / "self.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    odd = os.fsencode(tmp_path) + b"/a/\xff.jpg"
    try:
        noise(8, 8).save(odd.decode(errors="surrogateescape"), "PNG")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    found = find_pictures(tmp_path)
    assert [os.fsencode(file.path) for file in found.files] == [b"a/one.jpg", b"a/\xff.jpg"]
    (batch,) = read_batches(found, [1], AS_IT_IS, batch=1, workers=0)
    assert batch.indices.tolist() == [1]


def test_labels_are_those_of_image_folder(tmp_path: Path) -> None:
    make(tmp_path, "zebra/1.jpg", "ant/deep/2.jpg", "Cat/3.jpg", "ant/1.jpg")
    mine = {file.path: file.label_id for file in find_pictures(tmp_path).files}
    theirs = {
        Path(path).relative_to(tmp_path).as_posix(): label
        for path, label in ImageFolder(str(tmp_path)).samples
    }
    assert mine == theirs


def test_flat_names_with_wnids_say_their_classes(tmp_path: Path) -> None:
    make(tmp_path, "n02_x.jpg", "n01443537_goldfish.JPEG", "n01440764_great_white_shark.JPEG")
    assert [(f.label_id, f.label) for f in find_pictures(tmp_path).files] == [
        (0, "great white shark"),
        (1, "goldfish"),
        (-1, ""),  # its name does not fit the pattern
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("490\n361\n", [(490, "490"), (361, "361")]),
        ("sea snake\nalp\n\n", [(1, "sea snake"), (0, "alp")]),
        ("v_2.JPEG 361\nv_1.JPEG 490\n", [(490, "490"), (361, "361")]),
        ("val/v_1.JPEG\tsea snake\nval/v_2.JPEG\talp\n", [(1, "sea snake"), (0, "alp")]),
        ("v_1.JPEG,alp\nv_2.JPEG,alp\nv_3.JPEG,not here\n", [(0, "alp"), (0, "alp")]),
        ('path,label,label_id\nval/v_1.JPEG,alp,970\nval/v_2.JPEG,"a, b",3\n', [(970, "alp"), (3, "a, b")]),
    ],
)
def test_every_form_of_label_file(tmp_path: Path, text: str, expected: list[tuple[int, str]]) -> None:
    make(tmp_path / "pictures", "val/v_1.JPEG", "val/v_2.JPEG")
    labels = tmp_path / "labels.txt"
    labels.write_text(text)
    found = find_pictures(tmp_path / "pictures", labels=labels)
    assert [(file.label_id, file.label) for file in found.files] == expected


def test_a_table_among_the_pictures_labels_some_of_them(tmp_path: Path) -> None:
    make(tmp_path, "x/1.jpg", "x/2.jpg")
    (tmp_path / "labels.csv").write_text("path,label\nx/2.jpg,owl\n")
    assert [(f.label_id, f.label) for f in find_pictures(tmp_path).files] == [(-1, ""), (0, "owl")]


def test_limit_spreads_over_all_pictures_and_keeps_label_ids(tmp_path: Path) -> None:
    make(tmp_path, *(f"{letter}/{number}.jpg" for letter in "abcde" for number in range(4)))
    assert [(f.path, f.label_id) for f in find_pictures(tmp_path, limit=5).files] == [
        (f"{letter}/0.jpg", i) for i, letter in enumerate("abcde")
    ]
    assert len(find_pictures(tmp_path, limit=99)) == 20


def test_listing_notices_a_changed_file(tmp_path: Path) -> None:
    make(tmp_path, "1.jpg", "2.jpg")
    before = find_pictures(tmp_path).listing
    assert find_pictures(tmp_path).listing == before
    (tmp_path / "2.jpg").write_bytes(b"other")
    assert find_pictures(tmp_path).listing != before


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda d: {"folder": d / "nowhere"}, "no such folder"),
        (lambda d: {"folder": d / "p" / "1.jpg"}, "not a folder"),
        (lambda d: {"folder": d / "empty"}, "no pictures found.*\\.jpeg"),
        (lambda d: {"folder": d / "p", "limit": 0}, "at least 1"),
        (lambda d: {"folder": d / "p", "labels": d / "nowhere.txt"}, "cannot be read"),
        (lambda d: {"folder": d / "p", "labels": d / "three.txt"}, "3 labels for 2 pictures"),
        (lambda d: {"folder": d / "p", "labels": d / "blank.txt"}, "empty"),
        (lambda d: {"folder": d / "p", "labels": d / "other.txt"}, "1 of 2 pictures have no label.*2.jpg"),
        (lambda d: {"folder": d / "p", "labels": d / "ids.csv"}, "'seven', not a number"),
    ],
)
def test_bad_folders_and_labels_are_one_sentence(
    tmp_path: Path, spoil: Callable[[Path], dict[str, Any]], what: str
) -> None:
    make(tmp_path, "p/1.jpg", "p/2.jpg", "empty/readme.txt")
    (tmp_path / "three.txt").write_text("1\n2\n3\n")
    (tmp_path / "blank.txt").write_text("\n\n")
    (tmp_path / "other.txt").write_text("1.jpg owl\n")
    (tmp_path / "ids.csv").write_text("path,label,label_id\n1.jpg,owl,seven\n")
    with pytest.raises(AtlasError, match=what) as caught:
        find_pictures(**spoil(tmp_path))
    assert "\n" not in str(caught.value)


JPEG, PNG = b"\xff\xd8\xff\xe0" + b"\0" * 99, b"\x89PNG\r\n\x1a\n" + b"\0" * 99
DICOM = b"\0" * 128 + b"DICM" + b"\0" * 99


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.HEIC", b"", "a HEIC picture"),
        ("a.dcm", DICOM, "a DICOM file"),
        ("a.jp2", b"", "a JPEG 2000 picture"),
        ("a.CR2", b"", "a camera's raw file"),
        ("a.dng", b"", "a camera's raw file"),
        ("a.svg", b"<svg/>", "a drawing or a document"),
        ("a.psd", b"", "a picture editor"),
        ("a.nii", b"", "medical image"),
        ("a.mp4", b"", "a film"),
        ("a.ico", b"", "a format that is not read"),
        ("a", b"", "empty file"),
        ("a", b"some text", "not a picture of a known format"),
        ("a", DICOM, "a DICOM file"),
        ("1.2.840.113619.2.55", DICOM, "a DICOM file"),
        ("a", b"\0\0\0\x18ftypheic" + b"\0" * 99, "a HEIC picture"),
        (
            "a.jpg.part",
            JPEG,
            "a JPEG picture by its first bytes, but files that end in .part are not read: rename it",
        ),
        ("a.png_large", PNG, "a PNG picture by its first bytes"),
        ("a.xyz", b"what", "not a picture of a known format"),
    ],
)
def test_every_file_that_is_not_used_is_listed_with_its_reason(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    make(tmp_path, "x.png", "deep/x.png")
    (tmp_path / "deep" / name).write_bytes(content)
    found = find_pictures(tmp_path)
    assert len(found) == 2
    (listed,) = found.passed_over
    assert listed.path == f"deep/{name}" and reason in listed.reason


@pytest.mark.parametrize(
    "name",
    "notes.txt labels.csv.md x.json x.xml model.py README LICENSE Makefile Thumbs.db a.zip metadata.jsonl .DS_Store".split(),  # noqa: E501, SIM905
)
def test_what_lies_next_to_pictures_is_not_taken_for_one(tmp_path: Path, name: str) -> None:
    make(tmp_path, "x.png")
    (tmp_path / name).write_text("{}")
    found = find_pictures(tmp_path)
    assert len(found) == 1 and found.passed_over == ()


@pytest.mark.parametrize("name", ["picture", "ILSVRC2012.val.00000001", "scan.0001"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "WEBP", "AVIF"])
def test_a_picture_without_a_suffix_is_used(tmp_path: Path, name: str, kind: str) -> None:
    try:
        noise(16, 16).save(tmp_path / name, kind)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow does not write {kind}")
    found = find_pictures(tmp_path)
    assert [file.path for file in found.files] == [name] and found.passed_over == ()
    (batch,) = read_batches(found, [0], AS_IT_IS, batch=1, workers=0)
    assert batch.indices.tolist() == [0]


def test_links_that_lead_nowhere_and_what_is_no_file_are_listed(tmp_path: Path) -> None:
    make(tmp_path, "a/one.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.jpg").symlink_to(tmp_path / "a" / "self.jpg")
    (tmp_path / "a" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "a" / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "gone.txt").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    found = find_pictures(tmp_path)
    assert {file.path: file.reason for file in found.passed_over} == {
        "a/gone": "a link to a file that does not exist",
        "a/gone.jpg": "a link to a file that does not exist",
        "a/pipe.png": "not a file that could hold a picture",
        "a/self.jpg": "a link that leads back to itself",
        "a/up": "a link to a folder that contains it",
    }


def test_files_of_known_suffixes_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(
        tmp_path,
        *(f"{number}.{suffix}" for number in range(20) for suffix in ("png", "JPG", "dcm", "txt", "heic")),
    )
    opened: list[str] = []
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda path, *rest, **more: (opened.append(str(path)), real(path, *rest, **more))[1]
    )
    found = find_pictures(tmp_path)
    assert (len(found), len(found.passed_over), opened) == (40, 40, [])


def test_a_folder_without_pictures_says_what_is_there(tmp_path: Path) -> None:
    make(tmp_path, "IMG_1.HEIC", "IMG_2.HEIC")
    with pytest.raises(AtlasError, match=r"2 files cannot be used, the first IMG_1.HEIC: a HEIC picture"):
        find_pictures(tmp_path)


# -- decoding ------------------------------------------------------------------------------------------------


def decoded(path: Path, side: int = 8) -> np.ndarray:
    return read_picture(path, Preprocessing(0, side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))).pixels


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([0, 17, 32]), st.sampled_from([16, 23, 32]))
def test_resize_and_crop_are_torchvisions(width: int, height: int, resize: int, crop: int) -> None:
    picture = noise(width, height, seed=width * 100 + height)
    steps: list[Any] = [transforms.Resize(resize)] if resize else []
    expected = np.asarray(transforms.Compose([*steps, transforms.CenterCrop(crop)])(picture))
    assert (_crop(_resize(picture, resize), (crop, crop)) == expected).all()


def test_a_picture_knows_its_size_and_its_files_hash(tmp_path: Path) -> None:
    noise(30, 20).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", replace(AS_IT_IS, resize=16, crop=16))
    assert picture.pixels.shape == (16, 16, 3)
    assert picture.pixels.dtype == np.uint8
    assert (picture.width, picture.height) == (30, 20)
    assert picture.sha256 == hashlib.sha256((tmp_path / "a.png").read_bytes()).hexdigest()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "tiff", "jpg"])
def test_exif_turns_the_picture_upright_once(tmp_path: Path, kind: str, orientation: int) -> None:
    upright = Image.new("RGB", (48, 32), "red")
    ImageDraw.Draw(upright).rectangle((0, 0, 15, 15), "blue")  # a mark in the top left corner
    method = Image.Transpose
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # what a camera held that way would have stored
    stored = upright if orientation == 1 else upright.transpose(list(method)[undo[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"a.{kind}", exif=exif)
    picture = read_picture(tmp_path / f"a.{kind}", replace(AS_IT_IS, crop=32))
    assert (picture.width, picture.height) == (48, 32)
    expected = np.asarray(transforms.CenterCrop(32)(upright)).astype(int)
    assert np.abs(picture.pixels - expected).mean() < 3


def test_sixteen_bit_greyscale_keeps_its_scale(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tiff")
    expected = np.round(values / 257).astype(np.uint8)
    assert (decoded(tmp_path / "a.png")[..., 1] == expected).all()
    assert (decoded(tmp_path / "a.tiff")[..., 1] == expected).all()


def test_floating_point_from_0_to_1(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(tmp_path / "a.tiff")
    assert (decoded(tmp_path / "a.tiff") == 128).all()
    Image.fromarray(np.full((8, 8), 7.0, np.float32)).save(tmp_path / "b.tiff")
    with pytest.raises(PictureError, match="outside 0 to 1"):
        decoded(tmp_path / "b.tiff")


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("LA", (8, 8), (0, 128)).save(tmp_path / "grey.png")
    assert np.abs(decoded(tmp_path / "grey.png").astype(int) - 127).max() <= 1
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.save(tmp_path / "opaque.png")
    palette.save(tmp_path / "clear.png", transparency=1)
    assert (decoded(tmp_path / "opaque.png") == (255, 0, 0)).all()
    assert (decoded(tmp_path / "clear.png") == 255).all()
    Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "key.png", transparency=(9, 9, 9))
    assert (decoded(tmp_path / "key.png") == 255).all()


def test_cmyk_greyscale_bilevel_and_animations(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    red = decoded(tmp_path / "cmyk.jpg").reshape(-1, 3).mean(0)
    assert red[0] > 230
    assert red[1:].max() < 40
    Image.new("L", (8, 8), 77).save(tmp_path / "grey.png")
    assert (decoded(tmp_path / "grey.png") == 77).all()
    Image.new("1", (8, 8), 1).save(tmp_path / "bit.png")
    assert (decoded(tmp_path / "bit.png") == 255).all()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "red")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert (decoded(tmp_path / "moving.gif") == (0, 0, 255)).all()


def test_a_pipe_in_a_pictures_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(PictureError, match="not a file"):
        read_picture(tmp_path / "a.png", Preprocessing(0, 8, (0, 0, 0), (1, 1, 1)))


def test_broken_files_say_why(tmp_path: Path) -> None:
    whole = io.BytesIO()
    noise(64, 64).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:1500])
    (tmp_path / "zero.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture at all")
    (tmp_path / "script.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    (tmp_path / "bomb.png").write_bytes(png_header(60_000, 60_000) + chunk(b"IDAT", b"x"))
    (tmp_path / "large.png").write_bytes(png_header(12_000, 12_000) + chunk(b"IDAT", b"x"))
    (tmp_path / "chunk.png").write_bytes(png_header(9, 9) + chunk(b"IDAT", b"rubbish"))
    Image.new("L", (1, 40_000)).save(tmp_path / "thin.png")
    reasons = {
        "cut": "damaged.*truncated",
        "zero": "empty file",
        "text": "not a picture",
        "script": "not a picture",
        "bomb": "more than 100,000,000 pixels",
        "large": "more than 100,000,000 pixels",
        "chunk": "damaged",
        "thin": "too elongated",
        "absent": "cannot be read",
    }
    preprocessing = Preprocessing(256, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    for name, reason in reasons.items():
        path = next(tmp_path.glob(f"{name}.*"), tmp_path / "absent.jpg")
        with pytest.raises(PictureError, match=reason):
            read_picture(path, preprocessing)


# -- reading in batches --------------------------------------------------------------------------------------


def sample(folder: Path) -> Path:
    """Seven pictures, the third and the last broken."""
    for number in range(7):
        noise(40, 30, number).save(folder / f"{number}.png")
    (folder / "2.png").write_bytes(b"")
    (folder / "6.png").write_text("text")
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_keep_the_order_and_leave_the_broken_out(tmp_path: Path, workers: int) -> None:
    pictures = find_pictures(sample(tmp_path))
    preprocessing = Preprocessing(32, 32, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    order = [5, 3, 2, 0, 1, 4, 6]
    batches = list(read_batches(pictures, order, preprocessing, batch=3, workers=workers))
    assert [batch.indices.tolist() for batch in batches] == [[5, 3], [0, 1, 4], []]
    assert [batch.skipped for batch in batches] == [
        ((2, "empty file"),),
        (),
        ((6, "not a picture of a known format"),),
    ]
    assert [tuple(batch.pixels.shape) for batch in batches] == [
        (2, 32, 32, 3),
        (3, 32, 32, 3),
        (0, 32, 32, 3),
    ]
    assert batches[0].sizes == ((40, 30), (40, 30))
    for batch in batches:
        for index, pixels, digest in zip(batch.indices.tolist(), batch.pixels, batch.digests, strict=True):
            alone = read_picture(tmp_path / f"{index}.png", preprocessing)
            assert (pixels.numpy() == alone.pixels).all()
            assert digest == alone.sha256


def test_no_pictures_are_no_batches(tmp_path: Path) -> None:
    pictures = find_pictures(sample(tmp_path))
    assert list(read_batches(pictures, [], AS_IT_IS, batch=3, workers=2)) == []


@pytest.mark.alone
@pytest.mark.slow
def test_a_dead_worker_is_one_sentence(tmp_path: Path) -> None:
    """So many pictures that the worker is far from done when the test kills it."""
    noise(700, 700).save(tmp_path / "0.png")
    pictures = find_pictures(tmp_path)
    pictures = replace(pictures, files=pictures.files * 2000)

    def kill() -> None:
        while not multiprocessing.active_children():
            time.sleep(0.05)
        time.sleep(0.5)
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    with pytest.raises(AtlasError, match="fewer workers"):
        list(read_batches(pictures, range(2000), AS_IT_IS, batch=500, workers=1))


# -- real pictures -------------------------------------------------------------------------------------------


def test_real_pictures_are_decoded_as_torchvision_does(shared_data: Path) -> None:
    folder = shared_data / "imagenet-sample"
    pictures = find_pictures(folder)
    assert len(pictures) == 1000
    labels = {file.label_id: file.label for file in pictures.files}
    assert sorted(labels) == list(range(1000))
    preprocessing = Preprocessing(256, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    chain = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()])
    few = range(0, 1000, 100)
    (batch,) = read_batches(pictures, few, preprocessing, batch=10, workers=0)
    for index, pixels in zip(few, batch.pixels, strict=True):
        with Image.open(folder / pictures.files[index].path) as image:
            expected: torch.Tensor = chain(image.convert("RGB"))
        assert torch.equal(pixels.permute(2, 0, 1), expected)

"""The drawn world: decided by its seed, labelled as promised, true about its sizes."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generator.pictures.drawn.canvas import DRAWING_SIDE
from generator.pictures.drawn.world import (
    ATLAS_SEED,
    CLASSES,
    DRAWING_KINDS,
    FAMILIES,
    HELD_OUT_SEED,
    TRAIN_SEED,
    Drawing,
    draw,
    draw_at_scales,
    write_pictures,
)

_EVERY_CLASS = range(len(CLASSES))


def _pixels(index: int, seed: int) -> np.ndarray:
    return np.asarray(draw(index, seed).image)


def _at_scale(label: int, scale: float, index: int, seed: int) -> Drawing:
    (drawing,) = draw_at_scales(label, (scale,), index, seed)
    return drawing


def _digest(indices: range, seed: int) -> str:
    return hashlib.sha256(b"".join(draw(index, seed).image.tobytes() for index in indices)).hexdigest()


def test_families_cover_every_class_once() -> None:
    """The hierarchy holds all classes, each in one family, and at least 32 of them."""
    members = [name for family in FAMILIES.values() for name in family]
    assert sorted(members) == sorted(CLASSES)
    assert len(set(CLASSES)) == len(CLASSES) >= 32
    assert all(len(family) >= 2 for family in FAMILIES.values())


def test_the_seeds_of_the_three_sets_differ() -> None:
    """Nothing that the network is trained on is in the held-out set or in the atlas."""
    assert len({TRAIN_SEED, HELD_OUT_SEED, ATLAS_SEED}) == 3


@pytest.mark.parametrize("index", [0, 1, 43, 44, 100, 12_345])
def test_the_label_follows_from_the_index(index: int) -> None:
    """The label is the index modulo the number of classes."""
    assert draw(index, seed=7).label == index % len(CLASSES)


@pytest.mark.parametrize("label", _EVERY_CLASS, ids=CLASSES)
def test_every_class_draws_an_rgb_picture_in_which_something_stands_out(label: int) -> None:
    """96×96 RGB with light and dark in it, and its truth within the picture."""
    drawing = draw(label, seed=3)
    assert drawing.image.mode == "RGB"
    assert drawing.image.size == (DRAWING_SIDE, DRAWING_SIDE)
    assert np.asarray(drawing.image).std() > 8
    assert 0 < drawing.row < DRAWING_SIDE
    assert 0 < drawing.column < DRAWING_SIDE
    small, large = DRAWING_KINDS[label].scales
    assert small <= drawing.scale <= large
    assert abs(drawing.rotation) <= DRAWING_KINDS[label].turn


@pytest.mark.parametrize("label", _EVERY_CLASS, ids=CLASSES)
def test_every_class_can_be_drawn_very_small_and_very_large(label: int) -> None:
    """A tenth of the picture and twice the picture are drawn without complaint and differ."""
    small = _at_scale(label, 0.1, index=5, seed=1)
    large = _at_scale(label, 2.0, index=5, seed=1)
    assert (small.scale, large.scale) == (0.1, 2.0)
    assert not np.array_equal(np.asarray(small.image), np.asarray(large.image))


def test_only_the_size_changes_with_the_scale() -> None:
    """Place and rotation stay, and so does the picture far from the object."""
    label = CLASSES.index("star")
    drawings = [_at_scale(label, scale, index=label, seed=11) for scale in (0.3, 0.34)]
    assert len({(d.label, d.row, d.column, d.rotation) for d in drawings}) == 1
    rows, columns = np.mgrid[:DRAWING_SIDE, :DRAWING_SIDE]
    away = np.hypot(rows - drawings[0].row, columns - drawings[0].column) > 0.17 * DRAWING_SIDE + 14
    first, second = (np.asarray(drawing.image)[away] for drawing in drawings)
    assert away.sum() > 3000
    np.testing.assert_array_equal(first, second)


def test_the_own_scale_gives_the_own_drawing() -> None:
    """draw_at_scales at a drawing's scale and label is that drawing, pixel by pixel."""
    for index in (0, 17, 60):
        own = draw(index, seed=2)
        again = _at_scale(own.label, own.scale, index, seed=2)
        np.testing.assert_array_equal(np.asarray(own.image), np.asarray(again.image))


def test_the_object_is_as_large_as_its_truth_says() -> None:
    """A ring's outer diameter, measured in pixels against a small one's ground, is scale × 96."""
    label = CLASSES.index("ring")
    for index, scale in ((label, 0.5), (label + len(CLASSES), 0.8)):
        ground = np.asarray(_at_scale(label, 0.02, index, seed=9).image).astype(int)
        drawn = np.asarray(_at_scale(label, scale, index, seed=9).image).astype(int)
        changed = np.abs(drawn - ground).max(axis=2) > 60
        extent = max(np.ptp(np.flatnonzero(changed.any(axis=axis))) + 1 for axis in (0, 1))
        assert extent == pytest.approx(scale * DRAWING_SIDE, abs=6)


def test_drawings_depend_on_seed_and_index_alone() -> None:
    """The order of drawing does not matter; another seed or index gives another picture."""
    first = _pixels(30, seed=4)
    for index in (2, 9, 77):
        draw(index, seed=5)
    np.testing.assert_array_equal(_pixels(30, seed=4), first)
    assert not np.array_equal(_pixels(30, seed=5), first)
    assert not np.array_equal(_pixels(30 + len(CLASSES), seed=4), first)


def test_another_process_draws_the_same() -> None:
    """The digest of a few drawings is the same in a fresh interpreter with another hash seed."""
    code = "import test_demo_world as t; print(t._digest(range(0, 44, 5), 6))"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}", "PYTHONHASHSEED": "99"},
    )
    assert answer.stdout.strip() == _digest(range(0, 44, 5), 6)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_that_is_no_size_is_refused(scale: float) -> None:
    """Zero, negative and undefined sizes are errors."""
    with pytest.raises(ValueError, match="scale"):
        draw_at_scales(0, (scale,), index=0)


def test_pictures_are_written_once_with_their_truth(tmp_path: Path) -> None:
    """One folder a class, a truth for every picture, and a second call that writes only what is missing."""
    count = len(CLASSES) + 3
    calls: list[None] = []
    assert write_pictures(tmp_path, count, seed=8, progress=lambda: calls.append(None)) == count
    assert len(calls) == count
    with (tmp_path / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == count
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == set(CLASSES)
    for index in (0, 20, count - 1):
        drawing, row = draw(index, seed=8), rows[index]
        assert row["path"] == f"{CLASSES[drawing.label]}/{index:06d}.png"
        assert int(row["label"]) == drawing.label
        for name in ("scale", "row", "column", "rotation"):
            assert float(row[name]) == pytest.approx(getattr(drawing, name), abs=1e-3)
        with Image.open(tmp_path / row["path"]) as image:
            np.testing.assert_array_equal(np.asarray(image), np.asarray(drawing.image))
    (tmp_path / rows[5]["path"]).unlink()
    assert write_pictures(tmp_path, count, seed=8) == 1
    assert not any(tmp_path.rglob(".*"))

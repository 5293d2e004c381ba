"""The focus of a unit: the smallest square that holds nine tenths of its gradient's energy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from generator.core.records import ReceptiveField
from generator.core.sprites import FOCUS_LEAST, is_focused
from generator.engine.loops import compiled
from generator.methods import focus
from generator.methods.focus import focus_squares, frames, in_frames


def _oracle(gradient: np.ndarray, seen: tuple[int, int, int, int], least: int) -> tuple[int, int, int]:
    """By the definition: every square of every side, its energy summed pixel by pixel. gradient: (C, s, s)."""
    frame = gradient.shape[1]
    top, left, bottom, right = seen
    energy = (gradient.astype(np.float64) ** 2).sum(0)
    if not energy.max() > 0 or not np.isfinite(energy).all():
        return 0, 0, 0
    whole = [[int(np.floor(e * (2.0**28 / energy.max()) + 0.5)) for e in row] for row in energy.tolist()]
    places = [(i, j) for i in range(frame) for j in range(frame)]
    total = sum(whole[i][j] for i, j in places)
    centre = [
        (2 * sum(place[axis] * whole[place[0]][place[1]] for place in places) + total) // (2 * total)
        for axis in (0, 1)
    ]

    def allowed(start: int, side: int, first: int, last: int) -> bool:
        if side <= last - first:
            return first <= start and start + side <= last
        return start <= first and last <= start + side and start + side <= frame

    for side in range(least, frame + 1):
        found = []
        for i, j in places:
            if not allowed(i, side, top, bottom) or not allowed(j, side, left, right):
                continue
            held = sum(sum(row[j : j + side]) for row in whole[i : i + side])
            if 10 * held >= 9 * total:
                apart = (2 * i + side - 2 * centre[0] - 1) ** 2 + (2 * j + side - 2 * centre[1] - 1) ** 2
                found.append((apart, i, j))
        if found:
            return (*min(found)[1:], side)
    raise AssertionError("the whole frame holds everything")


@st.composite
def _cases(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int, int, int], int]:
    frame = draw(st.integers(3, 11))
    top, left = draw(st.integers(0, frame - 1)), draw(st.integers(0, frame - 1))
    seen = (top, left, draw(st.integers(top + 1, frame)), draw(st.integers(left + 1, frame)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    gradient = np.zeros((draw(st.integers(1, 4)), frame, frame), np.float32)
    part = gradient[:, seen[0] : seen[2], seen[1] : seen[3]]
    kind = draw(st.sampled_from(["heavy", "sparse", "few values", "one", "none"]))
    if kind == "heavy":
        part[:] = rng.normal(size=part.shape) ** 3
    elif kind == "sparse":
        part[:] = rng.normal(size=part.shape) * (rng.random(part.shape) < 0.1)
    elif kind == "few values":  # ties
        part[:] = rng.integers(-1, 2, part.shape)
    elif kind == "one":
        part[0, rng.integers(part.shape[1]), rng.integers(part.shape[2])] = -1e-30
    return gradient, seen, draw(st.integers(1, frame))


@settings(max_examples=150, deadline=None)
@given(_cases())
def test_the_focus_is_what_the_definition_says_compiled_and_by_torch(case):
    gradient, seen, least = case
    right = _oracle(gradient, seen, least)
    gradients, parts = torch.from_numpy(gradient)[None], np.array([seen], np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(focus, "FOCUS_LEAST", least)
        assert tuple(focus_squares(gradients, parts)[0].tolist()) == right
        patch.setattr(compiled, "_loops", lambda: None)
        assert tuple(focus_squares(gradients, parts)[0].tolist()) == right


def test_units_together_have_the_focus_of_each_and_a_scale_changes_none(monkeypatch):
    rng = np.random.default_rng(0)
    field = ReceptiveField(131, 16, 7.5)
    row, column = np.array([0, 5, 13, 2, 9]), np.array([13, 4, 0, 8, 9])
    its = frames(field, (224, 224), row, column)
    gradients = torch.zeros(5, 3, 131, 131)
    for gradient, (top, left, bottom, right) in zip(gradients, its.seen.tolist(), strict=True):
        at = np.indices((bottom - top, right - left)) - rng.integers(20, 40, 2)[:, None, None]
        blob = np.exp(-(at**2).sum(0) / rng.integers(200, 900))
        gradient[:, top:bottom, left:right] = torch.from_numpy(blob * rng.normal(size=(3, *blob.shape)))
    together = focus_squares(gradients, its.seen)
    assert len(set(together[:, 2].tolist())) > 1 and (together[:, 2] >= FOCUS_LEAST).all()
    each = [focus_squares(gradients[u : u + 1], its.seen[u : u + 1])[0] for u in range(5)]
    assert np.array_equal(together, each)
    assert np.array_equal(focus_squares(gradients * 2.0**40, its.seen), together)
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    monkeypatch.setattr(focus, "AT_ONCE", 2 * 131**2)
    assert np.array_equal(focus_squares(gradients, its.seen), together)


def test_a_gradient_that_is_zero_or_no_number_has_no_focus():
    gradients = torch.zeros(3, 3, 40, 40)
    gradients[1, 0, 5, 5], gradients[2, 0, 5, 5] = torch.nan, torch.inf
    its = frames(ReceptiveField(483, 32, 0.0), (40, 40), np.zeros(3, int), np.zeros(3, int))
    squares = focus_squares(gradients, its.seen)
    assert not squares.any() and not its.in_picture(squares).any()


def test_frames_are_what_the_tiles_of_whole_fields_show():
    field = ReceptiveField(131, 16, 7.5)
    its = frames(field, (224, 200), np.array([0, 6]), np.array([12, 6]))
    assert [field.box(0, 12)[:2], field.box(6, 6)[:2]] == [tuple(o) for o in its.origin.tolist()]
    top, left, _, _ = field.box(0, 12)
    assert its.seen[0].tolist() == [-top, 0, 131, 200 - left] and its.side == 131
    wide = frames(ReceptiveField(291, 16, 7.5), (150, 201), np.array([3]), np.array([4]))
    assert wide.side == 201 and wide.seen[0].tolist() == [25, 0, 175, 201]
    framed = in_frames(torch.ones(1, 3, 150, 201), 201)
    assert framed.shape == (1, 3, 201, 201) and framed[0, 0, 24:26, 0].tolist() == [0, 1]
    assert wide.in_picture(np.array([[25, 30, 60]])).tolist() == [[0, 30, 60]]


@pytest.mark.parametrize(
    ("field", "size", "focused"),
    [
        (113, (224, 224), True),
        (112, (224, 224), False),
        (483, (224, 224), True),
        (101, (300, 200), True),
        (483, (32, 32), False),
        (31, (40, 40), False),
    ],
)
def test_the_focus_is_for_fields_larger_than_half_the_picture(field, size, focused):
    assert is_focused(field, size) is focused

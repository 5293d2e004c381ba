"""Across machines, devices and versions: the nine agree, and scores and gradients within stated bounds."""

from __future__ import annotations

import json

import known_answer
import numpy as np
import pytest

# Of the channel's largest score; of a gradient's norm. A float32 sum in another order moves the seventh digit, through
# some twenty layers the fifth; a ReLU that sits at zero and switches moves one unit's gradient by far more than that.
SCORES, NORM, DIRECTION = 1e-4, 2e-2, 0.999


@pytest.fixture(scope="module")
def answers() -> tuple[dict, dict]:
    return known_answer.compute(), json.loads(known_answer.FILE.read_text())


def test_the_nine_agree(answers):
    ours, stored = answers
    assert ours.keys() == stored.keys()
    alive = 0
    for unit, answer in stored.items():
        bound = SCORES * max(abs(answer["values"][0]), 1e-6)
        np.testing.assert_allclose(ours[unit]["values"], answer["values"], atol=bound, rtol=0, err_msg=unit)
        gaps = np.abs(np.diff([*answer["values"], 0.0]))
        for slot, picture in enumerate(answer["pictures"]):
            near = min(gaps[slot], gaps[slot - 1] if slot else np.inf) <= 2 * bound
            if picture >= 0 and not near:
                alive += 1
                assert ours[unit]["pictures"][slot] == picture, (unit, slot)
                assert ours[unit]["units"][slot] == answer["units"][slot], (unit, slot)
    assert alive > 40  # otherwise this says little


def test_gradients_agree(answers):
    ours, stored = answers
    checked = 0
    for unit, answer in stored.items():
        for rule, gradient in answer["gradients"].items():
            mine = ours[unit]["gradients"][rule]
            assert mine["norm"] == pytest.approx(gradient["norm"], rel=NORM), (unit, rule)
            one, two = np.array(mine["coarse"]), np.array(gradient["coarse"])
            assert one @ two >= DIRECTION * np.linalg.norm(one) * np.linalg.norm(two), (unit, rule)
            checked += 1
    assert checked >= 15

"""Gradients that skip zeros, against torch's transposed convolution in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generator.engine.gradients import sparse
from generator.engine.gradients.sparse import SparseTransposedConvolution, behind_relu
from generator.engine.loops import compiled
from generator.network import models
from generator.network.ops import Step

pytest.importorskip("numba")


def _prepared(weight, *, stride=1, padding=0, **changes):
    step = Step(
        "conv", (0,), "x", weight=weight, kernel=weight.shape[2], stride=stride, padding=padding, **changes
    )
    return SparseTransposedConvolution.of(step, weight)


def _mostly_zero(*shape, dtype=torch.float64):
    torch.manual_seed(0)
    return torch.randn(shape, dtype=dtype) * (torch.rand(shape) < 0.2)


KERNELS = [  # out, in, kernel, stride
    (64, 3, 7, 2),
    (16, 5, 3, 1),
    (48, 64, 3, 1),
    (160, 128, 3, 2),  # a share of channels that is not full
    (160, 192, 1, 1),
    (16, 24, 5, 3),
]


CUTS = [(0, 0, 0, 0), (1, 2, 3, 0), (0, 4, 2, 4)]


@pytest.mark.parametrize(
    ("out", "within", "kernel", "stride", "cut"),
    [(*shape, cut) for shape in KERNELS for cut in CUTS if shape[2] > 1 or not any(cut)],
)
def test_the_sums_are_those_of_a_transposed_convolution(out, within, kernel, stride, cut):
    weight = torch.randn(out, within, kernel, kernel, dtype=torch.float64)
    gradient = _mostly_zero(3, 6, 7, out)
    gradient[1] = 0
    right = F.conv_transpose2d(gradient.permute(0, 3, 1, 2), weight, None, stride).permute(0, 2, 3, 1)
    height, width = right.shape[1:3]
    right = right[:, cut[0] : height - cut[1], cut[2] : width - cut[3]]
    found = _prepared(weight, stride=stride)(gradient, (cut[0], cut[2]), tuple(right.shape[1:3]))
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


def test_float32_and_values_in_no_order_of_memory():
    weight = torch.randn(32, 64, 3, 3)
    gradient = _mostly_zero(2, 32, 5, 5, dtype=torch.float32).permute(0, 2, 3, 1)
    right = F.conv_transpose2d(gradient.permute(0, 3, 1, 2), weight).permute(0, 2, 3, 1)
    torch.testing.assert_close(_prepared(weight)(gradient, (0, 0), (7, 7)), right, rtol=1e-5, atol=1e-5)


def test_what_is_not_a_number_is_not_skipped():
    gradient = torch.zeros(1, 3, 3, 128)
    gradient[0, 1, 1, 4] = float("nan")
    found = _prepared(torch.ones(128, 128, 1, 1))(gradient, (0, 0), (3, 3))
    assert bool(found[0, 1, 1].isnan().all()) and not bool(found[0, 0].isnan().any())


@pytest.mark.parametrize(("within", "kernel"), [(128, 1), (128, 3), (3, 7)])
def test_a_units_gradient_does_not_depend_on_the_others_nor_on_the_window(within, kernel):
    way = _prepared(torch.randn(160, within, kernel, kernel))
    gradient = _mostly_zero(5, 9, 11, 160, dtype=torch.float32)
    gradient[:, :2], gradient[:, :, :3] = 0, 0
    size = (8 + kernel, 10 + kernel)
    together = way(gradient, (0, 0), size)
    alone = torch.cat([way(one[None], (0, 0), size) for one in gradient])
    assert torch.equal(together, alone)
    within_window = way(gradient[:, 2:, 3:], (0, 0), (size[0] - 2, size[1] - 3))
    assert torch.equal(together[:, 2:, 3:], within_window)


@pytest.mark.slow
def test_it_is_taken_where_a_relu_alone_reads_the_convolution():
    """In ResNets all convolutions are read by ReLUs, in part behind additions; where the norm comes first, those that
    end a branch are read by the sum that goes on and on."""
    for name, all_of_them in (("resnet18", True), ("resnet50", True), ("preact_resnet50", False)):
        graph = models.load(name, "random").graph
        found = [behind_relu(graph, i) for i, step in enumerate(graph.steps) if step.op == "conv"]
        assert all(found) == all_of_them and any(found)


def test_shapes_that_it_does_not_serve_are_refused(monkeypatch):
    assert _prepared(torch.randn(20, 64, 3, 3)) is None  # fills no vector
    assert _prepared(torch.randn(160, 96, 1, 1)) is None
    assert _prepared(torch.randn(256, 64, 1, 1)) is None
    assert _prepared(torch.randn(256, 128, 1, 1)) is not None
    assert _prepared(torch.randn(32, 16, 3, 3), groups=4) is None
    assert _prepared(torch.randn(32, 64, 3, 3), dilation=2) is None
    assert _prepared(torch.randn(32, 64, 3, 3).to(torch.bfloat16)) is None
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    assert _prepared(torch.randn(32, 64, 3, 3)) is None


def test_the_loop_and_who_calls_it_have_the_same_sizes():
    from generator.engine.loops import spread_loop

    for name in ("LANES", "BLOCK"):
        assert getattr(sparse, name) == getattr(spread_loop, name)
    assert sparse.GROUP % spread_loop.STEP == 0  # else the lists of `find` would not fit


def test_the_list_holds_what_is_not_zero_in_order_filled_up_to_whole_steps():
    from numba import njit

    from generator.engine.loops.spread_loop import BLOCK, SHARE, STEP, find

    channels, positions = SHARE + 32, 3
    values = _mostly_zero(positions, channels).numpy()
    values[1], values[2, 7] = 0, np.nan
    size = positions * channels + STEP
    begins, factors = np.empty(size, np.int32), np.empty(size)
    ends = np.empty(2 * positions + 1, np.int64)
    njit(find)(
        np.concatenate([np.ones(channels), values.ravel()]), 1, positions, channels, begins, factors, ends
    )
    number = 0
    for position in values:
        for part, start in ((position[:SHARE], 0), (position[SHARE:], SHARE)):
            chosen = np.flatnonzero(part != 0)
            low, high = ends[number], ends[number + 1]
            filling = -len(chosen) % STEP
            assert high - low == len(chosen) + filling
            np.testing.assert_array_equal(factors[low:high], [*part[chosen], *[0.0] * filling])
            np.testing.assert_array_equal(begins[low:high], [*BLOCK * (start + chosen), *[0] * filling])
            number += 1

"""The compiled loops beside torch's way, which needs no numba."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.loops import compiled
from generator.engine.scan.joined import join
from generator.engine.scan.moments import Moments, reduce_maps
from generator.engine.scan.top_units import TopUnits
from generator.network import models


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_compiled_loops_and_torch_find_the_same(layout, signed, monkeypatch):
    pytest.importorskip("numba")
    maps = torch.randn(40, 33, 7, 5).contiguous(memory_format=layout)
    maps[:, 3] = maps[:, 3].round()  # ties
    maps[:, 4] = 0
    if not signed:
        maps.relu_()

    def found():
        top, moments = TopUnits(33, signed=signed), Moments(33, 35)
        for numbers in torch.arange(40).split(9):
            reduced = reduce_maps(maps[numbers])
            top.update(maps[numbers], numbers, reduced.row_maximum)
            moments.update(reduced, reduced.maximum.flip(1))
        return top.arrays(), moments

    lists, moments = found()
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    lists_of_torch, moments_of_torch = found()
    for name, array in lists.items():
        np.testing.assert_array_equal(array, lists_of_torch[name])
    for name in ("score", "score_square", "product"):  # of single values: equal to the last bit
        for part in ("high", "low"):
            one, other = (getattr(each.sums[name], part) for each in (moments, moments_of_torch))
            assert torch.equal(one, other)
    for name, count in moments.counts.items():
        assert torch.equal(count, moments_of_torch.counts[name])
    for name in ("mean", "mean_square"):
        np.testing.assert_allclose(
            moments.sums[name].value(), moments_of_torch.sums[name].value(), rtol=1e-6, atol=1e-6
        )


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_a_block_s_sum_and_the_parts_of_its_active_units_are_alike_in_both_ways(layout, signed, monkeypatch):
    pytest.importorskip("numba")
    shortcut, branch = (torch.randn(3, 33, 7, 5).contiguous(memory_format=layout) for _ in range(2))
    branch[:, 0] = -shortcut[:, 0]  # a sum of zero is not above it
    ways = [join(shortcut, branch, rectified=not signed, everywhere=signed)]
    reduced = reduce_maps(ways[0].maps)
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    ways.append(join(shortcut, branch, rectified=not signed, everywhere=signed))
    total = shortcut + branch
    counted = ((total > 0) | signed).double()
    for found in ways:
        assert torch.equal(found.maps, total if signed else total.relu())
        assert torch.equal(found.units, counted.sum((2, 3)).long())
        assert int(found.units[:, 0].sum()) == (105 if signed else 0)
        for sums, maps in ((found.shortcut, shortcut), (found.branch, branch)):
            torch.testing.assert_close(sums, (maps * counted).sum((2, 3)), rtol=1e-5, atol=1e-5)
    for part in fields(reduced):  # bit for bit what the scan finds without a stream
        assert torch.equal(getattr(ways[0].reduced, part.name), getattr(reduced, part.name))


def test_a_value_that_is_no_number_stays_one_in_a_block_s_sum():
    shortcut, branch = torch.zeros(1, 16, 2, 2), torch.ones(1, 16, 2, 2)
    branch[0, 3, 1, 1] = torch.nan
    joined = join(shortcut, branch, rectified=True, everywhere=False)
    assert joined.maps[0, 3, 1, 1].isnan() and joined.reduced.mean_square[0, 3].isnan()


@pytest.mark.parametrize("rule", ["guided", "plain", "deconvnet"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_units_are_torchs(rule, dtype, monkeypatch):
    """Inner and border units of a strided block, of one with a shortcut of its own and of the stem; overlapping pooling
    windows, windows cut off at the border, and fields as large as the picture."""
    pytest.importorskip("numba")
    network = models.load("resnet18", "random")
    smaller = replace(network.preprocessing, resize=72, crop=64)
    network = network.with_preprocessing(smaller).to("cpu", dtype)
    torch.manual_seed(0)
    pictures = torch.randn(2, 3, 64, 64, dtype=dtype)
    switches = forward_switches(network, pictures)
    engine = UnitGradients(network, rule)
    for name in ("conv1", "res2b", "res3a", "res4b"):
        info = network.layer(name)
        edge, middle = info.height - 1, info.height // 2
        rows = torch.tensor([0, 0, middle, edge, middle]).repeat(4)
        columns = torch.tensor([0, edge, middle, middle, 0]).repeat(4)
        units = Units(torch.arange(20) % 2, torch.arange(20), rows, columns)
        loops = compiled._loops
        found = engine.gradients(switches, name, units)
        monkeypatch.setattr(compiled, "_loops", lambda: None)
        right = UnitGradients(network, rule).gradients(switches, name, units)
        monkeypatch.setattr(compiled, "_loops", loops)
        assert right.abs().amax() > 0
        tolerance = 1e-5 if dtype == torch.float32 else 1e-13
        torch.testing.assert_close(found, right, rtol=tolerance, atol=tolerance * float(right.abs().amax()))


@pytest.fixture
def anew():
    """Nothing is known of the loops yet, nor afterwards."""
    compiled._loops.cache_clear()
    yield
    compiled._loops.cache_clear()


def test_without_numba_torch_does_the_work_and_nothing_is_said(anew, monkeypatch, caplog):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert (compiled.kind(), compiled.loops()) == ("torch", None)
    compiled._loops.cache_clear()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "0")
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    assert (compiled.kind(), compiled.loops()) == ("torch", None)
    assert not caplog.records


def _raising(error):
    def njit(**options):
        raise error

    return njit


def _wrong(which):
    """A numba whose loop of this name leaves the arrays as they are; the others are done by Python itself."""

    def njit(**options):
        def decorate(function):
            if function.__name__.strip("_") == which:
                return functools.wraps(function)(lambda *given: None)
            return function

        return decorate

    return njit


BROKEN = {
    "renamed": _raising(AttributeError("module 'numba.core.cgutils' has no attribute 'alloca_once'")),
    "untypable": _raising(
        TypeError("No implementation of function Function(<intrinsic add_weighted>) found")
    ),
    "not lowered": _raising(NotImplementedError("no lowering for opaque pointers")),
    "no memory for code": _raising(MemoryError()),
    "strange": _raising(
        type("TypingError", (Exception,), {})("Failed in nopython mode pipeline\n\nmore lines")
    ),
    **{f"wrong {name}": _wrong(name) for name in ("reduce", "enter", "add", "rectify", "unpool", "spread")},
}


@pytest.mark.parametrize("njit", BROKEN.values(), ids=BROKEN)
def test_whatever_fails_in_numba_torch_computes_and_one_note_says_so(njit, anew, monkeypatch, caplog):
    pytest.importorskip("numba")
    monkeypatch.setattr("numba.njit", njit)
    maps = torch.randn(9, 5, 4, 3)
    reduced = reduce_maps(maps)
    assert torch.equal(reduced.maximum, maps.amax((2, 3)))
    assert (compiled.kind(), compiled.loops()) == ("torch", None)
    (record,) = caplog.records
    assert record.message.startswith("numba does not work here (") and "\n" not in record.message
    assert "torch computes instead" in record.message and "apart from their last digits" in record.message


def test_numbers_that_are_wrong_are_named(anew, monkeypatch, caplog):
    pytest.importorskip("numba")
    monkeypatch.setattr("numba.njit", _wrong("unpool"))
    assert compiled.kind() == "torch"
    assert "ArithmeticError: unpool gives wrong numbers" in caplog.text


INTERNALS = {
    "an import that fails": "sys.modules['numba.core.cgutils'] = None",
    "a name that is gone": "import numba.core.cgutils as c; del c.alloca_once",
    "a form that changed": "import numba.core.cgutils as c; c.alloca_once = lambda builder: None",
    "llvmlite": "from llvmlite.ir import IRBuilder; del IRBuilder.shuffle_vector",
}


@pytest.mark.slow
@pytest.mark.parametrize("breaking", INTERNALS.values(), ids=INTERNALS)
def test_internals_that_are_broken_end_in_torchs_way_with_one_note(breaking, tmp_path):
    pytest.importorskip("numba")
    code = f"""
import sys
import numba
{breaking}
import torch
from generator.engine.loops import compiled
from generator.network.ops import Step
from generator.engine.scan.moments import reduce_maps
from generator.engine.gradients.sparse import SparseTransposedConvolution
maps = torch.randn(9, 5, 4, 3)
step = Step("conv", (0,), "x", weight=torch.randn(64, 64, 3, 3), kernel=3)
print(torch.equal(reduce_maps(maps).maximum, maps.amax((2, 3))), compiled.kind())
print(SparseTransposedConvolution.of(step, step.weight))
"""
    root = Path(__file__).resolve().parent.parent
    # Machine code of an earlier day would hide that it cannot be made any more.
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("True torch\nNone\n", 0), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("numba does not work here (")


def test_the_kind_in_a_fingerprint_is_the_one_that_is_used(anew, monkeypatch):
    pytest.importorskip("numba")
    assert compiled.kind() == "numba" and compiled.loops() is not None
    compiled._loops.cache_clear()
    monkeypatch.setattr(compiled, "_try", lambda loops: 1 / 0)
    assert compiled.kind() == "torch" and compiled.loops() is None


@pytest.mark.slow
def test_machine_code_that_cannot_be_kept_is_made_anew(monkeypatch):
    numba = pytest.importorskip("numba")
    asked, real = [], numba.njit

    def njit(*, cache, **options):
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr("numba.njit", njit, raising=False)
    found = compiled._loops.__wrapped__()
    assert asked == [True, *[False] * len(fields(compiled.Loops))]
    assert found is not None


def test_loading_the_loops_is_said_where_it_takes_time(monkeypatch):
    messages: list[str] = []
    said = threading.Event()

    def say(message: str) -> None:
        messages.append(message)
        said.set()

    monkeypatch.setattr(compiled, "ANNOUNCED_AFTER", 60)
    monkeypatch.setattr(compiled, "_loops", lambda: None)
    compiled.prepare(say)
    assert not messages
    monkeypatch.setattr(compiled, "ANNOUNCED_AFTER", 0.1)
    monkeypatch.setattr(compiled, "_loops", lambda: said.wait(60))
    compiled.prepare(say)
    # How long it takes does not tell whether they are compiled or only read: the line must be true of both.
    assert [message.split(";")[0] for message in messages] == ["loading the compiled loops"]

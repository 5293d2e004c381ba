"""Memory that does not suffice: every pass that runs the network goes on with less at once and finds the same numbers,
or, where one picture is too large, ends in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damages import restore

from generator.core.errors import AtlasError
from generator.core.progress import Reporter
from generator.engine.ascent import ascent
from generator.engine.device import is_out_of_memory
from generator.engine.effects import effect_state
from generator.engine.scan import scan
from generator.engine.scan.stream import StreamPlan
from generator.methods import deepdream
from generator.stages import (
    gradient_rules,
    network_outputs,
    optimised_stream,
    residual_stream,
    scale_truth,
    stream_readings,
    unit_pictures,
    zooms,
)
from generator.stages.pipeline import compute

FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

# -- which errors say it ---------------------------------------------------------------------------------------------


def _numpys() -> Exception:
    """NumPy's own error, for an array that no machine holds."""
    try:
        np.empty((1 << 22, 1 << 34), np.uint8)
    except MemoryError as error:
        return error
    raise AssertionError("there was room for 2^56 bytes")


def _cpus() -> Exception:
    """That of torch's allocator on the CPU."""
    try:
        torch.empty(1 << 54, dtype=torch.uint8)
    except RuntimeError as error:
        return error
    raise AssertionError("there was room for 2^54 bytes")


YES = {
    "torch": FULL,
    "CUDA's runtime": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    "CUDA's runtime, by name": RuntimeError("CUDA error: cudaErrorMemoryAllocation"),
    "CUDA's driver": RuntimeError("CUDA driver error: out of memory"),
    "cuDNN 8": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cuDNN 9": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "cuSOLVER": RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    "HIP": RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    "MPS": RuntimeError("MPS backend out of memory (MPS allocated: 8.11 GB, max allowed: 9.07 GB)"),
    "CPU": RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    "CPU on Windows": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    "CPU, here": _cpus(),
    "oneDNN": RuntimeError("could not create a memory object"),
    "C++": RuntimeError("std::bad_alloc"),
    "Python": MemoryError(),
    "NumPy": _numpys(),
    "the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
}
NO = {
    "shapes": RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x2 and 3x4)"),
    "an illegal access": RuntimeError("CUDA error: an illegal memory access was encountered"),
    "another of cuDNN": RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    "another of cuBLAS": RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE"),
    "a sentence for people": AtlasError("out of memory, says somebody"),
    "a value": ValueError("out of memory"),
    "a full disk": OSError(errno.ENOSPC, "No space left on device"),
    "an interruption": KeyboardInterrupt(),
}


@pytest.mark.parametrize("kind", YES)
def test_every_kind_of_error_that_says_so_is_known(kind):
    assert is_out_of_memory(YES[kind])


@pytest.mark.parametrize("kind", NO)
def test_other_errors_are_not_taken_for_it(kind):
    assert not is_out_of_memory(NO[kind])


# -- every pass ------------------------------------------------------------------------------------------------------


class Full:
    """A function with memory for so many pictures at once: for more it raises the error of a device without room."""

    def __init__(self, function: Callable[..., Any], size: Callable[..., int], room: int) -> None:
        self._function, self._size, self._room = function, size, room
        self.refused, self.served = 0, 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        if self._size(*arguments, **options) > self._room:
            self.refused += 1
            raise FULL
        self.served += 1
        return self._function(*arguments, **options)


# By the stage: where the function is, its name, how many pictures a call takes at once, and for how many there is room.
# Then what a finished atlas lacks that has the stage run again, '' for a run from the start.
PASSES: dict[str, tuple[Any, str, Callable[..., int], int, str]] = {
    "scan": (scan, "_scan_forward", lambda network, batch, state, size, *_: size, 8, ""),
    "features": (
        network_outputs,
        "read_vectors",
        lambda network, pixels, step, forward: forward,
        8,
        "embedding/features.npy",
    ),
    "predictions": (
        network_outputs,
        "read_vectors",
        lambda network, pixels, step, forward: forward,
        1,
        "predictions.npz",
    ),
    "stream readings": (
        stream_readings,
        "read_stream",
        lambda network, pixels, images, reading, units, forward: forward,
        8,
        "stream.json",
    ),
    "residual stream": (
        residual_stream,
        "read_rescaled",
        lambda reader, pixels, forward: forward,
        8,
        "stream.json",
    ),
    "effects": (
        effect_state.EffectReader,
        "read",
        lambda reader, state, pixels, images, forward: forward,
        4,
        "effects.json",
    ),
    "zooms": (
        zooms,
        "read_zooms",
        lambda network, pixels, plan: plan.batch,
        8,
        "zooms.json",
    ),
    "optimised stream, its ascent": (
        ascent.Ascender,
        "_optimised",
        lambda ascender, channels, start: len(channels),
        8,
        "stream_optimised.json",
    ),
    "optimised stream, its reading": (
        optimised_stream,
        "read_centres",
        lambda network, pixels, plan: plan.batch,
        8,
        "stream_optimised.json",
    ),
    "patches and gradients": (
        unit_pictures,
        "forward_switches",
        lambda network, pictures, *_: len(pictures),
        4,
        "",
    ),
    "gradient rules": (
        gradient_rules,
        "forward_switches",
        lambda network, pictures, *_: len(pictures),
        2,
        "rules.json",
    ),
    "optimised pictures": (
        ascent.Ascender,
        "_optimised",
        lambda ascender, channels, start: len(channels),
        1,
        "layers/res2a/optimised.npz",
    ),
}


def _refuse(monkeypatch: pytest.MonkeyPatch, name: str, room: int) -> Full:
    where, function, size, _, _ = PASSES[name]
    full = Full(getattr(where, function), size, room)
    monkeypatch.setattr(where, function, lambda *given, **options: full(*given, **options))
    return full


def _begun(tiny_atlas, folder: Path, lacks: str) -> Path:
    if lacks:
        restore(tiny_atlas.folder, folder)
        (folder / lacks).unlink()
    return folder


def _numbers(folder: Path) -> dict[str, np.ndarray]:
    """Every array of an atlas by its file and name."""
    found = {}
    for path in sorted(folder.rglob("*.np[yz]")):
        if "work" in path.parts or ".cache" in path.parts:
            continue
        arrays = np.load(path)
        items = arrays.items() if path.suffix == ".npz" else [("", arrays)]
        found |= {f"{path.relative_to(folder)}:{name}": array for name, array in items}
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("name", PASSES)
def test_a_pass_goes_on_with_fewer_at_once_and_finds_the_same_numbers(
    tiny, tiny_atlas, tmp_path, monkeypatch, name
):
    """The same but for last digits, as the note says: a convolution's depend on how many pictures it takes."""
    _, _, _, room, lacks = PASSES[name]
    folder = _begun(tiny_atlas, tmp_path / "atlas", lacks)
    full = _refuse(monkeypatch, name, room)
    reporter = Reporter(quiet=True)
    compute(tiny, folder, reporter)
    assert full.refused and full.served
    assert sum("out of memory" in note for note in reporter.notes) == 1
    expected, found = _numbers(tiny_atlas.folder), _numbers(folder)
    assert expected.keys() == found.keys()
    for key, array in expected.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found[key], array, rtol=1e-3, atol=1e-5, err_msg=key)
        else:
            np.testing.assert_array_equal(found[key], array, err_msg=key)
    names = [
        {str(path.relative_to(root)) for path in root.rglob("*.webp")} for root in (tiny_atlas.folder, folder)
    ]
    assert names[0] == names[1]


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("name", PASSES)
def test_without_room_for_one_picture_it_is_one_sentence(tiny, tiny_atlas, tmp_path, monkeypatch, name):
    folder = _begun(tiny_atlas, tmp_path / "atlas", PASSES[name][-1])
    _refuse(monkeypatch, name, 0)
    with pytest.raises(AtlasError, match="not enough memory for a single picture"):
        compute(tiny, folder, Reporter(quiet=True))
    assert not (folder / "manifest.json").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
def test_a_dream_that_does_not_fit_beside_others_is_dreamt_alone(tiny, tiny_atlas, tmp_path, monkeypatch):
    """A picture is no batch: there is nothing to halve."""
    folder = restore(tiny_atlas.folder, tmp_path / "atlas")
    for path in (folder / "deepdream").glob("*.json"):
        path.unlink()
    whole, tried = deepdream.Dreamer.dream, []

    def fails_first(dreamer, pixels):
        tried.append(dreamer.layer)
        if tried.count(dreamer.layer) == 1:
            raise FULL
        return whole(dreamer, pixels)

    monkeypatch.setattr(deepdream.Dreamer, "dream", fails_first)
    compute(tiny, folder, Reporter(quiet=True))
    assert sorted(tried) == ["res2a", "res2a", "res4c", "res4c"]
    files = list(tiny_atlas.folder.glob("deepdream/*"))
    assert len(files) == 6  # two dreams with their numbers, the start picture and the list
    for path in files:
        assert (folder / "deepdream" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("small_steps")
def test_a_dream_that_never_fits_says_what_to_do(tiny, tiny_atlas, tmp_path, monkeypatch):
    folder = restore(tiny_atlas.folder, tmp_path / "atlas")
    for path in (folder / "deepdream").glob("*.json"):
        path.unlink()

    def fails(dreamer, pixels):
        raise FULL

    monkeypatch.setattr(deepdream.Dreamer, "dream", fails)
    with pytest.raises(AtlasError, match=r"single picture.*a smaller side .*deepdream"):
        compute(tiny, folder, Reporter(quiet=True))


@pytest.mark.parametrize("room", [1, 3, 32])
def test_answers_to_drawn_sizes_with_any_room(monkeypatch, room):
    """Of the scale criteria's truth, which only the drawn world has."""

    def strongest(network, pixels, plan):
        assert len(pixels) <= plan.batch
        if plan.batch > room:
            raise FULL
        return {"res2a": {"input": pixels.numpy().max((1, 2)), "block": pixels.numpy().min((1, 2))}}

    monkeypatch.setattr(scale_truth, "strongest", strongest)
    pixels = torch.from_numpy(np.random.default_rng(0).random((21, 4, 4, 3)))
    plan = StreamPlan((), 32)
    fitting = next(size for size in (32, 16, 8, 4, 2, 1) if size <= room)
    if room < 32:
        with pytest.raises(torch.OutOfMemoryError):
            scale_truth._strongest(None, pixels, plan, 32)
    found = scale_truth._strongest(None, pixels, plan, fitting)
    np.testing.assert_array_equal(found["res2a", "input"], pixels.numpy().max((1, 2)))
    np.testing.assert_array_equal(found["res2a", "block"], pixels.numpy().min((1, 2)))

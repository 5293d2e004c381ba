"""The pass over the pictures, against networks whose answer is known and against keeping everything."""

from __future__ import annotations

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_batches import Drawn, in_batches
from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing, WeightsInfo
from generator.engine import device
from generator.engine.device import avoid_page_faults, choose_device
from generator.engine.scan.histograms import BINS, bin_of
from generator.engine.scan.plan import CANDIDATES, ScanPlan
from generator.engine.scan.rescoring import rescore
from generator.engine.scan.scan import Located, scan, scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.network.network import Network, Tap

SIDE = 12


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.conv2, self.bn2 = (
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x  # the trap: in place
        return self.relu(out)


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu = (
            nn.Conv2d(3, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(inplace=True),
        )
        self.layer1 = nn.Sequential(Block(16), Block(16))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(16, 5)

    def forward(self, x):
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


TAPS = (
    Tap("conv1", "conv1", "stem", "", 1),
    Tap("res2a_branch2a", "layer1.0.conv1", "branch", "res2a", 2),
    Tap("res2a_branch2b", "layer1.0.conv2", "branch", "res2a", 2),
    Tap("res2a", "layer1.0", "block", "res2a", 2),
    Tap("res2b", "layer1.1", "block", "res2b", 2),
)
PLAIN = Preprocessing(0, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 255.0)


def _module(whole_numbers=False):
    torch.manual_seed(3)
    module = Small().eval()
    if whole_numbers:  # all sums exact: bits may be compared whatever the convolution's algorithm
        for layer in module.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = torch.randint(-1, 2, layer.weight.shape).float()
                if layer.bias is not None:
                    layer.bias.data.zero_()
            if isinstance(layer, nn.BatchNorm2d):
                layer.eps = 0.0
                layer.weight.data.fill_(0.25)
    else:
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.uniform_(-0.5, 0.5)
                layer.running_var.uniform_(0.5, 2)
    return module


def _network(module, scale=255.0):
    preprocessing = replace(PLAIN, value_range=scale)
    weights = WeightsInfo("random", "0", True)
    names = tuple("abcde")
    return Network.from_module("small", module, TAPS, preprocessing, weights, classes=names).to("cpu")


def _pictures(count=41):
    return torch.randint(
        0, 9, (count, SIDE, SIDE, 3), generator=torch.Generator().manual_seed(5), dtype=torch.uint8
    )


def _scan(network, batches, batch, **options):
    state = ScanState.empty(replace(ScanPlan.of(network, batch), **options))
    scores = [(b.indices, s) for b, s in scan(network, batches, state)]
    table = np.full((len(_pictures()), scores[0][1].shape[1]), np.nan, np.float32)
    for indices, part in scores:
        table[indices] = part
    return state, table


def _numbers(state):
    return {(layer.name, key): a for layer in state.plan.layers for key, a in state.layer(layer.name).items()}


def _same(first, second):
    first, second = _numbers(first), _numbers(second)
    assert first.keys() == second.keys()
    for key, array in first.items():
        assert array.dtype == second[key].dtype
        np.testing.assert_array_equal(array, second[key], err_msg=str(key))


@pytest.mark.parametrize("sampled", [1, 3], ids=["all", "every third"])
def test_maxima_of_the_chosen_pictures_are_located_and_all_scores_counted(sampled):
    network, pictures = _network(_module()), _pictures()
    plan = ScanPlan.of(network, 8)
    rows = np.where(np.arange(len(pictures)) % sampled == 0, np.arange(len(pictures)) // sampled, -1)
    channels = [layer.channels for layer in plan.located]
    places = np.full((rows.max() + 1, sum(channels)), -1)
    state, scores = ScanState.empty(plan), np.empty((len(pictures), plan.channels), np.float32)

    def take(of, found):
        places[of] = found

    batches = in_batches(pictures, 16, torch.randperm(41, generator=torch.Generator().manual_seed(1)))
    for scanned in scan_side_by_side(network, batches, state, threads=1, located=Located(rows, take)):
        for batch, part in scanned:
            scores[batch.indices] = part
    steps = [step for step, layer in zip(network.steps, plan.layers, strict=True) if layer.located]
    maps = {
        index: found.clone()
        for index, found in network.graph.visit(network.prepare(pictures[rows >= 0]), {*steps}, {})
        if index in steps
    }
    right = torch.cat([maps[step].contiguous().flatten(2).argmax(2) for step in steps], 1).numpy()
    assert (
        places == right
    ).mean() > 0.999  # another batch's last bits may choose another of two equal places
    counts = np.zeros((plan.channels, BINS), np.int64)
    for row in bin_of(torch.from_numpy(scores)).numpy():
        counts[np.arange(plan.channels), row] += 1
    np.testing.assert_array_equal(state.histograms.counts.numpy(), counts)


def test_every_batch_size_and_order_gives_the_same_bits():
    network, pictures = _network(_module(whole_numbers=True)), _pictures()
    expected, scores = _scan(network, in_batches(pictures, 41), 41)
    for size in (1, 3, 7, 32):
        order = torch.randperm(41, generator=torch.Generator().manual_seed(size))
        state, table = _scan(network, in_batches(pictures, size, order), size)
        _same(expected, state)
        np.testing.assert_array_equal(table, scores)


def test_what_a_scan_keeps_does_not_grow_with_the_pictures():
    network, pictures = _network(_module()), _pictures()
    short, _ = _scan(network, in_batches(pictures[:16], 8), 8)
    long, _ = _scan(network, in_batches(pictures, 8), 8)
    assert long.pictures > short.pictures
    sizes = [{name: array.nbytes for name, array in state.arrays().items()} for state in (short, long)]
    assert sizes[0] == sizes[1]


def test_parts_merge_and_checkpoints_go_on_to_the_same_bits():
    network, pictures = _network(_module()), _pictures()
    batches = in_batches(pictures, 8)
    expected, _ = _scan(network, batches, 8)
    first, _ = _scan(network, batches[1::2], 8)
    second, _ = _scan(network, batches[0:3:2], 8)
    file = io.BytesIO()
    np.savez(file, **second.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        resumed = ScanState.from_arrays(dict(arrays))
    for _ in scan(network, batches[4::2], resumed):
        pass
    first.merge(resumed)
    assert first.pictures == 41
    _same(expected, first)


def test_the_scan_finds_what_keeping_everything_finds():
    """Hooks that clone at once, on the original module; its inner convolutions are read before the
    addition."""
    module, pictures = _module(), _pictures()
    kept: dict[str, torch.Tensor] = {}

    def keep(name, rectify):
        return lambda _, __, output: kept.__setitem__(
            name, output.clone().relu() if rectify else output.clone()
        )

    module.bn1.register_forward_hook(keep("conv1", True))
    module.layer1[0].bn1.register_forward_hook(keep("res2a_branch2a", True))
    module.layer1[0].bn2.register_forward_hook(keep("res2a_branch2b", False))
    module.layer1[0].register_forward_hook(keep("res2a", False))
    module.layer1[1].register_forward_hook(keep("res2b", False))
    with torch.no_grad():
        module(pictures.permute(0, 3, 1, 2).float())
    network = _network(_module())
    state, table = _scan(network, in_batches(pictures, 16), 16)
    start = 0
    for layer in state.plan.layers:
        maps, found = kept[layer.name], state.layer(layer.name)
        scores = maps.amax((2, 3)).numpy()
        np.testing.assert_allclose(table[:, start : start + 16], scores, rtol=1e-4, atol=1e-4)
        start += 16
        order = np.argsort(-scores, 0, kind="stable")[:9].T
        alive = np.take_along_axis(scores.T, order, 1) > 0
        if layer.name == "res2a_branch2b":  # before the addition there is no ReLU: every score counts
            assert layer.signed and not alive.all()
            alive[:] = True
        np.testing.assert_array_equal(found["top_image"], np.where(alive, order, -1))
        for c, slot in zip(*alive.nonzero(), strict=True):
            row, column = found["top_unit"][c, slot]
            value = float(maps[order[c, slot], c, row, column])
            assert value == pytest.approx(float(found["top_value"][c, slot]), rel=1e-4)
        exact = maps.double().numpy()
        np.testing.assert_allclose(found["mean"], exact.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["std"], exact.std((0, 2, 3)), rtol=1e-4, atol=1e-5)
    pearson = state.layer("res2b")["pearson_previous"]
    x, y = (kept[name].amax((2, 3)).numpy() for name in ("res2a", "res2b"))
    right = [np.corrcoef(x[:, c], y[:, c])[0, 1] for c in range(16)]
    np.testing.assert_allclose(pearson, right, rtol=1e-3, atol=1e-4)
    assert np.isnan(state.layer("res2a")["pearson_previous"]).all()


def test_a_signed_channel_is_dead_only_if_no_picture_moves_it():
    module, pictures = _module(), _pictures()
    norm = module.layer1[0].bn2
    norm.weight.data[:3] = torch.tensor([0.0, 0.0, 0.1])
    norm.bias.data[:3] = torch.tensor([-1.5, 0.0, -20.0])  # constant, zero, always far below zero
    state, _ = _scan(_network(module), in_batches(pictures, 16), 16)
    found = state.layer("res2a_branch2b")
    assert found["dead"][:3].tolist() == [True, True, False]
    assert (found["top_image"][:2] == -1).all()
    assert (found["top_image"][2] >= 0).all()
    assert (found["top_value"][2] < 0).all()


def test_ties_between_pictures_rows_and_columns():
    module = _module()
    conv = module.conv1
    conv.weight.data.zero_()
    conv.bias.data.zero_()
    conv.weight.data[0, 0, 1, 1] = 1  # channel 0 is the red of the picture, the others are zero
    for parameter, value in ((module.bn1.running_mean, 0), (module.bn1.running_var, 1)):
        parameter.fill_(value)
    module.bn1.eps = 0.0
    pictures = torch.zeros(20, SIDE, SIDE, 3, dtype=torch.uint8)
    for picture, row, column, red in [(4, 2, 7, 9), (4, 2, 5, 9), (4, 1, 11, 9), (17, 3, 3, 9), (2, 8, 8, 1)]:
        pictures[picture, row, column, 0] = red
    network = _network(module).keep(["conv1"])
    found = _scan(network, in_batches(pictures, 6, torch.arange(19, -1, -1)), 6)[0].layer("conv1")
    assert found["top_image"][0].tolist() == [4, 17, 2] + [-1] * 6
    assert found["top_unit"][0, :3].tolist() == [[1, 11], [3, 3], [8, 8]]
    assert found["top_value"][0].tolist() == [9, 9, 1] + [0] * 6
    assert found["dead"].tolist() == [False] + [True] * 15
    assert (found["top_image"][1:] == -1).all()


@pytest.mark.parametrize(
    ("value", "says"), [(float("nan"), "finite"), (float("inf"), "finite"), (1e12, "larger")]
)
def test_a_number_that_is_none_names_layer_and_picture(value, says):
    module = _module()
    module.layer1[0].bn2.weight.data[3] = value
    pictures = torch.zeros(4, SIDE, SIDE, 3, dtype=torch.uint8)
    with pytest.raises(AtlasError, match=says) as error:
        _scan(_network(module), in_batches(pictures + 9, 4), 4)
    assert "res2a_branch2b, picture 0" in str(error.value)


def test_a_batch_without_pictures_changes_nothing():
    network, pictures = _network(_module()), _pictures()
    expected, _ = _scan(network, in_batches(pictures, 8), 8)
    nothing = Drawn(torch.zeros(0, dtype=torch.int64), pictures[:0])
    state, _ = _scan(network, [nothing, *in_batches(pictures, 8)], 8)
    _same(expected, state)


def test_a_fast_scan_rescored_has_the_nine_of_fp32():
    network, pictures = _network(_module()), _pictures()
    expected, _ = _scan(network, in_batches(pictures, 8), 8)
    plan = ScanPlan.of(network, 8, "bf16")
    assert plan.keep == CANDIDATES
    fast = ScanState.empty(replace(plan, keep=16))
    for _ in scan(network.to("cpu", plan.dtype), in_batches(pictures, 8), fast):
        pass
    result, report = rescore(network, fast, lambda chosen: in_batches(pictures, 8, torch.tensor(chosen)))
    for layer in plan.layers:
        for key in ("top_image", "top_unit", "top_value"):
            np.testing.assert_array_equal(result.layer(layer.name)[key], expected.layer(layer.name)[key])
    assert 0 < report.reordered <= report.channels <= 80
    assert report.certain <= report.channels


def test_devices_by_name():
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("tpu", "cuda:x", "mps"):
        with pytest.raises(AtlasError):
            choose_device(name)
    if not torch.cuda.is_available():
        with pytest.raises(AtlasError, match="no CUDA"):
            choose_device("cuda")


def test_the_allocator_is_told_to_keep_memory_where_there_is_glibc(monkeypatch):
    """Both options, and success only where it takes both."""
    told: list[tuple[int, int]] = []

    class Glibc:
        gnu_get_libc_version = staticmethod(lambda: b"2.39")
        answers = (1, 1)

        def mallopt(self, option, value):
            told.append((option, value))
            return self.answers[len(told) - 1]

    monkeypatch.setattr(device.sys, "platform", "linux")
    for answers, expected in (((1, 1), True), ((1, 0), False), ((0, 1), False)):
        told.clear()
        monkeypatch.setattr(Glibc, "answers", answers)
        monkeypatch.setattr(device.ctypes, "CDLL", lambda name: Glibc())
        assert avoid_page_faults() is expected
        assert told[0] == (-4, 0)  # M_MMAP_MAX: nothing is mapped
    assert told == [(-4, 0)]
    told.clear()
    monkeypatch.setattr(Glibc, "answers", (1, 1))
    avoid_page_faults()
    assert told == [(-4, 0), (-1, 2**31 - 1)]  # M_TRIM_THRESHOLD: nothing goes back
    for platform, library in (("darwin", Glibc), ("linux", object)):  # musl has no such functions
        monkeypatch.setattr(device.sys, "platform", platform)
        monkeypatch.setattr(device.ctypes, "CDLL", lambda name, library=library: library())
        told.clear()
        assert avoid_page_faults() is False and told == []


@pytest.mark.alone
@pytest.mark.slow
def test_memory_that_was_kept_between_batches_goes_back_between_stages():
    code = """
import torch
from generator.engine.device import avoid_page_faults, trim_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

if not avoid_page_faults():
    raise SystemExit
large, above = torch.ones(50_000_000), torch.ones(1000)  # what lies above keeps the heap from shrinking by itself
before = resident()
del large
kept = resident()
trim_memory()
print(before - kept, before - resident())
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    if not done.stdout:
        pytest.skip("only glibc is told to keep memory")
    at_once, between_stages = map(float, done.stdout.split())
    assert at_once < 20 and between_stages > 180  # MB, of 200


def test_batches_side_by_side_give_the_same_bits_in_rounds():
    network, pictures = _network(_module(whole_numbers=True)), _pictures()
    batches = in_batches(pictures, 8)
    expected, _ = _scan(network, batches, 8)
    state = ScanState.empty(expected.plan)
    rounds = [len(batches) for batches in scan_side_by_side(network, batches, state, threads=3)]
    assert rounds == [3, 3]
    _same(expected, state)

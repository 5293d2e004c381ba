"""The residual stream: planted blocks with known answers, and the same numbers from plain hooks and SciPy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from drawn_batches import in_batches
from scipy import stats
from small_job import write_rough_pictures
from torch import nn

from generator.core.progress import Reporter
from generator.core.records import Preprocessing, WeightsInfo
from generator.core.store import Store
from generator.engine.ascent.ascent import ascend
from generator.engine.scan.around import around
from generator.engine.scan.centre_tops import CentreTops
from generator.engine.scan.grouped_sums import GROUPS, GroupedSum, group_of
from generator.engine.scan.plan import ScanPlan
from generator.engine.scan.scan import scan_side_by_side
from generator.engine.scan.state import ScanState
from generator.engine.scan.stream import StreamPlan, StreamSteps
from generator.engine.scan.stream_rescaled import (
    READ_ON,
    Listed,
    RescaledReader,
    RescaledState,
    enlarge,
    read_rescaled,
    reduce,
)
from generator.engine.scan.stream_state import StreamReading, StreamState, read_stream
from generator.engine.scan.unit_parts import BlockUnits, UnitParts
from generator.methods import mixing
from generator.methods.contribution import mean_share, shortcut_share, signed_parts
from generator.methods.mix_intervals import (
    SampleNumbers,
    rank_correlation,
    rank_influence,
    sample_numbers,
    share_intervals,
)
from generator.methods.resampling import NORMAL
from generator.methods.scale import scale_criteria
from generator.network import models
from generator.network.models.resnet_cifar import CifarResNet
from generator.network.network import Network, Tap
from generator.network.residual import find_residual, statistics_folded
from generator.pictures.decoding import read_picture
from generator.stages import profile
from generator.stages.optimised_stream import block_numbers, read_at, recipe
from generator.stages.pipeline import compute

PLAIN = Preprocessing(16, 16, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
PROFILE = """
name = "small"
[network]
model = "{model}"
weights = "random"
[layers]
channels = 1
[pictures]
folder = "{folder}"
[compute]
batch = {batch}
workers = 0
[stream]
rescaled = {rescaled}
optimised_steps = {steps}
"""


class Block(nn.Module):
    """relu(shortcut(x) + branch(x)); the sum may be written either way round."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module, turned: bool) -> None:
        super().__init__()
        self.branch, self.shortcut, self.turned = branch, shortcut, turned

    def forward(self, x):
        branch, shortcut = self.branch(x), self.shortcut(x)
        return F.relu(shortcut + branch if self.turned else branch + shortcut)


def _constant(convolution: nn.Conv2d, weight) -> nn.Conv2d:
    with torch.no_grad():
        convolution.weight.copy_(
            torch.as_tensor(weight, dtype=torch.float32).expand(convolution.weight.shape)
        )
    return convolution


def _network(branch: nn.Module, shortcut: nn.Module, turned: bool = False) -> tuple[Network, nn.Module]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), Block(branch, shortcut, turned)).eval()
    _constant(module[0], torch.eye(3)[:, :, None, None])
    tap = Tap("res2a", "2", "block", "res2a", 2)
    return Network.from_module("planted", module, [tap], PLAIN, WeightsInfo("planted", "")), module


def _branch(last: nn.Conv2d) -> nn.Sequential:
    first = _constant(nn.Conv2d(3, 3, 1, bias=False), torch.eye(3)[:, :, None, None])
    return nn.Sequential(first, nn.ReLU(), last)


def _pixels(count: int = 24, side: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def _reading(network: Network, batch: int = 8) -> tuple[StreamReading, np.ndarray]:
    """A reading from scratch, and where it keeps Input and Block of every picture, Input's channels first; with room
    for more pictures than any test has."""
    plan, pictures = StreamPlan.of(network, batch), 500
    kept = np.full((pictures, 2 * sum(block.channels for block in plan.blocks)), np.nan, np.float32)
    steps = StreamSteps.of(network, plan)
    return StreamReading(steps, StreamState(plan), np.arange(pictures), kept.__setitem__), kept


def _read(network: Network, pixels: torch.Tensor, batch: int = 8) -> StreamState:
    """The pass over the pictures as they are; the lists of units are found on the way."""
    reading, _ = _reading(network, batch)
    for images in torch.arange(len(pixels)).split(batch):
        read_stream(network, pixels[images], images, reading, None, batch)
    return reading.state


def _rescaled(network: Network, pixels: torch.Tensor, state: StreamState) -> RescaledState:
    """The pass over rescaled pictures; reads them on the lists of `state`."""
    rescaled, reader = RescaledState(state.plan), RescaledReader.of(network, state.plan)
    for images in torch.arange(len(pixels)).split(8):
        listed = {}
        for name, side in rescaled.listed:
            lists = state.tops[name, READ_ON[side]].images
            channel, slot = torch.isin(lists, images).nonzero(as_tuple=True)
            listed[name, side] = Listed(lists[channel, slot] - images[0], channel, slot)
        rescaled.update(read_rescaled(reader, pixels[images], 8), listed)
    return rescaled


def _parts(state: StreamState) -> list[np.ndarray]:
    """What shortcut and branch give at the units of the lists, (C, 9) each, NaN where there is none."""
    parts = state.parts["res2a"]
    return list(np.moveaxis(parts.at(parts.top.images.numpy(), slice(2)), 2, 0))


def _ratio(state: StreamState) -> np.ndarray:
    tops = {side: state.tops["res2a", side].beside.numpy()[:, :, 1] for side in ("input", "block")}
    return mixing.mix_ratio(mixing.mean_of_list(tops["input"]), mixing.mean_of_list(tops["block"]))


# -- where shortcut and branch meet --------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("projection", [False, True])
def test_the_shortcut_is_found_whichever_way_the_sum_is_written(turned, projection):
    shortcut = nn.Conv2d(3, 3, 1, bias=False) if projection else nn.Identity()
    network, _ = _network(_branch(nn.Conv2d(3, 3, 3, padding=1)), shortcut, turned)
    found = find_residual(network.graph, network.step("res2a"))
    steps = network.graph.steps
    assert found is not None and found.is_identity is not projection
    assert steps[found.branch].scope == "2.branch.2"
    assert steps[found.shortcut].scope == ("2.shortcut" if projection else "1")


@pytest.mark.parametrize(
    ("model", "last", "projected"),
    [
        ("resnet18", "conv2", {"res3a", "res4a", "res5a"}),
        ("resnet50-caffe", "conv3", {"res2a", "res3a", "res4a", "res5a"}),
        ("resnet20-cifar", "conv2", {"res3a", "res4a"}),
        ("resnext50_32x4d", "conv3", {"res2a", "res3a", "res4a", "res5a"}),
    ],
)
def test_every_family_s_blocks_are_taken_apart(model, last, projected):
    network = models.load(model, "random")
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    for layer in blocks:
        found = find_residual(network.graph, network.step(layer.name))
        assert found is not None
        assert network.graph.steps[found.branch].scope == f"{layer.path}.{last}"
        assert found.is_identity is (layer.name not in projected)


def test_two_branches_alike_and_a_plain_layer_are_no_residual_block():
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return F.relu(self.one(x) + self.other(x))

    module = nn.Sequential(Twins(), nn.Conv2d(3, 3, 1), nn.ReLU())
    taps = [Tap("res2a", "0", "block", "res2a", 2), Tap("plain", "2", "block", "plain", 2)]
    network = Network.from_module("twins", module, taps, PLAIN, WeightsInfo("", ""))
    assert [find_residual(network.graph, network.step(name)) for name in ("res2a", "plain")] == [None, None]
    assert StreamPlan.of(network, 4).blocks == ()


def _with_statistics(norm: nn.BatchNorm2d, kind: str) -> nn.BatchNorm2d:
    """A BatchNorm as training, a tool that folds its statistics, or nothing at all leaves it."""
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        if kind != "new":
            norm.weight.copy_(0.5 + torch.rand(norm.num_features, generator=random))
            norm.bias.copy_(torch.randn(norm.num_features, generator=random))
        if kind == "trained":
            norm.running_mean.copy_(torch.randn(norm.num_features, generator=random))
            norm.running_var.copy_(0.1 + torch.rand(norm.num_features, generator=random))
        if kind == "partly":  # one channel of many has statistics of its own
            norm.running_var[1] = 1.5
        if kind == "less epsilon":
            norm.running_var.fill_(1 - norm.eps)
        if kind == "half precision":
            norm.half().float()
        if kind == "no bias":
            norm.bias.zero_()
    return norm


@pytest.mark.parametrize(
    ("kind", "folded"),
    [("trained", False), ("partly", False), ("new", False), ("folded", True), ("less epsilon", True),
     ("half precision", True), ("no bias", True)],
)  # fmt: skip
def test_statistics_that_are_folded_into_a_norm_are_recognised(kind, folded):
    assert statistics_folded(_with_statistics(nn.BatchNorm2d(8), kind)) == folded
    assert not statistics_folded(nn.BatchNorm2d(8, track_running_stats=False))


def test_a_norm_s_weight_is_gamma_only_where_its_statistics_stand_apart(shared_data):
    """The real network whose running statistics are folded in, and one that was just made."""
    weights = shared_data / "resnet50-imagenet/resnet50-imagenet.safetensors"
    real = models.load("resnet50", weights)
    assert len(real.magnitudes) == 16 and all(found.folded for found in real.magnitudes.values())
    fresh = models.load("resnet20-cifar", "random")
    assert fresh.magnitudes and not any(found.folded for found in fresh.magnitudes.values())


def test_the_weights_magnitudes_are_those_of_the_module_before_the_fold():
    torch.manual_seed(1)
    module = CifarResNet(1, 10).eval()
    for norm in (part for part in module.modules() if isinstance(part, nn.BatchNorm2d)):
        nn.init.normal_(norm.weight)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    network = Network.from_module(
        "cifar", module, models.find("resnet20-cifar").taps(module), PLAIN, WeightsInfo("", "")
    )
    for name, block in (("res2a", module.layer1[0]), ("res3a", module.layer2[0])):
        found = network.magnitudes[name]
        torch.testing.assert_close(found.norm, block.bn2.weight.detach().abs().double())
        torch.testing.assert_close(
            found.convolution, block.conv2.weight.detach().double().flatten(1).abs().mean(1)
        )


# -- planted blocks ------------------------------------------------------------------------------------------


def test_an_identity_block_skips_and_all_comes_along_the_shortcut():
    network, _ = _network(_branch(_constant(nn.Conv2d(3, 3, 1, bias=False), 0.0)), nn.Identity())
    state = _read(network, _pixels())
    np.testing.assert_array_equal(_ratio(state), mixing.SKIPS)
    parts = _parts(state)
    np.testing.assert_array_equal(parts[1], 0)
    np.testing.assert_array_equal(mean_share(*parts), 1)


def test_a_block_that_overwrites_has_ratio_and_share_zero():
    last = _constant(nn.Conv2d(3, 3, 1, bias=False), torch.eye(3)[:, :, None, None])
    network, _ = _network(_branch(last), _constant(nn.Conv2d(3, 3, 1, bias=False), 0.0))
    state = _read(network, _pixels())
    np.testing.assert_array_equal(_ratio(state), mixing.OVERWRITES)
    parts = _parts(state)
    np.testing.assert_array_equal(mean_share(*parts), 0)


def test_a_block_that_erases_its_input_and_writes_the_next_channel_overwrites():
    # Channel c becomes relu(x_c + (2 x_{c+1} − x_c)) = 2 x_{c+1}: on the pictures that drive x_c most it is as on any.
    weight = 2 * torch.eye(3).roll(1, 1) - torch.eye(3)
    last = _constant(nn.Conv2d(3, 3, 1, bias=False), weight[:, :, None, None])
    network, _ = _network(_branch(last), nn.Identity())
    ratio = _ratio(_read(network, _pixels(200)))
    assert (ratio < 1).all() and (ratio > 0).all()


def test_an_even_mixture_has_ratio_one():
    # Input and Block are the same here, so the same pictures drive both.
    last = _constant(nn.Conv2d(3, 3, 1, bias=False), torch.eye(3)[:, :, None, None])
    network, _ = _network(_branch(last), nn.Identity())
    state = _read(network, _pixels())
    np.testing.assert_allclose(_ratio(state), 1)
    assert mixing.near_one(_ratio(state)).all()
    np.testing.assert_allclose(mean_share(*_parts(state)), 0.5)


def _blob(radius: float, side: int = 64) -> np.ndarray:
    """A disc of this radius on black, in the middle."""
    row, column = np.mgrid[:side, :side] - side / 2
    return np.repeat((np.hypot(row, column) <= radius).astype(np.uint8)[:, :, None] * 255, 3, axis=2)


def _ring_filter(radius: float, side: int = 41) -> torch.Tensor:
    """A disc-detector of zero mean: plus one inside the radius, minus outside, up to twice the radius."""
    row, column = np.mgrid[:side, :side] - side // 2
    distance = np.hypot(row, column)
    inside, outside = distance <= radius, (distance > radius) & (distance <= 2 * radius)
    kernel = inside / inside.sum() - outside / outside.sum()
    return torch.from_numpy(kernel).float()


@pytest.mark.slow
@pytest.mark.parametrize(("input_radius", "block_radius", "expected"), [(4, 8, True), (8, 4, False)])
def test_a_pair_of_detectors_at_two_sizes_is_scale_invariant_only_with_the_larger_in_the_block(
    input_radius, block_radius, expected
):
    # Input sees discs of one radius, Block of twice (or half) that; their sum answers to both.
    shortcut = _constant(
        nn.Conv2d(3, 3, 41, padding=20, bias=False),
        torch.eye(3)[:, :, None, None] * _ring_filter(input_radius),
    )
    branch = _branch(
        _constant(
            nn.Conv2d(3, 3, 41, padding=20, bias=False),
            torch.eye(3)[:, :, None, None] * _ring_filter(block_radius),
        )
    )
    torch.manual_seed(0)
    network, _ = _network(branch, shortcut)
    network = network.with_preprocessing(replace(network.preprocessing, resize=64, crop=64))
    pixels = torch.from_numpy(np.stack([_blob(radius) for radius in np.linspace(2, 16, 57)]))
    state = _read(network, pixels)
    tops = {side: state.tops["res2a", side] for side in ("input", "block")}
    beside = {side: top.beside.numpy() for side, top in tops.items()}
    rescaled = _rescaled(network, pixels, state).listed
    found = scale_criteria(
        rescaled["res2a", "block"], beside["input"][:, :, 0], tops["block"].values.numpy(),
        rescaled["res2a", "input"], beside["block"][:, :, 0], tops["input"].values.numpy(),
    )  # fmt: skip
    assert mixing.near_one(_ratio(state)).all()
    assert (found.both() == expected).all()
    assert (found.invariant(_ratio(state)) == expected).all()
    assert not found.invariant(np.full(3, 2.0)).any()  # the condition on the mixture
    assert ((found.sum > 0) == expected).all()


# -- sums and lists ------------------------------------------------------------------------------------------


def test_the_parts_add_up_to_the_value_before_the_relu_in_double():
    torch.manual_seed(0)
    network, module = _network(_branch(nn.Conv2d(3, 3, 3, padding=1)), nn.Conv2d(3, 3, 1))
    double = network.to("cpu", torch.float64)
    pixels = _pixels()
    found = find_residual(network.graph, network.step("res2a"))
    x = double.prepare(pixels)
    kept = {
        index: maps.clone()
        for index, maps in double.graph.visit(x, {found.shortcut, found.branch, found.output})
    }
    total = kept[found.shortcut] + kept[found.branch]
    torch.testing.assert_close(total.relu(), kept[found.output], rtol=0, atol=1e-14)
    with torch.no_grad():
        torch.testing.assert_close(module.double()(x), kept[found.output], rtol=0, atol=1e-14)


def test_shares_count_what_is_added_and_nothing_that_is_taken_away():
    shortcut = np.array([[3.0, 1.0, 2.0, -1.0, 0.0, np.nan]])
    branch = np.array([[1.0, 3.0, -1.0, 2.0, 0.0, np.nan]])
    np.testing.assert_array_equal(shortcut_share(shortcut, branch), [[0.75, 0.25, 1.0, 0.0, np.nan, np.nan]])
    np.testing.assert_array_equal(mean_share(shortcut, branch), [0.5])
    assert np.isnan(mean_share(np.full((1, 9), np.nan), np.full((1, 9), np.nan))).all()


def test_signed_parts_know_what_is_subtracted_and_how_far_pictures_move_them():
    rng = np.random.default_rng(0)
    groups, units = 20, 50
    # Two channels: the shortcut gives 3 and the branch takes 1 away; both give 1.
    shortcut = np.array([3.0, 1.0]) + rng.normal(0, 0.5, (400, groups, units, 2))
    branch = np.array([-1.0, 1.0]) + rng.normal(0, 0.5, (400, groups, units, 2))
    numbers = np.full((groups, 2), float(units))
    parts = [signed_parts(s.sum(1), b.sum(1), numbers) for s, b in zip(shortcut, branch, strict=True)]
    shares = np.array([part.share for part in parts])
    np.testing.assert_allclose(shares.mean(0), [1.5, 0.5], atol=0.01)
    errors = np.array([part.share_error for part in parts])
    np.testing.assert_allclose(np.sqrt((errors**2).mean(0)), shares.std(0), rtol=0.15)
    np.testing.assert_allclose(
        np.mean([part.branch_error for part in parts], 0), 0.5 / np.sqrt(groups * units), rtol=0.1
    )


def test_signed_parts_of_few_groups_have_no_error_and_of_no_unit_no_value():
    sums = np.zeros((20, 1))
    none = signed_parts(sums, sums, sums)
    assert np.isnan(none.shortcut).all() and np.isnan(none.share_error).all()
    sums[3] = 1
    one = signed_parts(sums, sums, sums)
    assert (one.share, one.branch) == (0.5, 1) and np.isnan(one.share_error).all()


def test_groups_of_pictures_are_of_one_size_whatever_the_order_of_the_pictures():
    groups = group_of(torch.arange(44_000)).numpy()
    for step in range(1, 45):  # classes in turn, or one after the other
        counts = np.bincount(groups[::step], minlength=GROUPS)
        expected = len(groups[::step]) / GROUPS
        assert stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), GROUPS - 1) > 1e-4


def test_grouped_sums_are_exact_and_do_not_mind_order_or_parts():
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**40), 2**40, (300, 4)) / 2**8  # multiples of 2^-32 have exact sums
    values[::7] *= 2**8
    images = torch.from_numpy(rng.permutation(10_000)[:300])
    groups = group_of(images)
    expected = np.zeros((GROUPS, 4))
    np.add.at(expected, groups.numpy(), values)  # below 2^53 in units of 2^-8: exact as well
    one, halves = GroupedSum(4), [GroupedSum(4), GroupedSum(4)]
    one.add(torch.from_numpy(values), groups)
    for rows in torch.randperm(300).split(37):
        halves[int(rows[0]) % 2].add(torch.from_numpy(values)[rows], groups[rows])
    halves[0].merge(halves[1])
    np.testing.assert_array_equal(one.value(), expected)
    for part in ("high", "low"):
        assert torch.equal(getattr(one.fixed, part), getattr(halves[0].fixed, part))


def test_the_output_is_the_sum_that_was_read_so_it_can_be_made_anew_from_the_kept_readings():
    torch.manual_seed(0)
    network, _ = _network(_branch(nn.Conv2d(3, 3, 3, padding=1)), nn.Identity())
    state = _read(network, _pixels(8))
    for side in ("input", "block"):
        top = state.tops["res2a", side]
        beside, listed = top.beside, top.images >= 0
        assert beside[listed].shape[0] > 8
        expected = (top.values + beside[:, :, 0]).relu()  # of the side itself and the other one
        assert torch.equal(beside[:, :, 1][listed], expected[listed])


def _sampled(seed: int, pictures: int = 300, channels: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Input and Block of channels, some of whose sides are driven by the same pictures; a seed is a set of pictures."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(pictures, channels)), rng.normal(size=(2, pictures, channels))
    weight = np.linspace(0, 1, channels)
    gain = np.linspace(0.5, 2, channels)[::-1]
    at_input = weight * shared + (1 - weight) * own[0]
    return at_input.astype(np.float32), (gain * (0.3 * at_input + own[1])).astype(np.float32)


def _numbers(sides: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, SampleNumbers]:
    output = np.maximum(sum(sides), 0)
    nine = [np.take_along_axis(output, np.argsort(-side, axis=0)[:9], axis=0).mean(0) for side in sides]
    others = {"fixed": np.arange(sides[0].shape[1], dtype=np.float32)}
    return nine[0] / nine[1], sample_numbers(*sides, (nine[0], nine[1]), others, signed=False)


@pytest.mark.slow
def test_intervals_hold_what_other_pictures_give_as_often_as_they_say():
    sets = [_numbers(_sampled(seed)) for seed in range(60)]
    ratios = np.array([ratio for ratio, _ in sets])
    truth = np.median(ratios, axis=0)
    inside = [(n.ratio_low <= truth) & (truth <= n.ratio_high) for _, n in sets]
    assert 0.9 < np.mean(inside) < 0.99
    rho = np.array([n.correlation for _, n in sets])
    reach = NORMAL * np.array([n.correlation_error for _, n in sets])
    assert 0.92 < np.mean(np.abs(rho - rho.mean(0)) <= reach) < 0.98
    for read in (
        lambda n: n.ratio_median,
        lambda n: n.correlation_median,
        lambda n: n.associations["fixed"],
        lambda n: n.associations["block_at_input"],
    ):
        found = [read(n) for _, n in sets]
        centre = np.mean([each.value for each in found])
        assert np.mean([each.low <= centre <= each.high for each in found]) > 0.85


def test_the_influence_of_pictures_on_a_rank_correlation_is_what_leaving_them_out_shows():
    at_input, at_block = _sampled(1, pictures=400, channels=6)
    rho, influence, counted = rank_influence(at_input, at_block)
    for channel in range(6):
        rows = counted[:, channel]
        x, y = at_input[rows, channel], at_block[rows, channel]
        assert rho[channel] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
        effects = influence[rows, channel]
        keep = np.ones(len(x), bool)
        keep[:20] = False
        without = stats.spearmanr(x[keep], y[keep]).statistic
        assert without == pytest.approx(rho[channel] + effects[keep].mean(), abs=0.02)
        np.testing.assert_allclose(effects.mean(), 0, atol=1e-5)


def test_a_rank_correlation_over_channels_with_equal_and_unknown_values_is_scipy_s():
    random = np.random.default_rng(2)
    x, y = random.integers(0, 5, 60).astype(np.float64), random.normal(size=60)
    y += x
    x[3], y[7] = np.nan, np.inf
    known = np.isfinite(x) & np.isfinite(y)
    assert rank_correlation(x, y) == pytest.approx(stats.spearmanr(x[known], y[known]).statistic, abs=1e-12)
    assert rank_correlation(x, np.ones(60)) is None


def test_no_picture_and_few_pictures_give_no_interval_and_no_error():
    nothing = np.zeros((0, 4), np.float32)
    empty = sample_numbers(nothing, nothing, (np.full(4, np.nan),) * 2, {}, signed=False)
    assert np.isnan(empty.ratio_low).all() and empty.ratio_median is None and empty.correlation_median is None
    at_input, at_block = _sampled(2, pictures=4, channels=5)
    few = sample_numbers(at_input, at_block, (np.ones(5), np.ones(5)), {}, signed=False)
    assert len(few.ratio_low) == 5
    error, median = share_intervals(np.full((5, 9), -1), np.full((5, 9), np.nan))
    assert np.isnan(error).all() and median is None


def test_the_mix_ratio_has_ten_and_zero_where_a_value_is_missing():
    output_at_input = np.array([2.0, 2.0, 0.0, 0.0, np.nan, 1.0, np.nan])
    output_at_block = np.array([1.0, 0.0, 1.0, 0.0, 1.0, np.nan, np.nan])
    np.testing.assert_array_equal(
        mixing.mix_ratio(output_at_input, output_at_block), [2, 10, 0, np.nan, 0, 10, np.nan]
    )


def test_the_lists_are_those_of_a_sort_and_do_not_mind_order_or_parts():
    rng = np.random.default_rng(0)
    readings = rng.integers(-3, 6, (60, 5)).astype(np.float32)  # many ties
    readings[:, 4] = -1
    beside = rng.normal(size=(60, 5, 2)).astype(np.float32)
    whole = CentreTops(5, 2)
    whole.update(torch.from_numpy(readings), torch.from_numpy(beside), torch.arange(60))
    parts = [CentreTops(5, 2), CentreTops(5, 2)]
    for first in range(50, -10, -10):
        rows = np.arange(first, first + 10)
        parts[(first // 10) % 2].update(
            torch.from_numpy(readings[rows]), torch.from_numpy(beside[rows]), torch.from_numpy(rows)
        )
    parts[0].merge(CentreTops.from_arrays(parts[1].arrays()))
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, parts[0].arrays()[name])
    for channel in range(4):
        order = np.lexsort((np.arange(60), -readings[:, channel]))[:9]
        np.testing.assert_array_equal(whole.images[channel], order)
        np.testing.assert_array_equal(whole.values[channel], readings[order, channel])
        np.testing.assert_array_equal(whole.beside[channel], beside[order, channel])
    assert (whole.images[4] == -1).all() and whole.beside[4].isnan().all()


def test_enlarged_and_reduced_pictures_show_the_same_at_twice_and_half_the_size():
    def width(picture: torch.Tensor) -> int:
        return int((picture[32, 16:48, 0] > 127).sum())  # a reduced one has mirror images beside it

    disc = torch.from_numpy(_blob(8))[None]
    assert [width(f(disc)[0]) for f in (enlarge, lambda x: x, reduce)] == [32, 17, 8]
    odd = torch.zeros(1, 33, 33, 3, dtype=torch.uint8)
    assert enlarge(odd).shape == reduce(odd).shape == odd.shape


def test_the_readings_do_not_depend_on_the_batches():
    torch.manual_seed(0)
    network, _ = _network(_branch(nn.Conv2d(3, 3, 3, padding=1)), nn.Identity())
    states = [_read(network, _pixels(), batch) for batch in (24, 7, 1)]
    for state in states[1:]:
        for key, tops in state.tops.items():
            np.testing.assert_array_equal(tops.images, states[0].tops[key].images)
            np.testing.assert_allclose(tops.beside, states[0].tops[key].beside, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(state.mean_block("res2a"), states[0].mean_block("res2a"), rtol=1e-5)
        for mine, first in zip(state.active_sums("res2a"), states[0].active_sums("res2a"), strict=True):
            np.testing.assert_allclose(mine, first, rtol=1e-3, atol=1e-3)
        for side in ("input", "block"):
            changes = [x.positive["res2a", side].value() for x in (state, states[0])]
            np.testing.assert_allclose(*changes, rtol=1e-4, atol=1e-5)
    again = StreamState.from_arrays(states[0].arrays())
    for name, array in states[0].arrays().items():
        np.testing.assert_array_equal(again.arrays()[name], array)


# -- along the scan ------------------------------------------------------------------------------------------


def _scanned(network: Network, pixels: torch.Tensor, reading: StreamReading | None) -> ScanState:
    state = ScanState.empty(ScanPlan.of(network, 8))
    for _ in scan_side_by_side(network, in_batches(pixels, 20), state, threads=2, stream=reading):
        pass
    return state


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20-cifar", "preact_resnet50"])
def test_the_scan_s_numbers_stay_to_the_last_bit_and_the_stream_s_are_those_of_a_pass_of_its_own(name):
    network = models.load(name, "random")
    network = network.with_preprocessing(replace(network.preprocessing, resize=32, crop=32))
    network = network.to("cpu", torch.float32)
    pixels = _pixels(28, 32)
    (along, kept), (alone, kept_alone) = _reading(network), _reading(network)
    plain, brought = _scanned(network, pixels, None), _scanned(network, pixels, along)
    for key, array in plain.arrays().items():
        np.testing.assert_array_equal(brought.arrays()[key], array, err_msg=key)
    for images in torch.arange(28).split(8):
        known = {block.name: _known(plain, block.name, images) for block in along.state.plan.blocks}
        read_stream(network, pixels[images], images, alone, known, 8)
    for key, array in along.state.arrays().items():
        np.testing.assert_array_equal(alone.state.arrays()[key], array, err_msg=key)
    np.testing.assert_array_equal(kept, kept_alone)
    assert np.isfinite(kept[:28]).all() and np.isnan(kept[28:]).all()


def _known(state: ScanState, name: str, images: torch.Tensor) -> BlockUnits:
    """The units of a complete scan in these pictures."""
    numbers = {key: torch.from_numpy(value) for key, value in state.layer(name).items() if key[:4] == "top_"}
    channel, slot = torch.isin(numbers["top_image"], images.int()).nonzero(as_tuple=True)
    picture = numbers["top_image"][channel, slot].long() - images[0]
    row, column = numbers["top_unit"][channel, slot].long().T
    return BlockUnits(picture, channel, slot, row, column, numbers["top_value"][channel, slot])


@pytest.mark.parametrize("signed", [False, True])
def test_the_parts_of_units_are_the_maps_values_there_in_any_order_of_the_pictures(signed):
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randint(-3, 4, (2, 50, 6, 4, 5), generator=generator).float()  # many ties
    total = one + other if signed else (one + other).relu()
    one[:, 5], other[:, 5], total[:, 5] = -1, 1, 0  # behind a ReLU this channel has no unit
    whole, halves = UnitParts(6, 2, signed=signed), [UnitParts(6, 2, signed=signed) for _ in range(2)]
    for into, images in ((whole, torch.arange(50)), *zip(halves * 5, torch.arange(50).split(5), strict=True)):
        into.update(total[images], images, None, (one[images], other[images]))
    halves[0].merge(UnitParts.from_arrays(halves[1].arrays(), signed=signed))
    for key, array in whole.arrays().items():
        np.testing.assert_array_equal(halves[0].arrays()[key], array)
    images = whole.top.images
    parts = whole.at(images.numpy())
    for channel, slot in np.ndindex(6, 9):
        if images[channel, slot] < 0:
            assert channel == 5 and not signed and np.isnan(parts[channel, slot]).all()
            continue
        picture, place = images[channel, slot], whole.top.places[channel, slot]
        for found, maps in zip(parts[channel, slot], (one, other), strict=True):
            assert found == maps[picture, channel].flatten()[place]


# -- rescaled pictures -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20-cifar", "resnet50", "preact_resnet50"])
def test_the_graph_around_single_positions_gives_the_whole_network_s_values(name):
    network = models.load(name, "random").to("cpu", torch.float64)
    plan = StreamPlan.of(network, 2)
    size = (32, 32) if name == "resnet20-cifar" else (64, 48)
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    shapes = network.graph.shapes(size)
    for at in (0, 0.5, 0.999):  # a corner, the centre, the corner opposite
        found = StreamSteps.of(network, plan).residuals.values()
        steps = {step for residual in found for step in (residual.shortcut, residual.branch)}
        positions = {step: (int(at * shapes[step][1]), int(at * shapes[step][2])) for step in steps}
        part = around(network.graph, size, positions)
        whole = {
            step: maps[:, :, *positions[step]].clone() for step, maps in network.graph.visit(pictures, steps)
        }
        names = {number: (step, row, column) for step, (number, row, column) in part.places.items()}
        read = dict(part.graph.visit(pictures, names))
        assert len(read) == len(steps)
        for number, maps in part.graph.visit(pictures, names):
            step, row, column = names[number]
            torch.testing.assert_close(maps[:, :, row, column], whole[step], rtol=0, atol=1e-10)
        assert part.graph.multiply_adds(size) < network.graph.multiply_adds(size, max(steps))


# -- a whole atlas against hooks and SciPy -------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write_rough_pictures(folder, 40, (32, 32))
    (folder / "10 broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


def _atlas(folder: Path, pictures: Path, **changes: object) -> Store:
    values = {
        "model": "resnet20-cifar",
        "folder": pictures,
        "batch": 8,
        "rescaled": "true",
        "steps": 0,
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.toml"
    path.write_text(PROFILE.format(**values))
    return compute(profile.load(str(path)), folder / "atlas", Reporter(quiet=True))


@pytest.fixture(scope="module")
def atlas(pictures, tmp_path_factory) -> Store:
    return _atlas(tmp_path_factory.mktemp("stream"), pictures)


@pytest.fixture(scope="module")
def hooked(atlas, pictures) -> dict[str, dict[str, np.ndarray]]:
    """Input, Block, Output of three blocks over all pictures, whole maps in float64, from plain forward hooks."""
    module = models.load_module("resnet20-cifar", "random").double()
    network = models.load("resnet20-cifar", "random").to("cpu", torch.float64)
    maps: dict[tuple[str, str], torch.Tensor] = {}

    def keep(block: str, side: str):
        # Cloned: the ReLU behind works in place.
        return lambda _m, _i, out: maps.__setitem__((block, side), out.clone())

    for block, path, source in (
        ("res2b", "layer1.1", "layer1.0"),
        ("res3a", "layer2.0", "layer2.0.shortcut"),
        ("res4c", "layer3.2", "layer3.1"),
    ):
        module.get_submodule(path).register_forward_hook(keep(block, "output"))
        module.get_submodule(f"{path}.bn2").register_forward_hook(keep(block, "block"))
        module.get_submodule(source).register_forward_hook(keep(block, "input"))
    preprocessing = atlas.manifest().preprocessing
    pixels = torch.from_numpy(
        np.stack(
            [read_picture(pictures / image.path, preprocessing).pixels for image in atlas.tables.images()]
        )
    )
    found: dict[str, dict[str, np.ndarray]] = {}
    with torch.no_grad():
        for kind, some in (("", pixels), ("_enlarged", enlarge(pixels)), ("_reduced", reduce(pixels))):
            module(network.prepare(some))
            for (block, side), values in maps.items():
                found.setdefault(block, {})[side + kind] = values.numpy()
    return found


BLOCKS = ("res2b", "res3a", "res4c")


def _centre(maps: np.ndarray) -> np.ndarray:
    return maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]


@pytest.mark.parametrize("block", BLOCKS)
def test_the_contributions_are_those_of_the_hooks_and_add_up(atlas, hooked, block):
    numbers, maps = atlas.arrays.layer(block), hooked[block]
    alive = numbers["top_image"] >= 0
    channel, slot = np.nonzero(alive)
    image, (row, column) = numbers["top_image"][alive], numbers["top_unit"][alive].T
    for name, side in (("top_shortcut", "input"), ("top_branch", "block")):
        np.testing.assert_allclose(
            numbers[name][channel, slot], maps[side][image, channel, row, column], rtol=1e-3, atol=1e-4
        )
    total = numbers["top_shortcut"] + numbers["top_branch"]
    np.testing.assert_allclose(total[alive], numbers["top_value"][alive], rtol=1e-5, atol=1e-5)
    assert np.isfinite(numbers["shortcut_share"][alive[:, 0]]).all()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_ratio_and_the_criteria_are_those_of_the_hooks(atlas, hooked, block):
    numbers, maps = (
        atlas.arrays.layer(block),
        {side: _centre(values) for side, values in hooked[block].items()},
    )
    for channel in range(len(numbers["mix_ratio"])):
        best = {}
        for side in ("input", "block"):
            values = maps[side][:, channel]
            order = np.lexsort((np.arange(len(values)), -values))[:9]
            best[side] = order[values[order] > 0]
            gap = np.diff(-np.sort(-values)[: len(best[side]) + 1])
            if len(gap) and np.abs(gap).min() > 1e-5 * values.max():  # else float32 may order them otherwise
                ours = numbers[f"centre_{side}_image"][channel]
                np.testing.assert_array_equal(ours[ours >= 0], best[side])
        if not len(best["input"]) or not len(best["block"]):
            continue
        top = {
            f"{side} at {of}": maps[side][best[of], channel]
            for side in ("input", "block", "output", "block_enlarged", "input_reduced")
            for of in ("input", "block")
        }
        over, under = top["output at input"].mean(), top["output at block"].mean()
        expected = 10 if under <= 0 else 0 if over <= 0 else over / under
        expected = np.nan if max(over, under) <= 0 else expected
        assert numbers["mix_ratio"][channel] == pytest.approx(expected, rel=1e-3, nan_ok=True)
        rise = (
            np.clip(top["block_enlarged at input"], 0, None).mean()
            - np.clip(top["block at input"], 0, None).mean()
        )
        fall = (
            np.clip(top["input_reduced at block"], 0, None).mean()
            - np.clip(top["input at block"], 0, None).mean()
        )
        delta = rise / top["block at block"].mean(), fall / top["input at input"].mean()
        assert numbers["scale_block"][channel] == pytest.approx(delta[0], rel=1e-2, abs=1e-3)
        assert numbers["scale_input"][channel] == pytest.approx(delta[1], rel=1e-2, abs=1e-3)
        assert numbers["scale_sum"][channel] == pytest.approx(sum(delta), rel=1e-2, abs=2e-3)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_parts_of_all_active_units_are_those_of_the_hooks(atlas, hooked, block):
    numbers, maps = atlas.arrays.layer(block), hooked[block]
    active = maps["input"] + maps["block"] > 0
    units = active.sum((0, 2, 3))
    sums = {side: (maps[side] * active).sum((0, 2, 3)) for side in ("input", "block")}
    for part, side in (("shortcut", "input"), ("branch", "block")):
        np.testing.assert_allclose(numbers[f"active_{part}"], sums[side] / units, rtol=1e-3, atol=1e-4)
    share = sums["input"] / (sums["input"] + sums["block"])
    np.testing.assert_allclose(numbers["active_share"], share, rtol=1e-3, atol=1e-4)
    # The standard errors, from the pictures without one group after the other.
    places = torch.tensor(
        [place for place in range(len(active) + 1) if place != 10]
    )  # there lies a broken file
    groups = group_of(places).numpy()
    left_out = []
    for group in np.unique(groups):
        rest = {side: (maps[side] * active)[groups != group].sum((0, 2, 3)) for side in sums}
        left_out.append(rest["input"] / (rest["input"] + rest["block"]))
    n = len(left_out)
    error = np.sqrt((n - 1) / n * ((np.array(left_out) - np.mean(left_out, 0)) ** 2).sum(0))
    np.testing.assert_allclose(numbers["active_share_error"], error, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_changes_over_all_pictures_and_the_nine_s_errors_are_those_of_the_hooks(atlas, hooked, block):
    numbers = atlas.arrays.layer(block)
    maps = {side: _centre(values) for side, values in hooked[block].items()}
    for side, rescaled, other in (("block", "block_enlarged", "input"), ("input", "input_reduced", "block")):
        change = np.clip(maps[rescaled], 0, None) - np.clip(maps[side], 0, None)
        images = numbers[f"centre_{side}_image"]
        strongest = np.array(
            [maps[side][row[row >= 0], c].mean() if row[0] >= 0 else np.nan for c, row in enumerate(images)]
        )
        np.testing.assert_allclose(
            numbers[f"scale_{side}_random"], change.mean(0) / strongest, rtol=1e-2, atol=1e-3
        )
        for channel, row in enumerate(numbers[f"centre_{other}_image"]):
            nine = change[row[row >= 0], channel]
            if len(nine) >= mixing.FEW and np.isfinite(strongest[channel]):
                error = stats.sem(nine) / strongest[channel]
                assert numbers[f"scale_{side}_error"][channel] == pytest.approx(error, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("block", BLOCKS)
def test_the_statistics_are_scipy_s_own(atlas, hooked, block):
    numbers, maps = (
        atlas.arrays.layer(block),
        {side: _centre(values) for side, values in hooked[block].items()},
    )
    np.testing.assert_allclose(numbers["block_mean"], maps["block"].mean(0), rtol=1e-4, atol=1e-4)
    for channel in range(len(numbers["mix_ratio"])):
        active = maps["input"][:, channel] > 0
        if active.sum() >= 3:
            rho = stats.spearmanr(maps["input"][active, channel], maps["block"][active, channel]).statistic
            np.testing.assert_allclose(numbers["block_correlation"][channel], rho, atol=2e-3)
    report = next(b for b in atlas.tables.read_json("stream.json")["blocks"] if b["block"] == block)
    ratio = numbers["mix_ratio"].astype(np.float64)
    known = np.isfinite(ratio)
    for name in ("convolution_weight", "block_at_input"):
        both = known & np.isfinite(numbers[name])
        rho = stats.spearmanr(numbers[name][both], ratio[both]).statistic
        found = report["associations"][name]
        assert found["value"] == pytest.approx(rho, abs=1e-6) and found["low"] <= rho <= found["high"]
    assert report["associations"]["norm_weight"] is None  # He initialisation: every BatchNorm weight is 1
    for name in ("mix_ratio", "shortcut_share", "block_correlation", "active_share"):
        found, values = report["medians"][name], numbers[name][np.isfinite(numbers[name])]
        assert found["value"] == pytest.approx(np.median(values), abs=1e-5)
        assert found["low"] <= found["value"] <= found["high"]
    low, high = (numbers[f"mix_ratio_{end}"][known] for end in ("low", "high"))
    tie = 1e-5 + 1e-5 * ratio[known]
    has_ends = ~np.isnan(low)  # few of 40 pictures drive some channels
    assert has_ends.mean() > 0.5
    inside = (low <= ratio[known] + tie) & ((ratio[known] <= high + tie) | (ratio[known] == mixing.SKIPS))
    assert inside[has_ends].all()


@pytest.mark.parametrize("block", BLOCKS)
def test_the_overlap_counts_pictures_on_both_lists_and_what_other_channels_share(atlas, block):
    numbers = atlas.arrays.layer(block)
    lists = [
        [set(row[row >= 0].tolist()) for row in numbers[f"centre_{side}_image"]]
        for side in ("input", "block")
    ]
    shared = np.array([[len(mine & theirs) for theirs in lists[1]] for mine in lists[0]])
    np.testing.assert_array_equal(numbers["mix_overlap"], np.diagonal(shared))
    report = next(b for b in atlas.tables.read_json("stream.json")["blocks"] if b["block"] == block)
    untied = shared[~np.eye(len(shared), dtype=bool)].mean()
    assert report["untied_overlap"] == pytest.approx(untied)
    assert report["repeats"].keys() == {"mix_ratio", "block_correlation"}
    assert all(value is None or -1 <= value <= 1 for value in report["repeats"].values())


@pytest.mark.slow
def test_another_batch_size_gives_the_same_numbers(atlas, pictures, tmp_path):
    other = _atlas(tmp_path, pictures, batch=5)
    for block in BLOCKS:
        one, two = atlas.arrays.layer(block), other.arrays.layer(block)
        assert one.keys() == two.keys()
        for name in ("shortcut_share", "mix_ratio", "block_mean", "scale_sum"):
            np.testing.assert_allclose(one[name], two[name], rtol=2e-3, atol=1e-4, err_msg=name)


@pytest.mark.slow
def test_switched_off_and_on_again_leaves_the_same_bytes(atlas, pictures, tmp_path):
    one = _atlas(tmp_path, pictures)
    before = _layer_files(one)
    assert "res2b/stream.npz" in before
    plain = _atlas(tmp_path, pictures, rescaled="false")
    assert "scale_sum" not in plain.arrays.layer("res2b") and "mix_ratio" in plain.arrays.layer("res2b")
    text = (tmp_path / "small.toml").read_text().replace("rescaled = false", "enabled = false")
    (tmp_path / "small.toml").write_text(text)
    compute(profile.load(str(tmp_path / "small.toml")), one.folder, Reporter(quiet=True))
    assert "mix_ratio" not in one.arrays.layer("res2b") and not (one.folder / "stream.json").exists()
    reporter = Reporter(quiet=True)
    (tmp_path / "small.toml").write_text(text.replace("enabled = false", "enabled = true"))
    compute(profile.load(str(tmp_path / "small.toml")), one.folder, reporter)
    stages = {stage.name for stage in reporter.stages if stage.count}
    assert "residual stream" in stages and "scan" not in stages
    assert _layer_files(one) == before


def _layer_files(store: Store) -> dict[str, bytes]:
    layers = store.folder / "layers"
    return {str(path.relative_to(layers)): path.read_bytes() for path in layers.rglob("*.npz")}


# -- optimised pictures --------------------------------------------------------------------------------------


def _optimised(network: Network, steps: int = 24) -> dict[str, np.ndarray]:
    block = StreamPlan.of(network, 32).blocks[0]
    residual = find_residual(network.graph, network.step("res2a"))
    assert residual is not None
    plan = recipe(network.layer("res2a"), True, 16, steps)
    channels = np.arange(3)
    readings = {}
    for side, step in (("input", residual.shortcut), ("block", residual.branch)):
        pixels = (ascend(network, step, channels.tolist(), plan).whole() * 255).permute(0, 2, 3, 1)
        readings[side] = read_at(network, block, side, pixels, channels)
    return block_numbers(readings)


def test_at_optimised_pictures_an_identity_block_skips():
    network, _ = _network(_branch(_constant(nn.Conv2d(3, 3, 1, bias=False), 0.0)), nn.Identity())
    assert (_optimised(network)["mix_ratio_optimised"] > mixing.NEAR_ONE).all()


def test_at_optimised_pictures_a_block_that_erases_its_input_overwrites():
    # Channel c becomes relu(2 x_{c+1} − x_c + x_c).
    weight = 2 * torch.eye(3).roll(1, 1) - torch.eye(3)
    last = _constant(nn.Conv2d(3, 3, 1, bias=False), weight[:, :, None, None])
    network, _ = _network(_branch(last), nn.Identity())
    assert (_optimised(network)["mix_ratio_optimised"] < 1).all()


def test_the_jitter_is_the_paper_s_for_its_picture_size_and_less_for_smaller_ones():
    network = models.load("resnet18", "random")
    wanted = {"res2b": 0, "res3a": 0, "res3b": 4, "res4a": 4, "res4b": 16, "res5a": 16, "res5b": 16}
    for name, px in wanted.items():
        residual = find_residual(network.graph, network.step(name))
        assert residual is not None
        for side, expected in ((224, px), (56, px / 4)):
            plan = recipe(network.layer(name), not residual.is_identity, side, 1)
            found = [transform.values[0] for transform in plan.transforms if transform.kind == "jitter"]
            assert found == ([expected] if expected else [])


@pytest.fixture(scope="module")
def optimised(pictures, tmp_path_factory) -> Store:
    return _atlas(tmp_path_factory.mktemp("optimised"), pictures, steps=2)


@pytest.mark.slow
def test_the_numbers_at_optimised_pictures_are_those_of_hooks_on_the_same_pictures(optimised):
    module = models.load_module("resnet20-cifar", "random")
    network = models.load("resnet20-cifar", "random").to("cpu", torch.float32)
    # As the profile has it: a picture's random numbers go by its layer's name, and inner layers have none there.
    network = network.keep([layer.name for layer in network.layers if not layer.is_inner])
    kept: dict[str, torch.Tensor] = {}
    for side, path in (("input", "layer1.0"), ("block", "layer1.1.bn2"), ("output", "layer1.1")):
        module.get_submodule(path).register_forward_hook(
            lambda _m, _i, out, side=side: kept.__setitem__(side, out[:, :, 16, 16].clone())
        )
    residual = find_residual(network.graph, network.step("res2b"))
    assert residual is not None
    plan = recipe(network.layer("res2b"), False, 32, 2)
    values = {}
    for of, step in (("input", residual.shortcut), ("block", residual.branch)):
        pixels = (ascend(network, step, [0], plan).whole() * 255).permute(0, 2, 3, 1)
        for kind, some in (("", pixels), ("_rescaled", (enlarge if of == "input" else reduce)(pixels))):
            with torch.no_grad():
                module(network.prepare(some))
            values |= {f"{side}{kind} at {of}": float(read[0, 0]) for side, read in kept.items()}
    numbers = {
        name: float(array[0])
        for name, array in optimised.arrays.layer("res2b").items()
        if "optimised" in name
    }
    ratio = mixing.mix_ratio(np.array([values["output at input"]]), np.array([values["output at block"]]))
    assert numbers["mix_ratio_optimised"] == pytest.approx(ratio[0], rel=1e-3, nan_ok=True)
    assert numbers["block_at_input_optimised"] == pytest.approx(values["block at input"], rel=1e-3, abs=1e-4)
    rise = max(values["block_rescaled at input"], 0) - max(values["block at input"], 0)
    expected = rise / values["block at block"] if values["block at block"] > 0 else np.nan
    assert numbers["scale_block_optimised"] == pytest.approx(expected, rel=1e-2, abs=1e-3, nan_ok=True)


@pytest.mark.slow
def test_the_natural_numbers_stay_beside_the_optimised_ones(atlas, optimised):
    plain, both = atlas.arrays.layer("res2b"), optimised.arrays.layer("res2b")
    for name, array in plain.items():
        np.testing.assert_array_equal(both[name], array)
    assert {name for name in both if name not in plain} == set(
        optimised.arrays.layer("res2b", "stream_optimised")
    )
    report = optimised.tables.read_json("stream_optimised.json")
    assert report["steps"] == 2 and [b["block"] for b in report["blocks"]][:2] == ["res2a", "res2b"]

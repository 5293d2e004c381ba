"""What feeds a block's channel: the terms of its sum, against plain recomputations by torch."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from generator.core.head import head_of
from generator.core.records import WeightsInfo
from generator.engine.scan.side_terms import side_terms
from generator.engine.scan.stream import PARTS, StreamPlan, StreamSteps
from generator.engine.scan.stream_state import StreamReading, StreamState, read_stream
from generator.methods.contribution import strongest_terms
from generator.methods.inputs import strongest_inputs
from generator.methods.reading_weights import (
    Reader,
    branch_weights,
    classifier_weights,
    exact_product,
    readers,
    strongest_along,
    strongest_onward,
    strongest_outputs,
    strongest_readers,
)
from generator.network import models
from generator.network.network import Network

# An identity or zeros as shortcut and two convolutions; projections and three convolutions; signed sums; groups.
DESIGNS = ["resnet20-cifar", "resnet50", "preact_resnet50", "resnext50_32x4d"]


@functools.cache
def _loaded(name: str, side: int) -> Network:
    network = models.load(name, "random")
    return network.with_preprocessing(replace(network.preprocessing, resize=side, crop=side))


def _random(name: str, side: int, dtype: torch.dtype = torch.float32) -> Network:
    return _loaded(name, side).to("cpu", dtype)


def _maps(network: Network, pixels: torch.Tensor, steps: set[int]) -> dict[int, torch.Tensor]:
    return {step: maps.clone() for step, maps in network.graph.visit(network.prepare(pixels), steps)}


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_terms_and_constant_sum_to_the_side_s_value_at_every_unit_of_the_border_too(name):
    network = _random(name, 32, torch.float64)
    pixels = torch.randint(0, 256, (2, 32, 32, 3), generator=torch.Generator().manual_seed(0))
    steps = StreamSteps.of(network, StreamPlan.of(network, 2))
    taken = 0
    for residual_name, sides in list(steps.terms.items())[:5]:  # of three stages or two
        residual = steps.residuals[residual_name]
        for side, step in zip(sides, (residual.shortcut, residual.branch), strict=True):
            if side is None:
                continue
            maps = _maps(network, pixels, {side.source, step})
            whole = maps[step]
            picture, channel, row, column = (torch.randint(0, n, (60,)) for n in whole.shape)
            row[:20], column[10:30] = 0, whole.shape[3] - 1
            terms = side.at(maps[side.source], picture, channel, row, column)
            total = terms.double().sum(1) + side.constant[channel]
            torch.testing.assert_close(total, whole[picture, channel, row, column], rtol=1e-5, atol=1e-5)
            taken += 1
    assert taken >= 5  # every branch, and the projections


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_term_is_what_the_side_loses_without_the_channel(name):
    # The oracle runs the convolution on its input with all other channels set to zero.
    network = _random(name, 32, torch.float64)
    pixels = torch.randint(0, 256, (1, 32, 32, 3), generator=torch.Generator().manual_seed(1))
    steps = StreamSteps.of(network, StreamPlan.of(network, 1))
    for sides in list(steps.terms.values())[:2]:
        for side in filter(None, sides):
            maps, step = _maps(network, pixels, {side.source})[side.source], side.convolution
            channel = len(step.weight) - 1
            for term, source in enumerate(range(int(side.first[channel]), int(side.first[channel]) + 3)):
                alone = torch.zeros_like(maps)
                alone[:, source] = maps[:, source]
                result = F.conv2d(
                    alone, step.weight, None, step.stride, step.padding, step.dilation, step.groups
                )
                height, width = result.shape[2:]
                rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
                where = torch.zeros(height * width, dtype=torch.int64)
                terms = side.at(maps, where, where + channel, rows.flatten(), columns.flatten())
                expected = result[0, channel].flatten() * side.scale[channel]
                torch.testing.assert_close(terms[:, term].double(), expected, rtol=1e-6, atol=1e-9)


def _read(network: Network, pixels: torch.Tensor, batch: int) -> StreamState:
    plan = StreamPlan.of(network, batch)
    steps, rows = StreamSteps.of(network, plan), np.full(len(pixels), -1)
    reading = StreamReading(steps, StreamState(plan), rows, lambda *_: None)
    for images in torch.arange(len(pixels)).split(batch):
        read_stream(network, pixels[images], images, reading, None, batch)
    return reading.state


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet20-cifar", "preact_resnet50"])
def test_along_a_pass_the_terms_are_kept_of_the_units_in_the_lists(name):
    network = _random(name, 32)
    pixels = torch.randint(0, 256, (30, 32, 32, 3), generator=torch.Generator().manual_seed(0)).byte()
    state = _read(network, pixels, 8)
    steps = StreamSteps.of(network, state.plan)
    for block in state.plan.blocks:
        parts = state.parts[block.name]
        images = parts.top.images.numpy()
        kept, start = parts.at(images), len(PARTS)
        for number, (side, count) in enumerate(zip(steps.terms[block.name], block.terms, strict=True)):
            if side is None:
                assert count == 0
                continue
            total = kept[:, :, start : start + count].astype(np.float64).sum(2)
            total += side.constant.numpy()[:, None]
            np.testing.assert_allclose(total, kept[:, :, number], rtol=1e-4, atol=1e-4)
            start += count
        assert start == kept.shape[2]
    again = StreamState.from_arrays(state.arrays())
    assert again.plan == state.plan


def test_a_side_that_ends_in_no_convolution_is_not_taken_apart():
    network = models.load("resnet20-cifar", "random")
    graph = network.graph
    relu = network.step("res2a_branch2a")
    assert graph.steps[relu].op == "relu" and side_terms(graph, relu) is None


def test_the_largest_terms_are_named_and_the_others_added_up_over_the_units_that_there_are():
    terms = np.full((2, 9, 4), np.nan, np.float32)
    terms[0, :2] = [[1, -6, 3, 2], [3, -2, 3, 0]]  # two units; the second channel has none
    found = strongest_terms(terms, np.array([0, 4]), 2)
    np.testing.assert_array_equal(found.channel, [[1, 2], [-1, -1]])
    np.testing.assert_array_equal(found.value[0], [-4, 3])
    assert found.rest[0] == 2 + 1
    assert np.isnan(found.value[1]).all()


# -- weights -----------------------------------------------------------------------------------------------------------


def _trained(module: torch.nn.Module) -> torch.nn.Module:
    """The module with norms as after a training: other statistics, weights and biases in every channel."""
    generator = torch.Generator().manual_seed(3)
    for norm in (m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.running_var, norm.bias, norm.running_mean):
            tensor.data = torch.rand(len(tensor), generator=generator) + 0.5
        norm.weight.data[::3] *= -1
    return module.double().eval()


@functools.cache
def _small() -> tuple[Network, torch.nn.Module]:
    torch.manual_seed(0)
    module = _trained(models.load_module("resnet20-cifar", "random"))
    entry = models.find("resnet20-cifar")
    network = Network.from_module("trained", module, None, entry.preprocessing, WeightsInfo("trained", ""))
    return network, module


def _impulses(convolution: torch.nn.Conv2d, norm: torch.nn.BatchNorm2d) -> torch.Tensor:
    """(C_in, C_out, 7, 7): what one unit in the middle of one input channel adds to the normed output."""
    maps = torch.zeros(convolution.in_channels + 1, convolution.in_channels, 7, 7, dtype=torch.float64)
    for channel in range(convolution.in_channels):
        maps[channel, channel, 3, 3] = 1
    with torch.no_grad():
        result = norm(F.conv2d(maps, convolution.weight, convolution.bias, 1, convolution.padding))
    return result[:-1] - result[-1]


@pytest.mark.slow
def test_strengths_are_the_norms_of_the_responses_to_unit_impulses_and_the_same_from_both_ends():
    network, module = _small()
    found = {reader.layer: reader for reader in readers(network)}
    layer = next(x for x in network.layers if x.path == "layer2.1.conv2")
    block = module.get_submodule("layer2.1")
    response = _impulses(block.conv2, block.bn2)
    reader = found[layer.name]
    norm = response.square().sum((2, 3)).sqrt().T.numpy()
    np.testing.assert_allclose(reader.norm, norm, rtol=1e-6)
    total, size = response.sum((2, 3)).T.numpy(), response.abs().sum((2, 3)).T.numpy()
    np.testing.assert_array_equal(reader.sign, np.where(np.abs(total) >= size / 2, np.sign(total), 0))
    deviation = np.linspace(0.5, 2, norm.shape[1])
    upwards, downwards = strongest_readers(reader, deviation), strongest_inputs(network, layer, deviation)
    strength = {}
    for source, row in enumerate(upwards["channel"].tolist()):
        strength |= {(c, source): w for c, w in zip(row, upwards["weight"][source].tolist(), strict=True)}
    both = 0
    for channel, row in enumerate(downwards["inputs"].tolist()):
        for source, weight in zip(row, downwards["input_weight"][channel].tolist(), strict=True):
            both += (channel, source) in strength
            assert strength.get((channel, source), weight) == weight
    assert both > 10
    assert (np.diff(upwards["weight"]) <= 0).all()
    np.testing.assert_allclose(upwards["weight"][:, 0], (norm * deviation).max(0), rtol=1e-6)


@pytest.mark.slow
def test_every_block_is_read_by_the_first_convolution_of_the_next_one():
    network, _ = _small()
    read = {(reader.source, reader.layer) for reader in readers(network)}
    blocks = [layer for layer in network.layers if layer.kind == "block"]
    for before, after in itertools.pairwise(blocks):
        first = next(x for x in network.layers if x.kind == "branch" and x.block == after.name)
        assert (before.name, first.name) in read
    preact = _loaded("preact_resnet50", 32)
    through = {(x.source, x.layer): x.through for x in readers(preact)}
    assert through["res2b", "res2c_branch2a"] == ("affine", "relu")


@pytest.mark.slow
def test_the_weights_through_a_branch_are_its_response_to_uniform_maps_without_its_relus():
    network, module = _small()
    layer = next(x for x in network.layers if x.path == "layer2.1")
    found = branch_weights(network, layer)
    assert found is not None
    block, channels = module.get_submodule("layer2.1"), layer.channels
    maps = torch.zeros(channels + 1, channels, 9, 9, dtype=torch.float64)
    for channel in range(channels):
        maps[channel, channel] = 1
    with torch.no_grad():
        result = block.bn2(block.conv2(block.bn1(block.conv1(maps))))[:, :, 4, 4]
    expected = (result[:-1] - result[-1]).T.numpy()
    np.testing.assert_allclose(found.weight, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    strongest = strongest_along(found, np.ones(channels))
    np.testing.assert_array_equal(strongest["channel"][:, 0], np.abs(found.weight).argmax(1))
    assert found.source == "res3a"
    onward = strongest_onward(found, np.ones(channels))
    np.testing.assert_array_equal(onward["channel"][:, 0], np.abs(found.weight).argmax(0))


def test_exact_products_are_those_of_integers_and_near_the_plain_ones():
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((40, 300)), rng.standard_normal((300, 50))
    found = exact_product(left, right)
    np.testing.assert_allclose(found, left @ right, atol=1e-3)
    order = rng.permutation(300)
    np.testing.assert_array_equal(exact_product(left[:, order], right[order]), found)
    np.testing.assert_array_equal(exact_product(np.zeros((2, 3)), np.ones((3, 1))), 0)


@pytest.mark.slow
def test_the_classifier_s_weights_are_compared_with_the_average_output():
    network, module = _small()
    last = [layer for layer in network.layers if layer.kind == "block"]
    weights = classifier_weights(network, last[-1])
    assert weights is not None
    assert head_of(10).kind == "softmax"
    plain = module.fc.weight.detach().numpy()
    np.testing.assert_allclose(weights, plain - plain.mean(0), atol=1e-12)
    assert classifier_weights(network, last[-2]) is None
    found = strongest_outputs(weights)
    for channel in (0, 7):
        order = np.argsort(-weights[:, channel])
        np.testing.assert_array_equal(found["output"][channel], [*order[:3], order[-1], order[-2]])


def test_readers_that_do_not_read_a_channel_are_not_named():
    reader = Reader("b", "a", (), np.array([[2.0, 0], [1, 0]]), np.array([[1, 0], [-1, 0]], np.int8))
    found = strongest_readers(reader, np.array([0.5, 3]))
    np.testing.assert_array_equal(found["channel"], [[0, 1, -1], [-1, -1, -1]])
    np.testing.assert_array_equal(found["weight"][0], [1, 0.5, 0])
    np.testing.assert_array_equal(found["sign"][0, :2], [1, -1])

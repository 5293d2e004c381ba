"""Cascading randomisation: random weights below a layer, and how alike gradient pictures are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gradient_oracle import RuledReLU
from scipy.stats import spearmanr

from generator.core.store import Store
from generator.methods.mean_interval import mean_of
from generator.methods.randomisation import (
    Strengths,
    randomised,
    rank_agreement,
    strengths,
    structural_similarity,
)
from generator.network import models
from generator.network.graph import Graph
from generator.pictures.decoding import read_picture
from generator.stages import profile
from generator.stages.opening import open_network
from generator.stages.randomisation import UNITS


def test_only_the_chosen_steps_change_and_the_same_numbers_come_whatever_else_changes() -> None:
    graph = models.load("resnet18", "random").graph
    convolutions = [i for i, step in enumerate(graph.steps) if step.op == "conv"]
    one, all_of_them = randomised(graph, convolutions[:1]), randomised(graph, convolutions)
    for index in convolutions:
        old, new = graph.steps[index].weight, one.steps[index].weight
        assert torch.equal(old, new) == (index != convolutions[0])
    assert torch.equal(one.steps[convolutions[0]].weight, all_of_them.steps[convolutions[0]].weight)


def test_random_weights_are_as_large_as_the_learnt_ones_and_of_mean_zero() -> None:
    graph = models.load("resnet18", "random").graph
    index = [i for i, step in enumerate(graph.steps) if step.op == "conv"][-1]
    old, new = graph.steps[index], randomised(graph, [index]).steps[index]
    assert new.weight.square().mean().item() == pytest.approx(old.weight.square().mean().item(), rel=0.02)
    assert abs(new.weight.mean().item()) < 0.02 * new.weight.std().item()
    assert sorted(new.bias.tolist()) == sorted(old.bias.tolist())
    correlation = np.corrcoef(old.weight.flatten().numpy(), new.weight.flatten().numpy())[0, 1]
    assert abs(correlation) < 0.01


def test_agreement_is_spearmans_over_the_pixels_that_lie_in_the_picture() -> None:
    random = np.random.default_rng(0)
    one, other = random.random((2, 9, 7)).round(1)  # with ties
    seen = random.random((9, 7)) > 0.3
    found = rank_agreement(Strengths(one, seen), Strengths(other, seen))
    assert found == pytest.approx(spearmanr(one[seen], other[seen]).statistic)
    for unknown in (np.zeros((9, 7)), np.where(seen, np.nan, one)):
        assert np.isnan(rank_agreement(Strengths(unknown, seen), Strengths(other, seen)))


def test_similarity_is_that_of_a_plain_loop_over_windows() -> None:
    random = np.random.default_rng(1)
    one, other = random.random((2, 12, 15))
    x, y = one / one.max(), other / other.max()
    values = []
    for row in range(12 - 6):
        for column in range(15 - 6):
            a, b = x[row : row + 7, column : column + 7], y[row : row + 7, column : column + 7]
            covariance = np.cov(a.ravel(), b.ravel())
            top = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance[0, 1] + 9e-4)
            below = (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (covariance[0, 0] + covariance[1, 1] + 9e-4)
            values.append(top / below)
    first, second, thrice = (Strengths(picture, one >= 0) for picture in (one, other, 3 * one))
    assert structural_similarity(first, second) == pytest.approx(np.mean(values))
    assert structural_similarity(first, thrice) == pytest.approx(1)
    assert np.isnan(structural_similarity(first, Strengths(0 * one, one >= 0)))


def test_a_mean_has_students_interval_and_leaves_out_what_is_not_known() -> None:
    from scipy import stats

    values = np.array([0.1, np.nan, 0.4, 0.3, 0.5])
    known = values[np.isfinite(values)]
    low, high = stats.t.interval(0.95, 3, known.mean(), stats.sem(known))
    found = mean_of(values)
    assert (found.mean, found.low, found.high, found.count) == pytest.approx((known.mean(), low, high, 4))
    assert np.isnan(mean_of(np.array([0.1, np.nan])).mean)
    assert mean_of(np.array([0.9, 1.0, 0.99])).high == 1  # a correlation is no larger


def test_strengths_sum_the_colours() -> None:
    gradients = np.array([[[[1.0]], [[-2.0]], [[0.5]]]])
    assert strengths(gradients).tolist() == [[[3.5]]]


def _by_autograd(graph: Graph, picture: torch.Tensor, top: int, channel: int, row: int, column: int):
    """|gradient| of one unit at the pixels under guided backpropagation, summed over the colours: the graph's steps one
    by one, its ReLUs replaced by the oracle's."""
    seen = picture.clone().requires_grad_()
    outputs: list[torch.Tensor] = []
    for step in graph.steps[: top + 1]:
        given = [outputs[i] for i in step.inputs]
        outputs.append(
            seen
            if step.op == "input"
            else RuledReLU.apply(given[0], "guided")
            if step.op == "relu"
            else step.run(*given)
        )
    outputs[top][0, channel, row, column].backward()
    return seen.grad[0].abs().sum(0).double().numpy()


def test_the_file_holds_what_a_plain_loop_over_units_finds(atlas: Store, small: Path) -> None:
    profile_of = profile.load(str(small))
    network = open_network(profile_of).to("cpu", torch.float32)
    report = atlas.tables.read_json("randomisation.json")
    assert [row["layer"] for row in report["layers"]] == [layer.name for layer in network.layers]
    name = "res3a"
    (row,) = [row for row in report["layers"] if row["layer"] == name]
    assert [step["down_to"] for step in row["rules"]["guided"]["steps"]] == [
        "res3a",
        "res2b",
        "res2a",
        "conv1",
    ]
    top, numbers = network.step(name), atlas.arrays.layer(name)
    records = atlas.tables.images()
    field, size = network.layer(name).receptive_field, network.preprocessing.size
    other = randomised(network.graph, range(network.step("res2b") + 1, top + 1))
    expected = []
    active = np.flatnonzero(numbers["top_image"][:, 0] >= 0)
    for channel in active[np.unique(np.linspace(0, len(active) - 1, UNITS).round().astype(int))]:
        path = Path(profile_of.pictures.folder) / records[numbers["top_image"][channel, 0]].path
        pixels = torch.from_numpy(read_picture(path, network.preprocessing).pixels)
        at = (int(channel), *numbers["top_unit"][channel, 0].tolist())
        pictures = [
            _by_autograd(graph, network.prepare(pixels[None]).contiguous(), top, *at)
            for graph in (network.graph, other)
        ]
        above, left, below, right = field.box(*at[1:])
        rows, columns = slice(max(above, 0), min(below, size[0])), slice(max(left, 0), min(right, size[1]))
        one, two = (picture[rows, columns].ravel() for picture in pictures)
        if one.any() and two.any():
            expected.append(spearmanr(one, two).statistic)
    found = row["rules"]["guided"]["steps"][0]["rank"]
    assert found["count"] == len(expected) >= 3
    assert found["mean"] == pytest.approx(np.mean(expected), abs=2e-3)

"""Layers found in a network's graph: those of the list as the list has them, and those of networks with other names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from generator.core.errors import AtlasError
from generator.network import models
from generator.network.layers import find_layers, step_of, with_names
from generator.network.tap import Tap
from generator.network.tracing import trace

LISTED = [
    name for name in models.names() if name.startswith(("resn", "wide_resnet", "preact", "demo", "alexnet"))
]


def found(module: nn.Module, side: int = 32) -> dict[str, Tap]:
    graph = trace(module.eval(), (side, side))
    return {tap.name: tap for tap in find_layers(graph, graph.shapes((side, side)), module)}


@pytest.mark.parametrize("name", LISTED)
def test_the_list_s_layers_are_found_under_their_names(name: str) -> None:
    model = models.find(name)
    module = models.blank(name).eval()
    graph = trace(module, model.preprocessing.size)
    taps = find_layers(graph, graph.shapes(model.preprocessing.size), module)
    listed = {
        (tap.name, tap.path, tap.kind, tap.block, tap.stage, step_of(graph, tap))
        for tap in model.taps_of(module)
    }
    assert {(tap.name, tap.path, tap.kind, tap.block, tap.stage, tap.step) for tap in taps} == listed
    steps = [tap.step for tap in taps]
    assert steps == sorted(steps)


class Odd(nn.Module):
    """A block whose attributes have other names, with a norm before the convolution."""

    def __init__(self, channels: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.before = nn.BatchNorm2d(channels)
        self.left = nn.Conv2d(channels, planes, 3, stride, 1)
        self.right = nn.Conv2d(planes, planes, 3, 1, 1)
        self.skip = (
            nn.Conv2d(channels, planes, 1, stride) if stride > 1 or channels != planes else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.right(torch.relu(self.left(torch.relu(self.before(x)))))


class Flat(nn.Module):
    """Two blocks in the forward of the network itself; sums of two maps inside the branch of the second."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(channels, 8, 3, padding=1) for channels in (3, 8, 8))
        self.d, self.e, self.f, self.g = (nn.Conv2d(8, 8, 3, padding=1) for _ in range(4))
        self.fc = nn.Linear(8, 5)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = torch.relu(self.c(torch.relu(self.b(x))) + x)
        inner = self.d(x)
        inner = self.e(inner) + inner  # inside the branch
        x = self.g(self.f(inner)) + x
        return self.fc(torch.flatten(self.pool(x), 1))


def test_blocks_are_found_whatever_their_parts_are_called() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Odd(8, 8), Odd(8, 8), Odd(8, 16, 2), Odd(16, 16))
    taps = found(net)
    assert list(taps) == [
        "conv1",
        *("res2a_branch2a", "res2a_branch2b", "res2a", "res2b_branch2a", "res2b_branch2b", "res2b"),
        *("res3a_branch1", "res3a_branch2a", "res3a_branch2b", "res3a"),
        *("res3b_branch2a", "res3b_branch2b", "res3b"),
    ]
    assert [taps[name].path for name in ("conv1", "res2b", "res3a_branch1")] == ["0", "2", "3.skip"]
    assert {tap.stage for name, tap in taps.items() if name.startswith("res3")} == {3}


def test_a_sum_inside_a_branch_is_no_block() -> None:
    taps = found(Flat())
    blocks = [tap for tap in taps.values() if tap.kind == "block"]
    assert [tap.name for tap in blocks] == ["res2a", "res2b"]
    assert [tap.path for tap in blocks] == ["add", "add:2"]  # no module of their own
    graph = trace(Flat().eval())
    assert [graph.steps[tap.step].op for tap in blocks] == ["relu", "add"]
    assert [name for name in taps if name.startswith("res2b_")] == [f"res2b_branch2{x}" for x in "abcd"]


def test_blocks_inside_a_long_shortcut_are_the_blocks() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head, self.tail = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 3, padding=1)
            self.body = nn.Sequential(BasicBlock(8, 8), BasicBlock(8, 8), nn.Conv2d(8, 8, 3, padding=1))

        def forward(self, x: Tensor) -> Tensor:
            x = self.head(x)
            return self.tail(self.body(x) + x)

    taps = found(Long())
    assert [tap.path for tap in taps.values() if tap.kind == "block"] == ["body.0", "body.1"]
    assert [tap.path for tap in taps.values() if tap.kind == "layer"] == ["body.2", "tail"]


def test_a_block_without_a_shortcut_is_known_by_its_class() -> None:
    class Inverted(nn.Module):
        def __init__(self, channels: int, planes: int, stride: int) -> None:
            super().__init__()
            self.adds = stride == 1 and channels == planes
            self.wide, self.narrow = (
                nn.Conv2d(channels, 4 * channels, 1),
                nn.Conv2d(4 * channels, planes, 3, stride, 1),
            )

        def forward(self, x: Tensor) -> Tensor:
            y = self.narrow(torch.relu(self.wide(x)))
            return y + x if self.adds else y

    net = nn.Sequential(nn.Conv2d(3, 8, 3), Inverted(8, 12, 2), Inverted(12, 12, 1), nn.Conv2d(12, 20, 1))
    taps = found(net)
    assert [(tap.name, tap.path) for tap in taps.values() if tap.kind == "block"] == [
        ("res2a", "1"),
        ("res2b", "2"),
    ]
    assert (taps["conv3"].path, taps["conv3"].kind) == ("3", "layer")


def test_an_activation_outside_the_block_is_not_the_block_s() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + x

    net = nn.Sequential(nn.Conv2d(3, 8, 3), Sum(), nn.ReLU(), nn.Conv2d(8, 8, 1))
    graph = trace(net.eval())
    (block,) = (tap for tap in found(net).values() if tap.kind == "block")
    assert graph.steps[block.step].op == "add"


def test_an_activation_that_begins_the_next_block_is_not_the_block_s() -> None:
    """Blocks without norms (arXiv:2102.06171) begin with their activation. It alone reads the sum before it where the
    shortcut begins behind it too."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.conv, self.projection = nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1), nn.Conv2d(8, 8, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(x)
            return self.conv(x) + self.projection(x)

    net = nn.Sequential(nn.Conv2d(3, 8, 3), Block(), Block(), nn.ReLU(), nn.Conv2d(8, 8, 1))
    graph = trace(net.eval())
    blocks = [tap for tap in found(net).values() if tap.kind == "block"]
    assert [graph.steps[block.step].op for block in blocks] == ["add", "add"]


def test_layers_get_the_names_that_are_given() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), Odd(8, 8), nn.MaxPool2d(2))
    graph = trace(net.eval())
    taps = find_layers(graph, graph.shapes((16, 16)), net)
    named = {tap.name: tap for tap in with_names(taps, {"mid": "1", "pooled": "2"}, graph)}
    assert "res2a" not in named and named["res2a_branch2a"].block == "mid"
    assert (named["pooled"].kind, graph.steps[named["pooled"].step].op) == ("layer", "max_pool")
    for names, message in (
        ({"mid": "7"}, "no module"),
        ({"conv1": "1"}, "two layers have one name"),
        ({"a/b": "1"}, "not a name for a layer"),
    ):
        with pytest.raises(AtlasError, match=message):
            with_names(taps, names, graph)


def test_a_network_without_maps_is_refused_in_one_sentence() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16, 8), nn.ReLU(), nn.Linear(8, 2))
    graph = trace(net.eval(), (4, 4))
    with pytest.raises(AtlasError, match="no maps"):
        find_layers(graph, graph.shapes((4, 4)), net)

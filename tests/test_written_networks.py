"""Blocks as people write them, with operations that have no cone: forward passes against the module, gradients of
single units and of objectives against the plain reference, and optimised pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gradient_oracle import (
    RULES,
    RuledReLUs,
    check_against_autograd,
    check_objective,
    network_of,
    randomise,
    tapped,
)
from torch import Tensor, nn

from generator.engine.ascent.ascent import AscentPlan, ascend
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.scan.plan import padded
from generator.network.network import Network
from generator.network.residual import find_residual

SIDE = 40


class Residual(nn.Module):
    """Two convolutions with norms, an activation, a gate on the branch, and the sum's activation."""

    def __init__(self, c_in: int, c: int, stride: int, act: Callable, norm: Callable, gate: Callable) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(c_in, c, 3, stride, 1, bias=False), norm(c)
        self.conv2, self.norm2 = nn.Conv2d(c, c, 3, 1, 1, bias=False), norm(c)
        self.act, self.gate = act(), gate(c)
        self.down = None
        if stride != 1 or c_in != c:
            self.down = nn.Sequential(nn.Conv2d(c_in, c, 1, stride, bias=False), norm(c))

    def forward(self, x: Tensor) -> Tensor:
        out = self.gate(self.norm2(self.conv2(self.act(self.norm1(self.conv1(x))))))
        out += x if self.down is None else self.down(x)
        return self.act(out)


class Squeeze(nn.Module):
    """Squeeze-and-excitation with linear layers and `view`."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(c, c // 2), nn.ReLU(inplace=True), nn.Linear(c // 2, c), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        b, c, _, _ = x.size()
        return x * self.fc(self.pool(x).view(b, c)).view(b, c, 1, 1).expand_as(x)


class Efficient(nn.Module):
    """Channel attention by a convolution along the channels."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x.mean((2, 3), keepdim=True).squeeze(-1).transpose(-1, -2)).transpose(-1, -2)
        return x * y.unsqueeze(-1).sigmoid()


class Spatial(nn.Module):
    """A gate per position, from the channels' mean and maximum."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.conv(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)))


class Shuffle(nn.Module):
    """A grouped convolution, then channels shuffled among the groups."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1, groups=2)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        return self.conv(x).view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


class Attention(nn.Module):
    """Self-attention among all positions."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.qkv = nn.Conv2d(c, 3 * c, 1)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        q, k, v = self.qkv(x).flatten(2).chunk(3, dim=1)
        weights = torch.softmax(q.transpose(1, 2) @ k / c**0.5, dim=-1)
        return (v @ weights.transpose(1, 2)).reshape(b, c, h, w)


class Blur(nn.Module):
    """Mirrored padding and a fixed filter, as anti-aliased networks have it."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.ones(c, 1, 3, 3) / 9)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.kernel, groups=x.shape[1])


class ConvNeXt(nn.Module):
    """Depthwise convolution, LayerNorm over channels behind a permutation, linear layers, GELU, a scale."""

    def __init__(self, c_in: int, c: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(c_in, c, 2, 2) if stride == 2 else nn.Identity()
        self.conv, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c)
        self.up, self.back = nn.Linear(c, 2 * c), nn.Linear(2 * c, c)
        self.gamma = nn.Parameter(torch.full((c, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        out = self.back(F.gelu(self.up(self.norm(self.conv(x).permute(0, 2, 3, 1)))))
        return x + self.gamma * out.permute(0, 3, 1, 2)


class Gated(nn.Module):
    """A gated shortcut: products of maps."""

    def __init__(self, c_in: int, c: int, stride: int) -> None:
        super().__init__()
        self.inside = Residual(c_in, c, stride, nn.ReLU, nn.BatchNorm2d, nn.Identity)
        self.mix = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.inside(x)
        g = torch.sigmoid(self.mix(out))
        return F.relu(g * out.flip(1) + (1 - g) * out)


class Net(nn.Module):
    def __init__(self, block: Callable[[int, int, int], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.a, self.b = block(8, 8, 1), block(8, 12, 2)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.b(self.a(self.stem(x))).mean((2, 3)))
        return scores


def residual(
    act: Callable = nn.ReLU, norm: Callable = nn.BatchNorm2d, gate: Callable = nn.Identity
) -> Callable:
    return lambda c_in, c, stride: Residual(c_in, c, stride, act, norm, gate)


BLOCKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "squeeze-and-excitation": residual(gate=Squeeze),
    "efficient channel attention": residual(gate=Efficient),
    "spatial gate": residual(gate=Spatial),
    "channel shuffle": residual(gate=Shuffle),
    "self-attention": residual(gate=Attention),
    "blur": residual(gate=Blur),
    "gated shortcut": Gated,
    "ConvNeXt": ConvNeXt,
    "GroupNorm": residual(norm=lambda c: nn.GroupNorm(2, c)),
    "InstanceNorm": residual(norm=lambda c: nn.InstanceNorm2d(c, affine=True)),
    "GELU": residual(act=nn.GELU),
    "SiLU": residual(act=nn.SiLU),
    "LeakyReLU": residual(act=lambda: nn.LeakyReLU(0.1, inplace=True)),
    "PReLU": residual(act=nn.PReLU),
    "Hardswish": residual(act=nn.Hardswish),
    "ReLU6": residual(act=lambda: nn.ReLU6(inplace=True)),
}
WINDOWED = {"ReLU6"}
LOCAL = {"GELU", "SiLU", "LeakyReLU", "PReLU", "Hardswish", "ReLU6"}


@pytest.fixture(scope="module", params=BLOCKS)
def written(request) -> tuple[str, nn.Module, Network]:
    module = randomise(Net(BLOCKS[request.param]))
    return request.param, module, network_of(module, tapped("stem", "a", "b")[0], SIDE)


def test_the_way_follows_from_the_operations(written) -> None:
    name, _, network = written
    stem, *blocks = network.steps
    assert network.graph.is_windowed(stem)
    assert {network.graph.is_windowed(step) for step in blocks} == {name in WINDOWED}
    assert {network.graph.is_local(step) for step in blocks} == {name in LOCAL}
    assert {bool(layer.by_torch) for layer in network.layers[1:]} == {name not in WINDOWED}


def test_units_agree_with_autograd(written) -> None:
    _, module, network = written
    check_against_autograd(module, *tapped("stem", "a", "b"), SIDE, network=network)


@pytest.mark.parametrize("rule", RULES)
def test_objectives_agree_with_autograd(written, rule: str) -> None:
    _, module, network = written
    x = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64, requires_grad=True)
    kept: list[Tensor] = []
    handle = module.get_submodule("b").register_forward_hook(lambda *given: kept.append(given[2].clone()))
    with RuledReLUs(rule):
        module(x)
    handle.remove()
    for position in ((0, 0), (4, 9), None):
        walk = WindowedForward(network.graph, network.step("b"), (SIDE, SIDE), position)
        check_objective(walk, kept[0], x, position, rule, 1e-11)


def test_scans_see_the_modules_maps(written) -> None:
    """In float32 and bfloat16, with fused convolutions, in a batch that is not full."""
    _, module, network = written
    shown = torch.randint(0, 256, (3, SIDE, SIDE, 3), dtype=torch.uint8)
    expected: dict[str, Tensor] = {}
    handles = [
        module.get_submodule(path).register_forward_hook(
            lambda m, i, output, path=path: expected.update({path: output.clone()})
        )
        for path in ("stem", "a", "b")
    ]
    with torch.no_grad():
        module(network.prepare(shown))
    for handle in handles:
        handle.remove()
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        moved = network.to("cpu", dtype)
        wanted = dict(zip(moved.steps, moved.layers, strict=True))
        with torch.no_grad():
            for step, maps in moved.graph.visit(moved.prepare(padded(shown, 4)), wanted):
                right = expected[wanted[step].name]
                assert maps.dtype == dtype
                assert (maps[:3].double() - right).abs().max() <= tolerance * right.abs().max()


def test_optimised_pictures_rise(written) -> None:
    _, _, network = written
    network = network.to("cpu", torch.float32)
    plan = AscentPlan(steps=12, transforms=(), batch=2)
    for objective in ("neuron", "channel"):
        risen = ascend(network, "b", [0, 1], replace(plan, objective=objective))
        start = ascend(network, "b", [0, 1], replace(plan, objective=objective, steps=0))
        assert np.all(risen.value.numpy() >= start.value.numpy())
        assert float(risen.value.max()) > float(start.value.max())


def test_objectives_on_larger_and_unequal_pictures_are_the_modules(written) -> None:
    """Networks may have the size of their maps among their numbers."""
    _, module, network = written
    size = (48, 56)
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    kept: list[Tensor] = []
    handle = module.get_submodule("b").register_forward_hook(lambda *given: kept.append(given[2].clone()))
    with torch.no_grad():
        module(x)
    handle.remove()
    top = network.step("b")
    graph = network.graph_of(size, top)
    found = WindowedForward(graph, top, size)(x)
    torch.testing.assert_close(found, kept[0], rtol=1e-10, atol=1e-10)
    assert network.graph_of(size, top) is graph  # kept, not read again


def test_the_output_of_a_block_is_what_its_last_step_makes_of_the_two_parts(written) -> None:
    """What the stream's pages say of a block holds whatever its branch does."""
    name, _, network = written
    block = find_residual(network.graph, network.step("a"))
    if name not in LOCAL | {"gated shortcut"} or name == "ReLU6":
        assert block is not None
    if block is None:
        return
    values = {i: output.clone() for i, output in network.graph.run(network.prepare(_some()))}
    parts = values[block.shortcut] + values[block.branch]
    expected = parts if block.is_signed else network.graph.steps[block.output].run(parts)
    torch.testing.assert_close(values[block.output], expected)


def _some() -> Tensor:
    return torch.randint(0, 256, (2, SIDE, SIDE, 3), dtype=torch.uint8)

"""Unit gradients of layers behind operations without a cone, which torch computes on whole pictures: against the plain
reference, whose rules are its own; and that a unit's gradient does not depend on the others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from gradient_oracle import (
    PICKS,
    RULES,
    RuledReLUs,
    check_objective,
    framed,
    randomise,
    read_by_hand,
    relative_error,
)
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.gradients.whole_maps import WholeMaps
from generator.network.call import BatchSize, Call, Source
from generator.network.network import Network
from generator.network.ops import Step

EXACT = 1e-10  # reached: about 1e-14
SIDE = 40


class Mixed(nn.Module):
    """A convolution with a ReLU; one with an activation; a gate from globally pooled maps; a sum, and a strided
    convolution with another activation."""

    def __init__(self, first, second) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 8, 3, 1, 1)
        self.down, self.up = nn.Linear(8, 4), nn.Linear(4, 8)
        self.conv3 = nn.Conv2d(8, 6, 3, 2, 1)
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        stem = F.relu(self.conv1(x))
        smooth = self.first(self.conv2(stem))
        gate = torch.sigmoid(self.up(F.relu(self.down(smooth.mean((2, 3))))))
        gated = smooth * gate[:, :, None, None] + stem
        return {"stem": stem, "smooth": smooth, "gated": gated, "last": self.second(self.conv3(gated))}


def activation(name: str, source: int, *arguments) -> Step:
    call = Call(f"aten.{name}.default", (Source(0), *arguments), follows=(0,), is_local=True)
    return Step("activation", (source,), "", call=call)


def mixed(module: Mixed, first: tuple, second: tuple) -> Network:
    """The module's graph, written by hand."""

    def conv(part: nn.Conv2d, source: int) -> Step:
        assert part.bias is not None
        weight, bias = part.weight.detach(), part.bias.detach()
        return Step("conv", (source,), "", weight, bias, kernel=3, stride=part.stride[0], padding=1)

    def linear(part: nn.Linear, source: int) -> Step:
        return Step("linear", (source,), "", part.weight.detach(), part.bias.detach())

    def called(target: str, inputs: tuple[int, ...], *arguments, **kwargs) -> Step:
        return Step("torch", inputs, "", call=Call(target, arguments, **kwargs))

    x, y = Source(0), Source(1)
    steps = [
        Step("input", (), ""),
        conv(module.conv1, 0),
        Step("relu", (1,), ""),
        conv(module.conv2, 2),
        activation(first[0], 3, *first[1:]),
        called("aten.mean.dim", (4,), x, (2, 3)),
        linear(module.down, 5),
        Step("relu", (6,), ""),
        linear(module.up, 7),
        called("aten.sigmoid.default", (8,), x),
        called("aten.reshape.default", (9,), x, (BatchSize(1), 8, 1, 1)),
        called("aten.mul.Tensor", (4, 10), x, y, follows=(0,), beyond=True, is_local=True),
        Step("add", (11, 2), ""),
        conv(module.conv3, 12),
        activation(second[0], 13, *second[1:]),
    ]
    return read_by_hand(steps, {"stem": 2, "smooth": 4, "gated": 12, "last": 14}, SIDE)


PAIRS = [
    (nn.GELU(), ("gelu",), nn.LeakyReLU(0.2), ("leaky_relu", 0.2)),
    (nn.SiLU(), ("silu",), nn.ELU(), ("elu",)),
    (nn.Hardswish(), ("hardswish",), nn.Mish(), ("mish",)),
]


@pytest.fixture(params=range(len(PAIRS)), ids=["GELU and LeakyReLU", "SiLU and ELU", "Hardswish and Mish"])
def both(request) -> tuple[nn.Module, Network]:
    first, one, second, two = PAIRS[request.param]
    module = randomise(Mixed(first, second))
    return module, mixed(module, one, two)


def pictures(count: int) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_the_graph_is_the_modules(both) -> None:
    module, network = both
    expected = module(pictures(2))
    found = {index: output.clone() for index, output in network.graph.run(pictures(2))}
    for layer in network.layers:
        torch.testing.assert_close(found[network.step(layer.name)], expected[layer.name])
    assert [network.graph.is_windowed(step) for step in network.steps] == [True, False, False, False]
    assert [network.graph.is_local(step) for step in network.steps] == [True, True, False, False]
    assert [layer.receptive_field.beyond for layer in network.layers] == [False, False, True, True]


@pytest.mark.parametrize("rule", RULES)
def test_inner_border_and_corner_units_agree_with_autograd(both, rule: str) -> None:
    module, network = both
    x = pictures(len(PICKS)).requires_grad_()
    with RuledReLUs(rule) as mode:
        maps = module(x)
    assert mode.count == 4
    switches = forward_switches(network, x.detach())
    engine = UnitGradients(network, rule)
    for layer in network.layers:
        places = [pick(layer.height, layer.width) for pick in PICKS]
        channels = torch.arange(len(PICKS)) % layer.channels
        rows, columns = torch.tensor(places).T
        every = torch.arange(len(PICKS))
        values = maps[layer.name][every, channels, rows, columns]
        (whole,) = torch.autograd.grad(values.sum(), x, retain_graph=True)
        expected = torch.stack([framed(whole[k], layer.receptive_field, *at) for k, at in enumerate(places)])
        units = Units(every, channels, rows, columns)
        found = engine.gradients(switches, layer.name, units)
        assert relative_error(found, expected) < EXACT, layer.name
        found = engine.unshared(x.detach(), layer.name, units)
        assert relative_error(found, expected) < EXACT, layer.name


def test_a_field_larger_than_the_picture_gives_the_whole_gradient(both) -> None:
    module, network = both
    small = pictures(2)[:, :, :10, :10].clone().requires_grad_()
    units = Units(*(torch.tensor(part) for part in ([1, 0], [2, 3], [0, 1], [2, 1])))
    values = module(small)["last"][units.picture, units.channel, units.row, units.column]
    (whole,) = torch.autograd.grad(values.sum(), small)
    found = UnitGradients(network, "plain").gradients(
        forward_switches(network, small.detach()), "last", units
    )
    assert relative_error(found, whole[units.picture]) < EXACT


def some_units(layer, count: int) -> Units:
    random = torch.Generator().manual_seed(2)
    limits = (3, layer.channels, layer.height, layer.width)
    return Units(*(torch.randint(0, most, (count,), generator=random) for most in limits))


@pytest.mark.parametrize("name", ["smooth", "last"])
@pytest.mark.parametrize("rule", ["guided", "plain"])
def test_a_unit_has_the_same_bits_in_whatever_company(both, name: str, rule: str) -> None:
    network = both[1].to("cpu", torch.float32)
    switches = forward_switches(network, pictures(3).float())
    units = some_units(network.layer(name), 37)
    engine = UnitGradients(network, rule)
    together = engine.gradients(switches, name, units)
    for part in (torch.tensor([5]), torch.tensor([36, 5, 17]), torch.arange(36, -1, -1)):
        assert torch.equal(engine.gradients(switches, name, units.take(part)), together[part])


def test_batches_are_as_large_as_memory_allows(both) -> None:
    network = both[1]
    top, x = network.step("last"), pictures(1)
    large, small, none = (WholeMaps(network.graph, top, memory) for memory in (1 << 30, 1 << 20, 1))
    assert (large.batch(x), none.batch(x)) == (16, 1)
    assert 1 < small.batch(x) < 16


def test_units_of_maps_that_depend_on_the_whole_picture_are_never_cut_out(both) -> None:
    """The others, whose way is torch's too, always have a crop of their own."""
    network = both[1]
    costs = ForwardCosts(network)
    layers, picture = torch.tensor([1, 2, 3, 1, 2]).numpy(), torch.tensor([0, 0, 0, 1, 1]).numpy()
    assert costs.alone(layers, picture).tolist() == [True, False, False, True, False]


def test_units_that_do_not_exist_and_switches_that_end_early_are_named(both) -> None:
    network = both[1]
    engine, zero = UnitGradients(network), torch.tensor([0])
    with pytest.raises(AtlasError, match="last has no row 10"):
        engine.gradients(
            forward_switches(network, pictures(1)), "last", Units(zero, zero, torch.tensor([10]), zero)
        )
    with pytest.raises(AtlasError, match="the switches end before this layer"):
        engine.gradients(
            forward_switches(network, pictures(1), "stem"), "last", Units(zero, zero, zero, zero)
        )


# -- windows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["smooth", "gated", "last"])
@pytest.mark.parametrize("rule", RULES)
def test_what_an_objective_depends_on_gives_its_value_and_gradient(both, name: str, rule: str) -> None:
    """Single positions at corners, borders and inside, and whole maps."""
    module, network = both
    layer = network.layer(name)
    x = pictures(2).requires_grad_()
    with RuledReLUs(rule):
        maps = module(x)[name]
    edge = layer.height - 1
    for position in ((0, 0), (edge // 2, edge // 3), (edge, 1), (edge - 2, edge), None):
        walk = WindowedForward(network.graph, network.step(name), (SIDE, SIDE), position)
        check_objective(walk, maps, x, position, rule, 1e-12)
        if name == "smooth" and position is not None:
            assert walk.frame[0].size < SIDE  # activations read positions alone

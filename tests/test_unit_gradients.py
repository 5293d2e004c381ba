"""Gradients of single units against automatic differentiation, Captum, and numbers worked out by hand.

All in float64: in fp32 rounding flips ReLUs, and even the same picture in two batch sizes differs.
"""

from __future__ import annotations

import pytest
import torch
from gradient_oracle import (
    EXACT,
    RULES,
    check_against_autograd,
    framed,
    layer_maps,
    network_of,
    randomise,
    read_by_hand,
    relative_error,
    resnet_taps,
    tapped,
)
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.gradients.unit_gradients import UnitGradients, Units, crops, forward_switches
from generator.network.models.alexnet import alexnet_taps
from generator.network.models.densenet import dense_taps
from generator.network.models.model import residual_taps
from generator.network.models.resnet_preact import PreActResNet
from generator.network.network import Network, Tap
from generator.network.ops import Step
from generator.network.zero_padding import ZeroPadShortcut


class Block(nn.Module):
    """A bottleneck; stride in the 1 × 1 (Caffe) or the 3 × 3 convolution, all ways to call a ReLU mixed."""

    def __init__(
        self, channels_in: int, width: int, stride: int, caffe: bool = False, groups: int = 1
    ) -> None:
        super().__init__()
        first, second = (stride, 1) if caffe else (1, stride)
        self.conv1 = nn.Conv2d(channels_in, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.project = None
        if stride != 1 or channels_in != 2 * width:
            self.project = nn.Sequential(
                nn.Conv2d(channels_in, 2 * width, 1, stride, bias=False), nn.BatchNorm2d(2 * width)
            )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = torch.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += x if self.project is None else self.project(x)
        return self.relu(out)


def bottlenecks(*, caffe: bool = False, groups: int = 1) -> nn.Sequential:
    pool = nn.MaxPool2d(3, 2, 0, ceil_mode=True) if caffe else nn.MaxPool2d(3, 2, 1)
    stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    net = nn.Sequential()
    net.add_module("stem", stem)
    net.add_module("pool", pool)
    net.add_module("a", Block(8, 4, 1, caffe, groups))
    net.add_module("b", Block(8, 4, 1, caffe, groups))
    net.add_module("c", Block(8, 8, 2, caffe, groups))
    net.add_module("d", Block(16, 8, 1, caffe, groups))
    net.add_module("e", Block(16, 8, 2, caffe, groups))
    return net


def inner(net: nn.Module, blocks: str) -> tuple[list[Tap], dict[str, tuple[str, bool]]]:
    """Taps at stem, pool, blocks and their convolutions."""
    taps, watched = tapped("stem", "pool", *blocks)
    for block in blocks:
        for number in (1, 2, 3):
            path = f"{block}.conv{number}"
            taps.append(Tap(path, path, "branch", block, 2))
            watched[path] = (f"{block}.bn{number}", number < 3)
        if net.get_submodule(block).project is not None:
            taps.append(Tap(f"{block}.project.0", f"{block}.project.0", "projection", block, 2))
            watched[f"{block}.project.0"] = (f"{block}.project", False)
    return taps, watched


class OptionA(nn.Module):
    """A basic block whose shortcut pads with zero channels."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1)
        self.shortcut = ZeroPadShortcut(channels_in, channels, stride) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (self.conv2(self.conv1(x).relu()) + self.shortcut(x)).relu()


class DenseLayer(nn.Module):
    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels_in)
        self.conv = nn.Conv2d(channels_in, 4, 3, 1, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(torch.relu(self.norm(x)))], 1)


def named(**modules: nn.Module) -> nn.Sequential:
    net = nn.Sequential()
    for name, module in modules.items():
        net.add_module(name, module)
    return net


@pytest.mark.parametrize(("caffe", "groups"), [(False, 1), (True, 1), (False, 2)])
@pytest.mark.parametrize("side", [64, 53])
def test_bottlenecks_agree_with_autograd_at_every_layer(caffe: bool, groups: int, side: int) -> None:
    net = randomise(bottlenecks(caffe=caffe, groups=groups))
    check_against_autograd(net, *inner(net, "abcde"), side)


def test_option_a_shortcuts_agree_with_autograd() -> None:
    stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU())
    net = randomise(
        named(stem=stem, a=OptionA(4, 4, 1), b=OptionA(4, 8, 2), c=OptionA(8, 8, 1), d=OptionA(8, 16, 2))
    )
    check_against_autograd(net, *tapped("stem", "a", "b", "c", "d"), 32)


def test_concatenation_unfoldable_norms_and_average_pooling_agree_with_autograd() -> None:
    stem = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )
    change = nn.Sequential(nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 6, 1, bias=False), nn.AvgPool2d(2, 2))
    net = named(stem=stem, a=DenseLayer(4), b=DenseLayer(8), change=change, c=DenseLayer(6), d=DenseLayer(10))
    check_against_autograd(randomise(net), *tapped("stem", "a", "b", "change", "c", "d"), 48)


def test_large_kernels_overlapping_pools_and_dilation_agree_with_autograd() -> None:
    first = nn.Sequential(nn.Conv2d(3, 6, 11, 4, 2), nn.ReLU(inplace=True))
    second = nn.Sequential(nn.MaxPool2d(3, 2), nn.Conv2d(6, 8, 5, padding=2), nn.ReLU(inplace=True))
    third = nn.Sequential(
        nn.MaxPool2d(3, 2), nn.Conv2d(8, 8, 3, padding=2, dilation=2), nn.ReLU(inplace=True)
    )
    fourth = nn.Sequential(nn.AvgPool2d(3, 2, 1), nn.Conv2d(8, 8, 3, 2, 1, dilation=1), nn.ReLU())
    net = randomise(named(first=first, second=second, third=third, fourth=fourth))
    check_against_autograd(net, *tapped("first", "second", "third", "fourth"), 95)


def sequence(net: nn.Sequential, side: int) -> Network:
    """A network of convolutions, ReLUs with limits and unequal padding in a row, read by hand: a layer at the end of
    each part."""
    steps, ends = [Step("input", (), "")], []
    for part in net:
        for module in part:
            at = (len(steps) - 1,)
            match module:
                case nn.Conv2d(weight=weight, bias=bias, kernel_size=(kernel, _), stride=(stride, _)):
                    padding = int(module.padding[0])
                    numbers = {
                        "kernel": kernel,
                        "stride": stride,
                        "padding": padding,
                        "groups": module.groups,
                    }
                    steps.append(Step("conv", at, "", weight.detach(), bias.detach(), **numbers))
                case nn.Hardtanh(max_val=limit):  # ReLU6 is one
                    steps.append(Step("relu", at, "", limit=limit))
                case nn.ZeroPad2d(padding=(before, after, _, _)):
                    steps.append(Step("pad", at, "", padding=before, after=after))
        ends.append(len(steps) - 1)
    names = [name for name, _ in net.named_children()]
    return read_by_hand(steps, dict(zip(names, ends, strict=True)), side)


def lite(limit: float) -> nn.Sequential:
    """Parts of mobile networks with "same" padding as TensorFlow has it: zeros on one side more than on the other
    before a depthwise convolution of stride 2; rectifiers with an upper limit."""
    stem = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), nn.Hardtanh(0.0, limit))
    a = nn.Sequential(
        nn.Conv2d(8, 12, 1),
        nn.Hardtanh(0.0, limit),
        nn.ZeroPad2d((1, 2, 1, 2)),
        nn.Conv2d(12, 12, 5, 2, groups=12),
        nn.Hardtanh(0.0, limit),
        nn.Conv2d(12, 6, 1),
    )
    b = nn.Sequential(nn.Conv2d(6, 16, 3, 1, 1), nn.Hardtanh(0.0, limit), nn.ZeroPad2d((2, 0, 2, 0)))
    c = nn.Sequential(nn.Conv2d(16, 8, 3, 2), nn.Hardtanh(0.0, limit))
    return named(stem=stem, a=a, b=b, c=c)


@pytest.mark.parametrize("side", [64, 51])
@pytest.mark.parametrize("compiled", [True, False])
def test_unequal_padding_and_limited_relus_agree_with_autograd(side, compiled, monkeypatch) -> None:
    if not compiled:
        monkeypatch.setattr("generator.engine.loops.compiled._loops", lambda: None)
    net = randomise(lite(0.8))
    check_against_autograd(net, *tapped("stem", "a", "b", "c"), side, network=sequence(net, side))


def test_above_its_limit_a_relu_lets_nothing_pass() -> None:
    """The same network with and without limits: a test that would pass without them would show nothing."""
    torch.manual_seed(4)
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    unit = Units(*(torch.tensor([value]) for value in (0, 3, 4, 5)))
    gradients = []
    for limit in (0.8, 1e9):
        network = sequence(randomise(lite(limit)), 64)
        switches = forward_switches(network, x)
        gradients.append(UnitGradients(network, "plain").gradients(switches, "c", unit))
    assert relative_error(*gradients) > 0.1


@pytest.mark.parametrize("position", [0, 1, 7, 14, 15])
def test_windows_of_unequal_padding_and_limited_relus_agree_with_autograd(position: int) -> None:
    net = randomise(lite(0.8))
    network, part = sequence(net, 64), net[:2]
    top = network.step("a")
    torch.manual_seed(5)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    expected = part(x)[:, :, position, position]
    (gradient,) = torch.autograd.grad(expected.sum(), x)
    walk = WindowedForward(network.graph, top, (64, 64), (position, position))
    inside = slice(walk.frame[0].low, walk.frame[0].end)
    seen = x.detach()[:, :, inside, inside].requires_grad_()
    found = walk(seen)[:, :, 0, 0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    (own,) = torch.autograd.grad(found.sum(), seen)
    torch.testing.assert_close(own, gradient[:, :, inside, inside], rtol=1e-12, atol=1e-12)
    assert gradient.abs().sum() == pytest.approx(float(own.abs().sum()))


def torchvision_resnet(name: str) -> nn.Module:
    models = pytest.importorskip("torchvision.models")
    return randomise(getattr(models, name)())


def test_resnet18_agrees_with_autograd() -> None:
    module = torchvision_resnet("resnet18")
    layers = ("conv1", "layer1.0", "layer2.0.conv2", "layer2.0.downsample.0", "layer3.1", "layer4.1.conv1")
    check_against_autograd(
        module, *resnet_taps(module), 64, layers=layers, rules=("guided", "plain"), memory=1 << 26
    )


def one_of_each_kind(taps: list[Tap], turn: int) -> list[str]:
    """One layer of each kind (stem, each convolution of a block, projection, block) in each stage; turn: which one."""
    alike: dict[tuple[str, int], list[str]] = {}
    for tap in taps:
        alike.setdefault((tap.name.removeprefix(tap.block), tap.stage), []).append(tap.name)
    return [names[turn % len(names)] for names in alike.values()]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("rule", RULES)
def test_a_layer_of_each_kind_and_stage_agrees_with_autograd(name: str, rule: str) -> None:
    """Of a ResNet-18 by each rule; of a ResNet-50, whose oracle takes long, by one of the three. Each rule takes other
    blocks."""
    module, turn = torchvision_resnet(name), RULES.index(rule)
    taps, watched = resnet_taps(module)
    layers = one_of_each_kind(taps, turn)
    if name == "resnet50":
        layers = layers[turn :: len(RULES)]
    check_against_autograd(module, taps, watched, 64, layers=layers, rules=(rule,), memory=1 << 26)


@pytest.mark.long
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("rule", RULES)
def test_every_layer_of_a_torchvision_resnet_agrees_with_autograd(name: str, rule: str) -> None:
    module = torchvision_resnet(name)
    check_against_autograd(module, *resnet_taps(module), 64, rules=(rule,), memory=1 << 26)


@pytest.mark.slow
def test_pre_activation_blocks_agree_with_autograd() -> None:
    """Signed sums, norms that nothing can be folded into, a projection that reads the rectified input."""
    module = randomise(PreActResNet((2, 2), 5))
    taps = residual_taps(module)
    watched = {tap.name: (tap.path, False) for tap in taps}  # conv3, the projection and the sum: signed
    for tap in taps:
        if tap.path.endswith(("conv1", "conv2")) and tap.kind == "branch":
            watched[tap.name] = (f"{tap.path[:-5]}bn{int(tap.path[-1]) + 1}", True)
    check_against_autograd(module, taps, watched, 64, memory=1 << 26)


@pytest.mark.slow
def test_alexnet_agrees_with_autograd() -> None:
    module = torchvision_resnet("alexnet")
    taps = alexnet_taps(module)
    watched = {tap.name: (f"features.{int(tap.path.split('.')[1]) + 1}", False) for tap in taps}
    check_against_autograd(module, taps, watched, 127, memory=1 << 26)


@pytest.mark.slow
def test_densenet_agrees_with_autograd() -> None:
    module = torchvision_resnet("densenet121")
    taps = dense_taps(module)
    watched = {tap.name: (tap.path, False) for tap in taps}
    for tap in taps:
        if tap.kind == "branch":  # read after the norm and ReLU behind it
            watched[tap.name] = (tap.path.replace("conv1", "norm2"), True)
    watched["conv1"] = ("features.norm0", True)
    layers = (
        "conv1",
        "dense2a_1x1",
        "dense2a",
        "dense2f",
        "transition2",
        "dense3c",
        "dense4b_1x1",
        "dense4b",
    )
    check_against_autograd(module, taps, watched, 64, layers=layers, memory=1 << 26)


@pytest.mark.parametrize(
    ("name", "relus"), [("alexnet", 7), ("resnet18", 17), ("resnet50", 49), ("densenet121", 121)]
)
def test_no_relu_is_missed(name: str, relus: int) -> None:
    models = pytest.importorskip("torchvision.models")
    from generator.network.tracing import trace

    module = getattr(models, name)().eval()
    _, count = layer_maps(module, torch.zeros(1, 3, 64, 64), "guided", {})
    assert count == relus
    assert trace(module).count("relu") == relus


def test_a_backward_pass_worked_out_by_hand() -> None:
    """Two 1 × 1 convolutions. Forward at the one pixel x = (1, 2, 0):
    hidden h = (1·1 + 1·2, −1·1, 1·1) = (3, −1, 1) before the ReLU; unit = (2, 4, −1) · relu(h)."""
    net = named(
        one=nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU()), two=nn.Conv2d(3, 1, 1, bias=False)
    )
    with torch.no_grad():
        net.one[0].weight.copy_(torch.tensor([[1.0, 1, 5], [-1, 0, 7], [1, 0, -3]])[:, :, None, None])
        net.two.weight.copy_(torch.tensor([[2.0, 4, -1]])[:, :, None, None])
    network = network_of(net.double().eval(), tapped("one", "two")[0], 1)
    switches = forward_switches(
        network, torch.tensor([1.0, 2, 0], dtype=torch.float64).view(1, 3, 1, 1), keep=["two"]
    )
    zero = torch.zeros(1, dtype=torch.int64)
    unit = Units(zero, zero, zero, zero)
    assert switches.values(network, "two", unit).tolist() == [2 * 3 - 1 * 1]
    engine = UnitGradients(network)
    # guided: only the first hidden unit is on with a positive gradient, 2 · (1, 1, 5)
    assert engine.gradients(switches, "two", unit).flatten().tolist() == [2, 2, 10]
    # plain: first and third, 2 · (1, 1, 5) − (1, 0, −3)
    assert engine.with_rule("plain").gradients(switches, "two", unit).flatten().tolist() == [1, 2, 13]
    # deconvnet: first and second, 2 · (1, 1, 5) + 4 · (−1, 0, 7)
    assert engine.with_rule("deconvnet").gradients(switches, "two", unit).flatten().tolist() == [-2, 2, 38]


def some_units(count: int, pictures: int, layer, seed: int = 3) -> Units:
    generator = torch.Generator().manual_seed(seed)
    limits = (pictures, layer.channels, layer.height, layer.width)
    return Units(*(torch.randint(0, limit, (count,), generator=generator) for limit in limits))


@pytest.mark.parametrize("name", ["stem", "b", "d.conv2", "e"])
def test_a_unit_is_the_same_in_whatever_company(name: str) -> None:
    net = randomise(bottlenecks())
    network = network_of(net, inner(net, "abcde")[0], 64)
    torch.manual_seed(2)
    switches = forward_switches(network, torch.randn(3, 3, 64, 64, dtype=torch.float64))
    units = some_units(23, 3, network.layer(name))
    together = UnitGradients(network, memory=1 << 30).gradients(switches, name, units)
    in_parts = UnitGradients(network, memory=1 << 19).gradients(switches, name, units)
    engine = UnitGradients(network)
    alone = torch.cat(
        [engine.gradients(switches, name, units.take(torch.tensor([k]))) for k in range(len(units))]
    )
    assert torch.allclose(together, alone, rtol=1e-12, atol=1e-12 * float(alone.abs().max()))
    assert torch.allclose(in_parts, alone, rtol=1e-12, atol=1e-12 * float(alone.abs().max()))


def test_a_dead_unit_has_a_gradient_of_exactly_zero() -> None:
    net = randomise(bottlenecks())
    network = network_of(net, inner(net, "abcde")[0], 64)
    torch.manual_seed(2)
    switches = forward_switches(network, torch.randn(1, 3, 64, 64, dtype=torch.float64), keep=["d"])
    dead = (switches.maps[network.step("d")][0] == 0).nonzero()
    assert len(dead)
    units = Units(torch.zeros(len(dead), dtype=torch.int64), *dead.T)
    assert not UnitGradients(network, "guided").gradients(switches, "d", units).any()
    assert not UnitGradients(network, "plain").gradients(switches, "d", units).any()


def test_pictures_need_not_be_square() -> None:
    net = randomise(bottlenecks())
    taps, watched = inner(net, "abcde")
    network = network_of(net, taps, 64)
    torch.manual_seed(4)
    x = torch.randn(1, 3, 53, 90, dtype=torch.float64, requires_grad=True)
    maps, _ = layer_maps(net, x, "guided", watched)
    switches = forward_switches(network, x.detach())
    for name in ("b", "d", "e"):
        channels, height, width = maps[name].shape[1:]
        channel, row, column = channels // 2, height - 1, width // 2
        channel = int(maps[name][0, :, row, column].argmax())
        (whole,) = torch.autograd.grad(maps[name][0, channel, row, column], x, retain_graph=True)
        unit = Units(*(torch.tensor([value]) for value in (0, channel, row, column)))
        got = UnitGradients(network).gradients(switches, name, unit)[0]
        assert relative_error(got, framed(whole[0], network.layer(name).receptive_field, row, column)) < EXACT


def test_crops_have_one_size_and_begin_on_the_grid() -> None:
    net = randomise(bottlenecks())
    network = network_of(net, inner(net, "abcde")[0], 64)
    field = network.layer("b").receptive_field
    units = some_units(40, 2, network.layer("b"))
    cut, inside = crops(network, torch.zeros(2, 3, 64, 64, dtype=torch.float64), "b", units)
    assert cut.shape[0] == 40
    assert field.side <= cut.shape[2] < 64
    shift = (units.row - inside.row) * field.stride
    assert int(shift.min()) >= 0
    assert int(shift.max()) + cut.shape[2] <= 64


def test_bf16_is_close_to_the_truth() -> None:
    net = randomise(bottlenecks()).float()
    network = network_of(net, inner(net, "abcde")[0], 64).to("cpu", torch.float32)
    torch.manual_seed(5)
    switches = forward_switches(network, torch.randn(2, 3, 64, 64))
    units = some_units(16, 2, network.layer("d"))
    exact = UnitGradients(network).gradients(switches, "d", units)
    rough = UnitGradients(network, dtype=torch.bfloat16).gradients(switches, "d", units).float()
    assert torch.nn.functional.cosine_similarity(exact.flatten(), rough.flatten(), dim=0) > 0.999


def test_mistakes_are_named() -> None:
    net = randomise(bottlenecks())
    network = network_of(net, inner(net, "abcde")[0], 64)
    switches = forward_switches(network, torch.zeros(1, 3, 64, 64, dtype=torch.float64), "b")
    unit = Units(*(torch.tensor([value]) for value in (0, 8, 0, 0)))
    with pytest.raises(AtlasError, match="b has no channel 8"):
        UnitGradients(network).gradients(switches, "b", unit)
    with pytest.raises(AtlasError, match="switches end before this layer"):
        UnitGradients(network).gradients(switches, "e", unit)
    with pytest.raises(AtlasError, match="choose guided, deconvnet, plain"):
        UnitGradients(network, "smooth")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "rule"), [("NeuronGuidedBackprop", "guided"), ("NeuronDeconvolution", "deconvnet")]
)
def test_captum_agrees_at_block_outputs(method: str, rule: str) -> None:
    neuron = pytest.importorskip("captum.attr")
    module = torchvision_resnet("resnet18")
    taps, _ = resnet_taps(module)
    network = network_of(module, taps, 64)
    torch.manual_seed(6)
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    switches = forward_switches(network, x)
    for name, at in (("layer1.1", (7, 0, 9)), ("layer2.0", (5, 3, 4))):
        # Captum must be handed the block itself: for `block.relu` it answers for another unit.
        captum = getattr(neuron, method)(module, module.get_submodule(name))
        expected = framed(
            captum.attribute(x.clone(), at)[0].detach(), network.layer(name).receptive_field, *at[1:]
        )
        unit = Units(torch.tensor([0]), *(torch.tensor([value]) for value in at))
        assert (
            relative_error(UnitGradients(network, rule).gradients(switches, name, unit)[0], expected) < EXACT
        )

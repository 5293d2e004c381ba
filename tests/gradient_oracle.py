"""The plain reference for unit gradients: autograd on the original module, its ReLUs replaced by their rule.

The reference shares no code with generator/: no graph, no folding, no windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from generator.core.records import LayerInfo, Preprocessing, ReceptiveField, WeightsInfo
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.ascent.windowed_gradient import WindowedGradient
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.network.graph import Graph
from generator.network.network import Network, Tap
from generator.network.ops import Step
from generator.network.receptive_field import receptive_fields

RELUS = {F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_}
CLIPPED = {F.hardtanh, F.hardtanh_, F.relu6}
ACTIVATIONS: dict[Callable, Callable[..., Tensor]] = {
    F.leaky_relu: lambda x, negative_slope=0.01, inplace=False: torch.where(x > 0, x, negative_slope * x),
    F.gelu: lambda x, approximate="none": x * (1 + torch.erf(x / 2**0.5)) / 2,
    F.silu: lambda x, inplace=False: x / (1 + torch.exp(-x)),
    F.hardswish: lambda x, inplace=False: x * (x + 3).clamp(0, 6) / 6,
    F.elu: lambda x, alpha=1.0, inplace=False: torch.where(x > 0, x, alpha * (torch.exp(x.clamp(max=0)) - 1)),
    F.mish: lambda x, inplace=False: x * torch.tanh(torch.log1p(torch.exp(x))),
    F.prelu: lambda x, weight: x.clamp(min=0) + weight.view(1, -1, 1, 1) * x.clamp(max=0),
    torch.prelu: lambda x, weight: x.clamp(min=0) + weight.view(1, -1, 1, 1) * x.clamp(max=0),
}
RULES = ("guided", "deconvnet", "plain")
EXACT = 1e-12  # reached: about 1e-15


class RuledReLU(torch.autograd.Function):
    """min(max(x, 0), limit)."""

    @staticmethod
    def forward(ctx, x, rule, limit=float("inf")):
        ctx.save_for_backward(x)
        ctx.rule, ctx.limit = rule, limit
        return x.clamp(min=0, max=limit)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        keep = torch.ones_like(gradient, dtype=torch.bool)
        if ctx.rule in ("guided", "plain"):
            keep &= (x > 0) & (x < ctx.limit)
        if ctx.rule in ("guided", "deconvnet"):
            keep &= gradient > 0
        return torch.where(keep, gradient, 0), None, None


class RuledActivation(torch.autograd.Function):
    """A leaky or smooth activation, its derivative by automatic differentiation of its formula."""

    @staticmethod
    def forward(ctx, x, rule, formula):
        ctx.rule = rule
        with torch.enable_grad():
            ctx.x = x.detach().requires_grad_()
            ctx.y = formula(ctx.x)
        return ctx.y.detach().clone()

    @staticmethod
    def backward(ctx, gradient):
        with torch.enable_grad():
            (derivative,) = torch.autograd.grad(ctx.y.sum(), ctx.x, retain_graph=True)
        match ctx.rule:
            case "deconvnet":
                passed = torch.where(gradient > 0, gradient, 0)
            case "guided":
                passed = torch.where((gradient > 0) & (ctx.y > 0), derivative * gradient, 0)
            case _:
                passed = derivative * gradient
        return passed.detach(), None, None


class RuledReLUs(TorchFunctionMode):
    """Replaces every call of a ReLU or another rectifier (by module, function or method, in place or not) and counts
    them."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule, self.count = rule, 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in RELUS:
            self.count += 1
            return RuledReLU.apply(args[0], self.rule)
        if func in CLIPPED:
            self.count += 1
            bounds = [6.0] if func is F.relu6 else list(args[2:3]) or [kwargs["max_val"]]
            return RuledReLU.apply(args[0], self.rule, bounds[0])
        if func in ACTIVATIONS:
            self.count += 1
            return RuledActivation.apply(
                args[0], self.rule, lambda x: ACTIVATIONS[func](x, *args[1:], **kwargs)
            )
        return func(*args, **kwargs)


def layer_maps(
    module: nn.Module, x: Tensor, rule: str, watched: dict[str, tuple[str, bool]]
) -> tuple[dict[str, Tensor], int]:
    """Activation maps by layer, connected to x, and the number of ReLUs run.

    watched: layer → (module whose output it is, whether a ReLU is still to come).
    """
    maps: dict[str, Tensor] = {}
    handles = []
    for layer, (path, then_relu) in watched.items():

        def hook(_m, _i, output, layer=layer, then_relu=then_relu):
            # A clone: the module's own output may be added to in place later.
            maps[layer] = RuledReLU.apply(output, rule) if then_relu else output.clone()

        handles.append(module.get_submodule(path).register_forward_hook(hook))
    try:
        with RuledReLUs(rule) as mode:
            module(x)
    finally:
        for handle in handles:
            handle.remove()
    return maps, mode.count


def framed(gradient: Tensor, field: ReceptiveField, row: int, column: int) -> Tensor:
    """A whole-picture gradient (3, H, W) as the engine returns it."""
    if field.side > min(gradient.shape[1:]):
        return gradient
    top, left, bottom, right = field.box(row, column)
    reach = field.side + field.stride
    padded = F.pad(gradient, (reach, reach, reach, reach))
    return padded[:, top + reach : bottom + reach, left + reach : right + reach]


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random BatchNorm statistics and biases, so that nothing is left out by being zero or one."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(like: Tensor, low: float, high: float) -> Tensor:
        return torch.rand(like.shape, generator=generator, dtype=like.dtype) * (high - low) + low

    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Conv2d, nn.Linear)):
                fan = part.weight[0].numel()
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator) * (2 / fan) ** 0.5)
                if part.bias is not None:
                    part.bias.copy_(uniform(part.bias, -0.2, 0.2))
            if isinstance(part, nn.BatchNorm2d):
                part.weight.copy_(uniform(part.weight, 0.4, 1.2))
                part.bias.copy_(uniform(part.bias, -0.2, 0.3))
                part.running_mean.copy_(uniform(part.running_mean, -0.2, 0.2))
                part.running_var.copy_(uniform(part.running_var, 0.5, 1.5))
    return module.double().eval()


def network_of(module: nn.Module, taps: Sequence[Tap], side: int) -> Network:
    """The module as the engine takes it, in float64."""
    plain = Preprocessing(side, side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    network = Network.from_module("test", module, taps, plain, WeightsInfo("random", "", True))
    return network.to("cpu", torch.float64)


def read_by_hand(steps: Sequence[Step], ends: dict[str, int], side: int) -> Network:
    """A network of these steps in float64, with a layer at each of the ends, by name."""
    graph = Graph(tuple(steps))
    shapes, fields = graph.shapes((side, side)), receptive_fields(graph)
    layers = []
    for name, end in ends.items():
        field = fields[end]
        assert field is not None
        layers.append(LayerInfo(name, name, "block", name, 1, *shapes[end], False, field))
    plain = Preprocessing(side, side, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    weights = WeightsInfo("random", "", True)
    return Network("test", graph, tuple(layers), tuple(ends.values()), plain, weights).to(
        "cpu", torch.float64
    )


def resnet_taps(module: nn.Module) -> tuple[list[Tap], dict[str, tuple[str, bool]]]:
    """Every layer of a torchvision ResNet, under its module path, and where the oracle finds it."""
    taps = [Tap("conv1", "conv1", "stem", "", 1)]
    watched: dict[str, tuple[str, bool]] = {"conv1": ("bn1", True)}
    for stage in range(1, 5):
        for number, block in enumerate(getattr(module, f"layer{stage}")):
            path = f"layer{stage}.{number}"
            convolutions = [name for name in ("conv1", "conv2", "conv3") if hasattr(block, name)]
            for name in convolutions:
                taps.append(Tap(f"{path}.{name}", f"{path}.{name}", "branch", path, stage))
                watched[f"{path}.{name}"] = (f"{path}.bn{name[-1]}", name != convolutions[-1])
            if block.downsample is not None:
                taps.append(Tap(f"{path}.downsample.0", f"{path}.downsample.0", "projection", path, stage))
                watched[f"{path}.downsample.0"] = (f"{path}.downsample.1", False)
            taps.append(Tap(path, path, "block", path, stage))
            watched[path] = (path, False)
    return taps, watched


Pick = Callable[[int, int], tuple[int, int]]  # (H, W) → row, column
PICKS: tuple[Pick, ...] = (
    lambda h, w: (0, 0),
    lambda h, w: (h // 2, w // 2),
    lambda h, w: (h - 1, w // 3),
    lambda h, w: (h // 3, w - 1),
    lambda h, w: (h - 1, w - 1),
    lambda h, w: (min(1, h - 1), max(0, w - 2)),
)


def relative_error(got: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest value expected."""
    assert got.shape == expected.shape, (got.shape, expected.shape)
    return float((got - expected).abs().max() / expected.abs().max().clamp(min=1e-300))


def tapped(*paths: str) -> tuple[list[Tap], dict[str, tuple[str, bool]]]:
    """Taps at the outputs of modules."""
    return [Tap(path, path, "block", path, 1) for path in paths], {path: (path, False) for path in paths}


def check_against_autograd(
    module, taps, watched, side, *, layers=None, rules=RULES, memory=1 << 22, network=None
) -> None:
    """Every layer, rule and kind of place: the engine, on pictures and on crops, and autograd."""
    torch.manual_seed(1)
    network = network or network_of(module, taps, side)
    pictures = torch.randn(len(PICKS), 3, side, side, dtype=torch.float64)
    switches = forward_switches(network, pictures)
    for rule in rules:
        x = pictures.clone().requires_grad_()
        maps, _ = layer_maps(module, x, rule, watched)
        engine = UnitGradients(network, rule, memory=memory)
        for layer in network.layers:
            if layers is not None and layer.name not in layers:
                continue
            one = maps[layer.name]
            places = [pick(*one.shape[2:]) for pick in PICKS]
            channels = [int(one[k, :, i, j].argmax()) for k, (i, j) in enumerate(places)]
            values = torch.stack(
                [one[k, c, i, j] for k, (c, (i, j)) in enumerate(zip(channels, places, strict=True))]
            )
            (whole,) = torch.autograd.grad(values.sum(), x, retain_graph=True)  # pictures do not mix
            expected = torch.stack(
                [framed(whole[k], layer.receptive_field, *at) for k, at in enumerate(places)]
            )
            units = Units(
                torch.arange(len(places)),
                torch.tensor(channels),
                torch.tensor([i for i, _ in places]),
                torch.tensor([j for _, j in places]),
            )
            where = f"{layer.name}, {rule}"
            assert relative_error(engine.gradients(switches, layer.name, units), expected) < EXACT, where
            if layer.receptive_field.side <= side:
                assert relative_error(engine.unshared(pictures, layer.name, units), expected) < EXACT, where


def check_objective(
    walk: WindowedForward, maps: Tensor, x: Tensor, position: tuple[int, int] | None, rule: str, exact: float
) -> None:
    """A windowed forward pass gives the value of its objective, a position of the maps or all of them, and its gradient
    at the pictures x, which is zero outside the window; automatically, and as WindowedGradient computes it."""
    rows, columns = (slice(window.low, window.end) for window in walk.frame)
    row, column = (slice(None), slice(None)) if position is None else (slice(p, p + 1) for p in position)
    expected = maps[:, :, row, column]
    (gradient,) = torch.autograd.grad(expected.sum(), x, retain_graph=True)
    seen = x.detach()[:, :, rows, columns].requires_grad_()
    found = walk(seen, rule)
    torch.testing.assert_close(found, expected, rtol=exact, atol=exact)
    (own,) = torch.autograd.grad(found.sum(), seen)
    torch.testing.assert_close(own, gradient[:, :, rows, columns], rtol=10 * exact, atol=10 * exact)
    assert gradient.abs().sum() == pytest.approx(float(own.abs().sum()))
    passes = WindowedGradient(walk)
    tape = passes.forward(seen.detach(), rule)
    torch.testing.assert_close(tape.maps, expected.detach(), rtol=exact, atol=exact)
    by_hand = passes.back(tape, torch.ones_like(tape.maps))
    torch.testing.assert_close(by_hand, gradient[:, :, rows, columns], rtol=10 * exact, atol=10 * exact)

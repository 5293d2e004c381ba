"""The graph's forward pass against torchvision's own, in float64."""

from __future__ import annotations

import pytest
import torch
import torchvision

from generator.network.tracing import trace

RELUS = {"resnet18": 17, "resnet50": 49, "resnext50_32x4d": 49, "densenet121": 121, "alexnet": 7}


def _module(name):
    torch.manual_seed(1)
    module = getattr(torchvision.models, name)(weights=None).eval()
    for layer in module.modules():
        if isinstance(
            layer, torch.nn.BatchNorm2d
        ):  # fresh statistics are 0 and 1: folding them would prove nothing
            layer.running_mean.uniform_(-0.2, 0.2)
            layer.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.0)
            torch.nn.init.uniform_(layer.bias, -0.2, 0.2)
    return module


NAMES = ["resnet18", "resnet50", "alexnet"] + [
    pytest.param(name, marks=pytest.mark.slow) for name in ("resnext50_32x4d", "densenet121")
]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_graph_computes_what_its_module_does(name):
    module = _module(name)
    graph = trace(module).to("cpu", torch.float64)
    x = (
        torch.randn(1, 3, 65, 71, dtype=torch.float64)
        if name != "alexnet"
        else torch.randn(1, 3, 95, 96).double()
    )
    expected = module.double()(x.clone())
    output = x
    for _, output in graph.run(x.clone()):  # noqa: B007
        pass
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    assert graph.count("relu") == RELUS[name]


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_visiting_some_steps_gives_what_running_all_gives(name):
    graph = trace(_module(name)).to("cpu", torch.float32)
    x = torch.randn(2, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    whole = {index: output.clone() for index, output in graph.run(x.clone())}
    adds = [index for index, step in enumerate(graph.steps) if step.op in ("add", "concat")]
    choices = [{len(graph) - 1}, {max(whole) // 2}, {0, 5, len(graph) - 1}, set(adds[:3] or [3]), set(whole)]
    for wanted in choices:
        seen = []
        for index, output in graph.visit(x.clone(), wanted):
            seen.append(index)
            torch.testing.assert_close(output, whole[index], rtol=1e-4, atol=1e-4)
        assert seen == sorted(wanted)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@torch.no_grad()
def test_inner_convolutions_are_read_before_the_addition_overwrites_them(name):
    """A hook on torchvision's last BatchNorm of a block is handed the tensor that `out += identity` then
    changes."""
    module = _module(name).double()
    last = "bn3" if name == "resnet50" else "bn2"
    kept = {}

    def keep(path):
        return lambda _, __, output: kept.__setitem__(path, output.clone())  # before the in-place steps

    for path, layer in module.named_modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.register_forward_hook(keep(path))
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    module(x.clone())
    graph = trace(_module(name)).to("cpu", torch.float64)
    conv = {step.scope: index for index, step in enumerate(graph.steps) if step.op == "conv"}
    wanted = {
        conv[path]: (
            path.replace("conv", "bn") if "conv" in path else path.replace("downsample.0", "downsample.1")
        )
        for path in conv
    }
    checked = 0
    for index, output in graph.run(x.clone()):
        if index in wanted:
            torch.testing.assert_close(output, kept[wanted[index]], rtol=1e-9, atol=1e-9)
            checked += wanted[index].endswith(last)
    assert checked == (16 if name == "resnet50" else 8)

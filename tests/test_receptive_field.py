"""Theoretical receptive fields: published sides, and the support of a real gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from generator.core.records import ReceptiveField
from generator.network.receptive_field import receptive_fields
from generator.network.tracing import trace

models = pytest.importorskip("torchvision.models")

SIDES = {
    "resnet18": (43, 99, 211, 435),
    "resnet34": (59, 179, 547, 899),
    "resnet50": (35, 91, 267, 427),
    "resnet101": (35, 91, 811, 971),
    "resnet152": (35, 155, 1291, 1451),
    "caffe50": (35, 99, 291, 483),
}
STAGES = ("layer1", "layer2", "layer3", "layer4")


class Caffe(nn.Module):
    """ResNet-50 as published: the stride in the first 1 × 1 convolution, the pool unpadded with ceil_mode."""

    def __init__(self) -> None:
        super().__init__()
        net = models.resnet50()
        net.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
        for stage in STAGES[1:]:
            first = getattr(net, stage)[0]
            first.conv1.stride, first.conv2.stride = (2, 2), (1, 1)
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


def build(name: str) -> nn.Module:
    return Caffe().net if name == "caffe50" else getattr(models, name)()


def fields_at_ends(module: nn.Module, paths: tuple[str, ...]) -> list[ReceptiveField]:
    graph = trace(module)
    fields = receptive_fields(graph)
    found = [fields[graph.end_of(path)] for path in paths]
    return [field for field in found if field is not None]


@pytest.mark.parametrize("name", SIDES)
def test_sides_at_the_ends_of_the_stages_are_as_published(name: str) -> None:
    with torch.device("meta"):  # geometry needs no numbers
        fields = fields_at_ends(build(name), STAGES)
    assert tuple(field.side for field in fields) == SIDES[name]
    assert tuple(field.stride for field in fields) == (4, 8, 16, 32)


def test_nothing_is_local_behind_the_global_pooling() -> None:
    with torch.device("meta"):
        graph = trace(models.resnet18())
    assert receptive_fields(graph)[-1] is None


def geometry_alone(module: nn.Module) -> nn.Module:
    """The same network with one channel everywhere, positive weights, no ReLU, averages in place of maxima.

    Its gradient is positive exactly where a path leads.
    """
    for name, part in list(module.named_children()):
        match part:
            case nn.Conv2d():
                channels = 3 if part.in_channels == 3 else 1
                thin = nn.Conv2d(channels, 1, part.kernel_size, part.stride, part.padding, bias=False)
                nn.init.constant_(thin.weight, 1 / part.kernel_size[0])
                setattr(module, name, thin)
            case nn.BatchNorm2d() | nn.ReLU() | nn.Dropout():
                setattr(module, name, nn.Identity())
            case nn.MaxPool2d():
                average = nn.AvgPool2d(part.kernel_size, part.stride, part.padding, part.ceil_mode)
                setattr(module, name, average)
            case _:
                geometry_alone(part)
    return module


RESIDUAL = ("conv1", "maxpool", "layer1.0.conv1", *(f"{stage}.0" for stage in STAGES), *STAGES)
PATHS = {
    "alexnet": tuple(f"features.{place}" for place in (0, 2, 3, 5, 6, 8, 10, 12)),
    "densenet121": (
        "features.conv0",
        *(f"features.denseblock1.denselayer{n}.conv2" for n in (1, 2, 6)),
        "features.transition1.conv",
        *(f"features.denseblock{block}.denselayer3.conv2" for block in (2, 3, 4)),
    ),
}


# AlexNet's unpadded pools leave no rest at 143 px; elsewhere its border units see a little less than their field.
@pytest.mark.parametrize(
    ("side", "name"),
    [
        (141, "resnet18"),
        (141, "resnet50"),
        (141, "resnet34"),
        (141, "caffe50"),
        (143, "alexnet"),
        (141, "densenet121"),
    ],
)
def test_the_field_is_the_support_of_a_real_gradient(
    name: str, side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build(name)
    paths = PATHS.get(name, RESIDUAL)
    fields = fields_at_ends(module, paths)
    thin = geometry_alone(module).double()
    if name == "densenet121":  # with one channel, paths are joined by adding them up
        monkeypatch.setattr(torch, "cat", lambda parts, dim: sum(parts))
    x = torch.zeros(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    maps: dict[str, Tensor] = {}
    for path in paths:
        keep = lambda _m, _i, output, path=path: maps.__setitem__(path, output.clone())  # noqa: E731
        thin.get_submodule(path).register_forward_hook(keep)
    thin.fc = thin.classifier = nn.Identity()
    thin(x)
    for path, field in zip(paths, fields, strict=True):
        height, width = maps[path].shape[2:]
        for row, column in ((0, 0), (height // 2, width // 2), (height - 1, width // 3), (1, width - 1)):
            (gradient,) = torch.autograd.grad(maps[path][0, 0, row, column], x, retain_graph=True)
            top, left, bottom, right = field.box(row, column)
            expected = torch.zeros(side, side, dtype=torch.bool)
            expected[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
            assert torch.equal(gradient[0, 0] > 0, expected), (path, row, column)

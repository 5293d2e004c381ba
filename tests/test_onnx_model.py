"""The network as an ONNX file: onnxruntime gives what torch gives, for the designs of residual networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generator.core.records import Preprocessing, WeightsInfo
from generator.network import models
from generator.network.graph import Graph
from generator.network.network import Network, Tap
from generator.network.onnx_model import JOINED, MAXIMA, POSITIONS, SCORES, NotInOnnx, halved, onnx_bytes
from generator.network.ops import Step

onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime, the independent oracle, is not installed"
)


def pixels(network: Network) -> Tensor:
    size = (1, *network.preprocessing.size, network.preprocessing.channels)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def with_biases(network: Network) -> Network:
    """The network with random biases: random weights come with biases of zero, which any rounding leaves alone."""
    draw = torch.Generator().manual_seed(2)

    def altered(step: Step) -> Step:
        if step.bias is None:
            return step
        return replace(step, bias=step.bias + 0.1 * torch.randn(step.bias.shape, generator=draw))

    return replace(network, graph=Graph(tuple(map(altered, network.graph.steps)), network.graph.channels))


def run_onnx(content: bytes, pictures: Tensor) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"pixels": pictures.numpy()}), strict=True))


def run_torch(network: Network, pictures: Tensor) -> dict[str, np.ndarray]:
    """The same outputs from every step's whole map."""
    network = network.to("cpu", torch.float64)
    outputs = {step: output.clone() for step, output in network.graph.run(network.prepare(pictures))}
    maps = [outputs[step].flatten(2)[0] for step in network.steps]
    wanted = {
        MAXIMA: torch.cat([each.amax(1) for each in maps]),
        POSITIONS: torch.cat([each.argmax(1) for each in maps]),
    }
    if network.outputs is not None:
        wanted[SCORES] = outputs[len(network.graph) - 1].flatten()
    return {name: tensor.numpy() for name, tensor in wanted.items()}


DESIGNS = {
    "basic blocks, odd size": ("resnet18", (65, 70)),
    "bottleneck blocks": ("resnet50", (64, 64)),
    "pooling in ceil mode, values to 255": ("resnet50-caffe", (67, 67)),
    "pre-activation": ("preact_resnet50", (64, 64)),
    "grouped convolutions": ("resnext50_32x4d", (64, 64)),
    "shortcuts of zeros": ("resnet20-cifar", (33, 33)),
    "concatenation, average pooling": ("densenet121", (64, 64)),
    "bounded ReLUs, unequal padding": ("efficientnet_lite0", (64, 64)),
}


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.slow
def test_onnxruntime_gives_torchs_outputs_and_largest_values_with_their_positions(design: str) -> None:
    name, size = DESIGNS[design]
    network = with_biases(models.load(name, "random", size=size))
    pictures = pixels(network)
    for half in (False, True):
        given = run_onnx(onnx_bytes(network, half=half), pictures)
        wanted = run_torch(halved(network) if half else network, pictures)
        assert given.keys() == wanted.keys() == {MAXIMA, POSITIONS, SCORES}
        assert len(given[MAXIMA]) == sum(layer.channels for layer in network.layers)
        for values in (MAXIMA, SCORES):
            scale = np.abs(wanted[values]).max()
            np.testing.assert_allclose(given[values], wanted[values], rtol=1e-4, atol=1e-5 * scale)
        assert (given[POSITIONS] == wanted[POSITIONS]).mean() > 0.999  # others differ in the last bit alone


def test_half_precision_halves_the_file_and_a_network_that_ends_early_has_no_scores() -> None:
    whole = models.load("resnet20-cifar", "random", size=(32, 32))
    short = Network.from_module(
        "short", whole.module, whole.taps, whole.preprocessing, whole.weights, last="layer2.2"
    )
    sizes = [len(onnx_bytes(short, half=half)) for half in (False, True)]
    assert 0.45 < sizes[1] / sizes[0] < 0.6
    given = run_onnx(onnx_bytes(short, half=False), pixels(short))
    assert given.keys() == {MAXIMA, POSITIONS}
    np.testing.assert_allclose(given[MAXIMA], run_torch(short, pixels(short))[MAXIMA], rtol=1e-4, atol=1e-6)


def test_biases_are_never_halved_and_what_halved_rounds_is_what_is_stored() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 600, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600 * 7 * 7, 600))
    with torch.no_grad():
        for layer in (module[0], module[3]):
            layer.bias.normal_(0, 10)
    half = (0.5, 0.5, 0.5)
    network = Network.from_module(
        "wide",
        module.eval(),
        [Tap("conv", "0", "layer", "conv", 1)],
        Preprocessing(9, 9, half, half),
        WeightsInfo("random", "", True),
    )
    given, wanted = (
        run_onnx(onnx_bytes(network, half=True), pixels(network)),
        run_torch(halved(network), pixels(network)),
    )
    for values in (MAXIMA, SCORES):
        np.testing.assert_allclose(given[values], wanted[values], rtol=1e-5, atol=1e-5)


class Activated(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv, self.activation = nn.Conv2d(3, 8, 3, padding=1), activation
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.activation(self.conv(x)).mean((2, 3)))
        return scores


def activated(activation: nn.Module) -> Network:
    torch.manual_seed(0)
    taps = [Tap("conv", "conv", "layer", "conv", 1)]
    half = (0.5, 0.5, 0.5)
    weights = WeightsInfo("random", "", True)
    return Network.from_module("own", Activated(activation), taps, Preprocessing(9, 9, half, half), weights)


@pytest.mark.parametrize(
    "activation", [nn.SiLU(), nn.GELU(), nn.LeakyReLU(0.2), nn.Hardswish(), nn.ReLU6()], ids=str
)
def test_activations(activation: nn.Module) -> None:
    network = activated(activation.eval())
    given = run_onnx(onnx_bytes(network, half=False), pixels(network))
    wanted = run_torch(network, pixels(network))
    for values in (MAXIMA, SCORES):
        np.testing.assert_allclose(given[values], wanted[values], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", [nn.GELU("tanh"), nn.CELU(0.3)], ids=str)
def test_an_operation_that_is_not_written_is_named(activation: nn.Module) -> None:
    with pytest.raises(NotInOnnx, match=r"(gelu|celu).*ONNX"):
        onnx_bytes(activated(activation), half=False)


def test_no_node_joins_more_than_a_shader_can_bind() -> None:
    from onnx import load_from_string

    for name, sizes in (("densenet121", 64), ("resnet50", 64)):
        network = models.load(name, "random", size=sizes)
        nodes = load_from_string(onnx_bytes(network, half=True)).graph.node
        joins = [len(node.input) for node in nodes if node.op_type == "Concat"]
        assert joins and max(joins) <= JOINED

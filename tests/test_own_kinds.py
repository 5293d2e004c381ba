"""Kinds of networks that the list lacks: their layers' names, and their maps and scores against torch's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generator.core.blueprint import HEAD
from generator.core.errors import AtlasError
from generator.network import models
from generator.network.architecture import blueprint

FILE = Path(__file__).with_name("own_kinds.py")
# By function: the layers outside blocks and the blocks, each with its module; inside the first block, the convolutions.
KINDS = {
    "shared": ({"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"}, ["branch2a", "branch2b"]),
    "gates": (
        {"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"},
        ["branch2a", "branch2b", "branch2c"],  # the convolution of the spatial attention has a map
    ),
    "zeros": (
        {"conv1": "stem", "res2a": "blocks.0", "res3a": "blocks.1", "res3b": "blocks.2"},
        ["branch2a", "branch2b"],
    ),
    "split": (
        {"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"},
        [f"branch2{letter}" for letter in "abcde"],
    ),
    "mixer": (
        {
            "conv1": "stem.0",
            "res2a": "blocks.0.0",
            "conv3": "blocks.0.1",
            "res3a": "blocks.1.0",
            "conv4": "blocks.1.1",
        },
        ["branch2a"],
    ),
    "channels_last": (
        {"conv1": "stem", "res2a": "blocks.0", "conv3": "blocks.1", "res3a": "blocks.2", "res3b": "blocks.3"},
        ["branch2a"],
    ),
    "inverted": (
        {"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1", "res2c": "blocks.2"},
        ["branch2a", "branch2b", "branch2c"],
    ),
    "tokens": ({"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"}, ["branch2a"]),
    "coordinates": ({"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"}, ["branch2a"]),
    "units": ({"conv1": "stem", "res2a": "blocks.0", "res2b": "blocks.1"}, ["branch2a"]),
    "unshuffled": ({"conv1": "stem.1", "res2a": "blocks.0", "res2b": "blocks.1"}, ["branch2a", "branch2b"]),
    "enlarged": ({"conv1": "net.stem", "res2a": "net.blocks.0"}, ["branch2a", "branch2b"]),
    "outputs": ({"conv1": "net.stem.0", "res2a": "net.blocks.0"}, ["branch2a", "branch2b"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_layers_maps_and_scores_are_those_of_the_module(kind: str) -> None:
    outer, inner = KINDS[kind]
    network = models.load(f"{FILE}:{kind}", "random", size=32, args={"n": 5}).to("cpu", torch.float64)
    assert {layer.name: layer.path for layer in network.layers if not layer.is_inner} == outer
    first = next(layer for layer in network.layers if layer.kind == "block")
    own = [layer.name for layer in network.layers if layer.is_inner and layer.block == first.name]
    assert own == [f"{first.name}_{suffix}" for suffix in inner]

    module = network.module.double().eval()
    maps: dict[str, torch.Tensor] = {}
    for layer in network.layers:
        if layer.kind == "block":
            module.get_submodule(layer.path).register_forward_hook(
                lambda part, inputs, output, name=layer.name: maps.update({name: output.clone()})
            )
    pictures = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        scores = module(pictures)
    scores = scores["scores"] if isinstance(scores, dict) else scores
    end = len(network.graph) - 1
    graph = {i: x.clone() for i, x in network.graph.visit(pictures, [*network.steps, end])}
    torch.testing.assert_close(graph[end], scores, rtol=1e-5, atol=1e-6)
    assert maps
    for name, expected in maps.items():
        torch.testing.assert_close(graph[network.step(name)], expected, rtol=1e-5, atol=1e-6)


def test_a_transformer_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "vit.py").write_text(
        "from torchvision.models import VisionTransformer\n"
        "def vit(n): return VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=n)\n"
    )
    with pytest.raises(AtlasError, match="no maps of features behind its first convolution"):
        models.load(f"{tmp_path / 'vit.py'}:vit", "random", size=32)


def test_a_gate_is_drawn_in_its_block_and_not_as_the_head() -> None:
    network = models.load(f"{FILE}:gates", "random", size=32, args={"n": 5})
    volumes = blueprint(network.model, network.module, network.taps, (32, 32)).volumes
    stages = [volume.stage for volume in volumes]
    assert stages == sorted(stages, key=lambda stage: stage or 99)  # the stem, stage 2, then the head
    assert [volume.op for volume in volumes if volume.stage == HEAD][-1] == "linear"
    gates = [volume for volume in volumes if volume.stage == 2 and volume.op == "adaptive_pool"]
    assert len(gates) == 2 and all(gate.field == 0 for gate in gates)


def test_a_map_of_coordinates_widens_no_field_and_parts_no_block() -> None:
    """It has the batch's size, and depends on no picture; nor do running statistics of an instance norm."""
    network = models.load(f"{FILE}:coordinates", "random", size=32, args={"n": 5})
    fields = [network.layer(name).receptive_field for name in ("conv1", "res2a", "res2b")]
    assert [(field.side, field.beyond) for field in fields] == [(3, False), (5, False), (7, False)]


def test_an_unknown_operation_that_keeps_rows_and_columns_keeps_the_field_of_the_branch() -> None:
    """The second block holds one, of which the whole map may act."""
    network = models.load(f"{FILE}:units", "random", size=32, args={"n": 5})
    fields = [network.layer(name).receptive_field for name in ("conv1", "res2a", "res2b")]
    assert [(field.side, field.beyond) for field in fields] == [(3, False), (5, False), (7, True)]

"""The passes forward and back by hand give what automatic differentiation gives, in every kind of network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.ascent.windowed_gradient import WindowedGradient
from generator.network import models

# Of each network a layer, and what is special on the way there.
LAYERS = {
    "demo": "res3b",  # bottleneck blocks, shortcuts with a projection and without
    "resnet18": "res3a",  # max-pooling
    "preact_resnet50": "res2b",  # no ReLU behind an addition
    "resnext50_32x4d": "res2b",  # grouped convolutions
    "densenet121": "dense3b",  # concatenations, averages, norms that no convolution takes in
    "efficientnet_lite0": "res4b",  # ReLU6, depthwise convolutions
    "alexnet": "conv3",  # no shortcuts
}
SIDE = 64


def _compare(walk: WindowedForward, x: torch.Tensor, rule: str, exact: float) -> None:
    seen = x.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    maps = walk(seen, rule)
    seed = torch.randn_like(maps)
    (gradient,) = torch.autograd.grad(maps, seen, seed)
    passes = WindowedGradient(walk)
    tape = passes.forward(seen.detach(), rule)
    torch.testing.assert_close(tape.maps, maps.detach(), rtol=exact, atol=exact)
    scale = float(gradient.abs().max())
    assert scale > 0
    torch.testing.assert_close(passes.back(tape, seed) / scale, gradient / scale, rtol=0, atol=exact)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_units_and_a_maps_gradient_are_those_of_automatic_differentiation(name: str) -> None:
    """In float64 for a unit inside, one at the corner, and the whole map, by the true rule and the leaky one."""
    network = models.load(name, "random").to("cpu", torch.float64)
    layer = network.layer(LAYERS[name])
    graph, top = network.graph, network.step(layer.name)
    height = WindowedForward(graph, top, (SIDE, SIDE)).extents[top][0]
    rng = np.random.default_rng(0)
    for position in ((height // 2, height // 2), (0, height - 1), None):
        walk = WindowedForward(graph, top, (SIDE, SIDE), position)
        x = torch.from_numpy(rng.standard_normal((2, 3, *(window.size for window in walk.frame))))
        for rule in ("plain", "leaky"):
            _compare(walk, x, rule, 1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["demo", "resnext50_32x4d"])
def test_with_additions_and_relus_on_the_convolutions_way_out_too(name: str) -> None:
    """In float32, where oneDNN does them; last bits may switch a ReLU, so a few gradients may differ more."""
    network = models.load(name, "random").to("cpu", torch.float32)
    top = network.step(LAYERS[name])
    walk = WindowedForward(network.graph, top, (SIDE, SIDE))
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 3, SIDE, SIDE))).float()
    given = x.contiguous(memory_format=torch.channels_last)
    passes = WindowedGradient(walk)
    tape = passes.forward(given, "plain")
    torch.testing.assert_close(tape.maps, walk(given).detach(), rtol=1e-4, atol=1e-4)
    seen = given.requires_grad_(True)
    seed = torch.randn_like(tape.maps)
    (gradient,) = torch.autograd.grad(walk(seen), seen, seed)
    found = passes.back(tape, seed)
    assert float((found - gradient).norm() / gradient.norm()) < 1e-3


def test_a_pass_leaves_the_picture_and_the_seed_as_they_were() -> None:
    network = models.load("demo").to("cpu", torch.float32)
    walk = WindowedForward(network.graph, network.step("res3b"), (SIDE, SIDE), (8, 8))
    passes = WindowedGradient(walk)
    x = torch.rand(2, 3, *(window.size for window in walk.frame))
    tape = passes.forward(x.clone(), "plain")
    seed = torch.randn_like(tape.maps)
    first = passes.back(tape, kept := seed.clone())
    assert torch.equal(kept, seed)
    again = x.clone()
    second = passes.back(passes.forward(again, "plain"), seed)
    assert torch.equal(again, x) and torch.equal(first, second)

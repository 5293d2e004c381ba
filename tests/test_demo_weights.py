"""The demo's network and its weights: small, loadable, and as accurate as they say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from generator.experiments import demo_accuracy as measure
from generator.network.models.demo import DEMO_SIDE, DemoResNet, demo_resnet
from generator.network.models.demo_plain import PlainNet, demo_plain
from generator.pictures.drawn.world import CLASSES, HELD_OUT_SEED, draw

_DEMO = Path(__file__).parents[1] / "generator" / "network" / "models" / "drawn_weights"
_WEIGHTS = _DEMO / "weights.safetensors"
_SAMPLE = 440  # held-out drawings that are looked at again


@pytest.fixture(scope="module")
def network() -> DemoResNet:
    network = demo_resnet(len(CLASSES))
    network.load_state_dict(load_file(_WEIGHTS))
    return network.eval().to(memory_format=torch.channels_last)


@pytest.fixture(scope="module")
def record() -> dict:
    return json.loads((_DEMO / "training.json").read_text(encoding="utf-8"))


def test_the_network_has_the_promised_shape() -> None:
    """Stages of 3, 4, 6, 3 blocks with 48, 96, 192, 384 channels, at strides 2, 4, 8, 16."""
    network = demo_resnet(7).eval()
    stages = [network.layer1, network.layer2, network.layer3, network.layer4]
    assert [len(stage) for stage in stages] == [3, 4, 6, 3]
    x = network.relu(network.bn1(network.conv1(torch.zeros(1, 3, DEMO_SIDE, DEMO_SIDE))))
    shapes = []
    for stage in stages:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(48, 48, 48), (96, 24, 24), (192, 12, 12), (384, 6, 6)]
    assert network(torch.zeros(2, 3, DEMO_SIDE, DEMO_SIDE)).shape == (2, 7)


def test_the_network_can_be_traced() -> None:
    """torch.fx sees through it, and the traced network computes the same."""
    network = demo_resnet(5).eval()
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), network(x))


def test_the_weights_are_small_and_name_their_classes(record: dict) -> None:
    """Under 4 MiB, fp32, and the metadata agree with the world and with training.json."""
    assert _WEIGHTS.stat().st_size < 4 * 2**20
    with safe_open(_WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        assert tuple(json.loads(metadata["classes"])) == CLASSES
        assert float(metadata["accuracy"]) == pytest.approx(record["accuracy"], abs=1e-4)
        assert {file.get_tensor(name).dtype for name in file.keys()} <= {torch.float32, torch.int64}  # noqa: SIM118


def test_the_record_is_of_this_world(record: dict) -> None:
    """Measured on at least 2,000 held-out drawings of these classes, and above nine in ten."""
    assert record["held_out"] >= 2000
    assert record["held_out_seed"] == HELD_OUT_SEED != record["train_seed"]
    assert tuple(record["class_accuracy"]) == CLASSES
    assert record["accuracy"] >= 0.9


@pytest.mark.slow
def test_the_recorded_accuracy_is_what_a_sample_shows(network: DemoResNet, record: dict) -> None:
    """On some of the same held-out drawings: within 3.5 standard errors of the record, and at least 0.9."""
    pictures = np.stack([np.asarray(draw(index, HELD_OUT_SEED).image) for index in range(_SAMPLE)])
    right = measure.predictions(network, pictures) == np.arange(_SAMPLE) % len(CLASSES)
    recorded = record["accuracy"]
    error = math.sqrt(max(recorded * (1 - recorded), 0.01) / _SAMPLE)
    assert abs(right.mean() - recorded) < 3.5 * error
    assert right.mean() >= 0.9


def test_the_plain_control_has_no_shortcut_and_pairs_of_equal_width() -> None:
    network = demo_plain(5).eval()
    assert not any("add" in str(node.target) for node in torch.fx.symbolic_trace(network).graph.nodes)
    widths = [layer[0].out_channels for layer in network.features]
    assert widths == [16, 24, 48, 48, 96, 96, 96, 96]
    assert network(torch.zeros(2, 3, DEMO_SIDE, DEMO_SIDE)).shape == (2, 5)


@pytest.mark.slow
def test_the_plain_control_is_trained_and_as_accurate_as_it_says() -> None:
    """Small beside the demo's weights, and within four standard errors of its accuracy on other drawings."""
    path = _DEMO / "plain.safetensors"
    record = json.loads((_DEMO / "plain-training.json").read_text(encoding="utf-8"))
    assert path.stat().st_size < 2 * 2**20
    assert record["accuracy"] > 0.6  # one in 44 by chance
    network: PlainNet = demo_plain(len(CLASSES))
    network.load_state_dict(load_file(path))
    pictures = np.stack([np.asarray(draw(index, HELD_OUT_SEED).image) for index in range(_SAMPLE)])
    right = measure.predictions(network.eval(), pictures) == np.arange(_SAMPLE) % len(CLASSES)
    error = math.sqrt(record["accuracy"] * (1 - record["accuracy"]) / _SAMPLE)
    assert abs(right.mean() - record["accuracy"]) < 4 * error

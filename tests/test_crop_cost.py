"""Sharing a picture's forward or cropping: the costs are those of torch's counter, and both give the same tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_job import write_rough_pictures
from torch.utils.flop_counter import FlopCounterMode

from generator.core.files import TileFile
from generator.core.progress import Reporter
from generator.engine.gradients.crop_cost import CROP_OVERHEAD, ForwardCosts
from generator.engine.gradients.switches import Units, crops, forward_switches
from generator.network import models
from generator.stages import profile
from generator.stages.pipeline import compute

PROFILE = """
name = "few"
[network]
model = "resnet20-cifar"
weights = "random"
[layers]
which = ["conv1", "res2a", "res3a"]
channels = 2
[pictures]
folder = "{folder}"
[compute]
batch = 8
workers = 0
"""


def _counted(network, pictures: torch.Tensor, layer: str) -> int:
    # Once uncounted: it finds the shapes of maps by operations that would be counted too.
    forward_switches(network, pictures, layer)
    with FlopCounterMode(display=False) as counter:
        forward_switches(network, pictures, layer)
    return counter.get_total_flops() // 2  # a multiplication and an addition each


@pytest.mark.parametrize("model", ["resnet18", "resnet20-cifar"])
def test_the_cost_of_a_forward_is_what_torch_counts(model):
    # In float64, where no convolution is fused: torch's counter does not know the fused ones.
    network = models.load(model, "random").to("cpu", torch.float64)
    side = network.preprocessing.crop
    costs, picture = ForwardCosts(network), torch.zeros(1, 3, side, side, dtype=torch.float64)
    for index in (0, 2, len(network.layers) - 1):
        layer = network.layers[index]
        assert costs.whole(index) == _counted(network, picture, layer.name)
        cut, _ = crops(network, picture, layer.name, Units(*(torch.zeros(1, dtype=torch.int64),) * 4))
        assert costs.crop(index) == _counted(network, cut, layer.name) + CROP_OVERHEAD


def test_a_shallow_unit_goes_alone_until_its_picture_serves_a_deep_one_or_many():
    network = models.load("resnet18", "random")
    names = [layer.name for layer in network.layers]
    shallow, deep = names.index("res2a"), names.index("res5b")
    layer = np.array([shallow, shallow, deep] + [shallow] * 60)
    picture = np.array([0, 1, 1] + [2] * 60)
    alone = ForwardCosts(network).alone(layer, picture)
    assert alone.tolist() == [True] + [False] * 62


@pytest.mark.slow
def test_crops_and_shared_forwards_picture_every_unit_alike(tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    write_rough_pictures(folder, 40, (40, 36), seed=1)
    (tmp_path / "few.toml").write_text(PROFILE.format(folder=folder))
    few = profile.load(str(tmp_path / "few.toml"))
    write, written, cropped = TileFile.write, {}, []

    def remember(self, channels, slots, panels, focus):
        for channel, slot, *tiles in zip(channels.tolist(), slots.tolist(), *panels, strict=True):
            written[run][self.path.name, channel, slot] = np.stack(tiles)
        write(self, channels, slots, panels, focus)

    def count(*arguments):
        cropped.append(len(arguments[3]))
        return crops(*arguments)

    monkeypatch.setattr(TileFile, "write", remember)
    monkeypatch.setattr("generator.stages.unit_pictures.crops", count)
    chosen = ForwardCosts.alone
    for run, alone in (
        ("chosen", chosen),
        ("shared", lambda self, layer, _: np.zeros(len(layer), bool)),
        ("alone", lambda self, layer, _: np.ones(len(layer), bool)),
    ):
        written[run] = {}
        cropped.clear()
        monkeypatch.setattr(ForwardCosts, "alone", alone)
        compute(few, tmp_path / run, Reporter(quiet=True))
        of = len(written[run])
        assert {"chosen": 0 < sum(cropped) < of, "shared": not cropped, "alone": sum(cropped) == of}[run]
    for run in ("chosen", "alone"):
        assert written[run].keys() == written["shared"].keys()
        for unit, tiles in written["shared"].items():
            assert np.abs(tiles.astype(int) - written[run][unit].astype(int)).max() <= 1, unit

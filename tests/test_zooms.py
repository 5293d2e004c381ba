"""Responses to enlarged and reduced pictures: the pictures, the two measures, and what they say of planted channels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from sklearn.metrics import roc_auc_score
from torch import nn

from generator.core.records import Preprocessing, WeightsInfo
from generator.engine.scan.stream import StreamPlan, strongest
from generator.engine.scan.stream_rescaled import enlarge, reduce
from generator.engine.scan.zooms import ZoomPlan, read_zooms, zoom
from generator.methods.resampling import bound
from generator.methods.zooms import APART, OCTAVE, ZOOMS, zoomed
from generator.network.network import Network, Tap

SIDE = 64
RADII = (2.0, 2.8, 4.0, 5.7, 8.0)  # px, of the planted detectors
EACH = 6  # planted channels of a kind


def test_zooms_are_half_an_octave_apart():
    np.testing.assert_allclose(np.diff(np.log2(ZOOMS)), 0.5)
    assert np.log2(ZOOMS[OCTAVE - 1] / ZOOMS[0]) == pytest.approx(1)
    assert ZOOMS[APART[1]] / ZOOMS[APART[0]] == pytest.approx(2) and ZOOMS[2] == 1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (15, 18)])
def test_twice_and_half_are_the_residual_stream_s(height, width):
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    )
    assert torch.equal(zoom(pixels, 1.0), pixels.float())
    for factor in ZOOMS:
        assert zoom(pixels, factor).shape == pixels.shape
    if height % 2 == 0:
        assert torch.equal(zoom(pixels, 2.0), enlarge(pixels)) and torch.equal(
            zoom(pixels, 0.5), reduce(pixels)
        )


def _rank(values: np.ndarray) -> np.ndarray:
    return stats.rankdata(-values)


def test_the_measures_are_what_they_are_defined_to_be():
    """Channel by channel in plain steps, with ties and a channel that no picture activates."""
    responses = np.round(np.random.default_rng(1).normal(size=(60, 5, 4)), 1).clip(0).astype(np.float32)
    responses += np.linspace(0, 2, 60, dtype=np.float32)[
        :, None, None
    ]  # some pictures are liked at all zooms
    responses[:, :, 3] = 0
    result = zoomed(responses)
    for channel in range(3):
        ranks = [_rank(responses[:, z, channel]) for z in range(5)]
        curve = []
        for z in range(5):
            others = np.mean([ranks[other] for other in range(5) if other != z], axis=0)
            nine = sorted(range(60), key=lambda picture, by=others: (by[picture], picture))[:9]
            own = responses[nine, z, channel].astype(float).mean()
            curve.append(own - responses[:, z, channel].astype(float).mean())
        np.testing.assert_allclose(result.curve[channel], curve, rtol=1e-6)
        peak, shares = int(np.argmax(curve)), []
        for first in range(3):
            if first <= peak < first + 3:
                shares.append(max(0, min(curve[first : first + 3])) / curve[peak])
        assert result.invariance[channel] == pytest.approx(max(shares), rel=1e-6)
        rho = stats.spearmanr(responses[:, 1, channel], responses[:, 3, channel]).statistic
        assert result.correlation[channel] == pytest.approx(rho)
    assert np.isnan(result.invariance[3]) and np.isnan(result.correlation[3])
    assert np.isnan(result.invariance_error[3]) and (result.correlation_error[:3] > 0).all()


def test_where_zooms_have_nothing_in_common_no_picture_is_preferred():
    """No regression to the mean: pictures chosen by a response would have a curve far above zero."""
    responses = np.random.default_rng(2).normal(size=(200, 5, 300)).astype(np.float32)
    result = zoomed(responses)
    spread = responses.std() / np.sqrt(9 * 300)
    assert np.abs(result.curve.mean(axis=0)).max() < 4 * spread
    assert abs(result.correlation.mean()) < 0.02
    reach = bound() * result.correlation_error
    assert (
        0.9 < (np.abs(result.correlation) < reach).mean() < 0.99
    )  # nominally 0.95 of the intervals hold zero


def test_a_channel_s_numbers_do_not_depend_on_the_channels_next_to_it():
    responses = np.random.default_rng(3).normal(size=(50, 5, 7)).astype(np.float32)
    whole, part = zoomed(responses), zoomed(responses[:, :, 2:5])
    for name in ("curve", "invariance", "invariance_error", "correlation", "correlation_error"):
        np.testing.assert_array_equal(getattr(whole, name)[2:5], getattr(part, name))


class _Detectors(nn.Module):
    """Discs of five sizes, each found by a filter of its size; each planted channel reads one size, or all."""

    def __init__(self) -> None:
        super().__init__()
        self.discs = nn.Conv2d(3, len(RADII), 33, padding=16, bias=False)
        self.mixture = nn.Conv2d(len(RADII), 2 * EACH, 1, bias=False)
        self.shortcut = nn.Conv2d(3, 2 * EACH, 1, bias=False)

    def forward(self, x):
        return F.relu(self.mixture(F.relu(self.discs(x))) + self.shortcut(x))


def _disc_filter(radius: float) -> torch.Tensor:
    """A detector of zero mean: plus inside the radius, minus outside, up to twice the radius."""
    row, column = np.mgrid[:33, :33] - 16
    distance = np.hypot(row, column)
    inside, outside = distance <= radius, (distance > radius) & (distance <= 2 * radius)
    return torch.from_numpy(inside / inside.sum() - outside / outside.sum()).float()


def _planted() -> Network:
    """The first EACH channels answer to all sizes, the others to one."""
    random = np.random.default_rng(4)
    module = nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.ReLU(), _Detectors()).eval()
    block = module[2]
    weights = random.uniform(0, 0.1, (2 * EACH, len(RADII)))
    weights[:EACH] += 1
    weights[EACH:, 2] += 1
    with torch.no_grad():
        module[0].weight.copy_(torch.eye(3)[:, :, None, None])
        block.discs.weight.copy_(torch.stack([_disc_filter(radius).expand(3, 33, 33) for radius in RADII]))
        block.mixture.weight.copy_(torch.from_numpy(weights).float()[:, :, None, None])
        block.shortcut.weight.zero_()
    preprocessing = Preprocessing(SIDE, SIDE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    tap = Tap("res2a", "2", "block", "res2a", 2)
    return Network.from_module("planted", module, [tap], preprocessing, WeightsInfo("planted", ""))


def _discs(count: int) -> torch.Tensor:
    """Discs of several sizes and contrasts near the middle, on noise."""
    random = np.random.default_rng(5)
    pictures = random.uniform(0, 60, (count, SIDE, SIDE, 3))
    for picture in pictures:
        row, column = np.mgrid[:SIDE, :SIDE] - SIDE / 2 - random.uniform(-6, 6, (2, 1, 1))
        radius = 4 * 2 ** random.uniform(-0.3, 0.3)
        picture[np.hypot(row, column) <= radius] += random.uniform(20, 190)
    return torch.from_numpy(pictures.astype(np.uint8))


@pytest.mark.slow
def test_planted_channels_are_told_apart():
    network, pixels = _planted(), _discs(96)
    plan = ZoomPlan(("res2a",), 32, ZOOMS)
    responses = np.concatenate([read_zooms(network, batch, plan) for batch in torch.split(pixels, 32)])
    result = zoomed(responses)
    planted = np.arange(2 * EACH) < EACH
    assert roc_auc_score(planted, result.invariance) == 1 == roc_auc_score(planted, result.correlation)
    lower = result.invariance - bound() * result.invariance_error
    upper = result.invariance + bound() * result.invariance_error
    assert lower[planted].min() > upper[~planted].max()  # the intervals do not touch
    unchanged = strongest(network, pixels[:32], StreamPlan.of(network, 32))["res2a"]["output"]
    np.testing.assert_array_equal(responses[:32, 2], unchanged)


def test_a_batch_that_is_not_full_gives_the_same_numbers():
    network, pixels, plan = _planted(), _discs(5), ZoomPlan(("res2a",), 8, ZOOMS)
    whole = read_zooms(network, pixels, plan)
    np.testing.assert_array_equal(whole[:3], read_zooms(network, pixels[:3], plan))

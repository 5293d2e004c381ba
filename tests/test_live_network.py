"""What storing the network of the page Your picture in half precision changes, and what the page says of it; how many
channels would be high by chance."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generator.core.head import Head
from generator.core.records import Preprocessing, WeightsInfo
from generator.core.rounding import MOST_DIFFERENCE, Rounding
from generator.engine.scan.histograms import BINS, bin_of, occupied
from generator.network.graph import Graph
from generator.network.network import Network, Tap
from generator.network.onnx_model import HALF_FROM, halved
from generator.site.reading.live import LayerScores, expected_high
from generator.site.templates import environment
from generator.stages.live_network import Change, change_of, other_predictions, stated


class Wide(nn.Module):
    """A convolution whose weight is large enough to be stored in half precision, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Linear(64, 2)
        assert self.conv.weight.numel() >= HALF_FROM

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.fc(self.relu(self.conv(x)).mean((2, 3)))
        return scores


def wide(alter: float = 0.0) -> Network:
    """alter: is put in place of one weight."""
    torch.manual_seed(0)
    module = Wide().eval()
    if alter:
        with torch.no_grad():
            module.conv.weight[0, 0, 1, 1] = alter
    half = (0.5, 0.5, 0.5)
    taps = [Tap("conv", "conv", "layer", "conv", 1)]
    return Network.from_module(
        "own", module, taps, Preprocessing(9, 9, half, half), WeightsInfo("r", "", True)
    )


def measured(network: Network) -> Rounding:
    pictures = torch.randint(
        0, 256, (6, 9, 9, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )
    exact, rounded = (each.to("cpu", torch.float32) for each in (network, halved(network)))
    return stated(change_of(exact, rounded, pictures, 4), len(pictures), exact.head)


def test_half_precision_is_kept_where_all_is_finite_and_refused_where_a_weight_is_too_large() -> None:
    kept = measured(wide())
    assert kept.is_small and not kept.overflows and 0 < (kept.maxima or 0) < 0.01
    refused = measured(wide(alter=1e5))
    assert refused.overflows and not refused.is_small
    assert refused.scores is None and refused.maxima is None  # json has no infinity


def test_a_number_that_is_none_is_not_lost_among_others() -> None:
    network = wide()
    last = network.graph.steps[-1]
    assert last.bias is not None
    spoilt = replace(last, bias=last.bias * torch.tensor([1.0, math.nan]))
    graph = Graph((*network.graph.steps[:-1], spoilt), network.graph.channels)
    assert measured(replace(network, graph=graph)).overflows


def test_what_is_stated_is_a_bound() -> None:
    rounding = stated(Change(0, 0.00012301, 0.0045671), 9, Head("softmax", 2))
    assert (rounding.scores, rounding.maxima) == (0.000124, 0.00457)


def test_another_prediction_of_a_sigmoid_is_one_of_any_class() -> None:
    one = torch.tensor([[3.0, 0.001, -1.0], [2.0, -1.0, -1.0]])
    other = torch.tensor([[3.0, -0.001, -1.0], [2.0, -1.1, -1.0]])
    assert other_predictions("sigmoid", one, other) == 1
    assert other_predictions("softmax", one, other) == other_predictions("none", one, other) == 0
    assert other_predictions("softmax", one, other.flip(1)) == 2


@pytest.mark.parametrize("head", [None, Head("none", 3)])
def test_without_classes_the_numbers_themselves_must_hardly_differ(head: Head | None) -> None:
    small, large = MOST_DIFFERENCE / 2, MOST_DIFFERENCE * 1.1
    assert stated(Change(0, 0.0, small), 9, head).is_small
    assert not stated(Change(0, 0.0, large), 9, head).is_small
    assert stated(Change(0, large, small), 9, head).is_small == (head is None)
    assert stated(Change(0, 0.0, small), 9, head).changed is None
    assert stated(Change(0, large, large), 9, Head("softmax", 3)).is_small


WORDS = {
    "classes": (
        (True, Rounding(200, 0, 0.00041, 0.0021, False)),
        "stored in half precision. Measured on 200 of the atlas's pictures: no prediction changes; the largest values "
        "of channels differ by at most 0.21 % of the layer's largest, outputs by at most 0.041 % of the picture's "
        "largest.",
    ),
    "plain scores": (
        (True, Rounding(200, None, 0.000412, 0.0021, False)),
        "stored in half precision. Measured on 200 of the atlas's pictures: the largest values of channels differ by "
        "at most 0.21 % of the layer's largest, outputs by at most 0.042 % of the picture's largest.",
    ),
    "no outputs": (
        (True, Rounding(9, None, None, 0.00211, False)),
        "stored in half precision. Measured on 9 of the atlas's pictures: the largest values of channels differ by at "
        "most 0.22 % of the layer's largest.",
    ),
    "others": (
        (False, Rounding(200, 3, 0.01, 0.02, False)),
        "stored in single precision: in half precision 3 of 200 predictions would be another.",
    ),
    "too far": (
        (False, Rounding(200, None, None, 0.0211, False)),
        "stored in single precision: in half precision numbers would differ by up to 2.2 % of the largest.",
    ),
    "too large": (
        (False, Rounding(200, 3, None, None, True)),
        "stored in single precision: in half precision some numbers would be too large.",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_the_page_says_what_half_precision_changes(case: str) -> None:
    (half, rounding), wanted = WORDS[case]
    module = environment().get_template("rounding.html").module
    text = module.rounding_words(SimpleNamespace(half=half, rounding=rounding))  # type: ignore[attr-defined]
    assert re.sub(r"\s+", " ", str(text)).replace("&#39;", "'") == wanted


# -- chance ------------------------------------------------------------------------------------------------------------


def scores_of(values: np.ndarray) -> LayerScores:
    """values: (C, N) scores, as the scan keeps them."""
    bins = bin_of(torch.from_numpy(values))
    counts = np.stack([np.bincount(each, minlength=BINS) for each in bins.numpy()]).astype(np.int32)
    counts, limits = occupied(counts)
    top = -np.sort(-values, axis=1)[:, :9]
    return LayerScores(limits[:, 1], np.where(top > 0, top, np.nan), counts)


def share_below(scores: LayerScores, channel: int, pictures: int, value: float) -> float:
    """The page's rule in plain words of its own: what is certainly below."""
    top = [score for score in scores.top[channel].tolist() if not math.isnan(score)]
    if value > top[-1]:
        return (pictures - sum(score >= value for score in top)) / pictures
    ends: Sequence[float] = scores.ends.tolist()
    whole = [end <= value if number else value > 0 for number, end in enumerate(ends)]
    return sum(scores.counts[channel, number] for number, is_below in enumerate(whole) if is_below) / pictures


DISTRIBUTIONS = {
    "narrow": lambda rng, shape: rng.lognormal(0, 0.3, shape),
    "wide": lambda rng, shape: rng.lognormal(0, 2, shape),
    "mostly zero": lambda rng, shape: np.maximum(rng.normal(-2.2, 1, shape), 0),
    "bounded": lambda rng, shape: np.minimum(rng.lognormal(1.6, 0.4, shape), 6),
}


@pytest.mark.parametrize("kind", DISTRIBUTIONS)
@pytest.mark.parametrize("pictures", [80, 1000])
def test_the_chance_level_is_how_often_pictures_of_the_same_kind_are_high(kind: str, pictures: int) -> None:
    rng = np.random.default_rng(pictures)
    channels, trials, high = 300, 100, 0.95
    values = DISTRIBUTIONS[kind](rng, (channels, pictures)).astype(np.float32)
    scores = scores_of(values)
    expected, active = expected_high(scores, high)
    alive = [channel for channel in range(channels) if scores.top[channel, 0] > 0]
    assert active == len(alive)
    others = DISTRIBUTIONS[kind](rng, (channels, trials)).astype(np.float32)
    found = np.array(
        [
            np.mean([share_below(scores, c, pictures, value) >= high for value in others[c].tolist()])
            for c in alive
        ]
    )
    error = found.std() / math.sqrt(len(alive))
    assert expected / active == pytest.approx(found.mean(), abs=4 * error + 0.002)


def test_the_chance_level_of_a_small_set_is_exact() -> None:
    """Of 80 pictures four are above no more than four others: the place of a further one is one of 81."""
    values = np.linspace(1, 1.01, 80, dtype=np.float32)[None]
    expected, active = expected_high(scores_of(values), 0.95)
    assert active == 1 and expected == pytest.approx(5 / 81)


def test_a_channel_that_no_picture_activates_is_not_counted() -> None:
    values = np.zeros((2, 40), np.float32)
    values[1] = np.linspace(1, 2, 40)
    assert expected_high(scores_of(values), 0.95)[1] == 1


def test_a_channel_that_is_dead_but_for_rounding_is_not_counted() -> None:
    values = np.stack([np.linspace(0, 2e-8, 40), np.linspace(1, 2, 40)]).astype(np.float32)
    assert expected_high(scores_of(values), 0.95)[1] == 1

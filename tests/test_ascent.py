"""Optimised pictures: planted optima, the cone's exactness, independence from company, and what each part promises."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import Preprocessing, WeightsInfo
from generator.engine.ascent import transforms as tf
from generator.engine.ascent.ascent import Ascender, AscentPlan, ascend, stream
from generator.engine.ascent.parametrisations import Fourier, Pixel, displayable
from generator.engine.ascent.regularisers import (
    Regularisers,
    clip_smallest,
    gaussian_blur,
    total_variation_gradient,
)
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.relu_rules import LEAK, rectified
from generator.network.call import Call, Source
from generator.network.models import load
from generator.network.network import Network, Tap
from generator.network.ops import Step
from generator.network.windows import Window

PLAIN = Preprocessing(resize=0, crop=16, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0))
QUIET = AscentPlan(transforms=(), batch=4)


class Filter(nn.Module):
    """One convolution whose kernels are planted, then a ReLU."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, len(weight), weight.shape[-1], stride, weight.shape[-1] // 2)
        self.conv.weight.data = weight
        self.conv.bias.data = torch.zeros(len(weight)) if bias is None else bias
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.conv(x))


def planted(weight: torch.Tensor, bias: torch.Tensor | None = None) -> Network:
    taps = [Tap("conv1", "conv", "stem", "", 1)]
    info = WeightsInfo("planted", "0" * 64)
    return Network.from_module("planted", Filter(weight, bias), taps, PLAIN, info).to("cpu", torch.float32)


@pytest.fixture(scope="module")
def kernels() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(3).standard_normal((6, 3, 5, 5))).float()


@pytest.fixture(scope="module")
def demo() -> Network:
    return load("demo").to("cpu", torch.float32)


# -- planted answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parametrisation", "reached"), [("pixel", 0.97), ("fourier", 0.86)])
def test_a_linear_unit_gets_its_optimum(kernels: torch.Tensor, parametrisation: str, reached: float) -> None:
    """Of w · x with x in [−½, ½] the largest value is Σ |w| / 2, where x has the sign of w. Decorrelated colours come
    to it slowly where w asks for opposite signs in red, green and blue."""
    plan = replace(QUIET, parametrisation=parametrisation, steps=250, lr=0.2)
    found = ascend(planted(kernels), "conv1", range(6), plan)
    best = kernels.abs().sum((1, 2, 3)) / 2
    assert (found.value > reached * best).all() and (found.value <= best * 1.0001).all()
    assert ((found.pictures > 0.5) == (kernels > 0)).float().mean() > 0.9
    assert found.fired.all()


def test_with_decay_the_pixels_are_the_matched_filter(kernels: torch.Tensor) -> None:
    """Where decay balances the gradient, w, the latent picture is a multiple of w."""
    plan = replace(
        QUIET, parametrisation="pixel", steps=150, lr=0.02, cool=0, regularisers=Regularisers(l2_decay=0.05)
    )
    found = ascend(planted(kernels), "conv1", range(6), plan)
    latent = found.pictures.logit().flatten(1)
    cosine = F.cosine_similarity(latent, kernels.flatten(1))
    assert (cosine > 0.99).all()


def test_a_unit_that_nothing_excites_is_reported(kernels: torch.Tensor) -> None:
    bias = torch.tensor([0, 0, -1e3, 0, 0, 0.0])
    found = ascend(planted(kernels, bias), "conv1", range(6), replace(QUIET, steps=20))
    assert found.fired.tolist() == [True, True, False, True, True, True]
    assert found.value[2] == 0


def test_a_silent_start_is_woken(kernels: torch.Tensor) -> None:
    """At mid-grey both ReLUs are off and pass no true gradient; the leaky first steps do."""

    def build() -> Network:
        module = nn.Sequential(nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 1, 1), nn.ReLU())
        module[0].weight.data, module[0].bias.data = kernels.clone(), torch.full((6,), -2.0)
        module[2].weight.data, module[2].bias.data = torch.ones(1, 6, 1, 1), torch.zeros(1)
        taps = [Tap("top", "2", "stem", "", 1)]
        return Network.from_module("two", module, taps, PLAIN, WeightsInfo("planted", "0" * 64)).to("cpu")

    plan = replace(QUIET, steps=60)
    assert ascend(build(), "top", [0], plan).fired.all()
    assert not ascend(build(), "top", [0], replace(plan, leaky=0)).fired.any()


def test_the_channel_objective_is_the_mean_over_the_map(kernels: torch.Tensor) -> None:
    network = planted(kernels)
    found = ascend(network, "conv1", [1, 4], replace(QUIET, objective="channel", steps=30))
    assert found.pictures.shape == (2, 3, 16, 16)
    maps = F.conv2d(found.pictures - 0.5, kernels, padding=2).relu()[torch.arange(2), [1, 4]]
    torch.testing.assert_close(found.value, maps.mean((1, 2)))
    torch.testing.assert_close(found.peak, maps.amax((1, 2)))


# -- the cone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv1", "res2c", "res3a", "res3d", "res4c", "res5a"])
def test_a_middle_neuron_on_its_cone_is_the_neuron_of_the_whole_picture(layer: str) -> None:
    """Value and gradient at the pixels, in float64, against the whole network and autograd."""
    network = load("demo").to("cpu", torch.float64)
    top = network.step(layer)
    side = network.preprocessing.crop
    picture = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, side, side)))
    middle = network.layer(layer).height // 2
    walk = WindowedForward(network.graph, top, (side, side), (middle, middle))
    inside = slice(walk.frame[0].low, walk.frame[0].end)
    for channel in (0, 7):
        whole = picture.clone().requires_grad_(True)
        values = {0: whole}
        for index, step in enumerate(network.graph.steps[: top + 1]):
            if index:
                values[index] = step.run(*(values[i] for i in step.inputs))
        expected = values[top][:, channel, middle, middle]
        (gradient,) = torch.autograd.grad(expected.sum(), whole)
        seen = picture[:, :, inside, inside].clone().requires_grad_(True)
        found = walk(seen)[:, channel, 0, 0]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
        (own,) = torch.autograd.grad(found.sum(), seen)
        torch.testing.assert_close(own, gradient[:, :, inside, inside], rtol=1e-9, atol=1e-11)
        assert gradient.abs().sum() == pytest.approx(float(gradient[:, :, inside, inside].abs().sum()))


def test_border_neurons_see_the_networks_own_padding() -> None:
    network = load("demo").to("cpu", torch.float64)
    top, side = network.step("res3b"), network.preprocessing.crop
    picture = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, side, side)))
    whole = next(output for index, output in network.graph.run(picture) if index == top)
    for position in (0, 1, network.layer("res3b").height - 1):
        walk = WindowedForward(network.graph, top, (side, side), (position, position))
        inside = slice(walk.frame[0].low, walk.frame[0].end)
        found = walk(picture[:, :, inside, inside])[:, :, 0, 0]
        torch.testing.assert_close(found, whole[:, :, position, position], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("model", ["resnet18", "resnet50-caffe"])  # max-pooling, and one that rounds up
def test_pooling_at_the_border_is_the_networks(model: str) -> None:
    network = load(model, "random")
    smaller = replace(network.preprocessing, resize=64, crop=64)
    network = network.with_preprocessing(smaller).to("cpu", torch.float64)
    layer = "res2b"
    top = network.step(layer)
    picture = torch.from_numpy(np.random.default_rng(2).standard_normal((1, 3, 64, 64)))
    whole = next(output for index, output in network.graph.run(picture) if index == top).clone()
    torch.testing.assert_close(WindowedForward(network.graph, top, (64, 64))(picture), whole)
    for position in (0, whole.shape[-1] // 2, whole.shape[-1] - 1):
        walk = WindowedForward(network.graph, top, (64, 64), (position, position))
        inside = slice(walk.frame[0].low, walk.frame[0].end)
        found = walk(picture[:, :, inside, inside])[:, :, 0, 0]
        torch.testing.assert_close(found, whole[:, :, position, position])


def test_the_ascent_of_a_neuron_equals_that_on_the_whole_picture() -> None:
    """Pixel by pixel in float64: optimising the receptive field alone changes nothing inside it."""
    network = load("demo").to("cpu", torch.float64)
    plan = replace(QUIET, parametrisation="pixel", steps=6, lr=0.1, leaky=0, cool=0)
    climber = Ascender(network, "res3a", plan)
    found = climber.ascend([5])
    p, side = network.preprocessing, network.preprocessing.crop
    inside = slice(climber.frame[0].low, climber.frame[0].end)
    latent = torch.zeros(1, 3, side, side, dtype=torch.float64)
    latent[0, :, inside, inside] = torch.from_numpy(
        Pixel((climber.canvas[0].size,) * 2).noise(stream(0, "res3a", 5))
    )
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (p.mean, p.std))
    middle = network.layer("res3a").height // 2
    assert network.graph.steps[network.step("res3a")].op == "relu"
    walk = WindowedForward(
        network.graph, network.step("res3a") - 1, (side, side)
    )  # the sum: it rises where the ReLU is silent too
    for _ in range(6):
        latent.requires_grad_(True)
        value = walk((displayable(latent) * p.value_range - mean) / std)[0, 5, middle, middle]
        (gradient,) = torch.autograd.grad(value, latent)
        unit = gradient / gradient.norm() * (3 * climber.frame[0].size ** 2) ** 0.5
        latent = (latent + 0.1 * unit).detach()
    expected = (displayable(latent)[:, :, inside, inside] * 255 + 0.5).floor() / 255
    torch.testing.assert_close(found.pictures.double(), expected, rtol=0, atol=1e-12)


def test_any_step_may_be_asked_for(demo: Network) -> None:
    """The sum before a block's last ReLU, which no layer is tapped at."""
    before = demo.step("res2b") - 1
    assert demo.graph.steps[before].op == "add"
    plan = replace(QUIET, steps=8)
    found = ascend(demo, before, [0, 3], plan)
    middle = demo.layer("res2b").height // 2
    maps = next(o.clone() for i, o in demo.graph.run(_prepared(demo, found.whole())) if i == before)
    torch.testing.assert_close(found.value, maps[[0, 1], [0, 3], middle, middle], rtol=1e-4, atol=1e-4)


def _prepared(network: Network, pictures: torch.Tensor) -> torch.Tensor:
    return network.prepare((pictures * 255).round().byte().permute(0, 2, 3, 1))


def test_the_value_is_that_of_the_8_bit_picture_in_the_network(demo: Network) -> None:
    found = ascend(demo, "res3b", [1, 2, 9], replace(QUIET, steps=8, transforms=tf.standard_transforms))
    pixels = found.whole()
    assert torch.equal(pixels, (pixels * 255).round() / 255)
    top = demo.step("res3b")
    middle = demo.layer("res3b").height // 2
    maps = next(o.clone() for i, o in demo.graph.run(_prepared(demo, pixels)) if i == top)
    torch.testing.assert_close(found.value, maps[[0, 1, 2], [1, 2, 9], middle, middle], rtol=1e-4, atol=1e-4)


# -- every picture on its own --------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", ["neuron", "channel"])
@pytest.mark.parametrize("layer", ["res2a", "res4b"])
def test_company_changes_no_bit_of_a_picture(demo: Network, layer: str, objective: str) -> None:
    plan = AscentPlan(objective=objective, steps=3, batch=4)
    together = ascend(demo, layer, range(6), plan)
    for channels in ([5, 3], [4, 0, 5, 1, 2]):
        apart = ascend(demo, layer, channels, plan)
        assert torch.equal(apart.pictures, together.pictures[channels])
        assert torch.equal(apart.value, together.value[channels])


def test_another_batch_size_changes_rounding_alone() -> None:
    network = load("demo").to("cpu", torch.float64)
    plan = AscentPlan(steps=5, batch=8)
    one, other = (ascend(network, "res3a", range(5), replace(plan, batch=b)) for b in (8, 3))
    torch.testing.assert_close(one.value, other.value, rtol=1e-9, atol=1e-9)
    assert (one.pictures - other.pictures).abs().max() <= 1.01 / 255  # where a value lay between two bytes


def test_seeds_layers_and_channels_have_their_own_random_numbers() -> None:
    draws = {
        tuple(stream(seed, layer, channel).random(2))
        for seed in (0, 1)
        for layer in ("res2a", "res2b")
        for channel in (0, 1)
    }
    assert len(draws) == 8
    again = [stream(1, "res2a", 4).random(5).tolist() for _ in range(2)]
    assert again[0] == again[1]


def test_the_seed_decides_the_picture(demo: Network) -> None:
    plan = replace(QUIET, steps=3)
    first, again, other = (ascend(demo, "res2a", [0], replace(plan, seed=s)).pictures for s in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


# -- transforms ----------------------------------------------------------------------------------------------


def test_transforms_carry_lucids_names() -> None:
    """lucid.optvis.transform: pad(w), jitter(d), random_scale(scales), random_rotate(angles), compose,
    standard_transforms."""
    for name, first in (
        ("pad", "w"),
        ("jitter", "d"),
        ("random_scale", "scales"),
        ("random_rotate", "angles"),
    ):
        assert next(iter(inspect.signature(getattr(tf, name)).parameters)) == first
    assert [t.kind for t in tf.standard_transforms] == ["pad", "jitter", "scale", "rotate", "jitter"]
    assert callable(tf.compose)


def _move(picture: torch.Tensor, transforms: tf.Transforms, draws: list, first: int = 4, size: int = 8):
    return tf.compose(transforms, np.array([draws], float), picture, first=(first, first), size=(size, size))


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(5).random((1, 3, 16, 16)))


def test_jitter_moves_by_whole_pixels(picture: torch.Tensor) -> None:
    moved = _move(picture, (tf.jitter(4),), [[0.99, 0.0]])  # 3 − 2 = 1 to the right, −2 up
    torch.testing.assert_close(moved, picture[:, :, 2:10, 5:13])


def test_scale_enlarges_about_the_middle(picture: torch.Tensor) -> None:
    twice = _move(picture, (tf.random_scale([2.0]),), [[0.5, 0]])
    torch.testing.assert_close(
        twice, F.interpolate(picture[:, :, 5:11, 5:11], scale_factor=2, mode="bilinear")[:, :, 2:10, 2:10]
    )


def test_a_quarter_turn_is_exact(picture: torch.Tensor) -> None:
    turned = _move(picture, (tf.random_rotate([90]),), [[0.5, 0]])
    straight = picture[:, :, 4:12, 4:12]
    assert any(torch.allclose(turned, straight.rot90(k, (2, 3)), atol=1e-9) for k in (1, 3))


def test_pad_lays_grey_around_the_picture(picture: torch.Tensor) -> None:
    draws = [[0, 0], [0.0, 0.0]]
    with_pad = tf.compose((tf.pad(4), tf.jitter(12)), np.array([draws]), picture, first=(0, 0), size=(16, 16))
    assert (with_pad[:, :, :6] - 0.5).abs().max() < 1e-12
    edge = tf.compose((tf.jitter(12),), np.array([draws[:1]]), picture, first=(0, 0), size=(16, 16))
    torch.testing.assert_close(edge[:, :, :6, 6:], picture[:, :, :1, :10].expand(-1, -1, 6, -1))


@pytest.mark.parametrize(("height", "width"), [(20, 20), (12, 30)])
def test_reach_is_what_the_transforms_look_at(height: int, width: int) -> None:
    down, right = tf.reach(tf.standard_transforms, (height, width))
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = np.array([[left, top, 1.0] for left in (-x, x) for top in (-y, y)])
    draws = np.random.default_rng(0).random((2000, 5, 2))
    moved = np.einsum("nij,kj->nki", tf.matrices(tf.standard_transforms, draws), corners)
    widest, highest = np.abs(moved).max((0, 1))
    assert widest - x <= right <= widest - x + 5
    assert highest - y <= down <= highest - y + 5


# -- parametrisations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (11, 11), (8, 13), (11, 6)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", [Pixel, Fourier])
def test_latent_pictures_have_parameters(kind: type, channels: int, size: tuple[int, int]) -> None:
    latent = torch.from_numpy(np.random.default_rng(0).standard_normal((2, channels, *size)))
    made = kind(size, channels)
    torch.testing.assert_close(made.latent(made.parameters(latent)), latent)
    assert made.noise(np.random.default_rng(0)).shape == made.parameters(latent).shape[1:]


def test_fourier_is_lucids_picture() -> None:
    """lucid.optvis.param: fft_image with decay_power 1, then to_valid_rgb with decorrelate and sigmoid."""
    side = 12
    numbers = np.random.default_rng(1).standard_normal((2, 3, side, side // 2 + 1))
    frequency = np.sqrt(np.fft.fftfreq(side)[:, None] ** 2 + np.fft.rfftfreq(side)[None] ** 2)
    scaled = (numbers[0] + 1j * numbers[1]) * np.sqrt(side * side) / np.maximum(frequency, 1 / side)
    image = np.fft.irfft2(scaled, s=(side, side)) / 4
    root = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    image = np.einsum("chw,dc->dhw", image, root / np.linalg.norm(root, axis=0).max())
    expected = 1 / (1 + np.exp(-image))
    found = displayable(Fourier((side, side)).latent(torch.from_numpy(numbers)[None]))[0]
    torch.testing.assert_close(found, torch.from_numpy(expected))


def test_a_start_shows_itself(demo: Network) -> None:
    climber = Ascender(demo, "res2a", replace(QUIET, steps=0))
    start = torch.rand(1, 3, climber.frame[0].size, climber.frame[0].size) * 0.9 + 0.05
    assert (climber.ascend([0], start).pictures - start).abs().max() < 0.15  # its noise alone is added


# -- regularisers, each by what it promises ------------------------------------------------------------------


def _latent(side: int = 16) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, side, side)))


def test_l2_decay_takes_a_share_of_every_value() -> None:
    latent = _latent()
    torch.testing.assert_close(Regularisers(l2_decay=0.1).apply(latent, latent, 0), latent * 0.9)


def test_blur_spreads_a_point_as_a_gaussian_and_keeps_sums() -> None:
    point = torch.zeros(1, 3, 33, 33, dtype=torch.float64)
    point[..., 16, 16] = 1
    blurred = gaussian_blur(point, 2.0)[0, 0]
    torch.testing.assert_close(blurred.sum(), torch.tensor(1.0, dtype=torch.float64))
    place = torch.arange(33, dtype=torch.float64) - 16
    assert (blurred.sum(0) * place**2).sum().sqrt() == pytest.approx(2.0, rel=0.02)
    flat = torch.full((1, 3, 9, 9), 0.7, dtype=torch.float64)
    torch.testing.assert_close(gaussian_blur(flat, 5.0), flat)


def test_blur_is_periodic() -> None:
    latent, keeper = _latent(), Regularisers(blur=1.0, blur_every=3)
    changed = [not torch.equal(keeper.apply(latent, latent, step), latent) for step in range(6)]
    assert changed == [False, False, True, False, False, True]


def test_clipping_by_norm_greys_the_smallest_pixels_alone() -> None:
    latent = _latent()
    clipped = Regularisers(clip_norm=0.25).apply(latent, latent, 0)
    gone = (clipped == 0).all(1)
    assert (gone.flatten(1).sum(1) == 64).all()
    for one, away in zip(latent.norm(dim=1), gone, strict=True):
        assert one[away].max() < one[~away].min()
    torch.testing.assert_close(clipped[:, 0][~gone], latent[:, 0][~gone])


def test_clipping_by_contribution_greys_what_adds_least() -> None:
    latent, gradient = _latent(), _latent().flip(3)
    gone = (Regularisers(clip_contribution=0.5).apply(latent, gradient, 0) == 0).all(1)
    for one, away in zip((latent * gradient).sum(1).abs(), gone, strict=True):
        assert away.sum() == 128 and one[away].max() < one[~away].min()


def test_clipping_nothing_changes_nothing() -> None:
    latent = _latent()
    assert clip_smallest(latent, latent.norm(dim=1), 1e-9) is latent


def test_total_variation_is_the_gradient_of_absolute_differences() -> None:
    latent = _latent(6).requires_grad_(True)
    value = latent.diff(dim=2).abs().sum() + latent.diff(dim=3).abs().sum()
    (expected,) = torch.autograd.grad(value, latent)
    torch.testing.assert_close(total_variation_gradient(latent.detach()), expected)


def test_total_variation_smooths_the_result(kernels: torch.Tensor) -> None:
    def rough(weight: float) -> float:
        plan = replace(
            QUIET,
            parametrisation="pixel",
            steps=40,
            lr=0.02,
            regularisers=Regularisers(total_variation=weight),
        )
        pictures = ascend(planted(kernels), "conv1", range(6), plan).pictures
        return float(pictures.diff(dim=2).abs().mean() + pictures.diff(dim=3).abs().mean())

    assert rough(0.5) < 0.7 * rough(0.0)


# -- the ReLU's rules ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [math.inf, 3.0])
def test_rules_of_a_relu(limit: float) -> None:
    x = torch.tensor([-1.0, 2.0, -3.0, 2.0, 4.0, 4.0], requires_grad=True)
    down = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0, -1.0])
    above = 1 if limit == math.inf else 0
    expected = {
        "plain": [0, 1, 0, -1, above, -above],
        "guided": [0, 1, 0, 0, above, 0],
        "deconvnet": [1, 1, 0, 0, 1, 0],
        "leaky": [LEAK, 1, -LEAK, -1, above or LEAK, -(above or LEAK)],
    }
    for rule, gradient in expected.items():
        (found,) = torch.autograd.grad(rectified(Step("relu", (0,), "", limit=limit), x, rule), x, down)
        torch.testing.assert_close(found, torch.tensor(gradient, dtype=torch.float32))


def test_rules_of_a_smooth_activation() -> None:
    """SiLU, x · s(x) with s the logistic function: its derivative is s · (1 + x · (1 − s))."""
    x = torch.tensor([-3.0, -0.5, 0.7, 2.0] * 2, dtype=torch.float64, requires_grad=True)
    down = torch.tensor([2.0] * 4 + [-2.0] * 4, dtype=torch.float64)
    silu = Step("activation", (0,), "", call=Call("aten.silu.default", (Source(0),), is_local=True))
    s = 1 / (1 + torch.exp(-x.detach()))
    derivative = s * (1 + x.detach() * (1 - s))
    expected = {
        "plain": derivative * down,
        "leaky": derivative * down,
        "guided": torch.where((down > 0) & (x > 0), derivative * down, 0),
        "deconvnet": down.clamp(min=0),
    }
    for rule, gradient in expected.items():
        (found,) = torch.autograd.grad(rectified(silu, x, rule), x, down)
        torch.testing.assert_close(found, gradient, rtol=1e-12, atol=1e-12)


# -- bad questions -------------------------------------------------------------------------------------------


def test_a_channel_that_is_not_there_is_one_sentence(demo: Network) -> None:
    with pytest.raises(AtlasError, match="res2a has no channel 48"):
        ascend(demo, "res2a", [48], QUIET)


def test_no_channels_give_no_pictures(demo: Network) -> None:
    found = ascend(demo, "res2a", [], QUIET)
    assert found.pictures.shape == (0, 3, 11, 11) and found.frame == (
        Window.fixed(43, 54),
        Window.fixed(43, 54),
    )


def test_bf16_climbs_like_fp32(demo: Network) -> None:
    """Nearly every channel to the same height: an ascent amplifies what was rounded, so a few end elsewhere."""
    plan = replace(QUIET, steps=24)
    full, half = (ascend(demo, "res2c", range(24), replace(plan, precision=p)) for p in ("fp32", "bf16"))
    assert full.value.dtype == half.value.dtype == torch.float32
    alike = (half.value - full.value).abs() <= 0.1 * full.value.abs() + 0.05
    assert alike.sum() >= 20

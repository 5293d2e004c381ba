"""Contributions to classes: against torch's automatic differentiation of the whole module, the classifier's weights,
and plain loops."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import own_kinds
import pytest
import torch
from damages import restore
from scipy import stats
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.store import Store
from generator.engine.effects.effect_state import (
    ClassSums,
    EffectLayer,
    EffectPlan,
    EffectReader,
    EffectState,
)
from generator.methods.effects import ClassMeans, of_channels, of_classes, of_weights
from generator.network import models
from generator.network.network import Network
from generator.stages.effects import effect_layers, exact_weights, trace_effects
from generator.stages.ranks import Ranks
from generator.stages.unit_pictures import picture_effects

COUNT, FORWARD = 14, 4
LISTS = ("top_image", "strip_image", "effect_image")
UNKNOWN = 5  # the picture without a class


def preactivation() -> Network:
    from generator.network.models.resnet_preact import PreActResNet

    torch.manual_seed(2)
    return models.load(_statistics(PreActResNet((2, 2), 5)), size=64)


def _statistics(module: nn.Module) -> nn.Module:
    """The module with norms that are not the identity."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
            nn.init.normal_(part.running_mean, 0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.eval()


def _own(kind: str) -> Network:
    torch.manual_seed(3)
    return models.load(_statistics(getattr(own_kinds, kind)(4)), size=32)


DESIGNS = {
    "bottlenecks": lambda: models.load("demo"),
    "option A": lambda: models.load("resnet20-cifar", "random"),
    "pre-activation": preactivation,
    "one activation module": lambda: _own("shared"),
    "gates": lambda: _own("gates"),
}


SLOW = ("bottlenecks", "pre-activation")


def _double(network: Network) -> Network:
    return network.to("cpu", torch.float64)


def _plan(network: Network, classes: tuple[int, ...], *, signs: bool = False) -> EffectPlan:
    layers = tuple(EffectLayer(x.name, x.channels, x.width) for x in effect_layers(network))
    return EffectPlan(layers, classes, signs)


def _pixels(network: Network, count: int = COUNT) -> Tensor:
    height, width = network.preprocessing.size
    rough = np.random.default_rng(0).integers(
        0, 256, (count, -(-height // 4), -(-width // 4), network.graph.channels), np.uint8
    )
    return torch.from_numpy(rough.repeat(4, 1).repeat(4, 2)[:, :height, :width].copy())


def _answers(network: Network, pixels: Tensor, *, signs: bool) -> np.ndarray:
    """By the module itself."""
    with torch.no_grad():
        outputs = copy.deepcopy(network.module).double()(network.prepare(pixels).double()).flatten(1)
    return ((outputs[:, 0] > 0).long() if signs else outputs.argmax(1)).numpy()


def _state(
    network: Network, plan: EffectPlan, of_class: np.ndarray | None, batches: list[list[int]]
) -> EffectState:
    state, pixels = EffectState(plan), _pixels(network)
    answers = _answers(network, pixels, signs=plan.signs)
    reader = EffectReader(network, plan, answers if of_class is None else of_class, answers)
    for batch in batches:
        images = torch.tensor(batch)
        reader.read(state, pixels[images], images, FORWARD)
    return state


def _in_fours(numbers: list[int]) -> list[list[int]]:
    return [numbers[first : first + FORWARD] for first in range(0, len(numbers), FORWARD)]


def _by_autograd(network: Network, picture: Tensor, number: int | None) -> Iterator[tuple[str, Tensor, int]]:
    """Of every block: its name, activation × gradient of one output (None: of the largest) by the module itself, one
    picture alone, and the output's number."""
    module = copy.deepcopy(network.module).double()
    kept: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            kept[name] = output if output.requires_grad else output.requires_grad_()
            return kept[name].clone()  # what follows may work in place

        return hook

    blocks = [layer for layer in network.layers if layer.kind == "block"]
    for layer in blocks:
        module.get_submodule(layer.path).register_forward_hook(keep(layer.name))
    outputs = module(network.prepare(picture[None]))[0].flatten()
    chosen = int(outputs.argmax()) if number is None else number
    gradients = torch.autograd.grad(outputs[chosen], [kept[layer.name] for layer in blocks])
    for layer, gradient in zip(blocks, gradients, strict=True):
        yield layer.name, (kept[layer.name].detach() * gradient)[0], chosen


@pytest.mark.parametrize(
    "design", [pytest.param(x, marks=pytest.mark.slow) if x in SLOW else x for x in DESIGNS]
)
@pytest.mark.parametrize("labelled", [True, False], ids=["labels", "answers"])
def test_contributions_are_autograds_of_the_module_itself(design, labelled):
    network = _double(DESIGNS[design]())
    outputs = network.outputs
    of_class = np.array([n * 7 % min(outputs, 5) for n in range(COUNT)]) if labelled else None
    if labelled:
        of_class[UNKNOWN] = -1
    state = _state(network, _plan(network, tuple(range(outputs))), of_class, _in_fours(list(range(COUNT))))
    expected: dict[str, dict[int, tuple[Tensor, int, Tensor]]] = {}
    for number, picture in enumerate(_pixels(network)):
        if labelled and number == UNKNOWN:
            continue
        asked = None if of_class is None else int(of_class[number])
        for name, product, chosen in _by_autograd(network, picture, asked):
            expected.setdefault(name, {})[number] = product.sum((1, 2)), chosen, product
    assert expected, "the network has no blocks"
    assert state.used[0] == COUNT - labelled
    for name, pictures in expected.items():
        sums = np.zeros((outputs, len(next(iter(pictures.values()))[0])))
        for value, chosen, _ in pictures.values():
            sums[chosen] += value.numpy()
        scale = np.abs(sums).max()
        np.testing.assert_allclose(state.sums[name].value(), sums, atol=1e-6 * scale)
        squares = np.zeros_like(sums)
        for value, chosen, _ in pictures.values():
            squares[chosen] += value.numpy() ** 2
        np.testing.assert_allclose(state.squares[name].value(), squares, rtol=1e-5, atol=1e-6 * scale**2)
        _check_lists(state, name, pictures)
    chosen_ones = [chosen for _, chosen, _ in pictures.values()]
    np.testing.assert_array_equal(state.pictures, np.bincount(chosen_ones, minlength=outputs))


def _check_lists(state: EffectState, name: str, pictures: dict[int, tuple[Tensor, int, Tensor]]) -> None:
    """The nine pictures of largest contribution, by sorting all."""
    values, images, units = state.top(name)
    everything = torch.stack([value for value, _, _ in pictures.values()], 1).numpy()
    numbers = np.array(list(pictures))
    for channel, row in enumerate(everything):
        best = np.sort(row[row > 0])[::-1][:9]
        there = images[channel] >= 0
        assert there.sum() == len(best)
        np.testing.assert_allclose(values[channel][there], best, rtol=1e-4, atol=1e-9)
        for image, unit, value in zip(images[channel][there], units[channel][there], best, strict=True):
            assert row[numbers == image] == pytest.approx(value, rel=1e-4, abs=1e-9)
            product = pictures[int(image)][2][channel]
            assert product[tuple(unit)] == pytest.approx(float(product.max()), rel=1e-4, abs=1e-9)


@pytest.mark.slow
def test_behind_the_last_block_the_weights_say_everything():
    """Of every class and every picture weight × mean activation; together with the bias they make the output."""
    network = _double(models.load("demo"))
    name, weights = exact_weights(network)
    assert name == network.layers[-1].name or network.layer(name).kind == "block"
    module = copy.deepcopy(network.module).double()
    maps: list[Tensor] = []
    module.get_submodule(network.layer(name).path).register_forward_hook(
        lambda _m, _i, out: maps.append(out.clone())
    )
    with torch.no_grad():
        outputs = module(network.prepare(_pixels(network)))
    shares = weights[None] * maps[0].mean((2, 3)).numpy()[:, None]  # (B, K, C)
    bias = network.graph.steps[-1].bias.numpy()
    np.testing.assert_allclose(shares.sum(2) + bias, outputs.numpy(), rtol=1e-6)
    for number in (0, 3):
        of_class = np.full(COUNT, number)
        state = _state(network, _plan(network, (number,)), of_class, _in_fours(list(range(COUNT))))
        np.testing.assert_allclose(state.sums[name].value()[0], shares[:, number].sum(0), atol=1e-6)


@pytest.mark.parametrize("design", ["pre-activation"])
def test_no_weights_say_everything_where_more_than_a_mean_lies_between(design):
    assert exact_weights(DESIGNS[design]()) is None


def test_one_output_stands_for_two_classes():
    torch.manual_seed(4)
    network = _double(models.load(own_kinds.shared(1).eval(), size=32, head="sigmoid"))
    of_class = np.arange(COUNT) % 2
    state = _state(network, _plan(network, (0, 1), signs=True), of_class, _in_fours(list(range(COUNT))))
    plain = _state(network, _plan(network, (0,)), np.zeros(COUNT, int), _in_fours(list(range(0, COUNT, 2))))
    for name, sums in state.sums.items():
        np.testing.assert_allclose(sums.value()[0], -plain.sums[name].value()[0], atol=1e-6)
    _, weights = exact_weights(network)
    np.testing.assert_array_equal(weights[0], -weights[1])


def test_batches_order_parts_and_threads_change_no_bit():
    network = models.load("resnet20-cifar", "random").to("cpu", torch.float32)
    plan, of_class = _plan(network, (0, 2, 3)), np.arange(COUNT) % 4
    whole = _state(network, plan, of_class, _in_fours(list(range(COUNT)))).arrays()
    shuffled = _state(
        network, plan, of_class, [[9, 13], [2, 0, 11, 4], [7], [1, 3, 12], [5, 6, 8, 10]]
    ).arrays()
    parts = [_state(network, plan, of_class, _in_fours(list(range(n, COUNT, 3)))) for n in range(3)]
    merged = EffectState.from_arrays(parts[2].arrays())
    merged.merge(parts[0])
    merged.merge(EffectState.from_arrays(parts[1].arrays()))
    for other in (shuffled, merged.arrays()):
        assert other.keys() == whole.keys()
        for name, array in whole.items():
            assert other[name].tobytes() == array.tobytes(), name


def test_answers_are_those_that_are_given_whatever_this_pass_would_say():
    """Another arithmetic may have found another answer to a picture between two classes."""
    network = models.load("resnet20-cifar", "random").to("cpu", torch.float32)
    answers, own = np.arange(COUNT) % 3, _answers(network, _pixels(network), signs=False)
    assert (answers != own).any()
    state, images = EffectState(_plan(network, (0, 1, 2))), torch.arange(FORWARD)
    EffectReader(network, state.plan, answers, answers).read(state, _pixels(network)[images], images, FORWARD)
    counts = np.bincount(answers[:FORWARD], minlength=3).tolist()
    assert state.pictures.tolist() == state.correct.tolist() == counts


def test_parts_of_other_runs_do_not_mix():
    network = models.load("resnet20-cifar", "random")
    with pytest.raises(AtlasError, match="different runs"):
        EffectState(_plan(network, (0,))).merge(EffectState(_plan(network, (0, 1))))


def test_what_is_no_number_is_named_with_its_layer():
    network = _double(models.load("demo"))
    broken = copy.deepcopy(network.graph.steps[-1].weight)
    broken[:] = float("nan")
    object.__setattr__(network.graph.steps[-1], "weight", broken)
    with pytest.raises(AtlasError, match="contribution to a class is not a finite number"):
        _state(network, _plan(network, (0,)), np.zeros(COUNT, int), [[0, 1]])


def test_sums_by_class_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    values = rng.normal(0, 10.0 ** rng.integers(-6, 9, (300, 1)), (300, 5))
    rows = rng.integers(0, 4, 300)
    sums = ClassSums(6, 5)
    for part in np.array_split(np.arange(300), 3):
        sums.add(torch.from_numpy(values[part]), torch.from_numpy(rows[part]))
    expected = [
        [sum(round(v * 2**32) for v in values[rows == r, c].tolist()) / 2**32 for c in range(5)]
        for r in range(6)
    ]
    np.testing.assert_allclose(sums.value(), expected, rtol=1e-12, atol=1e-12)


# -- from sums to classes and channels ---------------------------------------------------------------------------------


def test_means_and_intervals_are_those_of_scipy():
    rng = np.random.default_rng(2)
    rows, values = rng.choice([0, 1, 3], 60, p=[0.5, 0.45, 0.05]), rng.normal(0, 1, (60, 7))
    rows[:4] = 2  # a class of four pictures; the last class has none
    sums = np.array([values[rows == r].sum(0) for r in range(5)])
    squares = np.array([(values[rows == r] ** 2).sum(0) for r in range(5)])
    means = ClassMeans.of(sums, squares, np.bincount(rows, minlength=5))
    for r in (0, 1):
        own = values[rows == r]
        interval = stats.t.interval(0.95, len(own) - 1, own.mean(0), stats.sem(own))
        np.testing.assert_allclose(means.mean[r], own.mean(0))
        np.testing.assert_allclose(means.mean[r] - means.reach[r], interval[0])
    np.testing.assert_allclose(means.mean[2], values[rows == 2].mean(0))
    assert np.isnan(means.reach[2]).all(), "four pictures give no interval"
    assert np.isnan(means.mean[4]).all()
    assert np.isnan(means.reach[4]).all()


def test_contributions_that_vary_less_than_the_sums_are_precise_have_a_mean_without_an_interval():
    rng = np.random.default_rng(6)
    values = rng.normal([0, 3, 1e-9], [1e-9, 1e-7, 1e-2], (40, 3))
    sums = [ClassSums(1, 3), ClassSums(1, 3)]
    for each, added in zip(sums, (values, values**2), strict=True):
        each.add(torch.from_numpy(added), torch.zeros(40, dtype=torch.int64))
    means = ClassMeans.of(sums[0].value(), sums[1].value(), np.array([40]))
    np.testing.assert_allclose(means.mean[0], values.mean(0), atol=2**-32)
    assert np.isnan(means.reach[0, :2]).all()
    interval = stats.t.interval(0.95, 39, values[:, 2].mean(), stats.sem(values[:, 2]))
    assert means.mean[0, 2] + means.reach[0, 2] == pytest.approx(interval[1], rel=1e-2)


def test_a_channel_names_the_classes_that_it_raises_and_lowers_most():
    rng = np.random.default_rng(3)
    mean = rng.normal(0, 1, (9, 20))
    mean[4] = np.nan  # a class without pictures
    mean[:, 0] = np.abs(mean[:, 0])  # lowers nothing
    numbers = np.arange(9) * 10
    arrays = of_channels(ClassMeans(mean, np.abs(mean) / 10), numbers)
    for channel in range(20):
        order = [r for r in np.argsort(-mean[:, channel], kind="stable") if r != 4]
        for side, rows, sign in (("raised", order, 1), ("lowered", order[::-1], -1)):
            expected = [r for r in rows if sign * mean[r, channel] > 0][:5]
            there = arrays[f"{side}_class"][channel] >= 0
            assert arrays[f"{side}_class"][channel][there].tolist() == [10 * r for r in expected]
            np.testing.assert_allclose(
                arrays[f"{side}_mean"][channel][there], mean[expected, channel], rtol=1e-6
            )
            ranks = [1 + int((sign * mean[r] > sign * mean[r, channel]).sum()) for r in expected]
            assert arrays[f"{side}_rank"][channel][there].tolist() == ranks
            assert np.isnan(arrays[f"{side}_mean"][channel][~there]).all()


def test_a_class_names_its_channels_and_weights_name_classes():
    rng = np.random.default_rng(4)
    mean = rng.normal(0, 1, (3, 30))
    arrays = of_classes(ClassMeans(mean, np.full_like(mean, np.nan)))
    for row, channels in enumerate(arrays["class_channel"]):
        best = np.argsort(-mean[row])[:12]
        assert channels.tolist() == best[mean[row, best] > 0].tolist() + [-1] * int(
            (mean[row, best] <= 0).sum()
        )
    weights, activation = rng.normal(0, 1, (8, 4)), np.array([1.0, 2.0, 0.5, 0.0])
    arrays = of_weights(weights, activation)
    for channel in range(3):
        product = weights[:, channel] * activation[channel]
        raised = [k for k in np.argsort(-product) if product[k] > 0][:5]
        assert [k for k in arrays["weights_raised_class"][channel] if k >= 0] == raised
        lowered = [k for k in np.argsort(product) if product[k] < 0][:5]
        assert [k for k in arrays["weights_lowered_class"][channel] if k >= 0] == lowered
    assert (arrays["weights_raised_class"][3] == -1).all(), "an inactive channel raises nothing"


# -- the stage ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pictures_of_contributions_alone_are_published_and_those_of_no_list_removed(
    tiny, tiny_atlas, tmp_path
):
    folder = restore(tiny_atlas.folder, tmp_path / "atlas")
    store = Store(folder)
    whole = store.pictures.pictures()
    arrays = [store.arrays.layer(layer.name) for layer in store.manifest().layers]
    lists = [numbers[name].ravel() for numbers in arrays for name in LISTS if name in numbers]
    assert whole == set(np.unique(np.concatenate(lists)).tolist()) - {-1}
    network = models.load("resnet20-cifar", "random").keep([layer.name for layer in store.manifest().layers])
    inputs = SimpleNamespace(network=network, profile=tiny, panels=("patches",))
    useless = max(whole) + 1
    store.pictures.write(store.pictures.picture_path(useless), b"")
    picture_effects(inputs, SimpleNamespace(store=store))
    assert store.pictures.pictures() == whole


def test_a_network_without_a_classifier_says_so_and_keeps_no_earlier_numbers(tmp_path):
    store = Store(tmp_path)
    network = models.load("resnet20-cifar", "random")
    store.arrays.write_layer("res2a", "effects", {"effect_image": np.zeros((1, 9), np.int32)})
    cut = replace(network, graph=network.graph.until(network.step("res4c")))
    run = SimpleNamespace(store=store, ranks=Ranks())
    trace_effects(SimpleNamespace(network=cut), run)
    assert store.tables.read_json("effects.json") == {"absent": cut.without_outputs}
    assert "effects" not in store.arrays.products("res2a")


def test_plain_scores_have_no_contributions_to_classes(tmp_path):
    store = Store(tmp_path)
    scores = models.load(own_kinds.shared(1).eval(), size=32, head="none")
    trace_effects(SimpleNamespace(network=scores), SimpleNamespace(store=store, ranks=Ranks()))
    assert store.tables.read_json("effects.json") == {"absent": "the outputs are plain scores, not classes"}


@pytest.mark.slow
def test_the_stage_writes_what_a_plain_pass_finds(atlas):
    """By the network's answers, since the weights are random."""
    report = atlas.tables.read_json("effects.json")
    assert report["by"] == "answer" and report["pictures"] == report["of"] == len(atlas.tables.images())
    answers, _ = atlas.arrays.predictions()
    counts = np.bincount(answers, minlength=report["outputs"])
    assert [row["pictures"] for row in report["classes"]] == counts.tolist(), "the pages list these pictures"
    assert all(row["correct"] is None for row in report["classes"])
    arrays = atlas.arrays.layer("res4c")
    _, weights = exact_weights(models.load("resnet20-cifar", "random"))
    np.testing.assert_allclose(
        arrays["weights_raised_mean"][:, 0],
        (weights * arrays["mean"]).max(0).clip(0) + 0,
        rtol=1e-5,
        equal_nan=True,
    )
    for layer in report["layers"]:
        numbers = atlas.arrays.layer(layer)
        there = numbers["class_channel"][:, 0] >= 0
        channels = numbers["class_channel"][there, 0]
        best = {
            n: (c, m)
            for n, c, m in zip(np.flatnonzero(there), channels, numbers["class_mean"][there, 0], strict=True)
        }
        for number, (channel, mean) in best.items():
            named = numbers["raised_class"][channel].tolist()
            if number in named:
                place = named.index(number)
                assert numbers["raised_mean"][channel, place] == mean
                assert numbers["raised_rank"][channel, place] == 1

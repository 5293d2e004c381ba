"""Networks drawn and counted: against their names, hand arithmetic, torchvision's metadata and published figures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
import torch
import torchvision
from torch import Tensor, nn

from generator.core.blueprint import Blueprint, blueprint_from_json, blueprint_to_json
from generator.core.errors import AtlasError
from generator.network import models
from generator.network.architecture import blueprint
from generator.network.network import Tap
from generator.network.reference_networks import NETWORKS, reference_blueprint
from generator.network.reference_networks import reference as recompute
from generator.site.chapters.architecture import architecture_page, stage_rows
from generator.site.chapters.published import FIGURES, VARIANTS, explanation
from generator.site.chapters.reference_networks import NAMES, blueprints, reference, reference_json
from generator.site.figures.volumes import Proportions, drawing
from generator.site.templates import environment

DEPTHS = {
    "resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101, "resnet152": 152, "resnet50-caffe": 50,
    "resnext50_32x4d": 50, "resnext101_32x8d": 101, "wide_resnet50_2": 50, "preact_resnet50": 50,
    "resnet20-cifar": 20, "resnet32-cifar": 32, "resnet44-cifar": 44, "resnet56-cifar": 56,
    "resnet110-cifar": 110, "densenet121": 121, "alexnet": 8, "demo": 50,
}  # fmt: skip
QUICK = {"resnet18", "resnet20-cifar", "demo"}


def nowhere(layer: str) -> None:
    return None


def test_the_references_are_the_papers_networks() -> None:
    assert set(blueprints()) == set(NETWORKS) == set(DEPTHS) == set(NAMES)
    assert {name: network.weighted_layers for name, network in blueprints().items()} == DEPTHS


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_what_is_committed_is_what_is_computed(name: str) -> None:
    assert reference_blueprint(name) == blueprints()[name]


@pytest.mark.slow
def test_the_committed_variants_are_what_is_computed() -> None:
    again = json.loads(json.dumps(recompute()))
    assert again == reference_json()


@pytest.mark.parametrize("name", NETWORKS)
def test_costs_follow_from_the_shapes(name: str) -> None:
    """Every convolution's multiply-adds and weights by hand; their sums are the totals that torch counted."""
    network = blueprints()[name]
    for volume in network.volumes:
        if volume.op not in ("conv", "linear"):
            assert volume.parameters == volume.multiply_adds == 0
            continue
        taps = volume.kernel**2 * volume.channels_in // volume.groups
        weights = taps * volume.channels
        if volume.op == "linear":
            assert volume.multiply_adds == weights
        elif volume.shortcut != "zero padding":
            assert volume.multiply_adds == weights * volume.height * volume.width
        else:
            weights = 0
            assert volume.multiply_adds == 0
        extra = (
            volume.parameters - weights
        )  # a bias, and a gain and a shift a channel of the norm before or behind
        assert 0 <= extra <= 3 * volume.channels + 2 * volume.channels_in
    assert sum(volume.parameters for volume in network.volumes) == network.parameters
    assert sum(volume.multiply_adds for volume in network.volumes) == network.multiply_adds
    if published := models.find(name).parameters:
        assert network.parameters == published


@pytest.mark.parametrize("name", sorted(set(NETWORKS) & set(torchvision.models.list_models())))
def test_totals_are_torchvisions(name: str) -> None:
    meta = torchvision.models.get_model_weights(name).DEFAULT.meta
    assert blueprints()[name].parameters == meta["num_params"]
    assert blueprints()[name].multiply_adds / 1e9 == pytest.approx(meta["_ops"], abs=0.001)


def test_shapes_chain_and_fields_grow() -> None:
    for network in blueprints().values():
        convolutions = [volume for volume in network.volumes if volume.op == "conv"]
        for before, after in pairwise(convolutions):
            if before.block == after.block and "" == before.shortcut == after.shortcut and before.block:
                assert after.channels_in == before.channels
        ends = [volume.field for volume in network.volumes if volume.op == "add"]
        assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", {"identity": 5, "projection": 3}),
        ("resnet50", {"identity": 12, "projection": 4}),
        ("preact_resnet50", {"identity": 12, "projection": 4}),
        ("resnet56-cifar", {"identity": 25, "zero padding": 2}),
        ("alexnet", {}),
    ],
)
def test_shortcuts_are_told_apart(name: str, expected: dict[str, int]) -> None:
    kinds = [volume.shortcut for volume in blueprints()[name].volumes if volume.op == "add"]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == expected


class Forked(nn.Module):
    """One block whose shortcut is the longer way, a 5 × 5 beside a 1 × 1; and one that adds its input twice removed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, 2, 1)
        self.a, self.b = nn.Conv2d(6, 6, 3, 1, 1, groups=3), nn.Conv2d(6, 6, 1)
        self.project = nn.Conv2d(6, 6, 5, 1, 2, bias=False)
        self.norm, self.relu, self.fc = nn.BatchNorm2d(6), nn.ReLU(), nn.Linear(6, 4)
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.project(x) + self.b(self.a(x)))
        x = self.norm(x) + x
        return self.fc(self.pool(x).flatten(1))


def test_any_module_is_read_by_its_graph_alone() -> None:
    drawn = blueprint("forked", Forked(), [Tap("conv1", "conv1", "stem", "", 1)], (17, 17))
    by_path = {volume.path: volume for volume in drawn.volumes if volume.op == "conv"}
    assert by_path["project"].shortcut == "projection"
    assert by_path["a"].shortcut == by_path["b"].shortcut == ""
    assert (by_path["a"].groups, by_path["a"].padding, by_path["a"].height) == (3, 1, 9)
    assert [v.shortcut for v in drawn.volumes if v.op == "add"] == ["projection", "identity"]
    assert drawn.weighted_layers == 4
    # By hand: 3·3·3·6 + 6; 3·3·2·6 + 6; 6·6 + 6; 5·5·6·6; a norm's 12; 6·4 + 4.
    assert drawn.parameters == 168 + 114 + 42 + 900 + 12 + 28 == sum(v.parameters for v in drawn.volumes)
    assert drawn.multiply_adds == 81 * (162 + 108 + 36 + 900) + 24
    assert (drawn.volumes[1].field, drawn.volumes[1].jump) == (3, 2)


def test_a_picture_too_small_is_one_sentence() -> None:
    model = models.find("alexnet")
    with torch.device("meta"):
        module = model.build(10)
    with pytest.raises(AtlasError, match=r"takes pictures of shape \(3, 20, 20\)"):
        blueprint("alexnet", module, model.taps(module), (20, 20))


def test_json_gives_the_same_back_and_damage_is_named() -> None:
    network = blueprints()["resnet18"]
    data = json.loads(json.dumps(blueprint_to_json(network)))
    assert blueprint_from_json(data) == network
    with pytest.raises(AtlasError, match=r"architecture\.json is damaged"):
        blueprint_from_json({**data, "columns": data["columns"][1:]})


# -- published figures ---------------------------------------------------------------------------------------


def test_every_published_figure_is_explained() -> None:
    explained = {(f.network, f.quantity, f.text): explanation(f) for f in FIGURES}
    assert "not explained" not in explained.values()
    assert explained["resnet50", "multiply_adds", "3.8"].endswith("3.86, which the source cuts")
    assert explained["resnet101", "multiply_adds", "7.6"].endswith("as published: 7.57")
    assert explained["resnet50", "parameters", "25.6"] == "the same"
    assert (
        explained["resnet50-caffe", "multiply_adds", "3.8"] == "the same: the source cuts instead of rounding"
    )
    assert explained["resnet34", "multiply_adds", "3.6"] == "the same: the source cuts instead of rounding"
    for name, text in (("resnet50", "23.521"), ("resnet101", "42.513"), ("resnet152", "58.157")):
        assert explained[name, "parameters", text] == f"{VARIANTS['3×3 stem and 10 outputs']}: {text}"


def test_the_caffe_network_is_the_variant_with_the_original_strides() -> None:
    variant = next(v for v in reference().variants["resnet50"] if v.name == "stride in the 1×1")
    assert blueprints()["resnet50-caffe"].multiply_adds == variant.multiply_adds


def test_cardinality_at_equal_cost_is_that_of_the_paper() -> None:
    """arXiv:1611.05431, table 2: about 70 k parameters and 0.22 · 10⁹ multiply-adds for every row."""
    rows = reference().cardinality
    assert [(row.groups, row.width) for row in rows] == [(1, 64), (2, 40), (4, 24), (8, 14), (32, 4)]
    for row in rows:
        weights = 2 * 256 * row.inner + 9 * row.inner * row.width
        assert row.block_parameters == weights
        assert row.block_multiply_adds == weights * 56 * 56
        assert 69_000 < weights < 72_000
        assert round(row.block_multiply_adds / 1e9, 2) == 0.22
    assert rows[0].parameters == blueprints()["resnet50"].parameters
    assert rows[-1].multiply_adds == blueprints()["resnext50_32x4d"].multiply_adds
    assert rows[-1].name == "32 × 4d"


# -- pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_every_volume_is_drawn_once_and_to_scale(name: str) -> None:
    network = blueprints()[name]
    figure = drawing(network, nowhere)
    projections = [shortcut.box for shortcut in figure.shortcuts if shortcut.box]
    assert len(figure.boxes) + len(projections) == len(network.volumes) - _padded(network)
    scale = Proportions.of(network)
    for box, volume in zip(
        figure.boxes, [v for v in network.volumes if not network.is_shortcut(v)], strict=True
    ):
        x, y, width, height = _front(box.front)
        assert height == pytest.approx(max(1.5, volume.height * scale.side), abs=0.06)
        assert width == pytest.approx(max(1.5, volume.channels * scale.channel), abs=0.06)
        assert 0 <= x <= x + width <= figure.width
        assert figure.top <= y <= y + height <= figure.top + figure.height
    lefts = [_front(box.front)[0] for box in figure.boxes]
    rights = [_front(box.front)[0] + _front(box.front)[2] for box in figure.boxes]
    assert all(right < left for right, left in zip(rights, lefts[1:], strict=False))
    assert len(projections) == sum(v.op == "conv" and v.shortcut == "projection" for v in network.volumes)


def _padded(network: Blueprint) -> int:
    return sum(v.op == "conv" and v.shortcut == "zero padding" for v in network.volumes)


def _front(path: str) -> tuple[float, float, float, float]:
    start, rest = path[1:].split("h", 1)
    x, y = (float(value) for value in start.split())
    width, rest = rest.split("v", 1)
    return x, y, float(width), float(rest.split("h")[0])


def test_the_table_of_he_et_al() -> None:
    rows = stage_rows(blueprints()["resnet50"], nowhere)
    table = {row.name: [(part.lines, part.repeats) for part in row.parts] for row in rows}
    assert table["stage 4"] == [(("1×1, 256", "3×3, 256", "1×1, 1024"), 6)]
    assert table["stem"] == [(("7×7, 64",), 1), (("3×3 max pool, stride 2",), 1)]
    assert [row.size for row in rows] == ["56 × 56", "56 × 56", "28 × 28", "14 × 14", "7 × 7", "1 × 1"]
    assert [row.field for row in rows][1:5] == ["35 px", "91 px", "267 px", "427 px"]
    grouped = stage_rows(blueprints()["resnext50_32x4d"], nowhere)
    assert grouped[1].parts[0].lines[1] == "3×3, 128, 32 groups"


def test_a_page_is_well_formed_escaped_and_leads_to_the_layers() -> None:
    network = blueprints()["resnet18"]
    given = blueprint_to_json(network)
    odd = given["columns"].index("path")
    given["volumes"][2][odd] = "<b>\"&'"  # a module's name is data
    odd_network = blueprint_from_json(given)
    held = {"conv1", "res2a", "res5b_branch2b"}
    page = architecture_page(
        odd_network,
        "A <net>",
        lambda n: f"{n}/index.html" if n in held else None,
        up="x",
        here="architecture",
    )
    template = environment().get_template("architecture.html")
    text = template.render(
        {
            "root": "../",
            "model": "x",
            "several": False,
            "made_from": "",
            "notice": "",
            "note": "",
            "takedown": False,
            "sprite_format": "webp",
            **vars(page),
        }
    )
    assert "<b>" not in text
    assert "A &lt;net&gt;" in text
    svg = ET.fromstring(text[text.index("<svg width") : text.index("</svg>") + 6])
    assert sum(part.tag == "title" for part in svg.iter()) == len(network.volumes)
    assert {a.get("href") for a in svg.iter("a")} == {f"{name}/index.html" for name in held}
    assert "style=" not in text
    assert not page.comparisons  # it is no longer the paper's network

"""What every stage's fingerprint holds: for each input that can change, which stages are made anew, and no others."""

from __future__ import annotations

import functools
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interrupting import stages_at_work
from small_job import rough_picture
from torch import Tensor, nn

from generator.core import hierarchy
from generator.core.progress import Reporter
from generator.core.records import Preprocessing
from generator.core.store import Store
from generator.network import models
from generator.network.call import Call, Constant, Source
from generator.network.models.model import Model, residual_taps
from generator.network.network import Network, Tap
from generator.network.ops import Step
from generator.network.residual import Magnitudes
from generator.network.tracing import trace
from generator.pictures.reading import PictureFile, PictureSet
from generator.stages import keys, profile
from generator.stages.inputs import Inputs, Start
from generator.stages.manifest import all_keys
from generator.stages.opening import open_network
from generator.stages.pipeline import compute

# -- a network of one's own, whose file can be changed -----------------------------------------------------------


class Block(nn.Module):
    def __init__(self, how: Mapping[str, Any]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=how["dilation"], dilation=how["dilation"], bias=False)
        self.bn1 = nn.BatchNorm2d(8, eps=how["eps"])
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.first_relu = how["first_relu"]

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn1(self.conv1(x))
        branch = self.bn2(self.conv2(self.relu(branch) if self.first_relu else branch))
        return self.relu(x + branch)


AS_WRITTEN = {
    "stride": 2, "pool_stride": 2, "ceil_mode": False, "pool": "max", "dilation": 1, "eps": 1e-5,
    "first_relu": True, "scale": 1, "twice": False,
}  # fmt: skip


class Own(nn.Module):
    """Equal tensor names and shapes, whatever `how` says."""

    def __init__(self, outputs: int, **how: Any) -> None:
        super().__init__()
        how = AS_WRITTEN | how
        self.conv1 = nn.Conv2d(3, 8, 3, stride=how["stride"], padding=1)
        self.relu = nn.ReLU()
        pool = nn.MaxPool2d if how["pool"] == "max" else nn.AvgPool2d
        self.pool = pool(2, stride=how["pool_stride"], **({"ceil_mode": True} if how["ceil_mode"] else {}))
        self.layer1 = nn.Sequential(Block(how), Block(how))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, outputs)
        self.scale, self.twice = how["scale"], how["twice"]

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.pool(self.relu(self.conv1(x))))
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1) * self.scale)
        return scores + scores if self.twice else scores


def own(**how: Any) -> Model:
    return Model(
        "own",
        "a network of one's own",
        build=functools.partial(Own, **how),
        taps=residual_taps,
        preprocessing=Preprocessing(36, 33, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        outputs=3,
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    path = tmp_path / "own.pt"
    torch.save(Own(3).state_dict(), path)
    return path


Change = Callable[["Ingredients"], "Ingredients"]


class Ingredients:
    """All that the inputs of a run are made of."""

    def __init__(self, folder: Path, weights: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.weights, self.patch = folder, weights, patch
        self.model = own()
        self.classes = ["ant", "bee", "cat"]
        self.hierarchy: str | None = "child,parent,name\nant,insect,\nbee,insect,\ninsect,,insects\ncat,,\n"
        self.files = [PictureFile(f"{n}.png", n % 3, ("ant", "bee", "cat")[n % 3]) for n in range(6)]
        self.digest = "of the pictures"
        self.starts = (Start(0),)
        self.sections: dict[str, dict[str, Any]] = {}
        self.name: str | None = None
        self.device = "cpu"
        self.network: Callable[[Network], Network] = lambda network: network
        self.source = "pictures"

    def open(self) -> Inputs:
        self.patch.setitem(models.MODELS, "own", self.model)
        (self.folder / "classes.txt").write_text("\n".join(self.classes))
        sections: dict[str, dict[str, Any]] = {
            "network": {"weights": str(self.weights), "classes": str(self.folder / "classes.txt")},
            "pictures": {"folder": str(self.folder)},
        }
        if self.hierarchy is not None:
            (self.folder / "tree.csv").write_text(self.hierarchy)
            sections["pictures"]["hierarchy"] = str(self.folder / "tree.csv")
        for section, values in self.sections.items():
            sections[section] = sections.get(section, {}) | values
        gradients = sections.pop("gradients", {}).get("gradients", ["guided"])
        data = {"name": "own", "network": {"model": "own"}, "gradients": gradients}
        data |= {"ascent": {"steps": 8}, "deepdream": {"pictures": [0]}}
        chosen = profile.validated(data, "test").changed(self.name, **sections)
        pictures = PictureSet(self.source, self.folder, tuple(self.files), "")
        return Inputs(
            chosen,
            self.network(open_network(chosen)),
            pictures,
            self.digest,
            keys.arithmetic(torch.device(self.device)),
            starts=self.starts,
        )


@pytest.fixture
def inputs(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Ingredients:
    return Ingredients(tmp_path, state, monkeypatch)


def _set(**values: Any) -> Change:
    def change(inputs: Ingredients) -> Ingredients:
        for name, value in values.items():
            setattr(inputs, name, value)
        return inputs

    return change


def _schema(inputs: Ingredients) -> Ingredients:
    """The program's atlases have another schema, and so their files lie elsewhere."""
    inputs.patch.setattr(keys, "SCHEMA", -1)
    return inputs


def _profile(section: str, **values: Any) -> Change:
    return _set(sections={section: values})


def _tensor(name: str, shift: float = 0.25) -> Change:
    """One number of one tensor of the weights' file is another."""

    def change(inputs: Ingredients) -> Ingredients:
        state = torch.load(inputs.weights)
        state[name].view(-1)[0] += shift
        torch.save(state, inputs.weights)
        return inputs

    return change


def _same_tensors_in_another_file(inputs: Ingredients) -> Ingredients:
    state = torch.load(inputs.weights)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": t for name, t in state.items()}}, inputs.weights)
    return inputs


def _magnitudes(inputs: Ingredients) -> Ingredients:
    """The weights before the fold are others, the folded ones the same."""

    def doubled(network: Network) -> Network:
        more = {name: Magnitudes(2 * one.convolution, one.norm) for name, one in network.magnitudes.items()}
        return replace(network, magnitudes=more)

    return _set(network=doubled)(inputs)


def _taps(change: Callable[[Tap], Tap | None]) -> Change:
    def taps(module: nn.Module) -> tuple[Tap, ...]:
        return tuple(tap for old in residual_taps(module) if (tap := change(old)) is not None)

    return _set(model=replace(own(), taps=taps))


def _preprocessing(**values: Any) -> Change:
    return _set(model=replace(own(), preprocessing=replace(own().preprocessing, **values)))


def _shipped(inputs: Ingredients) -> Ingredients:
    """Without a hierarchy of the profile's own the shipped one holds; it changes."""
    whole = hierarchy.imagenet_hierarchy()
    moved = replace(whole, parents={**whole.parents, "a new group": ""})
    inputs.patch.setattr("generator.stages.inputs.imagenet_hierarchy", lambda: moved)
    return inputs


NUMBERS = {
    "scan", "connections", "stream", "zooms", "scale truth", "sprites", "classes", "categories", "correspondence",
    "label range", "machine score", "refinement", "gradient rules", "optimised pictures", "features",
    "predictions", "embedding", "dreams", "effects",
    "randomised weights", "paths of optimised pictures", "live network",
}  # fmt: skip
BEHIND = {"features", "machine score", "classes", "refinement"}  # pictures look alike by their final features
GRAPH = NUMBERS | {"optimised stream", "all"}  # what hangs on the network's own steps
SCAN = NUMBERS | {"all"}
LABELS = {"classes", "categories", "label range", "refinement", "gradient rules", "dreams", "all"}
FILES = {"first layers", "all"}  # the weights' file, whose SHA-256 is published

CHANGES: list[tuple[str, Change, set[str]]] = [
    ("nothing", lambda inputs: inputs, set()),
    # the own model's file, with equal tensors
    ("stride", _set(model=own(stride=1)), GRAPH | {"first layers"}),
    ("dilation", _set(model=own(dilation=2)), GRAPH),
    ("eps", _set(model=own(eps=1e-2)), GRAPH),
    ("ceil mode", _set(model=own(ceil_mode=True)), GRAPH),
    ("stride of the pooling", _set(model=own(pool_stride=1)), GRAPH),
    ("kind of pooling", _set(model=own(pool="avg")), GRAPH),
    ("a ReLU less", _set(model=own(first_relu=False)), GRAPH),
    (
        "behind the last layer",
        _set(model=own(scale=2)),
        BEHIND | {"connections", "predictions", "effects", "embedding", "live network", "all"},
    ),
    # its taps
    (
        "a tap renamed",
        _taps(lambda tap: replace(tap, name="res9") if tap.name == "res2b" else tap),
        GRAPH,
    ),
    ("a tap less", _taps(lambda tap: None if tap.name == "res2a" else tap), GRAPH),
    (
        "a tap elsewhere",
        _taps(lambda tap: replace(tap, path="layer1.0") if tap.name == "res2b" else tap),
        GRAPH | {"features", "predictions"},
    ),
    # tensors
    ("a weight of the trunk", _tensor("layer1.1.conv2.weight"), GRAPH | FILES),
    ("a running mean", _tensor("layer1.0.bn1.running_mean"), GRAPH | FILES),
    (
        "a weight of the classifier",
        _tensor("fc.weight"),
        {"connections", "predictions", "effects", "live network"} | FILES,
    ),
    ("a tensor that nothing reads", _tensor("layer1.0.bn1.num_batches_tracked", 1), FILES),
    ("the file alone", _same_tensors_in_another_file, FILES),
    ("weights before the fold", _magnitudes, {"stream", "scale truth", "all"}),
    # preprocessing
    ("mean", _preprocessing(mean=(0.4, 0.5, 0.5)), GRAPH),
    ("std", _preprocessing(std=(0.4, 0.5, 0.5)), GRAPH),
    ("range", _preprocessing(value_range=255.0), GRAPH),
    ("resize", _profile("pictures", resize=40), GRAPH),
    ("crop", _profile("pictures", crop=32), GRAPH),
    # names, labels, pictures, hierarchy
    ("class names", _set(classes=["ant", "bee", "dog"]), {"effects", "all"}),
    ("head", _profile("network", head="sigmoid"), {"connections", "effects", "live network", "all"}),
    ("a label", lambda i: _set(files=[replace(i.files[0], label="bee", label_id=1), *i.files[1:]])(i), LABELS),
    ("a label's number", lambda i: _set(files=[replace(i.files[0], label_id=7), *i.files[1:]])(i), LABELS),
    ("pictures", _set(digest="of others"), SCAN),
    ("the folder's name", _set(source="elsewhere"), {"all"}),
    (
        "hierarchy",
        lambda i: _set(hierarchy=i.hierarchy.replace("cat,,", "cat,insect,"))(i),
        {"classes", "categories", "label range", "refinement", "gradient rules", "all"},
    ),
    (
        "a group's name",
        lambda i: _set(hierarchy=i.hierarchy.replace("insects", "six legs"))(i),
        {"classes", "categories", "refinement", "all"},
    ),
    # the profile
    ("name", _set(name="other"), {"all"}),
    ("layers", _profile("layers", which=["res2a", "res2b"]), GRAPH | {"first layers"}),
    (
        "channels",
        _profile("layers", channels=3),
        {
            "optimised stream", "sprites", "gradient rules", "optimised pictures", "paths of optimised pictures",
            "all",
        },
    ),
    (
        "gradients",
        _set(sections={"gradients": {"gradients": ["guided", "plain"]}}),
        {"sprites", "randomised weights", "all"},
    ),
    ("tile", _profile("sprites", tile=200), {"sprites", "gradient rules", "all"}),
    ("inner tile, without inner layers", _profile("sprites", inner_tile=50), {"all"}),
    ("picture", _profile("sprites", picture=100), {"sprites", "all"}),
    ("gradients of strips", _profile("range", gradients=True), {"sprites", "all"}),
    (
        "quality",
        _profile("sprites", quality=50),
        {"sprites", "gradient rules", "embedding", "optimised pictures", "paths of optimised pictures", "all"},
    ),
    (
        "publish_patches",
        _profile("site", publish_patches=False),
        {
            "sprites", "gradient rules", "embedding", "optimised pictures", "paths of optimised pictures", "dreams",
            "live network", "all",
        },
    ),
    ("score_pictures", _profile("compute", score_pictures=3), SCAN),
    ("precision", _profile("compute", precision="tf32"), SCAN),
    ("batch", _profile("compute", batch=64, workers=3), set()),
    ("rescaled", _profile("stream", rescaled=False), {"stream", "zooms", "scale truth", "all"}),
    ("optimised_steps", _profile("stream", optimised_steps=9), {"optimised stream", "all"}),
    ("embedding", _profile("embedding", perplexity=5.0), {"embedding", "all"}),
    ("pictures of the map", _profile("embedding", pictures=4), BEHIND | {"embedding", "all"}),
    ("no map", _profile("embedding", enabled=False), BEHIND | {"embedding", "all"}),
    ("ascent", _profile("ascent", steps=9), {"optimised pictures", "paths of optimised pictures", "all"}),
    ("dreams", _profile("deepdream", steps=3), {"dreams", "all"}),
    ("a dream's start", _set(starts=(Start(1),)), {"dreams", "all"}),
    ("device", _set(device="meta"), GRAPH),
    ("schema of the atlas", _schema, GRAPH),
]  # fmt: skip


def _changed(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, key in before.items() if after[name] != key}


@pytest.mark.parametrize(("change", "stages"), [pytest.param(*row[1:], id=row[0]) for row in CHANGES])
def test_a_change_makes_anew_what_depends_on_it_and_nothing_else(inputs, change, stages):
    before = all_keys(inputs.open())
    assert _changed(before, all_keys(change(inputs).open())) == stages


def test_the_shipped_hierarchy_counts_by_its_content(inputs):
    inputs.hierarchy = None
    before = all_keys(inputs.open())
    assert _changed(before, all_keys(_shipped(inputs).open())) == {
        "classes",
        "categories",
        "label range",
        "refinement",
        "gradient rules",
        "all",
    }


def test_the_drawn_worlds_hierarchy_and_scale_belong_to_drawn_pictures_alone(inputs):
    """The same files, named as a folder and as the program's own drawings."""
    inputs.hierarchy = None
    opened = inputs.open()
    drawn = opened.profile.model_dump()
    drawn["pictures"] |= {"folder": None, "drawn": 6}
    found = all_keys(replace(opened, profile=profile.validated(drawn, "test")))
    assert _changed(all_keys(opened), found) == {
        "scale truth",
        "classes",
        "categories",
        "label range",
        "refinement",
        "gradient rules",
        "all",
    }


def test_another_networks_first_layer_counts_by_its_numbers(inputs):
    opened = inputs.open()
    from generator.methods.kernels import first_layer

    other = first_layer(opened.network)
    one = replace(opened, other_layers=(other,))
    two = replace(opened, other_layers=(replace(other, kernels=other.kernels * 2),))
    assert _changed(all_keys(opened), all_keys(one)) == {"first layers", "all"}
    assert _changed(all_keys(one), all_keys(two)) == {"first layers", "all"}


# -- the graph's digest ------------------------------------------------------------------------------------------


def test_every_setting_of_a_step_is_in_its_digest():
    """A setting that a step gets one day is in it by itself: only names and what is hashed apart are left out."""
    from dataclasses import fields

    step = Step("conv", (0,), "here", torch.ones(2, 3, 1, 1), torch.ones(2))
    for part in fields(Step):
        value = getattr(step, part.name)
        other: Any = {
            bool: True,
            int: 7,
            float: 6.0,
            str: "other",
            tuple: (5,),
            Tensor: torch.zeros(2, 3, 1, 1),
            type(None): Call("aten.gelu.default", (Source(0),)),
        }[type(value)]
        same = replace(step, **{part.name: other}).digest == step.digest
        assert same == (part.name in ("scope", "norm", "raw", "inputs")), part.name


def test_all_of_a_call_but_the_place_of_its_positions_is_in_its_digest():
    call = Call("aten.mul.Tensor", (Source(0), Constant(0)), tensors=(torch.ones(2),))

    def digest(call: Call) -> str:
        return Step("torch", (0,), "", call=call).digest

    others: dict[str, Any] = {
        "target": "aten.add.Tensor",
        "arguments": (Constant(0), Source(0)),
        "keywords": (("alpha", 2),),
        "tensors": (torch.zeros(2),),
        "pick": 1,
    }
    for name, value in others.items():
        assert digest(replace(call, **{name: value})) != digest(call), name
    assert digest(replace(call, follows=(0,), is_local=True)) == digest(call)


def test_the_digest_knows_order_and_ends_and_no_names():
    class Two(nn.Module):
        def __init__(self, swapped: bool, name: str) -> None:
            super().__init__()
            torch.manual_seed(0)
            parts = [nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)]
            self.add_module(f"{name}1", parts[swapped])
            self.add_module(f"{name}2", parts[not swapped])
            self.parts = [f"{name}1", f"{name}2"]

        def forward(self, x: Tensor) -> Tensor:
            for part in self.parts:
                x = getattr(self, part)(x)
            return x

    graph = trace(Two(False, "a"))
    assert graph.digest([2]) == trace(Two(False, "b")).digest([2])
    assert graph.digest([2]) != trace(Two(True, "a")).digest([2])
    assert graph.digest([1]) != graph.digest([2]) != graph.digest([1, 2]) != graph.digest([2, 1])


def test_the_digest_of_a_resnet50_is_cheap():
    network = models.load("resnet50", "random")
    start = time.process_time()
    network.graph.digest(network.steps)
    assert time.process_time() - start < 0.5  # 0.1 s; room for a slow machine
    again = time.process_time()
    network.graph.digest([len(network.graph) - 1])
    assert time.process_time() - again < 0.05  # the tensors are hashed once


def test_the_digest_is_the_same_in_another_process(inputs):
    network = models.load("resnet20-cifar", "random")
    load = "n = models.load('resnet20-cifar', 'random')"
    program = f"from generator.network import models; {load}; print(n.graph.digest(n.steps))"
    there = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert there.stdout.strip() == network.graph.digest(network.steps)


# -- whole atlases -----------------------------------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(24):
        path = tmp_path / "pictures" / ("ant", "bee", "cat")[index % 3] / f"{index:02d}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        rough_picture(rng, (40, 40)).save(path)
    return tmp_path / "pictures"


def _compute(inputs: Ingredients, pictures: Path, **pictures_section: Any) -> tuple[Store, set[str]]:
    inputs.open()  # writes the files
    section = {"folder": str(pictures), **pictures_section}
    data = {
        "name": "own",
        "network": {
            "model": "own",
            "weights": str(inputs.weights),
            "classes": str(inputs.folder / "classes.txt"),
        },
        "pictures": section,
        "compute": {"workers": 0, "device": "cpu"},
    }
    reporter = Reporter(quiet=True)
    store = compute(profile.validated(data, "test"), inputs.folder / "atlas", reporter)
    return store, stages_at_work(reporter)


def _scores(store: Store) -> np.ndarray:
    return np.array(store.arrays.scores("res2b"))


@pytest.mark.slow
def test_other_class_names_and_labels_are_taken_up_without_a_new_scan(inputs, pictures, tmp_path):
    store, worked = _compute(inputs, pictures)
    assert {"scan", "map of the pictures", "sprites"} <= worked
    found = store.arrays.predictions()
    assert found is not None
    truth = np.array([("ant", "bee", "cat").index(image.label) for image in store.tables.images()])
    assert store.manifest().accuracy == pytest.approx((found[0] == truth).mean())
    before = {path: path.stat().st_mtime_ns for path in (store.folder / "scores").iterdir()}
    assert _compute(inputs, pictures)[1] == set()
    assert store.manifest().pictures.trained_on is None
    store, worked = _compute(inputs, pictures, trained_on=True)
    assert worked == set() and store.manifest().pictures.trained_on is True

    inputs.classes = ["cat", "ant", "bee"]
    store, worked = _compute(inputs, pictures)
    assert worked == {"contributions to classes"}, "those of other outputs"
    assert {path: path.stat().st_mtime_ns for path in (store.folder / "scores").iterdir()} == before
    truth = np.array([("cat", "ant", "bee").index(image.label) for image in store.tables.images()])
    assert store.manifest().accuracy == pytest.approx((found[0] == truth).mean())
    assert list(store.manifest().classes) == inputs.classes

    inputs.classes = ["dog", "ape", "bee"]
    store, worked = _compute(inputs, pictures)
    assert (worked, store.manifest().accuracy) == ({"contributions to classes"}, None)

    lines = ["path,label"] + [f"{image.path},thing {image.index % 2}" for image in store.tables.images()]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    store, worked = _compute(inputs, pictures, labels=str(tmp_path / "labels.csv"))
    assert worked <= {"gradient rules", "contributions to classes"}
    assert {image.label for image in store.tables.images()} == {"thing 0", "thing 1"}
    assert {path: path.stat().st_mtime_ns for path in (store.folder / "scores").iterdir()} == before


@pytest.mark.slow
def test_a_corrected_model_file_is_computed_again_and_ends_as_if_it_had_been_right(
    inputs, pictures, tmp_path
):
    store, _ = _compute(inputs, pictures)
    wrong = _scores(store)
    inputs.model = own(stride=1)
    store, worked = _compute(inputs, pictures)
    assert {"scan", "residual stream", "sprites", "map of the pictures"} <= worked
    assert store.manifest().layer("res2b").height == 16
    right = _scores(store)
    assert (right != wrong).any()
    fresh = Ingredients(tmp_path / "fresh", inputs.weights, inputs.patch)
    fresh.folder.mkdir()
    fresh.model = inputs.model
    np.testing.assert_array_equal(right, _scores(_compute(fresh, pictures)[0]))

    inputs.model = own(stride=1, scale=3)  # behind the last block: the scan still holds
    _, worked = _compute(inputs, pictures)
    assert worked == {"features", "contributions to classes", "predictions", "map of the pictures"}

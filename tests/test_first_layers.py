"""First layers side by side: what the numbers of a kernel say, what the atlas keeps, what the page shows."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from PIL import Image

from generator.__main__ import main
from generator.core.errors import AtlasError
from generator.core.sprites import gradient_pixels
from generator.core.store import Store
from generator.methods.kernels import colour_planes, first_layer, kernel_numbers, on_one_scale
from generator.network import models
from generator.site.chapters.first_layers import first_layers_of, first_layers_page
from generator.site.links import check_links
from generator.site.reading.atlas import Atlas
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.first_layers import write_first_layers
from generator.stages.pipeline import compute

SMALL = Path(__file__).parent / "small_atlas"


# -- the numbers ---------------------------------------------------------------------------------------------


def _grating(side: int, degrees: float) -> np.ndarray:
    """(3, side, side): grey lines in this direction, counterclockwise from the horizontal, a wave of 4 px."""
    at = np.arange(side) - (side - 1) / 2
    x, y = at[None, :], -at[:, None]
    angle = np.deg2rad(degrees)
    wave = np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / 4)
    return np.repeat((wave * np.exp(-(x**2 + y**2) / (side / 2.5) ** 2))[None], 3, axis=0)


@pytest.mark.parametrize("side", [5, 7, 11])
def test_the_direction_of_lines_is_found(side):
    angles = np.arange(0, 180, 7.5)
    found = kernel_numbers(np.stack([_grating(side, angle) for angle in angles]))
    away = (found["direction"] - angles + 90) % 180 - 90
    assert np.abs(away).max() < 4
    assert found["coherence"].min() > 0.6
    assert np.abs(found["colour"]).max() < 1e-6


def test_sobel_s_four_directions_are_found():
    sobel = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float)
    turned = np.array([[2, 1, 0], [1, 0, -1], [0, -1, -2]], float)  # an edge that climbs to the right
    kernels = np.stack([sobel, turned, sobel.T, turned[:, ::-1]])[:, None].repeat(3, axis=1)
    found = kernel_numbers(kernels)
    assert np.abs((found["direction"] - [0, 45, 90, 135] + 90) % 180 - 90).max() < 1
    assert found["coherence"].min() > 0.2  # nine weights cannot tell a direction sharply


def test_a_round_spot_has_no_direction_and_a_flat_kernel_has_nothing_to_tell_it_by():
    at = np.arange(7) - 3
    spot = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / 3)
    flat = np.ones((7, 7))
    found = kernel_numbers(np.stack([spot, flat, np.zeros((7, 7))])[:, None].repeat(3, axis=1))
    assert found["coherence"][0] < 0.01
    assert np.isnan(found["coherence"][1:]).all() and np.isnan(found["direction"][1:]).all()
    assert np.isnan(found["colour"][2]) and found["norm"].tolist() == pytest.approx(
        [(3 * (spot**2).sum()) ** 0.5, (3 * 49) ** 0.5, 0.0]
    )


def test_colour_is_the_part_that_is_not_grey_and_hue_its_axis():
    one = _grating(7, 30)[0]
    weights = {
        "red": (2, -1, -1),
        "yellow": (1, 1, -2),
        "green": (-1, 2, -1),
        "cyan": (-2, 1, 1),
        "one": (1, 0, 0),
    }
    kernels = np.stack([np.array(w, float)[:, None, None] * one for w in weights.values()])
    found = kernel_numbers(kernels)
    assert found["colour"].tolist() == pytest.approx([1, 1, 1, 1, 2 / 3])
    # An axis has no sign: red and cyan are the same.
    assert found["hue"].tolist() == pytest.approx([0, 60, 120, 0, 0], abs=1e-4)


# -- of a network --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path", "side", "stride"),
    [("resnet18", "conv1", 7, 2),
     pytest.param("alexnet", "features.0", 11, 4, marks=pytest.mark.slow),
     ("densenet121", "features.conv0", 7, 2),
     ("resnet20-cifar", "conv1", 3, 1), ("preact_resnet50", "conv1", 7, 2)],
)  # fmt: skip
def test_the_kernels_are_the_convolution_s_own(model, path, side, stride):
    found = first_layer(models.load(model, "random"))
    module = models.load_module(model, "random")
    own = module.get_submodule(path)
    assert (found.path, found.stride, found.padding) == (path, stride, own.padding[0])
    assert found.kernels.shape[1:] == (3, side, side)
    np.testing.assert_array_equal(found.kernels, own.weight.detach().numpy())


def test_the_gain_is_that_of_the_norm_behind(tmp_path):
    module = models.load_module("resnet18", "random", seed=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.bn1.weight.copy_(torch.randn(64, generator=generator))
        module.bn1.running_var.copy_(torch.rand(64, generator=generator) + 0.5)
    file = tmp_path / "r.safetensors"
    safetensors.torch.save_file(module.state_dict(), file)
    gain = (module.bn1.weight / (module.bn1.running_var + module.bn1.eps).sqrt()).detach().numpy()
    np.testing.assert_allclose(first_layer(models.load("resnet18", file)).gain, gain, rtol=1e-5)


# -- in the atlas and on the page ----------------------------------------------------------------------------


def _written(folder: Path, own: str, *others: str) -> Store:
    """The small atlas with the first layers of networks with random weights."""
    shutil.copytree(SMALL, folder)
    _write(Store(folder), own, *others)
    return Store(folder)


def _write(store: Store, own: str, *others: str) -> None:
    network = models.load(own, "random")
    others = tuple(first_layer(models.load(name, "random", seed=1)) for name in others)
    write_first_layers(SimpleNamespace(network=network, other_layers=others), SimpleNamespace(store=store))


def _pixels(store: Store, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(store.arrays.first_layer_path(name).read_bytes())).convert("RGB"))


def test_one_pixel_of_a_sheet_is_one_weight(tmp_path):
    store = _written(tmp_path / "a", "resnet20-cifar")
    kernels = store.arrays.first_layer(0)["kernels"]
    for name, tiles in (
        ("0.webp", gradient_pixels(kernels.transpose(0, 2, 3, 1).astype(np.float64))),
        ("0-common.webp", on_one_scale(kernels)),
    ):
        sheet = _pixels(store, name)
        assert sheet.shape == (12, 12, 3)
        np.testing.assert_array_equal(sheet[3:6, 6:9], tiles[6])  # 4 columns
    planes = _pixels(store, "0-planes.webp")
    np.testing.assert_array_equal(planes[3:6, 21:24], colour_planes(kernels)[6, 1])
    assert np.abs(on_one_scale(kernels).astype(int) - 127.5).max() >= 127  # the largest weight of all is full


def test_files_of_networks_that_are_named_no_more_go(tmp_path):
    store = _written(tmp_path / "a", "resnet20-cifar", "alexnet")
    assert store.arrays.first_layer_path("1.npz").exists()
    _write(store, "resnet20-cifar")
    names = {path.name for path in store.arrays.first_layer_path("").iterdir()}
    assert names == {"index.json", "0.npz", "0.webp", "0-common.webp", "0-planes.webp"}


@pytest.mark.slow
def test_networks_stand_side_by_side_each_once(tmp_path):
    one = _written(tmp_path / "a", "resnet20-cifar", "alexnet", "resnet18")
    two = _written(tmp_path / "b", "resnet32-cifar", "alexnet")
    manifest = json.loads((two.folder / "manifest.json").read_text())
    (two.folder / "manifest.json").write_text(json.dumps({**manifest, "name": "other"}))
    render_site([one.folder, two.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    shown = first_layers_of([Atlas(one.folder), Atlas(two.folder)])
    assert [layer.model for layer in shown] == [
        "resnet20-cifar", "resnet32-cifar", "alexnet", "resnet18"
    ]  # fmt: skip
    page = (tmp_path / "site" / "networks" / "first-layers.html").read_text()
    for layer in shown:
        assert layer.weights.sha256[:12] in page
        assert (tmp_path / "site" / "networks" / "first-layers" / f"{layer.key}-common.webp").exists()
    assert 'href="../small/conv1/3.html"' in page and "small/conv1/12.html" not in page  # a layer of twelve
    assert "resnet20-cifar, enlarged" in page
    assert "alexnet, enlarged" not in page
    assert "networks/first-layers.html" in (tmp_path / "site" / "index.html").read_text()


def test_an_atlas_without_them_has_no_such_page(tmp_path):
    render_site([SMALL], tmp_path / "site")
    assert not (tmp_path / "site" / "networks" / "first-layers.html").exists()
    assert "first-layers" not in (tmp_path / "site" / "networks" / "index.html").read_text()


def test_the_first_order_runs_from_grey_lines_over_colours_to_faint_ones(tmp_path):
    store = _written(tmp_path / "a", "resnet20-cifar")
    blue, grey = np.array([-1, -1, 2.0])[:, None, None], np.ones((3, 1, 1))
    spot = np.outer([1, 2, 1], [1, 2, 1])
    edge = np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float)
    kernels = np.stack([blue * spot, 0.001 * grey * edge, grey * edge.T, grey * spot, grey * edge])
    numbers = {
        "kernels": kernels.astype(np.float32),
        "gain": np.ones(5, np.float32),
        **kernel_numbers(kernels),
    }
    index = store.tables.read_json("first_layers/index.json")
    store.write_first_layers(
        {"0.npz": numbers, "0.webp": store.arrays.first_layer_path("0.webp").read_bytes()}, index
    )
    page = first_layers_page(first_layers_of([Atlas(store.folder)]))
    (orders,) = page.orders.values()
    assert orders["kind"] == [4, 2, 3, 0, 1]
    assert orders["channel"] == [0, 1, 2, 3, 4] and orders["norm"][-1] == 1 and orders["colour"][0] == 0
    (section,) = page.layers
    assert (section.counts.coloured, section.counts.directed, section.counts.faint) == (1, 2, 1)


# -- the profile ---------------------------------------------------------------------------------------------


def test_others_are_named_in_the_profile_or_on_the_command_line():
    chosen = profile.validated(
        {"name": "a", "network": {"model": "demo"}, "kernels": {"others": [{"model": "alexnet"}]}}, "test"
    )
    assert chosen.kernels.others[0].weights is None
    with pytest.raises(AtlasError, match="did you mean weights"):
        profile.validated(
            {
                "name": "a",
                "network": {"model": "demo"},
                "kernels": {"others": [{"model": "a", "weigths": "b"}]},
            },
            "test",
        )
    with pytest.raises(AtlasError, match="did you mean steps"):
        profile.validated({"name": "a", "network": {"model": "demo"}, "ascent": {"stps": 3}}, "test")
    run = CliRunner().invoke(main, ["compute", "demo", "--kernels", "alexnet=/no/such/file.pth"])
    assert run.exit_code == 1 and "no such weights file" in run.output.splitlines()[-1]
    assert "Traceback" not in run.output


@pytest.mark.slow  # a whole atlas is computed
def test_they_are_kept_with_the_atlas_and_another_choice_makes_them_alone_anew(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(pictures / f"{index}.png")
    data = {
        "name": "small",
        "network": {"model": "resnet20-cifar", "weights": "random"},
        "layers": {"which": ["conv1"]},
        "pictures": {"folder": str(pictures)},
        "compute": {"workers": 0},
    }
    alone = profile.validated(data, "test")
    file = tmp_path / "alexnet.safetensors"
    safetensors.torch.save_file(models.load_module("alexnet", "random").state_dict(), file)
    more = profile.validated(
        {**data, "kernels": {"others": [{"model": "alexnet", "weights": str(file)}] * 2}}, "test"
    )
    store = compute(alone, tmp_path / "atlas")
    assert [one["model"] for one in store.tables.read_json("first_layers/index.json")] == ["resnet20-cifar"]
    scores = store.arrays.scores_path("conv1").stat().st_mtime_ns
    compute(more, tmp_path / "atlas")
    assert [one["model"] for one in store.tables.read_json("first_layers/index.json")] == [
        "resnet20-cifar",
        "alexnet",
    ]
    assert store.arrays.scores_path("conv1").stat().st_mtime_ns == scores  # no second scan
    both = compute(more, tmp_path / "anew")
    files = sorted(both.arrays.first_layer_path("").iterdir())
    assert len(files) > 2
    for path in files:
        assert path.read_bytes() == store.arrays.first_layer_path(path.name).read_bytes()
    store.arrays.first_layer_path("1.npz").write_bytes(b"damaged")
    compute(more, tmp_path / "atlas")
    assert (
        store.arrays.first_layer_path("1.npz").read_bytes()
        == both.arrays.first_layer_path("1.npz").read_bytes()
    )

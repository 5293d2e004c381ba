"""DeepDream: the gradient, the octaves and the stage, against plain loops over torchvision's own module."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from generator.core.errors import AtlasError
from generator.core.store import Pictures, Store
from generator.methods.deepdream import Dreamer, DreamPlan
from generator.network import models
from generator.network.network import Network
from generator.site.links import check_links
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.dreams import open_starts
from generator.stages.pipeline import compute
from generator.stages.profile import Profile

SIDE = 48


@pytest.fixture(scope="module")
def network() -> Network:
    return models.load("resnet18", "random").to("cpu", torch.float64)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return models.load_module("resnet18", "random").double().eval()


def _until(module: nn.Module, block: str) -> nn.Sequential:
    """torchvision's own modules up to a block, run one after the other."""
    stage, _, index = block.partition(".")
    parts: list[nn.Module] = [module.conv1, module.bn1, module.relu, module.maxpool]
    for name in ("layer1", "layer2", "layer3", "layer4"):
        blocks = list(getattr(module, name))
        if name == stage:
            return nn.Sequential(*parts, *blocks[: int(index) + 1])
        parts += blocks
    raise AssertionError(block)


def _picture(seed: int, side: int = SIDE) -> Tensor:
    """(side, side, 3) uint8, smooth."""
    rough = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return torch.from_numpy(np.array(Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC)))


def _normalised(x: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=x.dtype)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=x.dtype)[:, None, None]
    return (x - mean) / std


def _oracle_gradient(body: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_(True)
    energy = body(_normalised(x)).square().sum() / 2
    (gradient,) = torch.autograd.grad(energy, x)
    return gradient


def _as_input(pixels: Tensor) -> Tensor:
    return pixels.permute(2, 0, 1)[None].double() / 255


# -- the method ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "path"), [("res2a", "layer1.0"), ("res3b", "layer2.1"), ("res5a", "layer4.0")]
)
def test_the_gradient_is_that_of_half_the_squared_activations(network, module, layer, path):
    dreamer = Dreamer(network, layer, DreamPlan(SIDE, octaves=1))
    x = _as_input(_picture(0))
    gradient, maps = dreamer.gradient(dreamer.passes[-1], x)
    body = _until(module, path)
    torch.testing.assert_close(maps, body(_normalised(x)).detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, _oracle_gradient(body, x), rtol=1e-7, atol=1e-9)


def test_one_octave_without_jitter_is_a_plain_loop(network, module):
    plan = DreamPlan(SIDE, octaves=1, steps=4, step_size=2.0, jitter=0)
    pixels = _picture(1)
    found = Dreamer(network, "res3a", plan).dream(pixels)
    body, x = _until(module, "layer2.0"), _as_input(pixels)
    before = body(_normalised(x)).detach().square().mean().sqrt()
    for _ in range(4):
        gradient = _oracle_gradient(body, x)
        x = (x + 2 / 255 * gradient / gradient.abs().mean()).clamp(0, 1)
    np.testing.assert_array_equal(found.picture.numpy(), (x[0].permute(1, 2, 0) * 255).round().byte().numpy())
    assert found.before == pytest.approx(float(before))


def test_octaves_carry_their_detail_as_the_notebook_does(network, module):
    plan = DreamPlan(SIDE, octaves=3, octave_scale=1.3, steps=2, jitter=5, seed=4)
    dreamer, pixels = Dreamer(network, "res2b", plan), _picture(2)
    moves: list[tuple[int, int]] = []
    roll = torch.roll

    def listening(x, shifts, dims):
        moves.append(shifts)
        return roll(x, shifts, dims)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "roll", listening)
        found = dreamer.dream(pixels)
    there, back = moves[::2], moves[1::2]
    assert len(there) == 6 and all(a == tuple(-b for b in c) for a, c in zip(there, back, strict=True))
    assert all(abs(b) <= 5 for move in there for b in move) and len(set(there)) > 1

    def sized(x, side):
        return F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)

    # dream.ipynb: octaves from large to small; detail = what the octave made less its base, enlarged to the next.
    body, bases = _until(module, "layer1.1"), [_as_input(pixels)]
    for side in (37, 28):  # 48 / 1.3, 48 / 1.3²
        bases.append(sized(bases[-1], side))
    assert plan.sizes == [(28, 28), (37, 37), (48, 48)]
    detail, steps = torch.zeros_like(bases[-1]), iter(there)
    for base in reversed(bases):
        x = base + sized(detail, base.shape[-1])
        for _ in range(2):
            down, right = next(steps)
            x = x.roll((down, right), (2, 3))
            gradient = _oracle_gradient(body, x)
            x = (x + 1.5 / 255 * gradient / gradient.abs().mean()).clamp(0, 1)
            x = x.roll((-down, -right), (2, 3))
        detail = x - base
    wrong = np.abs(found.picture.numpy().astype(int) - (x[0].permute(1, 2, 0) * 255).round().numpy())
    assert wrong.max() <= 1 and (wrong > 0).mean() < 0.001


@pytest.mark.parametrize("layer", ["conv1", "res2b", "res4a"])
def test_a_dream_strengthens_its_layer(network, layer):
    dreamer, pixels = Dreamer(network, layer, DreamPlan(SIDE, octaves=2, steps=5)), _picture(3)
    found = dreamer.dream(pixels)
    assert found.after > 1.05 * found.before > 0
    # The same changes at other pixels do not.
    change = (found.picture.double() - pixels.double()).flatten(0, 1)
    order = np.random.default_rng(0).permutation(len(change))
    elsewhere = (pixels.double() + change[order].reshape(pixels.shape)).clamp(0, 255)
    assert found.after > 1.05 * dreamer.strength(_as_input(elsewhere))


def test_a_step_changes_a_pixel_as_much_as_it_says(network):
    dreamer, pixels = (
        Dreamer(network, "res2a", DreamPlan(SIDE, octaves=1, steps=1, step_size=3.0)),
        _picture(4),
    )
    middle = (pixels.float() / 4 + 96).byte()  # far from black and white
    change = (dreamer.dream(middle).picture.double() - middle.double()).abs().mean()
    assert float(change) == pytest.approx(3.0, rel=0.05)


def test_the_same_seed_gives_the_same_dream_and_another_another(network):
    def dream(seed: int) -> bytes:
        plan = DreamPlan(SIDE, octaves=2, steps=2, seed=seed)
        return Dreamer(network, "res2b", plan).dream(_picture(5)).picture.numpy().tobytes()

    assert dream(0) == dream(0) != dream(1)


def test_a_silent_layer_leaves_the_picture_as_it_is(network):
    dreamer = Dreamer(network, "res2a", DreamPlan(SIDE, octaves=2, steps=2))
    pixels = _picture(6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Dreamer, "gradient", lambda self, walk, x: (torch.zeros_like(x), torch.zeros(1, dtype=x.dtype))
        )
        found = dreamer.dream(pixels)
    assert found.after == pytest.approx(found.before, rel=1e-6)
    np.testing.assert_array_equal(found.picture.numpy(), pixels.numpy())


def test_octaves_that_do_not_fit_are_said_in_one_sentence():
    with pytest.raises(AtlasError, match="smallest of 8 octaves would be 9 px wide"):
        _ = DreamPlan(96, octaves=8).sizes


# -- the stage -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(5):
        Image.fromarray(_picture(index, 40).numpy()).save(folder / f"{index}.png")
    return folder


def _profile(folder: Path, publish: bool = True, **dreams: object) -> Profile:
    section = {"pictures": [1, 3], "layers": ["conv1", "res3a"], "octaves": 2, "steps": 2, **dreams}
    data = {
        "name": "small",
        "network": {"model": "resnet20-cifar", "weights": "random"},
        "layers": {"which": ["conv1", "res2a", "res3a"]},
        "pictures": {"folder": str(folder)},
        "compute": {"workers": 0},
        "stream": {"enabled": False},
        "site": {"publish_patches": publish},
        "deepdream": section,
    }
    return profile.validated(data, "test")


def _bytes(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def atlas(pictures, tmp_path_factory) -> Store:
    return compute(_profile(pictures), tmp_path_factory.mktemp("atlas") / "small")


def _dreams(store: Store) -> dict[str, str]:
    """By picture and layer, the bytes of its file."""
    index = store.tables.read_json("deepdream/index.json")
    return {
        f"{picture['name']} {dream['layer']}": hashlib.sha256(
            store.pictures.dream_path(dream["file"]).read_bytes()
        ).hexdigest()
        for picture in index["pictures"]
        for dream in picture["dreams"]
    }


@pytest.mark.slow  # whole atlases are computed
def test_the_atlas_holds_each_dream_with_its_settings(atlas):
    index = atlas.tables.read_json("deepdream/index.json")
    assert index["settings"] == {
        "side": 32, "octaves": 2, "octave_scale": 1.4, "steps": 2, "step_size": 1.5, "jitter": 32, "seed": 0,
        "sides": [23, 32], "quality": 85,
    }  # fmt: skip
    assert [picture["number"] for picture in index["pictures"]] == [1, 3]
    for picture in index["pictures"]:
        assert [dream["layer"] for dream in picture["dreams"]] == ["conv1", "res3a"]
        for dream in picture["dreams"]:
            assert dream["after"] > dream["before"]
            assert Image.open(atlas.pictures.dream_path(dream["file"])).size == (32, 32)


@pytest.mark.slow
def test_interrupted_and_in_other_company_a_dream_is_the_same(atlas, pictures, tmp_path, monkeypatch):
    shutil.copytree(atlas.folder, tmp_path / "small")
    store, written = Store(tmp_path / "small"), []
    for path in [*store.pictures.dream_path("").iterdir()]:  # as if the run had come this far
        path.unlink()
    whole = Pictures.write_dream

    def interrupted(self, key, *content):
        whole(self, key, *content)
        written.append(key)
        if len(written) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Pictures, "write_dream", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compute(_profile(pictures), store.folder)
    assert not store.exists()
    with monkeypatch.context() as patch:
        patch.setattr(
            Pictures, "write_dream", lambda self, key, *c: (written.append(key), whole(self, key, *c))
        )
        compute(_profile(pictures), store.folder)
    assert len(written) == len(set(written)) == 4  # none was made twice
    assert _bytes(store.folder) == _bytes(atlas.folder)
    more = compute(_profile(pictures, pictures=[0, 3, str(pictures / "1.png")]), store.folder)
    assert {name: found for name, found in _dreams(more).items() if name[0] in "13"} == _dreams(atlas)


@pytest.mark.slow
def test_a_damaged_dream_is_made_again(atlas, pictures, tmp_path):
    shutil.copytree(atlas.folder, tmp_path / "small")
    store = Store(tmp_path / "small")
    file = store.tables.read_json("deepdream/index.json")["pictures"][0]["dreams"][1]["file"]
    store.pictures.dream_path(file).write_bytes(b"damaged")
    compute(_profile(pictures), store.folder)
    assert _bytes(store.folder) == _bytes(atlas.folder)


@pytest.mark.slow
def test_the_site_shows_each_start_beside_its_dreams(atlas, tmp_path):
    render_site([atlas.folder], tmp_path / "site")
    assert check_links(tmp_path / "site") == []
    page = (tmp_path / "site" / "small" / "deepdream.html").read_text()
    index = atlas.tables.read_json("deepdream/index.json")
    for picture in index["pictures"]:
        for file in (picture["start"], *(dream["file"] for dream in picture["dreams"])):
            assert f'src="deepdream/{file}"' in page
            assert (tmp_path / "site" / "small" / "deepdream" / file).exists()
    assert page.index("conv1/index.html") < page.index("res3a/index.html")
    assert "deepdream.html" in (tmp_path / "site" / "small" / "index.html").read_text()


@pytest.mark.slow
def test_pictures_of_the_set_are_left_out_where_none_may_be_published(atlas, pictures, tmp_path):
    own = tmp_path / "own <b>.png"
    Image.fromarray(_picture(9, 50).numpy()).save(own)
    copied = tmp_path / "copied.png"
    shutil.copyfile(pictures / "2.png", copied)
    chosen = _profile(pictures, publish=False, pictures=[1, str(copied), str(own)])
    store = compute(chosen, tmp_path / "small")
    assert [picture["name"] for picture in store.tables.read_json("deepdream/index.json")["pictures"]] == [
        "own <b>.png"
    ]
    render_site([store.folder], tmp_path / "site")
    page = (tmp_path / "site" / "small" / "deepdream.html").read_text()
    assert "own &lt;b&gt;.png" in page and "<b>.png" not in page
    none = compute(_profile(pictures, publish=False, pictures=[1]), tmp_path / "small")
    assert not none.pictures.dream_path("").exists()
    render_site([none.folder], tmp_path / "site")
    assert not (tmp_path / "site" / "small" / "deepdream.html").exists()


# -- bad settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pictures": []}, "deepdream.pictures in the profile"),
        ({"octave_scale": 1.0}, "deepdream.octave_scale in the profile"),
        ({"steps": 0}, "deepdream.steps in the profile"),
        ({"layer": "res2a"}, "did you mean layers"),
    ],
)
def test_a_wrong_setting_is_named(pictures, wrong, said):
    with pytest.raises(AtlasError, match=said):
        _profile(pictures, **wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pictures": ["/no/such.png"]}, "cannot be read"),
        ({"pictures": [__file__]}, "not a picture"),
        ({"octaves": 9}, "smallest of 9 octaves"),
        ({"layers": ["res9z"]}, "unknown layer"),
    ],
)
def test_what_cannot_be_dreamt_is_said_before_anything_is_computed(pictures, tmp_path, wrong, said):
    with pytest.raises(AtlasError, match=said) as caught:
        compute(_profile(pictures, **wrong), tmp_path / "small")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "small" / "scan.json").exists()


def test_a_folder_names_all_its_pictures(pictures, network):
    starts = open_starts(_profile(pictures, pictures=[4, str(pictures)]).deepdream, network)
    assert [start.number for start in starts] == [4, None, None, None, None, None]
    assert [start.path and start.path.name for start in starts][1:] == [f"{n}.png" for n in range(5)]

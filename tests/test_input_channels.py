"""Networks that read other pictures than colour squares: grey, transparency, four channels, rectangles, small and large
sizes."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gradient_oracle import PICKS, framed, layer_maps, randomise, relative_error, resnet_taps
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models.resnet import BasicBlock

from generator.core.errors import AtlasError
from generator.core.records import ASSUMED, Preprocessing, Size, WeightsInfo, manifest_from_json, to_json
from generator.core.sprites import GROUND, as_colours, seen_side, shrink
from generator.core.sprites import framed as squared
from generator.engine.ascent.ascent import AscentPlan, ascend
from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.gradients.crop_cost import ForwardCosts
from generator.engine.gradients.unit_gradients import UnitGradients, Units, forward_switches
from generator.engine.scan.plan import FORWARD_BATCH, forward_batch
from generator.methods.explaining import explain
from generator.methods.gradients import gradient_tiles, saliency_tiles
from generator.methods.kernels import first_kernels, first_layer, kernel_numbers
from generator.methods.patches import patch
from generator.network import models
from generator.network.channels import of_channels
from generator.network.models.model import IMAGENET, Model, residual_taps
from generator.network.network import Network
from generator.pictures.decoding import PictureError, read_picture
from generator.site.render import render_site
from generator.stages import profile
from generator.stages.pipeline import compute
from generator.stages.preprocessing import prepared

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


class Small(nn.Module):
    """A residual network of four blocks with torchvision's attribute names."""

    def __init__(self, channels: int, outputs: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5, stride=2, padding=2, bias=False)
        self.bn1, self.relu = nn.BatchNorm2d(6), nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(6, 6), BasicBlock(6, 6))
        shorter = nn.Sequential(nn.Conv2d(6, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.layer2 = nn.Sequential(BasicBlock(6, 8, 2, shorter), BasicBlock(8, 8))
        self.layer3, self.layer4 = nn.Sequential(), nn.Sequential()
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(8, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def plain(channels: int, size: Size) -> Preprocessing:
    return Preprocessing(0, size, (0.5,) * channels, (0.25,) * channels)


def network_of(module: nn.Module, channels: int, size: Size) -> Network:
    weights = WeightsInfo("random", "", True)
    taps = tuple(resnet_taps(module)[0])
    return Network.from_module("small", module, taps, plain(channels, size), weights).to("cpu", torch.float64)


# -- decoding ---------------------------------------------------------------------------------------------------------


def noise(channels: int, width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(channels).integers(0, 256, (height, width, channels), np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[:, :, 0])


@pytest.mark.parametrize(
    ("channels", "name", "made"),
    [
        (1, "grey.png", lambda: noise(1)),
        (1, "colour.png", lambda: noise(3)),
        (1, "cmyk.tif", lambda: noise(3).convert("CMYK")),
        (1, "palette.gif", lambda: noise(3).quantize(40)),
        (2, "grey-alpha.png", lambda: noise(2)),
        (2, "grey-alpha.tif", lambda: noise(2)),
        (4, "alpha.png", lambda: noise(4)),
        (4, "alpha.tif", lambda: noise(4)),
        (4, "cmyk.tif", lambda: noise(3).convert("CMYK")),
    ],
)
def test_a_picture_has_the_networks_channels_as_pillow_and_torchvision_give_them(
    tmp_path: Path, channels: int, name: str, made: Callable[[], Image.Image]
) -> None:
    path = tmp_path / name
    made().save(path)
    with Image.open(path) as opened:
        image = opened.convert("L") if channels == 1 else opened.copy()
    steps = transforms.Compose([transforms.Resize(24), transforms.CenterCrop((20, 28))])
    expected = np.asarray(steps(image)).reshape(20, 28, channels)
    found = read_picture(path, replace(plain(channels, (20, 28)), resize=24)).pixels
    assert found.shape == (20, 28, channels)
    assert (found == expected).all()


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16), np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    found = read_picture(tmp_path / "deep.png", plain(1, (16, 16))).pixels[:, :, 0]
    assert (found == np.round(deep / 65535 * 255)).all()


def test_transparency_is_laid_on_white_for_grey_and_kept_as_a_channel(tmp_path: Path) -> None:
    Image.new("LA", (16, 16), (10, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", plain(1, (16, 16))).pixels == 255).all()
    assert (read_picture(tmp_path / "clear.png", plain(2, (16, 16))).pixels == (10, 0)).all()
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.save(tmp_path / "palette.png", transparency=1)
    assert (read_picture(tmp_path / "palette.png", plain(4, (16, 16))).pixels == (10, 20, 30, 0)).all()


def tiff(pixels: np.ndarray, extra: list[int]) -> bytes:
    """A TIFF of 8-bit samples, the fourth and later ones of the kinds `extra` (0: not said)."""
    height, width, samples = pixels.shape
    data = pixels.tobytes()
    # Tag, type (3: two bytes, 4: four), values.
    entries = [(256, 3, [width]), (257, 3, [height]), (258, 3, [8] * samples), (259, 3, [1]), (262, 3, [2])]
    entries += [
        (273, 4, [8]),
        (277, 3, [samples]),
        (278, 3, [height]),
        (279, 4, [len(data)]),
        (338, 3, extra),
    ]
    behind = 8 + len(data) + 2 + 12 * len(entries) + 4
    table, rest = struct.pack("<H", len(entries)), b""
    for tag, kind, values in entries:
        raw = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(raw) > 4:
            raw, rest = struct.pack("<I", behind + len(rest)), rest + raw
        table += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + table + bytes(4) + rest


@pytest.mark.parametrize(
    ("channels", "made", "said"),
    [
        (2, noise(1), "the file has 1 channel (grey), the network reads 2: grey and transparency"),
        (2, noise(4), "the file has 4 channels (RGBA), the network reads 2: grey and transparency"),
        (
            4,
            noise(3),
            "the file has 3 channels (red, green, blue), the network reads 4: red, green, blue and transparency, or "
            "CMYK",
        ),
        (4, noise(2), "the file has 2 channels (grey and transparency), the network reads 4"),
        (4, noise(3).quantize(20), "the file has 3 channels (colours of a palette), the network reads 4"),
        (5, noise(4), "the file has 4 channels (RGBA), the network reads 5"),
    ],
)
def test_other_channels_are_one_sentence(tmp_path: Path, channels: int, made: Image.Image, said: str) -> None:
    made.save(tmp_path / "a.png")
    with pytest.raises(PictureError) as caught:
        read_picture(tmp_path / "a.png", plain(channels, (16, 16)))
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("samples", "extra"), [(4, [0]), (5, [0, 0])])
def test_channels_that_pillow_leaves_out_are_named(tmp_path: Path, samples: int, extra: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, samples), np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff(pixels, extra))
    said = f"the file has {samples} channels, of which 3 channels .red, green, blue. can be read"
    with pytest.raises(PictureError, match=said):
        read_picture(tmp_path / "a.tif", plain(4, (16, 16)))
    colours = read_picture(tmp_path / "a.tif", plain(3, (16, 16))).pixels
    assert (colours == pixels[:, :, :3]).all()
    (tmp_path / "b.tif").write_bytes(tiff(pixels[:, :, :4], [2]))  # the fourth is transparency
    assert (read_picture(tmp_path / "b.tif", plain(4, (16, 16))).pixels == pixels[:, :, :4]).all()


# -- preprocessing ----------------------------------------------------------------------------------------------------


def test_mean_and_std_of_other_channels_are_a_guess_that_is_said() -> None:
    assert of_channels(IMAGENET, 3) is IMAGENET
    known = replace(IMAGENET, source=f"{ASSUMED}ImageNet's mean and std")
    grey = of_channels(known, 1)
    assert grey.mean == pytest.approx((np.mean(IMAGENET.mean),), abs=1e-4)
    assert grey.std == pytest.approx((np.mean(IMAGENET.std),), abs=1e-4)
    assert grey.assumption.startswith("ImageNet's mean and std (averaged over 3 colours) were assumed")
    four = of_channels(replace(known, value_range=255.0), 4)
    assert (four.mean, four.std) == ((127.5,) * 4, (127.5,) * 4)
    assert four.assumption.startswith("mean and std of 127.5 in every channel were assumed")


@pytest.mark.slow
def test_the_profile_gives_one_mean_and_std_for_each_channel() -> None:
    network = network_of(randomise(Small(1)), 1, (16, 16))
    chosen = profile.validated(
        {
            "name": "a",
            "network": {"model": "demo"},
            "pictures": {"mean": [0.3], "std": [0.2], "crop": [16, 24]},
        },
        "",
    ).pictures
    given = prepared(network, chosen)
    assert (given.preprocessing.mean, given.preprocessing.std) == ((0.3,), (0.2,))
    assert [(layer.height, layer.width) for layer in given.layers[:1]] == [(8, 12)]
    pixels = torch.arange(16 * 24).reshape(1, 16, 24, 1).to(torch.uint8)
    expected = (pixels.double() / 255 - 0.3) / 0.2
    torch.testing.assert_close(given.prepare(pixels), expected.permute(0, 3, 1, 2))
    wrong = chosen.model_copy(update={"mean": [0.3, 0.3, 0.3]})
    with pytest.raises(AtlasError, match="mean has 3 numbers, the network reads 1 channel: "):
        prepared(network, wrong)


def test_a_network_of_more_channels_than_files_hold_is_refused() -> None:
    network = network_of(randomise(Small(6)), 6, (16, 16))
    with pytest.raises(AtlasError, match="the network reads 6 channels, picture files hold 4 at most"):
        prepared(network, profile.PicturesSection())


def test_a_rectangle_survives_the_manifest_and_a_square_is_one_number() -> None:
    assert Preprocessing(0, (32, 32), (0.5,), (0.5,)).crop == 32
    with (Path(__file__).parent / "small_atlas" / "manifest.json").open() as file:
        manifest = manifest_from_json(json.load(file))
    assert isinstance(to_json(manifest)["preprocessing"]["crop"], int)
    given = replace(manifest, preprocessing=Preprocessing((30, 40), (20, 30), (0.5,), (0.5,)))
    read = manifest_from_json(json.loads(json.dumps(to_json(given))))
    assert read.preprocessing == given.preprocessing and read.preprocessing.size == (20, 30)


# -- gradients and windows on rectangles ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("channels", "size"), [(1, (24, 40)), (2, (40, 24)), (3, (37, 64)), (4, (16, 16)), (1, (72, 90))]
)
def test_unit_gradients_agree_with_autograd_at_the_border_and_inside(channels: int, size: Size) -> None:
    """In float64, from a forward pass of the whole picture and from crops."""
    module = randomise(Small(channels), seed=channels)
    network = network_of(module, channels, size)
    watched = resnet_taps(module)[1]
    pictures = torch.from_numpy(np.random.default_rng(5).standard_normal((2, channels, *size)))
    switches = forward_switches(network, pictures)
    for rule in ("plain", "guided"):
        engine = UnitGradients(network, rule)
        x = pictures.clone().requires_grad_(True)
        maps, _ = layer_maps(module, x, rule, watched)
        for layer in network.layers:
            spots = [pick(layer.height, layer.width) for pick in PICKS]
            picture = torch.arange(len(spots)) % 2
            rows, columns = torch.tensor(spots).T
            units = Units(picture, torch.arange(len(spots)) % layer.channels, rows, columns)
            shared = engine.gradients(switches, layer.name, units)
            alone = engine.unshared(pictures, layer.name, units)
            for n, (row, column) in enumerate(spots):
                value = maps[layer.name][picture[n], units.channel[n], row, column]
                (gradient,) = torch.autograd.grad(value, x, retain_graph=True)
                expected = framed(gradient[picture[n]], layer.receptive_field, row, column)
                if expected.abs().max() > 0:
                    assert relative_error(shared[n], expected) < 1e-10, (layer.name, row, column)
                    assert relative_error(alone[n], expected) < 1e-10, (layer.name, row, column)
                else:
                    assert not shared[n].any() and not alone[n].any()


def test_gradients_by_torch_agree_with_autograd_on_a_rectangle() -> None:
    """A normalisation over positions has no window: torch runs the whole network."""
    size, channels = (24, 40), 2
    module = Small(channels)
    for part in (module, *module.layer1, *module.layer2):
        for name in ("bn1", "bn2"):
            if hasattr(part, name):
                setattr(part, name, nn.GroupNorm(2, getattr(part, name).num_features))
    module = randomise(module)
    taps = tuple(tap for tap in resnet_taps(module)[0] if tap.kind == "block")
    network = Network.from_module(
        "small", module, taps, plain(channels, size), WeightsInfo("random", "", True)
    )
    network = network.to("cpu", torch.float64)
    pictures = torch.from_numpy(np.random.default_rng(5).standard_normal((2, channels, *size)))
    x = pictures.clone().requires_grad_(True)
    maps, _ = layer_maps(module, x, "guided", {tap.name: (tap.path, False) for tap in taps})
    switches, engine = forward_switches(network, pictures), UnitGradients(network, "guided")
    for layer in network.layers:
        assert not network.graph.is_windowed(network.step(layer.name))
        for row, column in (pick(layer.height, layer.width) for pick in PICKS):
            units = Units(*(torch.tensor([value]) for value in (1, 3, row, column)))
            (gradient,) = torch.autograd.grad(maps[layer.name][1, 3, row, column], x, retain_graph=True)
            expected = framed(gradient[1], layer.receptive_field, row, column)
            found = engine.gradients(switches, layer.name, units)[0]
            assert (found - expected).abs().max() <= 1e-10 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(("channels", "size"), [(1, (40, 64)), (4, (50, 33))])
def test_windows_on_a_rectangle_are_those_of_the_whole_picture(channels: int, size: Size) -> None:
    network = network_of(randomise(Small(channels)), channels, size)
    picture = torch.from_numpy(np.random.default_rng(1).standard_normal((1, channels, *size)))
    for name in ("conv1", "layer1.1", "layer2.0", "layer2.1"):
        top, layer = network.step(name), network.layer(name)
        whole = next(output for index, output in network.graph.run(picture) if index == top).clone()
        for pick in PICKS:
            row, column = pick(layer.height, layer.width)
            walk = WindowedForward(network.graph, top, size, (row, column))
            rows, columns = (slice(window.low, window.end) for window in walk.frame)
            seen = picture[:, :, rows, columns].clone().requires_grad_(True)
            found = walk(seen)[:, :, 0, 0]
            torch.testing.assert_close(found, whole[:, :, row, column], rtol=1e-10, atol=1e-10)
            x = picture.clone().requires_grad_(True)
            full = WindowedForward(network.graph, top, size)(x)[0, :, row, column].sum()
            (expected,) = torch.autograd.grad(full, x)
            (own,) = torch.autograd.grad(found.sum(), seen)
            torch.testing.assert_close(own, expected[:, :, rows, columns], rtol=1e-10, atol=1e-12)


def test_costs_of_crops_count_both_sides() -> None:
    """The multiply-adds of the convolutions, counted on the maps of a real forward pass."""
    size = (30, 90)
    network = network_of(randomise(Small(1)), 1, size)
    blank = torch.zeros(1, 1, *size, dtype=torch.float64)
    counted = 0
    for index, output in network.graph.run(blank):
        step = network.graph.steps[index]
        if step.op == "conv":
            assert step.weight is not None
            counted += output[0].numel() * step.weight[0].numel()
    assert ForwardCosts(network).whole(len(network.layers) - 1) == counted


def test_optimised_pictures_of_a_rectangle_have_its_shape_and_channels() -> None:
    size = (24, 40)
    network = network_of(randomise(Small(2)), 2, size)
    found = ascend(network, "layer2.1", [0, 1], AscentPlan(steps=12, batch=2))
    assert found.pictures.shape == (2, 2, *size) and found.whole().shape == (2, 2, *size)
    middle = network.layer("layer2.1")
    x = (found.pictures.double() - 0.5) / 0.25
    maps = next(out for i, out in network.graph.run(x) if i == network.step("layer2.1"))
    expected = maps[torch.arange(2), torch.arange(2), middle.height // 2, middle.width // 2]
    torch.testing.assert_close(found.value.double(), expected)


# -- what is shown ----------------------------------------------------------------------------------------------------


def test_channels_become_colours() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 4), np.uint8)
    assert (as_colours(pixels[..., :1]) == pixels[..., :1]).all() and as_colours(pixels[..., :1]).shape[
        -1
    ] == 3
    two = as_colours(pixels[..., :2])
    assert (two[..., :2] == pixels[..., :2]).all() and not two[..., 2].any()
    assert as_colours(pixels[..., :3]) is not None and (as_colours(pixels) == pixels[..., :3]).all()


def test_a_rectangle_lies_in_the_middle_of_its_tile() -> None:
    module = randomise(Small(1))
    network = network_of(module, 1, (24, 48))
    field = network.layer("layer2.1").receptive_field
    assert field.side > 24 and seen_side(field.side, (24, 48)) == 48
    pixels = np.random.default_rng(0).integers(0, 256, (24, 48, 1), np.uint8)
    tile = patch(pixels, field, 0, 0, 48)
    assert (tile[12:36] == pixels).all() and (tile[:12] == GROUND).all() and (tile[36:] == GROUND).all()
    gradients = torch.zeros(1, 1, 24, 48)
    gradients[0, 0, 3, 4] = 2.0
    shown = gradient_tiles(gradients, 48)[0]
    assert (shown[15, 4] == 255).all() and (np.delete(shown.reshape(-1, 3), 15 * 48 + 4, 0) == GROUND).all()
    bright = saliency_tiles(gradients, 48)[0]
    assert (bright[15, 4] == 255).all() and (bright[:12] == GROUND).all() and not bright[12, 1:].any()
    small = shrink(np.repeat(pixels, 3, 2), 24)
    assert small.shape == (12, 24, 3) and squared(small).shape == (24, 24, 3)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_kernels_of_other_channels_are_pictures_without_colour_numbers(channels: int) -> None:
    network = network_of(randomise(Small(channels)), channels, (16, 16))
    pixels, kernels = first_kernels(network), first_layer(network).kernels
    assert pixels.shape == (6, 5, 5, 3) and kernels.shape == (6, channels, 5, 5)
    if channels == 1:
        scaled = kernels[:, 0] / np.abs(kernels).max((1, 2, 3))[:, None, None] * 0.5 + 0.5
        assert (pixels == np.floor(scaled * 255 + 0.5)[..., None]).all()
    numbers = kernel_numbers(kernels)
    assert np.isnan(numbers["colour"]).all() and np.isnan(numbers["hue"]).all()
    np.testing.assert_allclose(numbers["norm"], np.sqrt((kernels**2).sum((1, 2, 3))), rtol=1e-6)


@pytest.mark.slow
def test_large_pictures_run_in_small_forwards_and_all_others_as_before() -> None:
    module = models.blank("resnet50")
    taps = models.find("resnet50").taps(module)
    by_side = {}
    for side in (224, 512, 1024):
        of_side = replace(IMAGENET, resize=side, crop=side)
        network = Network.from_module("resnet50", module, taps, of_side, WeightsInfo("random", "", True))
        by_side[side] = forward_batch(network, "cpu"), forward_batch(network, "cuda")
    assert by_side[224] == by_side[512] == (FORWARD_BATCH["cpu"], FORWARD_BATCH["cuda"])
    # Its largest map has 64 channels at half the side.
    assert by_side[1024][0] * 64 * 512 * 512 * 4 <= 1 << 29


# -- whole atlases ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], str]:
    """Registers a network of so many channels and gives its name."""

    def register(channels: int) -> str:
        entry = Model(
            f"small{channels}",
            "Small",
            build=lambda outputs: Small(channels, outputs),
            taps=residual_taps,
            preprocessing=plain(3, (32, 32)),
            outputs=2,
        )
        monkeypatch.setitem(models.MODELS, entry.name, entry)
        return entry.name

    return register


def pictures(folder: Path, channels: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(2)
    for index in range(12):
        rough = rng.integers(0, 256, (4, 5, channels), np.uint8)
        image = Image.fromarray(rough if channels > 1 else rough[:, :, 0])
        assert image.mode == MODES[channels]
        image.resize((50, 40), Image.Resampling.BICUBIC).save(folder / f"{'ab'[index % 2]}{index:02d}.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("channels", "crop", "shown"),
    [
        (1, [24, 40], "shown in grey"),
        (2, [32, 24], "shown in false colour: grey as red, transparency as green"),
        (4, 16, "their first three channels make as red, green and blue"),
    ],
)
def test_an_atlas_of_other_pictures_from_files_to_pages(
    tmp_path: Path, small: Callable[[int], str], channels: int, crop: int | list[int], shown: str
) -> None:
    name = small(channels)
    module = randomise(Small(channels)).float()
    torch.save(module.state_dict(), tmp_path / "w.pt")
    data = {
        "name": name,
        "network": {"model": name, "weights": str(tmp_path / "w.pt")},
        "pictures": {"folder": str(pictures(tmp_path / "pictures", channels)), "resize": 32, "crop": crop},
        "layers": {"channels": 2},
        "gradients": ["guided", "saliency"],
        "ascent": {"steps": 4},
        "deepdream": {"pictures": [0], "layers": ["res3b"], "octaves": 1, "steps": 1},
        "stream": {"optimised_steps": 2},
        "compute": {"workers": 0, "device": "cpu"},
    }
    store = compute(profile.validated(data, "here"), tmp_path / "atlas")
    manifest = store.manifest()
    height, width = crop if isinstance(crop, list) else (crop, crop)
    assert manifest.preprocessing.size == (height, width) and manifest.preprocessing.channels == channels
    assert "were assumed" in manifest.preprocessing.assumption
    last = manifest.layer("res3b")
    assert (last.height, last.width) == (-(-height // 8), -(-width // 8))
    top = store.arrays.layer("res3b")
    with (
        torch.no_grad()
    ):  # by torch on the whole picture: the strongest unit of channel 0 has the value that is listed
        record = store.tables.images()[int(top["top_image"][0, 0])]
        pixels = read_picture(tmp_path / "pictures" / record.path, manifest.preprocessing).pixels
        mean, std = (
            torch.tensor(values) for values in (manifest.preprocessing.mean, manifest.preprocessing.std)
        )
        x = ((torch.from_numpy(pixels) / 255 - mean) / std).permute(2, 0, 1)[None]
        x = module.maxpool(module.relu(module.bn1(module.conv1(x.float()))))
        own = module.layer2(module.layer1(x))[0, 0]
    row, column = top["top_unit"][0, 0]
    assert float(own[row, column]) == pytest.approx(float(top["top_value"][0, 0]), rel=1e-5)
    render_site([tmp_path / "atlas"], tmp_path / "site")
    home = (tmp_path / "site" / name / "index.html").read_text("utf-8")
    assert shown in " ".join(home.split())
    assert f"{height} × {width} px" in home
    longer = max(height, width)
    if height != width:  # in the script that the pages of a channel's number share, or in a page of its own
        data = [
            path.read_text("utf-8")
            for path in (tmp_path / "site" / name).glob("res3*/0.*")
            if path.suffix in (".html", ".js")
        ]
        assert any(f'"side":[{height},{width}]' in text for text in data)
    with Image.open(next((tmp_path / "site" / name / "pictures").glob("*.webp"))) as whole:
        assert whole.width == whole.height == longer
        ground = np.asarray(whole.convert("RGB"))
        if height < width:
            assert np.abs(ground[0].astype(int) - GROUND).max() < 12


@pytest.mark.slow
def test_pictures_of_other_channels_are_skipped_with_the_reason(
    tmp_path: Path, small: Callable[[int], str]
) -> None:
    name = small(4)
    torch.save(randomise(Small(4)).float().state_dict(), tmp_path / "w.pt")
    data = {
        "name": name,
        "network": {"model": name, "weights": str(tmp_path / "w.pt")},
        "pictures": {"folder": str(pictures(tmp_path / "pictures", 3)), "resize": 32, "crop": 32},
        "compute": {"workers": 0, "device": "cpu"},
    }
    with pytest.raises(AtlasError, match=r"the file has 3 channels .red, green, blue., the network reads 4"):
        compute(profile.validated(data, "here"), tmp_path / "atlas")


@pytest.mark.slow
def test_an_explanation_of_grey_is_shown_in_colours(tmp_path: Path, small: Callable[[int], str]) -> None:
    name = small(1)
    torch.save(randomise(Small(1)).float().state_dict(), tmp_path / "w.pt")
    network = models.load(name, tmp_path / "w.pt")
    network = network.with_preprocessing(replace(network.preprocessing, crop=(24, 40))).to("cpu")
    buffer = io.BytesIO()
    noise(3).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    found = explain(network, tmp_path / "a.png")
    assert found.pixels.shape == found.guided.shape == (24, 40, 3) and found.saliency.shape == (24, 40)

"""Write an atlas of drawn data, in the format that the pipeline writes: what the site's tests read.

    python tests/make_small_atlas.py               # tests/small_atlas, checked in, below 400 KB
    python tests/make_small_atlas.py OUT --full    # as many channels as ResNet-50's blocks
    python tests/make_small_atlas.py OUT --paper   # named resnet50-caffe, stages 2 and 3

No network is run: every picture gets a score for every channel from a seed, and the rest follows from that.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter

from generator.core.hierarchy import read_hierarchy
from generator.core.progress import Reporter
from generator.core.records import (
    LayerInfo,
    Manifest,
    PictureRecord,
    PictureSetInfo,
    Preprocessing,
    ReceptiveField,
    SpriteInfo,
    WeightsInfo,
    find_layer,
)
from generator.core.store import Store
from generator.engine.scan.histograms import Histograms, bin_of, occupied
from generator.methods.strips import strips, tie_order
from generator.stages.categories import find_channels
from generator.stages.classes import describe_classes
from generator.stages.correspondence import relate_layers
from generator.stages.label_range import measure_range
from generator.stages.ranks import Ranks
from generator.stages.refinement import refine_stages
from generator.stages.run import Run

CLASSES = (
    "bicycle",
    "tandem",
    "loop",
    "spiral",
    "ring",
    "dish",
    "crane",
    "bow tie",
    "mosaic",
    "brick",
    "clock",
    "face",
)
GROUPS = {"vehicle": CLASSES[:2], "round": CLASSES[2:6], "thing": CLASSES[6:]}
SMALL_STAGES = ((2, 3, 12), (3, 4, 12))  # stage, blocks, channels
PAPER_STAGES = ((2, 3, 256), (3, 4, 512))
FULL_STAGES = ((2, 3, 256), (3, 4, 512), (4, 6, 1024), (5, 3, 2048))


def draw_picture(label: str, seed: int, side: int) -> Image.Image:
    """A drawing of the class, twice its size and then reduced, so that edges are smooth."""
    random = np.random.default_rng(seed)
    ground = tuple(int(v) for v in random.integers(60, 200, 3))
    ink = tuple(int(255 - v if abs(v - 128) > 40 else (v + 110) % 256) for v in ground)
    full = side * 2
    picture = Image.new("RGB", (full, full), ground)
    pen = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y, r = (int(v) for v in random.integers(0, full, 3))
        pen.ellipse((x, y, x + r // 3, y + r // 3), fill=tuple(min(255, v + 25) for v in ground))
    size = full * float(random.uniform(0.3, 0.48))
    cx, cy = (float(v) for v in random.uniform(0.35, 0.65, 2) * full)
    line = max(2, full // 40)

    def circle(x: float, y: float, radius: float, **options: object) -> None:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), **options)  # type: ignore[arg-type]

    if label in ("bicycle", "tandem"):
        for shift in (-0.6, 0.6) if label == "bicycle" else (-0.9, 0.0, 0.9):
            circle(cx + shift * size, cy + size * 0.3, size * 0.4, outline=ink, width=line)
        pen.line(
            [(cx - 0.6 * size, cy + 0.3 * size), (cx, cy - 0.3 * size), (cx + 0.6 * size, cy + 0.3 * size)],
            ink,
            line,
        )
    elif label in ("loop", "ring"):
        circle(cx, cy, size * 0.7, outline=ink, width=line * (1 if label == "loop" else 4))
    elif label == "spiral":
        turn = np.linspace(0, 6 * math.pi, 90)
        points = [
            (cx + size * t / 19 * math.cos(t) * 0.9, cy + size * t / 19 * math.sin(t) * 0.9)
            for t in turn.tolist()
        ]
        pen.line(points, ink, line)
    elif label in ("mosaic", "brick"):
        step = max(8, full // 9)
        for row, y in enumerate(range(0, full, step)):
            for x in range(-step, full, step * (2 if label == "brick" else 1)):
                shade = tuple(int(v) for v in np.clip(np.array(ink) + random.integers(-40, 40, 3), 0, 255))
                left = x + (step if row % 2 and label == "brick" else 0)
                pen.rectangle(
                    (left, y, left + step * (2 if label == "brick" else 1) - 3, y + step - 3), fill=shade
                )
    elif label in ("face", "clock"):
        circle(cx, cy, size * 0.8, outline=ink, width=line)
        if label == "face":
            circle(cx - size * 0.3, cy - size * 0.2, size * 0.1, fill=ink)
            circle(cx + size * 0.3, cy - size * 0.2, size * 0.1, fill=ink)
            pen.arc((cx - size * 0.4, cy, cx + size * 0.4, cy + size * 0.5), 10, 170, fill=ink, width=line)
        else:
            pen.line([(cx, cy - size * 0.6), (cx, cy), (cx + size * 0.4, cy + size * 0.2)], ink, line)
    elif label == "bow tie":
        pen.polygon([(cx - size, cy - size / 2), (cx, cy), (cx - size, cy + size / 2)], fill=ink)
        pen.polygon([(cx + size, cy - size / 2), (cx, cy), (cx + size, cy + size / 2)], fill=ink)
    else:  # dish, crane
        pen.arc((cx - size, cy - size, cx + size, cy + size), 20, 160, fill=ink, width=line * 2)
        pen.line([(cx, cy), (cx - size * 0.6, cy - size), (cx + size * 0.7, cy - size * 0.8)], ink, line)
    return picture.resize((side, side), Image.Resampling.LANCZOS)


def to_webp(picture: Image.Image, quality: int = 70) -> bytes:
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=quality, method=4)
    return content.getvalue()


def patch_of(picture: Image.Image, field: ReceptiveField, row: int, column: int, tile: int) -> Image.Image:
    """The receptive field on neutral ground, the missing part beyond the border left as ground."""
    top, left, bottom, right = field.box(row, column)
    if field.side > picture.width:
        return picture.resize((tile, tile), Image.Resampling.BICUBIC)
    ground = Image.new("RGB", (field.side, field.side), (128, 128, 128))
    box = (max(left, 0), max(top, 0), min(right, picture.width), min(bottom, picture.height))
    ground.paste(picture.crop(box), (box[0] - left, box[1] - top))
    return ground.resize((tile, tile), Image.Resampling.BICUBIC)


def gradient_of(patch: Image.Image, grey: bool = False) -> Image.Image:
    """Something that looks like a guided gradient: the patch less its blur, on mid-grey."""
    patch = patch.convert("L").convert("RGB") if grey else patch
    sharp = np.asarray(patch, np.float32) - np.asarray(patch.filter(ImageFilter.GaussianBlur(2)), np.float32)
    return Image.fromarray((sharp / (np.abs(sharp).max() + 1e-6) * 127 + 128).clip(0, 255).astype(np.uint8))


def network_layers(
    stages: Sequence[tuple[int, int, int]], side: int, inner: Sequence[str], stem: int
) -> list[LayerInfo]:
    """A bottleneck network's layers; the receptive fields are ResNet-50's."""
    layers = [
        LayerInfo(
            "conv1", "conv1", "stem", "", 1, stem, side // 2, side // 2, True, ReceptiveField(7, 2, 0.0)
        ),
    ]
    field = 11
    for stage, blocks, channels in stages:
        stride = 2**stage
        for number in range(blocks):
            block = f"res{stage}{'abcdefgh'[number]}"
            path = f"layer{stage - 1}.{number}"
            field += 2 * (stride // 2 if number == 0 and stage > 2 else stride)
            side_here = max(1, side // stride)

            def layer(
                name: str,
                path: str,
                kind: str,
                count: int,
                block: str = block,
                here: int = side_here,
                side: int = field,
                stage: int = stage,
                stride: int = stride,
            ) -> LayerInfo:
                shape = (name, path, kind, block, stage, count, here, here, True)
                return LayerInfo(*shape, ReceptiveField(side, stride, 0.0))  # type: ignore[arg-type]

            if block in inner:
                layers += [
                    layer(f"{block}_branch2{c}", f"{path}.conv{n}", "branch", channels // (4 if n < 3 else 1))
                    for n, c in enumerate("abc", 1)
                ]
            layers.append(layer(block, path, "block", channels))
    return layers


def rank_correlation(one: np.ndarray, other: np.ndarray, ranked: bool = True) -> np.ndarray:
    """Per channel, of scores (N, C)."""

    def centred(scores: np.ndarray) -> np.ndarray:
        values = (
            scores.argsort(0, kind="stable").argsort(0).astype(np.float64)
            if ranked
            else scores.astype(np.float64)
        )
        return values - values.mean(0)

    a, b = centred(one), centred(other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return ((a * b).sum(0) / np.sqrt((a**2).sum(0) * (b**2).sum(0))).astype(np.float32)


def strongest_inputs(layer: LayerInfo, layers: Sequence[LayerInfo], seed: int) -> dict[str, np.ndarray]:
    """inputs and input_weight of a convolution that reads another one of its block; {} of any other layer."""
    branch = [x for x in layers if x.kind == "branch" and x.block == layer.block]
    if layer not in branch[1:]:
        return {}
    random = np.random.default_rng(seed)
    given = branch[branch.index(layer) - 1].channels
    inputs = np.full((layer.channels, 3), -1, np.int32)
    inputs[:, : min(3, given)] = random.integers(0, given, (layer.channels, min(3, given)))
    return {
        "inputs": inputs,
        "input_weight": np.sort(random.gamma(2, 1, inputs.shape))[:, ::-1].astype(np.float32),
    }


def _write_ranges(store: Store, layers: Sequence[LayerInfo]) -> None:
    """Write range.npz of every layer that is not inside a block, from its scores; every unit at row and column 0."""
    ties = tie_order([picture.path for picture in store.tables.images()])
    for layer in layers:
        scores = np.array(store.arrays.scores(layer.name))
        rows = strips(scores, ties).rows
        counts = Histograms(layer.channels)
        counts.update(bin_of(torch.from_numpy(scores)))
        histogram, bins = occupied(counts.counts.numpy())
        arrays = {"histogram": histogram.astype(np.int32), "histogram_bins": bins.astype(np.float32)}
        if not layer.is_inner:
            value = np.where(rows >= 0, scores[rows, np.arange(layer.channels)[:, None, None]], 0)
            arrays |= {"strip_image": rows, "strip_value": value.astype(np.float32)}
            arrays["strip_unit"] = np.zeros((*rows.shape, 2), np.uint16)
        store.arrays.write_layer(layer.name, "range", arrays)


def relate(store: Store, layers: Sequence[LayerInfo], labels: Sequence[str], *, ranges: bool = False) -> None:
    """Write what the pipeline writes on classes, correspondence and refinement. ranges: and on the whole range."""
    tree = store.folder / "tree.csv"
    groups = {name: group for group, names in GROUPS.items() for name in names}
    with tree.open("w", newline="") as file:
        csv.writer(file).writerows([("child", "parent"), *((x, groups.get(x, "thing")) for x in labels)])
    section = SimpleNamespace(hierarchy=str(tree), drawn=None, folder="drawn", visual_features=None)
    files = store.tables.images()
    inputs: Any = SimpleNamespace(
        network=SimpleNamespace(layers=layers, layer=lambda name: find_layer(tuple(layers), name)),
        profile=SimpleNamespace(pictures=section),
        hierarchy=read_hierarchy(tree),
        pictures=SimpleNamespace(files=files, classes=()),
        scan_plan=SimpleNamespace(located=[layer for layer in layers if not layer.is_inner]),
    )
    run = Run(store, torch.device("cpu"), Reporter(quiet=True), Ranks())
    if ranges:
        _write_ranges(store, layers)
    for stage in (describe_classes, find_channels, relate_layers, refine_stages):
        stage(inputs, run)
    if ranges:
        measure_range(inputs, run)
    tree.unlink()


def make_atlas(
    folder: Path,
    *,
    name: str = "small",
    title: str = "A small drawn atlas",
    model: str = "demo",
    stages: Sequence[tuple[int, int, int]] = SMALL_STAGES,
    inner: Sequence[str] = ("res2b",),
    stem: int = 12,
    pictures: int = 36,
    side: int = 96,
    tile: int = 30,
    inner_tile: int = 20,
    distinct: int | None = None,
    publish_patches: bool = True,
    panels: Sequence[str] | None = None,
    signature: tuple[int, int, int] | None = None,
    labels: Sequence[str] = CLASSES,
    seed: int = 1,
    ranges: bool = False,
) -> None:
    """Write the atlas. distinct: draw only so many sprites a layer and use them again and again (for large
    ones). panels: of the sprites. signature: a colour that every picture has everywhere and nothing else
    has at all: gradients are grey then. ranges: with histograms and strips.
    """
    shutil.rmtree(folder, ignore_errors=True)
    store = Store(folder)
    random = np.random.default_rng(seed)
    of_class = [n % len(labels) for n in range(pictures)]
    drawn = [draw_picture(CLASSES[c % len(CLASSES)], 100 + n, side) for n, c in enumerate(of_class)]
    if signature:
        drawn = [Image.new("RGB", (side, side), signature) for _ in drawn]
    layers = network_layers(stages, side, inner, stem)
    panels = tuple(panels or (("patches", "guided") if publish_patches else ("guided",)))
    sprites: dict[str, SpriteInfo] = {}
    previous: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for layer in layers:
        size = inner_tile if layer.is_inner else tile
        sprites[layer.name] = SpriteInfo(panels, size)
        affinity = random.gamma(0.6, 1.0, (len(labels), layer.channels)).astype(np.float32)
        scores = affinity[of_class] * 1.2 + random.gamma(2.0, 0.5, (pictures, layer.channels)).astype(
            np.float32
        )
        before = previous.get(layer.stage) if layer.kind == "block" else None
        if before is not None:  # a block refines: part of the channel's scores stays
            keep = random.uniform(0, 1, layer.channels).astype(np.float32) ** 0.7
            scores = keep * before[0] + (1 - keep) * scores
        dead = np.zeros(layer.channels, bool)
        if layer.channels >= 8 and layer.name != "conv1":
            dead[5::61] = True
        scores[:, dead] = 0
        if layer.channels > 9:
            scores[7:, 9] = 0  # fewer than nine pictures
        order = np.argsort(-scores, axis=0, kind="stable")[:9].T
        value = np.take_along_axis(scores.T, order, 1).astype(np.float32)
        top_image = np.where(value > 0, order, -1).astype(np.int32)
        units = random.integers(0, layer.height, (layer.channels, 9, 2)).astype(np.int32)
        units[value <= 0] = 0
        active = (scores > 0.9).mean(0)
        nothing = np.full(layer.channels, np.nan, np.float32)
        shared = (
            np.full(layer.channels, -1)
            if before is None
            else ((top_image[:, :, None] == before[1][:, None, :]) & (top_image >= 0)[:, :, None]).sum((1, 2))
        )
        store.arrays.write_layer(
            layer.name,
            "top",
            {"top_value": np.maximum(value, 0), "top_image": top_image, "top_unit": units},
        )
        store.arrays.write_layer(
            layer.name,
            "statistics",
            {
                "mean": scores.mean(0) * 0.21,
                "std": scores.std(0) * 0.4,
                "max": scores.max(0),
                "active_pictures": active.astype(np.float32),
                "active_positions": (active * random.uniform(0.1, 0.6, layer.channels)).astype(np.float32),
                "dead": dead,
                "unheard_of": nothing,  # a statistic that this version of the site does not know
            },
        )
        store.arrays.write_layer(
            layer.name,
            "connections",
            {
                **strongest_inputs(layer, layers, seed),
                "spearman_previous": nothing if before is None else rank_correlation(scores, before[0]),
                "pearson_previous": nothing
                if before is None
                else rank_correlation(scores, before[0], ranked=False),
                "shared_previous": shared.astype(np.int32),
            },
        )
        store.arrays.write_scores(layer.name, scores.astype(np.float32))
        if layer.kind == "block":
            previous[layer.stage] = (scores, top_image)
        columns = math.ceil(math.sqrt(layer.channels))
        thumbs = Image.new("RGB", (columns * 48, math.ceil(layer.channels / columns) * 48), (128, 128, 128))
        made: list[bytes] = []
        for channel in range(layer.channels):
            if dead[channel]:
                continue
            sheet = Image.new("RGB", (len(panels) * 3 * size, 3 * size), (128, 128, 128))
            fresh = distinct is None or len(made) < distinct
            for k, image in enumerate(top_image[channel].tolist()):
                if image < 0 or (not fresh and k):
                    continue
                row, column = units[channel, k].tolist()
                if k == 0:
                    large = patch_of(drawn[image], layer.receptive_field, row, column, 48)
                    thumb = large if publish_patches else gradient_of(large, grey=signature is not None)
                    thumbs.paste(thumb, (channel % columns * 48, channel // columns * 48))
                if not fresh:
                    continue
                patch = patch_of(drawn[image], layer.receptive_field, row, column, size)
                for number, panel in enumerate(panels):
                    tile_picture = (
                        patch if panel == "patches" else gradient_of(patch, grey=signature is not None)
                    )
                    sheet.paste(tile_picture, ((number * 3 + k % 3) * size, k // 3 * size))
            if fresh:
                made.append(to_webp(sheet, 60))
            store.pictures.write(store.pictures.sprite_path(layer.name, channel), made[channel % len(made)])
        store.pictures.write(
            store.pictures.thumbs_path(layer.name), to_webp(thumbs, 45 if distinct is None else 75)
        )
    kernels = Image.fromarray(
        np.kron(random.integers(30, 226, (math.ceil(stem / 8) * 7, 8 * 7, 3)), np.ones((4, 4, 1))).astype(
            np.uint8
        )
    )
    store.pictures.write(store.pictures.kernels_path("conv1"), to_webp(kernels, 60))
    if publish_patches:
        for index, picture in enumerate(drawn):
            store.pictures.write(store.pictures.picture_path(index), to_webp(picture, 60))
    records = [
        PictureRecord(n, f"{labels[c].replace(' ', '_')}/{n:04d}.png", c, labels[c], side, side)
        for n, c in enumerate(of_class)
    ]
    store.tables.write_images(records)
    store.tables.write_json("scan.json", {"pictures": pictures, "skipped": [], "score_pictures": None})
    relate(store, layers, labels, ranges=ranges)
    store.tables.write(
        "channels.csv", ("layer", "channel"), [(x.name, c) for x in layers for c in range(x.channels)]
    )
    store.write_manifest(
        Manifest(
            name=name,
            title=title,
            model=model,
            weights=WeightsInfo(
                "random", hashlib.sha256(name.encode()).hexdigest(), True, "numbers drawn from a seed"
            ),
            pictures=PictureSetInfo(
                "drawn by make_small_atlas.py", hashlib.sha256(b"p").hexdigest(), pictures
            ),
            preprocessing=Preprocessing(0, side, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            profile={"name": name},
            versions={"residual-atlas": "0"},
            date="2026-01-15",
            layers=tuple(layers),
            sprites=sprites,
            publish_patches=publish_patches,
            parameters=1_234_567,
            accuracy=None,
            extra={"kernels": {"conv1": {"tile": 28, "columns": 8}}},
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent / "small_atlas")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--paper", action="store_true")
    options = parser.parse_args()
    large: dict[str, Any] = {
        "stem": 64,
        "side": 224,
        "tile": 96,
        "inner_tile": 72,
        "distinct": 12,
        "pictures": 240,
    }
    if options.full:
        make_atlas(options.out, name="resnet50", title="ResNet-50, drawn data", stages=FULL_STAGES, **large)
    elif options.paper:
        names: dict[str, Any] = {
            "name": "resnet50-caffe",
            "model": "resnet50-caffe",
            "title": "ResNet-50 (Caffe), drawn data",
        }
        make_atlas(options.out, stages=PAPER_STAGES, **names, **large)
    else:
        make_atlas(options.out)

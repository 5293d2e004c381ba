"""From the atlas folder to what a page says: plain dictionaries for the templates. No torch, no HTML here."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from generator.citation import cite
from generator.class_names import class_names
from generator.errors import AtlasError
from generator.measures import BY_KEY, MEASURES, Measure, histogram, significant
from generator.records import STUDY, TOP, LayerInfo, Manifest, PictureRecord, SpriteInfo
from generator.relations import continuations, kind_of, match_lists, pairs_shown, reading
from generator.store import Store
from generator.synthetic import has_optimised, is_optimised, optimised

PANEL_NAMES = {
    "patches": "patches",
    "guided": "guided backprop",
    "deconvnet": "deconvnet",
    "plain": "plain gradient",
    "saliency": "saliency",
    "optimised": "optimised picture",
}
# What compares a channel with the block before: known where the channel is active in both blocks.
COMPARISONS = {
    "shared_previous": -1,
    "places_previous": -1,
    "spearman_previous": np.nan,
    "pearson_previous": np.nan,
    "refinement_previous": np.nan,
}
HARDLY_CHANGES = 7  # of nine pictures shared by neighbouring blocks: from here on the sentence says so
THUMB = 48  # px; side of a thumbnail where the manifest does not say


def sheet_layout(path: Path, tile: int) -> tuple[int, int]:
    """Columns and rows of a sheet of square tiles, from its own size; (0, 0) where there is none."""
    from PIL import Image

    if not path.is_file():
        return 0, 0
    with Image.open(path) as sheet:
        return sheet.width // tile, sheet.height // tile


def number_word(number: int) -> str:
    return ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[number]


def dead_channels(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(C,) bool: which of a layer's channels no picture activates."""
    dead: np.ndarray = arrays["dead"].astype(bool) if "dead" in arrays else arrays["top_image"][:, 0] < 0
    return dead


@dataclass
class Layer:
    """One layer's numbers, turned into lists once, because a page is written for every channel of it."""

    info: LayerInfo
    sprite: SpriteInfo
    arrays: dict[str, np.ndarray]
    images: list[list[int]] = field(init=False)
    values: list[list[float]] = field(init=False)
    units: list[list[list[int]]] = field(init=False)
    dead: list[bool] = field(init=False)
    pictured: set[int] = field(default_factory=set)  # channels that have a sprite

    def __post_init__(self) -> None:
        self.images = self.arrays["top_image"].tolist()
        self.values = self.arrays["top_value"].tolist()
        self.units = self.arrays["top_unit"].tolist()
        self.dead = dead_channels(self.arrays).tolist()

    @cached_property
    def measures(self) -> list[tuple[Measure, list[str], list[bool], list[int], list[int]]]:
        """Every known statistic that some channel has: itself, the values as text, which channels have one,
        where each lies between the layer's lowest and highest (0 … 96), and the histogram's bars."""
        found = []
        for measure in MEASURES:
            values = self.arrays.get(measure.key)
            if not measure.listed or values is None or values.shape != (self.info.channels,):
                continue
            alive = measure.present(values) & ~np.array(self.dead)
            if not alive.any():
                continue
            low, high, bars = histogram(values, alive)
            place = np.clip(np.nan_to_num((values - low) / ((high - low) or 1.0)), 0, 1) * 96
            text = [measure.format(value) for value in np.nan_to_num(values).tolist()]
            found.append((measure, text, alive.tolist(), place.round().astype(int).tolist(), bars))
        return found

    @cached_property
    def tops(self) -> list[list[tuple[int, float, int, int]]]:
        """By channel its nine, strongest first, those that there are: picture, value to three digits, row, column."""
        return [
            [
                (image, float(f"{value:.3g}"), row, column)
                for image, value, (row, column) in zip(*nine, strict=True)
                if image >= 0
            ]
            for nine in zip(self.images, self.values, self.units, strict=True)
        ]

    @cached_property
    def correlations(self) -> list[str | None]:
        """By channel the rank correlation with the block before as text, None where there is none."""
        values = self.arrays.get("spearman_previous")
        if values is None:
            return [None] * self.info.channels
        text = BY_KEY["spearman_previous"].format
        return [text(value) if math.isfinite(value) else None for value in values.tolist()]

    def absence(self, channel: int) -> str:
        """Why the channel shows no tiles, or ''."""
        if self.dead[channel]:
            return "dead on these pictures"
        return "" if channel in self.pictured else "not pictured in this atlas"

    def nine(self, channel: int) -> list[int]:
        """The picture numbers of the channel's top nine, strongest first."""
        return [image for image in self.images[channel] if image >= 0]

    def shared_with(self, other: Layer) -> list[int]:
        """For every channel: how many of its nine pictures the same channel there has among its nine."""
        mine, theirs = self.arrays["top_image"], other.arrays["top_image"]
        count = min(len(mine), len(theirs))
        same = (mine[:count, :, None] == theirs[:count, None, :]) & (mine[:count] >= 0)[:, :, None]
        return [int(value) for value in same.sum((1, 2))]


@dataclass(frozen=True)
class Around:
    """A layer's place among the others, the same for all its channels. before, after: what ↑ and ↓ lead to; strip: what
    a channel is set beside; inner: the convolutions of a block, and of them those whose channel n is added into channel
    n of the block."""

    before: LayerInfo | None
    after: LayerInfo | None
    strip: list[LayerInfo]
    inner: list[LayerInfo]
    inner_tied: list[LayerInfo]


class Atlas:
    """An atlas folder, read once."""

    def __init__(self, folder: str | Path) -> None:
        self.store = Store(folder)
        self.manifest: Manifest = self.store.manifest()
        self.pictures: list[PictureRecord] = self.store.images()
        self.class_names = class_names(self.pictures)
        # By picture, the name of its class on the pages, '' without a label; two classes never share a name.
        self.short = [self.class_names.get((record.label_id, record.label), "") for record in self.pictures]
        self._layers: dict[str, Layer] = {}
        self._around: dict[str, Around] = {}
        self._shared: dict[tuple[str, str], list[int]] = {}
        self._matches: dict[tuple[str, bool], list[list[dict[str, Any]]]] = {}
        if not self.manifest.publish_patches and any(
            "patches" in s.panels for s in self.manifest.sprites.values()
        ):
            raise AtlasError(
                "the profile forbids publishing patches, but the sprites hold them",
                self.store.folder,
                "compute the atlas again with publish_patches = false",
            )

    @property
    def name(self) -> str:
        return self.manifest.name

    @cached_property
    def layers(self) -> tuple[LayerInfo, ...]:
        """The layers that have pages: those whose sprites the atlas holds, in forward order."""
        return tuple(layer for layer in self.manifest.layers if layer.name in self.manifest.sprites)

    @cached_property
    def blocks(self) -> tuple[LayerInfo, ...]:
        return tuple(layer for layer in self.layers if layer.kind == "block")

    @cached_property
    def gradient_rules(self) -> list[dict[str, Any]]:
        """The channels whose kinds of gradients stand side by side: layer, channel, kinds; of each kind a picture
        rules/<layer>-<kind>.webp."""
        held = {layer.name for layer in self.layers}
        found = (self.store.read_json("rules.json") or {}).get("rows", [])
        hidden = set() if self.manifest.publish_patches else {"patches"}
        return [
            {**row, "kinds": [kind for kind in row["kinds"] if kind not in hidden]}
            for row in found
            if row["layer"] in held
        ]

    @cached_property
    def input_side(self) -> int:
        """Side of the network's input in px."""
        crop = self.manifest.preprocessing.crop
        first = self.manifest.layers[0]
        return crop or first.height * first.receptive_field.stride

    @property
    def is_study(self) -> bool:
        """Whether it is of one of the experiments' small networks."""
        return self.manifest.model.startswith(STUDY)

    @property
    def shows_pictures(self) -> bool:
        """Whether whole pictures may be shown and are there."""
        return self.manifest.publish_patches and (self.store.folder / "pictures").is_dir()

    @cached_property
    def published(self) -> frozenset[int]:
        """The numbers of the whole pictures that the site shows."""
        if not self.shows_pictures:
            return frozenset()
        files = (file.removesuffix(".webp") for file in os.listdir(self.store.folder / "pictures"))
        return frozenset(int(name) for name in files if name.isdecimal())

    def layer(self, name: str) -> Layer:
        if name not in self._layers:
            folder = self.store.sprite_path(name, 0).parent
            self._layers[name] = Layer(
                self.manifest.layer(name),
                self.manifest.sprites[name],
                self._numbers(name),
                pictured={int(file[:-5]) for file in os.listdir(folder) if file[:-5].isdecimal()}
                if folder.is_dir()
                else set(),
            )
        return self._layers[name]

    def _numbers(self, name: str) -> dict[str, np.ndarray]:
        """A layer's arrays. A comparison with the block before has a value only for channels that are active in both:
        every page that counts or averages comparisons takes them from here."""
        arrays = self.store.layer(name)
        if (earlier := self._earlier.get(name)) is None:
            return arrays
        active = ~(dead_channels(arrays) | dead_channels(self.store.layer(earlier)))
        compared = {
            key: np.where(active, arrays[key], missing).astype(arrays[key].dtype)
            for key, missing in COMPARISONS.items()
            if key in arrays
        }
        return {**arrays, **compared}

    @cached_property
    def _earlier(self) -> dict[str, str]:
        """Of each block the block before it in its stage, with whose channels its own are compared number by number."""
        blocks = [layer for layer in self.manifest.layers if layer.kind == "block"]
        return {
            after.name: before.name
            for before, after in itertools.pairwise(blocks)
            if (before.stage, before.channels) == (after.stage, after.channels)
        }

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(layer.name for layer in self.layers)

    def has(self, name: str) -> bool:
        return name in self._names

    def around(self, layer: LayerInfo) -> Around:
        if layer.name not in self._around:
            inner = self.inner_of(layer.name) if layer.kind in ("block", "layer") else []
            inner_tied = [other for other in inner if tied(self, other)]
            self._around[layer.name] = Around(
                *self.neighbours(layer), strip_layers(self, layer), inner, inner_tied
            )
        return self._around[layer.name]

    def place(self, layer: LayerInfo) -> str:
        """Where in the network a layer stands, in words; '' for a layer of a plain network, which has no stages."""
        if layer.kind == "stem":
            return "stem"
        alone = sum(other.stage == layer.stage for other in self.manifest.layers) == 1
        return "" if layer.kind == "layer" and alone else f"stage {layer.stage}"

    def stage_blocks(self, stage: int) -> list[LayerInfo]:
        return [layer for layer in self.blocks if layer.stage == stage]

    def inner_of(self, block: str) -> list[LayerInfo]:
        return [layer for layer in self.layers if layer.is_inner and layer.block == block]

    def shared(self, one: str, other: str) -> list[int]:
        key = (one, other)
        if key not in self._shared:
            self._shared[key] = self.layer(one).shared_with(self.layer(other))
        return self._shared[key]

    @cached_property
    def relations(self) -> dict[str, Any] | None:
        """relations.json; None in an atlas that was made before there was one."""
        return self.store.read_json("relations.json")

    @cached_property
    def pairs_at(self) -> dict[str, list[dict[str, Any]]]:
        """By layer, the compared pairs of layers that it is one of."""
        found: dict[str, list[dict[str, Any]]] = {}
        for pair in pairs_shown(self):
            for name in (pair["source"], pair["target"]):
                found.setdefault(name, []).append(pair)
        return found

    def matches(self, pair: dict[str, Any], *, forward: bool) -> list[list[dict[str, Any]]]:
        """By channel of a pair's first layer (forward) or second, its matches in the other, strongest first."""
        name = f"{pair['source']}--{pair['target']}"
        if (name, forward) not in self._matches:
            arrays = self.store.matches(name)
            layer = self.manifest.layer(pair["source" if forward else "target"])
            self._matches[name, forward] = (
                [[]] * layer.channels
                if arrays is None
                else match_lists(arrays, "forward" if forward else "backward")
            )
        return self._matches[name, forward]

    def neighbours(self, layer: LayerInfo) -> tuple[LayerInfo | None, LayerInfo | None]:
        """The layer of the same kind before and after this one in its stage: what ↑ and ↓ lead to."""

        def suffix(info: LayerInfo) -> str:
            return info.name.removeprefix(info.block)

        alike = [
            x
            for x in self.layers
            if x.stage == layer.stage and x.kind == layer.kind and suffix(x) == suffix(layer)
        ]
        at = alike.index(layer)
        return (alike[at - 1] if at else None, alike[at + 1] if at + 1 < len(alike) else None)

    def labels_of(self, layer: str, channel: int) -> list[tuple[str, int]]:
        """The labels among the nine with how often each occurs, most frequent first."""
        labels = (self.short[image] for image in self.layer(layer).nine(channel))
        return Counter(label for label in labels if label).most_common()


def sentence(atlas: Atlas, layer: LayerInfo, channel: int) -> str:
    """One sentence made from the channel's numbers; never a guess at what it means."""
    numbers = atlas.layer(layer.name)
    if numbers.dead[channel]:
        count = f"{atlas.manifest.pictures.count:,}"
        if layer.rectified:
            return f"Dead on these pictures: none of the {count} activates it."
        return f"Dead on these pictures: its score is the same on all {count}."
    nine = numbers.nine(channel)
    if len(nine) < TOP:
        return f"Only {number_word(len(nine))} of the {atlas.manifest.pictures.count:,} pictures activate it."
    parts = []
    stage = atlas.stage_blocks(layer.stage) if layer.kind == "block" else []
    at = stage.index(layer) if layer in stage else -1
    if at >= 0 and len(stage) > 1:
        steps = [
            atlas.shared(later.name, earlier.name)[channel] for earlier, later in itertools.pairwise(stage)
        ]
        if min(steps) >= HARDLY_CHANGES:
            parts.append(
                f"hardly changes from {stage[0].name} to {stage[-1].name}: "
                f"neighbouring blocks share at least {number_word(min(steps))} of nine pictures"
            )
        elif at == 0:
            parts.append(f"{stage[1].name} keeps {number_word(steps[0])} of its nine pictures")
        else:
            said = f"shares {number_word(steps[at - 1])} of nine pictures with {stage[at - 1].name}"
            if at > 1:
                first = atlas.shared(layer.name, stage[0].name)[channel]
                said += f", {number_word(first) if first else 'none'} with {stage[0].name}"
            parts.append(said)
    labels = atlas.labels_of(layer.name, channel)
    if labels and labels[0][1] >= 5:
        often = "all nine" if labels[0][1] == TOP else number_word(labels[0][1]) + " of the nine"
        parts.append(f"{often} are labelled “{labels[0][0]}”")
    elif labels and not parts:
        parts.append(
            f"its nine pictures carry {number_word(len(labels)) if len(labels) > 1 else 'one'} labels"
        )
    text = "; ".join(parts) or f"strongest on picture {nine[0]}"
    return text[0].upper() + text[1:] + "."


def tiles(atlas: Atlas, layer: Layer, channel: int) -> list[tuple[int, str, str, str, int]]:
    """The nine, strongest first: rank from 1, label, value, row and column, picture."""
    value = BY_KEY["max"].format
    rows = zip(layer.images[channel], layer.values[channel], layer.units[channel], strict=True)
    return [
        (k, atlas.short[image], value(score), f"{unit[0]}, {unit[1]}", image)
        for k, (image, score, unit) in enumerate(rows, 1)
        if image >= 0
    ]


def covers_picture(atlas: Atlas, info: LayerInfo) -> bool:
    """Whether the field is larger than the picture, so that the tiles show whole pictures."""
    return info.receptive_field.side > atlas.input_side


def unit_mark(info: LayerInfo, row: int, column: int) -> str:
    """The square of the picture that the unit stands for in its map, as an SVG path in px of the input."""
    field = info.receptive_field
    # Pixel 0 of the input reaches from 0 to 1 in the drawing: its middle lies at 0.5.
    left, top = (field.centre + place * field.stride + 0.5 - field.stride / 2 for place in (column, row))
    return f"M{left:g} {top:g}h{field.stride}v{field.stride}h-{field.stride}z"


def tile_margin(atlas: Atlas, info: LayerInfo) -> float:
    """How much ground a tile has around its picture, in px of the input where the whole picture is shown."""
    sprite = atlas.manifest.sprites[info.name]
    if not sprite.side or not covers_picture(atlas, info):
        return 0.0
    return round((sprite.tile - sprite.side) / 2 * atlas.input_side / sprite.side, 2)


def _view(atlas: Atlas, info: LayerInfo) -> str:
    """The viewBox of a drawing over a whole tile, in px of the input."""
    margin = tile_margin(atlas, info)
    side = atlas.input_side + 2 * margin
    return f"{-margin:g} {-margin:g} {side:g} {side:g}"


def tile_data(atlas: Atlas, names: list[str], channel: int) -> str:
    """What the script needs to draw the rows and to say what a tile shows, as compact JSON.

    labels: text; rows: by layer, its receptive field [side, stride, centre], ground around a tile, and the nine as
    [picture, value, row, column, label]; side: of the network's input; pictures: whether whole pictures are
    published; without: those of the rows that are not, where there are such.
    """
    labels: dict[str, int] = {}
    rows: dict[str, Any] = {}
    for name in names:
        layer = atlas.layer(name)
        field = layer.info.receptive_field
        nine = [[*top, labels.setdefault(atlas.short[top[0]], len(labels))] for top in layer.tops[channel]]
        centre = int(field.centre) if field.centre == int(field.centre) else field.centre
        rows[name] = [[field.side, field.stride, centre, tile_margin(atlas, layer.info)], nine]
    panels = atlas.manifest.sprites[names[0]].panels
    data = {
        "labels": list(labels),
        "rows": rows,
        "side": atlas.input_side,
        "pictures": int(atlas.shows_pictures),
        "panels": [PANEL_NAMES.get(panel, panel) for panel in panels],
    }
    of_rows = {top[0] for name in names for top in atlas.layer(name).tops[channel]}
    if atlas.shows_pictures and (without := sorted(of_rows - atlas.published)):
        data["without"] = without
    if with_optimised := [name for name in names if is_optimised(atlas.layer(name), channel)]:
        data["optimised"] = with_optimised
    # "<" never appears in the JSON, so that no label can end the script element that carries it.
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def strip_layers(atlas: Atlas, layer: LayerInfo) -> list[LayerInfo]:
    """What a channel is set beside: its stage's blocks; for the last convolution of a block, the block."""
    if layer.kind == "block":
        return atlas.stage_blocks(layer.stage)
    ends = [x for x in atlas.layers if x.block == layer.block and x.block and x.channels == layer.channels]
    return ends if tied(atlas, layer) and len(ends) > 1 else [layer]


def tied(atlas: Atlas, layer: LayerInfo) -> bool:
    """Whether the layer's channel n is the one that is added into channel n of the block's output."""
    if layer.kind == "block":
        return True
    if layer.kind == "projection":
        return True
    # What a dense layer's name stands for is no sum but its last convolution, of kind "layer".
    if any(x.name == layer.block and x.kind == "layer" for x in atlas.manifest.layers):
        return False
    branch = [x for x in atlas.manifest.layers if x.kind == "branch" and x.block == layer.block]
    return bool(branch) and branch[-1] == layer


def input_source(atlas: Atlas, info: LayerInfo) -> LayerInfo | None:
    """The convolution of the same block that this one reads; for the first, the block before."""
    if info.kind != "branch":
        return None
    branch = [x for x in atlas.manifest.layers if x.kind == "branch" and x.block == info.block]
    at = branch.index(info)
    if at:
        return branch[at - 1]
    blocks = [x for x in atlas.manifest.layers if x.kind == "block"]
    place = [x.name for x in blocks].index(info.block) if info.block in [x.name for x in blocks] else 0
    return blocks[place - 1] if place else None


def input_tree(atlas: Atlas, info: LayerInfo, channel: int, *, within: bool = True) -> list[dict[str, Any]]:
    """The channel's strongest inputs, and theirs, down to the block's first convolution.

    within: whether to stop at the block's own input. Empty where the atlas does not hold them.
    """
    source = input_source(atlas, info)
    layer = atlas.layer(info.name)
    chosen, weights = layer.arrays.get("inputs"), layer.arrays.get("input_weight")
    if source is None or chosen is None or weights is None or not atlas.has(source.name):
        return []
    if within and source.kind == "block":
        return []
    given = atlas.layer(source.name)
    return [
        {
            "layer": source.name,
            "channel": number,
            "weight": significant(weight),
            "absent": given.absence(number),
            "panels": given.sprite.panels,
            "inputs": input_tree(atlas, source, number) if source.kind == "branch" else [],
        }
        for number, weight in zip(chosen[channel].tolist(), weights[channel].tolist(), strict=True)
        if 0 <= number < source.channels
    ]


def channel_page(atlas: Atlas, info: LayerInfo, channel: int, base_url: str) -> dict[str, Any]:
    """Everything that one channel's page says."""
    layer, around = atlas.layer(info.name), atlas.around(info)
    before, after, strip = around.before, around.after, around.strip
    rows = []
    for number, other in enumerate(strip):
        is_block = other.kind == "block" and number > 0 and strip[number - 1].kind == "block"
        rows.append(
            {
                "layer": other.name,
                "here": other == info,
                "absent": atlas.layer(other.name).absence(channel),
                "panels": atlas.manifest.sprites[other.name].panels,
                "shared": atlas.shared(other.name, strip[number - 1].name)[channel] if is_block else None,
                "previous": strip[number - 1].name if is_block else "",
                "rho": atlas.layer(other.name).correlations[channel] if is_block else None,
                "kind": kind_of(atlas, other.name, channel) if is_block else "",
            }
        )
    inner, inner_tied = around.inner, around.inner_tied
    last = next((x for x in inner_tied if x.kind == "branch"), None)
    tree = input_tree(atlas, last or info, channel, within=last is not None)
    dead, absent = layer.dead[channel], layer.absence(channel)
    nine = [] if dead else tiles(atlas, layer, channel)
    whole = not absent and covers_picture(atlas, info) and layer.sprite.panels[:1] == ("patches",)
    # What is drawn, and the channel's own nine, which are known although they may not be pictured.
    listed = [x.name for x in [*strip, *inner_tied] if not atlas.layer(x.name).absence(channel)]
    if nine and info.name not in listed:
        listed.append(info.name)
    return {
        "channel": channel,
        "absent": absent,
        "previous": channel - 1 if channel else None,
        "next": channel + 1 if channel + 1 < info.channels else None,
        "up": before.name if before and channel < before.channels else None,
        "down": after.name if after and channel < after.channels else None,
        "sentence": sentence(atlas, info, channel),
        "reading": reading(atlas, info, channel),
        "continuations": continuations(atlas, info, channel),
        "source": f"{channel}.webp",
        "tiles": nine,
        "known": [tile for tile in nine if absent and tile[-1] in atlas.published],
        # What a screen reader says of a tile: its rank, label and value.
        "alts": [
            (
                k,
                f"{k}: {label}, {value}" if label else f"{k}: {value}",
                unit_mark(info, *layer.units[channel][k - 1]) if whole else "",
            )
            for k, label, value, _, _ in nine
        ],
        "whole": whole,
        "optimised": optimised(atlas, layer, channel),
        "side": atlas.input_side,
        "view": _view(atlas, info),
        "statistics": []
        if dead
        # Every row is there, also without a value: the histograms beside them are one picture for the
        # whole layer.
        else [
            (m, text[channel], place[channel]) if has[channel] else (m, "–", None)
            for m, text, has, place, _ in layer.measures
        ],
        "labels": atlas.labels_of(info.name, channel),
        "strip": rows if len(rows) > 1 else [],
        "inner": [
            {
                "layer": x.name,
                "absent": atlas.layer(x.name).absence(channel),
                "panels": atlas.manifest.sprites[x.name].panels,
            }
            for x in inner_tied
        ],
        "inner_untied": [] if tree else [x for x in inner if x not in inner_tied],
        "tree": tree,
        "inner_last": last.name if last else "",
        "data": tile_data(atlas, listed, channel) if listed else "",
        "cite": cite(
            atlas.manifest, info.name, channel, f"{base_url}{atlas.name}/{info.name}/{channel}.html"
        ),
    }


def layer_page(atlas: Atlas, info: LayerInfo) -> dict[str, Any]:
    """A layer's grid: a thumbnail a channel, and the numbers that sorting and filtering need."""
    layer = atlas.layer(info.name)
    columns, rows = sheet_layout(
        atlas.store.thumbs_path(info.name), int(atlas.manifest.extra.get("thumb", THUMB))
    )
    labels: dict[str, int] = {}
    cells = []
    nine_labels = []
    for channel in range(info.channels):
        nine = [labels.setdefault(label, len(labels)) for label, _ in atlas.labels_of(info.name, channel)]
        nine_labels.append(nine)
        first = atlas.short[layer.images[channel][0]] if layer.images[channel][0] >= 0 else ""
        # An atlas of the first so many channels alone has a smaller sheet.
        place = (channel % columns, channel // columns) if channel < columns * rows else None
        cells.append((channel, None if layer.absence(channel) else place, first, layer.dead[channel]))
    sorts = [(m, layer.arrays[m.key], has) for m, _, has, _, _ in layer.measures]
    at = atlas.layers.index(info)
    numbers = {
        measure.key: [float(f"{v:.4g}") if ok else None for v, ok in zip(values.tolist(), has, strict=True)]
        for measure, values, has in sorts
    }
    data = {
        "labels": list(labels),
        "nine": nine_labels,
        "numbers": numbers,
        "panels": layer.sprite.panels,
        "units": {measure.key: [measure.name, measure.unit] for measure, _, _ in sorts},
    }
    return {
        "cells": cells,
        "columns": columns,
        "rows": rows,
        "alive": info.channels - sum(layer.dead),
        "sorts": [measure for measure, _, _ in sorts],
        "label_names": sorted(label for label in labels if label),
        "previous": atlas.layers[at - 1] if at else None,
        "next": atlas.layers[at + 1] if at + 1 < len(atlas.layers) else None,
        "data": json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"),
        "has_kernels": atlas.store.kernels_path(info.name).is_file(),
        "has_optimised": has_optimised(layer),
    }


def kernel_page(atlas: Atlas, info: LayerInfo) -> dict[str, Any] | None:
    """The first convolution's kernels as pixel maps, with the nine of each beside; or None."""
    layout = atlas.manifest.extra.get("kernels", {}).get(info.name)
    if layout is None or not atlas.store.kernels_path(info.name).is_file():
        return None
    columns = int(layout["columns"])
    layer = atlas.layer(info.name)
    return {
        "columns": columns,
        "rows": math.ceil(info.channels / columns),
        "kernels": [(c, c % columns, c // columns, layer.absence(c)) for c in range(info.channels)],
    }


def in_full(atlases: Sequence[Atlas]) -> tuple[list[Atlas], list[Atlas]]:
    """The atlases that a page about all of them shows, and those that it only names: the experiments' networks are many
    and small, and stand back beside others."""
    studies = [atlas for atlas in atlases if atlas.is_study]
    if len(studies) == len(atlases):
        return studies, []
    return [atlas for atlas in atlases if not atlas.is_study], studies

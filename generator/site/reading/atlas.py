"""An atlas folder as the pages read it: its layers, their channels and pictures."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from generator.core.errors import AtlasError
from generator.core.records import STUDY, LayerInfo, Manifest, PictureRecord, Size
from generator.core.store import Store
from generator.site.reading.categories import Categories, read_categories
from generator.site.reading.class_report import ClassReport, class_report_from_json
from generator.site.reading.descriptions import NO_DESCRIPTIONS, Descriptions
from generator.site.reading.effects import Effects, read_effects
from generator.site.reading.label_range import LabelRange, label_range
from generator.site.reading.layer_numbers import Layer, dead_channels
from generator.site.reading.layer_pairs import (
    LayerPair,
    Match,
    Relations,
    matches_by_channel,
    relations_from_json,
)
from generator.site.reading.path_check import PathCheck, path_check_from_json
from generator.site.reading.randomisation import Randomisation, randomisation_from_json
from generator.site.reading.refinement import Refinement, refinement_from_json
from generator.site.reading.unique_labels import unique_labels

PANEL_NAMES = {
    "patches": "patches",
    "guided": "guided backprop",
    "deconvnet": "deconvnet",
    "plain": "plain gradient",
    "saliency": "saliency",
    "optimised": "optimised picture",
}
# Statistics that compare a channel with the block before, and the value that stands for none. A channel has them where
# it is active in both blocks.
COMPARISONS = {
    "shared_previous": -1,
    "places_previous": -1,
    "spearman_previous": np.nan,
    "pearson_previous": np.nan,
    "gain_previous": np.nan,
    "overlap5_previous": np.nan,
}
THUMB = 48  # px; side of a thumbnail where the manifest does not say


def sheet_layout(path: Path, tile: int) -> tuple[int, int]:
    """Columns and rows of a sheet of square tiles, from its own size; (0, 0) where there is none."""
    from PIL import Image

    if not path.is_file():
        return 0, 0
    with Image.open(path) as sheet:
        return sheet.width // tile, sheet.height // tile


@dataclass(frozen=True)
class Around:
    """A layer's place among the others, the same for all its channels.

    before, after: the layers that ↑ and ↓ lead to; strip: the layers whose channel of the same number stands next to
    this one's; inner: the convolutions of a block; inner_tied: those among them whose channel n is added into channel
    n of the block.
    """

    before: LayerInfo | None
    after: LayerInfo | None
    strip: list[LayerInfo]
    inner: list[LayerInfo]
    inner_tied: list[LayerInfo]


@dataclass(frozen=True)
class GradientRow:
    """A channel whose pictures are shown by every kind of gradient. kinds: each has a picture
    rules/<layer>-<kind>.webp."""

    layer: str
    channel: int
    kinds: tuple[str, ...]


class Atlas:
    """An atlas folder, read once. descriptions: of its channels, from elsewhere; they are no part of the folder."""

    def __init__(self, folder: str | Path, descriptions: Descriptions = NO_DESCRIPTIONS) -> None:
        self.store = Store(folder)
        self.descriptions = descriptions
        self.manifest: Manifest = self.store.manifest()
        self.pictures: list[PictureRecord] = self.store.tables.images()
        self.class_labels = unique_labels(self.pictures)
        # By picture the label of its class on the pages, '' without one; no two classes have the same.
        self.picture_labels = [
            self.class_labels.get((record.label_id, record.label), "") for record in self.pictures
        ]
        self._layers: dict[str, Layer] = {}
        self._around: dict[str, Around] = {}
        self._shared: dict[tuple[str, str], list[int]] = {}
        self._matches: dict[tuple[str, bool], list[list[Match]]] = {}
        self._thumbnail_sheets: dict[str, tuple[int, int]] = {}
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
    def sprite_format(self) -> str:
        """The format of all sprites: the end of their files' names."""
        return next((sprite.format for sprite in self.manifest.sprites.values()), "webp")

    @cached_property
    def blocks(self) -> tuple[LayerInfo, ...]:
        return tuple(layer for layer in self.layers if layer.kind == "block")

    @cached_property
    def randomisation(self) -> Randomisation | None:
        """How much gradient pictures depend on the learnt weights; None where it was not measured."""
        return randomisation_from_json(self.store.tables.read_json("randomisation.json"))

    @cached_property
    def path_check(self) -> PathCheck | None:
        """Whether optimised pictures activate the layers below as natural ones do; None where it was not checked."""
        return path_check_from_json(self.store.tables.read_json("path_check.json"))

    @cached_property
    def gradient_rules(self) -> list[GradientRow]:
        """The channels whose kinds of gradients are shown side by side."""
        rows = (self.store.tables.read_json("rules.json") or {}).get("rows", [])
        hidden = set() if self.manifest.publish_patches else {"patches"}
        return [
            GradientRow(
                row["layer"], int(row["channel"]), tuple(kind for kind in row["kinds"] if kind not in hidden)
            )
            for row in rows
            if self.has(row["layer"])
        ]

    @cached_property
    def input_side(self) -> int:
        """Side in px of the square that holds the network's input."""
        return max(self.input_size)

    @cached_property
    def input_size(self) -> Size:
        """Height and width of the network's input in px."""
        first, preprocessing = self.manifest.layers[0], self.manifest.preprocessing
        stride = first.receptive_field.stride
        return (
            preprocessing.size
            if preprocessing.crop
            else (int(first.height * stride), int(first.width * stride))
        )

    @property
    def is_study(self) -> bool:
        """Whether its network is one of the experiments' small networks."""
        return self.manifest.model.startswith(STUDY)

    @property
    def shows_pictures(self) -> bool:
        """Whether whole pictures may be shown and are there."""
        return self.manifest.publish_patches and self.store.pictures.has_pictures()

    @cached_property
    def published(self) -> frozenset[int]:
        """The numbers of the whole pictures that the site shows."""
        if not self.shows_pictures:
            return frozenset()
        return frozenset(self.store.pictures.pictures())

    def layer(self, name: str) -> Layer:
        """The layer's numbers, read once."""
        if name not in self._layers:
            self._layers[name] = Layer(
                self.manifest.layer(name),
                self.manifest.sprites[name],
                self._numbers(name),
                pictured=self.store.pictures.sprites(name),
                ranged=self.store.pictures.ranges(name),
                published=self.published,
            )
        return self._layers[name]

    def thumbnail_sheet(self, name: str) -> tuple[int, int]:
        """Columns and rows of the layer's sheet of thumbnails; smaller in an atlas of the first channels alone."""
        if name not in self._thumbnail_sheets:
            self._thumbnail_sheets[name] = sheet_layout(
                self.store.pictures.thumbs_path(name), int(self.manifest.extra.get("thumb", THUMB))
            )
        return self._thumbnail_sheets[name]

    def _numbers(self, name: str) -> dict[str, np.ndarray]:
        """A layer's arrays. A comparison with the block before has a value only for channels that are active in both;
        all pages that count or average comparisons use these arrays."""
        arrays = self.store.arrays.layer(name)
        if (earlier := self._earlier.get(name)) is None:
            return arrays
        inactive_before = dead_channels(self.store.arrays.layer(earlier, "top", "statistics"))
        active = ~(dead_channels(arrays) | inactive_before)
        compared = {
            key: np.where(active, arrays[key], missing).astype(arrays[key].dtype)
            for key, missing in COMPARISONS.items()
            if key in arrays
        }
        return {**arrays, **compared}

    @cached_property
    def _earlier(self) -> dict[str, str]:
        """By block, the block before it in its stage, with which it is compared channel by channel."""
        blocks = [layer for layer in self.manifest.layers if layer.kind == "block"]
        return {
            after.name: before.name
            for before, after in itertools.pairwise(blocks)
            if (before.stage, before.channels) == (after.stage, after.channels)
        }

    @cached_property
    def layer_numbers(self) -> Mapping[str, int]:
        """By layer that has pages, its place among these, from 0."""
        return {layer.name: number for number, layer in enumerate(self.layers)}

    def has(self, name: str) -> bool:
        """Whether a layer of this name has pages."""
        return name in self.layer_numbers

    def around(self, layer: LayerInfo) -> Around:
        """The layer's place among the others."""
        if layer.name not in self._around:
            inner = self.inner_of(layer.name) if layer.kind in ("block", "layer") else []
            inner_tied = [other for other in inner if tied(self, other)]
            self._around[layer.name] = Around(
                *self.neighbours(layer), strip_layers(self, layer), inner, inner_tied
            )
        return self._around[layer.name]

    @cached_property
    def tile_groups(self) -> dict[str, tuple[LayerInfo, ...]]:
        """By name of a layer the layers whose channels of the same number stand on each other's pages, in forward
        order: the blocks of a stage with the convolutions that are added into them, or the layer alone."""
        groups = {layer.name: {layer.name} for layer in self.layers}
        for layer in self.layers:
            around = self.around(layer)
            joined = set().union(
                *(groups[other.name] for other in (layer, *around.strip, *around.inner_tied))
            )
            groups |= dict.fromkeys(joined, joined)
        return {
            name: tuple(layer for layer in self.layers if layer.name in group)
            for name, group in groups.items()
        }

    def place(self, layer: LayerInfo) -> str:
        """Where in the network a layer stands, in words; '' for a layer of a plain network, which has no stages."""
        if layer.kind == "stem":
            return "stem"
        alone = sum(other.stage == layer.stage for other in self.manifest.layers) == 1
        return "" if layer.kind == "layer" and alone else f"stage {layer.stage}"

    def stage_blocks(self, stage: int) -> list[LayerInfo]:
        return [layer for layer in self.blocks if layer.stage == stage]

    def inner_of(self, block: str) -> list[LayerInfo]:
        """The convolutions inside a block that have pages."""
        return [layer for layer in self.layers if layer.is_inner and layer.block == block]

    def shared(self, layer: str, other: str) -> list[int]:
        """For every channel of `layer`: how many top-9 pictures it shares with the same channel of `other`."""
        key = (layer, other)
        if key not in self._shared:
            self._shared[key] = self.layer(layer).shared_with(self.layer(other))
        return self._shared[key]

    @cached_property
    def relations(self) -> Relations | None:
        """How layers are related; None in an atlas of a version that did not compute it."""
        read = self.store.tables.read_json
        data = read("relations.json")
        if data is None:
            return None
        return relations_from_json(data, read("classes.json") or {})

    @cached_property
    def refinement(self) -> Refinement | None:
        """What channels do between blocks of a stage; None where it was not computed, or no stage has two blocks."""
        report = self.store.tables.read_json("refinement.json")
        return None if not report else refinement_from_json(report, self.has)

    @cached_property
    def chance_similarity(self) -> float:
        """The mean similarity of the classes of two pictures, NaN where it is not known."""
        value = (self.store.tables.read_json("classes.json") or {}).get("chance_similarity")
        return float("nan") if value is None else float(value)

    @cached_property
    def random_agreement(self) -> tuple[float, float] | None:
        """Between which values the label agreement of nine random pictures lies in 95 % of cases; None where it is not
        known."""
        chance = (self.store.tables.read_json("classes.json") or {}).get("chance") or {}
        band = chance.get("label_agreement") or {}
        low, high = band.get("low"), band.get("high")
        return None if low is None or high is None else (float(low), float(high))

    @cached_property
    def class_report(self) -> ClassReport | None:
        """How the class measures stand next to chance; None in an atlas of a version that did not compute it."""
        return class_report_from_json(self.store.tables.read_json("classes.json"))

    @cached_property
    def label_range(self) -> LabelRange:
        """How far labels agree along the channels' ranges."""
        return label_range(self.store.tables.read_json("label_range.json"))

    @cached_property
    def scored(self) -> int:
        """Of how many pictures the scores are stored."""
        return len(self.store.tables.scored_pictures())

    @cached_property
    def categories(self) -> Categories | None:
        """The classes and groups of classes with their channels; None in an atlas of a version without them."""
        return read_categories(self.store, self.pictures, self.kind_names("class"), self.has)

    @cached_property
    def effects(self) -> Effects | None:
        """What channels contribute to classes; None where it was not measured."""
        return read_effects(self.store, self.categories)

    @cached_property
    def pictures_of(self) -> Mapping[tuple[int, str], Sequence[int]]:
        """By class, its label_id and label, the numbers of its pictures."""
        numbers: dict[tuple[int, str], list[int]] = {}
        for number, record in enumerate(self.pictures):
            numbers.setdefault((record.label_id, record.label), []).append(number)
        return numbers

    @cached_property
    def answers(self) -> np.ndarray | None:
        """(N,) the network's answer for every picture, as the number of a class; None where it is not known."""
        found = self.store.arrays.predictions()
        if found is None or self.effects is None or self.effects.absent:
            return None
        output, score = found
        return (score > 0).astype(output.dtype) if self.effects.is_binary else output

    def kind_names(self, kind: str) -> Sequence[str]:
        """The names of the classes, or of the groups (kind: class or group), by number."""
        if kind == "group":
            return self.class_report.groups if self.class_report else ()
        return self._class_names

    @cached_property
    def _class_names(self) -> list[str]:
        classes = self.store.tables.class_groups()
        return [self.class_labels.get((number, label), label) for number, label in classes]

    @cached_property
    def labels_repeat(self) -> bool:
        """Whether any two pictures have the same label: if not, the labels of nine pictures say nothing in common."""
        labels = [label for label in self.picture_labels if label]
        return len(labels) > len(set(labels))

    @cached_property
    def pairs_at(self) -> dict[str, list[LayerPair]]:
        """By layer, the compared pairs of layers that it is one of."""
        pairs: dict[str, list[LayerPair]] = {}
        for pair in pairs_shown(self):
            for name in (pair.source, pair.target):
                pairs.setdefault(name, []).append(pair)
        return pairs

    def matches(self, pair: LayerPair, *, forward: bool) -> list[list[Match]]:
        """By channel of a pair's source (forward) or target, its matches in the other layer, strongest first."""
        key = (pair.name, forward)
        if key not in self._matches:
            arrays = self.store.arrays.matches(pair.name)
            layer = self.manifest.layer(pair.source if forward else pair.target)
            self._matches[key] = (
                [[]] * layer.channels
                if arrays is None
                else matches_by_channel(arrays, "forward" if forward else "backward")
            )
        return self._matches[key]

    def neighbours(self, layer: LayerInfo) -> tuple[LayerInfo | None, LayerInfo | None]:
        """The layer of the same kind before and after this one in its stage: what ↑ and ↓ lead to."""

        def suffix(info: LayerInfo) -> str:
            return info.name.removeprefix(info.block)

        alike = [
            x
            for x in self.layers
            if x.stage == layer.stage and x.kind == layer.kind and suffix(x) == suffix(layer)
        ]
        index = alike.index(layer)
        return (alike[index - 1] if index else None, alike[index + 1] if index + 1 < len(alike) else None)

    def labels_of(self, layer: str, channel: int) -> list[tuple[str, int]]:
        """The labels of the channel's nine pictures, with how many carry each, most frequent first."""
        labels = (self.picture_labels[image] for image in self.layer(layer).nine(channel))
        return Counter(label for label in labels if label).most_common()


def in_full(atlases: Sequence[Atlas]) -> tuple[list[Atlas], list[Atlas]]:
    """The atlases that a page about all atlases shows in full, and those that it only names: the many small networks of
    the experiments, where there are others."""
    studies = [atlas for atlas in atlases if atlas.is_study]
    if len(studies) == len(atlases):
        return studies, []
    return [atlas for atlas in atlases if not atlas.is_study], studies


def pairs_shown(atlas: Atlas) -> list[LayerPair]:
    """The compared pairs of layers that both have pages, in forward order."""
    pairs = atlas.relations.pairs if atlas.relations else ()
    return [pair for pair in pairs if atlas.has(pair.source) and atlas.has(pair.target)]


def strip_layers(atlas: Atlas, layer: LayerInfo) -> list[LayerInfo]:
    """The layers whose channel of the same number a channel's page shows: the blocks of its stage; for the last
    convolution of a block, the block."""
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
    # A dense layer is no sum: its name stands for its last convolution, of kind "layer".
    if any(x.name == layer.block and x.kind == "layer" for x in atlas.manifest.layers):
        return False
    branch = [x for x in atlas.manifest.layers if x.kind == "branch" and x.block == layer.block]
    blocks = [x for x in atlas.manifest.layers if x.kind == "block" and x.name == layer.block]
    # An atlas of chosen layers may lack the last convolution.
    return bool(branch) and branch[-1] == layer and all(x.channels == layer.channels for x in blocks)

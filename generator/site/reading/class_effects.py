"""A class of the network's outputs as its page shows it: the channels that raise it most, and its pictures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.effects import EffectClass, Effects
from generator.site.reading.layer import Cell, channel_cell

IN_FULL = 8  # channels of the last layer of a stage, with thumbnails
IN_SHORT = 4  # channels of its other layers, as links
PICTURES = 48  # of the class


@dataclass(frozen=True)
class RaisingChannel:
    """A channel that raises a class. mean: its mean contribution in the pictures of the class; reach: of the 95 %
    interval to each side, None where it is not known; cell: its thumbnail."""

    channel: int
    mean: float
    reach: float | None
    cell: Cell


@dataclass(frozen=True)
class RaisingLayer:
    """The channels of a layer that raise a class most. number: of the layer among those with pages; columns: of its
    sheet of thumbnails."""

    name: str
    number: int
    columns: int
    channels: Sequence[RaisingChannel]


@dataclass(frozen=True)
class RaisingStage:
    """The layers of a stage, named by its place in the network. last: shown with thumbnails; others: the layers before
    it."""

    place: str
    last: RaisingLayer
    others: Sequence[RaisingLayer]


@dataclass(frozen=True)
class ClassEffects:
    """What a class's page says of contributions. absent: why there are none, '' otherwise; effect: the class; output:
    what the number is called that is traced back; exact: the layer for which the weights say all, '' for none;
    pictures: numbers of those of its `of` pictures that are shown."""

    absent: str
    effect: EffectClass | None = None
    by_answer: bool = True
    output: str = ""
    exact: str = ""
    stages: Sequence[RaisingStage] = ()
    pictures: Sequence[int] = ()
    of: int = 0

    @property
    def has_intervals(self) -> bool:
        """Whether the means have intervals."""
        return any(each.reach is not None for stage in self.stages for each in stage.last.channels)


def class_effects(
    atlas: Atlas, effects: Effects, effect: EffectClass | None, labels: frozenset[tuple[int, str]]
) -> ClassEffects:
    """What the page of a class says. effect: None where the labels' class is not known to be one of the outputs;
    labels: of its pictures, none where they are those with this answer."""
    numbers = _pictures(atlas, effects, effect, labels)
    published = [number for number in numbers if number in atlas.published]
    shown, of = published[:PICTURES], len(numbers)
    if effects.absent:
        return ClassEffects(effects.absent, pictures=shown, of=of)
    if effect is None or not effect.pictures:
        absent = ("" if effects.by_answer else effects.limit) or effects.basis
        return ClassEffects(absent, pictures=shown, of=of)
    layers = [layer for layer in atlas.layers if layer.name in effects.layers]
    stages = []
    for place, group in itertools.groupby(layers, key=lambda layer: atlas.place(layer) or layer.name):
        *others, last = group
        stages.append(
            RaisingStage(
                place,
                _layer(atlas, effects, effect, last, IN_FULL),
                [_layer(atlas, effects, effect, layer, IN_SHORT) for layer in others],
            )
        )
    return ClassEffects("", effect, effects.by_answer, effects.output, effects.exact, stages[::-1], shown, of)


def answer_classes(atlas: Atlas) -> list[EffectClass]:
    """The classes with pages of their own: those of the outputs that are not classes of the labels."""
    if atlas.effects is None:
        return []
    of_labels = {effect.number for effect in atlas.effects.of_category.values()}
    classes = atlas.effects.classes.values()
    return [effect for effect in classes if effect.address and effect.number not in of_labels]


def raised_by(atlas: Atlas, effect: EffectClass | None, count: int = 1) -> list[tuple[str, int, float]]:
    """The channels that raise a class most in the last of the layers, as layer, channel and mean contribution."""
    if effect is None or atlas.effects is None or not effect.pictures:
        return []
    last = [layer.name for layer in atlas.layers if layer.name in atlas.effects.layers][-1:]
    return [
        (name, channel, mean)
        for name in last
        for channel, mean in zip(
            *(
                atlas.layer(name).arrays[f"class_{x}"][effect.row, :count].tolist()
                for x in ("channel", "mean")
            ),
            strict=True,
        )
        if channel >= 0
    ]


def _layer(atlas: Atlas, effects: Effects, effect: EffectClass, info: LayerInfo, count: int) -> RaisingLayer:
    layer = atlas.layer(info.name)
    columns = (layer.arrays[f"class_{x}"][effect.row, :count].tolist() for x in ("channel", "mean", "reach"))
    return RaisingLayer(
        name=info.name,
        number=atlas.layer_numbers[info.name],
        columns=atlas.thumbnail_sheet(info.name)[0],
        channels=[
            RaisingChannel(
                channel,
                mean,
                reach if math.isfinite(reach) else None,
                channel_cell(atlas, layer, channel),
            )
            for channel, mean, reach in zip(*columns, strict=True)
            if channel >= 0
        ],
    )


def _pictures(
    atlas: Atlas, effects: Effects, effect: EffectClass | None, labels: frozenset[tuple[int, str]]
) -> list[int]:
    """The numbers of a class's pictures in images.csv."""
    if labels:
        return sorted(number for label in labels for number in atlas.pictures_of.get(label, ()))
    answers = atlas.answers
    if effect is None or answers is None:
        return []
    return np.flatnonzero(answers == effect.number).tolist()

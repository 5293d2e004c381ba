"""What a channel does to the network's outputs, as its page shows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.effects import Effects
from generator.site.reading.tiles import covers_picture

SHOWN = 3  # classes that a channel raises, and as many that it lowers


@dataclass(frozen=True)
class ClassEffect:
    """A class that a channel raises or lowers. mean: its mean contribution in the pictures of the class; reach: of the
    95 % interval to each side, None where it is not known; rank: among the layer's channels, from 1."""

    name: str
    address: str
    mean: float
    reach: float | None
    rank: int
    pictures: int


@dataclass(frozen=True)
class WeightEffect:
    """A class that a channel raises or lowers in the mean of all pictures, by the classifier's weights."""

    name: str
    address: str
    mean: float


@dataclass(frozen=True)
class EffectPicture:
    """One of the nine pictures in which a channel contributes most. number: in images.csv; is_published: whether the
    site shows it; unit: column and row of the unit that contributes most of it; is_top: whether the channel's top-9
    holds it too."""

    number: int
    is_published: bool
    label: str
    value: float
    unit: tuple[int, int]
    is_top: bool


@dataclass(frozen=True)
class ChannelEffects:
    """What a channel does to the outputs. absent: why nothing is known, '' otherwise; raised, lowered: the classes,
    the largest contribution first; raised_by_weights, lowered_by_weights: the same of the last block; pictures:
    strongest first; top: how many of them are among its top-9; layer_number: the class of fields.css; whole: whether
    the pictures are shown whole; channels: of the layer; limit: which classes have no means, '' where all have them;
    has_means: whether some have."""

    absent: str
    raised: Sequence[ClassEffect] = ()
    lowered: Sequence[ClassEffect] = ()
    raised_by_weights: Sequence[WeightEffect] = ()
    lowered_by_weights: Sequence[WeightEffect] = ()
    pictures: Sequence[EffectPicture] = ()
    top: int = 0
    layer_number: int = 0
    whole: bool = False
    channels: int = 0
    by_answer: bool = True
    output: str = ""
    limit: str = ""
    has_means: bool = True


def channel_effects(atlas: Atlas, info: LayerInfo, channel: int) -> ChannelEffects | None:
    """What a channel contributes; None for a dead one, and for a layer of which nothing was measured."""
    effects, layer = atlas.effects, atlas.layer(info.name)
    if effects is None or layer.dead[channel] or info.is_inner:
        return None
    if effects.absent:
        return ChannelEffects(effects.absent)
    if info.name not in effects.layers or "raised_class" not in layer.arrays:
        return None
    nine = set(layer.nine(channel))
    images, values, units = (
        layer.arrays[f"effect_{x}"][channel].tolist() for x in ("image", "value", "unit")
    )
    pictures = [
        EffectPicture(
            number=image,
            is_published=image in atlas.published,
            label=atlas.picture_labels[image],
            value=value,
            unit=(column, row),
            is_top=image in nine,
        )
        for image, value, (row, column) in zip(images, values, units, strict=True)
        if image >= 0
    ]
    return ChannelEffects(
        absent="",
        raised=_classes(effects, layer.arrays, "raised", channel),
        lowered=_classes(effects, layer.arrays, "lowered", channel),
        raised_by_weights=_by_weights(effects, layer.arrays, "raised", channel),
        lowered_by_weights=_by_weights(effects, layer.arrays, "lowered", channel),
        pictures=pictures,
        top=sum(picture.is_top for picture in pictures),
        layer_number=atlas.layer_numbers[info.name],
        whole=covers_picture(atlas, info),
        channels=info.channels,
        by_answer=effects.by_answer,
        output=effects.output,
        limit=effects.limit,
        has_means=bool(effects.classes) or not effects.limit,
    )


def _classes(
    effects: Effects, arrays: Mapping[str, np.ndarray], side: str, channel: int
) -> list[ClassEffect]:
    columns = (arrays[f"{side}_{x}"][channel].tolist() for x in ("class", "mean", "reach", "rank"))
    return [
        ClassEffect(
            effects.classes[number].name,
            effects.classes[number].address,
            mean,
            reach if math.isfinite(reach) else None,
            rank,
            effects.classes[number].pictures,
        )
        for number, mean, reach, rank in zip(*(column[:SHOWN] for column in columns), strict=True)
        if number >= 0
    ]


def _by_weights(
    effects: Effects, arrays: Mapping[str, np.ndarray], side: str, channel: int
) -> list[WeightEffect]:
    if f"weights_{side}_class" not in arrays:
        return []
    columns = (arrays[f"weights_{side}_{x}"][channel].tolist() for x in ("class", "mean"))
    found = []
    for number, mean in zip(*(column[:SHOWN] for column in columns), strict=True):
        if number >= 0:
            known = effects.classes.get(number)
            name = effects.names[number] if known is None else known.name
            found.append(WeightEffect(name, "" if known is None else known.address, mean))
    return found

"""One record per channel: what its page, the published JSON and the tables are written from.

A part that adds something to the channel's page adds its data here, in three lines: a type of its own (a NamedTuple for
what is listed: it becomes a short row in the JSON), a field of `ChannelRecord` with its meaning in `Field`, and its
value in `channel_record`. The JSON Schema, the files and the guide's table of fields follow from the types. Field names
are a contract with those who read the files: none is renamed, removed or changes what it means without need. Raise
SCHEMA with every change of the fields, and say in SINCE which came with it. A new array of one number per channel needs
nothing: it is among `numbers`.

Numbers have the precision of the atlas (float32), in as few digits as give it back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, WithJsonSchema

from generator.core.records import TOP, LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_change import ChangeSentence, change_sentences
from generator.site.reading.channel_effects import ChannelEffects, ClassEffect, WeightEffect, channel_effects
from generator.site.reading.channel_range import known_strips
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.reading.feeds import ChannelFeeds
from generator.site.reading.inputs import InputChannel, input_tree
from generator.site.reading.layer_numbers import Layer, Number
from generator.site.reading.layer_pairs import NetworkMatches
from generator.site.reading.relations import SimilarChannels, similar_channels

SCHEMA = 2
# By version, the fields that came with it.
SINCE: Mapping[int, Sequence[str]] = {
    2: ("histogram", "raises_exact", "lowers_exact", "feeds", "weights", "outputs"),
}


class TopPicture(NamedTuple):
    """One of the channel's top-9 pictures."""

    picture: Annotated[int, Field(description="its number in images.csv")]
    value: Annotated[float, Field(description="the channel's score: the strongest value of its map")]
    row: Annotated[int, Field(description="of this value in the activation map, from 0")]
    column: Annotated[int, Field(description="of this value in the activation map, from 0")]
    shortcut: Annotated[
        float | None,
        Field(description="of a residual block: what the shortcut gave this unit before the last ReLU"),
    ]
    branch: Annotated[float | None, Field(description="of a residual block: what the branch gave it")]
    focus_row: Annotated[
        int | None,
        Field(description="where the tiles are cut to the unit's focus: its first row in the picture, in px"),
    ]
    focus_column: Annotated[int | None, Field(description="its first column in the picture, in px")]
    focus_side: Annotated[int | None, Field(description="its side in px")]


class RangeStrip(NamedTuple):
    """Nine pictures at a quantile of the channel's scores above zero."""

    quantile: Annotated[int, Field(description="in per cent; 100: the top-9, 0: the weakest nine")]
    lowest: Annotated[float, Field(description="the lowest of their scores")]
    highest: Annotated[float, Field(description="the highest of their scores")]
    agreement: Annotated[float | None, Field(description="their label agreement; null where it is not known")]
    pictures: Annotated[Sequence[int], Field(description="their numbers in images.csv, strongest first")]


class LabelCount(NamedTuple):
    """A label of the top-9 pictures."""

    label: str
    pictures: Annotated[int, Field(description="how many of them carry it")]


class CategoryCount(NamedTuple):
    """A class or a group of classes that many of the top-9 pictures are of."""

    name: str
    pictures: Annotated[int, Field(description="how many of them are of it")]
    expected: Annotated[float, Field(description="how many of as many random pictures, on average")]
    average_precision: Annotated[float | None, Field(description="of the channel's scores for it")]
    chance: Annotated[float, Field(description="the average precision of a random order")]


class DescriptionRow(NamedTuple):
    """What somebody else says that the channel responds to."""

    text: str
    score: Annotated[float | None, Field(description="how well it fits, on the scale of its source")]
    source: str


class Verdict(NamedTuple):
    """What becomes of the channel since an earlier block of its stage."""

    since: Annotated[str, Field(description="the earlier block")]
    verdict: Annotated[str, Field(description="as on the page Refinement")]


class SimilarChannel(NamedTuple):
    """A channel of another layer that matches this one."""

    layer: str
    channel: int
    shared: Annotated[int, Field(description="how many of their top-9 pictures are the same")]
    rho: Annotated[float | None, Field(description="rank correlation of the scores")]
    partial_rho: Annotated[float | None, Field(description="partial rank correlation")]


class DistantChannel(NamedTuple):
    """A channel of another network that matches this one."""

    network: Annotated[str, Field(description="the other network's folder on the site")]
    layer: str
    channel: int
    shared: Annotated[int, Field(description="how many of their top-9 pictures are the same")]
    rho: Annotated[float | None, Field(description="rank correlation of the scores")]
    partial_rho: Annotated[float | None, Field(description="partial rank correlation")]


class ClassContribution(NamedTuple):
    """A class whose output the channel raises or lowers."""

    name: str
    mean: Annotated[float, Field(description="its mean contribution in the pictures of the class")]
    reach: Annotated[float | None, Field(description="of the mean's 95 % interval to each side")]
    rank: Annotated[int, Field(description="of the channel for this class in its layer, from 1")]
    pictures: Annotated[int, Field(description="how many pictures the mean is of")]


class ExactContribution(NamedTuple):
    """A class whose output the channel raises or lowers, over all pictures."""

    name: str
    mean: Annotated[
        float, Field(description="its mean contribution in all pictures, by the classifier's weights")
    ]


class ContributingPicture(NamedTuple):
    """A picture to whose class the channel contributes most."""

    picture: Annotated[int, Field(description="its number in images.csv")]
    contribution: float
    row: Annotated[int, Field(description="of the unit that gives most of it, from 0")]
    column: Annotated[int, Field(description="of that unit, from 0")]


class InputStrength(NamedTuple):
    """One of the strongest inputs of a convolution's channel."""

    layer: str
    channel: int
    strength: float


class UnitPart(NamedTuple):
    """What the shortcut or the branch of a residual block gives to the channel's units, before the last ReLU."""

    part: Annotated[str, Field(description="branch or shortcut")]
    value: Annotated[float, Field(description="what it gives, the mean over the channel's top-9 units")]
    layer: Annotated[
        str, Field(description="whose channels it is made of; '' where it is not taken apart into channels")
    ]
    channels: Annotated[Sequence[int], Field(description="that give the largest terms")]
    terms: Annotated[Sequence[float], Field(description="what each of them gives")]
    others: Annotated[int, Field(description="how many further channels there are")]
    rest: Annotated[float, Field(description="what these give together")]
    constant: Annotated[float, Field(description="what comes of no channel: the folded bias")]


class WeightRow(NamedTuple):
    """A channel to which one of the largest weights leads, or from which it comes."""

    kind: Annotated[
        str,
        Field(
            description="along: into this channel, through the block's branch; onward: from it, through the next "
            "block's branch; reader: a convolution that reads it"
        ),
    ]
    layer: Annotated[str, Field(description="of the other channel")]
    channel: Annotated[int, Field(description="the other channel")]
    weight: Annotated[
        float,
        Field(
            description="along, onward: with its sign, × standard deviation; reader: the strength, without"
        ),
    ]
    sign: Annotated[int, Field(description="of the weight; 0 where neither sign outweighs the other")]


class OutputWeight(NamedTuple):
    """A weight of the classifier, less its mean over the outputs."""

    output: str
    weight: float


@dataclass(frozen=True)
class ChannelRecord:
    """Everything that the site says of a channel."""

    channel: Annotated[int, Field(description="its number in the layer, from 0")]
    dead: Annotated[bool, Field(description="whether no picture activates it")]
    sprite: Annotated[bool, Field(description="whether its tiles are published, as `<channel>.webp`")]
    sentence: Annotated[str, Field(description="what its page says first")]
    top: Annotated[
        Sequence[TopPicture], Field(description="its top-9 pictures, strongest first", max_length=TOP)
    ]
    range: Annotated[
        Sequence[RangeStrip],
        Field(description="nine pictures each from the strongest to the weakest; none inside a block"),
    ]
    histogram: Annotated[
        Sequence[int],
        Field(
            description="how many pictures' scores lie in each of the file's `bins`; none for a dead channel"
        ),
    ]
    labels: Annotated[Sequence[LabelCount], Field(description="of these pictures, most frequent first")]
    categories: Annotated[
        Sequence[CategoryCount], Field(description="classes and groups of classes that it is found for")
    ]
    descriptions: Annotated[
        Sequence[DescriptionRow], Field(description="what others say that it responds to")
    ]
    changes: Annotated[
        Sequence[Verdict], Field(description="what becomes of it from earlier blocks of the stage")
    ]
    similar: Annotated[
        Sequence[SimilarChannel],
        Field(description="matching channels in the layers next to it, strongest first"),
    ]
    across: Annotated[
        Sequence[DistantChannel], Field(description="matching channels of other networks of the site")
    ]
    raises: Annotated[
        Sequence[ClassContribution], Field(description="the classes that it raises most, the most first")
    ]
    lowers: Annotated[
        Sequence[ClassContribution], Field(description="the classes that it lowers most, the most first")
    ]
    raises_exact: Annotated[
        Sequence[ExactContribution],
        Field(description="in the last block: the classes that it raises most over all pictures"),
    ]
    lowers_exact: Annotated[Sequence[ExactContribution], Field(description="those that it lowers most")]
    contributes: Annotated[
        Sequence[ContributingPicture],
        Field(description="the pictures to whose class it contributes most, the most first", max_length=TOP),
    ]
    inputs: Annotated[
        Sequence[InputStrength],
        Field(description="the strongest inputs of a convolution; of a block, those of its last convolution"),
    ]
    feeds: Annotated[
        Sequence[UnitPart], Field(description="in a residual block: what its top-9 units are made of")
    ]
    weights: Annotated[
        Sequence[WeightRow], Field(description="the largest weights into it and from it, by kind and layer")
    ]
    outputs: Annotated[
        Sequence[OutputWeight],
        Field(description="where the classifier reads it: its largest weights, then its smallest"),
    ]
    numbers: Annotated[
        Mapping[str, Number],
        WithJsonSchema({"type": "array", "items": {"type": ["number", "null"]}}),
        Field(
            description="its numbers in channels.csv, in the order of the file's list `numbers`; null for none"
        ),
    ]


@dataclass(frozen=True)
class Found:
    """What is found once for a channel's record and for its page. effects: None where nothing was measured; tied: the
    last convolution of a block, whose inputs are the block's, None for a page of a convolution; tree: the inputs;
    feeds: what feeds it and what reads it, None where nothing is known."""

    changes: Sequence[ChangeSentence]
    effects: ChannelEffects | None
    similar: Sequence[SimilarChannels]
    tied: LayerInfo | None
    tree: Sequence[InputChannel]
    feeds: ChannelFeeds | None

    @classmethod
    def of(cls, atlas: Atlas, info: LayerInfo, channel: int, feeds: ChannelFeeds | None = None) -> Found:
        """All of it for one channel. feeds: are read once for the whole layer (`LayerFeeds`)."""
        tied = next((layer for layer in atlas.around(info).inner_tied if layer.kind == "branch"), None)
        return cls(
            change_sentences(atlas, info, channel),
            channel_effects(atlas, info, channel),
            similar_channels(atlas, info, channel),
            tied,
            input_tree(atlas, tied or info, channel, within_block=tied is not None),
            feeds,
        )


def channel_record(
    atlas: Atlas, info: LayerInfo, channel: int, found: Found, across: Sequence[NetworkMatches] = ()
) -> ChannelRecord:
    """The record of a channel. across: its matches in other networks."""
    layer, effects = atlas.layer(info.name), found.effects
    return ChannelRecord(
        channel=channel,
        dead=layer.dead[channel],
        sprite=channel in layer.pictured and not layer.dead[channel],
        sentence=channel_sentence(atlas, info, channel),
        top=top_pictures(layer, channel),
        range=_range(atlas, layer, channel),
        histogram=_histogram(layer, channel),
        labels=[LabelCount(label, count) for label, count in atlas.labels_of(info.name, channel)],
        categories=_categories(atlas, layer, channel),
        descriptions=[
            DescriptionRow(each.text, each.score, each.source)
            for each in atlas.descriptions.of(info.name, channel)
        ],
        changes=[Verdict(change.layer, change.verb) for change in found.changes],
        similar=[
            SimilarChannel(other.layer, match.channel, match.shared, _exact(match.rho), _exact(match.partial))
            for other in found.similar
            for match in other.matches
        ],
        across=[
            DistantChannel(
                other.name, match.layer, match.channel, match.shared, _exact(match.rho), _exact(match.partial)
            )
            for other in across
            for match in other.matches
        ],
        raises=_contributions([] if effects is None else effects.raised),
        lowers=_contributions([] if effects is None else effects.lowered),
        raises_exact=_exact_contributions([] if effects is None else effects.raised_by_weights),
        lowers_exact=_exact_contributions([] if effects is None else effects.lowered_by_weights),
        contributes=[
            ContributingPicture(each.number, _digits(each.value), each.unit[1], each.unit[0])
            for each in ([] if effects is None else effects.pictures)
        ],
        inputs=[InputStrength(each.layer, each.channel, _digits(each.weight)) for each in found.tree],
        feeds=_unit_parts(found.feeds),
        weights=_weights(found.feeds),
        outputs=_outputs(found.feeds),
        numbers={name: values[channel] for name, values in layer.numbers.items()},
    )


def top_pictures(layer: Layer, channel: int) -> list[TopPicture]:
    """The channel's top-9 pictures, strongest first."""
    units = layer.units[channel]
    shortcuts, branches = (
        [None] * TOP if (values := layer.arrays.get(name)) is None else values[channel].tolist()
        for name in ("top_shortcut", "top_branch")
    )
    focus = layer.focus_of(channel)
    return [
        TopPicture(
            picture,
            _digits(layer.arrays["top_value"][channel, place]),
            units[place][0],
            units[place][1],
            _exact(shortcuts[place]),
            _exact(branches[place]),
            *(focus[place] if focus[place][2] else (None, None, None)),
        )
        for place, picture in enumerate(layer.images[channel])
        if picture >= 0
    ]


def _range(atlas: Atlas, layer: Layer, channel: int) -> list[RangeStrip]:
    return [
        RangeStrip(
            strip.quantile,
            _digits(strip.values[-1]),
            _digits(strip.values[0]),
            _exact(strip.agreement),
            strip.pictures,
        )
        for strip in known_strips(atlas, layer, channel)
    ]


def _categories(atlas: Atlas, layer: Layer, channel: int) -> list[CategoryCount]:
    if atlas.categories is None:
        return []
    pictures = len(layer.nine(channel))
    return [
        CategoryCount(
            each.category.name,
            each.count,
            float(f"{each.category.expected(pictures):.6g}"),
            _exact(each.precision),
            float(f"{each.category.chance:.6g}"),
        )
        for each in atlas.categories.best_names(layer.info.name, channel)
    ]


def _contributions(classes: Sequence[ClassEffect]) -> list[ClassContribution]:
    return [
        ClassContribution(each.name, _digits(each.mean), _exact(each.reach), each.rank, each.pictures)
        for each in classes
    ]


def _histogram(layer: Layer, channel: int) -> list[int]:
    counts = layer.arrays.get("histogram")
    return [] if counts is None or layer.dead[channel] else counts[channel].tolist()


def _exact_contributions(classes: Sequence[WeightEffect]) -> list[ExactContribution]:
    return [ExactContribution(each.name, _digits(each.mean)) for each in classes]


def _unit_parts(feeds: ChannelFeeds | None) -> list[UnitPart]:
    if feeds is None or feeds.sum is None:
        return []
    parts = (
        ("shortcut", feeds.sum.shortcut, feeds.sum.by_shortcut),
        ("branch", feeds.sum.branch, feeds.sum.by_branch),
    )
    return [
        UnitPart(name, _digits(value), "", (), (), 0, 0.0, 0.0)
        if found is None
        else UnitPart(
            name,
            _digits(value),
            found.layer,
            [term.channel for term in found.terms],
            [_digits(term.value) for term in found.terms],
            found.others,
            _digits(found.rest),
            _digits(found.constant),
        )
        for name, value, found in parts
    ]


def _weights(feeds: ChannelFeeds | None) -> list[WeightRow]:
    if feeds is None:
        return []
    found = [("along", feeds.along), ("onward", feeds.onward), *(("reader", each) for each in feeds.readers)]
    return [
        WeightRow(
            kind,
            terms.layer,
            term.channel,
            _digits(term.value),
            term.sign if kind == "reader" else int(np.sign(term.value)),
        )
        for kind, terms in found
        if terms is not None
        for term in terms.terms
    ]


def _outputs(feeds: ChannelFeeds | None) -> list[OutputWeight]:
    named = [] if feeds is None else [*feeds.raised, *feeds.lowered]
    return [OutputWeight(name, _digits(weight)) for name, weight in named]


def _digits(value: float) -> float:
    """A float32, which may have come as a double, in its fewest digits."""
    return float(str(np.float32(value)))


def _exact(value: float | None) -> float | None:
    """As _digits; None where there is no number."""
    return None if value is None or not math.isfinite(value) else _digits(value)

"""The record of a channel (record.py), made from the atlas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import TOP, LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_change import ChangeSentence, change_sentences
from generator.site.reading.channel_effects import ChannelEffects, ClassEffect, WeightEffect, channel_effects
from generator.site.reading.channel_range import known_strips
from generator.site.reading.channel_sentence import channel_sentence
from generator.site.reading.feeds import ChannelFeeds
from generator.site.reading.inputs import InputChannel, input_tree
from generator.site.reading.layer_numbers import Layer
from generator.site.reading.layer_pairs import NetworkMatches
from generator.site.reading.record import (
    CategoryCount,
    ChannelRecord,
    ClassContribution,
    ContributingPicture,
    DescriptionRow,
    DistantChannel,
    ExactContribution,
    InputStrength,
    LabelCount,
    OutputWeight,
    RangeStrip,
    SimilarChannel,
    TopPicture,
    UnitPart,
    Verdict,
    WeightRow,
)
from generator.site.reading.relations import SimilarChannels, similar_channels


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

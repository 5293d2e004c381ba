"""What a channel's page shows, as records for its template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo, Size
from generator.site.reading.atlas import Atlas
from generator.site.reading.categories import CategoryChannel
from generator.site.reading.channel_change import ChangeSentence, verdict_of
from generator.site.reading.channel_effects import ChannelEffects
from generator.site.reading.channel_range import RangeSection, range_section
from generator.site.reading.channel_record import Found, channel_record
from generator.site.reading.class_sentences import class_sentences
from generator.site.reading.descriptions import Description
from generator.site.reading.feeds import ChannelFeeds
from generator.site.reading.inputs import InputChannel
from generator.site.reading.layer_numbers import Layer, MeasureColumn
from generator.site.reading.layer_pairs import NetworkMatches
from generator.site.reading.measure import Measure
from generator.site.reading.measure_groups import TITLES, measure_groups
from generator.site.reading.optimised import OptimisedPicture, optimised_picture
from generator.site.reading.record import ChannelRecord
from generator.site.reading.relations import SimilarChannels
from generator.site.reading.tiles import (
    Tile,
    covers_picture,
    own_tile_data,
    tile_file,
    tile_view,
    tiles_of,
)
from generator.site.reading.whole_pictures import WholePicture, whole_pictures


@dataclass(frozen=True)
class Neighbours:
    """Where the arrow keys lead, None where there is nothing. previous, next: channels of the same layer; up, down: the
    layers before and after in the stage, where they have a channel of this number."""

    previous: int | None
    next: int | None
    up: str | None
    down: str | None


@dataclass(frozen=True)
class TopPictures:
    """The nine pictures (fewer where fewer activate the channel; none of a dead one).

    absent: why the channel shows no pictures, or ''; sprite: address of the picture that holds all tiles; tiles:
    strongest first; wholes: what stands in place of tiles where the channel has no sprite; published: how many of
    these; is_cut: whether the units' fields are shown as well, cut out of them;
    whole: whether the tiles show whole pictures with the unit's place; view: viewBox of the marks; focus: the smallest
    and the largest side of a tile's focus, in px, None where no tile is cut to one; size: of the network's input, in
    px.
    """

    absent: str
    sprite: str
    tiles: Sequence[Tile]
    wholes: Sequence[WholePicture]
    published: int
    is_cut: bool
    whole: bool
    view: str
    focus: tuple[int, int] | None
    size: Size


@dataclass(frozen=True)
class Statistic:
    """A statistic of the channel. value: None where the channel has none; place: where it lies between the layer's
    lowest and highest value, 0 to 96."""

    measure: Measure
    value: float | None
    place: int | None


@dataclass(frozen=True)
class StatisticGroup:
    """Statistics under one heading. key: what they are about, and the name of their histograms in bars.svg."""

    key: str
    title: str
    statistics: Sequence[Statistic]


@dataclass(frozen=True)
class StageRow:
    """The channel of the same number in a block of the stage. here: whether it is this page's; absent: why it shows no
    pictures, or ''; wholes: in place of tiles; compared with the block before: shared pictures, rank correlation (None
    where it is not known), and what it does ('refines', 'blurs' or '')."""

    layer: str
    here: bool
    absent: str
    wholes: Sequence[WholePicture]
    shared: int | None
    rho: float | None
    verdict: str


@dataclass(frozen=True)
class InnerRow:
    """The channel of the same number in a convolution of the block. absent: why it shows no pictures, or ''; wholes: in
    place of tiles."""

    layer: str
    absent: str
    wholes: Sequence[WholePicture]


@dataclass(frozen=True)
class Inside:
    """What lies inside the block. rows: convolutions whose channels are added into the block's; untied: convolutions
    whose channels have numbers of their own; last: the block's last convolution, '' for a page of a convolution;
    tree: its strongest inputs, or those of this page's convolution."""

    rows: Sequence[InnerRow]
    untied: Sequence[LayerInfo]
    last: str
    tree: Sequence[InputChannel]


@dataclass(frozen=True)
class ChannelPage:
    """Everything that a channel's page shows.

    record: what is published of the channel, with its sentence and its labels; classes: sentences on the classes of its
    pictures; categories: the classes and groups of classes that many of its pictures are of; descriptions: from
    elsewhere; changes: how it changes from earlier blocks; spread: its whole range, None for a dead channel; strip: the
    blocks of the stage, empty where there is only one; data: of its tiles, for the scripts (`own_tile_data`), '' where
    there are none or where they stand in data_file, a script below the network's folder, '' without one; preview: full
    address of the picture that stands for the page where somebody links to it, '' where the site's own address is not
    known or the channel shows no picture.
    """

    channel: int
    record: ChannelRecord
    neighbours: Neighbours
    changes: Sequence[ChangeSentence]
    classes: Sequence[str]
    categories: Sequence[CategoryChannel]
    descriptions: Sequence[Description]
    top: TopPictures
    optimised: OptimisedPicture | None
    spread: RangeSection | None
    groups: Sequence[StatisticGroup]
    strip: Sequence[StageRow]
    effects: ChannelEffects | None
    similar: Sequence[SimilarChannels]
    inside: Inside
    data: str
    data_file: str
    preview: str


def channel_page(
    atlas: Atlas,
    info: LayerInfo,
    channel: int,
    base_url: str,
    across: Sequence[NetworkMatches] = (),
    feeds: ChannelFeeds | None = None,
) -> ChannelPage:
    """The content of a channel's page. base_url: the address of the published site, '' if that is not known; across:
    the channel's matches in other networks; feeds: what feeds it and what reads it, None where nothing is known."""
    layer, found = atlas.layer(info.name), Found.of(atlas, info, channel, feeds)
    top = _top_pictures(atlas, layer, channel)
    return ChannelPage(
        channel=channel,
        record=channel_record(atlas, info, channel, found, across),
        neighbours=_neighbours(atlas, info, channel),
        changes=found.changes,
        classes=class_sentences(atlas, info, channel),
        categories=atlas.categories.best_names(info.name, channel) if atlas.categories else [],
        descriptions=atlas.descriptions.of(info.name, channel),
        top=top,
        optimised=optimised_picture(atlas, layer, channel),
        spread=range_section(atlas, info, channel),
        groups=_groups(layer, channel),
        strip=_strip(atlas, info, channel),
        effects=found.effects,
        similar=found.similar,
        inside=_inside(atlas, info, channel, found),
        data=_tile_data(atlas, info, channel, top),
        data_file=tile_file(atlas, info, channel),
        preview=f"{base_url}{atlas.name}/{picture}"
        if base_url and (picture := _picture(atlas, layer, top))
        else "",
    )


def _picture(atlas: Atlas, layer: Layer, top: TopPictures) -> str:
    """The sprite, else the strongest picture that is published, below the network's folder; '' for none. Services that
    draw previews of links often do not read AVIF."""
    if top.wholes or (layer.sprite.format == "avif" and not top.absent):
        pictures = (tile.picture for tile in top.tiles if tile.picture in atlas.published)
        return next((f"pictures/{picture}.webp" for picture in pictures), "")
    return "" if top.absent else f"{layer.info.name}/{top.sprite}"


def _neighbours(atlas: Atlas, info: LayerInfo, channel: int) -> Neighbours:
    around = atlas.around(info)
    before, after = around.before, around.after
    return Neighbours(
        previous=channel - 1 if channel else None,
        next=channel + 1 if channel + 1 < info.channels else None,
        up=before.name if before and channel < before.channels else None,
        down=after.name if after and channel < after.channels else None,
    )


def _top_pictures(atlas: Atlas, layer: Layer, channel: int) -> TopPictures:
    wholes = whole_pictures(atlas, layer.info.name, channel)
    has_patches = layer.has_tiles(channel) and layer.sprite.panels[:1] == ("patches",)
    covers = has_patches and covers_picture(atlas, layer.info)
    tiles = [] if layer.dead[channel] else tiles_of(atlas, layer, channel, marked=covers)
    sides = [int(tile.focus.square[2]) for tile in tiles if tile.focus]
    return TopPictures(
        absent=layer.absence(channel),
        sprite=f"{channel}.{layer.sprite.format}",
        tiles=tiles,
        wholes=wholes,
        published=sum(picture.number is not None for picture in wholes),
        is_cut=bool(wholes) and not covers_picture(atlas, layer.info),
        whole=any(tile.mark for tile in tiles),
        view=tile_view(atlas, layer.info),
        focus=(min(sides), max(sides)) if sides else None,
        size=atlas.input_size,
    )


def _groups(layer: Layer, channel: int) -> list[StatisticGroup]:
    """Every statistic of the layer, also where the channel has no value, because the histograms next to them are one
    picture for the whole layer. Empty for a dead channel."""
    if layer.dead[channel]:
        return []
    return [
        StatisticGroup(
            group.key, TITLES[group.key], [_statistic(column, channel) for column in group.columns]
        )
        for group in measure_groups(layer)
    ]


def _statistic(column: MeasureColumn, channel: int) -> Statistic:
    if not column.present[channel]:
        return Statistic(column.measure, None, None)
    return Statistic(column.measure, column.values[channel], column.places[channel])


def _strip(atlas: Atlas, info: LayerInfo, channel: int) -> list[StageRow]:
    layers = atlas.around(info).strip
    rows = []
    for number, other in enumerate(layers):
        previous = layers[number - 1] if number else None
        compared = previous is not None and other.kind == previous.kind == "block"
        rows.append(
            StageRow(
                layer=other.name,
                here=other == info,
                absent=atlas.layer(other.name).absence(channel),
                wholes=whole_pictures(atlas, other.name, channel),
                shared=atlas.shared(other.name, previous.name)[channel] if compared and previous else None,
                rho=atlas.layer(other.name).correlations[channel] if compared else None,
                verdict=verdict_of(atlas, other.name, channel) if compared else "",
            )
        )
    return rows if len(rows) > 1 else []


def _inside(atlas: Atlas, info: LayerInfo, channel: int, found: Found) -> Inside:
    around = atlas.around(info)
    return Inside(
        rows=[_inner_row(atlas, layer.name, channel) for layer in around.inner_tied],
        untied=[] if found.tree else [layer for layer in around.inner if layer not in around.inner_tied],
        last=found.tied.name if found.tied else "",
        tree=found.tree,
    )


def _inner_row(atlas: Atlas, name: str, channel: int) -> InnerRow:
    return InnerRow(name, atlas.layer(name).absence(channel), whole_pictures(atlas, name, channel))


def _tile_data(atlas: Atlas, info: LayerInfo, channel: int, top: TopPictures) -> str:
    """The data of the channel's own top-9 pictures, which are listed even without tiles, where no other page has them
    too."""
    if tile_file(atlas, info, channel) or not top.tiles:
        return ""
    return own_tile_data(atlas, info, channel)

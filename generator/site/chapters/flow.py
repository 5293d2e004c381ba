"""The flow between two layers: how the channels of one continue in the other, drawn, listed and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from generator.core.records import LayerInfo
from generator.site.chapters.neighbours import with_neighbours
from generator.site.csv_tables import csv_text, field
from generator.site.figures.axis import Axis
from generator.site.reading.atlas import Atlas, pairs_shown
from generator.site.reading.layer_pairs import LayerPair, Match, Tie
from generator.site.reading.whole_pictures import first_published
from generator.site.writing import Site

LISTED = 40  # channels with pictures
DRAWN = 200  # lines of the drawing: more would be a grey block
CSV_COLUMNS = (
    "layer", "channel", "other", "rank", "match", "shared", "rho", "partial_rho", "least_shared", "least_partial_rho",
)  # fmt: skip


@dataclass(frozen=True)
class Line:
    """A line from a channel's strongest match in the source, at y, to the channel of the target, at z; in px."""

    match: Match
    channel: int
    y: float
    z: float


@dataclass(frozen=True)
class Thumb:
    """A channel's thumbnail: column x and row y of the layer's sheet. absent: whether the atlas does not picture it;
    picture: the number of the whole picture that stands in its place, None where there is a thumbnail."""

    channel: int
    x: int
    y: int
    absent: bool
    picture: int | None


@dataclass(frozen=True)
class Family:
    """A channel of the target and its matches in the source."""

    channel: Thumb
    matches: Sequence[tuple[Thumb, Match]]


@dataclass(frozen=True)
class FlowPage:
    """One pair of layers.

    lines: of the DRAWN closest matches; matched: how many channels of the target have one; without: count of active
    channels of the target without a match. unpictured: count of the target's channels that have a match and that the
    atlas does not picture. *_sheet: columns and rows of the layer's sheet of thumbnails. before, after: the pairs next
    to it.
    """

    pair: LayerPair
    tie: str
    source: LayerInfo
    target: LayerInfo
    lines: Sequence[Line]
    matched: int
    without: int
    families: Sequence[Family]
    unpictured: int
    source_sheet: tuple[int, int]
    target_sheet: tuple[int, int]
    csv: str
    before: LayerPair | None
    after: LayerPair | None


def write_flows(site: Site, atlas: Atlas, ties: Mapping[Tie, str]) -> None:
    """A page and a table for each compared pair of layers. ties: how layers can be tied, in words."""
    for before, pair, after in with_neighbours(pairs_shown(atlas)):
        page = flow_page(atlas, pair, ties[pair.tie], before, after)
        site.page_of(atlas, pair.flow_address, "flow.html", page)
        site.write(f"{atlas.name}/{pair.flow_address.removesuffix('.html')}.csv", flow_csv(atlas, pair))


def flow_page(
    atlas: Atlas, pair: LayerPair, tie: str, before: LayerPair | None = None, after: LayerPair | None = None
) -> FlowPage:
    """A line for the strongest match of every channel, and the strongest matches with their pictures; of tied layers,
    matches of another number."""
    source, target = atlas.layer(pair.source), atlas.layer(pair.target)
    backward = atlas.matches(pair, forward=False)
    families, unpictured = _families(atlas, pair, backward)
    lines = _lines(pair, source.info, target.info, backward)
    return FlowPage(
        pair=pair,
        tie=tie,
        source=source.info,
        target=target.info,
        lines=sorted(lines, key=lambda line: _closeness(line.match), reverse=True)[:DRAWN],
        matched=len(lines),
        without=sum(not matches and not target.dead[channel] for channel, matches in enumerate(backward)),
        families=families,
        unpictured=unpictured,
        source_sheet=atlas.thumbnail_sheet(pair.source),
        target_sheet=atlas.thumbnail_sheet(pair.target),
        csv=f"from-{pair.source}.csv",
        before=before,
        after=after,
    )


def _lines(
    pair: LayerPair, source: LayerInfo, target: LayerInfo, backward: Sequence[Sequence[Match]]
) -> list[Line]:
    left = Axis(0, max(1, source.channels - 1), start=14, end=446)
    right = Axis(0, max(1, target.channels - 1), start=14, end=446)
    lines = []
    for channel, matches in enumerate(backward):
        others = [match for match in matches if not (pair.is_tied and match.channel == channel)]
        if others:
            lines.append(Line(others[0], channel, y=left(others[0].channel), z=right(channel)))
    return lines


def _families(atlas: Atlas, pair: LayerPair, backward: Sequence[Sequence[Match]]) -> tuple[list[Family], int]:
    """The target's channels with the strongest matches, pictured channels first; and how many channels with a match
    are not pictured. A match of the same number does not count where numbers are tied."""

    def thumbs(layer: str) -> dict[int, Thumb]:
        columns = max(1, atlas.thumbnail_sheet(layer)[0])
        numbers = atlas.layer(layer)
        return {
            channel: Thumb(
                channel,
                channel % columns,
                channel // columns,
                bool(numbers.absence(channel)),
                first_published(atlas, numbers, channel),
            )
            for channel in range(numbers.info.channels)
        }

    sources, targets = thumbs(pair.source), thumbs(pair.target)
    families = []
    for channel, matches in enumerate(backward):
        others = [match for match in matches if not (pair.is_tied and match.channel == channel)]
        if others:
            families.append(Family(targets[channel], [(sources[match.channel], match) for match in others]))

    def rank(family: Family) -> tuple[bool, float]:
        return family.channel.absent, -_closeness(family.matches[0][1])

    unpictured = sum(family.channel.absent for family in families)
    return sorted(families, key=rank)[:LISTED], unpictured


def _closeness(match: Match) -> float:
    """Of a match: the share of pictures in common and ρ′, as the page writes it: so equal rows keep their order."""
    return match.shared / 9 + max(0.0, round(match.partial or 0.0, 2))


def flow_csv(atlas: Atlas, pair: LayerPair) -> str:
    """The kept matches of every channel of both layers, in full precision."""
    return csv_text(CSV_COLUMNS, [*_csv_rows(atlas, pair, "forward"), *_csv_rows(atlas, pair, "backward")])


def _csv_rows(
    atlas: Atlas, pair: LayerPair, side: Literal["forward", "backward"]
) -> Iterator[Sequence[object]]:
    layer, other = (pair.source, pair.target) if side == "forward" else (pair.target, pair.source)
    arrays = atlas.store.arrays.matches(pair.name) or {}
    if f"{side}_channel" not in arrays:
        return
    matches, shared, rho = (arrays[f"{side}_{name}"] for name in ("channel", "shared", "rho"))
    partial = arrays.get(f"{side}_partial", np.full(rho.shape, np.nan))
    least = (pair.match_shared or "", "" if pair.match_partial is None else field(pair.match_partial))
    for at in zip(*np.nonzero(matches >= 0), strict=True):
        channel, rank = at
        yield (
            layer,
            channel,
            other,
            rank + 1,
            matches[at],
            shared[at],
            field(rho[at]),
            field(partial[at]),
            *least,
        )

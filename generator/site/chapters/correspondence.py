"""The chapter *Correspondence*: which channels of a layer match which of the layer before, and of other networks."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.matching import BAND, EXPECTED
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.flow import write_flows
from generator.site.chapters.refinement import has_relations_file
from generator.site.figures.axis import Axis, Tick
from generator.site.formats import readable_path
from generator.site.reading.atlas import Atlas, pairs_shown
from generator.site.reading.comparison import NetworkComparison
from generator.site.reading.layer_pairs import LayerPair, Tie
from generator.site.writing import Site

ROW = 24  # px of a pair in the figure
LEVEL = 0.05  # a p value up to here is called significant
CLOSEST = 12  # pairs of channels of two networks that are named
TIES: Mapping[Tie, str] = {
    "stage": "neighbouring blocks of a stage",
    "boundary": "across a stage's boundary",
    "plain": "neighbouring layers",
    "added": "added to a block's output",
    "inside": "inside a block",
}
COMPARED: tuple[Tie, ...] = ("stage", "boundary", "plain")  # in the table that compares networks


@dataclass(frozen=True)
class FigureRow:
    """A pair of layers in the figure; y in px, the values of ρ′ as x in hundredths of its width, None where not known.

    untied: from where to where 95 % of the untied pairs lie; chance, best, same: means of the most similar random
    direction, the most similar (other) channel, and equal numbers; margin: the interval of the latter; limit: above
    which two channels match.
    """

    pair: LayerPair
    y: int
    untied: tuple[float, float] | None
    chance: float | None
    best: float | None
    same: float | None
    margin: tuple[float, float] | None
    limit: float | None


@dataclass(frozen=True)
class Figure:
    rows: Sequence[FigureRow]
    height: int
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class TieMeans:
    """The neighbouring layers of a network that are tied in one way: means over their channels, None where not known.

    matched, matched_expected: shares of the channels; the rest as in LayerPair.
    """

    network: str
    title: str
    tie: str
    pairs: int
    same_rho: float | None
    untied_rho: float | None
    same_partial: float | None
    untied_partial: float | None
    same_shared: float | None
    untied_shared: float | None
    same_best: float | None
    matched: float | None
    matched_expected: float | None
    repeated: float | None


@dataclass(frozen=True)
class Cell:
    """A layer against a layer of another network. value: mean ρ′ of the most similar channel; chance: of the most
    similar random direction; shade: of 10; best: of its row."""

    value: float | None
    chance: float | None
    shade: int
    best: bool


@dataclass(frozen=True)
class ChannelPair:
    """A channel and its most similar channel in another network."""

    layer: str
    channel: int
    other_layer: str
    other_channel: int
    shared: int
    rho: float
    partial: float


@dataclass(frozen=True)
class HubPicture:
    """A picture that is among the top-9 of many channels of a layer. name: its label, or else its file; address: of the
    picture's page or place on the map, '' where there is none; channels: of how many of the layer's active channels;
    expected: of how many if all pictures were in equally many."""

    layer: str
    name: str
    file: str
    address: str
    channels: int
    active: int
    expected: float


@dataclass(frozen=True)
class OtherNetwork:
    """Another network that looked at the same pictures. rows: by layer, a cell per column; matched, expected: how many
    channels of the network match one of the other, and how many would by chance; channels: active ones."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    channels: int
    matched: int
    expected: float
    closest: Sequence[ChannelPair]


@dataclass(frozen=True)
class CorrespondencePage:
    figure: Figure
    pairs: Sequence[LayerPair]
    ties: Mapping[Tie, str]
    controls: Sequence[TieMeans]
    networks: int
    others: Sequence[OtherNetwork]
    expected: float
    band: float
    hubs: Sequence[HubPicture]
    has_refinement: bool
    has_relations_file: bool


def present(atlas: Atlas) -> bool:
    return bool(pairs_shown(atlas))


def write(site: Site, atlas: Atlas) -> None:
    CHAPTER.write_page(site, atlas, correspondence_page(atlas, site.atlases, site.comparisons(atlas)))
    write_flows(site, atlas, TIES)


def correspondence_page(
    atlas: Atlas, atlases: Sequence[Atlas], comparisons: Iterable[NetworkComparison]
) -> CorrespondencePage:
    """The network's page. atlases: all of the site; comparisons: with the other networks."""
    pairs = pairs_shown(atlas)
    return CorrespondencePage(
        figure=_figure(pairs),
        pairs=pairs,
        ties=TIES,
        controls=[means for each in atlases for means in tie_means(each)],
        networks=len(atlases),
        others=[_other_network(comparison) for comparison in comparisons],
        expected=EXPECTED,
        band=BAND,
        hubs=hub_pictures(atlas),
        has_refinement=atlas.refinement is not None,
        has_relations_file=has_relations_file(atlas),
    )


def _figure(pairs: Sequence[LayerPair]) -> Figure:
    """A row per pair along the network: ρ′ of untied pairs, of the most similar channels, and of equal numbers."""
    drawn = [pair for pair in pairs if pair.tie in COMPARED and pair.untied_partial is not None]
    lowest = min((pair.untied_partial_low or 0.0 for pair in drawn), default=0.0)
    axis = Axis(min(-0.25, lowest), 1, start=0, end=100)

    def x(value: float | None) -> float | None:
        return None if value is None else axis(value)

    def between(low: float | None, high: float | None) -> tuple[float, float] | None:
        return None if low is None or high is None else (axis(low), axis(high))

    def margin(value: float | None, width: float | None) -> tuple[float, float] | None:
        return None if value is None or width is None else between(value - width, value + width)

    rows = [
        FigureRow(
            pair,
            y=number * ROW + 16,
            untied=between(pair.untied_partial_low, pair.untied_partial_high),
            chance=x(pair.chance_partial),
            best=x(pair.best_partial),
            same=x(pair.same_partial),
            margin=margin(pair.same_partial, pair.same_partial_margin),
            limit=x(pair.match_partial),
        )
        for number, pair in enumerate(drawn)
    ]
    return Figure(rows, len(rows) * ROW + 46, axis.ticks)


def tie_means(atlas: Atlas) -> list[TieMeans]:
    """A network's neighbouring layers by how they are tied."""
    table = []
    for tie in COMPARED:
        pairs = [pair for pair in pairs_shown(atlas) if pair.tie == tie and pair.untied_rho is not None]
        if not pairs:
            continue
        mean = functools.partial(_mean_over, pairs)
        table.append(
            TieMeans(
                network=atlas.name,
                title=atlas.manifest.title,
                tie=TIES[tie],
                pairs=len(pairs),
                same_rho=mean(lambda pair: pair.same_rho),
                untied_rho=mean(lambda pair: pair.untied_rho),
                same_partial=mean(lambda pair: pair.same_partial),
                untied_partial=mean(lambda pair: pair.untied_partial),
                same_shared=mean(lambda pair: pair.same_shared),
                untied_shared=mean(lambda pair: pair.untied_shared),
                same_best=mean(lambda pair: pair.same_best),
                matched=mean(lambda pair: None if pair.matched is None else pair.matched / pair.channels),
                matched_expected=mean(
                    lambda pair: (
                        None if pair.matched_expected is None else pair.matched_expected / pair.channels
                    )
                ),
                repeated=mean(lambda pair: pair.repeated),
            )
        )
    return table


def _mean_over(pairs: Sequence[LayerPair], value: Callable[[LayerPair], float | None]) -> float | None:
    """The mean over the channels of all pairs whose value is known."""
    known = [(number, pair.channels) for pair in pairs if (number := value(pair)) is not None]
    total = sum(channels for _, channels in known)
    return sum(number * channels for number, channels in known) / total if total else None


def hub_pictures(atlas: Atlas) -> list[HubPicture]:
    """By layer the picture that is among the top-9 of most channels."""
    map_places = atlas.store.tables.read_json("embedding/embedding.json") is not None
    result = []
    for hubs in atlas.relations.hubs if atlas.relations else ():
        if not hubs.pictures or not atlas.has(hubs.layer):
            continue
        number, channels = hubs.pictures[0]
        address = f"pictures/{number}.webp" if number in atlas.published else ""
        result.append(
            HubPicture(
                layer=hubs.layer,
                name=atlas.picture_labels[number],
                file=readable_path(atlas.pictures[number].path),
                address=address or (f"map.html#picture={number}" if map_places else ""),
                channels=channels,
                active=hubs.channels,
                expected=hubs.expected,
            )
        )
    return result


def _other_network(comparison: NetworkComparison) -> OtherNetwork:
    """The layers of two networks against each other: a cell per pair, darker for a higher mean ρ′."""
    rows = zip(comparison.rows, comparison.means, comparison.chances, strict=True)
    return OtherNetwork(
        name=comparison.name,
        title=comparison.title,
        columns=comparison.columns,
        rows=[(row, _cells(means, chances)) for row, means, chances in rows],
        channels=comparison.channels,
        matched=sum(int((each.channel[:, 0] >= 0).sum()) for each in comparison.matches.values()),
        expected=comparison.expected,
        closest=_closest(comparison),
    )


def _cells(means: np.ndarray, chances: np.ndarray) -> list[Cell]:
    highest = np.nanmax(means) if np.isfinite(means).any() else np.inf
    return [
        Cell(value, chance, round(10 * min(max(value, 0.0), 1.0)), value == highest)
        if np.isfinite(value)
        else Cell(None, None, 0, best=False)
        for value, chance in zip(means.tolist(), chances.tolist(), strict=True)
    ]


def _closest(comparison: NetworkComparison) -> list[ChannelPair]:
    """The strongest of all matches, by the pictures shared and ρ′."""
    ranked: list[tuple[float, ChannelPair]] = []
    for layer in comparison.rows:
        matches = comparison.matches[layer]
        for channel in np.flatnonzero(matches.channel[:, 0] >= 0).tolist():
            pair = ChannelPair(
                layer=layer,
                channel=channel,
                other_layer=comparison.columns[matches.layer[channel, 0]],
                other_channel=matches.channel[channel, 0].item(),
                shared=matches.shared[channel, 0].item(),
                rho=matches.rho[channel, 0].item(),
                partial=matches.partial[channel, 0].item(),
            )
            ranked.append((pair.shared / 9 + max(0.0 if np.isnan(pair.partial) else pair.partial, 0), pair))
    ranked.sort(key=lambda item: -item[0])
    return [pair for _, pair in ranked[:CLOSEST]]


CHAPTER = Chapter(
    name="correspondence",
    title="Correspondence",
    template="correspondence.html",
    summary="which channels of one layer match which of another",
    present=present,
    write=write,
    styles=("relations",),
)

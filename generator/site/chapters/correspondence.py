"""The chapter *Correspondence*: which channels of a layer match which of the layer before, and of other networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import STRONG_CORRELATION, STRONG_PICTURES
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.flow import write_flows
from generator.site.chapters.refinement import has_relations_file
from generator.site.figures.axis import Axis, Tick
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
    """A pair of layers in the figure. y, and the means of its rank correlations as x, in px; None where not known."""

    pair: LayerPair
    y: int
    chance: float | None
    best: float | None
    same: float | None


@dataclass(frozen=True)
class Figure:
    rows: Sequence[FigureRow]
    height: int
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class TieMeans:
    """The neighbouring layers of a network that are tied in one way: means over their channels, None where not known.

    tested: how many of the `pairs` have a p value; significant: of how many it is at most LEVEL; the rest as in
    LayerPair.
    """

    network: str
    title: str
    tie: str
    pairs: int
    tested: int
    significant: int
    same_rho: float | None
    same_shared: float | None
    same_best: float | None
    best_rho: float | None
    best_shared: float | None
    chance_rho: float | None


@dataclass(frozen=True)
class Cell:
    """A layer against a layer of another network. value: mean ρ of the best match; shade: of 10; best: of its row."""

    value: float | None
    shade: int
    best: bool


@dataclass(frozen=True)
class ChannelPair:
    """A channel and its best match in another network."""

    layer: str
    channel: int
    other_layer: str
    other_channel: int
    shared: int
    rho: float


@dataclass(frozen=True)
class OtherNetwork:
    """Another network that looked at the same pictures. rows: by layer, a cell per column."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    closest: Sequence[ChannelPair]


@dataclass(frozen=True)
class CorrespondencePage:
    figure: Figure
    pairs: Sequence[LayerPair]
    ties: Mapping[Tie, str]
    controls: Sequence[TieMeans]
    networks: int
    others: Sequence[OtherNetwork]
    strong_pictures: int
    strong_correlation: float
    level: float
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
        strong_pictures=STRONG_PICTURES,
        strong_correlation=STRONG_CORRELATION,
        level=LEVEL,
        has_refinement=atlas.refinement is not None,
        has_relations_file=has_relations_file(atlas),
    )


def _figure(pairs: Sequence[LayerPair]) -> Figure:
    """A row per pair along the network: mean ρ by chance, of the best match, and of equal numbers."""
    axis = Axis(0, 1, start=190, end=700)
    drawn = [pair for pair in pairs if pair.tie in COMPARED and pair.best_rho is not None]

    def x(rho: float | None) -> float | None:
        return None if rho is None else axis(rho)

    rows = [
        FigureRow(pair, number * ROW + 16, x(pair.chance_rho), x(pair.best_rho), x(pair.same_rho))
        for number, pair in enumerate(drawn)
    ]
    return Figure(rows, len(rows) * ROW + 40, axis.ticks)


def tie_means(atlas: Atlas) -> list[TieMeans]:
    """A network's neighbouring layers by how they are tied, and how often equal numbers share more pictures than
    permuted ones."""
    table = []
    for tie in COMPARED:
        pairs = [pair for pair in pairs_shown(atlas) if pair.tie == tie and pair.best_rho is not None]
        if not pairs:
            continue
        p_values = [pair.same_p for pair in pairs if pair.same_p is not None]
        table.append(
            TieMeans(
                network=atlas.name,
                title=atlas.manifest.title,
                tie=TIES[tie],
                pairs=len(pairs),
                tested=len(p_values),
                significant=sum(p <= LEVEL for p in p_values),
                same_rho=_mean((pair.same_rho, pair.channels) for pair in pairs),
                same_shared=_mean((pair.same_shared, pair.channels) for pair in pairs),
                same_best=_mean((pair.same_best, pair.channels) for pair in pairs),
                best_rho=_mean((pair.best_rho, pair.channels) for pair in pairs),
                best_shared=_mean((pair.best_shared, pair.channels) for pair in pairs),
                chance_rho=_mean((pair.chance_rho, pair.channels) for pair in pairs),
            )
        )
    return table


def _mean(values: Iterable[tuple[float | None, int]]) -> float | None:
    """The mean over the channels of all pairs whose value is known. values: (value, channels) by pair."""
    known = [(value, channels) for value, channels in values if value is not None]
    total = sum(channels for _, channels in known)
    return sum(value * channels for value, channels in known) / total if total else None


def _other_network(comparison: NetworkComparison) -> OtherNetwork:
    """The layers of two networks against each other: a cell per pair, darker for a higher mean ρ of the best match."""
    return OtherNetwork(
        name=comparison.name,
        title=comparison.title,
        columns=comparison.columns,
        rows=[(row, _cells(means)) for row, means in zip(comparison.rows, comparison.means, strict=True)],
        closest=_closest(comparison),
    )


def _cells(means: np.ndarray) -> list[Cell]:
    highest = np.nanmax(means) if np.isfinite(means).any() else np.inf
    return [
        Cell(value, round(10 * min(max(value, 0.0), 1.0)), value == highest)
        if np.isfinite(value)
        else Cell(None, 0, best=False)
        for value in means.tolist()
    ]


def _closest(comparison: NetworkComparison) -> list[ChannelPair]:
    """The strongest of all best matches: by the pictures shared and, among equals, by ρ."""
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
            )
            ranked.append((pair.shared / 9 + max(0.0 if np.isnan(pair.rho) else pair.rho, 0), pair))
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

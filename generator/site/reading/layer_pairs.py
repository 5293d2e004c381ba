"""Compared pairs of layers, as `relations.json` and `matches/` of an atlas hold them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

Tie = Literal["stage", "boundary", "plain", "added", "inside"]
Record = TypeVar("Record")


@dataclass(frozen=True)
class LayerPair:
    """Two layers whose channels are compared, source before target.

    tie: how the network joins them ('stage': neighbouring blocks of a stage, whose equal channel numbers are added;
    'boundary': across a stage's boundary; 'plain': neighbouring layers without an addition; 'added': a branch's last
    convolution and its block; 'inside': convolutions of a block).
    channels: how many of the target are active. The numbers are those of relations.json, None where they are not known:
    untied_*, of pairs that nothing ties; same_*, of channels of equal number; best_*, of a channel and its most similar
    one (of another number where numbers are tied), chance_*, of a channel and its most similar random direction; *_rho,
    rank correlation, *_partial, partial rank correlation, *_shared, pictures shared; *_margin, half the width of the
    interval of 95 % over pictures. match_shared, match_partial: what makes a match. matched, matching, several:
    channels of the target with a match, of the source with a match and with several; *_expected: as many by chance.
    repeated: share of the matches on half of the pictures that are matches on the other half.
    """

    source: str
    target: str
    tie: Tie
    channels: int
    match_shared: int | None = None
    match_partial: float | None = None
    untied_rho: float | None = None
    untied_rho_spread: float | None = None
    untied_partial: float | None = None
    untied_partial_spread: float | None = None
    untied_partial_low: float | None = None
    untied_partial_high: float | None = None
    untied_shared: float | None = None
    best_rho: float | None = None
    best_partial: float | None = None
    best_partial_margin: float | None = None
    best_shared: float | None = None
    chance_partial: float | None = None
    chance_shared: float | None = None
    matched: int | None = None
    matched_expected: float | None = None
    matching: int | None = None
    matching_expected: float | None = None
    several: int | None = None
    several_expected: float | None = None
    repeated: float | None = None
    same_rho: float | None = None
    same_rho_margin: float | None = None
    same_partial: float | None = None
    same_partial_margin: float | None = None
    same_shared: float | None = None
    same_shared_margin: float | None = None
    same_best: float | None = None
    same_best_margin: float | None = None
    same_matched: float | None = None

    @property
    def name(self) -> str:
        """Of its file in matches/."""
        return f"{self.source}--{self.target}"

    @property
    def is_tied(self) -> bool:
        """Whether the network adds channels of equal numbers."""
        return self.tie in ("stage", "added")

    @property
    def flow_address(self) -> str:
        """Of the page that draws how channels of source continue in target, below the network's folder."""
        return f"{self.target}/from-{self.source}.html"


@dataclass(frozen=True)
class Match:
    """A channel that matches another one. shared: how many of the nine pictures both have; rho: rank correlation;
    partial: partial rank correlation; None where it is not known."""

    channel: int
    shared: int
    rho: float | None
    partial: float | None


@dataclass(frozen=True)
class DistantMatch:
    """A channel of another network that matches one of this network; the numbers as in `Match`."""

    layer: str
    channel: int
    shared: int
    rho: float | None
    partial: float | None


@dataclass(frozen=True)
class NetworkMatches:
    """The matches of one channel in another network, strongest first. name: of the other network's atlas."""

    name: str
    matches: Sequence[DistantMatch]


@dataclass(frozen=True)
class Hubs:
    """The pictures that are among the top-9 of most channels of a layer. channels: how many are active; expected: how
    many of them each picture would have if all had equally many; pictures: number of the picture and its channels, most
    first."""

    layer: str
    channels: int
    expected: float
    pictures: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Relations:
    """The content of relations.json and classes.json.

    pairs: in forward order; hubs: by layer; hierarchy: name of the classes' hierarchy, None without one; groups: the
    names of its groups; kept_shares: the shares of the pictures, from 1 down, above whose thresholds a layer's
    entropies are given.
    """

    pairs: tuple[LayerPair, ...]
    hubs: tuple[Hubs, ...]
    hierarchy: str | None
    groups: tuple[str, ...]
    kept_shares: tuple[float, ...]


def relations_from_json(relations: Mapping[str, Any], classes: Mapping[str, Any]) -> Relations:
    """From relations.json and classes.json."""
    return Relations(
        pairs=tuple(_record(LayerPair, pair) for pair in relations["pairs"]),
        hubs=tuple(_hubs(layer) for layer in relations.get("hubs", ())),
        hierarchy=classes.get("hierarchy"),
        groups=tuple(classes.get("groups", ())),
        kept_shares=tuple(classes.get("kept_shares", ())),
    )


def _hubs(data: Mapping[str, Any]) -> Hubs:
    pictures = [(picture["picture"], picture["channels"]) for picture in data["pictures"]]
    return Hubs(data["layer"], data["channels"], data["expected"], pictures)


def _record(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """A record made of those entries that are its fields."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names})


def matches_by_channel(
    arrays: Mapping[str, np.ndarray], side: Literal["forward", "backward"]
) -> list[list[Match]]:
    """By channel of the pair's source (forward) or target (backward), its matches in the other layer, strongest
    first."""
    columns = [arrays[f"{side}_{name}"] for name in ("channel", "shared", "rho")]
    unknown = np.full(columns[0].shape, np.nan)
    columns.append(arrays.get(f"{side}_partial", unknown))
    return [
        [
            Match(channel, shared, _known(rho), _known(partial))
            for channel, shared, rho, partial in zip(*row, strict=True)
            if channel >= 0
        ]
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value

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
    channels: how many were compared. Means over them: rank correlation (*_rho) and number of shared pictures
    (*_shared) of a channel with its best match (best_*), with the best match by chance (chance_*), and with the channel
    of the same number (same_*). same_best: share of the channels whose best match has their own number; same_p: p value
    of the test that equal numbers share more pictures than permuted ones. None where it is not known.
    """

    source: str
    target: str
    tie: Tie
    channels: int
    best_rho: float | None
    best_shared: float | None
    chance_rho: float | None
    chance_shared: float | None
    same_rho: float | None
    same_shared: float | None
    same_best: float | None
    same_p: float | None = None

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
    """A channel that matches another one. shared: how many of the nine pictures both have; rho: rank correlation, None
    where it is not known."""

    channel: int
    shared: int
    rho: float | None


@dataclass(frozen=True)
class DistantMatch:
    """A channel of another network that matches one of this network; shared and rho as in `Match`."""

    layer: str
    channel: int
    shared: int
    rho: float | None


@dataclass(frozen=True)
class NetworkMatches:
    """The matches of one channel in another network, strongest first. name: of the other network's atlas."""

    name: str
    matches: Sequence[DistantMatch]


@dataclass(frozen=True)
class Relations:
    """The content of relations.json and classes.json.

    pairs: in forward order; hierarchy: name of the classes' hierarchy, None without one; groups: the names of its
    groups; kept_shares: the shares of the pictures, from 1 down, above whose thresholds a layer's entropies are given.
    """

    pairs: tuple[LayerPair, ...]
    hierarchy: str | None
    groups: tuple[str, ...]
    kept_shares: tuple[float, ...]


def relations_from_json(relations: Mapping[str, Any], classes: Mapping[str, Any]) -> Relations:
    """From relations.json and classes.json."""
    return Relations(
        pairs=tuple(_record(LayerPair, pair) for pair in relations["pairs"]),
        hierarchy=classes.get("hierarchy"),
        groups=tuple(classes.get("groups", ())),
        kept_shares=tuple(classes.get("kept_shares", ())),
    )


def _record(kind: type[Record], data: Mapping[str, Any]) -> Record:
    """A record made of those entries that are its fields."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in data.items() if name in names})


def matches_by_channel(
    arrays: Mapping[str, np.ndarray], side: Literal["forward", "backward"]
) -> list[list[Match]]:
    """By channel of the pair's source (forward) or target (backward), its matches in the other layer, strongest
    first."""
    columns = (arrays[f"{side}_{name}"].tolist() for name in ("channel", "shared", "rho"))
    return [
        [
            Match(channel, shared, None if np.isnan(rho) else rho)
            for channel, shared, rho in zip(*row, strict=True)
            if channel >= 0
        ]
        for row in zip(*columns, strict=True)
    ]

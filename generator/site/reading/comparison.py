"""Two networks with atlases of the same pictures, compared channel by channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import strengths, strongest_match
from generator.core.errors import AtlasError
from generator.core.matching import MATCHES, RandomDirections, ScoredLayer, compared
from generator.core.records import STUDY
from generator.core.store import fingerprint
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import DistantMatch, NetworkMatches

RESIDUAL = f"{STUDY}residual-"
FIELDS = ("layer", "channel", "shared", "rho", "partial")
VERSION = 2  # of the cached arrays; raise it when a change of the code changes them


@dataclass(frozen=True)
class LayerMatches:
    """The best matches of a layer's channels in another network, strongest first: (C, MATCHES) arrays.

    layer: number of the other network's layer, an index of `columns`; channel: −1 where there are fewer matches;
    shared: how many of the nine pictures both channels have; rho, partial: rank correlation and partial rank
    correlation, NaN where they are not known.
    """

    layer: np.ndarray
    channel: np.ndarray
    shared: np.ndarray
    rho: np.ndarray
    partial: np.ndarray


@dataclass(frozen=True)
class NetworkComparison:
    """The channels of one network against those of another. Convolutions inside blocks are left out.

    name, title: of the other network's atlas; rows: names of the first network's layers; columns: of the other's;
    means: (rows, columns), mean partial rank correlation of a channel with its most similar channel; chances: with its
    most similar one, if it were a random direction of its layer; NaN where it is not known. matches: by
    layer of the first network. channels: active ones of the first network; expected: how many of them would have a
    match by chance.
    """

    name: str
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    means: np.ndarray
    chances: np.ndarray
    channels: int
    expected: float
    matches: Mapping[str, LayerMatches]

    def of_channel(self, layer: str, channel: int) -> list[DistantMatch]:
        """The channel's matches in the other network, strongest first."""
        matches = self.matches.get(layer)
        if matches is None:
            return []
        return [
            DistantMatch(
                self.columns[matches.layer[channel, rank]],
                int(matches.channel[channel, rank]),
                int(matches.shared[channel, rank]),
                _known(matches.rho[channel, rank]),
                _known(matches.partial[channel, rank]),
            )
            for rank in range(matches.channel.shape[1])
            if matches.channel[channel, rank] >= 0
        ]


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def matches_in(comparisons: Sequence[NetworkComparison], layer: str, channel: int) -> list[NetworkMatches]:
    """A channel's matches, by the other networks in which it has any."""
    by_network = ((other.name, other.of_channel(layer, channel)) for other in comparisons)
    return [NetworkMatches(name, matches) for name, matches in by_network if matches]


def comparable(atlas: Atlas, other: Atlas) -> bool:
    """Whether two atlases are of the same pictures, with the same numbers. Of the experiments' many networks, each is
    compared only with the residual one of its depth."""
    if atlas.is_study and other.is_study and not _have_one_depth(atlas.manifest.model, other.manifest.model):
        return False
    pictures, others = atlas.manifest.pictures, other.manifest.pictures
    return (pictures.sha256, pictures.count) == (others.sha256, others.count)


def _have_one_depth(model: str, other: str) -> bool:
    """Whether one of two study networks is residual and the other differs from it only in its design."""
    pairs = ((model, other), (other, model))
    return any(b.endswith("-" + a.removeprefix(RESIDUAL)) for a, b in pairs if a.startswith(RESIDUAL))


def compare(atlas: Atlas, other: Atlas) -> NetworkComparison | None:
    """The matches of every channel of one network in all layers of another; None where the atlases keep no scores of
    the same pictures. The result is cached in the first atlas's folder."""
    rows, columns = ([layer.name for layer in each.layers if not layer.is_inner] for each in (atlas, other))
    key = fingerprint(
        VERSION,
        [
            (each.store.tables.read_json("keys.json"), each.manifest.extra.get("keys"), names)
            for each, names in ((atlas, rows), (other, columns))
        ],
    )
    name = f"across-{other.name}"
    arrays = atlas.store.arrays.cached(name, key)
    if arrays is None:
        if not np.array_equal(atlas.store.tables.scored_pictures(), other.store.tables.scored_pictures()):
            return None
        arrays = _compare(atlas, other, rows, columns)
        if arrays is None:
            return None
        atlas.store.arrays.cache(name, key, arrays)
    return NetworkComparison(
        name=other.name,
        title=other.manifest.title,
        rows=rows,
        columns=columns,
        means=arrays["means"],
        chances=arrays["chances"],
        channels=int(arrays["counts"][0]),
        expected=float(arrays["counts"][1]),
        matches={row: LayerMatches(*(arrays[f"{row}/{field}"] for field in FIELDS)) for row in rows},
    )


def _compare(
    atlas: Atlas, other: Atlas, rows: Sequence[str], columns: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """`means`, `chances` and `counts` (channels, expected), and `<row>/<field>` for the fields of LayerMatches."""
    try:
        theirs = [_numbers(other, name) for name in columns]
        shape = (len(rows), len(columns))
        arrays = {"means": np.full(shape, np.nan), "chances": np.full(shape, np.nan), "counts": np.zeros(2)}
        for number, row in enumerate(rows):
            ours = _numbers(atlas, row)
            if any(len(numbers.ranks) != len(ours.ranks) for numbers in theirs):
                return None
            matches, expected = _strongest(ours, theirs, arrays["means"][number], arrays["chances"][number])
            arrays["counts"] += (int(ours.active.sum()), expected)
            arrays |= {f"{row}/{field}": values for field, values in matches.items()}
    except AtlasError:  # an atlas that was copied without its scores
        return None
    return arrays


def _numbers(atlas: Atlas, name: str) -> ScoredLayer:
    arrays = atlas.store.arrays.layer(name)
    dead = np.array(atlas.layer(name).dead)
    top = np.where(dead[:, None], -1, arrays["top_image"])
    scores = np.asarray(atlas.store.arrays.scores(name))
    return ScoredLayer.of(top, scores, atlas.store.tables.scored_pictures())


def _strongest(
    ours: ScoredLayer, theirs: Sequence[ScoredLayer], means: np.ndarray, chances: np.ndarray
) -> tuple[dict[str, np.ndarray], float]:
    """The fields of LayerMatches for one layer, and how many of its channels would have a match by chance. Fills means
    and chances: (columns,), its rows of them.

    A channel is compared with all channels of the other network, so a match must be as unlikely as that requires.
    """
    active = np.flatnonzero(ours.active)
    directions = RandomDirections.of(ours) if len(active) else None
    searched = max(1, sum(int(layer.active.sum()) for layer in theirs))
    parts: list[dict[str, np.ndarray]] = []
    matched: np.ndarray | None = None
    for number, layer in enumerate(theirs):
        both = compared(ours, layer, directions, searched)
        matching, chance = both.matching, both.chance
        if chance is not None:
            partial = matching.partial[active, strongest_match(matching.strength[active])]
            means[number] = np.nanmean(partial.astype(np.float64))
            chances[number] = np.nanmean(chance.best_of_directions().astype(np.float64))
            of_direction = np.asarray(chance.is_match.any(axis=2))
            matched = of_direction if matched is None else np.logical_or(matched, of_direction)
        matches = matching.matches()
        parts.append(matches | {"layer": np.full(matches["channel"].shape, number, np.int32)})
    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    strength = np.where(joined["channel"] >= 0, strengths(joined["shared"], joined["partial"]), -1.0)
    order = np.argsort(-strength, axis=1, kind="stable")[:, :MATCHES]
    fields = {field: np.take_along_axis(values, order, 1) for field, values in joined.items()}
    return fields, 0.0 if matched is None else float(matched.sum() / len(matched))

"""Two networks with atlases of the same pictures, compared channel by channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.correspondence import MATCHES, LayerResponses, Similarity, centred_ranks, strongest_match
from generator.core.errors import AtlasError
from generator.core.records import STUDY
from generator.core.store import fingerprint
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer_pairs import DistantMatch, NetworkMatches

RESIDUAL = f"{STUDY}residual-"
FIELDS = ("layer", "channel", "shared", "rho")


@dataclass(frozen=True)
class LayerMatches:
    """The best matches of a layer's channels in another network, strongest first: (C, MATCHES) arrays.

    layer: number of the other network's layer, an index of `columns`; channel: −1 where there are fewer matches;
    shared: how many of the nine pictures both channels have; rho: rank correlation, NaN where it is not known.
    """

    layer: np.ndarray
    channel: np.ndarray
    shared: np.ndarray
    rho: np.ndarray


@dataclass(frozen=True)
class NetworkComparison:
    """The channels of one network against those of another. Convolutions inside blocks are left out.

    name, title: of the other network's atlas; rows: names of the first network's layers; columns: of the other's;
    means: (rows, columns), mean rank correlation of a channel with its best match, NaN where it is not known;
    matches: by layer of the first network.
    """

    name: str
    title: str
    rows: Sequence[str]
    columns: Sequence[str]
    means: np.ndarray
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
                rho if np.isfinite(rho := float(matches.rho[channel, rank])) else None,
            )
            for rank in range(matches.channel.shape[1])
            if matches.channel[channel, rank] >= 0
        ]


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
        [
            (each.store.tables.read_json("keys.json"), each.manifest.extra.get("keys"), names)
            for each, names in ((atlas, rows), (other, columns))
        ]
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
        matches={row: LayerMatches(*(arrays[f"{row}/{field}"] for field in FIELDS)) for row in rows},
    )


def _compare(
    atlas: Atlas, other: Atlas, rows: Sequence[str], columns: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """`means`, and `<row>/<field>` for the fields of LayerMatches."""
    try:
        theirs = [_numbers(other, name) for name in columns]
        arrays = {"means": np.full((len(rows), len(columns)), np.nan)}
        for number, row in enumerate(rows):
            ours = _numbers(atlas, row)
            if any(len(numbers.ranks) != len(ours.ranks) for numbers in theirs):
                return None
            matches = _strongest(ours, theirs, arrays["means"][number])
            arrays |= {f"{row}/{field}": values for field, values in matches.items()}
    except AtlasError:  # an atlas that was copied without its scores
        return None
    return arrays


def _numbers(atlas: Atlas, name: str) -> LayerResponses:
    arrays = atlas.store.arrays.layer(name)
    dead = np.array(atlas.layer(name).dead)
    top = np.where(dead[:, None], -1, arrays["top_image"])
    return LayerResponses(top, centred_ranks(np.asarray(atlas.store.arrays.scores(name))))


def _strongest(
    ours: LayerResponses, theirs: Sequence[LayerResponses], means: np.ndarray
) -> dict[str, np.ndarray]:
    """The fields of LayerMatches for one layer. Fills means: (columns,), its row of the means."""
    alive = np.flatnonzero(ours.active)
    parts: list[dict[str, np.ndarray]] = []
    for number, numbers in enumerate(theirs):
        similarity: Similarity = ours.similarity(numbers)
        rho = similarity.rho[alive, strongest_match(similarity.strength[alive])]
        if np.isfinite(rho).any():
            means[number] = np.nanmean(rho.astype(np.float64))
        matches = similarity.matches()
        parts.append(matches | {"layer": np.full(matches["channel"].shape, number, np.int32)})
    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    strength = np.where(
        joined["channel"] >= 0, joined["shared"] / 9 + np.maximum(np.nan_to_num(joined["rho"]), 0), -1.0
    )
    order = np.argsort(-strength, axis=1, kind="stable")[:, :MATCHES]
    return {field: np.take_along_axis(values, order, 1) for field, values in joined.items()}

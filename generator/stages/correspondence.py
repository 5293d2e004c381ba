"""Correspondence of channels: the matches of every channel in other layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.core.correspondence import (
    LayerResponses,
    Pair,
    Similarity,
    centred_ranks,
    correspondence_summary,
    layer_pairs,
)
from generator.core.store import Store
from generator.methods.permutation import Permuted, permuted
from generator.stages import keys
from generator.stages.classes import living_top
from generator.stages.inputs import Inputs
from generator.stages.run import Run


def relate_layers(inputs: Inputs, run: Run) -> None:
    """Write how far layers correspond: `matches/` and relations.json."""
    store = run.store
    pairs, pictures = layer_pairs(inputs.network.layers), len(store.tables.images())
    entries: list[dict[str, Any]] = []
    numbers_of: dict[str, LayerResponses] = {}
    with run.reporter.stage("correspondence", len(pairs), "pairs of layers") as advance:
        for index, pair in enumerate(pairs):
            for name in (pair.source, pair.target):
                if name not in numbers_of:
                    numbers_of[name] = layer_numbers(store, name)
            entries.append(relate(store, pair, index, numbers_of, pictures))
            later = {name for rest in pairs[index + 1 :] for name in (rest.source, rest.target)}
            numbers_of = {name: numbers for name, numbers in numbers_of.items() if name in later}
            advance()
    store.arrays.keep_matches([pair.name for pair in pairs])
    store.tables.write_json("relations.json", {"format": keys.CORRESPONDENCE, "pairs": entries})


def layer_numbers(store: Store, name: str) -> LayerResponses:
    """What the comparison of layers needs of one: its top-9 pictures and its ranked scores."""
    return LayerResponses(
        living_top(store.arrays.layer(name, "top", "statistics")),
        centred_ranks(np.asarray(store.arrays.scores(name))),
    )


def relate(
    store: Store, pair: Pair, index: int, numbers_of: dict[str, LayerResponses], pictures: int
) -> dict[str, Any]:
    """Compare two layers: write their matches; returns what holds of them."""
    source, target = numbers_of[pair.source], numbers_of[pair.target]
    similarity = source.similarity(target)
    write_matches(store, pair, similarity)
    entry: dict[str, Any] = {"source": pair.source, "target": pair.target, "tie": pair.tie}
    entry |= correspondence_summary(source, target, similarity, pictures)
    if len(source.top_image) == len(target.top_image):
        alive = source.active[:, None] & target.active[None, :]
        entry |= tested("same", [permuted(np.where(alive, similarity.shared, np.nan), 3 * index)])
    return entry


def tested(name: str, parts: Sequence[Permuted]) -> dict[str, Any]:
    """The mean with and without correspondence, and p; {} where nothing took part."""
    whole = sum(parts[1:], parts[0]) if parts else None
    if whole is None or not whole.channels:
        return {f"{name}_mean": None, f"{name}_permuted": None, f"{name}_p": None}
    return {
        f"{name}_mean": round(whole.observed / whole.channels, 6),
        f"{name}_permuted": round(float(whole.permuted.mean()) / whole.channels, 6),
        f"{name}_p": whole.p,
    }


def write_matches(store: Store, pair: Pair, similarity: Similarity) -> None:
    """Each channel's matches in both directions."""
    arrays = {f"forward_{name}": values for name, values in similarity.matches().items()}
    arrays |= {f"backward_{name}": values for name, values in similarity.transposed().matches().items()}
    store.arrays.write_matches(pair.name, arrays)

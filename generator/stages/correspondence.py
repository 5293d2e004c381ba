"""Correspondence of channels: the matches of every channel in other layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.core.correspondence import Pair, layer_pairs
from generator.core.matching import Matching, ScoredLayer, compared
from generator.core.records import LayerInfo
from generator.core.store import Store
from generator.methods.correspondence import Ranked, correspondence, hubs
from generator.methods.resampling import ranking
from generator.stages import keys
from generator.stages.classes import living_top
from generator.stages.inputs import Inputs
from generator.stages.run import Run


def relate_layers(inputs: Inputs, run: Run) -> None:
    """Write how far layers correspond: `matches/` and relations.json."""
    store, layers = run.store, inputs.network.layers
    pairs, pictures = layer_pairs(layers), len(store.tables.images())
    infos = {layer.name: layer for layer in layers}
    entries: list[dict[str, Any]] = []
    read: dict[str, Ranked] = {}
    with run.reporter.stage("correspondence", len(pairs), "pairs of layers") as advance:
        for index, pair in enumerate(pairs):
            for name in (pair.source, pair.target):
                if name not in read:
                    read[name] = ranked_layer(store, infos[name])
            entries.append(relate(store, pair, read[pair.source], read[pair.target]))
            later = {name for rest in pairs[index + 1 :] for name in (rest.source, rest.target)}
            read = {name: numbers for name, numbers in read.items() if name in later}
            advance()
    most = [
        {
            "layer": layer.name,
            **hubs(living_top(store.arrays.layer(layer.name, "top", "statistics")), pictures),
        }
        for layer in layers
    ]
    store.arrays.keep_matches([pair.name for pair in pairs])
    store.tables.write_json("relations.json", {"format": keys.CORRESPONDENCE, "pairs": entries, "hubs": most})


def ranked_layer(store: Store, layer: LayerInfo) -> Ranked:
    """A layer's top-9 pictures, its scores and the order of its strongest pictures."""
    scores = np.asarray(store.arrays.scores(layer.name))
    top_image = living_top(store.arrays.layer(layer.name, "top", "statistics"))
    return Ranked(
        ScoredLayer.of(top_image, scores, store.tables.scored_pictures()),
        ranking(scores, signed=not layer.rectified),
    )


def relate(store: Store, pair: Pair, source: Ranked, target: Ranked) -> dict[str, Any]:
    """Compare two layers: write their matches; returns what holds of them."""
    both = compared(source.layer, target.layer)
    write_matches(store, pair, both.matching)
    entry = {"source": pair.source, "target": pair.target, "tie": pair.tie}
    return entry | correspondence(source, target, both, tied=pair.tie in ("stage", "added"))


def write_matches(store: Store, pair: Pair, matching: Matching) -> None:
    """Each channel's matches in both directions."""
    arrays = {f"forward_{name}": values for name, values in matching.matches().items()}
    arrays |= {f"backward_{name}": values for name, values in matching.transposed().matches().items()}
    store.arrays.write_matches(pair.name, arrays)

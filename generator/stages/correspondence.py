"""Correspondence of channels: the matches of every channel in other layers."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
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

AT_ONCE = 4  # pairs of layers: each takes some hundred MB for layers of 2,048 channels


def relate_layers(inputs: Inputs, run: Run) -> None:
    """Write how far layers correspond: `matches/` and relations.json."""
    store, layers = run.store, inputs.network.layers
    pairs, pictures = layer_pairs(layers), len(store.tables.images())
    infos = {layer.name: layer for layer in layers}
    entries: list[dict[str, Any]] = []
    read: dict[str, Ranked] = {}
    threads = max(1, min(AT_ONCE, (os.cpu_count() or 1) // 2))  # another stage may run beside this one

    def related(pair: Pair) -> dict[str, Any]:
        return relate(store, pair, read[pair.source], read[pair.target])

    with (
        run.reporter.stage("correspondence", len(pairs), "pairs of layers") as advance,
        ThreadPoolExecutor(threads) as pool,
    ):
        for first in range(0, len(pairs), threads):
            together = pairs[first : first + threads]
            names = dict.fromkeys(name for pair in together for name in (pair.source, pair.target))
            read = {name: read[name] if name in read else ranked_layer(store, infos[name]) for name in names}
            for entry in pool.map(related, together):
                entries.append(entry)
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

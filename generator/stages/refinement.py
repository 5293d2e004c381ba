"""Refinement: how every channel changes from block to block of its stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from generator.core.correspondence import Pair, Similarity, layer_pairs
from generator.methods.refinement import (
    CHANGES,
    ROUNDS,
    Permuted,
    StrongestUnits,
    exchanged,
    kinds,
    permuted,
    refinement_scores,
    shared_places,
)
from generator.stages.correspondence import layer_numbers, tested
from generator.stages.inputs import Inputs
from generator.stages.run import Run

PRODUCT = "refinement"  # of a layer's arrays


def refine_stages(inputs: Inputs, run: Run) -> None:
    """Write refinement.npz of every layer, and what holds of stages and network (refinement.json)."""
    layers, store = inputs.network.layers, run.store
    pairs = [(index, pair) for index, pair in enumerate(layer_pairs(layers)) if pair.tie == "stage"]
    refined = {pair.target for _, pair in pairs}
    with run.reporter.stage("refinement", len(layers) + len(pairs), "layers and pairs") as advance:
        for layer in layers:
            if layer.name not in refined:
                store.arrays.write_layer(layer.name, PRODUCT, no_block_before(layer.channels))
            advance()
        results = PairResults()
        for index, pair in pairs:
            source, target = layer_numbers(store, pair.source), layer_numbers(store, pair.target)
            similarity = source.similarity(target)
            alive = source.active[:, None] & target.active[None, :]
            keep = permuted(np.where(alive, similarity.shared, np.nan), 3 * index)
            stage = inputs.network.layer(pair.target).stage
            scores = refine(inputs, run, pair, similarity, results)
            results.keeping.append((stage, keep))
            direction = exchanged(np.diagonal(scores), 3 * index + 2)
            results.refining.append((stage, permuted(scores, 3 * index + 1), direction))
            entry = (
                _digest(results.values[-1][1])
                | _refining([results.refining[-1][1:]])
                | tested("keep", [keep])
            )
            results.pairs.append({"source": pair.source, "target": pair.target, "pairs": 1, **entry})
            advance()
    store.tables.write_json("refinement.json", results.as_json())


@dataclass
class PairResults:
    """What is known of the pairs so far, with their stage's number: refining, the tests of the refinement score by
    correspondence and by direction; keeping, that of the pictures kept; values, the channels' statistics."""

    pairs: list[dict[str, Any]] = field(default_factory=list)
    refining: list[tuple[int, Permuted, Permuted]] = field(default_factory=list)
    keeping: list[tuple[int, Permuted]] = field(default_factory=list)
    values: list[tuple[int, dict[str, np.ndarray]]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The content of refinement.json."""
        stages = sorted({stage for stage, _ in self.values})
        return {
            "kinds": list(CHANGES),
            "rounds": ROUNDS,
            "pairs": self.pairs,
            "stages": [{"stage": stage, **self.digest([stage])} for stage in stages],
            "network": self.digest(stages) if stages else None,
        }

    def digest(self, stages: Sequence[int]) -> dict[str, Any]:
        """What holds of these stages' channels together."""
        values = [value for stage, value in self.values if stage in stages]
        refining = [tests for stage, *tests in self.refining if stage in stages]
        keeping = [test for stage, test in self.keeping if stage in stages]
        joined = {name: np.concatenate([value[name] for value in values]) for name in values[0]}
        return {
            "pairs": len(values),
            **_digest(joined),
            **_refining(refining),
            **tested("keep", keeping),
        }


def _digest(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Counts of what channels do, and means over those that are alive."""
    code = values["change_previous"]
    known = code >= 0
    counts = {name: int((code == number).sum()) for number, name in enumerate(CHANGES)}
    return {
        "channels": int(known.sum()),
        "counts": counts,
        "kept": _mean(values["shared_previous"][known]),
        "places": _mean(values["places_previous"][known]),
        "rho": _mean(values["spearman_previous"][known], np.median),
        "gain": _mean(values["gain"][known]),
        "score": _mean(values["refinement_previous"][known]),
    }


def _mean(values: np.ndarray, how: Any = np.mean) -> float | None:
    known = values[np.isfinite(values)].astype(np.float64)
    return round(float(how(known)), 6) if known.size else None


def _refining(tests: Sequence[Sequence[Permuted]]) -> dict[str, Any]:
    """Both tests of the refinement score. refine_p: the larger p value, for only where both say so does a stage refine:
    its channels, and not any others, and in this direction."""
    entry = tested("correspondence", [correspondence for correspondence, _ in tests]) | tested(
        "direction", [direction for _, direction in tests]
    )
    values = [entry["correspondence_p"], entry["direction_p"]]
    return {
        "refine_mean": entry["correspondence_mean"],
        "refine_permuted": entry["correspondence_permuted"],
        "refine_p": None if None in values else max(values),
        "correspondence_p": values[0],
        "direction_p": values[1],
    }


def no_block_before(channels: int) -> dict[str, np.ndarray]:
    """The statistics of a layer that has no block before it in its stage."""
    nothing = np.full(channels, np.nan, np.float32)
    return {
        "places_previous": np.full(channels, -1, np.int32),
        "refinement_previous": nothing,
        "change_previous": np.full(channels, -1, np.int8),
    }


def refine(inputs: Inputs, run: Run, pair: Pair, similarity: Similarity, results: PairResults) -> np.ndarray:
    """Write refinement.npz of the later block: how each channel refines itself; returns the refinement score of every
    later channel against every earlier one."""
    store, network = run.store, inputs.network
    later, earlier = (
        store.arrays.layer(name, "top", "statistics", "classes") for name in (pair.target, pair.source)
    )
    scores = refinement_scores(later["label_agreement"], earlier["label_agreement"], similarity.rho)
    score = np.diagonal(scores).astype(np.float32)
    rho, shared = np.diagonal(similarity.rho), np.diagonal(similarity.shared)
    alive = ~(earlier["dead"] | later["dead"])
    before, after = (
        StrongestUnits(numbers["top_image"], numbers["top_unit"], network.layer(name).receptive_field)
        for name, numbers in ((pair.source, earlier), (pair.target, later))
    )
    added = {
        "places_previous": shared_places(after, before),
        "refinement_previous": score,
        "change_previous": np.where(alive, kinds(shared, rho, score), -1).astype(np.int8),
    }
    store.arrays.write_layer(pair.target, "refinement", added)
    gain = later["label_agreement"] - earlier["label_agreement"]
    values = {"shared_previous": shared, "spearman_previous": rho, "gain": gain, **added}
    results.values.append((network.layer(pair.target).stage, values))
    return scores

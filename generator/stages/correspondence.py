"""Correspondence of channels: what their top-9 pictures have in common, refinement along a stage, matches of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
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
from generator.core.hierarchy import Hierarchy, nodes_of
from generator.core.records import LayerInfo
from generator.core.store import Store
from generator.methods.purity import (
    KEPT_SHARES,
    SELECTIVE_SHARE,
    Classes,
    agreement,
    classes_of_nine,
    entropy,
    expected_entropies,
    purity,
    selectivity,
)
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
from generator.pictures.reading import PictureFile
from generator.stages import keys
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run


def relate_layers(inputs: Inputs, run: Run) -> None:
    """Write what each layer's pictures say about classes and how it refines the block before; write how far layers
    correspond (`matches/`) and what holds of stages and network (`relations.json`), and the classes as they were used.
    """
    layers, store = inputs.network.layers, run.store
    pictures = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    hierarchy, classes = picture_classes(inputs, pictures)
    write_classes(store, pictures, hierarchy, classes)
    pairs = layer_pairs(layers)
    refined = {pair.target for pair in pairs if pair.tie == "stage"}  # `refine` writes theirs
    with run.reporter.stage("correspondence", len(layers) + len(pairs), "layers and pairs") as advance:
        expected = Expected.of(classes, store.tables.scored_pictures())
        for layer in layers:
            store.arrays.write_layer(layer.name, "classes", label_numbers(store, layer, classes, expected))
            if layer.name not in refined:
                store.arrays.write_layer(layer.name, "refinement", no_block_before(layer.channels))
            advance()
        results = PairResults(len(classes.of_picture))
        numbers_of: dict[str, LayerResponses] = {}
        for index, pair in enumerate(pairs):
            for name in (pair.source, pair.target):
                if name not in numbers_of:
                    numbers_of[name] = layer_numbers(store, name)
            relate(inputs, run, pair, index, numbers_of, results)
            later = {name for rest in pairs[index + 1 :] for name in (rest.source, rest.target)}
            numbers_of = {name: numbers for name, numbers in numbers_of.items() if name in later}
            advance()
    store.arrays.keep_matches([pair.name for pair in pairs])
    store.tables.write_json("relations.json", results.as_json(classes, hierarchy))


# -- classes -------------------------------------------------------------------------------------------------------


def picture_classes(inputs: Inputs, files: Sequence[PictureFile]) -> tuple[Hierarchy | None, Classes]:
    """The pictures' classes and the hierarchy that holds for them: the profile's, else the drawn world's own, else
    WordNet where every label is a class of ImageNet; None where there is none."""
    hierarchy: Hierarchy | None = inputs.hierarchy
    given = inputs.profile.pictures.hierarchy is not None
    wnid = {
        (label_class.number, label_class.name): label_class.wnid for label_class in inputs.pictures.classes
    }
    wnids = [wnid.get((file.label_id, file.label), "") for file in files]
    pictures = [(file.label, file.path) for file in files]
    nodes = nodes_of(inputs.hierarchy, pictures, strict=given, wnids=wnids)
    if not given and not (nodes and any(nodes)):
        hierarchy = None
    return hierarchy, Classes.of([(file.label_id, file.label) for file in files], nodes, hierarchy)


def write_classes(
    store: Store, files: Sequence[PictureFile], hierarchy: Hierarchy | None, classes: Classes
) -> None:
    """classes.csv: one row per class, with its group in the hierarchy."""
    rows: dict[int, list[Any]] = {}
    for file, number in zip(files, classes.of_picture.tolist(), strict=True):
        if number >= 0 and number not in rows:
            group = "" if classes.groups is None else classes.group_names[classes.groups[number]]
            title = group if hierarchy is None else hierarchy.titles.get(group, group)
            rows[number] = [file.label_id, file.label, title]
    store.tables.write(
        "classes.csv", ["label_id", "label", "group"], [rows[number] for number in sorted(rows)]
    )


@dataclass(frozen=True)
class Expected:
    """The entropies that chance would give the classes and the groups of the pictures whose scores are kept (`rows`);
    None where they say nothing."""

    rows: np.ndarray
    classes: np.ndarray | None
    groups: np.ndarray | None

    @classmethod
    def of(cls, classes: Classes, rows: np.ndarray) -> Expected:
        """From the pictures' classes, for the pictures of these rows."""

        def table(of_picture: np.ndarray) -> np.ndarray:
            here = of_picture[rows]
            return expected_entropies(np.bincount(here[here >= 0]))

        grouped = classes.labelled and classes.groups is not None
        return cls(
            rows,
            table(classes.of_picture) if classes.repeat else None,
            table(classes.group_of_picture) if grouped else None,
        )


def label_numbers(
    store: Store, layer: LayerInfo, classes: Classes, expected: Expected
) -> dict[str, np.ndarray]:
    """What a layer's pictures say about classes: statistics (C,), and entropies (C, T) above each threshold.

    NaN throughout where nothing is labelled; for single classes also where no class has two pictures.
    """
    top_image, scores = (
        living_top(store.arrays.layer(layer.name, "top", "statistics")),
        store.arrays.scores(layer.name),
    )
    signed = not layer.rectified
    nothing: np.ndarray = np.full(layer.channels, np.nan, np.float32)
    none: np.ndarray = np.full((layer.channels, len(KEPT_SHARES)), np.nan, np.float32)
    names = ("label_purity", "label_entropy", "label_agreement", "selectivity", "group_purity")
    result: dict[str, np.ndarray] = dict.fromkeys((*names, "group_selectivity"), nothing)
    result |= {"class_entropy": none, "group_entropy": none}
    step = KEPT_SHARES.index(SELECTIVE_SHARE)
    if classes.labelled and (classes.repeat or classes.groups is not None):
        result["label_agreement"] = agreement(classes_of_nine(top_image, classes.of_picture), classes)
    if expected.classes is not None:
        nine = classes_of_nine(top_image, classes.of_picture)
        above = selectivity(scores, classes.of_picture[expected.rows], expected.classes, signed=signed)
        result |= {"label_purity": purity(nine), "label_entropy": entropy(nine)}
        result |= {"selectivity": above.selectivity[:, step], "class_entropy": above.entropy}
    if expected.groups is not None:
        of_group = classes.group_of_picture
        above = selectivity(scores, of_group[expected.rows], expected.groups, signed=signed)
        result["group_purity"] = purity(classes_of_nine(top_image, of_group))
        result |= {"group_selectivity": above.selectivity[:, step], "group_entropy": above.entropy}
    return result


# -- pairs of layers -----------------------------------------------------------------------------------------------


def living_top(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """The top-9 pictures of every channel, (C, 9); −1 throughout for a dead channel."""
    return np.where(numbers["dead"][:, None], -1, numbers["top_image"])


def layer_numbers(store: Store, name: str) -> LayerResponses:
    """What the comparison of layers needs of one: its top-9 pictures and its ranked scores."""
    return LayerResponses(
        living_top(store.arrays.layer(name, "top", "statistics")),
        centred_ranks(np.asarray(store.arrays.scores(name))),
    )


@dataclass
class PairResults:
    """What is known of the pairs so far; of those along a stage with its number: refining, the tests of the refinement
    score by correspondence and by direction; keeping, that of the pictures kept; values, the channels' statistics."""

    pictures: int
    pairs: list[dict[str, Any]] = field(default_factory=list)
    refining: list[tuple[int, Permuted, Permuted]] = field(default_factory=list)
    keeping: list[tuple[int, Permuted]] = field(default_factory=list)
    values: list[tuple[int, dict[str, np.ndarray]]] = field(default_factory=list)

    def as_json(self, classes: Classes, hierarchy: Hierarchy | None) -> dict[str, Any]:
        """The content of relations.json."""
        stages = sorted({stage for stage, _ in self.values})
        return {
            "format": keys.CORRESPONDENCE,
            "hierarchy": None if hierarchy is None else hierarchy.source,
            "classes": len(classes.names),
            "groups": [hierarchy.titles.get(name, name) for name in classes.group_names] if hierarchy else [],
            "chance_similarity": round(classes.baseline, 6),
            "kept_shares": list(KEPT_SHARES),
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
            **_test("keep", keeping),
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


def _test(name: str, parts: Sequence[Permuted]) -> dict[str, Any]:
    """The mean with and without correspondence, and p; {} where nothing took part."""
    whole = sum(parts[1:], parts[0]) if parts else None
    if whole is None or not whole.channels:
        return {f"{name}_mean": None, f"{name}_permuted": None, f"{name}_p": None}
    return {
        f"{name}_mean": round(whole.observed / whole.channels, 6),
        f"{name}_permuted": round(float(whole.permuted.mean()) / whole.channels, 6),
        f"{name}_p": whole.p,
    }


def _refining(tests: Sequence[Sequence[Permuted]]) -> dict[str, Any]:
    """Both tests of the refinement score. refine_p: the larger p value, for only where both say so does a stage refine:
    its channels, and not any others, and in this direction."""
    entry = _test("correspondence", [correspondence for correspondence, _ in tests]) | _test(
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


def relate(
    inputs: Inputs,
    run: Run,
    pair: Pair,
    index: int,
    numbers_of: dict[str, LayerResponses],
    results: PairResults,
) -> None:
    """Compare two layers: their matches, what holds of them, and, along a stage, refinement."""
    store = run.store
    source, target = numbers_of[pair.source], numbers_of[pair.target]
    similarity = source.similarity(target)
    write_matches(store, pair, similarity)
    entry: dict[str, Any] = {"source": pair.source, "target": pair.target, "tie": pair.tie}
    entry |= correspondence_summary(source, target, similarity, results.pictures)
    if len(source.top_image) == len(target.top_image):
        alive = source.active[:, None] & target.active[None, :]
        test = permuted(np.where(alive, similarity.shared, np.nan), 3 * index)
        entry |= _test("same", [test])
        if pair.tie == "stage":
            stage = inputs.network.layer(pair.target).stage
            scores = refine(inputs, run, pair, similarity, results)
            results.keeping.append((stage, test))
            direction = exchanged(np.diagonal(scores), 3 * index + 2)
            results.refining.append((stage, permuted(scores, 3 * index + 1), direction))
            entry |= _digest(results.values[-1][1]) | _refining([results.refining[-1][1:]])
    results.pairs.append(entry)


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


def write_matches(store: Store, pair: Pair, similarity: Similarity) -> None:
    """Each channel's matches in both directions."""
    arrays = {f"forward_{name}": values for name, values in similarity.matches().items()}
    arrays |= {f"backward_{name}": values for name, values in similarity.transposed().matches().items()}
    store.arrays.write_matches(pair.name, arrays)

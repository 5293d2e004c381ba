"""Is refinement due to the shortcut? The atlas's refinement scores of plain, residual and pre-activation networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.core.correspondence import LayerResponses, strongest_match
from generator.experiments.comparing import COMPARED_DEPTH
from generator.experiments.reading import drawn_classes, read_layers
from generator.experiments.runs import DesignRun, Run, Training
from generator.experiments.setting import Setting
from generator.methods.permutation import Permuted, exchanged, permuted, refinement_scores
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.network.models.study.networks import StudyNetwork

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

PRE_ACTIVATION = "full pre-activation"


def runs(setting: Setting) -> list[Training]:
    """Plain, residual and pre-activation networks, all trained for other experiments too."""
    runs: list[Training] = []
    for seed in setting.seeds:
        runs += [
            Run(False, COMPARED_DEPTH, seed),
            Run(True, COMPARED_DEPTH, seed),
            DesignRun(PRE_ACTIVATION, COMPARED_DEPTH, seed),
        ]
    return runs


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """refinement: one row per network, with means over the channels of all pairs of neighbouring blocks of a stage, and
    the tests that the atlas's pages show; refinement_pairs: one row per pair."""
    networks, pairs = [], []
    pictures = workshop.pictures[1]
    for run in runs:
        network, _ = workshop.trained(run)
        assert isinstance(network, StudyNetwork)
        columns = {"kind": run.kind, "depth": run.depth, "seed": run.seed}
        layers = read_layers(network.maps, pictures, signed=run.kind == PRE_ACTIVATION)
        tests, values = [], []
        names = list(layers)
        for pair, (earlier, later) in enumerate(pairwise(names)):
            if (
                earlier.split(".")[0] != later.split(".")[0]
            ):  # of different stages: equal channel indices mean different channels
                continue
            numbers, permutations = compared(
                layers[earlier], layers[later], drawn_classes(len(pictures)), pair
            )
            values.append(numbers)
            tests.append(permutations)
            pairs.append({**columns, "earlier": earlier, "later": later, **means(numbers)})
        joined = {name: np.concatenate([numbers[name] for numbers in values]) for name in values[0]}
        networks.append({**columns, **means(joined), **tested(tests)})
    return {"refinement": networks, "refinement_pairs": pairs}


def compared(
    earlier: LayerResponses, later: LayerResponses, classes: Classes, pair: int
) -> tuple[dict[str, np.ndarray], tuple[Permuted, Permuted]]:
    """Numbers of each channel that is active in both blocks, and the permutation tests of their refinement scores.

    The numbers, each (channels,): kept, pictures shared by the two top-9; rho, rank correlation; own_match, whether the
    best match in the earlier block has the same index; match_rho, its rank correlation; gain, of agreement; score,
    refinement score; match_score, the score against the best match. The tests: by correspondence and by direction.
    pair: the pair's position in the network, from which the tests are seeded."""
    active = earlier.active & later.active
    similarity = earlier.similarity(later)
    before, after = (
        agreement(classes_of_nine(responses.top_image, classes.of_picture), classes)
        for responses in (earlier, later)
    )
    scores = refinement_scores(after, before, similarity.rho)  # (earlier, later)
    channels = np.flatnonzero(active)
    matches = strongest_match(similarity.transposed().strength)[channels]
    numbers = {
        "kept": np.diagonal(similarity.shared)[channels].astype(np.float64),
        "rho": np.diagonal(similarity.rho)[channels].astype(np.float64),
        "own_match": (matches == channels).astype(np.float64),
        "match_rho": similarity.rho[matches, channels].astype(np.float64),
        "gain": (after - before)[channels].astype(np.float64),
        "score": np.diagonal(scores)[channels].astype(np.float64),
        "match_score": scores[matches, channels].astype(np.float64),
    }
    direction = exchanged(np.diagonal(scores), 3 * pair + 2)
    return numbers, (permuted(scores, 3 * pair + 1), direction)


def means(numbers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The number of channels, and the mean of each number over the channels where it is finite."""
    row: dict[str, Any] = {"channels": len(numbers["kept"])}
    for name, values in numbers.items():
        finite = values[np.isfinite(values)]
        row[name] = float(finite.mean()) if finite.size else float("nan")
    return row


def tested(tests: Sequence[tuple[Permuted, Permuted]]) -> dict[str, float]:
    """The mean score when channels are paired at random, and the p values of both tests, over all pairs of blocks.

    tests: of each pair, by correspondence and by direction."""
    correspondence = sum((by_channel for by_channel, _ in tests[1:]), tests[0][0])
    direction = sum((by_order for _, by_order in tests[1:]), tests[0][1])
    return {
        "permuted_score": float(correspondence.permuted.mean()) / max(1, correspondence.channels),
        "correspondence_p": correspondence.p,
        "direction_p": direction.p,
    }

"""Is refinement due to the shortcut? What channels keep and gain in plain, residual and pre-activation networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.core.correspondence import LayerResponses, strongest_match
from generator.experiments.comparing import COMPARED_DEPTH
from generator.experiments.permutation import Permuted, permuted, refinement_scores
from generator.experiments.reading import drawn_classes, read_layers
from generator.experiments.runs import DesignRun, Run, Training
from generator.experiments.setting import Setting
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
    """refinement: one row per network, with means over the channels of all pairs of neighbouring blocks of a stage;
    refinement_pairs: one row per pair."""
    networks, pairs = [], []
    pictures = workshop.pictures.held_out
    classes = drawn_classes(len(pictures), workshop.setting.every)
    for run in runs:
        network, _ = workshop.trained(run)
        assert isinstance(network, StudyNetwork)
        columns = {"kind": run.kind, "depth": run.depth, "seed": run.seed}
        layers = read_layers(network.maps, pictures, signed=run.kind == PRE_ACTIVATION)
        at_random, values = [], []
        names = list(layers)
        for pair, (earlier, later) in enumerate(pairwise(names)):
            if (
                earlier.split(".")[0] != later.split(".")[0]
            ):  # of different stages: equal channel indices mean different channels
                continue
            numbers, permutation = compared(layers[earlier], layers[later], classes, pair)
            values.append(numbers)
            at_random.append(permutation)
            pairs.append({**columns, "earlier": earlier, "later": later, **means(numbers)})
        joined = {name: np.concatenate([numbers[name] for numbers in values]) for name in values[0]}
        networks.append({**columns, **means(joined), "permuted_score": score_at_random(at_random)})
    return {"refinement": networks, "refinement_pairs": pairs}


def compared(
    earlier: LayerResponses, later: LayerResponses, classes: Classes, pair: int
) -> tuple[dict[str, np.ndarray], Permuted]:
    """Numbers of each channel that is active in both blocks, and the scores of channels that are paired at random.

    The numbers, each (channels,): kept, pictures shared by the two top-9; rho, rank correlation; own_match, whether the
    best match in the earlier block has the same index; match_rho, its rank correlation; gain, of agreement; score,
    refinement score; match_score, the score against the best match. pair: the pair's position in the network, from
    which the permutations are seeded."""
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
    return numbers, permuted(scores, 3 * pair + 1)


def means(numbers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The number of channels, and the mean of each number over the channels where it is finite."""
    row: dict[str, Any] = {"channels": len(numbers["kept"])}
    for name, values in numbers.items():
        finite = values[np.isfinite(values)]
        row[name] = float(finite.mean()) if finite.size else float("nan")
    return row


def score_at_random(pairs: Sequence[Permuted]) -> float:
    """The mean score when channels are paired at random, over all pairs of blocks."""
    network = sum(pairs[1:], pairs[0])
    return float(network.permuted.mean()) / max(1, network.channels)

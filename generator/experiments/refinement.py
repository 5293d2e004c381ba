"""Is refinement due to the shortcut? The atlas's scores in plain, residual and pre-activation networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from generator.core.correspondence import LayerResponses, strongest_match
from generator.experiments.comparing import DEPTH
from generator.experiments.reading import drawn_classes, read_layers
from generator.experiments.runs import DesignRun, Run, Training
from generator.experiments.setting import Setting
from generator.methods.purity import Classes, agreement, classes_of_nine
from generator.methods.refinement import Permuted, exchanged, permuted, refinement_scores
from generator.network.models.study.networks import StudyNetwork

if TYPE_CHECKING:
    from generator.experiments.workshop import Workshop

PRE_ACTIVATION = "full pre-activation"


def runs(setting: Setting) -> list[Training]:
    """Plain, residual and pre-activation networks, of those that other experiments train."""
    found: list[Training] = []
    for seed in setting.seeds:
        found += [Run(False, DEPTH, seed), Run(True, DEPTH, seed), DesignRun(PRE_ACTIVATION, DEPTH, seed)]
    return found


def tables(workshop: Workshop, runs: Sequence[Training]) -> Mapping[str, list[dict[str, Any]]]:
    """refinement: a row a network: means over the channels of all pairs of neighbouring blocks of a stage, and the
    tests of the atlas's pages; refinement_pairs: a row a pair."""
    networks, pairs = [], []
    pictures = workshop.pictures[1]
    for run in runs:
        network, _ = workshop.trained(run)
        assert isinstance(network, StudyNetwork)
        who = {"kind": run.kind, "depth": run.depth, "seed": run.seed}
        layers = read_layers(network.maps, pictures, signed=run.kind == PRE_ACTIVATION)
        parts, values = [], []
        names = list(layers)
        for place, (earlier, later) in enumerate(pairwise(names)):
            if earlier.split(".")[0] != later.split(".")[0]:  # of two stages: the channels are others
                continue
            numbers, tests = compared(layers[earlier], layers[later], drawn_classes(len(pictures)), place)
            values.append(numbers)
            parts.append(tests)
            pairs.append({**who, "earlier": earlier, "later": later, **means(numbers)})
        joined = {name: np.concatenate([found[name] for found in values]) for name in values[0]}
        networks.append({**who, **means(joined), **tested(parts)})
    return {"refinement": networks, "refinement_pairs": pairs}


def compared(
    earlier: LayerResponses, later: LayerResponses, classes: Classes, place: int
) -> tuple[dict[str, np.ndarray], tuple[Permuted, Permuted]]:
    """Each channel that is alive in both blocks: pictures kept, ρ, gain of agreement, refinement score, and the score
    against the channel of the earlier block that matches it best, whatever its number; the tests by correspondence and
    by direction."""
    alive = earlier.active & later.active
    similarity = earlier.similarity(later)
    before, after = (
        agreement(classes_of_nine(numbers.top_image, classes.of_picture), classes)
        for numbers in (earlier, later)
    )
    scores = refinement_scores(after, before, similarity.rho)  # (earlier, later)
    channels = np.flatnonzero(alive)
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
    direction = exchanged(np.diagonal(scores), 3 * place + 2)
    return numbers, (permuted(scores, 3 * place + 1), direction)


def means(numbers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How many channels, and the mean of each number over those where it is known."""
    found: dict[str, Any] = {"channels": len(numbers["kept"])}
    for name, values in numbers.items():
        known = values[np.isfinite(values)]
        found[name] = float(known.mean()) if known.size else float("nan")
    return found


def tested(parts: Sequence[tuple[Permuted, Permuted]]) -> dict[str, float]:
    """The mean score when channels are paired at random, and the p values of both tests."""
    correspondence = sum((part[0] for part in parts[1:]), parts[0][0])
    direction = sum((part[1] for part in parts[1:]), parts[0][1])
    return {
        "permuted_score": float(correspondence.permuted.mean()) / max(1, correspondence.channels),
        "correspondence_p": correspondence.p,
        "direction_p": direction.p,
    }

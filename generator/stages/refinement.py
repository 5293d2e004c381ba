"""Refinement: how every channel changes from block to block of its stage, and from the first block to the last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.core.correspondence import STRONG_PICTURES, centred_ranks, layer_pairs
from generator.core.records import LayerInfo
from generator.core.store import Store
from generator.methods.directions import along, random_directions
from generator.methods.purity import Classes
from generator.methods.refinement import (
    BLURS,
    FALSE_SHARE,
    OVERLAPS,
    REFINES,
    UNCLEAR,
    BlockSample,
    Change,
    Halves,
    Spread,
    StrongestUnits,
    compare,
    congruence,
    rank_correlation,
    shared_places,
)
from generator.methods.resampling import (
    HALVINGS,
    LEVEL,
    NORMAL,
    RELIABLE,
    bound,
    halvings,
    of_directions,
    reliability,
    standard_error,
)
from generator.stages.classes import picture_classes
from generator.stages.inputs import Inputs
from generator.stages.picture_reading import usable_files
from generator.stages.run import Run

PRODUCT = "refinement"  # of a layer's arrays
FILE = "refinement.json"
FEATURED = 20  # channels whose gains on both halves are compared


def refine_stages(inputs: Inputs, run: Run) -> None:
    """Write refinement.npz of every layer, and what holds of pairs of blocks and of stages (refinement.json)."""
    layers, store = inputs.network.layers, run.store
    chains = stage_chains(layers)
    comparisons = sum(len(_spans(chain)) for chain in chains)
    arrays: dict[str, dict[str, np.ndarray]] = {
        layer.name: no_block_before(layer.channels) for layer in layers
    }
    entries: list[dict[str, Any]] = []
    with run.reporter.stage(
        "refinement", max(1, sum(map(len, chains)) + comparisons), "blocks and pairs"
    ) as advance:
        classes = _sample_classes(inputs, run) if chains else None
        # Units are known of the top-9 over all pictures only.
        complete = len(store.tables.scored_pictures()) == len(store.tables.images())
        for chain in chains:
            blocks = []
            for layer in chain:
                blocks.append(_Block.of(store, layer, classes))
                advance()
            for first, last in _spans(chain):
                before, after = blocks[first], blocks[last]
                change = compare(
                    before.sample, after.sample, (before.scores, after.scores), (before.ranks, after.ranks)
                )
                suffix = "previous" if last - first == 1 else "stage"
                verdict = change.verdict(spread_between(before, after))
                places = shared_places(before.units, after.units) if complete else None
                arrays[after.layer.name] |= change_arrays(change, verdict, places, suffix)
                entries.append(_entry(before, after, change, verdict, suffix))
                if len(chain) == 2:  # the only pair is the stage
                    arrays[after.layer.name] |= change_arrays(change, verdict, places, "stage")
                    entries.append({**entries[-1], "kind": "stage"})
                advance()
        if not chains:
            advance()
    for name, numbers in arrays.items():
        store.arrays.write_layer(name, PRODUCT, numbers)
    report = {
        "pictures": len(store.tables.scored_pictures()),
        "halvings": HALVINGS,
        "level": LEVEL,
        "bound": bound(),
        "normal": NORMAL,
        "reliable": RELIABLE,
        "false_share": FALSE_SHARE,
        "comparisons": comparisons,
        "simultaneous_bound": bound(comparisons),
        "overlaps": list(OVERLAPS),
        "featured": FEATURED,
        "pairs": entries,
    }
    store.tables.write_json(FILE, report)


def stage_chains(layers: Sequence[LayerInfo]) -> list[list[LayerInfo]]:
    """The blocks of each stage, in order, as far as the addition ties their channels; stages of one block left out."""
    layer_of = {layer.name: layer for layer in layers}
    chains: list[list[LayerInfo]] = []
    for pair in layer_pairs(layers):
        if pair.tie != "stage":
            continue
        if chains and chains[-1][-1].name == pair.source:
            chains[-1].append(layer_of[pair.target])
        else:
            chains.append([layer_of[pair.source], layer_of[pair.target]])
    return chains


def _spans(chain: Sequence[LayerInfo]) -> list[tuple[int, int]]:
    """The pairs of blocks to compare, as places: neighbours, then the first with the last."""
    neighbours = [(place, place + 1) for place in range(len(chain) - 1)]
    return [*neighbours, (0, len(chain) - 1)] if len(chain) > 2 else neighbours


def _sample_classes(inputs: Inputs, run: Run) -> Classes | None:
    """The classes of the pictures whose scores are kept; None where they say nothing about agreement."""
    files = [inputs.pictures.files[index] for index in usable_files(inputs, run)]
    _, classes = picture_classes(inputs, files)
    if not (classes.labelled and (classes.repeat or classes.groups is not None)):
        return None
    return classes.of_rows(run.store.tables.scored_pictures())


@dataclass(frozen=True)
class _Block:
    """A block with what is known of it on the pictures whose scores are kept. directions: random ones of its features,
    None without labels."""

    layer: LayerInfo
    scores: np.ndarray
    ranks: np.ndarray
    sample: BlockSample
    directions: BlockSample | None
    units: StrongestUnits

    @classmethod
    def of(cls, store: Store, layer: LayerInfo, classes: Classes | None) -> _Block:
        numbers = store.arrays.layer(layer.name, "top")
        scores = np.asarray(store.arrays.scores(layer.name))
        directions = None
        if classes is not None:
            directions = BlockSample.of(
                along(scores, random_directions(layer.channels)), classes, signed=True
            )
        return cls(
            layer=layer,
            scores=scores,
            ranks=centred_ranks(scores),
            sample=BlockSample.of(scores, classes, signed=not layer.rectified),
            directions=directions,
            units=StrongestUnits(numbers["top_image"], numbers["top_unit"], layer.receptive_field),
        )


def no_block_before(channels: int) -> dict[str, np.ndarray]:
    """The arrays of a layer that has no block before it in its stage."""
    return {"places_previous": np.full(channels, -1, np.int32)}


def spread_between(before: _Block, after: _Block) -> Spread:
    """Of the gains of random directions; as if there were none without labels."""
    if before.directions is None or after.directions is None:
        return Spread(0.0, 1.0, float("nan"), float("nan"))
    return Spread.of(before.directions, after.directions)


def change_arrays(
    change: Change, verdict: np.ndarray, places: np.ndarray | None, suffix: str
) -> dict[str, np.ndarray]:
    """A comparison as arrays of the later block, (C,) each, over the pictures whose scores are kept. places: pictures
    kept at the same place, None where that is not known; suffix: 'previous', or 'stage' for the first block's."""
    nowhere = np.full(len(verdict), -1, np.int32)
    whole: dict[str, np.ndarray] = {
        "kept": np.where(change.known, change.shared, -1).astype(np.int32),
        "places": nowhere if places is None else np.where(change.known, places, -1).astype(np.int32),
        "identity": np.where(change.known, change.identity, -1).astype(np.int8),
        "change": verdict,
    }
    overlaps: dict[str, np.ndarray] = {
        f"overlap{round(100 * share)}": change.overlaps[:, place] for place, share in enumerate(OVERLAPS)
    }
    real: dict[str, np.ndarray] = {
        "kept_error": change.shared_error,
        "before": change.before,
        "after": change.after,
        "spearman": change.rho,
        "spearman_error": change.rho_error,
        **overlaps,
        "overlap5_error": change.overlap_error,
        "gain": change.gain,
        "gain_error": change.gain_error,
        "gain_half": change.first,
        "gain_other_half": change.second,
        "kept_half": change.kept_alone.first[0],
        "kept_other_half": change.kept_alone.second[0],
    }
    arrays = whole | {
        name: np.where(change.known, values, np.nan).astype(np.float32) for name, values in real.items()
    }
    if suffix == "previous":  # in connections.npz
        del arrays["spearman"]
    return {f"{name}_{suffix}": values for name, values in arrays.items()}


def _entry(before: _Block, after: _Block, change: Change, verdict: np.ndarray, suffix: str) -> dict[str, Any]:
    """What refinement.json says of two blocks."""
    known, judged = change.known, change.known & np.isfinite(change.gain)
    kept, overlap = change.kept.mean(known), change.overlapped.mean(known)
    entry: dict[str, Any] = {
        "source": before.layer.name,
        "target": after.layer.name,
        "stage": after.layer.stage,
        "kind": "blocks" if suffix == "previous" else "stage",
        "channels": int(known.sum()),
        "identity": int(change.identity.sum()),
        "judged": int((judged & change.identity).sum()),
        "refines": int((verdict == REFINES).sum()),
        "blurs": int((verdict == BLURS).sum()),
        "unclear": int(((verdict == UNCLEAR) & change.identity).sum()),
        "above": int((judged & change.identity & (change.gain > bound() * change.gain_error)).sum()),
        "below": int((judged & change.identity & (change.gain < -bound() * change.gain_error)).sum()),
        "kept": _number(change.shared[known].mean() if known.any() else np.nan),
        "kept_error": _number(standard_error(kept.first, kept.second)),
        "kept_untied": _number(change.untied.shared),
        "identity_error": _number(_identity_error(change)),
        "identity_again": _number(_identity_again(change)),
        "rho": _number(_mean(change.rho[known])),
        "rho_error": _number(change.mean_rho_error),
        "rho_untied": _number(change.untied.rho),
        "overlap": [_number(value) for value in _column_means(change.overlaps, known)],
        "overlap_error": _number(standard_error(overlap.first, overlap.second)),
        "overlap_untied": [_number(value) for value in change.untied.overlaps],
        "overlap_limit": _number(change.untied.overlap_limit),
        "reliability": {
            "kept": _number(
                reliability(change.kept_alone.first[:, known], change.kept_alone.second[:, known])
            ),
            "overlap5": _number(
                reliability(change.overlapped.first[:, known], change.overlapped.second[:, known])
            ),
            "rho": _number(_rho_reliability(before.scores, after.scores, known)),
            "label_agreement": _number(_agreement_reliability(after.sample, known)),
        },
    }
    return entry | (_gains(before, after, change, judged) if change.gains is not None else {})


def _mean(values: np.ndarray) -> float:
    """Of the finite ones; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else float("nan")


def _keeping(change: Change, kept: np.ndarray, overlap: np.ndarray) -> np.ndarray:
    """Which channels keep their pictures on halves, (P, C); the limit is that of all pictures."""
    count = min(len(kept), len(overlap))
    result: np.ndarray = (kept[:count] >= STRONG_PICTURES) & (overlap[:count] > change.untied.overlap_limit)
    return result[:, change.known]


def _identity_error(change: Change) -> float:
    """The standard error of the share of channels that keep their pictures."""
    halves = [
        _keeping(change, *of).mean(axis=1) if change.known.any() else np.zeros(0)
        for of in (
            (change.kept.first, change.overlapped.first),
            (change.kept.second, change.overlapped.second),
        )
    ]
    return float(standard_error(*halves)) if len(halves[0]) else float("nan")


def _identity_again(change: Change) -> float:
    """Of the channels that keep their pictures on one half, the share that keeps them on the other too."""
    one = _keeping(change, change.kept_alone.first, change.overlapped.first)
    other = _keeping(change, change.kept_alone.second, change.overlapped.second)
    together = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / together if together else float("nan")


def _rho_reliability(before: np.ndarray, after: np.ndarray, known: np.ndarray) -> float:
    """Split-half reliability of ρ, from the first halving alone: ranks of halves are the dearest numbers here."""
    member = halvings(len(before))[0]
    halves = [rank_correlation(before[rows], after[rows])[known] for rows in (member, ~member)]
    return reliability(halves[0][None], halves[1][None])


def _agreement_reliability(sample: BlockSample, known: np.ndarray) -> float:
    if sample.alone is None:
        return float("nan")
    return reliability(sample.alone.first[:, known], sample.alone.second[:, known])


def _column_means(values: np.ndarray, rows: np.ndarray) -> Iterator[float]:
    for column in values.T:
        yield float(column[rows].mean(dtype=np.float64)) if rows.any() else float("nan")


def _gains(before: _Block, after: _Block, change: Change, judged: np.ndarray) -> dict[str, Any]:
    """The mean gain of the channels, of random directions, and the difference, with standard errors over pictures; and
    what becomes of the largest gains of one half on the other."""
    assert change.gains is not None
    assert before.directions is not None
    assert after.directions is not None
    own = change.gains.mean(judged)
    directions, gains, errors = _direction_gains(before.directions, after.directions)
    mean = float(gains.mean()) if gains.size else float("nan")
    spread = spread_between(before, after)
    assert change.alone is not None
    gain = float(change.gain[judged].mean()) if judged.any() else float("nan")
    featured = featured_channels(change)
    return {
        "before": _number(change.before[judged].mean() if judged.any() else np.nan),
        "after": _number(change.after[judged].mean() if judged.any() else np.nan),
        "gain": _number(gain),
        "gain_error": _number(standard_error(own.first, own.second)),
        "gain_directions": _number(mean),
        "gain_directions_error": _number(standard_error(directions.first, directions.second)),
        "directions": before.directions.order.shape[0],
        "excess": _number(gain - mean),
        "excess_error": _number(
            np.sqrt(
                standard_error(own.first - directions.first, own.second - directions.second) ** 2
                + of_directions(gains, errors, int(judged.sum()))
            )
        ),
        "directions_above": _number(spread.above),
        "directions_below": _number(spread.below),
        "directions_middle": _number(spread.middle),
        "directions_width": _number(spread.width),
        "repeats": _number(congruence(change.alone, change.identity)),
        "featured_half": _number(change.first[featured].mean() if len(featured) else np.nan),
        "featured_other_half": _number(change.second[featured].mean() if len(featured) else np.nan),
    }


def _direction_gains(before: BlockSample, after: BlockSample) -> tuple[Halves, np.ndarray, np.ndarray]:
    """The mean gain of the directions on halves, and the gain of each on all pictures with its standard error."""
    assert before.agreements is not None
    assert after.agreements is not None
    assert before.agreement is not None
    assert after.agreement is not None
    gain = after.agreement - before.agreement
    finite = np.isfinite(gain)
    halves = after.agreements - before.agreements
    return halves.mean(finite), gain[finite], halves.error[finite]


def featured_channels(change: Change, count: int = FEATURED) -> np.ndarray:
    """The channels with the largest gain on the first half of the pictures, of those that keep their identity; chosen
    without the second half, on which their gain can then be read."""
    possible = np.flatnonzero(change.identity & np.isfinite(change.first) & np.isfinite(change.second))
    order = np.argsort(-change.first[possible], kind="stable")
    result: np.ndarray = possible[order[:count]]
    return result


def _number(value: float | np.floating[Any] | np.ndarray) -> float | None:
    """Rounded as in the tables; None where it is not finite."""
    return round(float(value), 6) if np.isfinite(value) else None

"""Refinement: how every channel changes from block to block of its stage, and from the first block to the last."""

from __future__ import annotations

from collections.abc import Sequence
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
    Gains,
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
    known_mean,
    of_directions,
    reliability,
    rounded,
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
                directions = before.directions_to(after)
                verdict = change.verdict(spread_of(directions))
                places = shared_places(before.units, after.units) if complete else None
                arrays[after.layer.name] |= change_arrays(change, verdict, places, suffix)
                entries.append(_entry(before, after, change, directions, verdict, suffix))
                if len(chain) == 2:  # the only pair is the stage
                    arrays[after.layer.name] |= change_arrays(change, verdict, places, "stage")
                    entries.append({**entries[-1], "kind": "stage"})
                advance()
        if not chains:
            advance()
    for name, numbers in arrays.items():
        store.arrays.write_layer(name, PRODUCT, numbers)
    store.tables.write_json(FILE, _report(len(store.tables.scored_pictures()), comparisons, entries))


def _report(pictures: int, comparisons: int, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """What refinement.json says. comparisons: of pairs of blocks; entries: of each pair."""
    return {
        "pictures": pictures,
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
    _, _, classes = picture_classes(inputs, files)
    return classes.of_rows(run.store.tables.scored_pictures()) if classes.has_agreement else None


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
                along(scores, random_directions(layer.channels)), classes, signed=True, overlaps=False
            )
        return cls(
            layer=layer,
            scores=scores,
            ranks=centred_ranks(scores),
            sample=BlockSample.of(scores, classes, signed=not layer.rectified),
            directions=directions,
            units=StrongestUnits(numbers["top_image"], numbers["top_unit"], layer.receptive_field),
        )

    def directions_to(self, after: _Block) -> Gains | None:
        """By how much label agreement rises along random directions, None without labels."""
        if self.directions is None or after.directions is None:
            return None
        return Gains.between(self.directions, after.directions)


def no_block_before(channels: int) -> dict[str, np.ndarray]:
    """The arrays of a layer that has no block before it in its stage."""
    return {"places_previous": np.full(channels, -1, np.int32)}


def spread_of(directions: Gains | None) -> Spread:
    """Of the gains of random directions; as if there were none without labels."""
    nothing = np.zeros(0)
    return Spread.of(directions.gain, directions.halves.error) if directions else Spread.of(nothing, nothing)


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
    gains, nothing = change.gains, np.full(len(verdict), np.nan)
    real: dict[str, np.ndarray] = {
        "kept_error": change.shared_error,
        "before": nothing if change.before is None else change.before,
        "after": nothing if change.after is None else change.after,
        "spearman": change.rho.rho,
        "spearman_error": change.rho.error,
        **overlaps,
        "overlap5_error": change.overlapped.error,
        "gain": gains.gain if gains else nothing,
        "gain_error": gains.halves.error if gains else nothing,
        "gain_half": gains.alone.first[0] if gains else nothing,
        "gain_other_half": gains.alone.second[0] if gains else nothing,
        "kept_half": change.kept_alone.first[0],
        "kept_other_half": change.kept_alone.second[0],
    }
    arrays = whole | {
        name: np.where(change.known, values, np.nan).astype(np.float32) for name, values in real.items()
    }
    if suffix == "previous":  # in connections.npz
        del arrays["spearman"]
    return {f"{name}_{suffix}": values for name, values in arrays.items()}


def _entry(
    before: _Block, after: _Block, change: Change, directions: Gains | None, verdict: np.ndarray, suffix: str
) -> dict[str, Any]:
    """What refinement.json says of two blocks."""
    known, keeping = change.known, change.judged & change.identity
    reach = bound() * change.gains.halves.error if change.gains else np.zeros(len(known))
    gain = change.gains.gain if change.gains else np.zeros(len(known))
    kept, overlap = change.kept.mean(known), change.overlapped.mean(known)
    entry: dict[str, Any] = {
        "source": before.layer.name,
        "target": after.layer.name,
        "stage": after.layer.stage,
        "kind": "blocks" if suffix == "previous" else "stage",
        "channels": int(known.sum()),
        "identity": int(change.identity.sum()),
        "judged": int(keeping.sum()),
        "refines": int((verdict == REFINES).sum()),
        "blurs": int((verdict == BLURS).sum()),
        "unclear": int(((verdict == UNCLEAR) & change.identity).sum()),
        "above": int((keeping & (gain > reach)).sum()),
        "below": int((keeping & (gain < -reach)).sum()),
        "kept": rounded(known_mean(change.shared[known])),
        "kept_error": rounded(kept.error),
        "kept_untied": rounded(change.untied.shared),
        "identity_error": rounded(_identity_error(change)),
        "identity_again": rounded(_identity_again(change)),
        "rho": rounded(known_mean(change.rho.rho[known])),
        "rho_error": rounded(change.rho.mean_error),
        "rho_untied": rounded(change.untied.rho),
        "overlap": [rounded(value) for value in known_mean(change.overlaps[known].T)],
        "overlap_error": rounded(overlap.error),
        "overlap_untied": [rounded(value) for value in change.untied.overlaps],
        "overlap_limit": rounded(change.untied.overlap_limit),
        "reliability": {
            "kept": rounded(
                reliability(change.kept_alone.first[:, known], change.kept_alone.second[:, known])
            ),
            "overlap5": rounded(
                reliability(change.overlapped.first[:, known], change.overlapped.second[:, known])
            ),
            "rho": rounded(_rho_reliability(before.scores, after.scores, known)),
            "label_agreement": rounded(_agreement_reliability(after.sample, known)),
        },
    }
    if change.gains is None or directions is None:
        return entry
    return entry | _gain_entry(change, change.gains, directions)


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


def _gain_entry(change: Change, gains: Gains, directions: Gains) -> dict[str, Any]:
    """The mean gain of the channels, of random directions, and the difference, with standard errors over pictures; and
    what becomes of the largest gains of one half on the other."""
    judged, every = change.judged, np.isfinite(directions.gain)
    assert change.before is not None
    assert change.after is not None
    own, others = gains.halves.mean(judged), directions.halves.mean(every)
    gain, mean = known_mean(gains.gain[judged]), known_mean(directions.gain)
    spread = spread_of(directions)
    featured = featured_channels(change, gains)
    return {
        "before": rounded(known_mean(change.before[judged])),
        "after": rounded(known_mean(change.after[judged])),
        "gain": rounded(gain),
        "gain_error": rounded(own.error),
        "gain_directions": rounded(mean),
        "gain_directions_error": rounded(others.error),
        "directions": len(directions.gain),
        "excess": rounded(gain - mean),
        "excess_error": rounded(
            np.sqrt(
                (own - others).error ** 2
                + of_directions(directions.gain, directions.halves.error, int(judged.sum()))
            )
        ),
        "directions_above": rounded(spread.above),
        "directions_below": rounded(spread.below),
        "directions_middle": rounded(spread.middle),
        "directions_width": rounded(spread.width),
        "repeats": rounded(congruence(gains.alone, change.identity)),
        "featured_half": rounded(known_mean(gains.alone.first[0][featured])),
        "featured_other_half": rounded(known_mean(gains.alone.second[0][featured])),
    }


def featured_channels(change: Change, gains: Gains, count: int = FEATURED) -> np.ndarray:
    """The channels with the largest gain on the first half of the pictures, of those that keep their identity; chosen
    without the second half, on which their gain can then be read."""
    first, second = gains.alone.first[0], gains.alone.second[0]
    possible = np.flatnonzero(change.identity & np.isfinite(first) & np.isfinite(second))
    result: np.ndarray = possible[np.argsort(-first[possible], kind="stable")[:count]]
    return result

"""The channels that a network's home page shows, and how they are chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from generator.core.records import TOP, LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.whole_pictures import WholePicture, whole_pictures

HIGHLIGHTS = 3  # channels on a home page
# Top-9 images that the first and the last block share: a similar feature, not the same.
KEPT_RANGE = (1, TOP - 1)
ROW_LABELS = 2  # labels named for each block


@dataclass(frozen=True)
class HighlightRow:
    """A channel in one block. labels: the commonest of its nine pictures, with how many carry each, none where no two
    pictures of the set have the same; shared: how many of
    the nine it shares with the block shown before, None for the first; wholes: in place of tiles."""

    layer: str
    wholes: Sequence[WholePicture]
    labels: Sequence[tuple[str, int]]
    shared: int | None


@dataclass(frozen=True)
class Highlight:
    """A channel along a stage."""

    channel: int
    stage: int
    rows: Sequence[HighlightRow]


@dataclass(frozen=True, order=True)
class _Candidate:
    """A channel, with its criteria in the order of their weight. The smallest candidate is the best: the criteria have
    their signs changed."""

    rank: int
    keeps_few_or_most: bool
    minus_strength: float
    channel: int
    blocks: list[LayerInfo] = field(compare=False)


def highlights(atlas: Atlas) -> list[Highlight]:
    """The channels of the home page, in the order of their stages.

    Of a stage's channels that are active and pictured in all its blocks: first those that keep one to eight of the nine
    pictures from the first to the last block (both respond to something similar, yet not the same), then those with the
    highest activation as a share of their layer's. No measure of classes takes part: from nine pictures none repeats
    well enough on other pictures to choose channels by it. The best of each stage are taken before the second best of
    any. Stages of one block are left out where others have more: nothing changes along them.
    """
    candidates: list[_Candidate] = []
    for blocks in _stages(atlas):
        ranked = sorted(_candidates(atlas, blocks))[:HIGHLIGHTS]
        candidates += [dataclasses.replace(candidate, rank=rank) for rank, candidate in enumerate(ranked)]
    best = sorted(candidates)[:HIGHLIGHTS]
    in_order = sorted(best, key=lambda candidate: (candidate.blocks[0].stage, candidate.rank))
    return [_highlight(atlas, candidate) for candidate in in_order]


def highlights_rule(chosen: Sequence[Highlight]) -> str:
    """How the channels were chosen, in a sentence; '' where there are none."""
    if not chosen:
        return ""
    strongest = "the highest activation as a share of the layer's highest"
    if all(len(highlight.rows) == 1 for highlight in chosen):
        return f"Chosen automatically: the channels with {strongest}. Not typical."
    few, most = KEPT_RANGE
    kept = f"of the channels that keep {few} to {most} of their nine pictures across the stage"
    return f"Chosen automatically: {kept}, those with {strongest}. Not typical."


def left_out(atlas: Atlas) -> int:
    """How many active channels of the stages that `highlights` looks through could not be chosen, because the atlas has
    no tiles of them in all blocks."""
    return sum(int((_active(atlas, blocks) & ~_pictured(atlas, blocks)).sum()) for blocks in _stages(atlas))


def _stages(atlas: Atlas) -> list[list[LayerInfo]]:
    """The blocks of each stage that has several; where none has, of every stage."""
    stages = [atlas.stage_blocks(stage) for stage in sorted({block.stage for block in atlas.blocks})]
    return [blocks for blocks in stages if len(blocks) > 1] or stages


def _candidates(atlas: Atlas, blocks: list[LayerInfo]) -> list[_Candidate]:
    # At most three blocks are shown: of a long stage the first, the middle and the last.
    shown = blocks if len(blocks) <= 3 else [blocks[0], blocks[len(blocks) // 2], blocks[-1]]
    first, last = blocks[0].name, blocks[-1].name
    full = np.all([atlas.layer(block.name).arrays["top_image"][:, -1] >= 0 for block in blocks], axis=0)
    kept = atlas.shared(last, first)
    strength = np.mean([_share_of_largest(atlas, block.name) for block in shown], axis=0)
    possible = _active(atlas, blocks) & _pictured(atlas, blocks) & full
    return [
        _Candidate(
            rank=0,
            keeps_few_or_most=not KEPT_RANGE[0] <= kept[channel] <= KEPT_RANGE[1],
            minus_strength=-float(strength[channel]),
            channel=channel,
            blocks=shown,
        )
        for channel in np.flatnonzero(possible).tolist()
    ]


def _active(atlas: Atlas, blocks: Sequence[LayerInfo]) -> np.ndarray:
    """(C,) bool: which channels are active in all of these blocks."""
    inactive: np.ndarray = np.any([np.array(atlas.layer(block.name).dead) for block in blocks], axis=0)
    return ~inactive


def _pictured(atlas: Atlas, blocks: Sequence[LayerInfo]) -> np.ndarray:
    """(C,) bool: which channels have tiles in all of these blocks; where none has, which have tiles or whole pictures
    in all of them."""
    layers, channels = [atlas.layer(block.name) for block in blocks], range(blocks[0].channels)
    tiled = np.array([all(channel in layer.pictured for layer in layers) for channel in channels])
    if tiled.any():
        return tiled
    return np.array([not any(layer.absence(channel) for layer in layers) for channel in channels])


def _share_of_largest(atlas: Atlas, layer: str) -> np.ndarray:
    """(C,): each channel's highest activation as a share of the layer's highest."""
    strongest = atlas.layer(layer).arrays["top_value"][:, 0]
    shares: np.ndarray = strongest / max(float(strongest.max()), 1e-12)
    return shares


def _highlight(atlas: Atlas, candidate: _Candidate) -> Highlight:
    channel, blocks = candidate.channel, candidate.blocks
    rows = [
        HighlightRow(
            layer=block.name,
            wholes=whole_pictures(atlas, block.name, channel),
            labels=atlas.labels_of(block.name, channel)[:ROW_LABELS] if atlas.labels_repeat else (),
            shared=atlas.shared(block.name, blocks[number - 1].name)[channel] if number else None,
        )
        for number, block in enumerate(blocks)
    ]
    return Highlight(channel, blocks[0].stage, rows)

"""What single channels do between two blocks of a stage: numbers, and lists chosen on one half of the pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from generator.site.csv_tables import csv_text, field
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel_change import ChannelChange, channel_change
from generator.site.reading.refinement import Comparison, Refinement
from generator.site.reading.whole_pictures import WholePicture, whole_pictures

ERRORS = ("kept_error", "spearman_error", "overlap5_error", "gain_error")
CSV_COLUMNS = (
    "layer", "channel", "earlier", "kind", "kept", "places", "rho", "overlap1", "overlap5", "overlap10",
    "agreement_before", "agreement", "gain", *ERRORS, "gain_half", "gain_other_half", "kept_half", "kept_other_half",
)  # fmt: skip


@dataclass(frozen=True)
class Frame:
    """A channel in one block. absent: why it shows no pictures there, or ''; wholes: in place of tiles."""

    layer: str
    absent: str
    wholes: Sequence[WholePicture]


@dataclass(frozen=True)
class ListedChannel:
    change: ChannelChange
    frames: Sequence[Frame]


@dataclass(frozen=True)
class ChannelList:
    """Channels chosen on one half of the pictures. rule: by what; half, other_half: the mean of that over the channels
    listed, where they were chosen and on the other half; left_out: count of channels that rank before the last of them
    and are not listed, because the atlas does not picture them in both blocks; value: the numbers of a channel on both
    halves, in words."""

    name: str
    rule: str
    half: float
    other_half: float
    entries: Sequence[ListedChannel]
    left_out: int


@dataclass(frozen=True)
class _Rule:
    """What a list is chosen by. key: the first half's number, the larger the earlier; of: both halves' numbers."""

    name: str
    words: str
    key: Callable[[ChannelChange], float]
    of: Callable[[ChannelChange], tuple[float | None, float | None]]


def _kept(change: ChannelChange) -> tuple[float | None, float | None]:
    return change.kept_half, change.kept_other_half


GAIN = _Rule(
    "Largest gains",
    "Channels that keep their pictures, by their gain in label agreement",
    lambda change: change.half if change.half is not None else -np.inf,
    lambda change: (change.half, change.other_half),
)
STEADY = _Rule(
    "Steadiest", "Channels by pictures kept, most first", lambda change: change.kept_half or 0.0, _kept
)
CHANGED = _Rule(
    "Most changed",
    "Channels by pictures kept, fewest first",
    lambda change: -(change.kept_half or 0.0),
    _kept,
)


def channel_changes(atlas: Atlas, pair: Comparison, bound: float) -> list[ChannelChange]:
    """The pair's channels that are active in both blocks, in order."""
    channels = range(atlas.layer(pair.target).info.channels)
    changes = (channel_change(atlas, pair, channel, bound) for channel in channels)
    return [change for change in changes if change is not None]


def channel_lists(
    atlas: Atlas, refinement: Refinement, pairs: Sequence[Comparison], length: int, *, pictured: bool = False
) -> list[ChannelList]:
    """The channels with the largest gains (only of pairs where gains repeat on other pictures), the steadiest and the
    most changed ones, chosen on one half of the pictures.

    length: of each list at most; pictured: list only channels that the atlas pictures in both blocks.
    """
    changes = [(pair, change) for pair in pairs for change in channel_changes(atlas, pair, refinement.bound)]
    repeating = [
        change
        for pair, change in changes
        if pair.repeats(refinement.reliable)
        if change.kind != "other" and change.half is not None and change.other_half is not None
    ]
    counted = [change for _, change in changes if None not in _kept(change)]
    lists = [
        _list(atlas, rule, candidates, length, pictured=pictured)
        for rule, candidates in ((GAIN, repeating), (STEADY, counted), (CHANGED, counted))
    ]
    return [each for each in lists if each.entries or each.left_out]


def _list(
    atlas: Atlas, rule: _Rule, candidates: Sequence[ChannelChange], length: int, *, pictured: bool
) -> ChannelList:
    # Among equals, sorted() keeps the order of the pairs and of their channels.
    ordered = sorted(candidates, key=rule.key, reverse=True)
    entries: list[ListedChannel] = []
    left_out = seen = 0
    for change in ordered:
        if len(entries) == length:
            break
        frames = _frames(atlas, change)
        seen += 1
        if pictured and any(frame.absent for frame in frames):
            continue
        entries.append(ListedChannel(change, frames))
        left_out = seen - len(entries)
    if not entries:
        left_out = len(ordered)
    halves = [rule.of(entry.change) for entry in entries]
    means = [float(np.mean([half[side] for half in halves])) if halves else float("nan") for side in (0, 1)]
    return ChannelList(rule.name, rule.words, means[0], means[1], entries, left_out)


def _frames(atlas: Atlas, change: ChannelChange) -> tuple[Frame, Frame]:
    return _frame(atlas, change.before, change.channel), _frame(atlas, change.layer, change.channel)


def _frame(atlas: Atlas, layer: str, channel: int) -> Frame:
    return Frame(layer, atlas.layer(layer).absence(channel), whole_pictures(atlas, layer, channel))


def refinement_csv(atlas: Atlas, refinement: Refinement) -> str:
    """A row per channel and pair of blocks, neighbours first, then first with last blocks; in full precision."""
    rows = []
    for pair in (*refinement.neighbours, *refinement.stages):
        arrays, suffix = atlas.layer(pair.target).arrays, "stage" if pair.whole else "previous"
        for change in channel_changes(atlas, pair, refinement.bound):
            overlaps = [_value(arrays, f"overlap{share}_{suffix}", change.channel) for share in (1, 5, 10)]
            errors = [_value(arrays, f"{name}_{suffix}", change.channel) for name in ERRORS]
            gain = _value(arrays, f"gain_{suffix}", change.channel)
            rows.append(
                [change.layer, change.channel, change.before, change.kind, change.shared,
                 "" if change.places is None else change.places,
                 field(change.rho), *overlaps, field(change.then), field(change.now), gain, *errors,
                 field(change.half), field(change.other_half), field(change.kept_half), field(change.kept_other_half)]
            )  # fmt: skip
    return csv_text(CSV_COLUMNS, rows)


def _value(arrays: dict[str, np.ndarray], name: str, channel: int) -> object:
    values = arrays.get(name)
    return "" if values is None else field(float(values[channel]))

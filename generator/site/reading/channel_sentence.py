"""One sentence about a channel, made from its numbers; never a guess at what the channel means."""

from __future__ import annotations

import itertools

from generator.core.records import TOP, LayerInfo
from generator.site.formats import in_words, integer
from generator.site.reading.atlas import Atlas

HARDLY_CHANGES = 7  # of nine pictures shared by neighbouring blocks: from here on the sentence says so
OFTEN = 5  # of nine pictures with the same label: from here on the sentence names it


def channel_sentence(atlas: Atlas, info: LayerInfo, channel: int) -> str:
    """What a channel's page says first."""
    layer = atlas.layer(info.name)
    count = integer(atlas.manifest.pictures.count)
    if layer.dead[channel]:
        if info.rectified:
            return f"Dead on these pictures: none of the {count} activates it."
        return f"Dead on these pictures: its score is the same on all {count}."
    nine = layer.nine(channel)
    if len(nine) < TOP:
        return f"Only {in_words(len(nine))} of the {count} pictures activate it."
    stage = _stage_clause(atlas, info, channel)
    label = _label_clause(atlas, info, channel, alone=not stage)
    text = "; ".join(filter(None, (stage, label))) or f"strongest on picture {nine[0]}"
    return text[0].upper() + text[1:] + "."


def _stage_clause(atlas: Atlas, info: LayerInfo, channel: int) -> str:
    """How many of its nine pictures the channel shares with other blocks of the stage; '' outside such a stage."""
    stage = atlas.stage_blocks(info.stage) if info.kind == "block" else []
    if info not in stage or len(stage) < 2:
        return ""
    steps = [atlas.shared(later.name, earlier.name)[channel] for earlier, later in itertools.pairwise(stage)]
    if min(steps) >= HARDLY_CHANGES:
        return (
            f"hardly changes from {stage[0].name} to {stage[-1].name}: "
            f"neighbouring blocks share at least {in_words(min(steps))} of nine pictures"
        )
    number = stage.index(info)
    if number == 0:
        return f"{stage[1].name} keeps {in_words(steps[0])} of its nine pictures"
    clause = f"shares {in_words(steps[number - 1])} of nine pictures with {stage[number - 1].name}"
    if number > 1:
        first = atlas.shared(info.name, stage[0].name)[channel]
        clause += f", {in_words(first)} with {stage[0].name}"
    return clause


def _label_clause(atlas: Atlas, info: LayerInfo, channel: int, *, alone: bool) -> str:
    """The label that most of the nine pictures carry; otherwise, where nothing else is said, how many labels they
    carry; '' without labels, and where no two pictures of the whole set have the same."""
    labels = atlas.labels_of(info.name, channel)
    if not labels or not atlas.labels_repeat:
        return ""
    label, count = labels[0]
    if count >= OFTEN:
        pictures = "all nine" if count == TOP else f"{in_words(count)} of the top-9"
        return f"{pictures} are labelled “{label}”"
    return f"its nine pictures carry {in_words(len(labels))} labels" if alone else ""

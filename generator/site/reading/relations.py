"""What a channel's page says about refinement and correspondence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import TOP, LayerInfo
from generator.site.formats import correlation
from generator.site.reading.atlas import Atlas, pairs_shown
from generator.site.reading.layer_pairs import LayerPair, Match

CODES = ("change", "blur", "stay", "refine")  # of `change_previous`
VERBS = {"refine": "Refines", "stay": "Stays as in", "blur": "Blurs", "change": "Changes from"}


@dataclass(frozen=True)
class ChangeSentence:
    """How a channel changes from the block before. verb: links to the definition; layer: the block before; text: the
    numbers."""

    verb: str
    layer: str
    text: str


@dataclass(frozen=True)
class SimilarChannels:
    """A channel's best matches in a neighbouring layer, strongest first. flow: address of the page that draws all
    matches of the two layers, below the network's folder; tied: whether the network adds channels of equal numbers, so
    that the match of the same number is not listed."""

    layer: str
    matches: Sequence[Match]
    flow: str
    tied: bool


def stage_pairs(atlas: Atlas) -> list[LayerPair]:
    """Neighbouring blocks of a stage for which the refinement of every channel is known."""
    return [pair for pair in pairs_shown(atlas) if pair.in_stage]


def kind_of(atlas: Atlas, layer: str, channel: int) -> str:
    """What the channel does from the block before to this one, or ''."""
    codes = atlas.layer(layer).arrays.get("change_previous")
    code = -1 if codes is None else int(codes[channel])
    return CODES[code] if 0 <= code < len(CODES) else ""


def number(atlas: Atlas, layer: str, key: str, channel: int) -> float:
    """A statistic of a channel, NaN where there is none."""
    values = atlas.layer(layer).arrays.get(key)
    return float("nan") if values is None else float(values[channel])


def commonest(atlas: Atlas, layer: str, channel: int) -> tuple[str, int] | None:
    """'label' or 'group', and how many of the nine pictures carry the commonest one; None without labels."""
    for key, what in (("label_purity", "label"), ("group_purity", "group")):
        share = number(atlas, layer, key, channel)
        if np.isfinite(share):
            return what, round(share * TOP)
    return None


def change_sentence(atlas: Atlas, info: LayerInfo, channel: int) -> ChangeSentence | None:
    """How the channel changes from the same channel number of the block before; None where that is not known."""
    kind = kind_of(atlas, info.name, channel) if info.kind == "block" else ""
    pairs = (pair for pair in atlas.pairs_at.get(info.name, ()) if pair.target == info.name)
    pair = next((pair for pair in pairs if pair.in_stage), None)
    if not kind or pair is None:
        return None
    before = pair.source
    shared = int(number(atlas, info.name, "shared_previous", channel))
    places = number(atlas, info.name, "places_previous", channel)
    parts = [f"keeps {shared} of its 9 pictures" + (f", {places:.0f} at the same place" if shared else "")]
    then, now = (number(atlas, name, "label_agreement", channel) for name in (before, info.name))
    if np.isfinite(then) and np.isfinite(now):
        parts.append(f"label agreement {correlation(then)} → {correlation(now)}")
    earlier, later = commonest(atlas, before, channel), commonest(atlas, info.name, channel)
    if earlier and later and earlier[0] == later[0]:
        parts.append(f"commonest {later[0]} {earlier[1]} → {later[1]} of 9")
    return ChangeSentence(VERBS[kind], before, "; ".join(parts))


def similar_channels(atlas: Atlas, info: LayerInfo, channel: int) -> list[SimilarChannels]:
    """The channel's best matches in the layers next to it. Of tied layers the channel of the same number is left out:
    the page shows it anyway."""
    similar = []
    for pair in atlas.pairs_at.get(info.name, ()):
        forward = pair.source == info.name
        matches = [
            match
            for match in atlas.matches(pair, forward=forward)[channel]
            if not (pair.is_tied and match.channel == channel)
        ]
        if matches:
            layer = pair.target if forward else pair.source
            similar.append(SimilarChannels(layer, matches, pair.flow_address, pair.is_tied))
    return similar

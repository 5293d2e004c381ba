"""What the pages say of refinement and correspondence: one channel's line, its links, and the pairs of layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from generator.core.records import TOP, LayerInfo
from generator.site.reading.atlas import Atlas, pairs_shown
from generator.site.reading.measures import correlation

CODES = ("change", "blur", "stay", "refine")  # of `change_previous`
VERBS = {"refine": "Refines", "stay": "Stays as in", "blur": "Blurs", "change": "Changes from"}


def stage_pairs(atlas: Atlas) -> list[dict[str, Any]]:
    """Neighbouring blocks of a stage for which the refinement of every channel is known."""
    return [pair for pair in pairs_shown(atlas) if _in_stage(pair)]


def _in_stage(pair: dict[str, Any]) -> bool:
    return pair["tie"] == "stage" and bool(pair.get("counts"))


def flow_address(pair: dict[str, Any]) -> str:
    """Of the page that draws how channels of one layer continue in another, below the network's folder."""
    return f"{pair['target']}/from-{pair['source']}.html"


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
    """'label' or 'group', and how many of the nine are of the commonest one."""
    for key, what in (("label_purity", "label"), ("group_purity", "group")):
        share = number(atlas, layer, key, channel)
        if np.isfinite(share):
            return what, round(share * TOP)
    return None


def reading(atlas: Atlas, info: LayerInfo, channel: int) -> dict[str, str] | None:
    """One line on how the channel continues the same number of the block before: verb, block, and the numbers."""
    kind = kind_of(atlas, info.name, channel) if info.kind == "block" else ""
    if not kind:
        return None
    beside = (pair for pair in atlas.pairs_at.get(info.name, ()) if pair["target"] == info.name)
    pair = next(filter(_in_stage, beside), None)
    if pair is None:
        return None
    before = pair["source"]
    shared = int(number(atlas, info.name, "shared_previous", channel))
    places = number(atlas, info.name, "places_previous", channel)
    said = [f"keeps {shared} of its 9 pictures" + (f", {places:.0f} at the same place" if shared else "")]
    then, now = (number(atlas, name, "label_agreement", channel) for name in (before, info.name))
    if np.isfinite(then) and np.isfinite(now):
        said.append(f"label agreement {correlation(then)} → {correlation(now)}")
    earlier, later = commonest(atlas, before, channel), commonest(atlas, info.name, channel)
    if earlier and later and earlier[0] == later[0]:
        said.append(f"commonest {later[0]} {earlier[1]} → {later[1]} of 9")
    return {"verb": VERBS[kind], "layer": before, "text": "; ".join(said)}


def continuations(atlas: Atlas, info: LayerInfo, channel: int) -> list[dict[str, Any]]:
    """The channel's best matches in the layers beside it, before and after: equal numbers of tied layers aside, which
    stand on the page anyhow."""
    found = []
    for pair in atlas.pairs_at.get(info.name, ()):
        forward = pair["source"] == info.name
        other = pair["target"] if forward else pair["source"]
        tied = pair["tie"] in ("stage", "added")
        matches = [
            match
            for match in atlas.matches(pair, forward=forward)[channel]
            if not (tied and match["channel"] == channel)
        ]
        if matches:
            flow = flow_address(pair)
            found.append({"layer": other, "matches": matches, "flow": flow, "tied": tied})
    return found

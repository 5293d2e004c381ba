"""What a channel's page says, for its template. No HTML here."""

from __future__ import annotations

import itertools
import json
from typing import Any

from generator.core.records import TOP, LayerInfo
from generator.site.citation import cite
from generator.site.formats import integer, significant
from generator.site.reading.atlas import PANEL_NAMES, Atlas, Layer, number_word
from generator.site.reading.measures import BY_KEY
from generator.site.reading.relations import change_sentence, kind_of, similar_channels
from generator.site.reading.synthetic import is_optimised, optimised

HARDLY_CHANGES = 7  # of nine pictures shared by neighbouring blocks: from here on the sentence says so


def sentence(atlas: Atlas, layer: LayerInfo, channel: int) -> str:
    """One sentence made from the channel's numbers; never a guess at what it means."""
    numbers = atlas.layer(layer.name)
    if numbers.dead[channel]:
        count = integer(atlas.manifest.pictures.count)
        if layer.rectified:
            return f"Dead on these pictures: none of the {count} activates it."
        return f"Dead on these pictures: its score is the same on all {count}."
    nine = numbers.nine(channel)
    if len(nine) < TOP:
        return f"Only {number_word(len(nine))} of the {integer(atlas.manifest.pictures.count)} pictures activate it."
    parts = []
    stage = atlas.stage_blocks(layer.stage) if layer.kind == "block" else []
    at = stage.index(layer) if layer in stage else -1
    if at >= 0 and len(stage) > 1:
        steps = [
            atlas.shared(later.name, earlier.name)[channel] for earlier, later in itertools.pairwise(stage)
        ]
        if min(steps) >= HARDLY_CHANGES:
            parts.append(
                f"hardly changes from {stage[0].name} to {stage[-1].name}: "
                f"neighbouring blocks share at least {number_word(min(steps))} of nine pictures"
            )
        elif at == 0:
            parts.append(f"{stage[1].name} keeps {number_word(steps[0])} of its nine pictures")
        else:
            said = f"shares {number_word(steps[at - 1])} of nine pictures with {stage[at - 1].name}"
            if at > 1:
                first = atlas.shared(layer.name, stage[0].name)[channel]
                said += f", {number_word(first) if first else 'none'} with {stage[0].name}"
            parts.append(said)
    labels = atlas.labels_of(layer.name, channel)
    if labels and labels[0][1] >= 5:
        often = "all nine" if labels[0][1] == TOP else number_word(labels[0][1]) + " of the nine"
        parts.append(f"{often} are labelled “{labels[0][0]}”")
    elif labels and not parts:
        parts.append(
            f"its nine pictures carry {number_word(len(labels)) if len(labels) > 1 else 'one'} labels"
        )
    text = "; ".join(parts) or f"strongest on picture {nine[0]}"
    return text[0].upper() + text[1:] + "."


def tiles(atlas: Atlas, layer: Layer, channel: int) -> list[tuple[int, str, str, str, int]]:
    """The nine, strongest first: rank from 1, label, value, row and column, picture."""
    value = BY_KEY["max"].format
    rows = zip(layer.images[channel], layer.values[channel], layer.units[channel], strict=True)
    return [
        (k, atlas.short[image], value(score), f"{unit[0]}, {unit[1]}", image)
        for k, (image, score, unit) in enumerate(rows, 1)
        if image >= 0
    ]


def covers_picture(atlas: Atlas, info: LayerInfo) -> bool:
    """Whether the field is larger than the picture, so that the tiles show whole pictures."""
    return info.receptive_field.side > atlas.input_side


def unit_mark(info: LayerInfo, row: int, column: int) -> str:
    """The square of the picture that the unit stands for in its map, as an SVG path in px of the input."""
    field = info.receptive_field
    # Pixel 0 of the input reaches from 0 to 1 in the drawing: its middle lies at 0.5.
    left, top = (field.centre + place * field.stride + 0.5 - field.stride / 2 for place in (column, row))
    return f"M{left:g} {top:g}h{field.stride}v{field.stride}h-{field.stride}z"


def tile_margin(atlas: Atlas, info: LayerInfo) -> float:
    """How much ground a tile has around its picture, in px of the input where the whole picture is shown."""
    sprite = atlas.manifest.sprites[info.name]
    if not sprite.side or not covers_picture(atlas, info):
        return 0.0
    return round((sprite.tile - sprite.side) / 2 * atlas.input_side / sprite.side, 2)


def _view(atlas: Atlas, info: LayerInfo) -> str:
    """The viewBox of a drawing over a whole tile, in px of the input."""
    margin = tile_margin(atlas, info)
    side = atlas.input_side + 2 * margin
    return f"{-margin:g} {-margin:g} {side:g} {side:g}"


def tile_data(atlas: Atlas, names: list[str], channel: int) -> str:
    """What the script needs to draw the rows and to say what a tile shows, as compact JSON.

    labels: text; rows: by layer, its receptive field [side, stride, centre], ground around a tile, and the nine as
    [picture, value, row, column, label]; side: of the network's input; pictures: whether whole pictures are
    published; without: those of the rows that are not, where there are such.
    """
    labels: dict[str, int] = {}
    rows: dict[str, Any] = {}
    for name in names:
        layer = atlas.layer(name)
        field = layer.info.receptive_field
        nine = [[*top, labels.setdefault(atlas.short[top[0]], len(labels))] for top in layer.tops[channel]]
        centre = int(field.centre) if field.centre == int(field.centre) else field.centre
        rows[name] = [[field.side, field.stride, centre, tile_margin(atlas, layer.info)], nine]
    panels = atlas.manifest.sprites[names[0]].panels
    data = {
        "labels": list(labels),
        "rows": rows,
        "side": atlas.input_side,
        "pictures": int(atlas.shows_pictures),
        "panels": [PANEL_NAMES.get(panel, panel) for panel in panels],
    }
    of_rows = {top[0] for name in names for top in atlas.layer(name).tops[channel]}
    if atlas.shows_pictures and (without := sorted(of_rows - atlas.published)):
        data["without"] = without
    if with_optimised := [name for name in names if is_optimised(atlas.layer(name), channel)]:
        data["optimised"] = with_optimised
    # "<" never appears in the JSON, so that no label can end the script element that carries it.
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")


def input_source(atlas: Atlas, info: LayerInfo) -> LayerInfo | None:
    """The convolution of the same block that this one reads; for the first, the block before."""
    if info.kind != "branch":
        return None
    branch = [x for x in atlas.manifest.layers if x.kind == "branch" and x.block == info.block]
    at = branch.index(info)
    if at:
        return branch[at - 1]
    blocks = [x for x in atlas.manifest.layers if x.kind == "block"]
    place = [x.name for x in blocks].index(info.block) if info.block in [x.name for x in blocks] else 0
    return blocks[place - 1] if place else None


def input_tree(atlas: Atlas, info: LayerInfo, channel: int, *, within: bool = True) -> list[dict[str, Any]]:
    """The channel's strongest inputs, and theirs, down to the block's first convolution.

    within: whether to stop at the block's own input. Empty where the atlas does not hold them.
    """
    source = input_source(atlas, info)
    layer = atlas.layer(info.name)
    chosen, weights = layer.arrays.get("inputs"), layer.arrays.get("input_weight")
    if source is None or chosen is None or weights is None or not atlas.has(source.name):
        return []
    if within and source.kind == "block":
        return []
    given = atlas.layer(source.name)
    return [
        {
            "layer": source.name,
            "channel": number,
            "weight": significant(weight),
            "absent": given.absence(number),
            "panels": given.sprite.panels,
            "inputs": input_tree(atlas, source, number) if source.kind == "branch" else [],
        }
        for number, weight in zip(chosen[channel].tolist(), weights[channel].tolist(), strict=True)
        if 0 <= number < source.channels
    ]


def channel_page(atlas: Atlas, info: LayerInfo, channel: int, base_url: str) -> dict[str, Any]:
    """Everything that one channel's page says."""
    layer, around = atlas.layer(info.name), atlas.around(info)
    before, after, strip = around.before, around.after, around.strip
    rows = []
    for number, other in enumerate(strip):
        is_block = other.kind == "block" and number > 0 and strip[number - 1].kind == "block"
        rows.append(
            {
                "layer": other.name,
                "here": other == info,
                "absent": atlas.layer(other.name).absence(channel),
                "panels": atlas.manifest.sprites[other.name].panels,
                "shared": atlas.shared(other.name, strip[number - 1].name)[channel] if is_block else None,
                "previous": strip[number - 1].name if is_block else "",
                "rho": atlas.layer(other.name).correlations[channel] if is_block else None,
                "kind": kind_of(atlas, other.name, channel) if is_block else "",
            }
        )
    inner, inner_tied = around.inner, around.inner_tied
    last = next((x for x in inner_tied if x.kind == "branch"), None)
    tree = input_tree(atlas, last or info, channel, within=last is not None)
    dead, absent = layer.dead[channel], layer.absence(channel)
    nine = [] if dead else tiles(atlas, layer, channel)
    whole = not absent and covers_picture(atlas, info) and layer.sprite.panels[:1] == ("patches",)
    # What is drawn, and the channel's own nine, which are known although they may not be pictured.
    listed = [x.name for x in [*strip, *inner_tied] if not atlas.layer(x.name).absence(channel)]
    if nine and info.name not in listed:
        listed.append(info.name)
    return {
        "channel": channel,
        "absent": absent,
        "previous": channel - 1 if channel else None,
        "next": channel + 1 if channel + 1 < info.channels else None,
        "up": before.name if before and channel < before.channels else None,
        "down": after.name if after and channel < after.channels else None,
        "sentence": sentence(atlas, info, channel),
        "reading": change_sentence(atlas, info, channel),
        "continuations": similar_channels(atlas, info, channel),
        "source": f"{channel}.webp",
        "tiles": nine,
        "known": [tile for tile in nine if absent and tile[-1] in atlas.published],
        # What a screen reader says of a tile: its rank, label and value.
        "alts": [
            (
                k,
                f"{k}: {label}, {value}" if label else f"{k}: {value}",
                unit_mark(info, *layer.units[channel][k - 1]) if whole else "",
            )
            for k, label, value, _, _ in nine
        ],
        "whole": whole,
        "optimised": optimised(atlas, layer, channel),
        "side": atlas.input_side,
        "view": _view(atlas, info),
        "statistics": []
        if dead
        # Every row is there, also without a value: the histograms beside them are one picture for the
        # whole layer.
        else [
            (m, text[channel], place[channel]) if has[channel] else (m, "–", None)
            for m, text, has, place, _ in layer.measures
        ],
        "labels": atlas.labels_of(info.name, channel),
        "strip": rows if len(rows) > 1 else [],
        "inner": [
            {
                "layer": x.name,
                "absent": atlas.layer(x.name).absence(channel),
                "panels": atlas.manifest.sprites[x.name].panels,
            }
            for x in inner_tied
        ],
        "inner_untied": [] if tree else [x for x in inner if x not in inner_tied],
        "tree": tree,
        "inner_last": last.name if last else "",
        "data": tile_data(atlas, listed, channel) if listed else "",
        "cite": cite(
            atlas.manifest, info.name, channel, f"{base_url}{atlas.name}/{info.name}/{channel}.html"
        ),
    }

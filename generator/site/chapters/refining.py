"""The page *Refinement*: what channels do from block to block of a stage, counted, tested, drawn; a page a pair."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from generator.core.matching import CLEAR_GAIN, STRONG_PICTURES
from generator.site.figures.axis import Axis
from generator.site.formats import (
    correlation,
    integer,
    one_decimal,
    p_value,
    percent_fixed,
    signed,
    significant,
)
from generator.site.reading.atlas import Atlas, number_word
from generator.site.reading.layer_pairs import Changes, LayerPair
from generator.site.reading.measures import BY_KEY
from generator.site.reading.relations import CODES, number, stage_pairs

KINDS = ("refine", "stay", "blur", "change")  # in the order in which bars and tables show them
LEVEL = 0.05  # a p value up to here is called significant
# By what the channels of the later block are sorted where a part of a bar leads: measure, lowest first, in words.
SORTS = {
    "refine": ("refinement_previous", False, "refinement score, highest first"),
    "stay": ("shared_previous", False, "pictures kept, most first"),
    "blur": ("refinement_previous", True, "refinement score, lowest first"),
    "change": ("shared_previous", True, "pictures kept, fewest first"),
}
FINE = 4  # decimals of means over thousands of channels, which are small
LISTED = 6  # channels of each list of the network's page
LISTED_OF_PAIR = 12
BAR, ROW = 480.0, 22  # px: a pair's bar, and its row
CSV_COLUMNS = (
    "layer", "channel", "previous", "kind", "refinement", "shared", "places", "rho",
    "agreement_before", "agreement", "purity_before", "purity", "group_purity_before", "group_purity",
)  # fmt: skip


def refinement_page(atlas: Atlas) -> dict[str, Any] | None:
    """Everything that the network's page says; None where no stage has two blocks or the atlas is older."""
    pairs = stage_pairs(atlas)
    relations = atlas.relations
    if not pairs or relations is None:
        return None
    shown = {atlas.manifest.layer(pair.target).stage for pair in pairs}
    stages = [(stage, changes) for stage, changes in relations.stages.items() if stage in shown]
    rows = [{"name": f"stage {stage}", **_row(changes)} for stage, changes in stages]
    network = relations.network
    return {
        "kinds": KINDS,
        "rows": rows,
        "table": [*rows, {"name": "network", **_row(network)}] if network and len(rows) > 1 else rows,
        "hierarchy": relations.hierarchy,
        "groups": relations.groups,
        "labelled": any(row["gain"] for row in rows),
        "rounds": relations.rounds,
        "strong_pictures": number_word(STRONG_PICTURES),
        "level": LEVEL,
        "clear_gain": CLEAR_GAIN,
        "bars": _bars(atlas, pairs),
        "profiles": _profiles(atlas),
        "curves": _curves(atlas),
        "lists": [
            found
            for found in _lists(atlas, pairs, LISTED, pictured=True)
            if found["entries"] or found["left_out"]
        ],
    }


def _row(values: Changes) -> dict[str, Any]:
    """A stage's numbers, or the network's, as text."""
    channels = max(1, values.channels)
    return {
        "pairs": values.pairs,
        "channels": integer(values.channels),
        "shares": [(kind, percent_fixed(values.counts[kind] / channels)) for kind in KINDS],
        "kept": _written(values.kept, one_decimal),
        "places": _written(values.places, one_decimal),
        "rho": _written(values.rho, correlation),
        "gain": _written(values.gain, signed, FINE),
        "score": _written(values.refine_mean, signed, FINE),
        "permuted": _written(values.refine_permuted, signed, FINE),
        "p": _written(values.refine_p, p_value),
        "correspondence_p": _written(values.correspondence_p, p_value),
        "direction_p": _written(values.direction_p, p_value),
        "significant": values.refine_p is not None and values.refine_p <= LEVEL,
        "keep_p": _written(values.keep_p, p_value),
    }


def _written(value: float | None, form: Callable[..., str], *digits: int) -> str:
    return "" if value is None else form(value, *digits)


# -- figures -------------------------------------------------------------------------------------------------------


def _bars(atlas: Atlas, pairs: list[LayerPair]) -> dict[str, Any]:
    """A bar a pair, its parts as wide as the shares of its channels."""
    rows = []
    for place, pair in enumerate(pairs):
        parts, start = [], 0.0
        whole = max(1, sum(pair.changes.counts.values()))
        for kind in KINDS:
            count = pair.changes.counts[kind]
            width = BAR * count / whole
            sort, up, says = SORTS[kind]
            parts.append(
                {"kind": kind, "count": count, "x": round(start, 1), "width": round(width, 1), "sort": sort,
                 "up": up, "says": says}
            )  # fmt: skip
            start += width
        rows.append(
            {
                "y": place * ROW,
                "source": pair.source,
                "target": pair.target,
                "parts": parts,
                "p": _written(pair.changes.refine_p, p_value),
            }
        )
    return {"rows": rows, "height": len(rows) * ROW, "width": BAR}


def _profiles(atlas: Atlas) -> list[dict[str, Any]]:
    """Small figures of how a mean over channels moves along the network: a dot a block, joined within a stage."""
    measures = (
        ("label_agreement", "label agreement of the nine"),
        ("selectivity", "selectivity for classes"),
        ("group_selectivity", "selectivity for groups"),
        ("shared_previous", "pictures kept of nine"),
    )
    found = []
    for key, name in measures:
        means = [(block, _mean_of(atlas, block.name, key)) for block in atlas.blocks]
        known = [(block, value) for block, value in means if value is not None]
        if len(known) < 2:
            continue
        across = Axis(0, max(1, len(means) - 1), start=44, end=356)
        up = Axis.around([value for _, value in known], zero=True, start=148, end=12)
        dots = [
            {
                "x": across(place),
                "y": up(value),
                "layer": block.name,
                "stage": block.stage,
                "value": significant(value),
            }
            for place, (block, value) in enumerate(means)
            if value is not None
        ]
        firsts = {dot["stage"]: dot for dot in reversed(dots)}
        paths = [
            "M" + "L".join(f"{dot['x']} {dot['y']}" for dot in dots if dot["stage"] == stage)
            for stage in dict.fromkeys(dot["stage"] for dot in dots)
        ]
        found.append(
            {"name": name, "dots": dots, "firsts": [*firsts.values()], "paths": paths, "ticks": up.ticks}
        )
    return found


def _mean_of(atlas: Atlas, layer: str, key: str) -> float | None:
    values = atlas.layer(layer).arrays.get(key)
    if values is None:
        return None
    known = values[BY_KEY[key].present(values) & ~np.array(atlas.layer(layer).dead)]
    return float(known.mean()) if known.size else None


def _curves(atlas: Atlas) -> dict[str, Any] | None:
    """By stage, the mean entropy of classes (or groups) above the rising threshold, a line a block."""
    shares = atlas.relations.kept_shares if atlas.relations else ()
    for key, what in (("class_entropy", "classes"), ("group_entropy", "groups")):
        curves = ((block.name, _mean_curve(atlas, block.name, key, len(shares))) for block in atlas.blocks)
        means = {name: values for name, values in curves if values is not None}
        if not means:
            continue
        across = Axis(0, len(shares) - 1, start=40, end=250)
        held = [value for values in means.values() for value in values]
        up = Axis.around(held, zero=True, start=170, end=12)
        stages = []
        for stage in dict.fromkeys(block.stage for block in atlas.blocks):
            blocks = [block.name for block in atlas.stage_blocks(stage) if block.name in means]
            ends = _apart([up(float(means[name][-1])) for name in blocks], 13)
            lines = [
                {
                    "layer": name,
                    "path": "M" + "L".join(f"{across(n)} {up(float(v))}" for n, v in enumerate(means[name])),
                    "x": across(len(shares) - 1) + 4,
                    "y": end + 4,
                    "depth": 1 + round(5 * (place + 1) / len(blocks)),
                }
                for place, (name, end) in enumerate(zip(blocks, ends, strict=True))
            ]
            if lines:
                stages.append({"stage": stage, "lines": lines})
        ticks = [(across(n), f"{100 * share:g}") for n, share in enumerate(shares)]
        return {"what": what, "stages": stages, "across": ticks, "up": up.ticks}
    return None


def _mean_curve(atlas: Atlas, layer: str, key: str, steps: int) -> np.ndarray | None:
    values = atlas.layer(layer).arrays.get(key)
    if values is None or values.ndim != 2 or values.shape[1] != steps:
        return None
    known = values[np.isfinite(values).all(axis=1)]
    return known.mean(axis=0) if len(known) else None


def _apart(values: list[float], least: float) -> list[float]:
    """The values moved so far that neighbours are at least so far apart, in their order."""
    order = sorted(range(len(values)), key=lambda n: values[n])
    placed = list(values)
    for before, after in itertools.pairwise(order):
        placed[after] = max(placed[after], placed[before] + least)
    excess = max([0.0, *(value - 178 for value in placed)])
    return [round(value - excess, 1) for value in placed]


# -- channels ------------------------------------------------------------------------------------------------------


def _entries(atlas: Atlas, pair: LayerPair) -> list[dict[str, Any]]:
    """The pair's channels that are alive in both blocks, with their numbers."""
    name, before = pair.target, pair.source
    arrays = atlas.layer(name).arrays
    found = []
    for channel, code in enumerate(arrays["change_previous"].tolist()):
        if code < 0:
            continue
        then, now = (number(atlas, layer, "label_agreement", channel) for layer in (before, name))
        found.append(
            {
                "layer": name,
                "before": before,
                "channel": channel,
                "kind": CODES[code],
                "score": float(arrays["refinement_previous"][channel]),
                "shared": int(arrays["shared_previous"][channel]),
                "places": int(arrays["places_previous"][channel]),
                "rho": float(arrays["spearman_previous"][channel]),
                "gain": now - then,
                "then": then,
                "now": now,
            }
        )
    return found


def _lists(
    atlas: Atlas, pairs: list[LayerPair], most: int, *, pictured: bool = False
) -> list[dict[str, Any]]:
    """The most refined, the steadiest and the most changed channels of these pairs, with what is said of each.

    pictured: only channels that the atlas pictures in both blocks; `left_out` says how many rank before the last of
    them and are not.
    """
    entries = [entry for pair in pairs for entry in _entries(atlas, pair)]
    scored = [entry for entry in entries if np.isfinite(entry["score"])]
    place = {pair.target: at for at, pair in enumerate(pairs)}

    def first(
        name: str, rule: str, entries: list[dict[str, Any]], key: Callable[[dict[str, Any]], Any]
    ) -> dict[str, Any]:
        ordered = sorted(entries, key=lambda e: (key(e), place[e["layer"]], e["channel"]))
        shown = [at for at, entry in enumerate(ordered) if not pictured or _is_pictured(atlas, entry)][:most]
        chosen = [ordered[at] for at in shown]
        return {
            "name": name,
            "rule": rule,
            "entries": [entry | {"text": _said(entry), "frames": _frames(atlas, entry)} for entry in chosen],
            "left_out": shown[-1] + 1 - len(shown) if shown else len(ordered),
        }

    known = [entry for entry in entries if np.isfinite(entry["rho"])]
    return [
        first("Most refined", "highest refinement score", scored, lambda e: -e["score"]),
        first(
            "Steadiest",
            "most pictures kept, then most places, then ρ",
            known,
            lambda e: (-e["shared"], -e["places"], -e["rho"]),
        ),
        first(
            "Most changed", "fewest pictures kept, then lowest ρ", known, lambda e: (e["shared"], e["rho"])
        ),
    ]


def _is_pictured(atlas: Atlas, entry: dict[str, Any]) -> bool:
    """Whether the atlas pictures the channel in both blocks."""
    return not any(frame["absent"] for frame in _frames(atlas, entry))


def _frames(atlas: Atlas, entry: dict[str, Any]) -> list[dict[str, Any]]:
    """The channel in both blocks, and whether it is pictured there."""
    channel = entry["channel"]
    return [
        {"layer": layer, "absent": atlas.layer(layer).absence(channel)}
        for layer in (entry["before"], entry["layer"])
    ]


def _said(entry: dict[str, Any]) -> str:
    text = f"keeps {entry['shared']} of 9, ρ {correlation(entry['rho'])}"
    if np.isfinite(entry["gain"]):
        text += f", agreement {correlation(entry['then'])} → {correlation(entry['now'])}"
    return text


def pair_page(atlas: Atlas, pair: LayerPair) -> dict[str, Any]:
    """One pair of neighbouring blocks: a dot a channel, and the lists."""
    entries = [entry for entry in _entries(atlas, pair) if np.isfinite(entry["rho"])]
    labelled = any(np.isfinite(entry["gain"]) for entry in entries)
    if labelled:
        entries = [entry for entry in entries if np.isfinite(entry["gain"])]
    across = Axis.around([*(entry["rho"] for entry in entries), 1.0], zero=True, start=56, end=700)
    heights = [entry["gain"] if labelled else float(entry["shared"]) for entry in entries]
    up = Axis.around(heights, zero=True, start=400, end=16)
    dots = [
        {
            "channel": entry["channel"],
            "kind": entry["kind"],
            "x": across(entry["rho"]),
            "y": up(height),
            "text": f"{entry['channel']} {_said(entry)}",
        }
        for entry, height in zip(entries, heights, strict=True)
    ]
    counts = pair.changes.counts
    whole = max(1, sum(counts.values()))
    return {
        "kinds": KINDS,
        "source": pair.source,
        "target": pair.target,
        "dots": dots,
        "labelled": labelled,
        "across": across.ticks,
        "up": up.ticks,
        "zero": up(0.0),
        "counts": [(kind, counts[kind], percent_fixed(counts[kind] / whole)) for kind in KINDS],
        "row": _row(pair.changes),
        "lists": [found for found in _lists(atlas, [pair], LISTED_OF_PAIR) if found["entries"]],
    }


def refinement_csv(atlas: Atlas) -> str:
    """One row a channel and pair of neighbouring blocks, floats as they are stored, empty where there is none."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)

    def field(value: float) -> str:
        return f"{value:.6g}" if np.isfinite(value) else ""

    for pair in stage_pairs(atlas):
        for entry in _entries(atlas, pair):
            channel = entry["channel"]
            both = [
                field(number(atlas, layer, key, channel))
                for key in ("label_agreement", "label_purity", "group_purity")
                for layer in (pair.source, pair.target)
            ]
            table.writerow(
                [entry["layer"], channel, entry["before"], entry["kind"], field(entry["score"]),
                 entry["shared"], entry["places"], field(entry["rho"]), *both]
            )  # fmt: skip
    return text.getvalue()

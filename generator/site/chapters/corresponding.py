"""The page *Correspondence*: which channels of one layer continue which of another, beside it or in another network."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from generator.core.errors import AtlasError
from generator.core.matching import (
    MATCHES,
    STRONG_CORRELATION,
    STRONG_PICTURES,
    Likeness,
    Numbers,
    best,
    centred_ranks,
)
from generator.core.records import STUDY
from generator.core.store import fingerprint
from generator.site.chapters.refining import LEVEL
from generator.site.figures.axis import Axis
from generator.site.formats import correlation, one_decimal, or_absent, p_value, percent_fixed
from generator.site.reading.atlas import THUMB, Atlas, number_word, pairs_shown, sheet_layout
from generator.site.reading.layer_pairs import DistantMatch, LayerPair, Match

ROW = 24  # px of a pair in the figure
LISTED = 40  # channels with pictures on a flow's page
TIES = {
    "stage": "neighbouring blocks of a stage",
    "boundary": "across a stage's boundary",
    "plain": "neighbouring layers",
    "added": "added to a block's output",
    "inside": "inside a block",
}
TIED = ("stage", "added")  # equal numbers are joined by the network itself
RESIDUAL = f"{STUDY}residual-"
CSV_COLUMNS = ("layer", "channel", "other", "rank", "match", "shared", "rho")
Across = dict[str, dict[str, Any]]  # by layer: the matches of its channels in another network


def correspondence_page(
    atlas: Atlas, atlases: Sequence[Atlas], across: dict[str, Any]
) -> dict[str, Any] | None:
    """Everything that the network's page says; None for an atlas without compared layers. across: by the other
    network's name, what `compare` found."""
    pairs = pairs_shown(atlas)
    if not pairs:
        return None
    return {
        "figure": _figure(pairs),
        "strong_pictures": number_word(STRONG_PICTURES),
        "strong_correlation": STRONG_CORRELATION,
        "rows": [_row(atlas, pair) for pair in pairs],
        "controls": [row for one in atlases for row in _control(one)],
        "networks": len(atlases),
        "level": LEVEL,
        "others": [_grid(atlas, found) for found in across.values()],
    }


def _figure(pairs: list[LayerPair]) -> dict[str, Any]:
    """A row a pair along the network: mean ρ by chance, of the best match, and of equal numbers."""
    across = Axis(0, 1, start=190, end=700)
    rows = []
    shown = [pair for pair in pairs if pair.tie not in ("inside", "added") and pair.best_rho is not None]
    for place, pair in enumerate(shown):
        marks = {
            name: across(getattr(pair, key))
            for name, key in (("chance", "chance_rho"), ("best", "best_rho"), ("same", "same_rho"))
            if getattr(pair, key) is not None
        }
        rows.append({"y": place * ROW + 16, "pair": pair, "marks": marks, "address": pair.flow_address})
    return {"rows": rows, "height": len(rows) * ROW + 40, "ticks": across.ticks}


def _row(atlas: Atlas, pair: LayerPair) -> dict[str, Any]:
    return {
        "source": pair.source,
        "target": pair.target,
        "tie": TIES[pair.tie],
        "address": pair.flow_address,
        "same_rho": or_absent(pair.same_rho, correlation),
        "same_shared": or_absent(pair.same_shared, one_decimal),
        "same_best": or_absent(pair.same_best, percent_fixed),
        "same_p": or_absent(pair.same_p, p_value),
        "best_rho": or_absent(pair.best_rho, correlation),
        "best_shared": or_absent(pair.best_shared, one_decimal),
        "chance_rho": or_absent(pair.chance_rho, correlation),
        "chance_shared": or_absent(pair.chance_shared, one_decimal),
    }


def _control(atlas: Atlas) -> list[dict[str, Any]]:
    """A network's neighbouring layers by how they are tied: means over their channels, and how often equal numbers
    share more pictures than permuted ones."""
    found = []
    for tie in ("stage", "boundary", "plain"):
        pairs = [pair for pair in pairs_shown(atlas) if pair.tie == tie and pair.best_rho is not None]
        if not pairs:
            continue
        tested = [pair.same_p for pair in pairs if pair.same_p is not None]
        row = {
            key: or_absent(_weighted(pairs, key), form)
            for key, form in (
                ("same_rho", correlation), ("same_shared", one_decimal), ("same_best", percent_fixed),
                ("best_rho", correlation), ("best_shared", one_decimal), ("chance_rho", correlation),
            )
        }  # fmt: skip
        tests = f"{sum(p <= LEVEL for p in tested)} of {len(tested)}" if tested else "–"
        found.append({"atlas": atlas, "tie": TIES[tie], "pairs": len(pairs), "tests": tests, **row})
    return found


def _weighted(pairs: list[LayerPair], key: str) -> float | None:
    """The mean over the channels of all pairs that have the number."""
    known = [(getattr(pair, key), pair.channels) for pair in pairs if getattr(pair, key) is not None]
    whole = sum(channels for _, channels in known)
    return sum(value * channels for value, channels in known) / whole if whole else None


# -- the flow between two layers -----------------------------------------------------------------------------------


def flow_page(atlas: Atlas, pair: LayerPair) -> dict[str, Any]:
    """How the channels of one layer continue in the other: a line for every channel's best match, and the strongest
    with their pictures."""
    source, target = (atlas.layer(getattr(pair, side)) for side in ("source", "target"))
    left = Axis(0, max(1, source.info.channels - 1), start=14, end=446)
    right = Axis(0, max(1, target.info.channels - 1), start=14, end=446)
    tied = pair.tie in TIED
    backward, forward = atlas.matches(pair, forward=False), atlas.matches(pair, forward=True)
    lines = [
        {
            "from": matches[0].channel,
            "to": channel,
            "y": left(matches[0].channel),
            "z": right(channel),
            "same": tied and matches[0].channel == channel,
            "text": f"{matches[0].channel} → {channel}: {_said(matches[0])}",
        }
        for channel, matches in enumerate(backward)
        if matches
    ]
    fan = [sum(match.channel != channel or not tied for match in row) for channel, row in enumerate(forward)]
    families, unpictured = _families(atlas, pair, backward, tied)
    return {
        "source": source.info,
        "target": target.info,
        "tie": TIES[pair.tie],
        "tied": tied,
        "row": _row(atlas, pair),
        "lines": lines,
        "without": sum(1 for c, row in enumerate(backward) if not row and not target.dead[c]),
        "many": sum(count > 1 for count in fan),
        "lasting": sum(count > 0 for count in fan),
        "families": families,
        "unpictured": unpictured,
        "source_sheet": _sheet(atlas, pair.source),
        "target_sheet": _sheet(atlas, pair.target),
        "csv": f"from-{pair.source}.csv",
    }


def _said(match: Match) -> str:
    return f"{match.shared} of 9" + ("" if match.rho is None else f", ρ {correlation(match.rho)}")


def _sheet(atlas: Atlas, layer: str) -> tuple[int, int]:
    """Columns and rows of the layer's sheet of thumbnails."""
    return sheet_layout(
        atlas.store.pictures.thumbs_path(layer), int(atlas.manifest.extra.get("thumb", THUMB))
    )


def _families(
    atlas: Atlas, pair: LayerPair, backward: list[list[Match]], tied: bool
) -> tuple[list[dict[str, Any]], int]:
    """The target's channels with the strongest matches, equal numbers of tied layers aside, those that the atlas
    pictures first; and how many with a match it does not picture."""
    rows = []
    for channel, matches in enumerate(backward):
        others = [match for match in matches if not (tied and match.channel == channel)]
        if others:
            rho = round(others[0].rho or 0.0, 2)  # as it is written on the page
            rows.append((-(others[0].shared / 9 + max(rho, 0)), channel, others))
    columns = {side: max(1, _sheet(atlas, getattr(pair, side))[0]) for side in ("source", "target")}

    def place(side: str, channel: int) -> dict[str, Any]:
        absent = bool(atlas.layer(getattr(pair, side)).absence(channel))
        wide = columns[side]
        return {"channel": channel, "x": channel % wide, "y": channel // wide, "absent": absent}

    def unpictured(channel: int) -> bool:
        return bool(atlas.layer(pair.target).absence(channel))

    ordered = sorted(rows, key=lambda row: (unpictured(row[1]), *row[:2]))
    listed = [
        {
            "here": place("target", channel),
            "matches": [{**place("source", match.channel), "text": _said(match)} for match in others],
        }
        for _, channel, others in ordered[:LISTED]
    ]
    return listed, sum(unpictured(channel) for _, channel, _ in rows)


def flow_csv(atlas: Atlas, pair: LayerPair) -> str:
    """The kept matches of every channel of both layers, in full precision."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(CSV_COLUMNS)
    arrays = atlas.store.arrays.matches(pair.name) or {}
    for side, layer, other in (
        ("forward", pair.source, pair.target),
        ("backward", pair.target, pair.source),
    ):
        if f"{side}_channel" not in arrays:
            continue
        found, shared, rho = (arrays[f"{side}_{name}"] for name in ("channel", "shared", "rho"))
        for channel, rank in np.argwhere(found >= 0).tolist():
            value = rho[channel, rank]
            table.writerow(
                [layer, channel, other, rank + 1, found[channel, rank], shared[channel, rank],
                 "" if np.isnan(value) else f"{value:.6g}"]
            )  # fmt: skip
    return text.getvalue()


# -- across networks -----------------------------------------------------------------------------------------------


def comparable(one: Atlas, other: Atlas) -> bool:
    """Whether two atlases look through the same pictures, so that their picture numbers mean the same. The experiments'
    networks are many: each is set beside the residual one of its depth alone."""
    if one.is_study and other.is_study and not _twins(one.manifest.model, other.manifest.model):
        return False
    same = one.manifest.pictures.sha256 == other.manifest.pictures.sha256
    return same and one.manifest.pictures.count == other.manifest.pictures.count


def _twins(one: str, other: str) -> bool:
    pairs = ((one, other), (other, one))
    return any(b.endswith("-" + a.removeprefix(RESIDUAL)) for a, b in pairs if a.startswith(RESIDUAL))


def compare(one: Atlas, other: Atlas, progress: Callable[[], object] = lambda: None) -> dict[str, Any] | None:
    """The matches of every channel of one network in all layers of another, blocks' insides aside; None where the
    atlases keep no scores of the same pictures.

    means: (layers, layers) of the best match's ρ; channels: by layer, (C, 5) arrays layer, channel, shared, rho, the
    strongest first, −1 where there are fewer. What was found is kept in the first atlas's folder, hidden.
    """
    rows, columns = ([layer.name for layer in atlas.layers if not layer.is_inner] for atlas in (one, other))
    key = fingerprint([(atlas.store.tables.read_json("keys.json"), atlas.manifest.extra.get("keys"), names)
                       for atlas, names in ((one, rows), (other, columns))])  # fmt: skip
    name = f"across-{other.name}"
    kept = one.store.arrays.cached(name, key)
    if kept is None:
        if not np.array_equal(one.store.tables.scored_pictures(), other.store.tables.scored_pictures()):
            return None
        kept = _compare(one, other, rows, columns, progress)
        if kept is None:
            return None
        one.store.arrays.cache(name, key, kept)
    return {
        "other": other,
        "rows": rows,
        "columns": columns,
        "means": kept["means"],
        "channels": {
            row: {what: kept[f"{row}/{what}"] for what in ("layer", "channel", "shared", "rho")}
            for row in rows
        },
    }


def _compare(
    one: Atlas, other: Atlas, rows: list[str], columns: list[str], progress: Callable[[], object]
) -> dict[str, np.ndarray] | None:
    try:
        theirs = [_numbers(other, name) for name in columns]
        found: dict[str, np.ndarray] = {"means": np.full((len(rows), len(columns)), np.nan)}
        for at, row in enumerate(rows):
            mine = _numbers(one, row)
            if any(len(numbers.ranks) != len(mine.ranks) for numbers in theirs):
                return None
            found |= {
                f"{row}/{what}": values for what, values in _strongest(mine, theirs, found["means"][at])
            }
            progress()
    except AtlasError:  # an atlas that was copied without its scores
        return None
    return found


def _numbers(atlas: Atlas, name: str) -> Numbers:
    arrays = atlas.store.arrays.layer(name)
    dead = np.array(atlas.layer(name).dead)
    top = np.where(dead[:, None], -1, arrays["top_image"])
    return Numbers(top, centred_ranks(np.asarray(atlas.store.arrays.scores(name))))


def _strongest(mine: Numbers, theirs: list[Numbers], means: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Of one layer's channels the strongest matches in all of another network's layers; fills the row of means."""
    alive = np.flatnonzero(mine.alive)
    parts: list[dict[str, np.ndarray]] = []
    for number, numbers in enumerate(theirs):
        likeness: Likeness = mine.likeness(numbers)
        rho = likeness.rho[alive, best(likeness.strength[alive])]
        if np.isfinite(rho).any():
            means[number] = np.nanmean(rho.astype(np.float64))
        matches = likeness.matches()
        parts.append(matches | {"layer": np.full(matches["channel"].shape, number, np.int32)})
    joined = {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}
    strength = np.where(
        joined["channel"] >= 0, joined["shared"] / 9 + np.maximum(np.nan_to_num(joined["rho"]), 0), -1.0
    )
    order = np.argsort(-strength, axis=1, kind="stable")[:, :MATCHES]
    return [(name, np.take_along_axis(values, order, 1)) for name, values in joined.items()]


def _grid(atlas: Atlas, found: dict[str, Any]) -> dict[str, Any]:
    """The layers of two networks against each other: a cell a pair, darker for a higher mean ρ of the best match."""
    means = found["means"]
    cells = [
        [
            {
                "value": or_absent(value, correlation),
                "shade": round(10 * min(max(value, 0.0), 1.0)) if np.isfinite(value) else 0,
                "best": bool(np.isfinite(row).any() and value == np.nanmax(row)),
            }
            for value in row.tolist()
        ]
        for row in means
    ]
    strongest = []
    for layer in found["rows"]:
        arrays = found["channels"][layer]
        for channel in np.flatnonzero(arrays["channel"][:, 0] >= 0).tolist():
            match = {name: values[channel, 0].item() for name, values in arrays.items()}
            rho = 0.0 if np.isnan(match["rho"]) else match["rho"]
            strongest.append((-(match["shared"] / 9 + max(rho, 0)), layer, channel, match))
    strongest.sort(key=lambda item: item[0])
    return {
        "other": found["other"],
        "columns": found["columns"],
        "rows": list(zip(found["rows"], cells, strict=True)),
        "pairs": [
            {
                "layer": layer,
                "channel": channel,
                "other": found["columns"][match["layer"]],
                "match": match["channel"],
                "text": f"{match['shared']} of 9, ρ {correlation(match['rho'])}",
            }
            for _, layer, channel, match in strongest[:12]
        ],
    }


def across_links(found: dict[str, Any], layer: str, channel: int) -> list[DistantMatch]:
    """What a channel's page says of another network: its matches there."""
    arrays = found["channels"].get(layer)
    if arrays is None:
        return []
    return [
        DistantMatch(
            found["columns"][arrays["layer"][channel, rank]],
            int(arrays["channel"][channel, rank]),
            int(arrays["shared"][channel, rank]),
            rho if np.isfinite(rho := float(arrays["rho"][channel, rank])) else None,
        )
        for rank in range(arrays["channel"].shape[1])
        if arrays["channel"][channel, rank] >= 0
    ]

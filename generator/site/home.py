"""What the front pages say: one network's home, and the home that sets several atlases side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from generator.core.records import LayerInfo, Skipped
from generator.site.chapters.architecture_pages import adds, blueprint_of
from generator.site.chapters.first_layer_pages import first_layers_of
from generator.site.chapters.registry import CHAPTERS
from generator.site.formats import significant
from generator.site.frame import frame_of, home_frame
from generator.site.reading.atlas import Atlas, in_full, number_word
from generator.site.reading.measures import BY_KEY
from generator.site.writing import Site

HERO = 3  # channels on the home page
EXAMPLES = 3  # paths named for each reason why files were not used
SOME_KEPT = (1, 6)  # of the nine pictures, from the first block to the last: akin, and yet not the same


def label_agreement(atlas: Atlas, layer: str) -> np.ndarray:
    """(C,): how many of the nine pictures carry the most frequent label; zero where nothing is labelled."""
    channels = atlas.layer(layer).info.channels
    return np.array([labels[0][1] if (labels := atlas.labels_of(layer, c)) else 0 for c in range(channels)])


def hero(atlas: Atlas) -> list[dict[str, Any]]:
    """The channels of the home page, the best of each stage first; shown in the order of the stages.

    Of a stage's channels that are alive and pictured in all its blocks: first those whose commonest label gains most of
    the nine pictures from the first to the last block, then those that keep one to six of the nine (both blocks answer
    to something akin, yet not the same), then the strongest among their layer's. Stages of one block are left out where
    others have more: nothing changes along them.
    """
    ranked: list[tuple[int, float, int, float, int, list[LayerInfo]]] = []
    stages = [atlas.stage_blocks(stage) for stage in sorted({block.stage for block in atlas.blocks})]
    longer = [blocks for blocks in stages if len(blocks) > 1]
    for blocks in longer or stages:
        # Three blocks tell the story; of a long stage the first, the middle and the last.
        shown = blocks if len(blocks) <= 3 else [blocks[0], blocks[len(blocks) // 2], blocks[-1]]
        alive = ~np.any([np.array(atlas.layer(b.name).dead) for b in blocks], axis=0)
        alive &= _pictured(atlas, blocks)
        full = np.all([atlas.layer(b.name).arrays["top_image"][:, -1] >= 0 for b in blocks], axis=0)
        gain = label_agreement(atlas, blocks[-1].name) - label_agreement(atlas, blocks[0].name)
        kept = atlas.shared(blocks[-1].name, blocks[0].name)
        strength = np.mean([_share_of_largest(atlas, b.name) for b in shown], axis=0)
        choice = [
            (-float(gain[c]), -int(SOME_KEPT[0] <= kept[c] <= SOME_KEPT[1]), -float(strength[c]), c)
            for c in np.flatnonzero(alive & full).tolist()
        ]
        ranked += [(place, *entry, shown) for place, entry in enumerate(sorted(choice)[:HERO])]
    ranked.sort(key=lambda item: item[:5])
    chosen = sorted(ranked[:HERO], key=lambda item: (item[5][0].stage, item[0]))
    return [_hero_entry(atlas, channel, shown, int(-gain)) for _, gain, _, _, channel, shown in chosen]


def hero_rule(atlas: Atlas, chosen: list[dict[str, Any]]) -> str:
    """How the channels of the home page were chosen, in a sentence; '' where there are none."""
    if not chosen:
        return ""
    strongest = "activation as a share of the layer's highest"
    if all(len(entry["rows"]) == 1 for entry in chosen):
        return f"Chosen automatically, not typical: the highest {strongest}."
    few, most = (number_word(number) for number in SOME_KEPT)
    kept = f"the channels that keep {few} to {most} of their nine pictures"
    if atlas.class_labels:
        labels = "the channels whose commonest label gains most of the nine pictures from the first to the last block"
        kept = f"{labels}; among equals {kept}"
    else:
        kept += " from the first to the last block"
    return f"Chosen automatically, not typical: of each stage {kept}; then the highest {strongest}."


def _pictured(atlas: Atlas, blocks: list[LayerInfo]) -> np.ndarray:
    """(C,) bool: which channels the atlas pictures in all of these blocks."""
    return np.array(
        [all(c in atlas.layer(b.name).pictured for b in blocks) for c in range(blocks[0].channels)]
    )


def left_out(atlas: Atlas) -> int:
    """How many channels of the stages that `hero` looks through are active and yet not pictured in all their blocks, so
    that none of them could be chosen."""
    stages = [atlas.stage_blocks(stage) for stage in sorted({block.stage for block in atlas.blocks})]
    count = 0
    for blocks in [blocks for blocks in stages if len(blocks) > 1] or stages:
        alive = ~np.any([np.array(atlas.layer(b.name).dead) for b in blocks], axis=0)
        count += int((alive & ~_pictured(atlas, blocks)).sum())
    return count


def _share_of_largest(atlas: Atlas, layer: str) -> np.ndarray:
    """Each channel's strongest value as a share of the layer's strongest."""
    strongest = atlas.layer(layer).arrays["top_value"][:, 0]
    return strongest / max(float(strongest.max()), 1e-12)


def _hero_entry(atlas: Atlas, channel: int, shown: list[LayerInfo], gain: int) -> dict[str, Any]:
    rows = []
    for number, block in enumerate(shown):
        labels = atlas.labels_of(block.name, channel)
        shared = atlas.shared(block.name, shown[number - 1].name)[channel] if number else None
        rows.append(
            {"layer": block.name, "labels": labels[:2], "shared": shared, "previous": shown[number - 1].name}
        )
    return {"channel": channel, "stage": shown[0].stage, "rows": rows, "gain": gain}


def doors(atlas: Atlas) -> list[dict[str, Any]]:
    """The network as a line: a group a stage, in it a door a block, and the field drawn to scale."""
    groups: list[dict[str, Any]] = []
    side = atlas.input_side
    for layer in atlas.layers:
        if layer.is_inner:
            continue
        if not groups or groups[-1]["stage"] != layer.stage:
            groups.append({"stage": layer.stage, "place": atlas.place(layer), "layer": layer, "doors": []})
        field = layer.receptive_field
        drawn = min(1.0, field.side / side)
        # Drawn around the map's middle unit, in hundredths of the picture; a field that is larger fills it.
        groups[-1]["doors"].append(
            {
                "layer": layer,
                "side": round(100 * drawn, 1),
                "at": round(50 - 50 * drawn, 1),
                "whole": field.side >= side,
                "inner": atlas.inner_of(layer.name),
            }
        )
    return groups


def counts(atlas: Atlas) -> dict[str, Any]:
    """How much there is, and what neighbouring blocks have in common."""
    blocks = atlas.blocks
    channels = sum(layer.channels for layer in atlas.layers)
    dead = sum(sum(atlas.layer(layer.name).dead) for layer in atlas.layers)
    kept, rho = (_of_blocks(atlas, key) for key in ("shared_previous", "spearman_previous"))
    return {
        "layers": len(atlas.layers),
        "blocks": len(blocks),
        "channels": channels,
        "inner": sum(layer.channels for layer in atlas.layers if layer.is_inner),
        "dead": dead,
        "pictured": sum(len(atlas.layer(layer.name).pictured) for layer in atlas.layers),
        "kept": significant(float(kept.mean())) if kept.size else None,
        "rho": significant(float(np.median(rho))) if rho.size else None,
    }


def _of_blocks(atlas: Atlas, key: str) -> np.ndarray:
    """A statistic of all channels of all blocks that have a value of it."""
    values = [
        array for block in atlas.blocks if (array := atlas.layer(block.name).arrays.get(key)) is not None
    ]
    return np.concatenate([array[BY_KEY[key].present(array)] for array in values]) if values else np.zeros(0)


def unused_files(skipped: Sequence[Skipped]) -> list[dict[str, Any]]:
    """The files of the folder that were not used, by reason, the most frequent first: reason, count, and the first
    EXAMPLES paths. What a reason says of a single file in brackets does not tell reasons apart."""
    found: dict[str, list[str]] = {}
    for file in skipped:
        found.setdefault(file.reason.partition(" (")[0], []).append(file.path)
    return [
        {"reason": reason, "count": len(paths), "first": paths[:EXAMPLES]}
        for reason, paths in sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    ]


def network_home(atlas: Atlas) -> dict[str, Any]:
    """One network's home page."""
    chosen = hero(atlas)
    return {
        "hero": chosen,
        "rule": hero_rule(atlas, chosen),
        "left_out": left_out(atlas),
        "doors": doors(atlas),
        "counts": counts(atlas),
        "unused": unused_files(atlas.manifest.pictures.skipped),
        "no_accuracy": atlas.manifest.accuracy_basis.removeprefix("no accuracy: "),
    }


def write_homes(site: Site, atlases: Sequence[Atlas]) -> None:
    """Write each network's home and the site's; with one network both say the same."""
    entries = [_entry(atlas) for atlas in atlases]
    for entry, atlas in zip(entries, atlases, strict=True):
        page: dict[str, object] = {
            "heading": atlas.manifest.title,
            "entries": [{**entry, "base": "", "root": "../"}],
            "studies": [],
        }
        site.page(f"{atlas.name}/index.html", "home.html", frame_of(atlas, atlases, "../"), page)
    shown, studies = in_full(atlases)
    page = {
        "heading": "Residual Atlas",
        "entries": [
            {**entry, "base": f"{atlas.name}/", "root": "./"}
            for entry, atlas in zip(entries, atlases, strict=True)
            if atlas in shown
        ],
        "studies": studies,
    }
    site.page("index.html", "home.html", home_frame(atlases, "./"), page)


def _entry(atlas: Atlas) -> dict[str, Any]:
    blueprint = blueprint_of(atlas)
    return {
        "atlas": atlas,
        "manifest": atlas.manifest,
        "network": network_home(atlas),
        "panels": atlas.manifest.sprites[atlas.layers[0].name].panels,
        "architecture": blueprint is not None,
        "residual": adds(atlas, blueprint),
        "chapters": [chapter for chapter in CHAPTERS if chapter.summary and chapter.present(atlas)],
        "first_layers": bool(first_layers_of([atlas])),
    }

"""What the pages on networks say: a network drawn and counted, and the papers' networks side by side. No torch here."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

from generator.core.blueprint import HEAD, Blueprint, Volume, blueprint_from_json
from generator.site.chapters.published import blueprints, comparisons, reference
from generator.site.figures.volume_words import stage_name
from generator.site.figures.volumes import drawing
from generator.site.formats import integer, multiply_adds, percent
from generator.site.reading.atlas import Atlas


def blueprint_of(atlas: Atlas) -> Blueprint | None:
    """The atlas's own architecture.json; for an atlas without one, the papers' network of the same name and size."""
    data = atlas.store.tables.read_json("architecture.json")
    if data is not None:
        return blueprint_from_json(data)
    known = blueprints().get(atlas.manifest.model)
    same = known is not None and (known.parameters, known.side) == (
        atlas.manifest.parameters,
        atlas.input_side,
    )
    return known if same else None


def adds(atlas: Atlas, blueprint: Blueprint | None) -> bool:
    """Whether the network has residual blocks; of an old atlas without a blueprint, whether it has blocks at all."""
    return bool(atlas.blocks) if blueprint is None else any(v.op == "add" for v in blueprint.volumes)


def architecture_page(
    blueprint: Blueprint, title: str, address: Callable[[str], str | None]
) -> dict[str, Any]:
    """One network's page. address: a layer's name → where it leads from this page, None where nowhere."""
    return {
        "title": title,
        "blueprint": blueprint,
        "multiply_adds": multiply_adds(blueprint.multiply_adds),
        "figure": drawing(blueprint, address),
        "stages": stage_rows(blueprint, address),
        "comparisons": comparisons(blueprint.model) if blueprint == blueprints().get(blueprint.model) else [],
        "rows": [layer_row(volume, address) for volume in blueprint.volumes],
        "grouped": any(v.groups > 1 for v in blueprint.volumes),
    }


# -- the table of He et al. ----------------------------------------------------------------------------------


def stage_rows(blueprint: Blueprint, address: Callable[[str], str | None]) -> list[dict[str, Any]]:
    """Output size, kernels × repeats and cost of every stage (compare arXiv:1512.03385, table 1)."""
    rows = []
    for stage, group in itertools.groupby(blueprint.volumes, key=lambda v: v.stage):
        volumes = [v for v in group if v.op != "input"]
        fields = [v.field for v in volumes if v.field]
        parameters = sum(v.parameters for v in volumes)
        cost = sum(v.multiply_adds for v in volumes)
        shortcuts = [v.shortcut for v in volumes if v.op == "add"]
        rows.append(
            {
                "name": stage_name(stage, blueprint),
                "size": f"{volumes[-1].height} × {volumes[-1].width}",
                "parts": _parts(volumes),
                "shortcuts": [f"{shortcuts.count(kind)} {kind}" for kind in dict.fromkeys(shortcuts)],
                "parameters": integer(parameters) if parameters else "–",
                "multiply_adds": integer(cost) if cost else "–",
                "share": percent(cost / blueprint.multiply_adds),
                "field": f"{integer(fields[-1])} px" if fields and stage != HEAD else "whole picture",
                "to": next((to for v in volumes if v.name and (to := address(v.name))), None),
            }
        )
    return rows


def _parts(volumes: Sequence[Volume]) -> list[dict[str, Any]]:
    """A stage's operations; runs of blocks with the same kernels are one part with a number of repeats."""
    parts: list[dict[str, Any]] = []
    for block, group in itertools.groupby(volumes, key=lambda v: v.block):
        inside = [v for v in group if v.shortcut in ("", "identity") or v.op == "add"]
        lines = [line for v in inside if (line := _line(v))]
        if not lines:
            continue
        joined = bool(block) and any(v.op in ("add", "concat") for v in inside)
        if parts and joined and parts[-1]["lines"] == lines and parts[-1]["block"]:
            parts[-1]["repeats"] += 1
        else:
            parts.append({"lines": lines, "repeats": 1, "block": joined})
    return parts


def _line(volume: Volume) -> str:
    match volume.op:
        case "conv":
            groups = f", {volume.groups} groups" if volume.groups > 1 else ""
            return f"{volume.kernel}×{volume.kernel}, {volume.channels}{groups}"
        case "max_pool" | "avg_pool":
            kind = "max pool" if volume.op == "max_pool" else "average pool"
            return f"{volume.kernel}×{volume.kernel} {kind}, stride {volume.stride}"
        case "adaptive_pool":
            return f"average pool to {volume.height}×{volume.width}"
        case "linear":
            return f"linear, {integer(volume.channels)}"
    return ""


def layer_row(volume: Volume, address: Callable[[str], str | None]) -> dict[str, Any]:
    """One line of the table of all layers."""
    kinds = {
        "input": "input", "conv": "convolution", "max_pool": "max pooling", "avg_pool": "average pooling",
        "adaptive_pool": "average pooling", "linear": "linear", "add": "addition", "concat": "concatenation",
    }  # fmt: skip
    windowed = volume.op in ("conv", "max_pool", "avg_pool")
    kind = kinds[volume.op]
    if volume.shortcut:
        kind += f", {volume.shortcut}"
    return {
        "name": volume.name or volume.path or "input",
        "to": address(volume.name) if volume.name else None,
        "kind": kind,
        "kernel": f"{volume.kernel}×{volume.kernel}" if windowed else "",
        "stride": str(volume.stride) if windowed else "",
        "padding": str(volume.padding) if windowed else "",
        "groups": f"{volume.groups} × {volume.channels // volume.groups}" if volume.groups > 1 else "",
        "size": f"{integer(volume.channels)} × {volume.height} × {volume.width}",
        "parameters": integer(volume.parameters) if volume.parameters else "",
        "multiply_adds": integer(volume.multiply_adds) if volume.multiply_adds else "",
        "field": integer(volume.field) if volume.field else "all",
        "signs": "≥ 0" if volume.rectified else "±",
    }


# -- the papers' networks ------------------------------------------------------------------------------------


def networks_page(atlases: Sequence[Atlas], titles: Callable[[str], str]) -> dict[str, Any]:
    """The page that lists them. titles: a model's name → what to call it."""
    rows = []
    for name, blueprint in blueprints().items():
        shortcuts = [v.shortcut for v in blueprint.volumes if v.op == "add"]
        rows.append(
            {
                "name": name,
                "title": titles(name),
                "layers": blueprint.weighted_layers,
                "side": blueprint.side,
                "parameters": integer(blueprint.parameters),
                "multiply_adds": multiply_adds(blueprint.multiply_adds),
                "blocks": len(shortcuts) or "–",
                "shortcuts": _shortcuts(blueprint),
                "field": _last_field(blueprint),
                "atlas": next((atlas.name for atlas in atlases if atlas.manifest.model == name), None),
                "published": comparisons(name),
            }
        )
    same = blueprints()["resnet50"]  # in which the blocks of `cardinality_rows` stand
    block = next(v for v in same.volumes if v.op == "add")
    return {
        "networks": rows,
        "cardinality": cardinality_rows(),
        "block": {
            "channels": block.channels,
            "height": block.height,
            "width": block.width,
            "layers": same.weighted_layers,
        },
    }


def _shortcuts(blueprint: Blueprint) -> str:
    kinds = [str(v.shortcut) for v in blueprint.volumes if v.op == "add"]
    kinds += ["concatenation" for v in blueprint.volumes if v.op == "concat"]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))) or "none"


def _last_field(blueprint: Blueprint) -> int:
    return [v.field for v in blueprint.volumes if v.field][-1]


def cardinality_rows() -> list[dict[str, Any]]:
    """Cardinality against width at equal cost (arXiv:1611.05431, table 2)."""
    return [
        {
            "name": f"{row['groups']} × {row['width']}d",
            "inner": row["groups"] * row["width"],
            "block_parameters": integer(row["block_parameters"]),
            "block_multiply_adds": f"{row['block_multiply_adds'] / 1e9:.3f} × 10⁹",
            "parameters": integer(row["parameters"]),
            "multiply_adds": multiply_adds(row["multiply_adds"]),
        }
        for row in reference()["cardinality"]
    ]

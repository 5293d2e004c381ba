"""The chapter on an atlas's network: drawn to scale, and counted stage by stage and layer by layer."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from generator.core.blueprint import HEAD, Blueprint, Volume, blueprint_from_json
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.published import PublishedComparison, comparisons
from generator.site.chapters.reference_networks import blueprints
from generator.site.figures.volume_words import stage_name
from generator.site.figures.volumes import Address, NetworkDrawing, drawing
from generator.site.formats import integer
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site


def blueprint_of(atlas: Atlas) -> Blueprint | None:
    """The atlas's own architecture.json; for an atlas without one, the papers' network of the same name and size."""
    data = atlas.store.tables.read_json("architecture.json")
    if data is not None:
        return blueprint_from_json(data)
    known = blueprints().get(atlas.manifest.model)
    if known is None or (known.parameters, known.size) != (atlas.manifest.parameters, atlas.input_size):
        return None
    return known


def adds(atlas: Atlas, blueprint: Blueprint | None) -> bool:
    """Whether the network has additions; without a blueprint, as in old atlases, whether it has blocks at all."""
    return bool(atlas.blocks) if blueprint is None else any(v.op == "add" for v in blueprint.volumes)


def addresses_in(atlas: Atlas | None, base: str) -> Address:
    """From a layer's name to its page, for the layers of an atlas. base: the relative address of its folder."""
    held = {layer.name for layer in atlas.layers} if atlas is not None else set()
    return lambda layer: f"{base}{layer}/index.html" if layer in held else None


# -- one network -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Operations of a stage, as Table 1 of arXiv:1512.03385 writes them. lines: kernels and channels of each; repeats:
    how often the block is repeated; is_block: whether a shortcut leads past them."""

    lines: tuple[str, ...]
    repeats: int
    is_block: bool


@dataclass(frozen=True)
class StageRow:
    """One stage: size of its last map, operations, number of shortcuts of each kind, and cost. share: of the network's
    multiply-adds; field: receptive field at its end, in words; href: of its first layer that has a page."""

    name: str
    size: str
    parts: Sequence[Part]
    shortcuts: Sequence[str]
    parameters: int
    multiply_adds: int
    share: float
    field: str
    href: str | None


@dataclass(frozen=True)
class LayerRow:
    """One operation. kernel, stride, padding and groups are empty where it has none; field: 0 for the whole picture."""

    name: str
    href: str | None
    kind: str
    kernel: str
    stride: str
    padding: str
    groups: str
    size: str
    parameters: int
    multiply_adds: int
    field: int


@dataclass(frozen=True)
class ArchitecturePage:
    """The variables of architecture.html.

    up, here: the last two crumbs of the page's place; name: of the network in words; atlases: names of the atlases to
    which the page leads; comparisons: with published figures; grouped: whether a convolution has groups.
    """

    up: str
    here: str
    name: str
    atlases: Sequence[str]
    blueprint: Blueprint
    drawing: NetworkDrawing
    stages: Sequence[StageRow]
    comparisons: Sequence[PublishedComparison]
    layers: Sequence[LayerRow]
    grouped: bool


def architecture_page(
    blueprint: Blueprint, name: str, address: Address, *, up: str, here: str, atlases: Sequence[str] = ()
) -> ArchitecturePage:
    """The page of one architecture; up, here, atlases: see ArchitecturePage."""
    is_published = blueprint == blueprints().get(blueprint.model)
    return ArchitecturePage(
        up=up,
        here=here,
        name=name,
        atlases=atlases,
        blueprint=blueprint,
        drawing=drawing(blueprint, address),
        stages=stage_rows(blueprint, address),
        comparisons=comparisons(blueprint.model) if is_published else (),
        layers=[layer_row(volume, address) for volume in blueprint.volumes],
        grouped=any(v.groups > 1 for v in blueprint.volumes),
    )


def stage_rows(blueprint: Blueprint, address: Address) -> list[StageRow]:
    """The stages in forward order (compare arXiv:1512.03385, Table 1)."""
    rows = []
    for stage, group in itertools.groupby(blueprint.volumes, key=lambda v: v.stage):
        volumes = [v for v in group if v.op != "input"]
        fields = [v.field for v in volumes if v.field]
        multiply_adds = sum(v.multiply_adds for v in volumes)
        rows.append(
            StageRow(
                name=stage_name(stage, blueprint),
                size=f"{volumes[-1].height} × {volumes[-1].width}",
                parts=_parts(volumes),
                shortcuts=counted(v.shortcut for v in volumes if v.op == "add"),
                parameters=sum(v.parameters for v in volumes),
                multiply_adds=multiply_adds,
                share=multiply_adds / blueprint.multiply_adds,
                field=f"{integer(fields[-1])} px" if fields and stage != HEAD else "whole picture",
                href=next((href for v in volumes if v.name and (href := address(v.name))), None),
            )
        )
    return rows


def counted(kinds: Iterable[str]) -> list[str]:
    """How many there are of each kind, in the order of first appearance."""
    listed = list(kinds)
    return [f"{listed.count(kind)} {kind}" for kind in dict.fromkeys(listed)]


def _parts(volumes: Sequence[Volume]) -> list[Part]:
    """A stage's operations. Consecutive blocks with the same operations are one part."""
    parts: list[Part] = []
    for block, group in itertools.groupby(volumes, key=lambda v: v.block):
        inside = [v for v in group if v.shortcut in ("", "identity") or v.op == "add"]
        lines = tuple(line for v in inside if (line := _line(v)))
        if not lines:
            continue
        is_block = bool(block) and any(v.op in ("add", "concat") for v in inside)
        repeats = 1
        if is_block and parts and parts[-1].is_block and parts[-1].lines == lines:
            repeats += parts.pop().repeats
        parts.append(Part(lines, repeats, is_block))
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
        case "other":
            return f"other weights, {integer(volume.channels)}"
    return ""


KINDS = {
    "input": "input",
    "conv": "convolution",
    "max_pool": "max pooling",
    "avg_pool": "average pooling",
    "adaptive_pool": "average pooling",
    "linear": "linear",
    "add": "addition",
    "concat": "concatenation",
    "other": "linear or convolution of another kind",
}


def layer_row(volume: Volume, address: Address) -> LayerRow:
    """A volume as a row of the table of layers."""
    has_window = volume.op in ("conv", "max_pool", "avg_pool")
    kind = KINDS[volume.op]
    return LayerRow(
        name=volume.title,
        href=address(volume.name) if volume.name else None,
        kind=f"{kind}, {volume.shortcut}" if volume.shortcut else kind,
        kernel=f"{volume.kernel}×{volume.kernel}" if has_window else "",
        stride=str(volume.stride) if has_window else "",
        padding=str(volume.padding) if has_window else "",
        groups=f"{volume.groups} × {volume.channels // volume.groups}" if volume.groups > 1 else "",
        size=f"{integer(volume.channels)} × {volume.height} × {volume.width}",
        parameters=volume.parameters,
        multiply_adds=volume.multiply_adds,
        field=volume.field,
    )


# -- the chapter -----------------------------------------------------------------------------------------------


def write(site: Site, atlas: Atlas) -> None:
    """Old atlases of networks that no paper has are without a blueprint, and without this page."""
    blueprint = blueprint_of(atlas)
    if blueprint is None:
        return
    address, title = addresses_in(atlas, ""), atlas.manifest.title
    page = architecture_page(blueprint, title, address, up=atlas.name, here="architecture", atlases=[])
    CHAPTER.write_page(site, atlas, page)


CHAPTER = Chapter(
    name="architecture",
    title="Architecture",
    template="architecture.html",
    present=lambda atlas: blueprint_of(atlas) is not None,
    write=write,
    styles=("architecture",),
)

"""The home page of each network, and the site's, which shows all networks side by side."""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo, Manifest, Size, Skipped
from generator.site.chapters.architecture import adds, blueprint_of
from generator.site.chapters.chapter import Chapter
from generator.site.chapters.first_layers import first_layers_of
from generator.site.chapters.registry import CHAPTERS
from generator.site.frame import frame_of, home_frame
from generator.site.reading.atlas import Atlas, in_full
from generator.site.reading.highlights import Highlight, highlights, highlights_rule, left_out
from generator.site.reading.measures import BY_KEY
from generator.site.reading.operations import operation_words
from generator.site.reading.whole_pictures import with_gradients
from generator.site.writing import Site

EXAMPLES = 3  # paths named for each reason why files were not used


@dataclass(frozen=True)
class LayerLink:
    """A layer as the outline of the network's input with its receptive field drawn to scale. left, top, width, height:
    of the field, in hundredths of the input's longer side; a field that is larger than the input fills it."""

    layer: LayerInfo
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class StageLinks:
    """The layers of a stage, without those inside blocks. place: the stage in words, '' in a network without stages."""

    stage: int
    place: str
    layers: Sequence[LayerLink]


@dataclass(frozen=True)
class Counts:
    """How much an atlas holds. layers, blocks; channels: of all layers, inner: of those inside blocks, dead: that no
    picture activates, pictured: active ones with sprites, whole: that show whole pictures instead. Over the channels of
    all blocks, None where nothing is compared: kept: mean number of pictures kept of nine; rho: median rank correlation
    with the block before."""

    layers: int
    blocks: int
    channels: int
    inner: int
    dead: int
    pictured: int
    whole: int
    kept: float | None
    rho: float | None


@dataclass(frozen=True)
class UnusedFiles:
    """Files of the pictures' folder that were not used. first: paths of at most EXAMPLES."""

    reason: str
    count: int
    first: Sequence[str]


@dataclass(frozen=True)
class HomeEntry:
    """A network on a home page. base: address of its folder; root: of the site's; input_size: height and width of the
    network's input in px; outline: of the input, an SVG path in hundredths of its longer side; panels, format: of its
    sprites; rule: how the highlights were chosen; left_out: how many channels could not be chosen; no_accuracy: why
    the accuracy is not known, '' where it is; by_torch: in how many layers torch computes the gradients; operations:
    because of which, in words."""

    base: str
    root: str
    manifest: Manifest
    input_size: Size
    outline: str
    is_study: bool
    is_residual: bool
    panels: Sequence[str]
    format: str
    highlights: Sequence[Highlight]
    rule: str
    left_out: int
    stages: Sequence[StageLinks]
    counts: Counts
    unused: Sequence[UnusedFiles]
    no_accuracy: str
    by_torch: int
    operations: str
    has_architecture: bool
    has_first_layers: bool
    chapters: Sequence[Chapter]


@dataclass(frozen=True)
class HomePage:
    """entries: one on a network's own home page; studies: the experiments' networks, which the site's home page only
    names."""

    heading: str
    entries: Sequence[HomeEntry]
    studies: Sequence[StudyLink]


@dataclass(frozen=True)
class StudyLink:
    name: str
    title: str


def write_homes(site: Site, atlases: Sequence[Atlas]) -> None:
    """Write each network's home page and the site's; with one network both say the same."""
    entries = {atlas.name: home_entry(atlas) for atlas in atlases}
    for atlas in atlases:
        page = HomePage(atlas.manifest.title, [entries[atlas.name]], [])
        site.page(f"{atlas.name}/index.html", "home.html", frame_of(atlas, atlases, "../"), page)
    shown, studies = in_full(atlases)
    page = HomePage(
        heading="Residual Atlas",
        entries=[
            dataclasses.replace(entries[atlas.name], base=f"{atlas.name}/", root="./") for atlas in shown
        ],
        studies=[StudyLink(atlas.name, atlas.manifest.title) for atlas in studies],
    )
    site.page("index.html", "home.html", home_frame(atlases, "./"), page)


def home_entry(atlas: Atlas) -> HomeEntry:
    """The network on its own home page."""
    manifest = atlas.manifest
    blueprint = blueprint_of(atlas)
    chosen = highlights(atlas)
    return HomeEntry(
        base="",
        root="../",
        manifest=manifest,
        input_size=atlas.input_size,
        outline=_outline(atlas),
        is_study=atlas.is_study,
        is_residual=adds(atlas, blueprint),
        panels=manifest.sprites[atlas.layers[0].name].panels,
        format=atlas.sprite_format,
        highlights=chosen,
        rule=highlights_rule(chosen),
        left_out=left_out(atlas),
        stages=stage_links(atlas),
        counts=counts(atlas),
        unused=unused_files(manifest.pictures.skipped),
        by_torch=sum(bool(layer.by_torch) for layer in atlas.layers),
        operations=operation_words(list(dict.fromkeys(name for x in atlas.layers for name in x.by_torch))),
        no_accuracy=manifest.accuracy_basis.removeprefix("no accuracy: "),
        has_architecture=blueprint is not None,
        has_first_layers=bool(first_layers_of([atlas])),
        chapters=[chapter for chapter in CHAPTERS if chapter.summary and chapter.present(atlas)],
    )


def stage_links(atlas: Atlas) -> list[StageLinks]:
    """The network as a line: its stages in forward order, with a link per layer."""
    layers = [layer for layer in atlas.layers if not layer.is_inner]
    stages = []
    for stage, group in itertools.groupby(layers, key=operator.attrgetter("stage")):
        links = [_layer_link(atlas, layer) for layer in group]
        stages.append(StageLinks(stage, atlas.place(links[0].layer), links))
    return stages


def _layer_link(atlas: Atlas, layer: LayerInfo) -> LayerLink:
    side, longer = layer.receptive_field.side, atlas.input_side
    # Drawn around the middle of the picture, where the map's middle unit looks.
    height, width = (min(length, side) / longer for length in atlas.input_size)
    return LayerLink(
        layer,
        left=round(50 - 50 * width, 1),
        top=round(50 - 50 * height, 1),
        width=round(100 * width, 1),
        height=round(100 * height, 1),
    )


def _outline(atlas: Atlas) -> str:
    height, width = (round(100 * length / atlas.input_side) for length in atlas.input_size)
    return f"M{(100 - width) // 2} {(100 - height) // 2}h{width}v{height}h-{width}z"


def counts(atlas: Atlas) -> Counts:
    """How much there is, and what neighbouring blocks have in common."""
    kept, rho = (_of_blocks(atlas, key) for key in ("shared_previous", "spearman_previous"))
    numbers = [atlas.layer(layer.name) for layer in atlas.layers]
    return Counts(
        layers=len(numbers),
        blocks=len(atlas.blocks),
        channels=sum(layer.info.channels for layer in numbers),
        inner=sum(layer.info.channels for layer in numbers if layer.info.is_inner),
        dead=sum(sum(layer.dead) for layer in numbers),
        pictured=with_gradients(atlas, atlas.layers),
        whole=sum(layer.is_whole(channel) for layer in numbers for channel in range(layer.info.channels)),
        kept=float(kept.mean()) if kept.size else None,
        rho=float(np.median(rho)) if rho.size else None,
    )


def _of_blocks(atlas: Atlas, key: str) -> np.ndarray:
    """A statistic of all channels of all blocks that have a value of it."""
    values = [
        array for block in atlas.blocks if (array := atlas.layer(block.name).arrays.get(key)) is not None
    ]
    return np.concatenate([array[BY_KEY[key].present(array)] for array in values]) if values else np.zeros(0)


def unused_files(skipped: Sequence[Skipped]) -> list[UnusedFiles]:
    """The files that were not used by reason, the most frequent first. What a reason says about a single file, in
    brackets, is left out."""
    paths: dict[str, list[str]] = {}
    for file in skipped:
        paths.setdefault(file.reason.partition(" (")[0], []).append(file.path)
    by_reason = sorted(paths.items(), key=lambda item: (-len(item[1]), item[0]))
    return [UnusedFiles(reason, len(files), files[:EXAMPLES]) for reason, files in by_reason]

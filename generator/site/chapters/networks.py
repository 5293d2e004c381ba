"""The chapter on the papers' networks: a page for each, and one that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.blueprint import Blueprint, Volume
from generator.site.chapters import experiments, first_layers
from generator.site.chapters.architecture import addresses_in, architecture_page, counted
from generator.site.chapters.chapter import SharedChapter
from generator.site.chapters.published import PublishedComparison, comparisons
from generator.site.chapters.reference_networks import NAMES, CardinalityRow, blueprints, reference
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site


@dataclass(frozen=True)
class NetworkRow:
    """name: of its page; title: in words; blocks: how many additions; shortcuts: how many of each kind, in words;
    field: the last receptive field in px; atlas: name of an atlas of it, '' for none."""

    name: str
    title: str
    layers: int
    side: int
    parameters: int
    multiply_adds: int
    blocks: int
    shortcuts: str
    field: int
    atlas: str


@dataclass(frozen=True)
class NetworksPage:
    """The variables of networks.html.

    block: an addition of the first stage of `blocks_of`, the network in which the rows of `cardinality` replace the
    blocks; first_layers, experiments: whether the site has these pages.
    """

    networks: Sequence[NetworkRow]
    comparisons: Sequence[PublishedComparison]
    cardinality: Sequence[CardinalityRow]
    block: Volume
    blocks_of: Blueprint
    first_layers: bool
    experiments: bool


def networks_page(atlases: Sequence[Atlas], *, first_layers: bool, experiments: bool) -> NetworksPage:
    """The page of all architectures. first_layers, experiments: whether the site has these pages."""
    resnet50 = blueprints()["resnet50"]
    return NetworksPage(
        networks=[_network_row(name, blueprint, atlases) for name, blueprint in blueprints().items()],
        comparisons=[comparison for name in blueprints() for comparison in comparisons(name)],
        cardinality=reference().cardinality,
        block=next(v for v in resnet50.volumes if v.op == "add"),
        blocks_of=resnet50,
        first_layers=first_layers,
        experiments=experiments,
    )


def _network_row(name: str, blueprint: Blueprint, atlases: Sequence[Atlas]) -> NetworkRow:
    joined = [v for v in blueprint.volumes if v.op in ("add", "concat")]
    kinds = sorted("concatenation" if v.op == "concat" else v.shortcut for v in joined)
    return NetworkRow(
        name=name,
        title=NAMES[name],
        layers=blueprint.weighted_layers,
        side=max(blueprint.size),
        parameters=blueprint.parameters,
        multiply_adds=blueprint.multiply_adds,
        blocks=sum(v.op == "add" for v in joined),
        shortcuts=", ".join(counted(kinds)) or "none",
        field=[v.field for v in blueprint.volumes if v.field][-1],
        atlas=next((atlas.name for atlas in atlases if atlas.manifest.model == name), ""),
    )


def write(site: Site, atlases: Sequence[Atlas]) -> None:
    for name, blueprint in blueprints().items():
        shown = [atlas for atlas in atlases if atlas.manifest.model == name]
        first = shown[0] if shown else None
        address = addresses_in(first, f"../{first.name}/" if first is not None else "")
        names = [atlas.name for atlas in shown]
        page = architecture_page(blueprint, NAMES[name], address, up="networks", here=name, atlases=names)
        site.shared_page(f"{name}.html", "architecture.html", page)
    page_of_all = networks_page(
        atlases,
        first_layers=first_layers.CHAPTER.present(atlases),
        experiments=experiments.CHAPTER.present(atlases),
    )
    CHAPTER.write_page(site, page_of_all)


CHAPTER = SharedChapter(
    name="index",
    title="The papers' networks",
    template="networks.html",
    present=lambda atlases: True,
    write=write,
    styles=("architecture",),
)

"""The chapter on the papers' networks: a page for each, and one that lists them."""

from __future__ import annotations

from collections.abc import Sequence

from generator.site.chapters import experiment_pages, first_layer_pages
from generator.site.chapters.architecture_pages import addresses_in, architecture_page, networks_page
from generator.site.chapters.chapter import SharedChapter
from generator.site.chapters.reference_networks import NAMES, blueprints
from generator.site.reading.atlas import Atlas
from generator.site.writing import Site


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
        first_layers=first_layer_pages.CHAPTER.present(atlases),
        experiments=experiment_pages.CHAPTER.present(atlases),
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

"""Writing a site: the pages of all atlases, and the files that belong to them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from generator.core.errors import AtlasError
from generator.site.assets import write_assets
from generator.site.chapters.architecture_pages import (
    addresses_in,
    architecture_page,
    blueprint_of,
    networks_page,
)
from generator.site.chapters.dream_pages import dreams_page
from generator.site.chapters.experiment_pages import experiments_page
from generator.site.chapters.first_layer_pages import first_layers_page, shown_layers
from generator.site.chapters.map_pages import has_map, write_map
from generator.site.chapters.reference_networks import NAMES, blueprints
from generator.site.chapters.relation_pages import FILES as RELATION_FILES
from generator.site.chapters.relation_pages import for_channels, other_networks, write_relations
from generator.site.chapters.revisited import KERNEL_FIGURE, revisited_page
from generator.site.chapters.scale_pages import scale_page
from generator.site.chapters.stream_pages import block_page, blocks_csv, stream_csv, stream_page, streamed
from generator.site.finder import finder_index
from generator.site.frame import Frame, frame_of, shared_frame
from generator.site.home import write_homes
from generator.site.layer_pages import write_layers
from generator.site.links import check_size, measure
from generator.site.narrative import build_narrative
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import kernel_sheet
from generator.site.reading.tiles import tile_data
from generator.site.templates import environment
from generator.site.writing import Site, SiteReport

__all__ = ["SiteReport", "render_site"]

Progress = Callable[[str, int, int], None]  # what is written, how many parts are done, of how many

RESERVED = frozenset({"assets", "guide", "static", "networks", "index.html"})  # no atlas may have these names


def render_site(
    atlases: Sequence[Path],
    out: Path,
    *,
    base_url: str = "",
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> SiteReport:
    """Write the site of one or several atlases into `out`.

    base_url: where the site will be published, for the addresses in citations. Raises AtlasError if two atlases have
    the same name, if the folder holds something else, or if the site is larger than max_bytes.
    """
    start = time.perf_counter()
    report_progress: Progress = progress or (lambda what, done, total: None)
    loaded = [Atlas(folder) for folder in atlases]
    _check_atlases(loaded)
    url = base_url.rstrip("/") + "/" if base_url else ""
    site = Site(Path(out))
    site.claim()
    report_progress("prose pages", 0, 1)
    _write_prose(site, loaded, url)
    report_progress("prose pages", 1, 1)
    write_assets(site.write, [atlas.name for atlas in loaded], any(has_map(atlas) for atlas in loaded))
    for atlas in loaded:
        _write_atlas(site, atlas, loaded, url, report_progress)
    write_networks(site, loaded)
    write_first_layers(site, loaded)
    write_homes(site, loaded)
    site.tidy()
    site.report.bytes = measure(site.out)
    site.report.seconds = time.perf_counter() - start
    check_size(site.report.bytes, max_bytes)
    return site.report


def _check_atlases(atlases: Sequence[Atlas]) -> None:
    """Raise AtlasError unless these atlases can stand in one site."""
    if not atlases:
        raise AtlasError("no atlas to render", remedy="name at least one atlas folder")
    names = [atlas.name for atlas in atlases]
    for atlas in atlases:
        if names.count(atlas.name) > 1:
            raise AtlasError(
                f"two atlases are named {atlas.name}",
                atlas.store.folder,
                "give one another name in its profile",
            )
        if atlas.name in RESERVED:
            raise AtlasError(
                f"an atlas cannot be named {atlas.name}", atlas.store.folder, "the site needs that folder"
            )
        if not atlas.layers:
            raise AtlasError(
                "the atlas holds no layer's sprites", atlas.store.folder, "compute the atlas again"
            )


def _write_prose(site: Site, atlases: Sequence[Atlas], url: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        built = build_narrative(atlases, Path(work), url)
        for path in sorted(built.rglob("*")):
            if path.is_file() and path.name != "index.html":
                site.write(path.relative_to(built).as_posix(), path.read_bytes())


def _write_atlas(site: Site, atlas: Atlas, atlases: Sequence[Atlas], url: str, progress: Progress) -> None:
    """Write everything below the atlas's own folder, except its home."""
    across = other_networks(atlas, atlases, lambda what: progress(what, 0, 1))
    frame = frame_of(atlas, atlases, "../../")

    def chapters() -> None:
        site.write(f"{atlas.name}/finder.js", finder_index(atlas))
        write_relations(site.write, environment(), atlas, atlases, vars(frame), across)
        write_streams(site, atlas, frame)
        write_dreams(site, atlas, frame)
        write_map(site.write, site.copy, environment(), atlas, vars(frame))
        write_revisited(site, atlas, frame)
        write_architecture(site, atlas, frame)
        copy_data(site, atlas)

    progress(f"pages of {atlas.name}", 0, len(atlas.layers))
    written = write_layers(site, atlas, frame, for_channels(across), url, chapters)
    for number, _ in enumerate(written, 1):
        progress(f"pages of {atlas.name}", number, len(atlas.layers))


def write_streams(site: Site, atlas: Atlas, frame: Frame) -> None:
    """The pages on the residual stream and on scale, where the atlas has the numbers, and their tables."""
    blocks = streamed(atlas)
    if not blocks:
        return
    names = [block.info.name for block in blocks]
    for place, block in enumerate(blocks):
        beside = {
            "before": names[place - 1] if place else None,
            "after": names[place + 1] if place + 1 < len(names) else None,
        }
        page = {"layer": block.info, **beside, **block_page(atlas, block)}
        site.page(f"{atlas.name}/{block.address}", "stream_block.html", frame, page)
    for name, found in (("stream", stream_page(atlas)), ("scale", scale_page(atlas))):
        if found is not None:
            site.page(f"{atlas.name}/{name}.html", f"{name}.html", frame.at("../"), found)
    site.write(f"{atlas.name}/data/stream.csv", stream_csv(atlas))
    site.write(f"{atlas.name}/data/stream_blocks.csv", blocks_csv(atlas))


def write_dreams(site: Site, atlas: Atlas, frame: Frame) -> None:
    """The gallery of dreams, where the atlas has some."""
    gallery = dreams_page(atlas)
    if gallery is None:
        return
    for name in gallery["files"]:
        site.copy(atlas.store.pictures.dream_path(name), f"{atlas.name}/deepdream/{name}")
    site.page(f"{atlas.name}/deepdream.html", "deepdream.html", frame.at("../"), gallery)


def write_revisited(site: Site, atlas: Atlas, frame: Frame) -> None:
    """The paper's claims looked at again, where the atlas is of its network."""
    revisited = revisited_page(atlas)
    if not revisited:
        return
    for entry in revisited["entries"]:
        alive = [row["layer"] for row in entry["rows"] if not row["absent"]]
        entry["data"] = tile_data(atlas, alive, entry["claim"].channel)
    first = next(iter(atlas.manifest.sprites.values()))
    more = {
        "panels": first.panels,
        "kernels": atlas.has("conv1") and kernel_sheet(atlas, atlas.manifest.layer("conv1")) is not None,
        "kernel_figure": KERNEL_FIGURE,
        "kernel_counts": next(
            (layer.counts() for layer in shown_layers([atlas]) if layer.entry["own"]), None
        ),
        "pictures_count": atlas.manifest.pictures.count,
    }
    site.page(f"{atlas.name}/revisited.html", "revisited.html", frame.at("../"), revisited, more)


def copy_data(site: Site, atlas: Atlas) -> None:
    """The atlas's tables, the pictures of its gradient rules, and its whole pictures."""
    site.write(f"{atlas.name}/data/manifest.json", atlas.store.published_manifest())
    for name in ("channels.csv", "images.csv", "architecture.json", *RELATION_FILES):
        if (table := atlas.store.tables.path(name)) is not None:
            site.copy(table, f"{atlas.name}/data/{name}")
    for row in atlas.gradient_rules:
        for kind in row.kinds:
            picture = atlas.store.pictures.rule_path(row.layer, kind)
            site.copy(picture, f"{atlas.name}/rules/{picture.name}")
    for number in sorted(atlas.published):
        site.copy(atlas.store.pictures.picture_path(number), f"{atlas.name}/pictures/{number}.webp")


def write_architecture(site: Site, atlas: Atlas, frame: Frame) -> None:
    """The network of an atlas, drawn and counted; old atlases of networks that no paper has go without."""
    blueprint = blueprint_of(atlas)
    if blueprint is None:
        return
    address = addresses_in(atlas, "")
    page = architecture_page(
        blueprint, atlas.manifest.title, address, up=atlas.name, here="architecture", atlases=[]
    )
    site.page(f"{atlas.name}/architecture.html", "architecture.html", frame.at("../"), page)


def write_networks(site: Site, atlases: Sequence[Atlas]) -> None:
    """The papers' networks: a page for each, and one that lists them."""
    frame = shared_frame(atlases, "../")
    for name, blueprint in blueprints().items():
        shown = [atlas for atlas in atlases if atlas.manifest.model == name]
        first = shown[0] if shown else None
        address = addresses_in(first, f"../{first.name}/" if first is not None else "")
        names = [atlas.name for atlas in shown]
        page = architecture_page(blueprint, NAMES[name], address, up="networks", here=name, atlases=names)
        site.page(f"networks/{name}.html", "architecture.html", frame, page)
    report = experiments_page(atlases)
    networks = networks_page(
        atlases, first_layers=bool(shown_layers(atlases)), experiments=report is not None
    )
    site.page("networks/index.html", "networks.html", frame, networks)
    if report is not None:
        site.page("networks/experiments.html", "experiments.html", frame, report)
        folder = Path(__file__).parent / "data" / "experiments"
        for file in report.files:
            site.copy(folder / file, f"networks/data/{file}")


def write_first_layers(site: Site, atlases: Sequence[Atlas]) -> None:
    """The first layers of every network side by side, where some atlas has them."""
    shown = shown_layers(atlases)
    if not shown:
        return
    for one in shown:
        for address, path in one.files().items():
            site.copy(path, f"networks/{address}")
    frame = shared_frame(atlases, "../")
    site.page("networks/first-layers.html", "first_layers.html", frame, first_layers_page(shown))

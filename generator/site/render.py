"""Writing a site: the pages of all atlases, and the files that belong to them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from generator.core.errors import AtlasError
from generator.site.assets import field_styles, write_assets
from generator.site.chapters.refinement import RELATIONS_FILES
from generator.site.chapters.registry import CHAPTERS, SHARED_CHAPTERS
from generator.site.chapters.your_picture import missing
from generator.site.columns import SHARED, write_dictionary
from generator.site.descriptions import import_descriptions, write_descriptions
from generator.site.downloads import Downloads, write_downloads
from generator.site.finder import finder_index
from generator.site.frame import frame_of
from generator.site.home import write_homes
from generator.site.layer_pages import write_layers
from generator.site.links import check_size, measure
from generator.site.lists import write_list_page
from generator.site.narrative import build_narrative
from generator.site.reading.atlas import Atlas
from generator.site.reading.whole_pictures import cuts_fields
from generator.site.record_files import SCHEMA_FILE, record_schema
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
    descriptions: Sequence[str | Path] = (),
    scores: bool = False,
    parquet: bool = False,
) -> SiteReport:
    """Write the site of one or several atlases into `out`.

    base_url: where the site will be published, for the addresses in citations; descriptions: tables of descriptions of
    the atlas's channels (CSV), or NAME=FILE of the atlas NAME; scores: whether every channel's score on every picture
    and its mean contribution to every class are published, in half precision; parquet: whether channels.csv is
    published as Parquet too. Raises AtlasError if two atlases have the same name, if the folder holds something else,
    if descriptions are wrong, if a package is missing, or if the site is larger than max_bytes.
    """
    start = time.perf_counter()
    downloads = Downloads(scores, parquet)
    downloads.check()
    report_progress: Progress = progress or (lambda what, done, total: None)
    loaded = [Atlas(folder) for folder in atlases]
    _check_atlases(loaded)
    import_descriptions(loaded, [str(path) for path in descriptions])
    url = base_url.rstrip("/") + "/" if base_url else ""
    site = Site(Path(out), loaded, lambda what: report_progress(what, 0, 1))
    site.claim()
    _write_assets(site)
    for number, atlas in enumerate(loaded):
        # The prose pages are written as well while other processes write the channels' pages.
        prose = [] if number else [lambda: _write_prose(site, loaded, url)]
        _write_atlas(site, atlas, url, report_progress, downloads, prose)
    for shared in SHARED_CHAPTERS:
        if shared.present(loaded):
            shared.write(site, loaded)
    if any(address.startswith(f"{SHARED}/") for address in site.addresses):
        write_dictionary(site, SHARED)
    write_homes(site, loaded)
    site.report.notes += [note for atlas in loaded if (note := missing(atlas))]
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


def _write_assets(site: Site) -> None:
    scripts = [
        chapter.script
        for chapter in CHAPTERS
        if chapter.script and any(chapter.present(atlas) for atlas in site.atlases)
    ]
    chapter_styles = [name for chapter in CHAPTERS for name in chapter.styles]
    chapter_styles += [name for shared in SHARED_CHAPTERS for name in shared.styles]
    write_assets(site.write, [atlas.name for atlas in site.atlases], chapter_styles, scripts)


def _write_prose(site: Site, atlases: Sequence[Atlas], url: str) -> None:
    with tempfile.TemporaryDirectory() as work:
        built = build_narrative(atlases, Path(work), url)
        for path in sorted(built.rglob("*")):
            if path.is_file() and path.name != "index.html":
                site.write(path.relative_to(built).as_posix(), path.read_bytes())


def _write_atlas(
    site: Site,
    atlas: Atlas,
    url: str,
    progress: Progress,
    downloads: Downloads,
    more: Sequence[Callable[[], None]],
) -> None:
    """Write everything below the atlas's own folder, except its home, and what `more` writes."""

    def chapters() -> None:
        for write in more:
            write()
        present = [chapter for chapter in CHAPTERS if chapter.summary and chapter.present(atlas)]
        listed = [(chapter.title, f"{chapter.name}.html", chapter.summary) for chapter in present]
        site.write(f"{atlas.name}/finder.js", finder_index(atlas, listed))
        if cuts_fields(atlas):
            site.write(f"{atlas.name}/fields.css", field_styles(atlas.layers, atlas.input_size))
        for chapter in CHAPTERS:
            if chapter.present(atlas):
                chapter.write(site, atlas)
        write_list_page(site, atlas, url)
        copy_data(site, atlas)
        write_downloads(site, atlas, downloads)
        write_descriptions(site, atlas)

    comparisons = site.comparisons(atlas)
    progress(f"pages of {atlas.name}", 0, len(atlas.layers))
    frame = frame_of(atlas, site.atlases, "../../")
    for number, _ in enumerate(write_layers(site, atlas, frame, comparisons, url, chapters), 1):
        progress(f"pages of {atlas.name}", number, len(atlas.layers))
    write_dictionary(site, f"{atlas.name}/data")


def copy_data(site: Site, atlas: Atlas) -> None:
    """The atlas's tables, the pictures of its gradient rules, and its whole pictures."""
    site.write(f"{atlas.name}/data/manifest.json", atlas.store.published_manifest())
    site.write(f"{atlas.name}/data/{SCHEMA_FILE}", record_schema())
    for name in (
        "images.csv",
        "halves.csv",
        "architecture.json",
        "label_range.json",
        "machine_score.json",
        "effects.json",
        "stream.json",
        "zooms.json",
        "randomisation.json",
        "path_check.json",
        *RELATIONS_FILES,
    ):
        if (table := atlas.store.tables.path(name)) is not None:
            site.copy(table, f"{atlas.name}/data/{name}")
    for row in atlas.gradient_rules:
        for kind in row.kinds:
            picture = atlas.store.pictures.rule_path(row.layer, kind)
            site.copy(picture, f"{atlas.name}/rules/{picture.name}")
    for number in sorted(atlas.published):
        site.copy(atlas.store.pictures.picture_path(number), f"{atlas.name}/pictures/{number}.webp")

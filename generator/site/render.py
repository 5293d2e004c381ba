"""Writing the site: the Jinja environment, the pages of every atlas, the files beside them."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from generator.core.errors import AtlasError
from generator.core.files import disk_error
from generator.core.processes import in_processes, page_processes
from generator.core.records import LayerInfo, title_of
from generator.site.assets import LARGEST_SHEET, write_assets
from generator.site.chapters.architecture_pages import adds, architecture_page, blueprint_of, networks_page
from generator.site.chapters.dream_pages import dreams_page
from generator.site.chapters.experiment_pages import experiments_page
from generator.site.chapters.experiment_tables import committed
from generator.site.chapters.first_layer_pages import first_layers_page, shown_layers
from generator.site.chapters.map_pages import has_map, write_map
from generator.site.chapters.published import NAMES, blueprints
from generator.site.chapters.relation_pages import FILES as RELATION_FILES
from generator.site.chapters.relation_pages import for_channels, links_of, other_networks, write_relations
from generator.site.chapters.revisited import KERNEL_FIGURE, revisited_page
from generator.site.chapters.scale_pages import scale_page
from generator.site.chapters.stream_pages import (
    block_page,
    blocks_csv,
    channel_stream,
    stream_csv,
    stream_page,
    streamed,
)
from generator.site.citation import FINGERPRINT
from generator.site.finder import finder_index
from generator.site.formats import FILTERS, integer, megabytes
from generator.site.home import network_home
from generator.site.links import measure
from generator.site.narrative import build_narrative, resources
from generator.site.reading.atlas import PANEL_NAMES, Atlas, Layer, in_full, pairs_shown
from generator.site.reading.channel import channel_page, tile_data
from generator.site.reading.layer import kernel_page, layer_page
from generator.site.reading.relations import stage_pairs
from generator.site.reading.synthetic import FOLDER as OPTIMISED
from generator.site.reading.synthetic import has_optimised, is_optimised

Progress = Callable[[str, int, int], None]

MARKER = ".residual-atlas"  # lies in every site we wrote: only there may files be removed
RESERVED = {
    "assets",
    "guide",
    "static",
    "networks",
    "index.html",
}  # names that a network's folder may not take
BAR_ROW = 26  # px; the height of a statistic's row, which base.css and channel.html know too
WORTH_PROCESSES = 4000  # pages; below, starting processes takes longer than writing

# Nothing is loaded from elsewhere and no script stands in a page. `file:` lets browsers that do not count a
# folder as 'self' open the site from a disk; on a web server it matches nothing.
POLICY = "default-src 'self' file:; base-uri 'none'; form-action 'none'"


@dataclass
class SiteReport:
    """What render_site did. bytes: of the whole site by kind of file, with 'total'."""

    written: int = 0
    unchanged: int = 0
    copied: int = 0
    removed: int = 0
    seconds: float = 0.0
    bytes: dict[str, int] = field(default_factory=dict)


class Site:
    """The folder being written: what is right already is left alone, what is no longer part of it removed."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.report = SiteReport()
        self.kept: set[str] = {MARKER}
        self._folders: set[str] = set()

    def claim(self) -> None:
        """Make sure that the folder is ours, so that files may be removed from it."""
        out = self.out
        if out.is_dir() and any(out.iterdir()) and not (out / MARKER).exists():
            raise AtlasError(
                "this folder holds something else than a site", out, "choose another, or empty it first"
            )
        self.write(
            MARKER,
            "A site written by Residual Atlas: files that are no part of it are removed at the next build.\n",
        )

    def merge(self, other: Site) -> None:
        """Take over what another process wrote into the same folder."""
        self.kept |= other.kept
        self.report.written += other.report.written
        self.report.unchanged += other.report.unchanged
        self.report.copied += other.report.copied

    def _place(self, address: str) -> Path:
        self.kept.add(address)
        folder = address.rpartition("/")[0]
        if folder not in self._folders:
            (self.out / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return self.out / address

    def write(self, address: str, text: str | bytes) -> None:
        content = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        try:
            path = self._place(address)
            try:
                same = path.read_bytes() == content
            except OSError:
                same = False
            if not same:
                path.write_bytes(content)
        except OSError as error:
            raise disk_error(error, self.out / address) from error
        if address.endswith(".html"):
            if same:
                self.report.unchanged += 1
            else:
                self.report.written += 1

    def copy(self, source: str | Path, address: str) -> None:
        """Copy a file unless its copy has the same size and time; never a link: GitHub Pages takes none."""
        try:
            path = self._place(address)
            new = os.stat(source)
            try:
                old = os.stat(path)
                if old.st_size == new.st_size and old.st_mtime_ns == new.st_mtime_ns:
                    return
            except OSError:
                pass
            shutil.copyfile(source, path)
            os.utime(path, ns=(new.st_atime_ns, new.st_mtime_ns))
        except OSError as error:
            raise disk_error(error, self.out / address) from error
        self.report.copied += 1

    def tidy(self) -> None:
        """Remove what the last build left and this one did not make. A CNAME file is the host's."""
        for folder, folders, names in os.walk(self.out, topdown=False):
            inside = os.path.relpath(folder, self.out)
            for name in names:
                address = name if inside == "." else f"{inside}/{name}".replace(os.sep, "/")
                if address not in self.kept and address != "CNAME" and not address.startswith(".git"):
                    os.unlink(os.path.join(folder, name))
                    self.report.removed += 1
            if (folders or inside != ".") and inside != "." and not os.listdir(folder):
                os.rmdir(folder)


def environment() -> Environment:
    """The templates, with autoescape on everywhere; an unknown name in a template is an error."""
    folder = resources() / "templates"
    env = Environment(
        loader=FileSystemLoader([folder, folder / "mkdocs"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    env.filters.update(FILTERS)
    env.globals["names"] = PANEL_NAMES
    env.globals["policy"] = POLICY
    return env


def _note(atlas: Atlas) -> str:
    return (
        "The weights of this network are random, not trained: a trial."
        if atlas.manifest.weights.random
        else ""
    )


def _notice(atlas: Atlas) -> str:
    """The attribution in the footer, where pictures are shown."""
    if not atlas.manifest.publish_patches:
        return ""
    if drawn(atlas):
        return "The pictures are drawn by the program itself."
    return f"Pictures and patches: {atlas.manifest.pictures.source}; they remain their owners'."


def made_from(atlas: Atlas) -> str:
    """The network, the weights and the pictures that were used, for the foot of every page of the atlas: its title may
    be any text of its writer's."""
    manifest = atlas.manifest
    weights, pictures = manifest.weights.sha256[:FINGERPRINT], manifest.pictures.sha256[:FINGERPRINT]
    network = f"{title_of(manifest.model, manifest.weights)} ({weights})"
    return f"Made from {network} and {integer(manifest.pictures.count)} pictures ({pictures})."


def drawn(atlas: Atlas) -> bool:
    """Whether the pictures are the program's own drawings, which nobody else has a right to."""
    given = atlas.manifest.profile.get("pictures") or {}
    return bool(given.get("drawn")) and not given.get("folder")


def _common(atlas: Atlas, atlases: Sequence[Atlas], root: str) -> dict[str, Any]:
    return {
        "root": root,
        "model": atlas.name,
        "title": atlas.manifest.title,
        "several": len(atlases) > 1,
        "notice": _notice(atlas),
        "takedown": atlas.manifest.publish_patches and not drawn(atlas),
        "note": _note(atlas),
        "made_from": made_from(atlas),
        "pictures": atlas.shows_pictures,
    }


def bars(layer: Layer) -> str:
    """The histograms of the layer's statistics, one below the other as on a channel's page: one file for
    all its pages.

    The grey is seen on light and on dark pages, because a picture does not know which the reader chose.
    """
    paths = []
    for number, (_, _, _, _, heights) in enumerate(layer.measures):
        strokes = "".join(
            f"M{4 * n + 2} {BAR_ROW * number + 20}v-{height}" for n, height in enumerate(heights) if height
        )
        paths.append(f'<path d="{strokes}"/>')
    size = f'viewBox="0 0 96 {BAR_ROW * len(paths)}"'
    pen = 'stroke="#8c8c8c" stroke-width="1.5"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {pen}>{"".join(paths)}</svg>\n'


def write_layer(
    site: Site, env: Environment, atlas: Atlas, info: LayerInfo, common: dict[str, Any], url: str
) -> None:
    """A layer's grid, its channels' pages, and their pictures."""
    folder = f"{atlas.name}/{info.name}"
    sprite = atlas.manifest.sprites[info.name]
    names = {layer.name: layer for layer in atlas.layers}
    kernels = kernel_page(atlas, info)
    shared = {
        **common,
        "layer": info,
        "place": atlas.place(info),
        "panels": sprite.panels,
        "has_block": info.block in names,
        "block_channels": names[info.block].channels if info.block in names else 0,
        "has_kernels": kernels is not None,
        "has_first_layers": kernels is not None and bool(shown_layers([atlas])),
        "kernels": kernels,
    }
    inner = atlas.inner_of(info.name) if info.kind in ("block", "layer") else []
    grid = layer_page(atlas, info)
    if grid["columns"] > LARGEST_SHEET:
        raise AtlasError(
            f"a layer of {integer(info.channels)} channels is larger than the site's grids", info.name
        )
    site.write(
        f"{folder}/index.html", env.get_template("layer.html").render({**shared, **grid, "inner": inner})
    )
    page = env.get_template("channel.html")
    layer = atlas.layer(info.name)
    stream = next((block for block in streamed(atlas) if block.info == info), None)
    for channel in range(info.channels):
        across = links_of(common["networks"], info.name, channel)
        said = {
            "across": across,
            "stream": None if stream is None or layer.dead[channel] else channel_stream(stream, channel),
        }
        site.write(
            f"{folder}/{channel}.html",
            page.render({**shared, **said, **channel_page(atlas, info, channel, url)}),
        )
        if not layer.absence(channel):
            site.copy(atlas.store.sprite_path(info.name, channel), f"{folder}/{channel}.webp")
    for channel in filter(partial(is_optimised, layer), range(info.channels)):
        site.copy(atlas.store.optimised_path(info.name, channel), f"{folder}/{OPTIMISED}/{channel}.webp")
    if has_optimised(layer):
        site.copy(atlas.store.optimised_sheet_path(info.name), f"{folder}/{OPTIMISED}/thumbs.webp")
    site.copy(atlas.store.thumbs_path(info.name), f"{folder}/thumbs.webp")
    site.write(f"{folder}/bars.svg", bars(layer))
    if kernels:
        site.write(f"{folder}/kernels.html", env.get_template("kernels.html").render({**shared, **kernels}))
        site.copy(atlas.store.kernels_path(info.name), f"{folder}/kernels.webp")


def write_layers(
    site: Site,
    env: Environment,
    atlas: Atlas,
    common: dict[str, Any],
    url: str,
    meanwhile: Callable[[], None],
) -> Iterator[Site]:
    """Write every layer, in several processes where there is enough to write, and do something else meanwhile; yields
    what each one did."""
    pages = sum(layer.channels for layer in atlas.layers)
    given = (atlas.store.folder, site.out, common, url)
    largest_first = sorted(atlas.layers, key=lambda layer: -layer.channels)

    def here(name: str) -> Site:
        write_layer(site, env, atlas, atlas.manifest.layer(name), common, url)
        return site

    for _, done in in_processes(
        _write_layer_there,
        [layer.name for layer in largest_first],
        page_processes(pages, WORTH_PROCESSES),
        doing="writes pages",
        remedy="close what needs much memory and run the same command again",
        start=_start_worker,
        given=given,
        here=here,
        in_order=False,
        meanwhile=meanwhile,
    ):
        yield done


_worker: dict[str, Any] = {}  # of a process that writes layers: what it needs for every one of them


def _start_worker(folder: Path, out: Path, common: dict[str, Any], url: str) -> None:
    _worker.update(atlas=Atlas(folder), env=environment(), out=out, common=common, url=url)


def _write_layer_there(name: str) -> Site:
    site = Site(_worker["out"])
    atlas: Atlas = _worker["atlas"]
    write_layer(site, _worker["env"], atlas, atlas.manifest.layer(name), _worker["common"], _worker["url"])
    return site


def write_streams(site: Site, env: Environment, atlas: Atlas, common: dict[str, Any]) -> None:
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
        page = {**common, "layer": block.info, **beside, **block_page(atlas, block)}
        site.write(f"{atlas.name}/{block.address}", env.get_template("stream_block.html").render(page))
    below = {**common, "root": "../"}
    for name, found in (("stream", stream_page(atlas)), ("scale", scale_page(atlas))):
        if found is not None:
            text = env.get_template(f"{name}.html").render({**below, **found})
            site.write(f"{atlas.name}/{name}.html", text)
    site.write(f"{atlas.name}/data/stream.csv", stream_csv(atlas))
    site.write(f"{atlas.name}/data/stream_blocks.csv", blocks_csv(atlas))


def write_dreams(site: Site, env: Environment, atlas: Atlas, common: dict[str, Any]) -> None:
    """The gallery of dreams, where the atlas has some."""
    gallery = dreams_page(atlas)
    if gallery is None:
        return
    for name in gallery["files"]:
        site.copy(atlas.store.dream_path(name), f"{atlas.name}/deepdream/{name}")
    page = env.get_template("deepdream.html").render({**common, "root": "../", **gallery})
    site.write(f"{atlas.name}/deepdream.html", page)


def write_atlas(
    site: Site, env: Environment, atlas: Atlas, atlases: Sequence[Atlas], url: str, progress: Progress
) -> None:
    """Everything below the network's own folder, except its home."""
    found = other_networks(atlas, atlases, lambda what: progress(what, 0, 1))
    common = {**_common(atlas, atlases, "../../"), "networks": for_channels(found)}

    def chapters() -> None:
        site.write(f"{atlas.name}/finder.js", finder_index(atlas))
        write_relations(site.write, env, atlas, atlases, common, found)
        write_streams(site, env, atlas, common)
        write_dreams(site, env, atlas, common)
        write_map(site.write, site.copy, env, atlas, common)
        write_revisited(site, env, atlas, common)
        copy_data(site, atlas)

    progress(f"pages of {atlas.name}", 0, len(atlas.layers))
    for number, part in enumerate(write_layers(site, env, atlas, common, url, chapters), 1):
        if part is not site:
            site.merge(part)
        progress(f"pages of {atlas.name}", number, len(atlas.layers))


def write_revisited(site: Site, env: Environment, atlas: Atlas, common: dict[str, Any]) -> None:
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
        "kernels": atlas.has("conv1") and kernel_page(atlas, atlas.manifest.layer("conv1")) is not None,
        "kernel_figure": KERNEL_FIGURE,
        "kernel_counts": next(
            (layer.counts() for layer in shown_layers([atlas]) if layer.entry["own"]), None
        ),
        "pictures_count": atlas.manifest.pictures.count,
    }
    page = env.get_template("revisited.html").render({**common, "root": "../", **revisited, **more})
    site.write(f"{atlas.name}/revisited.html", page)


def copy_data(site: Site, atlas: Atlas) -> None:
    """The atlas's tables, the pictures of its gradient rules, and its whole pictures."""
    site.write(f"{atlas.name}/data/manifest.json", atlas.store.published_manifest())
    for name in ("channels.csv", "images.csv", "architecture.json", *RELATION_FILES):
        if (atlas.store.folder / name).is_file():
            site.copy(atlas.store.folder / name, f"{atlas.name}/data/{name}")
    for row in atlas.gradient_rules:
        for kind in row["kinds"]:
            name = f"rules/{row['layer']}-{kind}.webp"
            site.copy(atlas.store.folder / name, f"{atlas.name}/{name}")
    if atlas.shows_pictures:
        with os.scandir(atlas.store.folder / "pictures") as files:
            for file in files:
                if file.name.endswith(".webp"):
                    site.copy(file.path, f"{atlas.name}/pictures/{file.name}")


def _leading(held: set[str], base: str) -> Callable[[str], str | None]:
    """From a layer's name to its page, for the layers that an atlas holds."""
    return lambda layer: f"{base}{layer}/index.html" if layer in held else None


def write_architecture(site: Site, env: Environment, atlas: Atlas, common: dict[str, Any]) -> None:
    """The network of an atlas, drawn and counted; old atlases of networks that no paper has go without."""
    blueprint = blueprint_of(atlas)
    if blueprint is None:
        return
    held = {layer.name for layer in atlas.layers}
    page = architecture_page(blueprint, atlas.manifest.title, _leading(held, ""))
    context = {**common, "root": "../", **page, "up": atlas.name, "here": "architecture", "atlases": []}
    site.write(f"{atlas.name}/architecture.html", env.get_template("architecture.html").render(context))


def _of_all(atlases: Sequence[Atlas]) -> dict[str, Any]:
    """What a page of the folder networks/ needs around its content: it belongs to no one atlas, so that nothing is said
    of one's weights and pictures."""
    return {
        **_common(atlases[0], atlases, "../"),
        "model": "" if len(atlases) > 1 else atlases[0].name,
        "notice": "",
        "note": "",
        "made_from": "",
        "takedown": False,
    }


def write_networks(site: Site, env: Environment, atlases: Sequence[Atlas]) -> None:
    """The papers' networks: a page for each, and one that lists them."""
    common = _of_all(atlases)
    page = env.get_template("architecture.html")
    for name, blueprint in blueprints().items():
        shown = [atlas.name for atlas in atlases if atlas.manifest.model == name]
        first = next((atlas for atlas in atlases if atlas.name in shown), None)
        held = {layer.name for layer in first.layers} if first else set()
        base = f"../{first.name}/" if first else ""
        context = architecture_page(blueprint, NAMES[name], _leading(held, base))
        more = {"up": "networks", "here": name, "atlases": shown}
        site.write(f"networks/{name}.html", page.render({**common, **context, **more}))
    listed = networks_page(atlases, NAMES.__getitem__)
    listed["comparisons"] = [
        {**row, "network": NAMES[n["name"]]} for n in listed["networks"] for row in n["published"]
    ]
    report = experiments_page(atlases)
    listed["experiments"] = report is not None
    listed["first_layers"] = bool(shown_layers(atlases))
    site.write("networks/index.html", env.get_template("networks.html").render({**common, **listed}))
    if report is not None:
        site.write(
            "networks/experiments.html", env.get_template("experiments.html").render({**common, **report})
        )
        folder = Path(__file__).parent / "data" / "experiments"
        for name in (*(f"{table}.csv" for table in committed()), "setting.json"):
            site.copy(folder / name, f"networks/data/{name}")


def write_first_layers(site: Site, env: Environment, atlases: Sequence[Atlas]) -> None:
    """The first layers of every network side by side, where some atlas has them."""
    shown = shown_layers(atlases)
    if not shown:
        return
    for one in shown:
        for address, path in one.files().items():
            site.copy(path, f"networks/{address}")
    common = _of_all(atlases)
    page = env.get_template("first_layers.html").render({**common, **first_layers_page(shown)})
    site.write("networks/first-layers.html", page)


def write_homes(site: Site, env: Environment, atlases: Sequence[Atlas]) -> None:
    """Each network's home and the site's; with one network both say the same."""
    page = env.get_template("home.html")
    entries = [
        {
            "atlas": atlas,
            "manifest": atlas.manifest,
            "network": network_home(atlas),
            "panels": atlas.manifest.sprites[atlas.layers[0].name].panels,
            "revisited": revisited_page(atlas) is not None,
            "architecture": (blueprint := blueprint_of(atlas)) is not None,
            "residual": adds(atlas, blueprint),
            "refinement": bool(stage_pairs(atlas)),
            "correspondence": bool(pairs_shown(atlas)),
            "stream": bool(streamed(atlas)),
            "scale": scale_page(atlas) is not None,
            "first_layers": bool(shown_layers([atlas])),
            "dreams": dreams_page(atlas) is not None,
            "map": has_map(atlas),
        }
        for atlas in atlases
    ]
    for entry, atlas in zip(entries, atlases, strict=True):
        here = {**entry, "base": "", "root": "../"}
        context = {
            **_common(atlas, atlases, "../"),
            "heading": atlas.manifest.title,
            "entries": [here],
            "studies": [],
        }
        site.write(f"{atlas.name}/index.html", page.render(context))
    shown, studies = in_full(atlases)
    notices = {notice for atlas in atlases if (notice := _notice(atlas))}
    context = {
        **_common(atlases[0], atlases, "./"),
        "model": "" if len(atlases) > 1 else atlases[0].name,
        "heading": "Residual Atlas",
        "notice": " ".join(sorted(notices)),
        "takedown": any(atlas.manifest.publish_patches and not drawn(atlas) for atlas in atlases),
        "note": " ".join(f"{atlas.name}: {note}" for atlas in atlases if (note := _note(atlas))),
        "made_from": made_from(atlases[0]) if len(atlases) == 1 else "",
        "entries": [
            {**entry, "base": f"{atlas.name}/", "root": "./"}
            for entry, atlas in zip(entries, atlases, strict=True)
            if atlas in shown
        ],
        "studies": studies,
    }
    site.write("index.html", page.render(context))


def render_site(
    atlases: Sequence[Path],
    out: Path,
    *,
    base_url: str = "",
    max_bytes: int | None = None,
    progress: Progress | None = None,
) -> SiteReport:
    """Write the site of one or several atlases into `out`.

    base_url: where the site will be published, for the addresses in citations. Raises AtlasError if two
    atlases have
    one name, if the folder holds something else, or if the site comes out larger than max_bytes.
    """
    start = time.perf_counter()
    report_progress: Progress = progress or (lambda what, done, total: None)
    if not atlases:
        raise AtlasError("no atlas to render", remedy="name at least one atlas folder")
    loaded = [Atlas(folder) for folder in atlases]
    names = [atlas.name for atlas in loaded]
    for atlas in loaded:
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
    url = base_url.rstrip("/") + "/" if base_url else ""
    site = Site(Path(out))
    site.claim()
    report_progress("prose pages", 0, 1)
    with tempfile.TemporaryDirectory() as work:
        built = build_narrative(loaded, Path(work), url)
        for path in sorted(built.rglob("*")):
            if path.is_file() and path.name != "index.html":
                site.write(path.relative_to(built).as_posix(), path.read_bytes())
    report_progress("prose pages", 1, 1)
    write_assets(site.write, [atlas.name for atlas in loaded], any(has_map(atlas) for atlas in loaded))
    env = environment()
    for atlas in loaded:
        write_atlas(site, env, atlas, loaded, url, report_progress)
        write_architecture(site, env, atlas, _common(atlas, loaded, "../"))
    write_networks(site, env, loaded)
    write_first_layers(site, env, loaded)
    write_homes(site, env, loaded)
    site.tidy()
    site.report.bytes = measure(site.out)
    site.report.seconds = time.perf_counter() - start
    check_size(site.report, max_bytes)
    return site.report


def check_size(report: SiteReport, max_bytes: int | None) -> None:
    """Raise AtlasError above the budget, saying what takes the room and what to turn down."""
    total = report.bytes.get("total", 0)
    if max_bytes is None or total <= max_bytes:
        return
    kinds = sorted(((size, kind) for kind, size in report.bytes.items() if kind != "total"), reverse=True)
    parts = ", ".join(f"{kind} {megabytes(size)}" for size, kind in kinds[:3])
    raise AtlasError(
        f"the site is {megabytes(total)}, above its budget of {megabytes(max_bytes)} ({parts})",
        remedy="in the profile, leave out inner layers, lower sprites.picture, sprites.tile or sprites.quality, "
        "or raise max_site_bytes",
    )

"""The pages of layers and channels, with their pictures: nearly all of a site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from generator.core.errors import AtlasError
from generator.core.processes import in_workers, page_processes
from generator.core.records import LayerInfo
from generator.site.assets import LARGEST_SHEET
from generator.site.chapters.first_layers import first_layers_of
from generator.site.finder import data_script, text_of
from generator.site.formats import integer
from generator.site.frame import Frame
from generator.site.lists import BIBTEX, LAYER_SCRIPT, bibtex_file, list_script
from generator.site.reading.atlas import Atlas
from generator.site.reading.channel import channel_page
from generator.site.reading.channel_range import range_file
from generator.site.reading.comparison import NetworkComparison, matches_in
from generator.site.reading.descriptions import Descriptions
from generator.site.reading.feeds import ChannelFeeds, LayerFeeds
from generator.site.reading.layer import layer_grid, layer_header
from generator.site.reading.layer_numbers import Layer, MeasureColumn
from generator.site.reading.layer_pairs import NetworkMatches
from generator.site.reading.measure_groups import measure_groups
from generator.site.reading.optimised import FOLDER as OPTIMISED
from generator.site.reading.optimised import has_optimised, is_optimised
from generator.site.reading.stream import ChannelStream, channel_stream, stream_blocks
from generator.site.reading.tiles import shared_tile_data, tile_file
from generator.site.record_files import FILE, records_json
from generator.site.writing import Site

BAR_ROW = 26  # px; the height of a statistic's row, which base.css and channel.html know too
WORTH_PROCESSES = 1000  # pages; below, starting processes takes longer than writing


@dataclass(frozen=True)
class ChannelLinks:
    """What chapters say on a channel's page. across: its matches in other networks; stream: its part in the residual
    stream, None where that was not read; feeds: what feeds it and what reads it, None where nothing is known."""

    across: Sequence[NetworkMatches]
    stream: ChannelStream | None
    feeds: ChannelFeeds | None


class LayerPages:
    """Writes the pages of an atlas's layers.

    frame: of pages in a layer's folder; comparisons: with other networks; url: where the site will be published.
    """

    def __init__(
        self, atlas: Atlas, frame: Frame, comparisons: Sequence[NetworkComparison], url: str
    ) -> None:
        self._atlas, self._frame, self._comparisons, self._url = atlas, frame, comparisons, url
        self._streams = {block.info.name: block for block in stream_blocks(atlas)}
        self._has_first_layers = bool(first_layers_of([atlas]))

    def write(self, site: Site, name: str) -> None:
        """Write one layer's grid, its channels' pages, and their pictures."""
        atlas, info = self._atlas, self._atlas.manifest.layer(name)
        folder = f"{atlas.name}/{name}"
        layer = atlas.layer(name)
        header = layer_header(atlas, info, has_first_layers=self._has_first_layers)
        grid = layer_grid(atlas, info)
        if grid.columns > LARGEST_SHEET:
            raise AtlasError(
                f"a layer of {integer(info.channels)} channels is larger than the site's grids", name
            )
        site.page(f"{folder}/index.html", "layer.html", self._frame, header, grid)
        site.write(f"{folder}/grid.js", data_script("grid", grid.data))
        site.write(f"{folder}/grid.css", _sheet_styles(has_optimised=grid.has_optimised))
        stream, feeds, records = self._streams.get(name), LayerFeeds(atlas, info), []
        for channel in range(info.channels):
            across = matches_in(self._comparisons, name, channel)
            links = ChannelLinks(
                across=across,
                stream=None if stream is None or layer.dead[channel] else channel_stream(stream, channel),
                feeds=feeds.of(channel),
            )
            page = channel_page(atlas, info, channel, self._url, across, links.feeds)
            site.page(f"{folder}/{channel}.html", "channel.html", self._frame, header, page, links)
            records.append(page.record)
        site.write(f"{folder}/{FILE}", records_json(atlas, info, records))
        site.write(f"{folder}/{LAYER_SCRIPT}", list_script(atlas, info, records))
        site.write(f"{folder}/{BIBTEX}", bibtex_file(atlas, name, self._url))
        if header.kernels:
            site.page(f"{folder}/kernels.html", "kernels.html", self._frame, header)
            site.copy(atlas.store.pictures.kernels_path(name), f"{folder}/kernels.webp")
        self._write_pictures(site, layer)
        if atlas.tile_groups[name][-1].name == name:
            self._write_tile_data(site, info)

    def _write_tile_data(self, site: Site, info: LayerInfo) -> None:
        """The data of the tiles of all layers of this one's group, where the group has several."""
        group = self._atlas.tile_groups[info.name]
        for channel in range(max(layer.channels for layer in group)):
            address = tile_file(self._atlas, info, channel)
            if address:
                data = shared_tile_data(self._atlas, info, channel)
                site.write(f"{self._atlas.name}/{address}", f"residualAtlas.tiles = {text_of(data)};\n")

    def _write_pictures(self, site: Site, layer: Layer) -> None:
        store, name = self._atlas.store, layer.info.name
        folder = f"{self._atlas.name}/{name}"
        channels, ending = range(layer.info.channels), layer.sprite.format
        for channel in channels:
            if layer.has_tiles(channel):
                site.copy(store.pictures.sprite_path(name, channel, ending), f"{folder}/{channel}.{ending}")
            if channel in layer.ranged and not layer.dead[channel]:
                path = store.pictures.range_path(name, channel, ending)
                site.copy(path, f"{folder}/{range_file(layer, channel)}")
        for channel in filter(partial(is_optimised, layer), channels):
            site.copy(store.pictures.optimised_path(name, channel), f"{folder}/{OPTIMISED}/{channel}.webp")
        if has_optimised(layer):
            site.copy(store.pictures.optimised_sheet_path(name), f"{folder}/{OPTIMISED}/thumbs.webp")
        site.copy(store.pictures.thumbs_path(name), f"{folder}/thumbs.webp")
        site.write(f"{folder}/bars.svg", bars(layer))


def write_layers(
    site: Site,
    atlas: Atlas,
    frame: Frame,
    comparisons: Sequence[NetworkComparison],
    url: str,
    meanwhile: Callable[[], None],
) -> Iterator[None]:
    """Write every layer, in several processes where there is enough to write, and call `meanwhile` as they work; yields
    after each layer."""
    largest_first = sorted(atlas.layers, key=lambda layer: -layer.channels)
    pages_here = LayerPages(atlas, frame, comparisons, url)

    def here(name: str) -> Site:
        pages_here.write(site, name)
        return site

    for _, part in in_workers(
        _in_a_process,
        (atlas.store.folder, atlas.descriptions, site.out, frame, comparisons, url),
        [layer.name for layer in largest_first],
        page_processes(sum(layer.channels for layer in atlas.layers), WORTH_PROCESSES),
        doing="writes pages",
        remedy="close what needs much memory and run the same command again",
        here=here,
        in_order=False,
        meanwhile=meanwhile,
    ):
        if part is not site:
            site.merge(part)
        yield


def _in_a_process(
    folder: Path,
    descriptions: Descriptions,
    out: Path,
    frame: Frame,
    comparisons: Sequence[NetworkComparison],
    url: str,
) -> Callable[[str], Site]:
    """What a process of its own does with the name of a layer; the result says what it wrote."""
    pages = LayerPages(Atlas(folder, descriptions), frame, comparisons, url)

    def write(name: str) -> Site:
        site = Site(out)
        pages.write(site, name)
        return site

    return write


def _sheet_styles(*, has_optimised: bool) -> str:
    """The sheets that a grid's thumbnails are cut out of: the addresses are relative to this file."""
    rules = [".grid a[class]::before{background-image:url(thumbs.webp)}"]
    if has_optimised:
        rules.append(f".grids.optimised a[class]::before{{background-image:url({OPTIMISED}/thumbs.webp)}}")
    return "\n".join(rules) + "\n"


def bars(layer: Layer) -> str:
    """The histograms of the layer's statistics, one below the other, group after group: one file for all its pages,
    which show the view of a group.

    The grey is seen on light and on dark pages, because a picture does not know which the reader chose.
    """
    paths, views, row = [], [], 0
    for group in measure_groups(layer):
        height = BAR_ROW * len(group.columns)
        views.append(f'<view id="{group.key}" viewBox="0 {BAR_ROW * row} 96 {height}"/>' if height else "")
        paths += [_bar_path(column, row + place) for place, column in enumerate(group.columns)]
        row += len(group.columns)
    size = f'viewBox="0 0 96 {BAR_ROW * row}"'
    pen = 'stroke="#8c8c8c" stroke-width="1.5"'
    drawn = "".join([*views, *paths])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {pen}>{drawn}</svg>\n'


def _bar_path(column: MeasureColumn, row: int) -> str:
    """A statistic's histogram in its row."""
    strokes = "".join(
        f"M{4 * n + 2} {BAR_ROW * row + 20}v-{height}" for n, height in enumerate(column.bars) if height
    )
    return f'<path d="{strokes}"/>'

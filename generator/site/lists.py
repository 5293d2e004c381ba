"""Lists of channels that a reader puts together and sends: the page that shows a list, and the scripts that say what it
shows. A list stands in the address (`list.html#list=res4f:12,res5c:7`), so that the site stores nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from generator.core.records import LayerInfo
from generator.site.citation import Citation, cite, page_address
from generator.site.finder import data_script
from generator.site.reading.atlas import PANEL_NAMES, Atlas
from generator.site.reading.layer_numbers import Layer
from generator.site.reading.measures import BY_KEY
from generator.site.reading.record import ChannelRecord
from generator.site.writing import Site

PAGE = "list.html"
LAYERS_SCRIPT, LAYER_SCRIPT = "layers.js", "list.js"  # in a network's folder, in a layer's folder
NUMBERS = ("max", "active_pictures", "shared_previous", "spearman_previous", "label_agreement", "class_auroc")
PLACEHOLDER = 1_000_000_007  # larger than any layer
# The file in a layer's folder, and what stands for the number of a channel in it, for the name of a layer in others.
BIBTEX, CHANNEL, LAYER = "bibtex.txt", "CHANNEL", "LAYER"
SPRITE = 1  # in place of pictures: the channel has a sprite


def write_list_page(site: Site, atlas: Atlas, base_url: str) -> None:
    """The page of lists, and the script that names the layers. base_url: the address of the published site, '' if that
    is not known."""
    site.page_of(atlas, PAGE, "list.html")
    site.write(f"{atlas.name}/{LAYERS_SCRIPT}", layers_script(atlas, base_url))


def layers_script(atlas: Atlas, base_url: str) -> str:
    """What pages know of all layers, loaded when they first need it.

    layers: of each its name, its path, how many channels it has, which of them are dead, and how a channel's page is
    cited in BibTeX, with a number in the place of the channel's that occurs nowhere else: placeholder; plain, address:
    the citation in one line and the address of the page in it, with LAYER and that number in the place of the layer's
    name.
    """
    number = _placeholder(atlas, [info.name for info in atlas.layers], base_url)
    mark = f"{LAYER}{number}"
    cited = _cited(atlas, mark, number, base_url)
    layers = [
        [
            info.name,
            info.path,
            info.channels,
            [channel for channel, dead in enumerate(atlas.layer(info.name).dead) if dead],
            _bibtex(atlas, info.name, number, base_url),
        ]
        for info in atlas.layers
    ]
    known = {"placeholder": str(number), "plain": cited.plain, "address": cited.address}
    return data_script("layers", {"network": atlas.name, "layers": layers, **known})


def _placeholder(atlas: Atlas, layers: Sequence[str], base_url: str) -> int:
    """A channel's number that occurs nowhere else in the BibTeX of these layers."""
    return next(
        number
        for number in itertools.count(PLACEHOLDER)
        if not any(str(number) in _bibtex(atlas, layer, 0, base_url) for layer in layers)
    )


def bibtex_file(atlas: Atlas, layer: str, base_url: str) -> str:
    """How a channel of a layer is cited, in one line and in BibTeX, for readers without scripts, who put its number in
    themselves."""
    number = _placeholder(atlas, [layer], base_url)
    cited = _cited(atlas, layer, number, base_url)
    return (
        f"Put the channel's number in the place of every {CHANNEL}.\n\n"
        f"{cited.plain} {cited.address}\n\n{cited.bibtex}\n"
    ).replace(str(number), CHANNEL)


def _bibtex(atlas: Atlas, layer: str, channel: int, base_url: str) -> str:
    return _cited(atlas, layer, channel, base_url).bibtex


def _cited(atlas: Atlas, layer: str, channel: int, base_url: str) -> Citation:
    return cite(atlas.manifest, layer, channel, page_address(base_url, atlas.name, layer, channel))


def list_script(atlas: Atlas, info: LayerInfo, records: Sequence[ChannelRecord]) -> str:
    """What the page of lists shows of a layer's channels.

    numbers: [key, name, unit] of those of NUMBERS that the layer has; labels: text; channels: for each channel its
    pictures (SPRITE, or the numbers of whole pictures, none where nothing is shown), its labels as [label, pictures,
    label, pictures, …], and its numbers as the pages write them.
    """
    layer = atlas.layer(info.name)
    keys = [column.measure.key for column in layer.measures if column.measure.key in NUMBERS]
    labels: dict[str, int] = {}
    channels = []
    for record in records:
        counts = [
            number
            for label, pictures in record.labels
            for number in (labels.setdefault(label, len(labels)), pictures)
        ]
        channels.append([_pictures(atlas, layer, record), counts, [_written(record, key) for key in keys]])
    return data_script(
        "listed",
        {
            "layer": info.name,
            "panels": [PANEL_NAMES.get(panel, panel) for panel in layer.sprite.panels],
            "numbers": [[key, BY_KEY[key].name, BY_KEY[key].unit] for key in keys],
            "labels": list(labels),
            "channels": channels,
        },
    )


def _pictures(atlas: Atlas, layer: Layer, record: ChannelRecord) -> int | list[int]:
    if record.sprite:
        return SPRITE
    if not layer.is_whole(record.channel):
        return []
    return [top.picture for top in record.top if top.picture in atlas.published]


def _written(record: ChannelRecord, key: str) -> str:
    value, measure = record.numbers[key], BY_KEY[key]
    if record.dead or value is None or value == measure.missing:
        return ""
    # A page rounds the atlas's float32, of which the record has the fewest digits that give it back.
    return measure.format(float(np.float32(value)))

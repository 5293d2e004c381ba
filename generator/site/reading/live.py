"""The network that runs in the reader's browser, as the page *Your picture* needs it: what rounding its weights
changed, and how every channel responds to the atlas's pictures."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import channel_cell


@dataclass(frozen=True)
class LiveRounding:
    """What storing the weights in half precision changes. pictures: on how many it was measured; changed: of how many
    of them the strongest output is another, None where the network has no outputs; scores: the largest difference of an
    output, in the largest output of the same picture, None likewise; maxima: the largest difference of a channel's
    largest value, in the largest of the same layer and picture."""

    pictures: int
    changed: int | None
    scores: float | None
    maxima: float


@dataclass(frozen=True)
class Live:
    """absent: why the network cannot run in a browser, '' where it can; half: whether its weights are stored in half
    precision; rounding: what that changes; layers: in the order of the model's outputs; bytes: size of the model;
    examples: numbers of the pictures that lie in live/pictures/."""

    absent: str
    half: bool
    rounding: LiveRounding | None
    layers: Sequence[LayerInfo]
    bytes: int
    examples: Sequence[int]


def read_live(atlas: Atlas) -> Live | None:
    """None where the atlas has no such network."""
    data = atlas.store.tables.read_json("live/live.json")
    if not data:
        return None
    rounding = data["rounding"]
    return Live(
        absent=data["absent"],
        half=data["half"],
        rounding=None if rounding is None else LiveRounding(**rounding),
        layers=[atlas.manifest.layer(name) for name in data["layers"]],
        bytes=data["bytes"],
        examples=data["examples"] if atlas.manifest.publish_patches else [],
    )


def channel_numbers(atlas: Atlas, layers: Sequence[LayerInfo]) -> bytes:
    """How the channels of these layers respond to the atlas's pictures, as a compressed file of 32-bit little-endian
    numbers.

    One layer after the other: where each bin of its histograms ends, (K,) float32; the top-9 scores of each channel,
    (C, 9) float32, NaN for none; how many pictures fall into each bin, (C, K) int32; the place of each channel's
    thumbnail in the layer's sheet, counted along the rows, (C,) int32, −1 without one; the number of its strongest
    picture, (C,) int32, −1 where that is not published.
    """
    parts: list[bytes] = []
    for info in layers:
        layer = atlas.layer(info.name)
        columns = atlas.thumbnail_sheet(info.name)[0]
        cells = [channel_cell(atlas, layer, channel) for channel in range(info.channels)]
        places = [cell.place[0] + columns * cell.place[1] if cell.place else -1 for cell in cells]
        published = [-1 if cell.picture is None else cell.picture for cell in cells]
        top = np.where(layer.arrays["top_image"] >= 0, layer.arrays["top_value"], np.nan)
        parts += [
            layer.arrays["histogram_bins"][:, 1].astype("<f4").tobytes(),
            top.astype("<f4").tobytes(),
            layer.arrays["histogram"].astype("<i4").tobytes(),
            np.array(places, "<i4").tobytes(),
            np.array(published, "<i4").tobytes(),
        ]
    return gzip.compress(b"".join(parts), 9, mtime=0)


def bins(atlas: Atlas, info: LayerInfo) -> int:
    """How many bins a layer's histograms have."""
    return len(atlas.layer(info.name).arrays["histogram_bins"])

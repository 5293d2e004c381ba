"""The network that runs in the reader's browser, as the page *Your picture* needs it: what rounding its weights
changed, and how every channel responds to the atlas's pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from generator.core.records import LayerInfo
from generator.core.rounding import Rounding
from generator.site.packing import packed_numbers
from generator.site.reading.atlas import Atlas
from generator.site.reading.layer import channel_cell

# Channels whose strongest score is below this share of the layer's strongest are left out: they are dead but for
# rounding.
FAINT = 1e-4


@dataclass(frozen=True)
class LiveCheck:
    """What the network says of the picture of this number. values: the channels' largest values, in the order of the
    model's output, and after them the scores, float32."""

    picture: int
    values: np.ndarray

    def packed(self) -> bytes:
        """The values as a compressed file of 32-bit little-endian numbers."""
        return packed_numbers(self.values.astype("<f4").tobytes(), 4)


@dataclass(frozen=True)
class Live:
    """absent: why the network cannot run in a browser, '' where it can; half: whether its weights are stored in half
    precision; rounding: what that changes; layers: in the order of the model's outputs; examples: numbers of the
    pictures that lie in live/pictures/; check: what the network says of one of them, None where there is none."""

    absent: str
    half: bool
    rounding: Rounding | None
    layers: Sequence[LayerInfo]
    examples: Sequence[int]
    check: LiveCheck | None


def read_live(atlas: Atlas) -> Live | None:
    """None where the atlas has no such network."""
    data = atlas.store.tables.read_json("live/live.json")
    if not data:
        return None
    rounding = data["rounding"]
    return Live(
        absent=data["absent"],
        half=data["half"],
        rounding=None if rounding is None else Rounding(**rounding),
        layers=[atlas.manifest.layer(name) for name in data["layers"]],
        examples=data["examples"] if atlas.manifest.publish_patches else [],
        check=_check(data.get("check")) if atlas.manifest.publish_patches else None,
    )


def _check(data: Mapping[str, Any] | None) -> LiveCheck | None:
    if data is None:
        return None
    return LiveCheck(data["picture"], np.array([*data["maxima"], *data["scores"]], np.float32))


def channel_numbers(atlas: Atlas, layers: Sequence[LayerInfo]) -> bytes:
    """How the channels of these layers respond to the atlas's pictures, as a compressed file of 32-bit little-endian
    numbers.

    One layer after the other: where each bin of its histograms ends, (K,) float32; the top-9 scores of each channel,
    (C, 9) float32, NaN for none; how many pictures fall into each bin, (C, K) int32; the place of each channel's
    thumbnail in the layer's sheet, counted along the rows, (C,) int32, −1 without one.
    """
    parts: list[bytes] = []
    for info in layers:
        layer = atlas.layer(info.name)
        columns = atlas.thumbnail_sheet(info.name)[0]
        cells = [channel_cell(atlas, layer, channel) for channel in range(info.channels)]
        places = [cell.place[0] + columns * cell.place[1] if cell.place else -1 for cell in cells]
        scores = layer_scores(atlas, info)
        parts += [
            scores.ends.astype("<f4").tobytes(),
            scores.top.astype("<f4").tobytes(),
            scores.counts.astype("<i4").tobytes(),
            np.array(places, "<i4").tobytes(),
        ]
    return packed_numbers(b"".join(parts), 4)


@dataclass(frozen=True)
class LayerScores:
    """What the page knows of a layer's scores on the atlas's N pictures. ends: (K,) where each bin of its histograms
    ends, the first, of zero and below, at 0; top: (C, 9) the highest scores of each channel, NaN for none; counts:
    (C, K) how many pictures' scores lie in each bin."""

    ends: np.ndarray
    top: np.ndarray
    counts: np.ndarray


def layer_scores(atlas: Atlas, info: LayerInfo) -> LayerScores:
    """The scores of a layer, as the page gets them."""
    arrays = atlas.layer(info.name).arrays
    top = np.where(arrays["top_image"] >= 0, arrays["top_value"], np.nan)
    return LayerScores(arrays["histogram_bins"][:, 1], top, arrays["histogram"])


def expected_high(scores: LayerScores, high: float) -> tuple[float, int]:
    """In how many channels a picture like the atlas's is above the share `high` of its pictures, as the page counts,
    and how many channels are counted: those that are not faint.

    The page's rule (site_src/js/your-picture/channels.js): a response above the last of the top-9 is above all scores
    that are lower; another is above those in whole bins below it. For a picture like the atlas's, its place among the N
    scores is equally likely to be any of N + 1; below the top-9 it falls into the bins as the other scores do.
    """
    expected, active, least = 0.0, 0, FAINT * max(0.0, float(np.nanmax(scores.top, initial=0)))
    for top, counts in zip(scores.top.astype(np.float64), scores.counts.astype(np.int64), strict=True):
        known = top[~np.isnan(top)]
        if not known.size or known[0] <= least:
            continue
        active += 1
        expected += _chance(known, counts, scores.ends, high)
    return expected, active


def _chance(top: np.ndarray, counts: np.ndarray, ends: np.ndarray, high: float) -> float:
    """Of one channel. top: its m highest scores, in falling order."""
    total, m = int(counts.sum()), len(top)
    below = np.concatenate([[0], np.cumsum(counts)])  # how many scores lie in the bins before each
    # A place in the top m: between two scores, which may be equal; none is above scores that are bounded.
    is_bounded = m > 1 and top[0] == top[1]
    values = np.concatenate([[top[0] if is_bounded else np.inf], (top[:-1] + top[1:]) / 2])
    exact = np.array([total - np.count_nonzero(top >= value) for value in values])
    whole_bins = below[np.searchsorted(ends[1:], values, side="right") + (values > 0)]
    shares = np.where(values > top[-1], exact, whole_bins) / total
    # A place below: the other scores are the lowest of the histogram.
    others = np.diff(np.minimum(below, total - m))
    in_high_bins = others[below[:-1] / total >= high].sum()
    places_below = total + 1 - m
    chance = np.count_nonzero(shares >= high) + places_below * in_high_bins / max(1, total - m)
    return float(chance / (total + 1))

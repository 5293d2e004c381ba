"""Channels as examples, with the pictures that drive the two sides of a block most."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from generator.site.reading.atlas import Atlas
from generator.site.reading.stream import KINDS, Kind, StreamBlock, ratio_range
from generator.site.reading.tiles import picture_view

Side = Literal["input", "block"]
SIDES: Mapping[Side, str] = {"input": "along the shortcut", "block": "from the branch"}
OF_A_KIND = 2  # examples
NO_NUMBER = 10  # the mix ratio where the output at the branch's pictures is not above zero


@dataclass(frozen=True)
class DrivingPicture:
    """A picture that drives a side of a channel. value: what the side gives there; output: the block's output there;
    address: of the whole picture, '' where it is not published; label: its class or ''."""

    address: str
    label: str
    value: float
    output: float


@dataclass(frozen=True)
class Example:
    """A channel with the pictures of both sides. interval: of the mix ratio, '' where the atlas has none; overlap:
    pictures that both sides' lists share, None where it is not known. mark: receptive field of the unit in the middle
    of the map, an SVG path in px of the input, '' where it covers all; view: viewBox of a picture."""

    block: str
    channel: int
    kind: str
    ratio: float
    interval: str
    overlap: int | None
    share: float
    scale_block: float
    scale_input: float
    rows: Sequence[tuple[str, Sequence[DrivingPicture]]]
    mark: str
    view: str


def example(atlas: Atlas, block: StreamBlock, channel: int) -> Example:
    """A channel of the block with its numbers and the pictures that drive either side of its sum."""

    def value(key: str) -> float:
        return float(block.values(key)[channel])

    return Example(
        block=block.info.name,
        channel=channel,
        kind=block.kinds[channel],
        ratio=value("mix_ratio"),
        interval=ratio_range(*ends) if (ends := block.ratio_interval(channel)) else "",
        overlap=int(value("mix_overlap")) if np.isfinite(value("mix_overlap")) else None,
        share=value("shortcut_share"),
        scale_block=value("scale_block"),
        scale_input=value("scale_input"),
        rows=[(name, _driving(atlas, block, side, channel)) for side, name in SIDES.items()],
        mark=_mark(atlas, block),
        view=picture_view(atlas),
    )


def _driving(atlas: Atlas, block: StreamBlock, side: Side, channel: int) -> list[DrivingPicture]:
    """The pictures that drive one side of the channel most, in the middle of the map."""
    images, values, outputs = (
        block.arrays[f"centre_{side}_{what}"][channel].tolist() for what in ("image", "value", "output")
    )
    return [
        DrivingPicture(
            address=f"pictures/{image}.webp" if image in atlas.published else "",
            label=atlas.picture_labels[image],
            value=value,
            output=output,
        )
        for image, value, output in zip(images, values, outputs, strict=True)
        if image >= 0
    ]


def _mark(atlas: Atlas, block: StreamBlock) -> str:
    top, left, bottom, right = block.info.receptive_field.box(*block.centre)
    height, width = atlas.input_size
    if bottom - top >= min(height, width):
        return ""
    return f"M{max(0, left)} {max(0, top)}H{min(width, right)}V{min(height, bottom)}H{max(0, left)}z"


def is_shown(atlas: Atlas, block: StreamBlock, channel: int) -> bool:
    """Whether the atlas pictures the channel and, where the site shows whole pictures, all those of both its sides."""
    if channel not in atlas.layer(block.info.name).pictured:
        return False
    driving = (block.arrays[f"centre_{side}_image"][channel].tolist() for side in SIDES)
    images = {image for nine in driving for image in nine if image >= 0}
    return not atlas.shows_pictures or images <= atlas.published


# From the ratio and the ends of its interval; the smallest is the clearest channel of the kind.
DISTANCES: Mapping[Kind, Callable[[float, float, float], float]] = {
    "skips": lambda ratio, low, high: -low,
    "mixes": lambda ratio, low, high: abs(np.log(ratio)),
    "is overwritten": lambda ratio, low, high: high,
}


def clearest(atlas: Atlas, blocks: Sequence[StreamBlock]) -> tuple[list[Example], int]:
    """The clearest channels of each kind, at most one per block: mixtures nearest to 1, and those whose interval lies
    farthest from the limit. Only channels that are of their kind for certain, where the atlas has intervals, and whose
    pictures it holds; the second value is the count of the others."""
    examples: list[Example] = []
    left_out = 0
    for kind in KINDS:
        best: list[tuple[float, int, int]] = []
        for number, block in enumerate(blocks):
            candidates = _candidates(block, kind)
            shown = [channel for channel in candidates if is_shown(atlas, block, channel)]
            left_out += len(candidates) - len(shown)
            ranked = [(_distance(block, kind, c), number, c) for c in shown]
            best += sorted(ranked)[:1]
        examples += [
            example(atlas, blocks[number], channel) for _, number, channel in sorted(best)[:OF_A_KIND]
        ]
    return examples, left_out


def _distance(block: StreamBlock, kind: Kind, channel: int) -> float:
    ratio = float(block.ratio[channel])
    return DISTANCES[kind](ratio, *(block.ratio_interval(channel) or (ratio, ratio)))


def _candidates(block: StreamBlock, kind: Kind) -> list[int]:
    """The channels of a kind with nine pictures on both sides, for certain where the atlas has intervals."""
    full = np.all([(block.arrays[f"centre_{side}_image"] >= 0).all(1) for side in SIDES], axis=0)
    return [
        channel
        for channel in np.flatnonzero(full).tolist()
        if block.kinds[channel] == kind
        and 0 < block.ratio[channel] < NO_NUMBER
        and (block.certain[channel] or not block.has_intervals)
    ]

"""The strongest inputs of a channel inside its block, and theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from generator.core.records import LayerInfo
from generator.site.reading.atlas import Atlas
from generator.site.reading.whole_pictures import first_published


@dataclass(frozen=True)
class InputChannel:
    """A channel that another one reads. weight: its strength there; absent: why it shows no pictures, or '';
    picture: the number of the whole picture that stands in place of tiles, None where it has tiles; inputs: its own
    strongest inputs."""

    layer: str
    channel: int
    weight: float
    absent: str
    picture: int | None
    inputs: Sequence[InputChannel]


def input_layer(atlas: Atlas, info: LayerInfo) -> LayerInfo | None:
    """The layer that a convolution inside a block reads: the convolution before it, or for the first one the block
    before. None for other layers."""
    if info.kind != "branch":
        return None
    branch = [
        layer for layer in atlas.manifest.layers if layer.kind == "branch" and layer.block == info.block
    ]
    number = branch.index(info)
    if number:
        return branch[number - 1]
    blocks = [layer for layer in atlas.manifest.layers if layer.kind == "block"]
    names = [block.name for block in blocks]
    at = names.index(info.block) if info.block in names else 0
    return blocks[at - 1] if at else None


def input_tree(
    atlas: Atlas, info: LayerInfo, channel: int, *, within_block: bool = True
) -> list[InputChannel]:
    """The channel's strongest inputs, and theirs, down to the block's first convolution.

    within_block: whether to stop before the block's own input. Empty where the atlas does not hold inputs.
    """
    source = input_layer(atlas, info)
    layer = atlas.layer(info.name)
    inputs, weights = layer.arrays.get("inputs"), layer.arrays.get("input_weight")
    if source is None or inputs is None or weights is None or not atlas.has(source.name):
        return []
    if within_block and source.kind == "block":
        return []
    input_numbers = atlas.layer(source.name)
    return [
        InputChannel(
            layer=source.name,
            channel=number,
            weight=weight,
            absent=input_numbers.absence(number),
            picture=first_published(atlas, input_numbers, number),
            inputs=input_tree(atlas, source, number) if source.kind == "branch" else [],
        )
        for number, weight in zip(inputs[channel].tolist(), weights[channel].tolist(), strict=True)
        if 0 <= number < source.channels
    ]

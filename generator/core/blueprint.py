"""A network as a sequence of volumes, each the output of one operation with its cost; their JSON form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from generator.core.errors import AtlasError
from generator.core.records import Size

VolumeOp = Literal[
    "input", "conv", "max_pool", "avg_pool", "adaptive_pool", "linear", "add", "concat", "other"
]  # fmt: skip
Shortcut = Literal["", "identity", "projection", "zero padding"]
HEAD = 0  # the stage of every operation after the last layer with a spatial map


@dataclass(frozen=True)
class Volume:
    """The output of one operation, (channels, height, width).

    name: of the atlas's layer that shows it, '' for none; path: of its module; block: what it belongs to, '' for none;
    stage: 1 the stem, 2 … the stages, 0 (HEAD) what sees the whole picture; shortcut: of an addition, what is added;
    kernel, stride, padding: in px of the input map; parameters: with those of the norm that belongs to it;
    multiply_adds: for one picture; field, jump: side and stride of the receptive field in px, 0 where it is the whole
    picture; rectified: whether a ReLU directly follows or made it.
    """

    op: VolumeOp
    name: str
    path: str
    block: str
    stage: int
    shortcut: Shortcut
    kernel: int
    stride: int
    padding: int
    groups: int
    channels_in: int
    channels: int
    height: int
    width: int
    parameters: int
    multiply_adds: int
    field: int
    jump: int | float
    rectified: bool

    @property
    def title(self) -> str:
        """The atlas's name of the layer, else the path of the module; what the network does itself has neither."""
        return self.name or self.path or ("input" if self.op == "input" else "(the network's own)")


COLUMNS = tuple(field.name for field in dataclasses.fields(Volume))


@dataclass(frozen=True)
class Blueprint:
    """A network's volumes and totals. side: of the input in px, or its (height, width); parameters: counted on the
    module as a whole; multiply_adds: half of what torch's counter calls FLOPs, for one picture."""

    model: str
    side: int | Size
    outputs: int
    parameters: int
    multiply_adds: int
    volumes: tuple[Volume, ...]

    @property
    def size(self) -> Size:
        """Height and width of the input in px."""
        return (self.side, self.side) if isinstance(self.side, int) else self.side

    @property
    def weighted_layers(self) -> int:
        """The depth by which residual networks are named: convolutions and linear layers without the projections."""
        return sum(v.op == "linear" or (v.op == "conv" and not self.is_shortcut(v)) for v in self.volumes)

    def is_shortcut(self, volume: Volume) -> bool:
        """Whether a volume is the output of a convolution in a shortcut."""
        return volume.op == "conv" and volume.shortcut != ""


def blueprint_to_json(blueprint: Blueprint) -> dict[str, Any]:
    """A blueprint as JSON-ready data: one list per volume, whose fields are named in `columns`."""
    data = {field.name: getattr(blueprint, field.name) for field in dataclasses.fields(Blueprint)}
    return {
        **data,
        "columns": list(COLUMNS),
        "volumes": [list(dataclasses.astuple(v)) for v in blueprint.volumes],
    }


def blueprint_from_json(data: Mapping[str, Any]) -> Blueprint:
    """A blueprint from its JSON form; raises AtlasError where that is damaged."""
    try:
        columns = data["columns"]
        volumes = tuple(Volume(**dict(zip(columns, row, strict=True))) for row in data["volumes"])
        names = [field.name for field in dataclasses.fields(Blueprint) if field.name != "volumes"]
        return Blueprint(**{name: data[name] for name in names}, volumes=volumes)
    except (KeyError, TypeError, ValueError) as error:
        raise AtlasError(
            f"architecture.json is damaged ({error})", remedy="compute the atlas again"
        ) from error

"""Where everything stands in the drawing of a network: boxes to scale, shortcuts above them, words below. No HTML here.

A box is as tall as the map is high, as deep as the map is wide (drawn obliquely) and as long as the map has channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from generator.core.blueprint import HEAD, Blueprint, Volume

TALLEST = 132.0  # drawn px of the input's side
LONGEST, LONGEST_HEAD = 60.0, 150.0  # drawn px of the most channels: of a map, of the classifier
OBLIQUE = 0.28  # of a side that goes into the depth
LEAST = 1.5  # drawn px that every box has, so that it can be seen
ADVANCE = 36.0  # px from box to box at the least: of short words below
LETTER = 6.4  # px of a letter below, at most
GAP, BLOCK_GAP, STAGE_GAP = 8.0, 12.0, 26.0
TOP, BELOW, MARGIN = 30.0, 56.0, 12.0  # for the stages' names above, for the blocks' below, on both sides
ROOM = 24.0  # above a block for its shortcut


@dataclass(frozen=True)
class Scale:
    """Drawn px for one px of a map, and for one channel."""

    side: float
    channel: float

    @classmethod
    def of(cls, blueprint: Blueprint) -> Scale:
        maps = [v.channels for v in blueprint.volumes if v.stage != HEAD]
        most = max(v.channels for v in blueprint.volumes)
        return cls(TALLEST / blueprint.side, min(LONGEST / max(maps), LONGEST_HEAD / most))


@dataclass
class Box:
    """A volume in its place: x and y of the front face's top left corner, width and height of that face, depth."""

    volume: Volume
    x: float
    y: float
    width: float
    height: float
    depth: float

    @property
    def middle(self) -> float:
        return self.x + (self.width + self.depth) / 2

    @property
    def right(self) -> float:
        return self.x + self.width + self.depth

    def paths(self) -> dict[str, str]:
        """SVG paths of the three faces that are seen."""
        x, y, w, h, d = (_n(value) for value in (self.x, self.y, self.width, self.height, self.depth))
        return {
            "front": f"M{x} {y}h{w}v{h}h-{w}z",
            "top": f"M{x} {y}l{d}-{d}h{w}l-{d} {d}z",
            "side": f"M{_n(self.x + self.width)} {y}l{d}-{d}v{h}l-{d} {d}z",
        }


@dataclass
class _Group:
    """A block (its boxes and what leads past them), or a layer that stands alone."""

    name: str
    stage: int
    boxes: list[Box] = field(default_factory=list)
    beside: list[Volume] = field(default_factory=list)  # convolutions in the shortcut


def drawing(blueprint: Blueprint, address: Callable[[str], str | None]) -> dict[str, Any]:
    """What the template needs to draw a network. address: a layer's name → where it leads, None where nowhere."""
    scale = Scale.of(blueprint)
    groups = _grouped(blueprint)
    centre, x = 0.0, MARGIN  # all boxes stand around one line
    shortcuts: list[dict[str, Any]] = []
    stages: list[dict[str, Any]] = []
    boxes: list[Box] = []
    titles: list[dict[str, Any]] = []
    for number, (group, volumes) in enumerate(groups):
        if number:
            x += STAGE_GAP if group.stage != groups[number - 1][0].stage else BLOCK_GAP
        start, entry = x, boxes[-1] if boxes else None
        for volume in volumes:
            box = _box(volume, scale, x, centre)
            group.boxes.append(box)
            x = max(box.right + GAP, x + ADVANCE, x + LETTER * max(map(len, words(volume))) + GAP)
        boxes += group.boxes
        if not stages or stages[-1]["stage"] != group.stage:
            stages.append({"stage": group.stage, "x": start, "side": group.boxes[-1].volume.height})
        stages[-1]["end"] = x - GAP
        stages[-1]["side"] = group.boxes[-1].volume.height
        last = group.boxes[-1]
        tallest = max(box.height for box in group.boxes)
        under = _n(centre + tallest / 2 + 14)
        for box in group.boxes:
            titles.append({"x": _n(box.x), "y": under, "lines": words(box.volume), "block": ""})
        if len(group.boxes) > 1 and last.volume.op in ("add", "concat") and entry is not None:
            shortcuts.append(_shortcut(group, entry, last, scale, centre))
        if group.name and len(group.boxes) > 1:
            titles.append({"x": _n(start), "y": _n(centre + tallest / 2 + 44), "block": group.name})
    drawn = [*boxes, *(s["box"] for s in shortcuts if s["box"])]
    top = round(min([box.y - box.depth for box in drawn] + [float(s["y"]) for s in shortcuts]) - TOP)
    return {
        "width": round(x + MARGIN),
        "top": top,
        "height": round(TALLEST / 2 + BELOW - top),
        "boxes": [_drawn(box, address) for box in boxes],
        "shortcuts": [{**s, "box": _drawn(s["box"], address) if s["box"] else None} for s in shortcuts],
        "titles": titles,
        "stages": [
            {**s, "x": _n(s["x"]), "end": _n(s["end"]), "name": stage_name(s["stage"], blueprint)}
            for s in stages
        ],
        "scale": {"side": f"{scale.side:.2g}", "channels": f"{1 / scale.channel:.2g}"},
        "links": any(address(box.volume.name) for box in boxes if box.volume.name),
        "kinds": sorted({s["kind"] for s in shortcuts}),
    }


def stage_name(stage: int, blueprint: Blueprint) -> str:
    """In words; a stage that is a single layer carries the layer's name."""
    if stage == HEAD:
        return "head"
    if stage == 1:
        return "stem"
    inside = [v.name for v in blueprint.volumes if v.stage == stage and v.op in ("conv", "add")]
    return inside[0] if len(inside) == 1 else f"stage {stage}"


def words(volume: Volume) -> list[str]:
    """What stands below a box: the operation, and the channels."""
    match volume.op:
        case "input":
            return [f"{volume.width} px", str(volume.channels)]
        case "conv":
            kernel = f"{volume.kernel}×{volume.kernel}" + (f"/{volume.stride}" if volume.stride > 1 else "")
            if volume.groups > 1:
                return [kernel, f"{volume.groups}×{volume.channels // volume.groups}"]
            return [kernel, str(volume.channels)]
        case "max_pool" | "avg_pool":
            kind = "max" if volume.op == "max_pool" else "mean"
            return [f"{kind}/{volume.stride}" if volume.stride > 1 else kind, str(volume.channels)]
        case "adaptive_pool":
            return ["mean", str(volume.channels)]
        case "linear":
            return ["linear", str(volume.channels)]
        case "add":
            return ["+", str(volume.channels)]
    return ["joined", str(volume.channels)]


def _grouped(blueprint: Blueprint) -> list[tuple[_Group, list[Volume]]]:
    """The volumes block by block, without those that stand in a shortcut."""
    groups: list[tuple[_Group, list[Volume]]] = []
    waiting: dict[str, list[Volume]] = {}
    for volume in blueprint.volumes:
        if blueprint.is_shortcut(volume):
            waiting.setdefault(volume.block, []).append(volume)
            continue
        name = volume.block if volume.stage not in (1, HEAD) else ""
        if not groups or groups[-1][0].name != name or groups[-1][0].stage != volume.stage:
            groups.append((_Group(name, volume.stage), []))
        groups[-1][1].append(volume)
    for group, _ in groups:
        group.beside = waiting.get(group.name, [])
    return groups


def _box(volume: Volume, scale: Scale, x: float, centre: float) -> Box:
    height = max(LEAST, volume.height * scale.side)
    width = max(LEAST, volume.channels * scale.channel)
    return Box(volume, x, centre - height / 2, width, height, height * OBLIQUE)


def _shortcut(group: _Group, entry: Box, last: Box, scale: Scale, centre: float) -> dict[str, Any]:
    """The line from what enters a block, over its boxes, to the addition; a projection's box stands on it."""
    highest = min(box.y - box.depth for box in [entry, *group.boxes])
    lane = highest - ROOM / 2
    beside = group.beside[0] if group.beside else None
    box = None
    if beside is not None and last.volume.shortcut == "projection":
        box = _box(beside, scale, 0, centre)
        lane = highest - 8 - box.height / 2
        box.x = (group.boxes[0].x + last.x - box.width) / 2
        box.y = lane - box.height / 2
    begin, end = entry.x + entry.width / 2 + entry.depth, last.middle
    path = f"M{_n(begin)} {_n(entry.y - entry.depth)}V{_n(lane)}H{_n(end)}V{_n(last.y - last.depth / 2)}"
    kind = last.volume.shortcut or "concatenation"
    label = f"{beside.kernel}×{beside.kernel}, stride {beside.stride}" if box and beside else ""
    return {
        "kind": kind,
        "path": path,
        "box": box,
        "label": label,
        "x": _n(box.right + 4) if box else "",
        "y": _n(lane - 4),
    }


def _drawn(box: Box, address: Callable[[str], str | None]) -> dict[str, Any]:
    volume = box.volume
    return {
        **box.paths(),
        "op": volume.op,
        "says": sentence(volume),
        "to": address(volume.name) if volume.name else None,
    }


def sentence(volume: Volume) -> str:
    """All about a volume in one line."""
    parts = [volume.name or volume.path or "input"]
    if volume.op == "conv":
        parts.append(
            f"{volume.kernel}×{volume.kernel} convolution, stride {volume.stride}, padding {volume.padding}"
            + (f", {volume.groups} groups" if volume.groups > 1 else "")
        )
    elif volume.op in ("max_pool", "avg_pool"):
        kind = "max" if volume.op == "max_pool" else "average"
        parts.append(
            f"{volume.kernel}×{volume.kernel} {kind} pooling, stride {volume.stride}, padding {volume.padding}"
        )
    elif volume.op == "add":
        parts.append(f"addition of the shortcut ({volume.shortcut})")
    elif volume.op != "input":
        names = {"adaptive_pool": "average over the map", "linear": "linear layer", "concat": "concatenation"}
        parts.append(names[volume.op])
    parts.append(f"{volume.channels:,} × {volume.height} × {volume.width}")
    if volume.parameters:
        parts.append(f"{volume.parameters:,} parameters, {volume.multiply_adds:,} multiply-adds")
    if volume.field and volume.op != "input":
        parts.append(f"receptive field {volume.field} px")
    return "; ".join(parts)


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

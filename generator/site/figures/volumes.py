"""The drawing of a network, laid out in px: boxes to scale, shortcuts above them, words below. The SVG is in the
template.

A box is as tall as the map is high, as deep as the map is wide (drawn obliquely) and as long as the map has channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from generator.core.blueprint import HEAD, Blueprint, Volume
from generator.core.records import Size
from generator.site.figures.axis import px
from generator.site.figures.volume_words import sentence, stage_name, words_below
from generator.site.formats import significant

TALLEST = 132.0  # px for the input's side
LONGEST, LONGEST_HEAD = 60.0, 150.0  # px for the most channels of a map, and of the classifier
OBLIQUE = 0.28  # length of an oblique edge, as a share of the side that it draws
LEAST = 1.5  # px of the smallest box, so that it can be seen
ADVANCE = 36.0  # smallest distance in px from one box to the next
LETTER = 6.4  # widest letter of the words below, in px
HEADING_LETTER = 8.0  # of the words above a stage
GAP, BLOCK_GAP, STAGE_GAP = 8.0, 12.0, 26.0
TOP, BELOW, MARGIN = 30.0, 56.0, 12.0  # for the stages' names above, for the blocks' below, on both sides
LANE = 24.0  # above a block for its shortcut
WORDS, BLOCK_NAME = 14.0, 44.0  # px from the boxes down to the baselines of the words and of the block's name

Address = Callable[[str], str | None]  # a layer's name → where it leads, None for a layer without a page


# -- what the template receives --------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawnBox:
    """A volume as SVG paths. front, top, side: its three visible faces; op: class in the styles; title: all about the
    volume; href: of its layer's page, None for none."""

    front: str
    top: str
    side: str
    op: str
    title: str
    href: str | None


@dataclass(frozen=True)
class Shortcut:
    """The line past a block. kind: what is added; y: of its highest point; box: of a projection, with its label and
    the label's x."""

    kind: str
    path: str
    y: float
    box: DrawnBox | None = None
    label: str = ""
    x: float = 0


@dataclass(frozen=True)
class Words:
    """What stands below a box, in lines, or below a block: its name (block: True)."""

    x: float
    y: float
    lines: tuple[str, ...]
    block: bool = False


@dataclass(frozen=True)
class Stage:
    """A stage's span above the boxes, from x to end. size: height and width of its last map."""

    name: str
    x: float
    end: float
    size: Size


@dataclass(frozen=True)
class NetworkDrawing:
    """width, top, height: of the view box; map_px: px of the drawing for one px of a map; channels: per px of a box's
    length; kinds: of the shortcuts, sorted; linked: whether some box leads to a page."""

    width: int
    top: int
    height: int
    boxes: tuple[DrawnBox, ...]
    shortcuts: tuple[Shortcut, ...]
    words: tuple[Words, ...]
    stages: tuple[Stage, ...]
    map_px: str
    channels: str
    kinds: tuple[str, ...]
    linked: bool


# -- layout ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Proportions:
    """px of the drawing for one px of a map's side, and for one channel."""

    side: float
    channel: float

    @classmethod
    def of(cls, blueprint: Blueprint) -> Proportions:
        maps = [v.channels for v in blueprint.volumes if v.stage != HEAD]
        most = max(v.channels for v in blueprint.volumes)
        return cls(TALLEST / max(blueprint.size), min(LONGEST / max(maps), LONGEST_HEAD / most))


@dataclass(frozen=True)
class Box:
    """A volume with its position. centre: height of its middle; x: left edge of the front face; width, height: of the
    front face; depth: of the oblique edges."""

    volume: Volume
    x: float
    centre: float
    width: float
    height: float
    depth: float

    @classmethod
    def of(cls, volume: Volume, proportions: Proportions, x: float = 0.0, centre: float = 0.0) -> Box:
        height = max(LEAST, volume.height * proportions.side)
        width = max(LEAST, volume.channels * proportions.channel)
        depth = max(LEAST, volume.width * proportions.side) * OBLIQUE
        return cls(volume, x, centre, width, height, depth)

    @property
    def y(self) -> float:
        """Top of the front face."""
        return self.centre - self.height / 2

    @property
    def highest(self) -> float:
        return self.y - self.depth

    @property
    def middle(self) -> float:
        return self.x + (self.width + self.depth) / 2

    @property
    def right(self) -> float:
        return self.x + self.width + self.depth

    def drawn(self, address: Address) -> DrawnBox:
        """The box as the template draws it."""
        x, y, w, h, d = (px(value) for value in (self.x, self.y, self.width, self.height, self.depth))
        return DrawnBox(
            front=f"M{x} {y}h{w}v{h}h-{w}z",
            top=f"M{x} {y}l{d}-{d}h{w}l-{d} {d}z",
            side=f"M{px(self.x + self.width)} {y}l{d}-{d}v{h}l-{d} {d}z",
            op=self.volume.op,
            title=sentence(self.volume),
            href=address(self.volume.name) if self.volume.name else None,
        )


@dataclass(frozen=True)
class Group:
    """A block's volumes, or those of layers that stand alone (name ''). projections: the convolutions in its
    shortcut."""

    name: str
    stage: int
    volumes: tuple[Volume, ...]
    projections: tuple[Volume, ...]


@dataclass(frozen=True)
class PlacedGroup:
    """A group's boxes. entry: the box before them, None for the first group; end: where its last box's words end."""

    group: Group
    boxes: tuple[Box, ...]
    entry: Box | None
    end: float

    @property
    def foot(self) -> float:
        """Lower edge of the tallest box."""
        return max(box.height for box in self.boxes) / 2

    @property
    def is_joined(self) -> bool:
        """Whether a shortcut leads past the boxes."""
        return (
            len(self.boxes) > 1 and self.boxes[-1].volume.op in ("add", "concat") and self.entry is not None
        )


def drawing(blueprint: Blueprint, address: Address) -> NetworkDrawing:
    """The drawing of a network. address: where a layer's box leads."""
    proportions = Proportions.of(blueprint)
    placed = _placed(grouped(blueprint), proportions, blueprint)
    boxes = [box for group in placed for box in group.boxes]
    lines = [_shortcut(group, proportions) for group in placed if group.is_joined]
    highest = [box.highest for box in boxes] + [line.highest for line in lines]
    top = round(min(highest) - TOP)
    last = placed[-1]
    return NetworkDrawing(
        width=round(last.end + GAP + MARGIN),
        top=top,
        height=round(TALLEST / 2 + BELOW - top),
        boxes=tuple(box.drawn(address) for box in boxes),
        shortcuts=tuple(line.drawn(address) for line in lines),
        words=tuple(words for group in placed for words in _words(group)),
        stages=_stages(placed, blueprint),
        map_px=significant(proportions.side, 2),
        channels=significant(1 / proportions.channel, 2),
        kinds=tuple(sorted({line.kind for line in lines})),
        linked=any(address(box.volume.name) for box in boxes if box.volume.name),
    )


def grouped(blueprint: Blueprint) -> list[Group]:
    """The volumes block by block, without those that stand in a shortcut."""
    groups: list[tuple[str, int, list[Volume]]] = []
    projections: dict[str, list[Volume]] = {}
    for volume in blueprint.volumes:
        if blueprint.is_shortcut(volume):
            projections.setdefault(volume.block, []).append(volume)
            continue
        name = volume.block if volume.stage not in (1, HEAD) else ""
        if not groups or groups[-1][:2] != (name, volume.stage):
            groups.append((name, volume.stage, []))
        groups[-1][2].append(volume)
    return [
        Group(name, stage, tuple(volumes), tuple(projections.get(name, ())))
        for name, stage, volumes in groups
    ]


def _placed(groups: Iterable[Group], proportions: Proportions, blueprint: Blueprint) -> list[PlacedGroup]:
    """The groups from left to right; all boxes are centred on one line. A stage begins behind the words above the stage
    before it."""
    placed: list[PlacedGroup] = []
    x = begin = MARGIN
    for group in groups:
        before = placed[-1] if placed else None
        if before is not None and group.stage == before.group.stage:
            x += BLOCK_GAP
        elif before is not None:
            last = before.boxes[-1].volume
            words = f"{stage_name(before.group.stage, blueprint)} {last.height} × {last.width}"
            x = begin = max(x + STAGE_GAP, begin + HEADING_LETTER * len(words) + GAP)
        boxes = []
        for volume in group.volumes:
            box = Box.of(volume, proportions, x)
            boxes.append(box)
            letters = max(map(len, words_below(volume)))
            x = max(box.right + GAP, x + ADVANCE, x + LETTER * letters + GAP)
        entry = before.boxes[-1] if before is not None else None
        placed.append(PlacedGroup(group, tuple(boxes), entry, x - GAP))
    return placed


def _words(placed: PlacedGroup) -> Iterator[Words]:
    for box in placed.boxes:
        yield Words(px(box.x), px(placed.foot + WORDS), words_below(box.volume))
    if placed.group.name and len(placed.boxes) > 1:
        x = px(placed.boxes[0].x)
        yield Words(x, px(placed.foot + BLOCK_NAME), (placed.group.name,), block=True)


def _stages(placed: Iterable[PlacedGroup], blueprint: Blueprint) -> tuple[Stage, ...]:
    """One span per run of groups of one stage."""
    spans: list[Stage] = []
    number = None
    for group in placed:
        start = px(group.boxes[0].x)
        if group.group.stage == number:
            start = spans.pop().x
        number = group.group.stage
        last = group.boxes[-1].volume
        spans.append(Stage(stage_name(number, blueprint), start, px(group.end), (last.height, last.width)))
    return tuple(spans)


@dataclass(frozen=True)
class ShortcutLine:
    """A shortcut with its position. lane: the height of its level part; box: of a projection, centred on the lane."""

    kind: str
    path: str
    lane: float
    box: Box | None

    @property
    def highest(self) -> float:
        return min(self.lane - 4, self.box.highest if self.box else self.lane)

    def drawn(self, address: Address) -> Shortcut:
        y = px(self.lane - 4)
        if self.box is None:
            return Shortcut(self.kind, self.path, y)
        volume = self.box.volume
        label = f"{volume.kernel}×{volume.kernel}, stride {volume.stride}"
        return Shortcut(self.kind, self.path, y, self.box.drawn(address), label, px(self.box.right + 4))


def _shortcut(placed: PlacedGroup, proportions: Proportions) -> ShortcutLine:
    """The line from the box before a block, over its boxes, to the addition; a projection's box stands on it."""
    entry, last, group = placed.entry, placed.boxes[-1], placed.group
    assert entry is not None  # `is_joined`
    top = min(box.highest for box in (entry, *placed.boxes))
    lane, box = top - LANE / 2, None
    if group.projections and last.volume.shortcut == "projection":
        size = Box.of(group.projections[0], proportions)
        lane = top - GAP - size.height / 2
        left = (placed.boxes[0].x + last.x - size.width) / 2
        box = Box.of(group.projections[0], proportions, left, lane)
    begin = entry.x + entry.width / 2 + entry.depth
    end = f"{px(last.middle)}V{px(last.y - last.depth / 2)}"
    path = f"M{px(begin)} {px(entry.highest)}V{px(lane)}H{end}"
    return ShortcutLine(last.volume.shortcut or "concatenation", path, lane, box)

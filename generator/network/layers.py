"""The layers of a network that no list names: stages, blocks and convolutions, found in its graph.

A residual block ends at an addition whose two terms part at one step and meet nowhere else: every path from that step
to the rest of the network leads through the addition. So the sums inside a branch (between the parts of a split map,
between the maps of a gate) are no blocks. Where such a region holds several others, one behind the other (a long
shortcut around many blocks), the inner ones are the blocks. A network without such additions is a plain one: every
convolution is a layer.

The names are the atlas's: conv1, then res2a, res2b, … by stage, inside a block res2a_branch2a, … and res2a_branch1."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from generator.core.errors import AtlasError
from generator.core.records import LayerKind
from generator.network.graph import Graph
from generator.network.ops import Step
from generator.network.receptive_field import receptive_fields
from generator.network.tap import Tap, block_names

Shape = tuple[int, int, int]
_SQUASHING = ("sigmoid", "softmax", "tanh", "hardsigmoid")  # what makes a gate out of a map
LETTERS = 26


@dataclass(frozen=True)
class _Block:
    """A block. entry: the step that its terms part at, −1 where it has no addition; add: the addition, or the last step
    of a block without one; region: the steps between; path: of its module; step: where it is read."""

    entry: int
    add: int
    region: frozenset[int]
    path: str = ""
    step: int = -1
    stage: int = 0
    convolutions: tuple[int, ...] = field(default=())


def find_layers(graph: Graph, shapes: Sequence[Shape], module: nn.Module | None = None) -> tuple[Tap, ...]:
    """The layers of a network in forward order; shapes: (C, H, W) of every step's output.

    A block is read after the activation behind its addition, where that belongs to its module; a convolution after its
    norm and activation. module: the network's, by which blocks are found that have no shortcut because the map changes
    (in MobileNets): they are of the class of those that have one. Raises AtlasError for a network without maps.
    """
    require_maps(graph)
    found = _Finder(graph, shapes, {} if module is None else dict(module.named_modules()))
    blocks = found.with_relatives(found.residual_blocks())
    if not blocks:
        return found.plain()
    return found.residual(found.staged(blocks))


def require_maps(graph: Graph) -> None:
    """Raises AtlasError for a network without maps: one in which no convolution's outputs have positions in the
    picture, or only those of the first, which cuts the picture into patches, and what follows mixes the patches."""
    fields = receptive_fields(graph)
    convolutions = [
        index for index, step in enumerate(graph.steps) if step.op == "conv" and fields[index] is not None
    ]
    mixes = any(
        step.op == "add" and len(set(step.inputs)) > 1 for step in graph.steps[max(convolutions, default=0) :]
    )
    if not convolutions or (len(convolutions) == 1 and mixes):
        behind = " behind its first convolution" if convolutions else ""
        raise AtlasError(
            f"the network has no maps of features{behind}: transformers of patches and MLP-mixers have none",
            remedy="choose a network of convolutions",
        )


def step_of(graph: Graph, tap: Tap) -> int:
    """The step at which a layer is read; raises AtlasError where the graph has no such module."""
    if tap.step is not None:
        return tap.step
    return graph.end_of(tap.path) if tap.kind == "block" else graph.after_convolution(tap.path)


def is_learned(part: nn.Module) -> bool:
    """Whether a module holds the weight of a convolution. Channels of zeros that are appended to a map, and a fixed
    filter before a stride, are convolutions in a graph whose weight no module learns."""
    own = [*part.parameters(recurse=False), *getattr(part, "parametrizations", nn.Module()).parameters()]
    return any(parameter.dim() == 4 for parameter in own)


def with_names(taps: tuple[Tap, ...], names: Mapping[str, str], graph: Graph) -> tuple[Tap, ...]:
    """The layers with further names, by the paths of their modules: a layer that is there is renamed, any other module
    becomes one. Raises AtlasError for a module that is not there, and for a name that cannot be or is taken."""
    for name, path in names.items():
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
            raise AtlasError(
                "not a name for a layer", name, "use letters, digits, points, hyphens and underscores"
            )
        old = next((tap for tap in taps if path in (tap.path, tap.name)), None)
        if any(tap.name == name and tap is not old for tap in taps):
            raise AtlasError("two layers have one name", name, "give them different names")
        if old is None:
            taps = (*taps, _named(name, path, taps, graph))
            continue
        renamed = {old.name: name}
        taps = tuple(
            replace(tap, name=renamed.get(tap.name, tap.name), block=renamed.get(tap.block, tap.block))
            for tap in taps
        )
    return taps


def _named(name: str, path: str, taps: tuple[Tap, ...], graph: Graph) -> Tap:
    """A layer at a module that was none: of the block around it, else by itself."""
    try:
        step = graph.after_convolution(path)
    except AtlasError:
        known = {step.scope for step in graph.steps if step.scope}
        known |= {
            ".".join(scope.split(".")[:depth]) for scope in known for depth in range(1, scope.count(".") + 1)
        }
        if path not in known:
            near = difflib.get_close_matches(path, sorted(known), n=3)
            raise AtlasError(
                f"the network has no module for the layer {name}",
                path,
                f"did you mean {' or '.join(near)}?" if near else "give the path of a module",
            ) from None
        step = graph.end_of(path)
    block = next((tap for tap in taps if tap.kind == "block" and _is_inside(path, tap.path)), None)
    if block is not None:
        return Tap(name, path, "branch", block.name, block.stage, step)
    before = [tap for tap in taps if tap.step is not None and tap.step <= step]
    stage = max(before, key=lambda tap: tap.step or 0).stage if before else 1
    return Tap(name, path, "layer", "", stage, step)


class _Finder:
    """parts: the network's modules by their paths."""

    def __init__(self, graph: Graph, shapes: Sequence[Shape], parts: Mapping[str, nn.Module]) -> None:
        self.graph, self.shapes, self.parts = graph, shapes, parts
        self.fields = receptive_fields(graph)
        self.dominator = _dominators(graph)
        self.convolutions = [
            index
            for index, step in enumerate(graph.steps)
            if step.op == "conv"
            and self.fields[index] is not None
            and (not parts or step.scope not in parts or is_learned(parts[step.scope]))
        ]
        self.paths: set[str] = set()

    # -- blocks --------------------------------------------------------------------------------------------------------

    def residual_blocks(self) -> list[_Block]:
        """The residual blocks in forward order, with their paths and the steps where they are read."""
        regions = [
            block
            for index, step in enumerate(self.graph.steps)
            if step.op == "add" and (block := self._region(index)) is not None
        ]
        children: dict[int, list[_Block]] = {}  # by addition: the regions directly inside its own
        for inner in regions:
            outer = min((r for r in regions if inner.add in r.region), key=lambda r: r.add, default=None)
            children.setdefault(-1 if outer is None else outer.add, []).append(inner)
        blocks: list[_Block] = []
        waiting = children.get(-1, [])
        while waiting:
            block = waiting.pop()
            inside = children.get(block.add, [])
            if self._is_chain(inside):
                waiting += inside
            else:
                blocks.append(block)
        return self._placed(sorted(blocks, key=lambda block: block.add))

    def _region(self, add: int) -> _Block | None:
        """What lies between an addition and the step where its terms part; None where paths lead out of it, or where
        no convolution with a map is in it."""
        inputs = self.graph.steps[add].inputs
        if (
            self.fields[add] is None
            or len(inputs) != 2
            or any(self.shapes[i] != self.shapes[add] for i in inputs)
        ):
            return None
        entry = self.dominator[add]
        region = {*self.graph.leading_to(inputs)} - {*self.graph.leading_to([entry])}
        if any(
            reader not in region and reader != add
            for index in region
            for reader in self.graph.consumers[index]
        ):
            return None
        convolutions = tuple(index for index in self.convolutions if index in region)
        return _Block(entry, add, frozenset(region), convolutions=convolutions) if convolutions else None

    def _is_chain(self, blocks: Sequence[_Block]) -> bool:
        """Whether one of these regions begins behind the end of another."""
        return any(self._dominates(first.add, second.entry) for first in blocks for second in blocks)

    def _dominates(self, first: int, second: int) -> bool:
        while second > first:
            second = self.dominator[second]
        return second == first

    def _placed(self, blocks: list[_Block]) -> list[_Block]:
        """The blocks with their modules' paths, and read behind the activation where that belongs to the module."""
        common = [
            _common_path([self._scope(block.add), *map(self._scope, block.convolutions)]) for block in blocks
        ]
        result = []
        for place, block in enumerate(blocks):
            path = common[place]
            others = [other for number, other in enumerate(common) if number != place]
            is_alone = path != "" and not any(other == path or _is_inside(other, path) for other in others)
            own = path if is_alone else self._unused(f"{path}:add" if path else "add")
            result.append(replace(block, path=own, step=self._after_addition(block.add, path)))
            self.paths.add(own)
        return result

    def _after_addition(self, add: int, path: str) -> int:
        """The activation directly behind the addition, unless a module outside the block's calls it."""
        readers = self.graph.consumers[add]
        if len(readers) != 1 or not self.graph.steps[readers[0]].is_rectifier:
            return add
        if self._belongs(readers[0], path):
            return readers[0]
        scope = self._scope(readers[0])
        # An activation that several modules share has the path of the first of them; one whose module begins with it
        # is the next module's own.
        parent = scope.rpartition(".")[0]
        is_outside = scope == "" or _is_inside(path, scope) or parent == "" or _is_inside(path, parent)
        begins = not any(self._belongs(index, parent) for index in range(readers[0]))
        return add if is_outside or begins else readers[0]

    def with_relatives(self, blocks: list[_Block]) -> list[_Block]:
        """The blocks, and the modules of their classes that have no addition."""
        classes = {type(self.parts[block.path]) for block in blocks if block.path in self.parts}
        classes -= {nn.Sequential, nn.ModuleList, nn.ModuleDict}
        taken = [block.path for block in blocks]
        relatives = []
        for path, part in self.parts.items():
            if type(part) not in classes or any(
                path == other or _is_inside(path, other) or _is_inside(other, path) for other in taken
            ):
                continue
            inside = [index for index in range(len(self.graph)) if self._belongs(index, path)]
            convolutions = tuple(index for index in self.convolutions if index in inside)
            if convolutions and self.fields[inside[-1]] is not None:
                end = inside[-1]
                relatives.append(
                    _Block(-1, end, frozenset(inside[:-1]), path, end, convolutions=convolutions)
                )
                taken.append(path)
        return sorted([*blocks, *relatives], key=lambda block: block.step)

    def staged(self, blocks: list[_Block]) -> list[_Block]:
        """The blocks with their stages, from 2. A stage ends where the map's size or its channels change, and at a
        convolution between two blocks."""
        inside = {index for block in blocks for index in (*block.region, block.add)}
        outside = [index for index in self.convolutions if index not in inside]
        result: list[_Block] = []
        for block in blocks:
            stage = 2
            if result:
                before = result[-1]
                changes = self.shapes[before.step] != self.shapes[block.step]
                parted = any(before.step < index < block.step for index in outside)
                stage = before.stage + (changes or parted)
            result.append(replace(block, stage=stage))
        return result

    # -- names ---------------------------------------------------------------------------------------------------------

    def residual(self, blocks: list[_Block]) -> tuple[Tap, ...]:
        """The layers of a network with blocks."""
        taps = self._outside(blocks)
        by_stage: dict[int, list[_Block]] = {}
        for block in blocks:
            by_stage.setdefault(block.stage, []).append(block)
        # As in the Caffe ResNet-101 and -152.
        grouped = any(self.graph.steps[index].groups > 1 for index in self.convolutions)
        deep = list(by_stage) == [2, 3, 4, 5] and len(by_stage[4]) > 6 and not grouped
        for stage, members in by_stage.items():
            numbered = len(members) > LETTERS or (deep and stage in (3, 4))
            for name, block in zip(block_names(stage, len(members), numbered), members, strict=True):
                taps += self._inside(block, name)
                taps.append(Tap(name, block.path, "block", name, stage, block.step))
        return tuple(
            sorted(taps, key=lambda tap: (-1 if tap.step is None else tap.step, tap.kind == "block"))
        )

    def _outside(self, blocks: list[_Block]) -> list[Tap]:
        """The convolutions outside the blocks: before the first of them the last one, conv1; behind it all, named after
        the stage that they lead to."""
        inside = {index for block in blocks for index in (*block.region, block.add)}
        outside = [index for index in self.convolutions if index not in inside]
        before = [index for index in outside if index < blocks[0].step]
        taps = [self._tap("conv1", index, "stem", "", 1) for index in before[-1:]]
        by_stage: dict[int, list[int]] = {}
        for index in outside[len(before) :]:
            stage = next((block.stage for block in blocks if block.step > index), blocks[-1].stage + 1)
            by_stage.setdefault(stage, []).append(index)
        for stage, indices in by_stage.items():
            names = _lettered(f"conv{stage}", len(indices))
            taps += [
                self._tap(name, index, "layer", "", stage) for name, index in zip(names, indices, strict=True)
            ]
        return taps

    def _inside(self, block: _Block, name: str) -> list[Tap]:
        """The convolutions inside a block: on its branch, and on its shortcut."""
        shortcut = self._shortcut(block)
        branch = [index for index in block.convolutions if index not in shortcut]
        kept = [index for index in block.convolutions if index in shortcut]
        letters = _lettered(f"{name}_branch2", max(len(branch), 2))
        taps = [
            self._tap(own, index, "branch", name, block.stage)
            for own, index in zip(letters, branch, strict=False)
        ]
        names = _lettered(f"{name}_branch1", len(kept))
        taps += [
            self._tap(own, index, "projection", name, block.stage)
            for own, index in zip(names, kept, strict=True)
        ]
        return taps

    def _shortcut(self, block: _Block) -> set[int]:
        """The convolutions of a block's shortcut: on the one of its two ways that has fewer steps, and whose map is
        added, not made into a gate."""
        if block.entry < 0:
            return set()
        first, second = (
            block.region & {*self.graph.leading_to([source])} for source in self.graph.steps[block.add].inputs
        )
        if len(first) == len(second):
            return set()
        source = self.graph.steps[block.add].inputs[0 if len(first) < len(second) else 1]
        added: set[int] = set()
        waiting = [source]
        while waiting:
            index = waiting.pop()
            if index in block.region and index not in added and not _is_gate(self.graph.steps[index]):
                added.add(index)
                waiting += self.graph.steps[index].inputs
        return added & set(block.convolutions)

    def plain(self) -> tuple[Tap, ...]:
        """The layers of a network without blocks: all its convolutions, conv1, conv2, …"""
        return tuple(
            self._tap(f"conv{number}", index, "stem" if number == 1 else "layer", "", number)
            for number, index in enumerate(self.convolutions, 1)
        )

    def _tap(self, name: str, index: int, kind: LayerKind, block: str, stage: int) -> Tap:
        """A convolution, read after its norm and activation."""
        path = self._unused(self._scope(index))
        self.paths.add(path)
        return Tap(name, path, kind, block, stage, self.graph.after_norm(index))

    def _unused(self, path: str) -> str:
        """The path, with a number where another layer has it already."""
        number, result = 1, path
        while result in self.paths or result == "":
            number, result = number + 1, f"{path}:{number + 1}"
        return result

    def _belongs(self, index: int, path: str) -> bool:
        return self._scope(index) == path or _is_inside(self._scope(index), path)

    def _scope(self, index: int) -> str:
        return self.graph.steps[index].scope


def _dominators(graph: Graph) -> list[int]:
    """For each step the last one before it that every path from the input to it leads through; 0 for the input itself
    and for what depends on no picture."""
    dominator, depth = [0] * len(graph), [0] * len(graph)
    for index, step in enumerate(graph.steps):
        sources = [source for source in step.inputs if graph.seeing[source]] if graph.seeing[index] else []
        if not sources:
            continue
        meeting = sources[0]
        for source in sources[1:]:
            while meeting != source:
                if depth[meeting] < depth[source]:
                    source = dominator[source]
                else:
                    meeting = dominator[meeting]
        dominator[index], depth[index] = meeting, depth[meeting] + 1
    return dominator


def _is_gate(step: Step) -> bool:
    return step.call is not None and any(name in step.call.target for name in _SQUASHING)


def _common_path(paths: Sequence[str]) -> str:
    """The innermost module that holds all of these."""
    parts = [path.split(".") if path else [] for path in paths]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)


def _is_inside(path: str, outer: str) -> bool:
    return path != outer and (outer == "" or path.startswith(outer + "."))


def _lettered(stem: str, count: int) -> list[str]:
    """One name, or names with letters, or with numbers where the letters do not suffice."""
    if count == 1:
        return [stem]
    if count <= LETTERS:
        return [f"{stem}{chr(ord('a') + number)}" for number in range(count)]
    return [f"{stem}_{number}" for number in range(1, count + 1)]

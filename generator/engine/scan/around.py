"""A network cut down to single positions of its maps: a graph that computes only what they depend on.

Every map is held on the window that is needed of it, padded only where the network itself pads, at the picture's true
border. So a position has the value that it has in the whole network; which algorithm computes a convolution may depend
on the map's size, and with it the last bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from generator.core.records import Size
from generator.network.call import Call, Source
from generator.network.graph import Graph
from generator.network.ops import Step
from generator.network.windows import Frame, Window, area_of, whole_frame

# A window that holds more of its map than this is not worth the copies that cut it out.
WORTH = 0.75


@dataclass(frozen=True)
class Around:
    """graph: the steps that lead to the positions; places: by step of the whole graph its number in this one, and the
    row and column of its position on the map that is held of it."""

    graph: Graph
    places: Mapping[int, tuple[int, int, int]]


def around(graph: Graph, size: Size, positions: Mapping[int, tuple[int, int]]) -> Around:
    """The graph of one position of each of some steps' maps, (row, column), for pictures of this height and width.

    Where an operation on the way has no windows of its own (a call of torch, ops.py), maps are computed whole.
    """
    frames, extents = _frames(graph, size, positions)
    steps: list[Step] = []
    number: dict[int, int] = {}

    def append(step: Step) -> int:
        steps.append(step)
        return len(steps) - 1

    for index in sorted(frames):
        step, frame = graph.steps[index], frames[index]
        if step.op == "input" or not graph.is_windowed(index):
            number[index] = append(replace(step, inputs=tuple(number[i] for i in step.inputs)))
            continue
        whole = frame == whole_frame(extents[index]) and all(
            frames[i] == whole_frame(extents[i]) for i in step.inputs
        )
        inputs = []
        for source in step.inputs:
            needed = frame[0], frame[1]
            if not whole:
                needed = step.input_window(frame[0]), step.input_window(frame[1])
            held = frames[source]
            cut = number[source]
            if not whole and needed != held:
                cut = append(_cut(number[source], held, needed, step.kind.padding_value))
            inputs.append(cut)
        if not whole and step.reads == "window":
            step = replace(step, padding=0, after=0, ceil_mode=False)
        number[index] = append(replace(step, inputs=tuple(inputs)))
    places = {
        index: (number[index], row - frames[index][0].low, column - frames[index][1].low)
        for index, (row, column) in positions.items()
    }
    return Around(Graph(tuple(steps), graph.channels), places)


def _frames(
    graph: Graph, size: Size, positions: Mapping[int, tuple[int, int]]
) -> tuple[dict[int, Frame], list[tuple[int, int]]]:
    """What is computed of the map of each step that leads to the positions, and the extents of all maps."""
    last = max(positions)
    extents = [(height, width) for _, height, width in graph.shapes(size, last)]
    frames: dict[int, Frame] = {
        index: (Window.fixed(row, row + 1), Window.fixed(column, column + 1))
        for index, (row, column) in positions.items()
    }
    for index in range(last, -1, -1):
        if index not in frames:
            continue
        step, whole = graph.steps[index], whole_frame(extents[index])
        windowed = graph.is_windowed(index)
        if not windowed or step.op == "input" or area_of(frames[index]) > WORTH * area_of(whole):
            frames[index] = whole
        for source in step.inputs:
            needed = whole_frame(extents[source])
            if windowed:
                rows, columns = (
                    step.input_window(frames[index][axis]).clipped(extents[source][axis]) for axis in (0, 1)
                )
                needed = rows, columns
            known = frames.get(source, needed)
            frames[source] = known[0].joined(needed[0]), known[1].joined(needed[1])
    return frames, extents


def _cut(source: int, held: Frame, needed: Frame, padding: float) -> Step:
    """The window `needed` of a map of which `held` is there; what lies outside is the picture's border."""
    # By torch.nn.functional.pad: left, right, top, bottom; below zero it cuts off.
    amounts = tuple(
        amount
        for axis in (1, 0)
        for amount in (held[axis].low - needed[axis].low, needed[axis].end - held[axis].end)
    )
    call = Call("aten.constant_pad_nd.default", (Source(0), amounts, padding))
    return Step("torch", (source,), "", call=call)

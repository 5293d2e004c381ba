"""An objective's gradient with respect to the picture, or to the maps of some steps, on the windows of a
WindowedForward: what automatic differentiation of it gives, in fewer passes over the maps.

A convolution does the addition and the ReLU behind it on its way out, and of the three only the output is kept. Back,
the gradient of a shortcut is added to the part of the map that it belongs to, where automatic differentiation would
fill a map with zeros, copy the part into it and add the two maps. All other steps are differentiated automatically,
each by itself."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.engine.ascent.windowed_forward import WindowedForward
from generator.engine.gradients.transposed import Place, TransposedConvolution
from generator.engine.relu_rules import ReluRule, through_relu
from generator.network.graph import can_fuse
from generator.network.ops import CONVOLUTION


@dataclass(frozen=True)
class _Group:
    """A convolution with the addition and the ReLU behind it, by their indices; None where there is none.

    partner: the addition's other input."""

    conv: int
    add: int | None = None
    partner: int | None = None
    relu: int | None = None

    @cached_property
    def end(self) -> int:
        """The last of its steps."""
        return next(i for i in (self.relu, self.add, self.conv) if i is not None)


@dataclass(eq=False)
class _Part:
    """What one path contributes to the gradient at a step. value: (B, C, h, w); place: rows and columns of the step's
    frame that it belongs to, None for all; owned: whether nothing else reads the tensor, so that it may be
    overwritten."""

    value: Tensor
    place: Place | None
    owned: bool


@dataclass
class Tape:
    """What one forward pass leaves for the way back, which can be gone once.

    maps: the window of the objective's map, (B, C, h, w), or a classifier's scores, (B, K); watched: the maps of the
    watched steps; rectified: of each group with a ReLU, its output; singles: of each other step its inputs, by their
    indices, and its output.
    """

    maps: Tensor
    rule: ReluRule
    watched: dict[int, Tensor] = field(default_factory=dict)
    rectified: dict[int, Tensor] = field(default_factory=dict)
    singles: dict[int, tuple[dict[int, Tensor], Tensor]] = field(default_factory=dict)


class WindowedGradient:
    """The passes of `windowed`, forward and back; no gradient is computed for weights.

    watched: the steps at whose maps gradients are wanted, by default the picture; nothing is computed on the way back
    that does not lead to one of them."""

    def __init__(self, windowed: WindowedForward, watched: Collection[int] = (0,)) -> None:
        self.windowed, self.steps = windowed, windowed.graph.steps
        self.watched = frozenset(watched)
        self._on_the_way = set(self.watched)  # the steps whose gradient is needed
        for index in windowed.order:
            if not self._on_the_way.isdisjoint(self.steps[index].inputs):
                self._on_the_way.add(index)
        groups = {group.conv: group for group in map(self._group, windowed.order) if group}
        inside = {i for group in groups.values() for i in (group.add, group.relu) if i is not None}
        # Groups and single steps in forward order: a group stands where its convolution does.
        self.order = [
            groups.get(i, i) for i in windowed.order[1:] if i not in inside and i not in windowed.summed
        ]
        self._carried = {conv: TransposedConvolution(self.steps[conv]) for conv in groups}
        last: dict[int, int] = {}
        for number, node in enumerate(self.order):
            last.update(dict.fromkeys(self._sources(node), number))
        self._last = last

    # -- what belongs together -----------------------------------------------------------------------------------------

    def _group(self, index: int) -> _Group | None:
        """The group of a convolution, None for another step."""
        step, readers = self.steps[index], self.windowed.readers
        if step.op != "conv" or step.weight is None:
            return None
        conv, end = index, index
        add = partner = None
        if self._alone(end) and self.steps[reader := readers[end][0]].op == "add":
            partner = self._partner(reader, conv)
            if partner is not None:
                add = end = reader
        relu = None
        if self._alone(end) and self.steps[reader := readers[end][0]].op == "relu":
            relu = reader
        return _Group(conv, add, partner, relu)

    def _alone(self, index: int) -> bool:
        """Whether one step alone reads this one, and all that is held of it."""
        readers, frames = self.windowed.readers[index], self.windowed.frames
        return len(readers) == 1 and frames[readers[0]] == frames[index] and index not in self.watched

    def _partner(self, add: int, conv: int) -> int | None:
        """What an addition adds to a convolution, where the convolution can do it: computed before it, of one shape."""
        one, other = self.steps[add].inputs
        partner = other if one == conv else one
        extents, channels = self.windowed.extents, self.windowed.channels
        alike = extents[partner] == extents[conv] and channels[partner] == channels[conv]
        return partner if partner < conv and alike else None

    def _sources(self, node: int | _Group) -> list[int]:
        """The steps that a group or a single step reads."""
        if isinstance(node, _Group):
            return [self.steps[node.conv].inputs[0], *([] if node.partner is None else [node.partner])]
        step = self.steps[node]
        added = [i for i in step.inputs if i in self.windowed.summed]
        return [
            i for source in step.inputs for i in (self.steps[source].inputs if source in added else [source])
        ]

    # -- forward -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def forward(self, seen: Tensor, rule: ReluRule = "plain") -> Tape:
        """seen: the network's input on the frame, (B, channels, h, w), channels_last; rule: at ReLUs, on the way
        back."""
        values: dict[int, Tensor] = {0: seen}
        tape = Tape(seen, rule)
        fuses = seen.device.type == "cpu" and seen.dtype == torch.float32 and can_fuse()
        for number, node in enumerate(self.order):
            if isinstance(node, _Group):
                output = self._convolved(node, values, fuses)
                values[node.end] = output
                if node.relu is not None and node.relu in self._on_the_way:
                    tape.rectified[node.relu] = output
            else:
                values[node] = self._single(node, values, tape)
            end = _end(node)
            if end in self.watched:
                tape.watched[end] = values[end]
            for source in set(self._sources(node)):
                if self._last[source] == number:
                    del values[source]
        tape.maps = values[self.windowed.top]
        return tape

    def _convolved(self, group: _Group, values: dict[int, Tensor], fuses: bool) -> Tensor:
        step = self.steps[group.conv]
        assert step.weight is not None
        relu = None if group.relu is None else self.steps[group.relu]
        x, padding = self.windowed.padded(group.conv, values[step.inputs[0]])
        added = None
        if group.add is not None and group.partner is not None:
            added = self.windowed.part(group.add, group.partner, values)
        if fuses:
            below = relu is not None and relu.limit == math.inf
            # The sum is written where the addend lies.
            added = None if added is None else added.clone(memory_format=torch.channels_last)
            output = CONVOLUTION.fused(step, x, added, below, padding)
            return output if relu is None or below else relu.run(output, in_place=True)
        output = F.conv2d(x, step.weight, step.bias, step.stride, padding, step.dilation, step.groups)
        if added is not None:
            output += added
        return output if relu is None else relu.run(output, in_place=True)

    def _single(self, index: int, values: dict[int, Tensor], tape: Tape) -> Tensor:
        sources = {source: values[source].detach() for source in self._sources(index)}
        step = self.steps[index]
        if step.op == "max_pool" and tape.maps.is_cuda:
            # Laid out channels_last, the pooling's backward pass adds in no fixed order on a GPU.
            sources = {source: value.contiguous() for source, value in sources.items()}
        given = {
            source: value.requires_grad_(source in self._on_the_way and value.is_floating_point())
            for source, value in sources.items()
        }
        with torch.enable_grad():
            output = self.windowed.run_step(step, index, given, tape.rule)
        tape.singles[index] = given, output
        return output.detach()

    # -- back ----------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def back(self, tape: Tape, seed: Tensor) -> Tensor:
        """The gradient at what was seen, (B, channels, h, w), from the one at the tape's maps, of their shape; the
        picture must be watched."""
        return self.gradients(tape, seed)[0]

    @torch.no_grad()
    def gradients(self, tape: Tape, seed: Tensor) -> dict[int, Tensor]:
        """The gradients at the maps of all watched steps, (B, C, h, w) each, from the one at the tape's maps, of their
        shape."""
        found: dict[int, Tensor] = {}
        parts: dict[int, list[_Part]] = {self.windowed.top: [_Part(seed, None, owned=False)]}
        for node in (*reversed(self.order), 0):
            end = _end(node)
            joined = self._joined(end, parts.pop(end, []))
            if end in self.watched:
                found[end] = self._zeros(end, seed) if joined is None else joined.value
                joined = None if joined is None else replace(joined, owned=False)
            if isinstance(node, _Group):
                passed = [] if joined is None else self._through_group(node, joined, tape)
            else:
                passed = self._through_single(node, joined, tape)
            for source, part in passed:
                parts.setdefault(source, []).append(part)
        return found

    def _zeros(self, index: int, like: Tensor) -> Tensor:
        """The gradient at a step to which no path leads back."""
        sizes = (window.size for window in self.windowed.frames[index])
        return like.new_zeros((len(like), self.windowed.channels[index], *sizes))

    def _through_group(self, group: _Group, joined: _Part, tape: Tape) -> list[tuple[int, _Part]]:
        frames, gradient = self.windowed.frames, joined.value
        source = self.steps[group.conv].inputs[0]
        passed = []
        if group.relu is not None:
            output, limit = tape.rectified.pop(group.relu), self.steps[group.relu].limit
            gradient = through_relu(gradient, output, tape.rule, limit, in_place=joined.owned)
        if group.add is not None and group.partner in self._on_the_way:
            frame = self.windowed.needed[group.add, group.partner]
            place = tuple(own.within(held) for own, held in zip(frame, frames[group.partner], strict=True))
            passed.append((group.partner, _Part(gradient, (place[0], place[1]), owned=False)))
        if source not in self._on_the_way:
            return passed
        carried = self._carried[group.conv](gradient.permute(0, 2, 3, 1), frames[group.conv], frames[source])
        if carried is not None:
            value, place = carried
            passed.append((source, _Part(value.permute(0, 3, 1, 2), place, owned=True)))
        return passed

    def _through_single(self, index: int, joined: _Part | None, tape: Tape) -> list[tuple[int, _Part]]:
        given, output = tape.singles.pop(index, ({}, None))
        wanted = {source: value for source, value in given.items() if value.requires_grad}
        if joined is None or output is None or not wanted or not output.requires_grad:
            return []
        found = torch.autograd.grad(output, list(wanted.values()), joined.value, allow_unused=True)
        return [
            (source, _Part(value, None, owned=False))
            for source, value in zip(wanted, found, strict=True)
            if value is not None
        ]

    def _joined(self, index: int, parts: list[_Part]) -> _Part | None:
        """The sum of what all paths contribute to the gradient at a step, on its whole frame; None for no path."""
        sizes = tuple(window.size for window in self.windowed.frames[index])
        whole = [part for part in parts if part.place is None or part.value.shape[2:] == sizes]
        if len(parts) == 1 and whole:
            return parts[0]
        if not parts:
            return None
        base = next((part for part in whole if part.owned), None)
        if base is None:
            like = parts[0].value
            zeros = torch.zeros_like(whole[0].value) if whole else like.new_zeros((*like.shape[:2], *sizes))
            base = _Part(zeros, None, owned=True)
        for part in parts:
            if part is base:
                continue
            if part in whole:
                base.value.add_(part.value)
            else:
                assert part.place is not None
                base.value[:, :, part.place[0], part.place[1]] += part.value
        return base


def _end(node: int | _Group) -> int:
    """The last step of a group, or the single step."""
    return node.end if isinstance(node, _Group) else node

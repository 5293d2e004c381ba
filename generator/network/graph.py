"""A network as a flat list of steps, and its forward pass.

Everything that walks a network walks this list: the scan (forward), the unit gradients (backward), receptive fields,
drawings. So nothing needs module hooks, which mislead on residual networks: blocks share one in-place ReLU, and `out +=
identity` overwrites what a hook on `bn2` was given. tracing.py makes the list from a module."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from generator.core.errors import AtlasError
from generator.core.records import Size, size_words
from generator.network.ops import CONVOLUTION, MAX_POOL, OpName, Step


@dataclass(frozen=True)
class _Fusion:
    """What a convolution may do on its way out: the steps of the addition and of the ReLU behind it, None for none."""

    add: int | None = None
    relu: int | None = None


@dataclass(frozen=True)
class Sum:
    """An addition that a caller of `Graph.visit` does: make gives a new map for the two that are added, which it may
    keep. end: the ReLU that alone reads the sum, where `make` does that too, else the addition itself."""

    end: int
    make: Callable[[Tensor, Tensor], Tensor]


def maps_layout(device: torch.device | str, dtype: torch.dtype) -> torch.memory_format:
    """How maps lie in memory: channel by channel where a GPU computes in true fp32 (a sixth faster, see
    benchmarks/RESULTS.md), else position by position, which CPUs and matrix units want."""
    true_fp32 = dtype == torch.float32 and not torch.backends.cudnn.allow_tf32
    on_gpu = torch.device(device).type == "cuda"
    return torch.contiguous_format if on_gpu and true_fp32 else torch.channels_last


class Graph:
    """The steps of a network in forward order. Step 0 is the input, (B, channels, H, W).

    channels: of the input; left out, as many as the first convolution reads.
    """

    def __init__(self, steps: tuple[Step, ...], channels: int | None = None) -> None:
        self.steps = steps
        self.channels = _channels_read(steps) if channels is None else channels
        self.consumers: list[list[int]] = [[] for _ in steps]
        for index, step in enumerate(steps):
            for source in step.inputs:
                self.consumers[source].append(index)
        self._shapes: dict[tuple[Size, int | None], tuple[tuple[int, int, int], ...]] = {}

    def __len__(self) -> int:
        return len(self.steps)

    def count(self, op: OpName) -> int:
        """How many steps are this operation."""
        return sum(step.op == op for step in self.steps)

    def until(self, last: int) -> Graph:
        """The graph up to and with step `last`, without the steps that do not lead there."""
        return self.keep(self.leading_to([last]))

    def digest(self, ends: Collection[int]) -> str:
        """SHA-256 of all that the outputs of some steps depend on: every operation that leads there with its settings
        and numbers, and how they are joined. Names of modules do not count, nor do other steps."""
        needed = self.leading_to(ends)
        number = {old: new for new, old in enumerate(needed)}
        steps = [(self.steps[i].digest, [number[j] for j in self.steps[i].inputs]) for i in needed]
        return hashlib.sha256(json.dumps([steps, [number[end] for end in ends]]).encode()).hexdigest()

    def leading_to(self, ends: Collection[int]) -> list[int]:
        """These steps and all that they read, in forward order."""
        needed = set(ends)
        for index in range(max(needed), -1, -1):
            if index in needed:
                needed.update(self.steps[index].inputs)
        return sorted(needed)

    def keep(self, remaining: list[int]) -> Graph:
        """The graph of these steps alone, in this order; they must read no other."""
        number = {old: new for new, old in enumerate(remaining)}
        return Graph(
            tuple(
                replace(self.steps[old], inputs=tuple(number[i] for i in self.steps[old].inputs))
                for old in remaining
            ),
            self.channels,
        )

    def end_of(self, path: str) -> int:
        """The last step that belongs to the module at `path`: for a block, its output after the addition and ReLU.

        Raises AtlasError where no step belongs to it.
        """
        inside = [
            i for i, step in enumerate(self.steps) if step.scope == path or step.scope.startswith(path + ".")
        ]
        if not inside:
            raise AtlasError("the network has no such module", path)
        return inside[-1]

    def after_convolution(self, path: str) -> int:
        """The convolution at `path` after its norm and activation, as `after_norm` has it.

        Raises AtlasError where there is no such convolution.
        """
        index = next(
            (i for i, step in enumerate(self.steps) if step.op == "conv" and step.scope == path), None
        )
        if index is None:
            raise AtlasError("the network has no such convolution", path)
        return self.after_norm(index)

    def after_norm(self, index: int) -> int:
        """The norm behind a step and the activation behind that, each where it alone reads what is before it; the step
        itself where neither does."""
        for belongs in (lambda step: step.is_norm, lambda step: step.is_rectifier):
            readers = self.consumers[index]
            if len(readers) == 1 and belongs(self.steps[readers[0]]):
                index = readers[0]
        return index

    def before_classifier(self) -> tuple[int, int] | None:
        """The step whose output is the vector that the classifier reads, and its length; None where the steps end
        before a classifier. A classifier is a last linear step, or a last 1×1 convolution of globally pooled maps."""
        last = self._before_flatten(len(self.steps) - 1)
        step = self.steps[last]
        if step.weight is None:
            return None
        if step.op == "linear":
            return step.inputs[0], step.weight.shape[1]
        if step.op == "conv" and step.kernel == 1 and self.is_average(step.inputs[0]):
            return step.inputs[0], step.weight.shape[1]
        return None

    def pooled_classifier(self) -> tuple[int, Tensor] | None:
        """The step whose maps' averages the classifier reads, and its weights, (outputs, C) float64 on the CPU; None
        where there is no classifier, or something else lies between the two."""
        vector = self.before_classifier()
        if vector is None or not self.is_average(vector[0]):
            return None
        pooled = self.steps[self._before_flatten(vector[0])].inputs[0]
        weight = next(step.weight for step in reversed(self.steps) if step.weight is not None)
        return pooled, weight.flatten(1).double().cpu()

    @functools.cached_property
    def seeing(self) -> list[bool]:
        """Of every step, whether its output depends on the picture, and not on its size and the batch's alone (a map of
        coordinates does not)."""
        seeing: list[bool] = []
        for step in self.steps:
            reads = step.call is None or step.call.reads_numbers
            seeing.append(step.op == "input" or (reads and any(seeing[i] for i in step.inputs)))
        return seeing

    def is_windowed(self, top: int) -> bool:
        """Whether every step that leads to step `top` has its own way for windows and single units (ops.py); else torch
        runs the graph on whole maps."""
        return self._windowed[top]

    def is_local(self, last: int) -> bool:
        """Whether every step up to step `last` reads windows or positions of its input, none the whole map. These steps
        take pictures of any size, and parts of pictures."""
        return all(self._local[: last + 1])

    def without_windows(self, top: int) -> tuple[str, ...]:
        """Names of the operations because of which step `top` is not windowed, each once; () where it is."""
        if self.is_windowed(top):
            return ()
        steps = [self.steps[i] for i in self.leading_to([top])]
        names = [s.op if s.call is None else s.call.name for s in steps if s.call or s.reads == "map"]
        return tuple(dict.fromkeys(names)) or ("strides",)

    @functools.cached_property
    def _windowed(self) -> list[bool]:
        windowed: list[bool] = []
        strides: list[int] = []  # paths of different stride have no window in common
        for step, local in zip(self.steps, self._local, strict=True):
            before = {strides[i] for i in step.inputs}
            alike = len(before) <= 1 and all(windowed[i] for i in step.inputs)
            windowed.append(step.is_windowed and local and alike)
            strides.append(max(before, default=1) * (step.stride if step.reads == "window" else 1))
        return windowed

    @functools.cached_property
    def _local(self) -> list[bool]:
        local: list[bool] = []
        for step in self.steps:
            local.append(step.reads != "map" and all(local[i] for i in step.inputs))
        return local

    def module_of(self, index: int) -> str:
        """torchvision's path of the module whose output the step is, flattened or not."""
        return self.steps[self._before_flatten(index)].scope

    def is_average(self, index: int) -> bool:
        """Whether the step's output, flattened or not, is the mean of each channel's map."""
        step = self.steps[self._before_flatten(index)]
        return step.op == "adaptive_pool" and step.kernel == 1

    def _before_flatten(self, index: int) -> int:
        while self.steps[index].op == "flatten":
            index = self.steps[index].inputs[0]
        return index

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Graph:
        """The same graph with its weights elsewhere; convolution weights are laid out as maps_layout says."""

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            layout = maps_layout(device, dtype) if tensor.dim() == 4 else torch.contiguous_format
            return tensor.to(device, dtype).contiguous(memory_format=layout)

        def moved(step: Step) -> Step:
            call = None if step.call is None else step.call.to(device, dtype)
            return replace(step, weight=move(step.weight), bias=move(step.bias), call=call, raw=None)

        return Graph(tuple(moved(step) for step in self.steps), self.channels)

    def run(self, pictures: Tensor, arg_max: dict[int, Tensor] | None = None) -> Iterator[tuple[int, Tensor]]:
        """Run the network on pictures (B, channels, H, W), yielding every step and its output in forward order.

        Clone an output to keep it: later steps reuse its memory. arg_max: filled, by step, with the flat index on the
        input map that each value of a max_pool was taken from, as torch gives them.
        """
        yield from self.visit(pictures, range(len(self.steps)), arg_max=arg_max)

    def _may_overwrite(self, index: int, last_use: list[int]) -> bool:
        """Whether nothing else needs the step's first input: not the caller (the pictures), no later step, no second
        input, and no other view of the same memory, which an operation of torch may be."""
        inputs = self.steps[index].inputs
        first, shared = inputs[0], len(set(inputs)) < len(inputs)
        return first != 0 and last_use[first] == index and not shared and not self._is_viewed(first)

    def _is_viewed(self, index: int) -> bool:
        """Whether the memory of a step's output may also be that of another's: an operation of torch and a flattening
        may return a view of what they read."""
        return any(self.steps[i].op in ("torch", "flatten") for i in (index, *self.consumers[index]))

    def shapes(self, size: Size, last: int | None = None) -> tuple[tuple[int, int, int], ...]:
        """(C, H, W) of every step's output, up to step `last`, for pictures of this height and width; H = W = 1 behind
        the flattening. Nothing is computed: torch's meta device knows the shapes.

        Raises AtlasError if the network cannot take such pictures.
        """
        if (size, last) not in self._shapes:  # asked for with every batch of pictures
            self._shapes[size, last] = self._on_meta(size, last)
        return self._shapes[size, last]

    def _on_meta(self, size: Size, last: int | None) -> tuple[tuple[int, int, int], ...]:
        height, width = size
        blank = torch.empty(1, self.channels, height, width, device="meta")
        shapes: list[tuple[int, int, int]] = []
        try:
            for index, output in self.to("meta", torch.float32).run(blank):
                channels, rows, columns = (*output.shape[1:], 1, 1)[:3]
                shapes.append((channels, rows, columns))
                if index == last:
                    break
        except RuntimeError as error:
            raise AtlasError(
                f"pictures of {size_words(size)} do not go through the network ({error})",
                remedy="choose another crop",
            ) from error
        return tuple(shapes)

    def multiply_adds(self, size: Size, last: int | None = None) -> int:
        """Of all convolutions up to step `last`, for one picture of this height and width."""
        return self.running_multiply_adds(size, last)[-1]

    def running_multiply_adds(self, size: Size, last: int | None = None) -> list[int]:
        """Of all convolutions up to each step, the last one `last`, for one picture of this height and width."""
        total, totals = 0, []
        for step, (channels, height, width) in zip(self.steps, self.shapes(size, last), strict=False):
            if step.op == "conv" and step.weight is not None:
                total += channels * height * width * step.weight[0].numel()
            totals.append(total)
        return totals

    def visit(
        self,
        pictures: Tensor,
        wanted: Collection[int],
        sums: Mapping[int, Sum] | None = None,
        arg_max: dict[int, Tensor] | None = None,
    ) -> Iterator[tuple[int, Tensor]]:
        """Like run, but yielding the wanted steps alone and stopping after the last of them. sums: additions of wanted
        steps that the caller does; arg_max: as of run.

        On a CPU a convolution does the addition and the ReLU behind it on its way out, where neither its own output nor
        the sum is wanted: that saves passes over large maps.
        """
        last = max(wanted)
        last_use = [max(readers, default=last) for readers in self.consumers]
        values: dict[int, Tensor] = {0: pictures}
        fusions, sums = self._fusions(pictures, wanted, last), sums or {}
        done: set[int] = set()
        if 0 in wanted:
            yield 0, pictures
        for index, step in enumerate(self.steps[: last + 1]):
            if step.op == "input" or index in done:
                continue
            fusion = fusions.get(index, _Fusion())
            partner = None if fusion.add is None else self._free_partner(index, fusion.add, values)
            if fusion.add is not None and partner is None:
                fusion = _Fusion()  # the convolution alone; the addition and the ReLU follow as steps
            behind = [i for i in (fusion.add, fusion.relu) if i is not None]
            if index in sums:
                end = sums[index].end
                done.add(end)
                output = sums[index].make(*(values[i] for i in step.inputs))
            elif behind:
                end = behind[-1]
                done.update(behind)
                other = None if partner is None else values[partner]
                output = CONVOLUTION.fused(step, values[step.inputs[0]], other, fusion.relu is not None)
            elif step.op == "max_pool" and arg_max is not None:
                end = index
                output, arg_max[index] = MAX_POOL.with_positions(step, values[step.inputs[0]])
            else:
                end = index
                in_place = self._may_overwrite(index, last_use)
                output = step.run(*(values[i] for i in step.inputs), in_place=in_place)
            sources = {*step.inputs} if partner is None else {*step.inputs, partner}
            for source in sources:
                if last_use[source] <= end and all(
                    reader <= index or reader in done for reader in self.consumers[source]
                ):
                    values.pop(source, None)
            values[end] = output
            if end in wanted:
                yield end, output

    def _free_partner(self, index: int, add: int, values: Mapping[int, Tensor]) -> int | None:
        """The other input of an addition, if the convolution at `index` may add its result to that in place: it has
        been computed, is not the caller's, no later step but the addition reads it, and no other step shares its
        memory."""
        partner = next(i for i in self.steps[add].inputs if i != index)
        free = all(reader < index or reader == add for reader in self.consumers[partner])
        return (
            partner if partner in values and partner != 0 and free and not self._is_viewed(partner) else None
        )

    def _fusions(self, pictures: Tensor, wanted: Collection[int], last: int) -> dict[int, _Fusion]:
        """What each convolution may do on its way out, {} where this machine has no such convolutions."""
        if pictures.device.type != "cpu" or pictures.dtype != torch.float32 or not can_fuse():
            return {}
        fusions: dict[int, _Fusion] = {}
        for index, step in enumerate(self.steps):
            if step.op != "conv":
                continue
            add = self._only_reader(index, "add", wanted, last)
            relu = self._only_reader(index if add is None else add, "relu", wanted, last)
            if relu is not None and self.steps[relu].limit < math.inf:
                relu = None
            if add is not None or relu is not None:
                fusions[index] = _Fusion(add, relu)
        return fusions

    def _only_reader(self, index: int, op: OpName, wanted: Collection[int], last: int) -> int | None:
        """The step that alone reads an unwanted step, if it is this operation and not behind the last one."""
        readers = self.consumers[index]
        if index in wanted or len(readers) != 1 or readers[0] > last or self.steps[readers[0]].op != op:
            return None
        return readers[0]


def _channels_read(steps: tuple[Step, ...]) -> int:
    """How many channels the first convolution reads; 3 where there is none."""
    first = next((step for step in steps if step.op == "conv" and step.weight is not None), None)
    return 3 if first is None or first.weight is None else first.weight.shape[1] * first.groups


@functools.cache
def can_fuse() -> bool:
    """Whether this torch has oneDNN's convolutions with work done on the way out; tried, since these calls are private
    to torch and may change."""
    x = torch.ones(1, 16, 2, 2).contiguous(memory_format=torch.channels_last)
    weight = -torch.ones(16, 16, 1, 1)
    conv = Step("conv", (0,), "", weight, torch.ones(16))
    try:
        alone = CONVOLUTION.fused(conv, x, None, True)
        summed = CONVOLUTION.fused(conv, x, torch.full_like(x, 16.0), False)
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return bool((alone == 0).all() and (summed == 1).all())

"""A torch module as a flat list of steps, read from it by torch.fx.

Everything that walks a network walks this list: the scan (forward), the unit gradients (backward), receptive
fields, drawings. It is what frees the rest of the house from module hooks, which on residual networks lie:
blocks share one in-place ReLU, and `out += identity` overwrites what a hook on `bn2` was handed.

BatchNorm is folded into the convolution before it where nothing else reads that convolution; the fold is
computed in float64. Any other BatchNorm stays as an `affine` step (a fixed scale and shift a channel: the
network is in eval mode)."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import operator
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from generator.core.errors import AtlasError

Op = Literal[
    "input", "conv", "affine", "relu", "max_pool", "avg_pool", "adaptive_pool", "add", "concat", "flatten",
    "linear",
]  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One operation. inputs: indices of the steps it reads; scope: torchvision's path of the module it came
    from.

    weight: (C_out, C_in / groups, k, k) of a conv, (C_out, C_in) of a linear, (C,) of an affine, (1,) where it
    multiplies all channels alike; bias: (C_out,). kernel: side of the window in px; of an adaptive_pool, side of its
    output. norm: torchvision's path of the BatchNorm that was folded into a conv, '' for none."""

    op: Op
    inputs: tuple[int, ...]
    scope: str
    weight: Tensor | None = field(default=None, repr=False)
    bias: Tensor | None = field(default=None, repr=False)
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    ceil_mode: bool = False
    norm: str = ""

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the output for given inputs: operation, settings, and numbers as float32 (what
        networks compute in, and the same whichever torch folded them); of no name."""
        names = {"inputs", "scope", "norm", "weight", "bias"}
        settings = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in names}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for tensor in (self.weight, self.bias):
            digest.update(f"\0{None if tensor is None else tuple(tensor.shape)}\0".encode())
            if tensor is not None:
                digest.update(tensor.detach().float().contiguous().numpy().data)
        return digest.hexdigest()

    def run(self, *inputs: Tensor, in_place: bool = False) -> Tensor:
        """The step's output for its inputs; in_place: the first input may be overwritten."""
        x = inputs[0]
        match self.op:
            case "conv":
                assert self.weight is not None
                return F.conv2d(
                    x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
                )
            case "affine":
                assert self.weight is not None
                assert self.bias is not None
                each = (-1, *[1] * (x.dim() - 2))  # a channel, of maps or of a vector
                return x * self.weight.view(each) + self.bias.view(each)
            case "relu":
                return x.relu_() if in_place else x.relu()
            case "max_pool":
                return F.max_pool2d(x, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode)
            case "avg_pool":
                return F.avg_pool2d(x, self.kernel, self.stride, self.padding, self.ceil_mode)
            case "adaptive_pool":
                return F.adaptive_avg_pool2d(x, self.kernel)
            case "add":
                return x.add_(inputs[1]) if in_place else x + inputs[1]
            case "concat":
                return torch.cat(inputs, 1)
            case "flatten":
                return x.flatten(1)
            case "linear":
                assert self.weight is not None
                return F.linear(x, self.weight, self.bias)
        raise AssertionError(self.op)  # "input" is never run

    def run_fused(self, x: Tensor, other: Tensor | None, relu: bool) -> Tensor:
        """A convolution, then `other` added (into other's memory), then a ReLU, in one pass: oneDNN, CPU,
        float32."""
        geometry = [self.padding] * 2, [self.stride] * 2, [self.dilation] * 2, self.groups
        after = "relu" if relu else None
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, self.weight, self.bias, *geometry, after or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, self.weight, self.bias, *geometry, "add", 1.0, after, [], ""
        )


class ZeroPadShortcut(nn.Module):
    """The option-A shortcut of arXiv:1512.03385, section 4.2: every `stride`-th pixel, new channels zero,
    half on each side."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.channels_in, self.channels_out, self.stride = channels_in, channels_out, stride

    def forward(self, x: Tensor) -> Tensor:  # (B, C_in, H, W) → (B, C_out, H / stride, W / stride)
        before = (self.channels_out - self.channels_in) // 2
        after = self.channels_out - self.channels_in - before
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, after))

    @classmethod
    def where_sizes_change(cls, channels_in: int, channels_out: int, stride: int) -> nn.Module:
        """The identity where input and output have one shape, else the padded shortcut."""
        same = channels_in == channels_out and stride == 1
        return nn.Identity() if same else cls(channels_in, channels_out, stride)

    def as_convolution(self) -> Tensor:
        """The same map as the weight of a 1×1 convolution (exact: it multiplies by one and adds zeros)."""
        weight = torch.zeros(self.channels_out, self.channels_in, 1, 1)
        before = (self.channels_out - self.channels_in) // 2
        weight[torch.arange(self.channels_in) + before, torch.arange(self.channels_in)] = 1
        return weight


class Graph:
    """The steps of a network in forward order. Step 0 is the input, (B, 3, H, W)."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self.consumers: list[list[int]] = [[] for _ in steps]
        for index, step in enumerate(steps):
            for source in step.inputs:
                self.consumers[source].append(index)

    def __len__(self) -> int:
        return len(self.steps)

    def count(self, op: Op) -> int:
        return sum(step.op == op for step in self.steps)

    def until(self, last: int) -> Graph:
        """The graph up to and with step `last`, without the steps that do not lead there."""
        return self._keep(self._leading_to([last]))

    def digest(self, ends: Collection[int]) -> str:
        """SHA-256 of all that the outputs of some steps depend on: every operation that leads there with its settings
        and numbers, and how they are joined. Names of modules do not count, nor does what lies elsewhere."""
        kept = self._leading_to(ends)
        place = {old: new for new, old in enumerate(kept)}
        steps = [(self.steps[i].digest, [place[j] for j in self.steps[i].inputs]) for i in kept]
        return hashlib.sha256(json.dumps([steps, [place[end] for end in ends]]).encode()).hexdigest()

    def _leading_to(self, ends: Collection[int]) -> list[int]:
        """These steps and all that they read, in forward order."""
        needed = set(ends)
        for index in range(max(needed), -1, -1):
            if index in needed:
                needed.update(self.steps[index].inputs)
        return sorted(needed)

    def _keep(self, kept: list[int]) -> Graph:
        place = {old: new for new, old in enumerate(kept)}
        return Graph(
            tuple(
                replace(self.steps[old], inputs=tuple(place[i] for i in self.steps[old].inputs))
                for old in kept
            )
        )

    def end_of(self, path: str) -> int:
        """The last step that belongs to the module at `path`: for a block, its output after the addition and
        ReLU."""
        inside = [
            i for i, step in enumerate(self.steps) if step.scope == path or step.scope.startswith(path + ".")
        ]
        if not inside:
            raise AtlasError("the network has no such module", path)
        return inside[-1]

    def after_convolution(self, path: str) -> int:
        """The convolution at `path` after its BatchNorm, and after the ReLU where that alone reads it."""
        index = next(
            (i for i, step in enumerate(self.steps) if step.op == "conv" and step.scope == path), None
        )
        if index is None:
            raise AtlasError("the network has no such convolution", path)
        for op in ("affine", "relu"):
            readers = self.consumers[index]
            if len(readers) == 1 and self.steps[readers[0]].op == op:
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
        pooled = self.steps[self._before_flatten(step.inputs[0])]
        if step.op == "conv" and step.kernel == 1 and pooled.op == "adaptive_pool" and pooled.kernel == 1:
            return step.inputs[0], step.weight.shape[1]
        return None

    def module_of(self, index: int) -> str:
        """torchvision's path of the module whose output the step is, flattened or not."""
        return self.steps[self._before_flatten(index)].scope

    def _before_flatten(self, index: int) -> int:
        while self.steps[index].op == "flatten":
            index = self.steps[index].inputs[0]
        return index

    def to(self, device: torch.device | str, dtype: torch.dtype) -> Graph:
        """The same graph with its weights elsewhere; convolution weights are laid out channels_last."""

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
            return tensor.to(device, dtype).contiguous(memory_format=layout)

        return Graph(
            tuple(replace(step, weight=move(step.weight), bias=move(step.bias)) for step in self.steps)
        )

    def run(self, pictures: Tensor, arg_max: dict[int, Tensor] | None = None) -> Iterator[tuple[int, Tensor]]:
        """Run the network, yielding (step, output) in forward order; pictures: (B, 3, H, W).

        An output is valid until the next one is asked for: later steps reuse its memory. Who keeps one,
        clones it. arg_max: filled with the flat indices that each max_pool took its values from, as torch
        gives them."""
        last_use = [max(readers, default=len(self.steps)) for readers in self.consumers]
        values: dict[int, Tensor] = {0: pictures}
        yield 0, pictures
        for index, step in enumerate(self.steps):
            if step.op == "input":
                continue
            first, shared = step.inputs[0], len(set(step.inputs)) < len(step.inputs)
            in_place = first != 0 and last_use[first] == index and not shared
            if step.op == "max_pool" and arg_max is not None:
                output, arg_max[index] = F.max_pool2d(
                    values[first], step.kernel, step.stride, step.padding, step.dilation, step.ceil_mode, True
                )
            else:
                output = step.run(*(values[i] for i in step.inputs), in_place=in_place)
            for source in step.inputs:
                if last_use[source] == index:
                    values.pop(source, None)
            values[index] = output
            yield index, output

    def shapes(self, side: int, last: int | None = None) -> list[tuple[int, int, int]]:
        """(C, H, W) of every step's output, up to step `last`, for square pictures of `side` px; H = W = 1 behind the
        flattening. Found without computing, on torch's meta device. Raises AtlasError if such pictures do not fit."""
        blank = torch.empty(1, 3, side, side, device="meta")
        found: list[tuple[int, int, int]] = []
        try:
            for index, output in self.to("meta", torch.float32).run(blank):
                channels, height, width = (*output.shape[1:], 1, 1)[:3]
                found.append((channels, height, width))
                if index == last:
                    break
        except RuntimeError as error:
            raise AtlasError(
                f"pictures of {side} px do not go through the network ({error})",
                remedy="choose another crop",
            ) from error
        return found

    def multiply_adds(self, side: int, last: int | None = None) -> int:
        """Of all convolutions up to step `last`, for one square picture of `side` px."""
        return self.running_multiply_adds(side, last)[-1]

    def running_multiply_adds(self, side: int, last: int | None = None) -> list[int]:
        """Of all convolutions up to each step, the last one `last`, for one square picture of `side` px."""
        total, found = 0, []
        for step, (channels, height, width) in zip(self.steps, self.shapes(side, last), strict=False):
            if step.op == "conv" and step.weight is not None:
                total += channels * height * width * step.weight[0].numel()
            found.append(total)
        return found

    def visit(self, pictures: Tensor, wanted: Collection[int]) -> Iterator[tuple[int, Tensor]]:
        """Like run, but yielding the wanted steps alone and stopping after the last of them.

        On a CPU a convolution does the addition and the ReLU behind it on its way out, where neither its own
        output nor the sum is wanted: every pass over a large map that is saved counts there."""
        last = max(wanted)
        last_use = [max(readers, default=last) for readers in self.consumers]
        values: dict[int, Tensor] = {0: pictures}
        fused = self._fusible(pictures, wanted, last)
        done: set[int] = set()
        if 0 in wanted:
            yield 0, pictures
        for index, step in enumerate(self.steps[: last + 1]):
            if step.op == "input" or index in done:
                continue
            add, relu = fused.get(index, (None, None))
            sources = list(step.inputs)
            end = index
            other = None
            if add is not None:
                partner = next(i for i in self.steps[add].inputs if i != index)
                # The convolution adds its result to the other branch's in place: that must be there, and free
                # to change.
                free = all(reader < index or reader == add for reader in self.consumers[partner])
                if partner in values and partner != 0 and free:
                    other, end = values[partner], relu if relu is not None else add
                    sources.append(partner)
                    done.update(i for i in (add, relu) if i is not None)
            elif relu is not None:
                end = relu
                done.add(relu)
            if end == index:
                first, shared = step.inputs[0], len(set(step.inputs)) < len(step.inputs)
                in_place = first != 0 and last_use[first] == index and not shared
                output = step.run(*(values[i] for i in step.inputs), in_place=in_place)
            else:
                output = step.run_fused(values[step.inputs[0]], other, relu is not None)
            for source in set(sources):
                if last_use[source] <= end and all(
                    reader <= index or reader in done for reader in self.consumers[source]
                ):
                    values.pop(source, None)
            values[end] = output
            if end in wanted:
                yield end, output

    def _fusible(
        self, pictures: Tensor, wanted: Collection[int], last: int
    ) -> dict[int, tuple[int | None, int | None]]:
        """For each convolution the addition and the ReLU that may be done with it."""
        if pictures.device.type != "cpu" or pictures.dtype != torch.float32 or not _can_fuse():
            return {}
        found: dict[int, tuple[int | None, int | None]] = {}
        for index, step in enumerate(self.steps):
            if step.op != "conv":
                continue
            add = self._only_reader(index, "add", wanted, last)
            relu = self._only_reader(index if add is None else add, "relu", wanted, last)
            if add is not None or relu is not None:
                found[index] = (add, relu)
        return found

    def _only_reader(self, index: int, op: Op, wanted: Collection[int], last: int) -> int | None:
        readers = self.consumers[index]
        if index in wanted or len(readers) != 1 or readers[0] > last or self.steps[readers[0]].op != op:
            return None
        return readers[0]


@functools.cache
def _can_fuse() -> bool:
    """Whether this torch has oneDNN's convolutions with work done on the way out; tried, for the calls are
    torch's own and may change."""
    x = torch.ones(1, 16, 2, 2).contiguous(memory_format=torch.channels_last)
    weight = -torch.ones(16, 16, 1, 1)
    conv = Step("conv", (0,), "", weight, torch.ones(16))
    try:
        alone = conv.run_fused(x, None, True)
        summed = conv.run_fused(x, torch.full_like(x, 16.0), False)
    except (RuntimeError, AttributeError, TypeError, NotImplementedError):
        return False
    return bool((alone == 0).all() and (summed == 1).all())


# -- from a module to steps ----------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, ZeroPadShortcut) or super().is_leaf_module(module, qualified_name)


def nodes(module: nn.Module) -> list[fx.Node]:
    """torch.fx's own nodes of a module in eval mode, in forward order; raises AtlasError where it cannot be traced."""
    try:
        return list(_Tracer().trace(module.eval()).nodes)
    except Exception as error:  # torch.fx raises many kinds; all mean the same to the user
        raise AtlasError(
            f"the network cannot be traced by torch.fx ({error})", type(module).__name__
        ) from error


def trace(module: nn.Module) -> Graph:
    """Read the steps of a module in eval mode; raises AtlasError naming an operation that the atlas does not
    know."""
    graph_nodes, modules = nodes(module), dict(module.named_modules())
    steps: list[Step] = []
    place: dict[fx.Node, int] = {}
    scope = ""
    for node in graph_nodes:
        if node.op == "output":
            break
        # A functional call carries no module of its own: it belongs to the innermost module that was being
        # run.
        stack = node.meta.get("nn_module_stack")
        scope = str(node.target) if node.op == "call_module" else (list(stack)[-1] if stack else scope)
        step = _step_of(node, modules, place, scope)
        if step is None:  # dropout and identity pass their input on
            place[node] = place[node.all_input_nodes[0]]
            continue
        place[node] = len(steps)
        steps.append(step)
    return _fold(Graph(tuple(steps)))


def _max_pool2d(
    input: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
    return_indices: bool = False,
) -> None:  # fmt: skip
    """The arguments of torch's function, which says them of itself no more."""


def _one(value: Any) -> int:
    """A square size given as an int or a pair; raises AtlasError if it is not square."""
    if isinstance(value, (tuple, list)):
        if len(set(value)) != 1:
            raise AtlasError(f"only square kernels, strides and paddings are supported, not {tuple(value)}")
        value = value[0]
    return int(value)


def _step_of(
    node: fx.Node, modules: dict[str, nn.Module], place: dict[fx.Node, int], scope: str
) -> Step | None:
    inputs = tuple(place[arg] for arg in node.all_input_nodes)
    if node.op == "placeholder":
        return Step("input", (), "")
    if node.op == "call_module":
        return _step_of_module(modules[str(node.target)], inputs, scope)
    target = node.target
    if target in (operator.add, operator.iadd, torch.add) or target in ("add", "add_"):
        # `x + x` reads one node twice.
        both = tuple(place[arg] for arg in node.args if isinstance(arg, fx.Node))
        if len(both) == 2:
            return Step("add", both, scope)
    if target in (operator.mul, operator.imul, torch.mul) or target in ("mul", "mul_"):
        numbers = [arg for arg in node.args if isinstance(arg, int | float)]
        if len(inputs) == len(numbers) == 1:
            by = torch.tensor(numbers, dtype=torch.float64)
            return None if numbers == [1] else Step("affine", inputs, scope, by, torch.zeros_like(by))
    if target in (F.relu, torch.relu, F.relu_, torch.relu_, "relu", "relu_"):
        return Step("relu", inputs, scope)
    if target in (torch.flatten, "flatten"):
        return Step("flatten", inputs, scope)
    if target is torch.cat or target is torch.concat:
        parts = node.args[0]
        return Step("concat", tuple(place[part] for part in parts), scope)  # type: ignore[union-attr, index]
    if target is F.adaptive_avg_pool2d:
        return Step("adaptive_pool", inputs, scope, kernel=_one(node.args[1]))
    if target in (F.max_pool2d, torch.max_pool2d):
        said = inspect.signature(_max_pool2d).bind(*node.args, **node.kwargs)
        said.apply_defaults()
        how = said.arguments
        if not how["return_indices"]:
            kernel, padding, dilation = (_one(how[name]) for name in ("kernel_size", "padding", "dilation"))
            stride = kernel if how["stride"] in (None, []) else _one(how["stride"])
            pool = Step("max_pool", inputs, scope, None, None, kernel, stride, padding, dilation)
            return replace(pool, ceil_mode=how["ceil_mode"])
    if target is F.dropout:
        return None
    raise AtlasError(
        "the network uses an operation that the atlas does not know", f"{target} in {scope or 'the network'}"
    )


def _step_of_module(module: nn.Module, inputs: tuple[int, ...], scope: str) -> Step | None:
    match module:
        case nn.Conv2d():
            if module.padding_mode != "zeros" or isinstance(module.padding, str):
                raise AtlasError("only zero padding given in pixels is supported", scope)
            return Step(
                "conv",
                inputs,
                scope,
                module.weight.detach(),
                None if module.bias is None else module.bias.detach(),
                kernel=_one(module.kernel_size),
                stride=_one(module.stride),
                padding=_one(module.padding),
                dilation=_one(module.dilation),
                groups=module.groups,
            )
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            if module.running_mean is None or module.running_var is None:
                raise AtlasError("a BatchNorm without running statistics has no fixed scale", scope)
            gain = torch.ones_like(module.running_var) if module.weight is None else module.weight.detach()
            shift = torch.zeros_like(module.running_mean) if module.bias is None else module.bias.detach()
            scale = gain.double() / (module.running_var.double() + module.eps).sqrt()
            return Step("affine", inputs, scope, scale, shift.double() - module.running_mean.double() * scale)
        case ZeroPadShortcut():
            return Step("conv", inputs, scope, module.as_convolution(), None, stride=module.stride)
        case nn.ReLU():
            return Step("relu", inputs, scope)
        case nn.MaxPool2d():
            return Step(
                "max_pool",
                inputs,
                scope,
                kernel=_one(module.kernel_size),
                stride=_one(module.stride),
                padding=_one(module.padding),
                dilation=_one(module.dilation),
                ceil_mode=module.ceil_mode,
            )
        case nn.AvgPool2d():
            if (
                module.ceil_mode
                or module.divisor_override
                or (module.padding and not module.count_include_pad)
            ):
                raise AtlasError("only average pooling that counts every position is supported", scope)
            kernel, padding = _one(module.kernel_size), _one(module.padding)
            return Step("avg_pool", inputs, scope, kernel=kernel, stride=_one(module.stride), padding=padding)
        case nn.AdaptiveAvgPool2d():
            return Step("adaptive_pool", inputs, scope, kernel=_one(module.output_size))
        case nn.Linear():
            bias = None if module.bias is None else module.bias.detach()
            return Step("linear", inputs, scope, module.weight.detach(), bias)
        case nn.Flatten():
            return Step("flatten", inputs, scope)
        case nn.Identity() | nn.Dropout():
            return None
    raise AtlasError(
        "the network uses a module that the atlas does not know", f"{type(module).__name__} at {scope}"
    )


def _fold(graph: Graph) -> Graph:
    """Fold each affine step into the convolution or linear step that it alone reads."""
    steps = list(graph.steps)
    kept: list[int] = []
    moved: dict[int, int] = {}  # a folded affine's readers read the convolution instead
    for index, step in enumerate(steps):
        step = replace(step, inputs=tuple(moved.get(i, i) for i in step.inputs))
        steps[index] = step
        source = step.inputs[0] if step.inputs else -1
        foldable = step.op == "affine" and steps[source].op in ("conv", "linear")
        if foldable and graph.consumers[source] == [index]:
            steps[source] = _folded(steps[source], step)
            moved[index] = source
        else:
            kept.append(index)
    return Graph(tuple(steps))._keep(kept)


def _folded(step: Step, affine: Step) -> Step:
    assert step.weight is not None
    assert affine.weight is not None
    assert affine.bias is not None
    # The convolution keeps its own scope; the BatchNorm's is a neighbour (conv1, bn1) and no layer is named
    # by it.
    scale, shift = affine.weight.expand(len(step.weight)), affine.bias.expand(len(step.weight))
    weight = step.weight.double() * scale.view(-1, *[1] * (step.weight.dim() - 1))
    bias = shift if step.bias is None else shift + step.bias.double() * scale
    return replace(step, weight=weight, bias=bias, norm=affine.scope)

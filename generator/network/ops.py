"""The operations that a network is made of. An operation is one class here, with its forward pass on whole maps and on
windows, the positions of its input that one position of its output depends on, its receptive field, and whether it is
drawn.

The operations of residual networks as arXiv:1512.03385 has them have a class each, and a way to compute single windows
of their maps forward and backward. Any other operation of torch is a `Torch` step: torch runs it, forward and backward,
on whole maps.

Three other places know operations by name: tracing.py (which of torch's operations becomes which), engine/gradients/
backward.py (the backward pass of single units) and the site's drawing of a network (site/figures/volume_words.py and
site/chapters/architecture.py)."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from generator.core.records import ReceptiveField
from generator.network.call import Call
from generator.network.windows import Window

OpName = Literal[
    "input", "conv", "affine", "relu", "max_pool", "avg_pool", "adaptive_pool", "add", "concat", "flatten",
    "linear", "pad", "activation", "torch",
]  # fmt: skip
Reads = Literal["position", "window", "map"]


@dataclass(frozen=True)
class Step:
    """One operation of a network, with its inputs and its numbers.

    op: which operation; inputs: indices of the steps that it reads; scope: torchvision's path of the module that it
    came from, '' for the network's own forward. weight: (C_out, C_in / groups, k, k) of a conv, (C_out, C_in) of a
    linear, (C,) of an affine, (1,) where one factor multiplies all channels; bias: (C_out,). kernel, stride, padding,
    dilation: in px of the input; kernel of an adaptive_pool: side of its output. norm: torchvision's path of the
    BatchNorm that an affine is, or that was folded into a conv, '' for none. limit: the largest value that a relu
    passes on (6 of a ReLU6); after: px that a pad adds on the right and below, where `padding` says how many on the
    left and above; call: of an activation or another operation of torch, what is called; raw: a conv's or linear's
    weight before a norm was folded into it, None where none was.
    """

    op: OpName
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
    limit: float = math.inf
    after: int = 0
    call: Call | None = None
    raw: Tensor | None = field(default=None, repr=False)

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides the output for given inputs: operation, settings and numbers, but no names.

        The numbers count as float32: networks compute in that, and every torch folds a BatchNorm to the same float32.
        """
        excluded = {"inputs", "scope", "norm", "weight", "bias", "call", "raw"}
        settings = {part.name: getattr(self, part.name) for part in fields(self) if part.name not in excluded}
        for name, default in _DEFAULTS.items():
            if (
                settings[name] == default
            ):  # an operation without such a setting keeps the digest that it always had
                del settings[name]
        if self.call is not None:
            settings["call"] = self.call.words
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for tensor in (self.weight, self.bias, *(() if self.call is None else self.call.tensors)):
            digest.update(f"\0{None if tensor is None else tuple(tensor.shape)}\0".encode())
            if tensor is not None:
                digest.update(tensor.detach().float().contiguous().numpy().data)
        return digest.hexdigest()

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The weights and other fixed tensors of the operation."""
        own = tuple(tensor for tensor in (self.weight, self.bias) if tensor is not None)
        return own if self.call is None else (*own, *self.call.tensors)

    @property
    def first_inputs(self) -> Tensor:
        """Of a convolution the first channel that each output channel reads, (C_out,) int64 where the weights are: a
        group's inputs follow each other."""
        assert self.weight is not None
        out, within = self.weight.shape[:2]
        return torch.arange(out, device=self.weight.device) // (out // self.groups) * within

    @property
    def kind(self) -> Op:
        """The operation's class."""
        return OPS[self.op]

    @property
    def reads(self) -> Reads:
        """On which positions of its inputs one position of the output depends, as `Op.reads` says it."""
        return self.kind.reads_of(self)

    @property
    def is_windowed(self) -> bool:
        """Whether windows and single units of the operation have their own way here: not one that torch runs."""
        return self.call is None

    @property
    def is_norm(self) -> bool:
        """Whether the step is a norm, or another scale and shift."""
        return self.op == "affine" or (self.call is not None and any(n in self.call.target for n in _NORMS))

    @property
    def is_rectifier(self) -> bool:
        """Whether a rule for ReLUs applies to the step (engine/relu_rules.py)."""
        return self.op in ("relu", "activation")

    def run(self, *inputs: Tensor, in_place: bool = False) -> Tensor:
        """The step's output for its inputs, (B, C, H, W) or (B, C) each, in_place: the first may be overwritten. Behind
        an operation of torch other shapes are possible, the batch always first."""
        return self.kind.forward(self, inputs, in_place)

    def input_window(self, window: Window) -> Window:
        """The window of each input that a window of the output depends on, not cut at the map's border. Not for an
        operation that reads whole maps."""
        if self.reads != "window":
            return window
        return window.input_of(self.kernel, self.stride, self.padding, self.dilation)


class Op:
    """One kind of operation.

    reads: on which positions of its inputs one position of the output depends: the same "position", a "window", or the
    whole "map". drawn: whether a drawing of a network shows it as a volume. padding_value: what lies outside the map
    for an operation that reads windows.
    """

    reads: ClassVar[Reads] = "position"
    drawn: ClassVar[bool] = False
    padding_value: ClassVar[float] = 0.0

    def reads_of(self, step: Step) -> Reads:
        """`reads` of one step."""
        return self.reads

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        """The output for the inputs of one step; in_place: the first may be overwritten."""
        raise NotImplementedError

    def without_padding(self, step: Step, x: Tensor) -> Tensor:
        """As `forward` for an operation that reads windows, where the caller has padded already."""
        raise NotImplementedError

    def receptive_field(self, step: Step, sources: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
        """The output's receptive field from those of the inputs; None: a position sees the whole picture."""
        known = [source for source in sources if source is not None]
        if self.reads == "map" or not known:
            return None
        if self.reads == "window":
            (source,) = known
            return windowed_field(source, step)
        # Paths that meet (addition, concatenation) have the same stride; the result sees what the widest of them sees.
        return joined_field(known, len(known) < len(sources))


def windowed_field(source: ReceptiveField, step: Step) -> ReceptiveField:
    """The field of a window of positions, each with the field `source`."""
    reach = (step.kernel - 1) * step.dilation
    return replace(
        source,
        side=math.ceil(source.side + reach * source.stride),
        stride=source.stride * step.stride,
        centre=source.centre + (reach / 2 - step.padding) * source.stride,
    )


def joined_field(known: Sequence[ReceptiveField], beyond: bool) -> ReceptiveField:
    """The field of a position that sees several; beyond: whether it also depends on the whole picture."""
    widest = max(known, key=lambda field: field.side)
    beyond = beyond or any(field.beyond for field in known)
    return widest if widest.beyond == beyond else replace(widest, beyond=beyond)


class Input(Op):
    """The pictures, (B, 3, H, W). It has no forward pass."""

    drawn = True

    def receptive_field(self, step: Step, sources: Sequence[ReceptiveField | None]) -> ReceptiveField:
        return ReceptiveField(1, 1, 0.0)


class Convolution(Op):
    """A 2-D convolution, with the BatchNorm behind it folded in where possible."""

    reads, drawn = "window", True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return self._convolved(step, inputs[0], step.padding)

    def without_padding(self, step: Step, x: Tensor) -> Tensor:
        return self._convolved(step, x, 0)

    def _convolved(self, step: Step, x: Tensor, padding: int) -> Tensor:
        assert step.weight is not None
        return F.conv2d(x, step.weight, step.bias, step.stride, padding, step.dilation, step.groups)

    def fused(
        self, step: Step, x: Tensor, other: Tensor | None, relu: bool, padding: int | None = None
    ) -> Tensor:
        """The convolution, then `other` added (into other's memory) unless it is None, then a ReLU if asked for, in one
        pass over the maps. padding: on all sides, the step's own if left out. By oneDNN: CPU, float32, channels_last;
        graph.can_fuse tells whether this torch has it."""
        padding = step.padding if padding is None else padding
        geometry = [padding] * 2, [step.stride] * 2, [step.dilation] * 2, step.groups
        after = "relu" if relu else None
        if other is None:
            return torch.ops.mkldnn._convolution_pointwise(
                x, step.weight, step.bias, *geometry, after or "none", [], ""
            )
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            other, x, step.weight, step.bias, *geometry, "add", 1.0, after, [], ""
        )


class Affine(Op):
    """A fixed scale and shift per channel: a BatchNorm in eval mode that is not folded into a convolution."""

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        assert step.weight is not None
        assert step.bias is not None
        x = inputs[0]
        each = (-1, *[1] * (x.dim() - 2))  # per channel, of maps or of a vector
        return x * step.weight.view(each) + step.bias.view(each)


class Relu(Op):
    """max(x, 0), or min(max(x, 0), limit)."""

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        output = inputs[0].relu_() if in_place else inputs[0].relu()
        return output if step.limit == math.inf else output.clamp_(max=step.limit)


class Pad(Op):
    """Zeros around the map: `padding` rows and columns above and on the left, `after` below and on the right. It stands
    before a convolution that pads both sides unequally."""

    reads = "window"

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return F.pad(inputs[0], (step.padding, step.after, step.padding, step.after))

    def without_padding(self, step: Step, x: Tensor) -> Tensor:
        return x


class MaxPool(Op):
    """The largest value of each k × k window; positions outside the map count as −∞."""

    reads, drawn, padding_value = "window", True, -torch.inf

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return F.max_pool2d(inputs[0], step.kernel, step.stride, step.padding, step.dilation, step.ceil_mode)

    def without_padding(self, step: Step, x: Tensor) -> Tensor:
        return F.max_pool2d(x, step.kernel, step.stride, 0, step.dilation)

    def with_positions(self, step: Step, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the flat index on the input map (row · W + column) that each value was taken from."""
        output, positions = F.max_pool2d(
            x, step.kernel, step.stride, step.padding, step.dilation, step.ceil_mode, True
        )
        return output, positions


class AveragePool(Op):
    """The mean of each k × k window. Padding counts: every sum is divided by k². A pooling that divides otherwise is a
    `Torch` step."""

    reads, drawn = "window", True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return F.avg_pool2d(inputs[0], step.kernel, step.stride, step.padding, step.ceil_mode)

    def without_padding(self, step: Step, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, step.kernel, step.stride)


class AdaptivePool(Op):
    """The mean of equal parts of the map, down to `kernel` positions per side; 1 is global average pooling."""

    reads, drawn = "map", True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return F.adaptive_avg_pool2d(inputs[0], step.kernel)


class Add(Op):
    """The sum of two maps of one shape."""

    drawn = True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return inputs[0].add_(inputs[1]) if in_place else inputs[0] + inputs[1]


class Concat(Op):
    """The inputs' channels one after the other."""

    drawn = True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return torch.cat(tuple(inputs), 1)


class Flatten(Op):
    """(B, C, H, W) → (B, C · H · W)."""

    reads = "map"

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        return inputs[0].flatten(1)


class Linear(Op):
    """A fully connected layer, (B, F) → (B, outputs)."""

    reads, drawn = "map", True

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        assert step.weight is not None
        return F.linear(inputs[0], step.weight, step.bias)


class Torch(Op):
    """Any other operation of torch."""

    reads = "map"

    def reads_of(self, step: Step) -> Reads:
        assert step.call is not None
        return "position" if step.call.is_local else "map"

    def forward(self, step: Step, inputs: Sequence[Tensor], in_place: bool) -> Tensor:
        assert step.call is not None
        return step.call(inputs)

    def receptive_field(self, step: Step, sources: Sequence[ReceptiveField | None]) -> ReceptiveField | None:
        assert step.call is not None
        known = [field for i in step.call.follows if (field := sources[i]) is not None]
        if not known:
            return None
        field = joined_field(known, step.call.beyond or len(known) < len(sources))
        factor = step.call.enlarges
        if factor == 1:
            return windowed_field(field, step)
        stride = field.stride / factor
        # A position between those of the resized map: at most one of its strides further than either.
        return replace(
            field,
            side=field.side + math.ceil(2 * max(field.stride, stride)),
            stride=int(stride) if stride == int(stride) else stride,
            centre=field.centre + (stride - field.stride) / 2,
        )


class Activation(Torch):
    """A leaky or smooth rectifier (LeakyReLU, GELU, SiLU …), for which torch has the function and its derivative."""


CONVOLUTION, MAX_POOL = Convolution(), MaxPool()
OPS: dict[OpName, Op] = {
    "input": Input(),
    "conv": CONVOLUTION,
    "affine": Affine(),
    "relu": Relu(),
    "max_pool": MAX_POOL,
    "avg_pool": AveragePool(),
    "adaptive_pool": AdaptivePool(),
    "add": Add(),
    "concat": Concat(),
    "flatten": Flatten(),
    "linear": Linear(),
    "pad": Pad(),
    "activation": Activation(),
    "torch": Torch(),
}
_NORMS = ("group_norm", "instance_norm", "layer_norm", "batch_norm")  # in the names of torch's operations
# Settings that came later than the digests of the first atlases.
_DEFAULTS = {"limit": math.inf, "after": 0}

"""Where the positions of a map lie in the output of an operation that torch runs.

A map is (B, C, H, W). Networks permute, reshape and slice it; as long as rows and columns stay whole, a position of the
output is one of the input, and its receptive field is known. Where they do not (attention, pooling), positions are
lost: the output depends on the whole picture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

Axes = tuple[int, int]  # of rows and of columns
Shape = tuple[int | None, ...]  # None: the batch, or what depends on it
MAP: Axes = (2, 3)


class Place(Protocol):
    """What is known of an input: see reading.Value."""

    @property
    def shape(self) -> Shape: ...
    @property
    def axes(self) -> Axes | None: ...


@dataclass(frozen=True)
class Placed:
    """Where an output's positions lie; see call.Call. axes: of rows and columns, None where they are lost; kernel,
    stride, padding, dilation: of a window of positions that one output position depends on."""

    axes: Axes | None = None
    follows: tuple[int, ...] = ()
    beyond: bool = False
    is_local: bool = False
    enlarges: float = 1
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1


LOST = Placed()
# Operations that are pointwise without torch saying so.
_POINTWISE = (
    "prelu", "rrelu", "expand_as", "softplus", "hardtanh", "hardswish", "log_sigmoid", "dropout", "where", "lerp",
    "celu", "selu", "rsub", "to", "_to_copy", "type_as", "alias", "contiguous", "detach",
)  # fmt: skip
_REDUCING = (
    "mean", "sum", "amax", "amin", "var", "std", "linalg_vector_norm", "norm", "max", "min", "prod", "logsumexp",
    "argmax", "argmin", "var_mean", "std_mean",
)  # fmt: skip
_DIM = ("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "sort", "flip", "roll", "glu")


def placed(
    name: str,
    arguments: Mapping[str, Any],
    sources: Sequence[Place],
    shape: Shape,
    target: torch._ops.OpOverload,
) -> Placed:
    """Where the positions lie. name: of the operation; arguments: by torch's names; sources: its inputs; shape: of its
    output."""
    if all(source.axes is None for source in sources) or not shape:
        return LOST
    if torch.Tag.pointwise in target.tags or name in _POINTWISE:
        return _pointwise(sources, shape, [] if name == "prelu" else arguments.values())
    x = sources[0]
    if x.axes is None:
        return LOST
    reader = _READERS.get(name)
    found = (_unknown if reader is None else reader)(x, x.axes, arguments, shape)
    if found.axes is None:
        return LOST
    if name in ("cat", "stack", "slice_scatter", "select_scatter", "copy"):
        follows = tuple(number for number, source in enumerate(sources) if source.axes == x.axes)
        return replace(found, follows=follows)
    return replace(found, follows=(0,))


def _unknown(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    """An operation that is not listed here: where rows and columns stay as many, its positions are taken for the
    input's, and the rest of the map may act on them."""
    alike = len(shape) == len(x.shape) and all(shape[axis] == x.shape[axis] for axis in axes)
    return Placed(axes, beyond=True) if alike else LOST


def _pointwise(sources: Sequence[Place], shape: Shape, arguments: Iterable[Any]) -> Placed:
    """arguments: of the call, among which a fixed tensor may have numbers of its own for each position."""
    rank = len(shape)
    aligned = [
        None if s.axes is None else (s.axes[0] + rank - len(s.shape), s.axes[1] + rank - len(s.shape))
        for s in sources
    ]
    known = {axes for axes in aligned if axes is not None}
    if len(known) != 1:
        return LOST
    (axes,) = known
    follows = tuple(number for number, found in enumerate(aligned) if found is not None)
    fixed = [argument for argument in arguments if isinstance(argument, torch.Tensor)]
    local = (
        axes == MAP
        and all(len(s.shape) == 4 and s.shape[2:] in (shape[2:], (1, 1)) for s in sources)
        and all(size == 1 for tensor in fixed for size in tensor.shape[-2:])
    )
    return Placed(axes, follows, is_local=local)


def _group_norm(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    return Placed(axes, beyond=True)


def _layer_norm(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    first = len(x.shape) - len(arguments["normalized_shape"])
    return Placed(axes, beyond=any(axis >= first for axis in axes))


def _along(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    dims = arguments.get("dim", arguments.get("dims", ()))
    dims = dims if isinstance(dims, tuple) else (dims,)
    return Placed(axes, beyond=any(dim % len(x.shape) in axes for dim in dims))


def _linear(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    return LOST if len(x.shape) - 1 in axes else Placed(axes)


def _matmul(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    """A product with a fixed matrix acts on the last axis."""
    fixed = [value for value in arguments.values() if isinstance(value, torch.Tensor)]
    return _linear(x, axes, arguments, shape) if len(fixed) == 1 and fixed[0].dim() <= 2 else LOST


def _permute(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    rank = len(x.shape)
    order = list(range(rank))
    if "dims" in arguments:
        order = [dim % rank for dim in arguments["dims"]]
    else:
        one, other = arguments["dim0"] % rank, arguments["dim1"] % rank
        order[one], order[other] = other, one
    return Placed((order.index(axes[0]), order.index(axes[1])))


def _reshape(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    """Rows and columns stay where they are whole axes of the new shape, with as many numbers before them. Where each is
    split into two axes, a position of the first is a window of them: squares of pixels become channels so."""

    def before(sizes: Shape, axis: int) -> tuple[int, int]:
        count = 1
        for size in sizes[:axis]:
            count *= 1 if size is None else size
        return count, sum(size is None for size in sizes[:axis])

    found, parts = [], set()
    for axis in axes:
        size, wanted = x.shape[axis], before(x.shape, axis)
        fitting = [i for i in range(len(shape)) if before(shape, i) == wanted]
        whole = [i for i in fitting if shape[i] == size]
        split = [i for i in fitting[:1] if size and _product(shape[i : i + 2]) == size]
        if not whole and not split:
            return LOST
        found.append((whole[-1] if size == 1 else whole[0]) if whole else split[0])
        parts.add(1 if whole else shape[split[0] + 1])
    (part, *others) = parts
    if others or part is None:
        return LOST
    return Placed((found[0], found[1]), kernel=part, stride=part)


def _product(sizes: Shape) -> int | None:
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def _reduced(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    rank, dims = len(x.shape), arguments.get("dim")
    if dims is None or dims == ():
        return LOST
    gone = {dim % rank for dim in (dims if isinstance(dims, tuple) else (dims,))}
    if gone & set(axes):
        return LOST
    return Placed(axes if arguments.get("keepdim") else _without(axes, gone))


def _without(axes: Axes, gone: set[int]) -> Axes:
    row, column = (axis - sum(dim < axis for dim in gone) for axis in axes)
    return row, column


def _joined(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    return LOST if arguments.get("dim", 0) % len(x.shape) in axes else Placed(axes)


def _stacked(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    dim = arguments.get("dim", 0) % len(shape)
    row, column = (axis + (dim <= axis) for axis in axes)
    return Placed((row, column))


def _taken(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    dim = arguments.get("dim", 0) % len(x.shape)
    if dim in axes:
        return LOST
    return Placed(axes if len(shape) == len(x.shape) else _without(axes, {dim}))


def _window(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    """A convolution or pooling with unequal sides, or one that divides otherwise."""
    if axes != MAP:
        return LOST
    weight = arguments.get("weight")
    sizes = tuple(weight.shape[2:]) if isinstance(weight, torch.Tensor) else arguments.get("kernel_size")
    if sizes is None:
        return LOST
    kernels = _pair(sizes)
    strides = _pair(arguments.get("stride") or kernels)
    reaches = [(k - 1) * d for k, d in zip(kernels, _pair(arguments.get("dilation", 1)), strict=True)]
    padding = arguments.get("padding", 0)
    if isinstance(padding, str):
        padding = tuple(reach // 2 for reach in reaches) if padding == "same" else 0
    if strides[0] != strides[1]:
        return LOST
    return replace(_covering(_pair(padding), reaches), stride=strides[0])


def _covering(before: tuple[int, int], reaches: Sequence[int]) -> Placed:
    """A square window that covers those of both axes. before: positions before the output's own at which each begins;
    reaches: positions from its first to its last."""
    first = max(before)
    last = max(reach - start for start, reach in zip(before, reaches, strict=True))
    return Placed(MAP, kernel=first + last + 1, padding=first)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _padded(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    """Values around the map move its positions. Mirrored and repeated ones lie in the field of the position itself;
    those of the opposite border do not."""
    widths = [width if isinstance(width, int) else 0 for width in (*arguments["pad"], *[0] * 4)][:4]
    if axes != MAP:
        return LOST
    return replace(_covering((widths[2], widths[0]), (0, 0)), beyond=arguments.get("mode") == "circular")


def _enlarged(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    if axes != MAP or len(shape) != 4:
        return LOST
    factors = {new / old for old, new in zip(x.shape[2:], shape[2:], strict=True) if old and new}
    return Placed(MAP, enlarges=factors.pop()) if len(factors) == 1 else LOST


def _unshuffled(x: Place, axes: Axes, arguments: Mapping[str, Any], shape: Shape) -> Placed:
    factor = arguments["downscale_factor"]
    return Placed(MAP, kernel=factor, stride=factor) if axes == MAP else LOST


_READERS: dict[str, Any] = {
    **dict.fromkeys(("group_norm", "native_group_norm", "instance_norm"), _group_norm),
    **dict.fromkeys(("layer_norm", "native_layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(_DIM, _along),
    "linear": _linear,
    "matmul": _matmul,
    **dict.fromkeys(("permute", "transpose", "swapaxes"), _permute),
    **dict.fromkeys(
        ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "reshape_as", "view_as",
         "expand"),
        _reshape,
    ),
    **dict.fromkeys(_REDUCING, _reduced),
    **dict.fromkeys(("cat", "concat", "slice_scatter", "copy"), _joined),
    "stack": _stacked,
    "pixel_unshuffle": _unshuffled,
    **dict.fromkeys(
        ("split", "split_with_sizes", "chunk", "unbind", "narrow", "slice", "select", "index_select", "select_scatter"),
        _taken,
    ),
    **dict.fromkeys(("conv2d", "avg_pool2d", "max_pool2d", "max_pool2d_with_indices", "lp_pool2d"), _window),
    **dict.fromkeys(("pad", "constant_pad_nd", "reflection_pad2d", "replication_pad2d"), _padded),
    **dict.fromkeys(
        ("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d", "_upsample_nearest_exact2d",
         "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "interpolate"),
        _enlarged,
    ),
}  # fmt: skip

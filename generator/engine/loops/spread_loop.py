"""Back through a convolution where most of the gradient is zero: the compiled loops, and the one instruction sequence
that they are built on. Imports numba; only compiled.py imports this module.

**Contract.** `spread` and `spread_narrow` add a transposed convolution to `result`. Their docstrings give shapes and
layouts; gradients/sparse.py prepares both. All arrays are one-dimensional and C-contiguous, all float32 or all
float64, aligned to their element size and no more. `result` must not share memory with another argument. Nothing checks
bounds: callers pass sizes that fit. The order of additions depends neither on the other units of a batch nor on where
the window begins, so a unit's gradient has the same bits in every batch (tests/test_sparse.py).

**What is plain.** `spread`, `spread_narrow`, `find` and `add` are ordinary Python that numba compiles. Their indices
are unsigned where numba's check for negative indices would keep LLVM from vectorising a loop.

**What is not.** `add_weighted` sums up rows of weights in vector registers. As plain @njit, numba's LLVM reloads and
stores the sum for every row, since it cannot prove that result and weights do not overlap; the gradients of ResNet-50's
units then take 1.1 to 1.65 times as long (`python -m benchmarks.spread_loop`; benchmarks/RESULTS.md). So this one
function is written in LLVM's own language.

**What it relies on.** Of numba: `extending.intrinsic`, `core.types`, `core.cgutils` (`alloca_once`, `for_range_slice`),
`context.make_array` with its field `data`, and `context.get_dummy_value`. Of llvmlite: typed pointers and
`ir.IRBuilder`. Neither project promises to keep these. pyproject.toml therefore bounds both to the tested releases
(numba 0.61 to 0.68, llvmlite 0.44 to 0.50), and compiled.py compiles the loops, compares their results with NumPy's,
and lets torch compute if anything goes wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

BLOCK = 64  # values summed up in registers at once: eight of AVX2's, four of AVX-512's (float32)
LANES = 8  # rows of a narrow kernel are filled up to a multiple of this
SHARE = 128  # channels whose weights are used while they are cached: 32 KB of a block in float32
STEP = 2  # values taken at once: one addition can begin while another is not finished
U = np.uint64


def spread(
    values: Any, weight: Any, result: Any, shape: Any, into: Any, kernel: Any, stride: Any, start: Any
) -> None:
    """Back through a convolution: each of `values` that is not zero adds its kernel's weights, times itself, to the
    result.

    values: (U, h, w, C_out), flat; its four sizes are `shape`, and C_out a multiple of STEP. weight: (k², C_in / BLOCK,
    C_out, BLOCK), flat. result: (U, H, W, C_in), flat; (H, W, C_in) is `into`, and C_in a multiple of BLOCK. kernel,
    stride: k and the stride, px. start: the row and column of the result to which the first weight of the first value
    belongs; both may lie outside.

    A SHARE of the channels is carried through all taps before the next one, while its weights are cached.
    """
    units, height, width, channels = shape
    rows, columns, within = into
    shares = (channels + SHARE - 1) // SHARE
    most = width * channels + STEP
    begins, factors = np.empty(most, np.int32), np.empty(most, values.dtype)
    ends = np.empty(width * shares + 1, np.int64)
    for u in range(units):
        for i in range(height):
            find(values, (u * height + i) * width, width, channels, begins, factors, ends)
            if ends[width * shares] == 0:
                continue
            for share in range(shares):
                block = 0  # where the weights of this tap and part begin
                for tap in range(kernel * kernel):
                    row = start[0] + i * stride + tap // kernel
                    if not 0 <= row < rows:
                        block += within * channels
                        continue
                    for part in range(0, within, BLOCK):
                        for j in range(width):
                            low, high = ends[j * shares + share], ends[j * shares + share + 1]
                            column = start[1] + j * stride + tap % kernel
                            if low < high and 0 <= column < columns:
                                at = ((u * rows + row) * columns + column) * within + part
                                add_weighted(result, at, weight, block, begins, factors, low, high)
                        block += channels * BLOCK


def spread_narrow(
    values: Any, weight: Any, result: Any, shape: Any, into: Any, kernel: Any, stride: Any, start: Any
) -> None:
    """As `spread`, for a C_in that is no multiple of BLOCK: whole rows of the kernel are added instead.

    weight: (row / BLOCK, C_out, BLOCK), flat. A `row` holds the k rows of a kernel one after the other, each of k ·
    C_in weights and filled up with zeros to a multiple of LANES; all of them are filled up to a multiple of BLOCK.
    result: LANES values longer than its shape says.
    """
    units, height, width, channels = shape
    rows, columns, within = into
    size = len(weight) // channels
    wide = (kernel * within + LANES - 1) // LANES * LANES
    shares = (channels + SHARE - 1) // SHARE
    most = width * channels + STEP
    begins, factors = np.empty(most, np.int32), np.empty(most, values.dtype)
    ends, patch = np.empty(width * shares + 1, np.int64), np.empty(width * size, values.dtype)
    for u in range(units):
        for i in range(height):
            find(values, (u * height + i) * width, width, channels, begins, factors, ends)
            if ends[width * shares] == 0:
                continue
            patch[:] = 0  # (w, size): what each position adds, whatever part of it lies on the result
            for part in range(0, size, BLOCK):
                for j in range(width):
                    low, high = ends[j * shares], ends[(j + 1) * shares]
                    add_weighted(patch, j * size + part, weight, part * channels, begins, factors, low, high)
            top = start[0] + i * stride
            for j in range(width):
                if ends[j * shares] == ends[(j + 1) * shares]:
                    continue
                left = start[1] + j * stride
                if left >= 0 and left + kernel <= columns:
                    # The zeros at a row's end are added to what follows it: full vectors are faster than a remainder.
                    skipped, length = 0, wide
                else:
                    skipped = max(0, -left) * within
                    length = max(0, min(kernel, columns - left) * within - skipped)
                for row in range(max(0, -top), min(kernel, rows - top)):
                    at = ((u * rows + top + row) * columns + left) * within + skipped
                    add(result, at, patch, j * size + row * wide + skipped, length)


@register_jitable
def find(values: Any, first: Any, count: Any, channels: Any, begins: Any, factors: Any, ends: Any) -> None:
    """List what is not zero at `count` positions from the position `first`; a NaN is not zero.

    The channels of a position are listed a SHARE at a time. From ends[i] to ends[i + 1] stand the values of the i-th
    share, counted over all positions, in `factors`, and in `begins` where their weights begin within a block (channel ·
    BLOCK). Zeros fill each list up to a multiple of STEP.
    """
    length, share = U(0), U(0)
    ends[0] = 0
    for position in range(count):
        at = U((first + position) * channels)
        for start in range(0, channels, SHARE):
            begin = length
            for channel in range(U(start), U(min(start + SHARE, channels))):
                begins[length] = (
                    channel  # stays if the value is not zero, else the next channel overwrites it
                )
                length += U(values[at + channel] != 0)
            for k in range(begin, length):  # a loop of its own: half as many values are copied to nowhere
                factors[k] = values[at + U(begins[k])]
                begins[k] *= BLOCK
            for k in range(length, length + U(STEP)):
                begins[k], factors[k] = 0, 0
            length = (length + U(STEP - 1)) // U(STEP) * U(STEP)
            share += U(1)
            ends[share] = length


@register_jitable
def add(result: Any, at: Any, patch: Any, first: Any, length: Any) -> None:
    """Add `length` values of the patch from index `first` to those of the result from index `at`."""
    at, first = U(at), U(first)
    for index in range(U(length)):
        result[at + index] += patch[first + index]


# -- vector instructions -------------------------------------------------------------------------------------

Code = Callable[[Any, Any, Any, Any], Any]
instruction: Any = intrinsic  # numba's types describe what the decorator makes, not what may be called


@instruction
def add_weighted(
    typingctx: Any,
    result: Any,
    at: Any,
    weight: Any,
    block: Any,
    begins: Any,
    factors: Any,
    low: Any,
    high: Any,
) -> tuple[Any, Code]:
    """Add to the BLOCK values of the result from index `at` the sum over low ≤ k < high of factors[k] · weight[block +
    begins[k] …]; high − low is a multiple of STEP.

    In Python, with `fma` a product and a sum rounded once:

        sums = [result[at : at + BLOCK], zeros(BLOCK)]
        for k in range(low, high):
            begin = block + begins[k]
            sums[(k - low) % STEP] = fma(factors[k], weight[begin : begin + BLOCK], sums[(k - low) % STEP])
        result[at : at + BLOCK] = sums[0] + sums[1]
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        item = ir.DoubleType() if result.dtype == types.float64 else ir.FloatType()
        vector, align = ir.VectorType(item, BLOCK), result.dtype.bitwidth // 8
        undefined, number = ir.Constant(vector, ir.Undefined), ir.IntType(32)
        first_lane = ir.Constant(ir.VectorType(number, BLOCK), None)
        low, high = args[6], args[7]

        def pointer(kind: Any, array: Any, index: Any) -> Any:
            return builder.gep(context.make_array(kind)(context, builder, array).data, [index])

        def row(kind: Any, array: Any, index: Any) -> Any:
            """The BLOCK values of an array from this index, as one vector in memory."""
            return builder.bitcast(pointer(kind, array, index), vector.as_pointer())

        def add_row(k: Any, total: Any) -> None:
            factor = builder.load(pointer(factors, args[5], k))
            every_lane = builder.insert_element(undefined, factor, number(0))
            every_lane = builder.shuffle_vector(every_lane, undefined, first_lane)
            begin = builder.zext(builder.load(pointer(begins, args[4], k)), args[3].type)
            weights = builder.load(row(weight, args[2], builder.add(args[3], begin)), align=align)
            product = builder.fmul(weights, every_lane, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

        onto = row(result, args[0], args[1])
        totals = [cgutils.alloca_once(builder, vector) for _ in range(STEP)]  # LLVM keeps them in registers
        builder.store(builder.load(onto, align=align), totals[0])
        for total in totals[1:]:
            builder.store(ir.Constant(vector, None), total)
        with cgutils.for_range_slice(builder, low, high, ir.Constant(low.type, STEP), inc=True) as (k, _):
            for ahead, total in enumerate(totals):
                add_row(builder.add(k, ir.Constant(low.type, ahead)), total)
        added = functools.reduce(builder.fadd, [builder.load(total) for total in totals])
        builder.store(added, onto, align=align)
        return context.get_dummy_value()

    index = types.intp
    return types.void(result, index, weight, index, begins, factors, index, index), code

"""The loop by which a convolution's gradient is carried to its input value by value, and the vector instructions
that it is made of. Imports numba: only compiled.py asks for it.

numba makes vectors of loops that run over arrays, but checks each time whether the arrays overlap, and cannot keep a
sum in registers from one array to the next. With rows as short as a kernel's these two cost more than the sums, hence
instructions of our own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

BLOCK = 64  # values that are summed up in registers: eight of AVX2's, four of AVX-512's
LANES = 8  # values that are added to the result at once
GROUP = 16  # values that are compared to zero at once
SHARE = 128  # channels whose weights are used while they are cached: 32 KB of a block in float32
STEP = 2  # values that are taken at once: until an addition is done, another can begin
# Whether the processor has one instruction for what `pack` does.
PACKS = bool(llvmlite.binding.get_host_cpu_features().get("avx512f"))


def spread(
    values: Any, weight: Any, result: Any, shape: Any, into: Any, kernel: Any, stride: Any, start: Any
) -> None:
    """Back through a convolution: each of `values` that is not zero adds its kernel's weights, times itself, to the
    result.

    All arrays are flat. values: (U, h, w, C_out) of `shape`, C_out a multiple of GROUP. weight: (k², C_in / BLOCK,
    C_out, BLOCK). result: `into` = (H, W, C_in) for each unit, zeros. start: the row and the column of the result to
    which the first weight of the first value belongs; they may lie outside.

    A row's positions take a SHARE of the weights after each other while it is cached. What is added to a value is added
    in an order that depends neither on the other units nor on where the window begins.
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
                block = 0
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
    """As `spread`, to channels C_in that fill no block: whole rows of the kernel are added instead.

    weight: (row / BLOCK, C_out, BLOCK), where a `row` is the k rows of k · C_in weights of a kernel in turn, each
    filled up with zeros to a multiple of LANES, all together to one of BLOCK. result: LANES values more.
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
            patch[:] = 0
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
                    # The zeros at the end of a row are added to what follows it: that is faster than to stop before.
                    skipped, length = 0, wide
                else:
                    skipped = max(0, -left) * within
                    length = max(0, min(kernel, columns - left) * within - skipped)
                for row in range(max(0, -top), min(kernel, rows - top)):
                    at = ((u * rows + top + row) * columns + left) * within + skipped
                    add(result, at, patch, j * size + row * wide + skipped, length)


@register_jitable
def find(values: Any, first: Any, count: Any, channels: Any, begins: Any, factors: Any, ends: Any) -> None:
    """List what is not zero at `count` positions from the first, SHARE channels at a time: of the i-th SHARE, counted
    over all positions, the values and where their channels' weights begin in a block, from ends[i] to ends[i + 1].
    Zeros fill each list up to a multiple of STEP."""
    one, found, share = np.uint64(1), 0, 0
    ends[0] = 0
    for p in range(count):
        for start in range(0, channels, SHARE):
            for channel in range(start, min(start + SHARE, channels), GROUP):
                at = (first + p) * channels + channel
                if PACKS:
                    found += pack(values, at, channel * BLOCK, begins, factors, found)
                    continue
                bits = nonzero(values, at)
                while bits:
                    begins[found] = (channel + lowest(bits)) * BLOCK
                    factors[found] = values[at + lowest(bits)]
                    bits &= bits - one
                    found += 1
            for k in range(found, found + STEP):
                begins[k], factors[k] = 0, 0
            found = (found + STEP - 1) // STEP * STEP
            share += 1
            ends[share] = found


def _vector(array: Any, lanes: int) -> ir.VectorType:
    return ir.VectorType(ir.DoubleType() if array.dtype == types.float64 else ir.FloatType(), lanes)


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, vector: Any = None) -> Any:
    """Where an array's value of this index lies, as the place of a vector if one is given."""
    place = builder.gep(context.make_array(kind)(context, builder, array).data, [index])
    return place if vector is None else builder.bitcast(place, vector.as_pointer())


instruction: Any = intrinsic  # numba's own types are of what the decorator makes, not of what is called
Code = Callable[[Any, Any, Any, Any], Any]


@instruction
def nonzero(typingctx: Any, values: Any, at: Any) -> tuple[Any, Code]:
    """A bit for each of the GROUP values from `at`: 1 where it is not zero, the first value's the lowest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = _vector(values, GROUP)
        place = _place(context, builder, values, args[0], args[1], vector)
        read = builder.load(place, align=values.dtype.bitwidth // 8)
        unlike = builder.fcmp_unordered("!=", read, ir.Constant(vector, None))
        return builder.zext(builder.bitcast(unlike, ir.IntType(GROUP)), ir.IntType(64))

    return types.uint64(values, types.intp), code


@instruction
def pack(
    typingctx: Any, values: Any, at: Any, begin: Any, begins: Any, factors: Any, found: Any
) -> tuple[Any, Code]:
    """Write those of the GROUP values from `at` that are not zero to `factors` from `found`, and to `begins` their
    number times BLOCK plus `begin`; return how many they are."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, number = _vector(values, GROUP), ir.VectorType(ir.IntType(32), GROUP)
        mask = ir.VectorType(ir.IntType(1), GROUP)
        place = _place(context, builder, values, args[0], args[1], vector)
        read = builder.load(place, align=values.dtype.bitwidth // 8)
        unlike = builder.fcmp_unordered("!=", read, ir.Constant(vector, None))
        lanes = ir.Constant(number, [lane * BLOCK for lane in range(GROUP)])
        low = builder.insert_element(
            ir.Constant(number, None), builder.trunc(args[2], ir.IntType(32)), ir.IntType(32)(0)
        )
        where = builder.add(builder.shuffle_vector(low, low, ir.Constant(number, None)), lanes)
        for kind, array, what in ((begins, args[3], where), (factors, args[4], read)):
            item = what.type.element
            name = "i32" if item == ir.IntType(32) else "f32" if item == ir.FloatType() else "f64"
            form = ir.FunctionType(ir.VoidType(), (what.type, item.as_pointer(), mask))
            compress = cgutils.get_or_insert_function(
                builder.module, form, f"llvm.masked.compressstore.v{GROUP}{name}"
            )
            builder.call(compress, (what, _place(context, builder, kind, array, args[5]), unlike))
        return builder.ctpop(builder.zext(builder.bitcast(unlike, ir.IntType(GROUP)), ir.IntType(64)))

    whole = types.intp
    return whole(values, whole, whole, begins, factors, whole), code


@instruction
def lowest(typingctx: Any, bits: Any) -> tuple[Any, Code]:
    """The number of the lowest bit that is 1."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.intp(types.uint64), code


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
    """Add to the BLOCK values of the result from `at` the sum over low ≤ k < high of factors[k] · weight[block +
    begins[k] …]."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector, align = _vector(result, BLOCK), result.dtype.bitwidth // 8
        undefined, number = ir.Constant(vector, ir.Undefined), ir.IntType(32)
        first_lane = ir.Constant(ir.VectorType(number, BLOCK), None)
        onto = _place(context, builder, result, args[0], args[1], vector)
        totals = [cgutils.alloca_once(builder, vector) for _ in range(STEP)]
        builder.store(builder.load(onto, align=align), totals[0])
        for total in totals[1:]:
            builder.store(ir.Constant(vector, None), total)

        def step(k: Any, total: Any) -> None:
            factor = builder.load(_place(context, builder, factors, args[5], k))
            every = builder.insert_element(undefined, factor, number(0))
            every = builder.shuffle_vector(every, undefined, first_lane)
            begin = builder.zext(builder.load(_place(context, builder, begins, args[4], k)), args[3].type)
            place = _place(context, builder, weight, args[2], builder.add(args[3], begin), vector)
            product = builder.fmul(builder.load(place, align=align), every, flags=("contract",))
            builder.store(builder.fadd(builder.load(total), product, flags=("contract",)), total)

        low, high = args[6], args[7]
        with cgutils.for_range_slice(builder, low, high, ir.Constant(low.type, STEP), inc=True) as (first, _):
            for ahead, total in enumerate(totals):
                step(builder.add(first, ir.Constant(low.type, ahead)), total)
        added = functools.reduce(builder.fadd, [builder.load(total) for total in totals])
        builder.store(added, onto, align=align)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(result, whole, weight, whole, begins, factors, whole, whole), code


@instruction
def add(typingctx: Any, result: Any, at: Any, patch: Any, first: Any, length: Any) -> tuple[Any, Code]:
    """Add `length` values of the patch from `first` to those of the result from `at`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def step(index: Any, vector: Any) -> None:
            align = result.dtype.bitwidth // 8
            onto = _place(context, builder, result, args[0], builder.add(args[1], index), vector)
            more = _place(context, builder, patch, args[2], builder.add(args[3], index), vector)
            sum_ = builder.fadd(builder.load(onto, align=align), builder.load(more, align=align))
            builder.store(sum_, onto, align=align)

        length = args[4]
        many, one = ir.Constant(length.type, LANES), ir.Constant(length.type, 1)
        end = builder.sub(length, builder.srem(length, many))
        with cgutils.for_range_slice(builder, ir.Constant(length.type, 0), end, many, inc=True) as (index, _):
            step(index, _vector(result, LANES))
        with cgutils.for_range_slice(builder, end, length, one, inc=True) as (index, _):
            step(index, _vector(result, 1))
        return context.get_dummy_value()

    return types.void(result, types.intp, patch, types.intp, types.intp), code

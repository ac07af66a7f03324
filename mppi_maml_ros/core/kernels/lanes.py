"""More of what vectors of samples can do, see :mod:`.simd`: choices, and look-ups in a grid.

Use from functions compiled by numba::

    height = nearest_cell(grid, column, row)
    above = where_less(0.0, height, height, 0.0)
"""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, call-overload"
from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types

from .simd import _TYPE, LANES, Vector, _to_vector, intrinsic, vector

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_INTS, _PAIRS = ir.VectorType(_INT, LANES), ir.VectorType(_LONG, LANES // 2)


def _splat(builder, value):
    undefined = ir.Constant(_INTS, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INTS, [0] * LANES))


@intrinsic
def where_less(typingctx, a, b, then, otherwise):
    """Lane by lane, ``then`` where a < b, ``otherwise`` elsewhere and where either is NaN."""

    def codegen(context, builder, sig, args):
        a, b, then, otherwise = (
            _to_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True)
        )
        return builder.select(builder.fcmp_ordered("<", a, b), then, otherwise)

    return vector(a, b, then, otherwise), codegen


@intrinsic
def nearest_cell(typingctx, grid, column, row):
    """Values of the cells that contain places; that of the last row or column for places off the grid.

    Args:
        grid: (rows, columns), C-contiguous float32, less than 2^31 values.
        column, row: in cells, whose fractions are cut off.
    """

    def codegen(context, builder, sig, args):
        array = context.make_array(sig.args[0])(context, builder, args[0])
        rows, columns = (builder.trunc(n, _INT) for n in cgutils.unpack_tuple(builder, array.shape, 2))

        def on_the_grid(value, count):
            # Below zero and what no integer stands for is large without a sign.
            index, last = (
                builder.fptosi(value, _INTS),
                _splat(builder, builder.sub(count, ir.Constant(_INT, 1))),
            )
            return builder.select(builder.icmp_unsigned("<", index, last), index, last)

        along, across = on_the_grid(args[1], columns), on_the_grid(args[2], rows)
        cells = builder.add(builder.mul(across, _splat(builder, columns)), along)
        # Two indices leave the vector at once: that takes most of the time.
        pairs, result = builder.bitcast(cells, _PAIRS), ir.Constant(_TYPE, ir.Undefined)
        for pair in range(LANES // 2):
            both = builder.extract_element(pairs, ir.Constant(_INT, pair))
            low, high = (
                builder.and_(both, ir.Constant(_LONG, 0xFFFFFFFF)),
                builder.lshr(both, ir.Constant(_LONG, 32)),
            )
            for lane, cell in ((2 * pair, low), (2 * pair + 1, high)):
                value = builder.load(builder.gep(array.data, [cell], inbounds=True))
                result = builder.insert_element(result, value, ir.Constant(_INT, lane))
        return result

    good = isinstance(grid, types.Array) and grid.ndim == 2 and grid.layout == "C"
    good = good and grid.dtype == types.float32 and isinstance(column, Vector) and isinstance(row, Vector)
    return (vector(grid, column, row), codegen) if good else None


@intrinsic
def copy_column(typingctx, source, at, step, target, to, step_to, count):
    """target[to + i * step_to] = source[at + i * step] for i < count; flat indices, C-contiguous float32."""

    def codegen(context, builder, sig, args):
        at, step, to, step_to, count = (
            context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2, 4, 5, 6)
        )
        source, target = (
            builder.gep(context.make_array(sig.args[i])(context, builder, args[i]).data, [begin])
            for i, begin in ((0, at), (3, to))
        )
        with cgutils.for_range(builder, count) as loop:
            value = builder.load(builder.gep(source, [builder.mul(loop.index, step)]))
            builder.store(value, builder.gep(target, [builder.mul(loop.index, step_to)]))
        return context.get_dummy_value()

    return types.void(source, at, step, target, to, step_to, count), codegen

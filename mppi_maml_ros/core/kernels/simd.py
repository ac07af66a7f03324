"""A vector of single-precision numbers for compiled kernels, one lane a sample.

Numba finds vector code on its own only in simple loops. With a vector as a value, a kernel
keeps the whole state of a group of samples in registers from the first step of the horizon to
the last, and a matrix product keeps its accumulators there. LLVM splits the vector where the
machine's registers are narrower, so one code serves AVX-512, AVX2 and NEON.

Operations on lanes keep NaN and infinity; only the order of sums and the contraction of a
product and a sum are left to the compiler.

Use from functions compiled by numba::

    a = load(array, 32)          # array[32], ..., array[32 + LANES - 1]; flat, C-contiguous float32
    b = a * a + splat(1.0)       # + - * / and unary minus, also with scalars
    store(array, 32, maximum(a, b))
"""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, call-overload, import-untyped"
from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model

intrinsic: Any = extending.intrinsic  # which takes the typing context away from the signature


def rows(wide: bool) -> int:
    """How many rows a tile accumulates at once: each takes two vectors, and what finds no register spills.

    AVX-512 (``wide``) has 32 registers as wide as a vector; AVX2 has 16, and NEON 32 of half the width.
    """
    return 8 if wide else 4


_FEATURES = llvm.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f"))
LANES = 16 if WIDE else 8  # samples in a vector
ROWS = rows(WIDE)
GROUP = 2 * LANES  # samples that a tile of a matrix product works on
FLAGS = ("nsz", "arcp", "contract", "reassoc")

_FLOAT = ir.FloatType()
_TYPE = ir.VectorType(_FLOAT, LANES)


class Vector(types.Type):
    """Numba's type of a vector of LANES float32."""

    def __init__(self):
        super().__init__(name=f"float32x{LANES}")


vector = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, fe_type):
        super().__init__(manager, fe_type, _TYPE)


def _splat(builder, scalar):
    first = builder.insert_element(ir.Constant(_TYPE, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_TYPE, ir.Undefined), mask)


def _to_vector(context, builder, value, kind):
    if isinstance(kind, Vector):
        return value
    return _splat(builder, context.cast(builder, value, kind, types.float32))


def _address(context, builder, array_type, array, index):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index], inbounds=True)


def _is_floats(kind) -> bool:
    return isinstance(kind, types.Array) and kind.dtype == types.float32 and kind.layout == "C"


def _load(builder, pointer):
    return builder.load(builder.bitcast(pointer, _TYPE.as_pointer()), align=4)


def _store(builder, value, pointer):
    builder.store(value, builder.bitcast(pointer, _TYPE.as_pointer()), align=4)


@intrinsic
def load(typingctx, array, index):
    """LANES consecutive values of a C-contiguous float32 array from the flat ``index`` on."""
    if not (_is_floats(array) and isinstance(index, types.Integer)):
        return None

    def codegen(context, builder, sig, args):
        index_value = context.cast(builder, args[1], sig.args[1], types.intp)
        return _load(builder, _address(context, builder, sig.args[0], args[0], index_value))

    return vector(array, index), codegen


@intrinsic
def store(typingctx, array, index, value):
    """Write a vector to a C-contiguous float32 array from the flat ``index`` on."""
    if not (_is_floats(array) and isinstance(index, types.Integer) and isinstance(value, Vector)):
        return None

    def codegen(context, builder, sig, args):
        index_value = context.cast(builder, args[1], sig.args[1], types.intp)
        _store(builder, args[2], _address(context, builder, sig.args[0], args[0], index_value))
        return context.get_dummy_value()

    return types.void(array, index, value), codegen


@intrinsic
def splat(typingctx, scalar):
    """A vector with the same value in every lane."""
    if not isinstance(scalar, types.Number):
        return None

    def codegen(context, builder, sig, args):
        return _to_vector(context, builder, args[0], sig.args[0])

    return vector(scalar), codegen


def _called(builder, name, *values):
    kind = ir.FunctionType(_TYPE, [_TYPE] * len(values))
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f32")
    return builder.call(function, values, fastmath=FLAGS)


@intrinsic
def round_even(typingctx, value):
    """The nearest integers."""

    def codegen(context, builder, sig, args):
        return _called(builder, "rint", args[0])

    return (vector(value), codegen) if isinstance(value, Vector) else None


@intrinsic
def square_root(typingctx, value):
    """Square roots."""

    def codegen(context, builder, sig, args):
        return _called(builder, "sqrt", args[0])

    return (vector(value), codegen) if isinstance(value, Vector) else None


def _ordered(comparison):
    def codegen(context, builder, sig, args):
        a, b = (_to_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True))
        return builder.select(builder.fcmp_ordered(comparison, a, b), a, b)

    return codegen


@intrinsic
def minimum(typingctx, a, b):
    """Lane by lane, ``b`` where either is NaN."""
    return vector(a, b), _ordered("<")


@intrinsic
def maximum(typingctx, a, b):
    """Lane by lane, ``b`` where either is NaN."""
    return vector(a, b), _ordered(">")


def _operator(function, build):
    @infer_global(function)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            if any(isinstance(a, Vector) for a in args) and all(
                isinstance(a, (Vector, types.Number)) for a in args
            ):
                return signature(vector, *args)

    def lower(context, builder, sig, args):
        values = [_to_vector(context, builder, v, k) for v, k in zip(args, sig.args, strict=True)]
        return getattr(builder, build)(*values, flags=FLAGS)

    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, *pair)(lower)


for _function, _build in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
    (operator.iadd, "fadd"),
    (operator.isub, "fsub"),
    (operator.imul, "fmul"),
):
    _operator(_function, _build)


@infer_global(operator.neg)
class _Negation(AbstractTemplate):
    def generic(self, args, kws):
        if isinstance(args[0], Vector):
            return signature(vector, *args)


@lower_builtin(operator.neg, Vector)
def _lower_negation(context, builder, sig, args):
    return builder.fneg(args[0], flags=FLAGS)


# tanh x = x P(x^2) / Q(x^2) up to TANH_BOUND, beyond which it is 1 within 3e-7; a minimax fit, whose
# error in single precision is below 5e-7 everywhere.
TANH_BOUND = 8.0
_TANH_P = (9.999993620e-01, 1.291363969e-01, 2.938826098e-03, 1.131020816e-05)
_TANH_Q = (1.0, 4.624673842e-01, 2.376382027e-02, 2.370282539e-04, 2.423836645e-07)


def _constant(value):
    return ir.Constant(_TYPE, [value] * LANES)


def _horner(builder, coefficients, x):
    result = _constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        result = _called(builder, "fma", result, x, _constant(c))
    return result


def _tanh(builder, x):
    # The comparisons are false for NaN, which so passes through.
    for comparison, bound in ((">", TANH_BOUND), ("<", -TANH_BOUND)):
        edge = _constant(bound)
        x = builder.select(builder.fcmp_ordered(comparison, x, edge), edge, x)
    q = builder.fmul(x, x, flags=FLAGS)
    top = builder.fmul(x, _horner(builder, _TANH_P, q), flags=FLAGS)
    return builder.fdiv(top, _horner(builder, _TANH_Q, q), flags=FLAGS)


def _relu(builder, x):
    zero = _constant(0.0)
    return builder.select(builder.fcmp_ordered("<", x, zero), zero, x)


@intrinsic
def tanh(typingctx, value):
    """Hyperbolic tangents, absolute error below 5e-7."""

    def codegen(context, builder, sig, args):
        return _tanh(builder, args[0])

    return (vector(value), codegen) if isinstance(value, Vector) else None


NONE, TANH, RELU = 0, 1, 2  # activations of dense_tile


@intrinsic
def dense_tile(typingctx, weights, at, inner, source, target, column, stride, row, rows, activation):
    """One tile of ``target = activation(W source + b)``: some rows, GROUP samples.

    The accumulators never leave the registers.

    Args:
        weights: flat; ``at``: where the tile's begin: biases (rows), then weights (inner, rows).
        inner: length of the inner product, at least 1.
        source: (inner, stride), target: (any, stride), C-contiguous float32; ``column``: first sample.
        row: first row of the target.
        rows, activation: compile-time integers; activation is NONE, TANH or RELU.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(activation, types.IntegerLiteral)):
        return None
    count, kind = rows.literal_value, activation.literal_value
    activate = {NONE: lambda _, x: x, TANH: _tanh, RELU: _relu}[kind]

    def codegen(context, builder, sig, args):
        def integer(i):
            return context.cast(builder, args[i], sig.args[i], types.intp)

        def number(n):
            return ir.Constant(ir.IntType(64), n)

        at_value, inner_value, column_value, stride_value, row_value = (integer(i) for i in (1, 2, 5, 6, 7))
        bias = _address(context, builder, sig.args[0], args[0], at_value)
        matrix = builder.gep(bias, [number(count)])
        first = _address(context, builder, sig.args[3], args[3], column_value)
        start = [_splat(builder, builder.load(builder.gep(bias, [number(r)]))) for r in range(count)]
        before = builder.block
        body = builder.append_basic_block("tile.body")
        after = builder.append_basic_block("tile.after")
        builder.branch(body)

        builder.position_at_end(body)
        i = builder.phi(ir.IntType(64))
        i.add_incoming(number(0), before)
        sums = [[builder.phi(_TYPE) for _ in range(2)] for _ in range(count)]
        left = builder.gep(first, [builder.mul(i, stride_value)])
        columns = [_load(builder, left), _load(builder, builder.gep(left, [number(LANES)]))]
        line = builder.gep(matrix, [builder.mul(i, number(count))])
        results = []
        for r in range(count):
            weight = _splat(builder, builder.load(builder.gep(line, [number(r)])))
            results.append([_called(builder, "fma", weight, columns[h], sums[r][h]) for h in range(2)])
        following = builder.add(i, number(1))
        i.add_incoming(following, body)
        for r in range(count):
            for h in range(2):
                sums[r][h].add_incoming(start[r], before)
                sums[r][h].add_incoming(results[r][h], body)
        builder.cbranch(builder.icmp_signed("<", following, inner_value), body, after)

        builder.position_at_end(after)
        out = _address(context, builder, sig.args[4], args[4], column_value)
        for r in range(count):
            pointer = builder.gep(out, [builder.mul(builder.add(row_value, number(r)), stride_value)])
            _store(builder, activate(builder, results[r][0]), pointer)
            _store(builder, activate(builder, results[r][1]), builder.gep(pointer, [number(LANES)]))
        return context.get_dummy_value()

    arguments = (weights, at, inner, source, target, column, stride, row, rows, activation)
    return types.void(*arguments), codegen


# What product_tile starts from and does with its sums: a layer (from the biases, then the activation),
# a plain product, or back-propagation through the activation that gave the values beside.
LAYER, LAYER_TANH, LAYER_RELU, PRODUCT, THROUGH_TANH, THROUGH_RELU = range(6)


def _through_tanh(builder, x, value):
    slope = builder.fsub(_constant(1.0), builder.fmul(value, value, flags=FLAGS), flags=FLAGS)
    return builder.fmul(x, slope, flags=FLAGS)


def _through_relu(builder, x, value):
    zero = _constant(0.0)
    return builder.select(builder.fcmp_ordered(">", value, zero), x, zero)


@intrinsic
def product_tile(
    typingctx, left, left_at, left_row, left_step, right, right_at, right_row, inner,
    target, target_at, target_row, aside, aside_at, rows, vectors, kind,
):  # fmt: skip
    """One tile of a matrix product: some rows, some vectors of columns.

    target[r, c] = sum over i of left[r, i] right[i, c], r < rows, c < vectors * LANES; arrays are flat,
    C-contiguous float32, and the accumulators never leave the registers.

    Args:
        left, left_at, left_row, left_step: where left[0, 0] lies, and from one row and one i to the next.
        right, right_at, right_row: where right[0, 0] lies, and from one i to the next.
        inner: length of the inner product, at least 1.
        target, target_at, target_row: where the tile lies, and from one row to the next.
        aside, aside_at: for LAYER kinds the biases of the columns; for THROUGH kinds the values that the
            activation gave, laid out as the target. Not read for PRODUCT.
        rows, vectors, kind: compile-time integers.
    """
    literals = (rows, vectors, kind)
    if not all(isinstance(value, types.IntegerLiteral) for value in literals):
        return None
    count, wide, ending = (value.literal_value for value in literals)
    activate = {LAYER_TANH: _tanh, LAYER_RELU: _relu}.get(ending, lambda _, x: x)
    through = {THROUGH_TANH: _through_tanh, THROUGH_RELU: _through_relu}.get(ending)

    def codegen(context, builder, sig, args):
        def integer(i):
            return context.cast(builder, args[i], sig.args[i], types.intp)

        def pointer(array, at):
            return _address(context, builder, sig.args[array], args[array], integer(at))

        def number(n):
            return ir.Constant(ir.IntType(64), n)

        def moved(base, stride, n):
            return builder.gep(base, [builder.mul(stride, number(n))]) if n else base

        def column(base, h):
            return builder.gep(base, [number(h * LANES)]) if h else base

        left_first, right_first, out, beside = pointer(0, 1), pointer(4, 5), pointer(8, 9), pointer(11, 12)
        left_row, left_step, right_row, inner_value, out_row = (integer(i) for i in (2, 3, 6, 7, 10))
        lines = [moved(left_first, left_row, r) for r in range(count)]
        zero = _constant(0.0)
        biased = ending in (LAYER, LAYER_TANH, LAYER_RELU)
        start = [_load(builder, column(beside, h)) if biased else zero for h in range(wide)]
        before = builder.block
        body = builder.append_basic_block("product.body")
        after = builder.append_basic_block("product.after")
        builder.branch(body)

        builder.position_at_end(body)
        i = builder.phi(ir.IntType(64))
        i.add_incoming(number(0), before)
        sums = [[builder.phi(_TYPE) for _ in range(wide)] for _ in range(count)]
        line = builder.gep(right_first, [builder.mul(i, right_row)])
        columns = [_load(builder, column(line, h)) for h in range(wide)]
        along = builder.mul(i, left_step)
        results = []
        for r in range(count):
            value = _splat(builder, builder.load(builder.gep(lines[r], [along])))
            results.append([_called(builder, "fma", value, columns[h], sums[r][h]) for h in range(wide)])
        following = builder.add(i, number(1))
        i.add_incoming(following, body)
        for r in range(count):
            for h in range(wide):
                sums[r][h].add_incoming(start[h], before)
                sums[r][h].add_incoming(results[r][h], body)
        builder.cbranch(builder.icmp_signed("<", following, inner_value), body, after)

        builder.position_at_end(after)
        for r in range(count):
            for h in range(wide):
                result = activate(builder, results[r][h])
                if through is not None:
                    value = _load(builder, column(moved(beside, out_row, r), h))
                    result = through(builder, result, value)
                _store(builder, result, column(moved(out, out_row, r), h))
        return context.get_dummy_value()

    arguments = (
        left, left_at, left_row, left_step, right, right_at, right_row, inner,
        target, target_at, target_row, aside, aside_at, rows, vectors, kind,
    )  # fmt: skip
    return types.void(*arguments), codegen


@intrinsic
def transpose_tile(typingctx, source, source_at, source_row, target, target_at, target_row):
    """target[c, r] = source[r, c] for r, c < LANES; flat, C-contiguous float32, rows so far apart."""

    def codegen(context, builder, sig, args):
        def lines(array):
            places = (array + 1, array + 2)
            at, stride = (context.cast(builder, args[i], sig.args[i], types.intp) for i in places)
            base = _address(context, builder, sig.args[array], args[array], at)
            steps = (builder.mul(stride, ir.Constant(ir.IntType(64), r)) for r in range(LANES))
            return [builder.gep(base, [step]) for step in steps]

        values = [_load(builder, pointer) for pointer in lines(0)]
        step = 1
        while step < LANES:  # blocks of this size change places across the diagonal
            upper = [k if not k & step else LANES + (k ^ step) for k in range(LANES)]
            lower = [k | step if not k & step else LANES + k for k in range(LANES)]
            masks = [ir.Constant(ir.VectorType(ir.IntType(32), LANES), mask) for mask in (upper, lower)]
            for r in range(LANES):
                if not r & step:
                    a, b = values[r], values[r | step]
                    values[r], values[r | step] = (builder.shuffle_vector(a, b, mask) for mask in masks)
            step *= 2
        for pointer, value in zip(lines(3), values, strict=True):
            _store(builder, value, pointer)
        return context.get_dummy_value()

    return types.void(source, source_at, source_row, target, target_at, target_row), codegen

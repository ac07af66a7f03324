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

from __future__ import annotations

import operator

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_FEATURES = llvm.get_host_cpu_features()
WIDE = bool(_FEATURES.get("avx512f"))
LANES = 16 if WIDE else 8  # samples in a vector
GROUP = 2 * LANES  # samples that a tile of a matrix product works on
# Rows that a tile accumulates at once: as many as the registers hold beside the operands.
ROWS = 8 if WIDE or _FEATURES.get("neon") else 4
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

"""Calls of compiled functions by their address, so that a kernel need not be compiled for what it calls."""

# numba finds the types of compiled functions, and says none of its own.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, import-untyped"
from __future__ import annotations

from typing import Any

from numba.core import types
from numba.np import arrayobj

from .simd import intrinsic


def address_of(function: Any, signature: Any) -> int:
    """Where the machine code of a function that numba compiles begins; lives as long as the function.

    Args:
        function: of :func:`numba.njit`; compiled, or read from its cache, now.
        signature: of the argument types, returning nothing.
    """
    function.compile(signature)
    compiled = function.overloads[signature.args]
    address: int = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return address


def _array_at(context, builder, kind, address, shape):
    array = context.make_array(kind)(context, builder)
    pointer, item = builder.inttoptr(address, array.data.type), context.get_constant(types.intp, 4)
    strides = [item] if len(shape) == 1 else [builder.mul(shape[1], item), item]
    arrayobj.populate_array(array, pointer, shape, strides, item, meminfo=None)
    return array._getvalue()


@intrinsic
def line_at(typingctx, address, count):
    """The C-contiguous float32 array (count,) at an address; who made it keeps it."""
    kind = types.Array(types.float32, 1, "C")

    def codegen(context, builder, sig, args):
        return _array_at(context, builder, kind, args[0], args[1:])

    return kind(types.intp, types.intp), codegen


@intrinsic
def grid_at(typingctx, address, rows, columns):
    """The C-contiguous float32 array (rows, columns) at an address; who made it keeps it."""
    kind = types.Array(types.float32, 2, "C")

    def codegen(context, builder, sig, args):
        return _array_at(context, builder, kind, args[0], args[1:])

    return kind(types.intp, types.intp, types.intp), codegen


def caller(signature: Any) -> Any:
    """A function for compiled code: it calls what lies at an address with arguments of ``signature``."""
    kinds = signature.args

    @intrinsic
    def call(typingctx, address, a, b, c, d, e, f, g, h):
        def codegen(context, builder, sig, args):
            kind = context.call_conv.get_function_type(types.none, kinds)
            function = builder.inttoptr(args[0], kind.as_pointer())
            context.call_conv.call_function(builder, function, types.none, kinds, args[1:])
            return context.get_dummy_value()

        return types.void(types.intp, *kinds), codegen

    return call

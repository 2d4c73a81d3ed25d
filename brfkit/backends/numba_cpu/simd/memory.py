"""Between arrays and registers; no bounds are checked."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from brfkit.backends.numba_cpu.native.emit import INT64
from brfkit.backends.numba_cpu.simd.vectors import Vec, lanes_of, llvm_type


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vec: ir.Type) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index], inbounds=True), vec.as_pointer())


@intrinsic
def load(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """``lanes`` consecutive elements of a 1-D array, from ``index`` on (no bounds are checked)."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and isinstance(lanes, types.IntegerLiteral)):
        return None
    vec = Vec(array.dtype, lanes_of(lanes))

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], llvm_type(vec))
        return builder.load(pointer, align=vec.dtype.bitwidth // 8, typ=llvm_type(vec))

    return vec(array, types.intp, lanes), codegen


@intrinsic
def address(typingctx: Any, array: Any) -> Any:
    """Where the first element of an array lies in memory (int64)."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.ptrtoint(data, INT64)

    return types.int64(array), codegen


@intrinsic
def get(typingctx: Any, array: Any, index: Any) -> Any:
    """One element of a 1-D array (no bounds are checked, and a negative index does not count from the end)."""
    if not (isinstance(array, types.Array) and array.ndim == 1):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]], inbounds=True))

    return array.dtype(array, types.intp), codegen


@intrinsic
def put(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write one element of a 1-D array; the counterpart of :func:`get`."""
    if not (isinstance(array, types.Array) and array.ndim == 1):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        data = context.make_array(sig.args[0])(context, builder, args[0]).data
        builder.store(args[2], builder.gep(data, [args[1]], inbounds=True))
        return context.get_dummy_value()

    return types.none(array, types.intp, array.dtype), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to a 1-D array, from ``index`` on (no bounds are checked)."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and isinstance(value, Vec)):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], llvm_type(value))
        builder.store(args[2], pointer, align=value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen

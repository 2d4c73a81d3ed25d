"""Bits of masks and words, and how the processor treats denormal numbers."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from brfkit.backends.numba_cpu.simd.vectors import INT32, Mask

X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
INT8 = ir.IntType(8)
INT64 = ir.IntType(64)
_FLUSH = 0x8040  # bits of MXCSR: results and operands below the normal range count as 0


def _control(builder: Any, instruction: str, place: Any) -> None:
    pointer = INT8.as_pointer()
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [pointer]), f"llvm.x86.sse.{instruction}"
    )
    builder.call(function, [builder.bitcast(place, pointer)])


@intrinsic
def flush_denormals(typingctx: Any) -> Any:
    """From here on, take numbers below the normal range (1e-38 in float32) for 0; returns what it was before (uint32).

    Decaying states and the tails of surrogates get there, and processors then compute many times slower. It holds for
    the calling thread until :func:`restore_denormals`. Nothing happens on processors other than x86.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        place = cgutils.alloca_once(builder, INT32, zfill=True)
        if X86:
            _control(builder, "stmxcsr", place)
        before = builder.load(place)
        if X86:
            builder.store(builder.or_(before, INT32(_FLUSH)), place)
            _control(builder, "ldmxcsr", place)
        return before

    return types.uint32(), codegen


@intrinsic
def restore_denormals(typingctx: Any, before: Any) -> Any:
    """Undo :func:`flush_denormals`, whose result it takes."""
    if before != types.uint32:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        if X86:
            place = cgutils.alloca_once_value(builder, args[0])
            _control(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.none(types.uint32), codegen


@intrinsic
def bits(typingctx: Any, mask: Any) -> Any:
    """The mask as an integer, lane 0 the lowest bit (uint64)."""
    if not isinstance(mask, Mask):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.lanes)), INT64)

    return types.uint64(mask), codegen


@intrinsic
def count_trailing_zeros(typingctx: Any, x: Any) -> Any:
    """Index of the lowest set bit of a uint64, 64 for 0."""
    if x != types.uint64:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


@intrinsic
def popcount(typingctx: Any, x: Any) -> Any:
    """Number of set bits of a uint64."""
    if x != types.uint64:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen

"""Bits of masks and words, and how the processor treats denormal numbers."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from brfkit.backends.numba_cpu.native import emit
from brfkit.backends.numba_cpu.native.emit import INT32
from brfkit.backends.numba_cpu.simd.vectors import Mask


@intrinsic
def flush_denormals(typingctx: Any) -> Any:
    """From here on, take numbers below the normal range (1e-38 in float32) for 0; returns what it was before (uint32).

    Decaying states and the tails of surrogates get there, and processors then compute many times slower. It holds for
    the calling thread until :func:`restore_denormals`. Nothing happens on processors other than x86.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return emit.flush_denormals(builder, cgutils.alloca_once(builder, INT32))

    return types.uint32(), codegen


@intrinsic
def restore_denormals(typingctx: Any, before: Any) -> Any:
    """Undo :func:`flush_denormals`, whose result it takes."""
    if before != types.uint32:
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        emit.restore_denormals(builder, cgutils.alloca_once(builder, INT32), args[0])
        return context.get_dummy_value()

    return types.none(types.uint32), codegen


@intrinsic
def bits(typingctx: Any, mask: Any) -> Any:
    """The mask as an integer, lane 0 the lowest bit (uint64)."""
    if not isinstance(mask, Mask):
        return None
    return types.uint64(mask), lambda context, builder, sig, args: emit.mask_bits(builder, mask.lanes, args[0])


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

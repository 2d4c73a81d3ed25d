"""SIMD vectors as a numba type.

A kernel written with these keeps its accumulators in registers and vectorises whatever the loop around it looks
like; LLVM splits or joins the vectors to the width that the processor has. ``Vec(float32, 16)`` supports
``+ - * /``, unary ``-`` and ``abs``; the functions below load, store, compare and reduce.

Nothing here is contracted: ``a * b + c`` rounds twice. Only :func:`fma` fuses.
"""

from __future__ import annotations

from brfkit.backends.numba_cpu.native.emit import X86
from brfkit.backends.numba_cpu.simd.exponential import vexp, vexp_libm, vexpm1, vexpm1_libm
from brfkit.backends.numba_cpu.simd.memory import address, get, load, put, store
from brfkit.backends.numba_cpu.simd.processor import (
    bits,
    count_trailing_zeros,
    flush_denormals,
    popcount,
    restore_denormals,
)
from brfkit.backends.numba_cpu.simd.vectors import Mask, Vec, broadcast, fma, greater, select, vabs, vsqrt

__all__ = [
    "X86",
    "Mask",
    "Vec",
    "address",
    "bits",
    "broadcast",
    "count_trailing_zeros",
    "flush_denormals",
    "fma",
    "get",
    "greater",
    "load",
    "popcount",
    "put",
    "restore_denormals",
    "select",
    "store",
    "vabs",
    "vexp",
    "vexp_libm",
    "vexpm1",
    "vexpm1_libm",
    "vsqrt",
]

"""The exponential of every lane."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from brfkit.backends.numba_cpu.native import emit
from brfkit.backends.numba_cpu.simd.vectors import Vec


@intrinsic
def vexp(typingctx: Any, x: Any) -> Any:
    """``exp`` of every lane, float32: relative error below 2e-7, arguments held between -87.3 and 88.7.

    NaN stays NaN.
    """
    if not (isinstance(x, Vec) and x.dtype == types.float32):
        return None
    return x(x), lambda context, builder, sig, args: emit.exp(builder, x, args[0])


@intrinsic
def vexpm1(typingctx: Any, x: Any) -> Any:
    """``exp(x) - 1`` of every lane, float32: relative error below 2e-7 also near 0, arguments held between -87.3 and
    88.0. NaN stays NaN."""
    if not (isinstance(x, Vec) and x.dtype == types.float32):
        return None
    return x(x), lambda context, builder, sig, args: emit.expm1(builder, x, args[0])


def _by_library(name: str) -> Any:
    def function(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None
        return x(x), lambda context, builder, sig, args: emit.by_library(builder, x, name, args[0])

    function.__name__ = f"v{name}_libm"
    function.__doc__ = f"``{name}`` of every lane by the C library, one lane after the other."
    return intrinsic(function)


vexp_libm = _by_library("exp")
vexpm1_libm = _by_library("expm1")

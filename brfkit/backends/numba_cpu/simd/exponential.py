"""The exponential of every lane."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from brfkit.backends.numba_cpu.simd.vectors import INT32, Vec, call, element, fused, llvm_type, splat

# Chebyshev interpolation of exp on |r| <= ln 2 / 2 in powers of r; relative error 4e-9.
_HALF = 0.5 * math.log(2)
_EXP_POLYNOMIAL = np.polynomial.chebyshev.Chebyshev.interpolate(np.exp, 6, domain=[-_HALF, _HALF]).convert(
    kind=np.polynomial.Polynomial
)
# The same for (exp(r) - 1) / r; its points do not meet r = 0.
_EXPM1_POLYNOMIAL = np.polynomial.chebyshev.Chebyshev.interpolate(
    lambda r: np.expm1(r) / r, 5, domain=[-_HALF, _HALF]
).convert(kind=np.polynomial.Polynomial)


def _split(builder: Any, x: Vec, value: Any, low: float, high: float) -> tuple[Any, Any]:
    """r and n << 23 with value = n ln 2 + r and ``value`` held between ``low`` and ``high``."""
    value = builder.select(builder.fcmp_ordered("<", value, splat(x, low)), splat(x, low), value)
    value = builder.select(builder.fcmp_ordered(">", value, splat(x, high)), splat(x, high), value)
    magic = splat(x, 12582912.0)  # 1.5 * 2**23: adding it rounds to an integer held in the low bits
    shifted = fused(builder, x, value, splat(x, 1.4426950408889634), magic)
    n = builder.fsub(shifted, magic)
    r = fused(builder, x, n, splat(x, -0.693359375), value)
    r = fused(builder, x, n, splat(x, 2.12194440054690583e-4), r)
    ints = ir.VectorType(INT32, x.lanes)
    # The bits of the magic number are shifted out.
    return r, builder.shl(builder.bitcast(shifted, ints), ir.Constant(ints, [ir.Constant(INT32, 23)] * x.lanes))


def _polynomial(builder: Any, x: Vec, r: Any, coefficients: Any) -> Any:
    p = splat(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        p = fused(builder, x, p, r, splat(x, coefficient))
    return p


def _scaled(builder: Any, x: Vec, value: Any, exponent: Any) -> Any:
    """``value * 2**n`` by integer addition to the exponent."""
    ints = ir.VectorType(INT32, x.lanes)
    return builder.bitcast(builder.add(builder.bitcast(value, ints), exponent), llvm_type(x))


@intrinsic
def vexp(typingctx: Any, x: Any) -> Any:
    """``exp`` of every lane, float32: relative error below 2e-7, arguments held between -87.3 and 88.7.

    The argument is split into n ln 2 + r, the exponential of r is a polynomial, and 2**n is put in place by integer
    addition to the exponent. NaN stays NaN.
    """
    if not (isinstance(x, Vec) and x.dtype == types.float32):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        r, exponent = _split(builder, x, args[0], -87.3, 88.7)
        return _scaled(builder, x, _polynomial(builder, x, r, _EXP_POLYNOMIAL.coef), exponent)

    return x(x), codegen


@intrinsic
def vexpm1(typingctx: Any, x: Any) -> Any:
    """``exp(x) - 1`` of every lane, float32: relative error below 2e-7 also near 0, arguments held between -87.3 and
    88.0. With x = n ln 2 + r it is 2**n (exp(r) - 1) + (2**n - 1). NaN stays NaN."""
    if not (isinstance(x, Vec) and x.dtype == types.float32):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        r, exponent = _split(builder, x, args[0], -87.3, 88.0)
        rest = builder.fmul(r, _polynomial(builder, x, r, _EXPM1_POLYNOMIAL.coef))
        scale = _scaled(builder, x, splat(x, 1.0), exponent)
        return fused(builder, x, scale, rest, builder.fsub(scale, splat(x, 1.0)))

    return x(x), codegen


def _by_library(name: str) -> Any:
    def function(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
            scalar = element(x.dtype)
            symbol = name if x.dtype == types.float64 else f"{name}f"
            out = ir.Constant(llvm_type(x), ir.Undefined)
            for lane in range(x.lanes):
                value = call(builder, symbol, scalar, [builder.extract_element(args[0], INT32(lane))])
                out = builder.insert_element(out, value, INT32(lane))
            return out

        return x(x), codegen

    function.__name__ = f"v{name}_libm"
    function.__doc__ = f"``{name}`` of every lane by the C library, one lane after the other."
    return intrinsic(function)


vexp_libm = _by_library("exp")
vexpm1_libm = _by_library("expm1")

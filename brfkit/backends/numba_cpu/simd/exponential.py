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
_EXP_POLYNOMIAL = np.polynomial.chebyshev.Chebyshev.interpolate(
    np.exp, 6, domain=[-0.5 * math.log(2), 0.5 * math.log(2)]
).convert(kind=np.polynomial.Polynomial)


@intrinsic
def vexp(typingctx: Any, x: Any) -> Any:
    """``exp`` of every lane, float32: relative error below 2e-7, arguments held between -87.3 and 88.7.

    The argument is split into n ln 2 + r, the exponential of r is a polynomial, and 2**n is put in place by integer
    addition to the exponent. NaN stays NaN.
    """
    if not (isinstance(x, Vec) and x.dtype == types.float32):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        ints = ir.VectorType(INT32, x.lanes)

        def const(value: float) -> ir.Constant:
            return splat(x, value)

        value = builder.select(builder.fcmp_ordered("<", args[0], const(-87.3)), const(-87.3), args[0])
        value = builder.select(builder.fcmp_ordered(">", value, const(88.7)), const(88.7), value)
        magic = const(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer held in the low bits
        shifted = fused(builder, x, value, const(1.4426950408889634), magic)
        n = builder.fsub(shifted, magic)
        r = fused(builder, x, n, const(-0.693359375), value)
        r = fused(builder, x, n, const(2.12194440054690583e-4), r)
        p = const(_EXP_POLYNOMIAL.coef[-1])
        for coefficient in _EXP_POLYNOMIAL.coef[-2::-1]:
            p = fused(builder, x, p, r, const(coefficient))
        exponent = builder.shl(
            builder.bitcast(shifted, ints), ir.Constant(ints, [ir.Constant(INT32, 23)] * x.lanes)
        )  # the bits of the magic number are shifted out
        return builder.bitcast(builder.add(builder.bitcast(p, ints), exponent), llvm_type(x))

    return x(x), codegen


@intrinsic
def vexp_libm(typingctx: Any, x: Any) -> Any:
    """``exp`` of every lane by the C library, one lane after the other."""
    if not isinstance(x, Vec):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        scalar = element(x.dtype)
        name = "exp" if x.dtype == types.float64 else "expf"
        out = ir.Constant(llvm_type(x), ir.Undefined)
        for lane in range(x.lanes):
            value = call(builder, name, scalar, [builder.extract_element(args[0], INT32(lane))])
            out = builder.insert_element(out, value, INT32(lane))
        return out

    return x(x), codegen

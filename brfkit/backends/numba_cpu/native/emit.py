"""LLVM instructions of the vector operations: what :mod:`simd` compiles to, under numba and under :mod:`native`.

A vector type is anything with ``dtype.bitwidth`` (32 or 64) and ``lanes``.
"""

from __future__ import annotations

import math
import platform
from typing import Any, Protocol

import numpy as np
from llvmlite import ir

INT1, INT8, INT32, INT64 = (ir.IntType(bits) for bits in (1, 8, 32, 64))
X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
_FLUSH = 0x8040  # bits of MXCSR: results and operands below the normal range count as 0


class Number(Protocol):
    @property
    def bitwidth(self) -> int: ...


class Lanes(Protocol):
    @property
    def dtype(self) -> Number: ...

    @property
    def lanes(self) -> int: ...


# Chebyshev interpolation of exp on |r| <= ln 2 / 2 in powers of r; relative error 4e-9.
_HALF = 0.5 * math.log(2)
_EXP_POLYNOMIAL = np.polynomial.chebyshev.Chebyshev.interpolate(np.exp, 6, domain=[-_HALF, _HALF]).convert(
    kind=np.polynomial.Polynomial
)
# The same for (exp(r) - 1) / r; its points do not meet r = 0.
_EXPM1_POLYNOMIAL = np.polynomial.chebyshev.Chebyshev.interpolate(
    lambda r: np.expm1(r) / r, 5, domain=[-_HALF, _HALF]
).convert(kind=np.polynomial.Polynomial)


def element(dtype: Number) -> ir.Type:
    return ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()


def vector_type(x: Lanes) -> ir.VectorType:
    return ir.VectorType(element(x.dtype), x.lanes)


def splat(x: Lanes, value: float) -> ir.Constant:
    return ir.Constant(vector_type(x), [ir.Constant(element(x.dtype), value)] * x.lanes)


def call(builder: Any, name: str, result: ir.Type, args: list[Any]) -> Any:
    """Call an external function or LLVM intrinsic, declared once per module."""
    known = builder.module.globals.get(name)
    declared = known or ir.Function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(declared, args)


def fused(builder: Any, x: Lanes, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""
    return call(builder, f"llvm.fmuladd.v{x.lanes}f{x.dtype.bitwidth}", vector_type(x), [a, b, c])


def unary(builder: Any, x: Lanes, name: str, value: Any) -> Any:
    """``fabs``, ``sqrt``, … of every lane."""
    return call(builder, f"llvm.{name}.v{x.lanes}f{x.dtype.bitwidth}", vector_type(x), [value])


def broadcast(builder: Any, x: Lanes, value: Any) -> Any:
    """The same number in every lane."""
    undefined = ir.Constant(vector_type(x), ir.Undefined)
    first = builder.insert_element(undefined, value, INT32(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(INT32, x.lanes), [0] * x.lanes))


def mask_bits(builder: Any, lanes: int, mask: Any) -> Any:
    """A mask as a 64-bit integer, lane 0 the lowest bit."""
    return builder.zext(builder.bitcast(mask, ir.IntType(lanes)), INT64)


def _split(builder: Any, x: Lanes, value: Any, low: float, high: float) -> tuple[Any, Any]:
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


def _polynomial(builder: Any, x: Lanes, r: Any, coefficients: Any) -> Any:
    p = splat(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        p = fused(builder, x, p, r, splat(x, coefficient))
    return p


def _scaled(builder: Any, x: Lanes, value: Any, exponent: Any) -> Any:
    """``value * 2**n`` by integer addition to the exponent."""
    ints = ir.VectorType(INT32, x.lanes)
    return builder.bitcast(builder.add(builder.bitcast(value, ints), exponent), vector_type(x))


def exp(builder: Any, x: Lanes, value: Any) -> Any:
    """``exp`` of every lane, float32: the argument is split into n ln 2 + r, the exponential of r is a polynomial, and
    2**n is put in place by integer addition to the exponent."""
    r, exponent = _split(builder, x, value, -87.3, 88.7)
    return _scaled(builder, x, _polynomial(builder, x, r, _EXP_POLYNOMIAL.coef), exponent)


def expm1(builder: Any, x: Lanes, value: Any) -> Any:
    """``exp(x) - 1`` of every lane, float32. With x = n ln 2 + r it is 2**n (exp(r) - 1) + (2**n - 1)."""
    r, exponent = _split(builder, x, value, -87.3, 88.0)
    rest = builder.fmul(r, _polynomial(builder, x, r, _EXPM1_POLYNOMIAL.coef))
    scale = _scaled(builder, x, splat(x, 1.0), exponent)
    return fused(builder, x, scale, rest, builder.fsub(scale, splat(x, 1.0)))


def by_library(builder: Any, x: Lanes, name: str, value: Any) -> Any:
    """``name`` of every lane by the C library, one lane after the other."""
    symbol = name if x.dtype.bitwidth == 64 else f"{name}f"
    out = ir.Constant(vector_type(x), ir.Undefined)
    for lane in range(x.lanes):
        result = call(builder, symbol, element(x.dtype), [builder.extract_element(value, INT32(lane))])
        out = builder.insert_element(out, result, INT32(lane))
    return out


def _control(builder: Any, instruction: str, place: Any) -> None:
    call(builder, f"llvm.x86.sse.{instruction}", ir.VoidType(), [builder.bitcast(place, INT8.as_pointer())])


def flush_denormals(builder: Any, place: Any) -> Any:
    """Take numbers below the normal range for 0 in this thread; returns what it was before (int32).

    ``place`` is memory for 32 bits. Nothing happens on processors other than x86.
    """
    builder.store(INT32(0), place)
    if X86:
        _control(builder, "stmxcsr", place)
    before = builder.load(place)
    if X86:
        builder.store(builder.or_(before, INT32(_FLUSH)), place)
        _control(builder, "ldmxcsr", place)
    return before


def restore_denormals(builder: Any, place: Any, before: Any) -> None:
    """Undo :func:`flush_denormals`."""
    if X86:
        builder.store(before, place)
        _control(builder, "ldmxcsr", place)


class _BFloat(ir.Type):
    """bfloat16, which llvmlite does not know by name."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


BFLOAT = _BFloat()


def to_bfloat(builder: Any, x: Lanes, value: Any, hardware: bool) -> Any:
    """float32 lanes rounded to bfloat16 (to nearest, ties to even; NaN stays NaN), as 16-bit integers."""
    halves = ir.VectorType(ir.IntType(16), x.lanes)
    if hardware:
        return builder.bitcast(builder.fptrunc(value, ir.VectorType(BFLOAT, x.lanes)), halves)
    ints = ir.VectorType(INT32, x.lanes)

    def number(n: int) -> ir.Constant:
        return ir.Constant(ints, [ir.Constant(INT32, n)] * x.lanes)

    bits = builder.bitcast(value, ints)
    odd = builder.and_(builder.lshr(bits, number(16)), number(1))
    rounded = builder.add(bits, builder.add(odd, number(0x7FFF)))
    quiet = builder.select(builder.fcmp_unordered("uno", value, value), number(0x7FC00000), rounded)
    return builder.trunc(builder.lshr(quiet, number(16)), halves)


def dot_bfloat(builder: Any, x: Lanes, a: Any, b: Any, total: Any, hardware: bool) -> Any:
    """``total`` plus the products of pairs of bfloat16, which float32 lanes of ``a`` and ``b`` hold as their bits."""
    if hardware:
        pairs = ir.VectorType(BFLOAT, 2 * x.lanes)
        name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * x.lanes}"
        return call(builder, name, vector_type(x), [total, builder.bitcast(a, pairs), builder.bitcast(b, pairs)])
    ints = ir.VectorType(INT32, x.lanes)
    shift, upper = (ir.Constant(ints, [ir.Constant(INT32, n)] * x.lanes) for n in (16, 0xFFFF0000))

    def parts(value: Any) -> tuple[Any, Any]:
        bits = builder.bitcast(value, ints)
        low, high = builder.shl(bits, shift), builder.and_(bits, upper)
        return builder.bitcast(low, vector_type(x)), builder.bitcast(high, vector_type(x))

    for first, second in zip(parts(a), parts(b), strict=True):
        total = fused(builder, x, first, second, total)
    return total


def amx(builder: Any, name: str, *args: Any) -> None:
    """An instruction on AMX tiles; tiles are constant numbers (int8)."""
    call(builder, f"llvm.x86.{name}", ir.VoidType(), list(args))

"""SIMD vectors as a numba type.

A kernel written with these keeps its accumulators in registers and vectorises whatever the loop around it looks
like; LLVM splits or joins the vectors to the width that the processor has. ``Vec(float32, 16)`` supports
``+ - * /``, unary ``-`` and ``abs``; the functions below load, store, compare and reduce.

Nothing here is contracted: ``a * b + c`` rounds twice. Only :func:`fma` fuses.
"""

from __future__ import annotations

import math
import operator
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

X86 = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
INT8 = ir.IntType(8)
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)


class Vec(types.Type):
    """``lanes`` numbers of one floating-point type, held in registers."""

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vec({dtype}, {lanes})")


class Mask(types.Type):
    """One truth value per lane."""

    def __init__(self, dtype: types.Float, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Mask({dtype}, {lanes})")


def _element(dtype: types.Float) -> ir.Type:
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def _llvm(vec: Vec | Mask) -> ir.VectorType:
    return ir.VectorType(ir.IntType(1) if isinstance(vec, Mask) else _element(vec.dtype), vec.lanes)


@register_model(Vec)
@register_model(Mask)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vec | Mask) -> None:
        super().__init__(dmm, fe_type, _llvm(fe_type))


def _binary(op: Any, instruction: str) -> None:
    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: tuple, kws: dict) -> Any:
            if len(args) == 2 and isinstance(args[0], Vec) and args[0] == args[1]:
                return signature(args[0], args[0], args[0])
            return None

    @lower_builtin(op, Vec, Vec)
    def _lower(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return getattr(builder, instruction)(args[0], args[1])


for _op, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _binary(_op, _instruction)


@infer_global(operator.neg)
class _NegTyping(AbstractTemplate):
    def generic(self, args: tuple, kws: dict) -> Any:
        return signature(args[0], args[0]) if isinstance(args[0], Vec) else None


@lower_builtin(operator.neg, Vec)
def _lower_neg(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
    return builder.fneg(args[0])


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vec: ir.Type) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index], inbounds=True), vec.as_pointer())


def _lanes(lanes: Any) -> int:
    return int(lanes.literal_value)


@intrinsic
def load(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """``lanes`` consecutive elements of a 1-D array, from ``index`` on (no bounds are checked)."""
    if not (isinstance(array, types.Array) and array.ndim == 1 and isinstance(lanes, types.IntegerLiteral)):
        return None
    vec = Vec(array.dtype, _lanes(lanes))

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], _llvm(vec))
        return builder.load(pointer, align=vec.dtype.bitwidth // 8, typ=_llvm(vec))

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
        pointer = _pointer(context, builder, sig.args[0], args[0], args[1], _llvm(value))
        builder.store(args[2], pointer, align=value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.none(array, types.intp, value), codegen


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
def broadcast(typingctx: Any, value: Any, lanes: Any) -> Any:
    """The same number in every lane."""
    if not (isinstance(value, types.Float) and isinstance(lanes, types.IntegerLiteral)):
        return None
    vec = Vec(value, _lanes(lanes))

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        undef = ir.Constant(_llvm(vec), ir.Undefined)
        first = builder.insert_element(undef, args[0], INT32(0))
        mask = ir.Constant(ir.VectorType(INT32, vec.lanes), [0] * vec.lanes)
        return builder.shuffle_vector(first, undef, mask)

    return vec(value, lanes), codegen


def _splat(vec: Vec, value: float) -> ir.Constant:
    return ir.Constant(_llvm(vec), [ir.Constant(_element(vec.dtype), value)] * vec.lanes)


def _call(builder: Any, name: str, result: ir.Type, args: list[Any]) -> Any:
    """Call an external function or LLVM intrinsic, declared once per module."""
    known = builder.module.globals.get(name)
    declared = known or ir.Function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(declared, args)


def _fmuladd(builder: Any, vec: Vec, a: Any, b: Any, c: Any) -> Any:
    return _call(builder, f"llvm.fmuladd.v{vec.lanes}f{vec.dtype.bitwidth}", _llvm(vec), [a, b, c])


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""
    if not (isinstance(a, Vec) and a == b == c):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return _fmuladd(builder, a, *args)

    return a(a, a, a), codegen


def _unary_llvm(name: str, doc: str) -> Any:
    def unary(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
            return _call(builder, f"llvm.{name}.v{x.lanes}f{x.dtype.bitwidth}", _llvm(x), list(args))

        return x(x), codegen

    unary.__name__ = f"v{name}"
    unary.__doc__ = doc
    return intrinsic(unary)


vabs = _unary_llvm("fabs", "Absolute value of every lane.")
vsqrt = _unary_llvm("sqrt", "Square root of every lane.")


@intrinsic
def greater(typingctx: Any, a: Any, b: Any) -> Any:
    """``a > b`` per lane (False where either is NaN)."""
    if not (isinstance(a, Vec) and a == b):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return builder.fcmp_ordered(">", args[0], args[1])

    return Mask(a.dtype, a.lanes)(a, a), codegen


@intrinsic
def select(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """``a`` where the mask holds, else ``b``."""
    if not (isinstance(mask, Mask) and isinstance(a, Vec) and a == b):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return builder.select(args[0], args[1], args[2])

    return a(mask, a, a), codegen


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
            return _splat(x, value)

        value = builder.select(builder.fcmp_ordered("<", args[0], const(-87.3)), const(-87.3), args[0])
        value = builder.select(builder.fcmp_ordered(">", value, const(88.7)), const(88.7), value)
        magic = const(12582912.0)  # 1.5 * 2**23: adding it rounds to an integer held in the low bits
        shifted = _fmuladd(builder, x, value, const(1.4426950408889634), magic)
        n = builder.fsub(shifted, magic)
        r = _fmuladd(builder, x, n, const(-0.693359375), value)
        r = _fmuladd(builder, x, n, const(2.12194440054690583e-4), r)
        p = const(_EXP_POLYNOMIAL.coef[-1])
        for coefficient in _EXP_POLYNOMIAL.coef[-2::-1]:
            p = _fmuladd(builder, x, p, r, const(coefficient))
        exponent = builder.shl(
            builder.bitcast(shifted, ints), ir.Constant(ints, [ir.Constant(INT32, 23)] * x.lanes)
        )  # the bits of the magic number are shifted out
        return builder.bitcast(builder.add(builder.bitcast(p, ints), exponent), _llvm(x))

    return x(x), codegen


@intrinsic
def vexp_libm(typingctx: Any, x: Any) -> Any:
    """``exp`` of every lane by the C library, one lane after the other."""
    if not isinstance(x, Vec):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        element = _element(x.dtype)
        name = "exp" if x.dtype == types.float64 else "expf"
        out = ir.Constant(_llvm(x), ir.Undefined)
        for lane in range(x.lanes):
            value = _call(builder, name, element, [builder.extract_element(args[0], INT32(lane))])
            out = builder.insert_element(out, value, INT32(lane))
        return out

    return x(x), codegen

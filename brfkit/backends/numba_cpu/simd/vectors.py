"""The vector type, its arithmetic, comparison and choice."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

INT32 = ir.IntType(32)


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


def element(dtype: types.Float) -> ir.Type:
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def llvm_type(vec: Vec | Mask) -> ir.VectorType:
    return ir.VectorType(ir.IntType(1) if isinstance(vec, Mask) else element(vec.dtype), vec.lanes)


@register_model(Vec)
@register_model(Mask)
class _VecModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Vec | Mask) -> None:
        super().__init__(dmm, fe_type, llvm_type(fe_type))


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


def lanes_of(lanes: Any) -> int:
    return int(lanes.literal_value)


@intrinsic
def broadcast(typingctx: Any, value: Any, lanes: Any) -> Any:
    """The same number in every lane."""
    if not (isinstance(value, types.Float) and isinstance(lanes, types.IntegerLiteral)):
        return None
    vec = Vec(value, lanes_of(lanes))

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        undef = ir.Constant(llvm_type(vec), ir.Undefined)
        first = builder.insert_element(undef, args[0], INT32(0))
        mask = ir.Constant(ir.VectorType(INT32, vec.lanes), [0] * vec.lanes)
        return builder.shuffle_vector(first, undef, mask)

    return vec(value, lanes), codegen


def splat(vec: Vec, value: float) -> ir.Constant:
    return ir.Constant(llvm_type(vec), [ir.Constant(element(vec.dtype), value)] * vec.lanes)


def call(builder: Any, name: str, result: ir.Type, args: list[Any]) -> Any:
    """Call an external function or LLVM intrinsic, declared once per module."""
    known = builder.module.globals.get(name)
    declared = known or ir.Function(builder.module, ir.FunctionType(result, [a.type for a in args]), name)
    return builder.call(declared, args)


def fused(builder: Any, vec: Vec, a: Any, b: Any, c: Any) -> Any:
    return call(builder, f"llvm.fmuladd.v{vec.lanes}f{vec.dtype.bitwidth}", llvm_type(vec), [a, b, c])


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""
    if not (isinstance(a, Vec) and a == b == c):
        return None

    def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
        return fused(builder, a, *args)

    return a(a, a, a), codegen


def _unary_llvm(name: str, doc: str) -> Any:
    def unary(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None

        def codegen(context: Any, builder: Any, sig: Any, args: tuple) -> Any:
            return call(builder, f"llvm.{name}.v{x.lanes}f{x.dtype.bitwidth}", llvm_type(x), list(args))

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

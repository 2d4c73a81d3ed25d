"""The vector type, its arithmetic, comparison and choice."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from brfkit.backends.numba_cpu.native import emit


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


def llvm_type(vec: Vec | Mask) -> ir.VectorType:
    return ir.VectorType(emit.INT1, vec.lanes) if isinstance(vec, Mask) else emit.vector_type(vec)


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

    return vec(value, lanes), lambda context, builder, sig, args: emit.broadcast(builder, vec, args[0])


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""
    if not (isinstance(a, Vec) and a == b == c):
        return None
    return a(a, a, a), lambda context, builder, sig, args: emit.fused(builder, a, *args)


def _unary_llvm(name: str, doc: str) -> Any:
    def unary(typingctx: Any, x: Any) -> Any:
        if not isinstance(x, Vec):
            return None
        return x(x), lambda context, builder, sig, args: emit.unary(builder, x, name, args[0])

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

"""Operators, conversions and the functions of :mod:`brfkit.backends.numba_cpu.simd` on compiled values."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from brfkit.backends.numba_cpu.native import emit
from brfkit.backends.numba_cpu.native.types import (
    BOOL,
    FLOAT32,
    FLOAT64,
    INT64,
    UINT32,
    UINT64,
    Array,
    Mask,
    Nothing,
    Number,
    Value,
    Vector,
)

NONE = Value(Nothing(), None)


class CompileError(Exception):
    """Text that is not in the subset of Python that is compiled."""


def constant(value: int | float | bool) -> Value:
    if isinstance(value, bool):
        return Value(BOOL, emit.INT1(int(value)), int(value))
    if isinstance(value, int):
        return Value(INT64, emit.INT64(value), value)
    return Value(FLOAT64, ir.DoubleType()(value), value)


def number(value: Value) -> Number:
    if not isinstance(value.type, Number):
        raise CompileError(f"a number was expected, not {value.type}")
    return value.type


def array(value: Value) -> Array:
    if not isinstance(value.type, Array):
        raise CompileError(f"an array was expected, not {value.type}")
    return value.type


def vector(value: Value) -> Vector:
    if not isinstance(value.type, Vector):
        raise CompileError(f"a vector was expected, not {value.type}")
    return value.type


def convert(builder: Any, value: Value, to: Number) -> Value:
    """A number as another type, as NumPy's constructors convert."""
    source = number(value)
    if source == to:
        return value
    if value.constant is not None and to.kind != "b":
        known = float(value.constant) if to.kind == "f" else int(value.constant) & ((1 << to.bitwidth) - 1)
        return Value(to, ir.Constant(to.llvm, known), value.constant)
    if to.kind == "b":
        return truth(builder, value)
    if source.kind == "f" and to.kind == "f":
        cast = builder.fpext if to.bitwidth > source.bitwidth else builder.fptrunc
    elif source.kind == "f":
        cast = builder.fptosi if to.kind == "i" else builder.fptoui
    elif to.kind == "f":
        cast = builder.sitofp if source.kind == "i" else builder.uitofp
    elif source.bitwidth == to.bitwidth:
        return Value(to, value.llvm)
    elif source.bitwidth > to.bitwidth:
        cast = builder.trunc
    else:
        cast = builder.sext if source.kind == "i" else builder.zext
    return Value(to, cast(value.llvm, to.llvm))


def truth(builder: Any, value: Value) -> Value:
    kind = number(value)
    if kind == BOOL:
        return value
    zero = ir.Constant(kind.llvm, 0.0 if kind.kind == "f" else 0)
    compare = builder.fcmp_unordered if kind.kind == "f" else builder.icmp_unsigned
    return Value(BOOL, compare("!=", value.llvm, zero))


def common(builder: Any, a: Value, b: Value) -> tuple[Value, Value]:
    """Both numbers as the type in which they are combined. int64 with uint64, which numba makes float64, is refused
    except for literals."""
    x, y = number(a), number(b)
    if x == y and x != BOOL:
        return a, b
    if "f" in (x.kind, y.kind):
        floats = [t for t in (x, y) if t.kind == "f"]
        # Integers pull float32 up to float64, as they do in numba.
        to = FLOAT32 if floats == [FLOAT32, FLOAT32] else FLOAT64
    elif "u" in (x.kind, y.kind):
        for kind, value in ((x, a), (y, b)):
            if kind.kind == "i" and value.constant is None:
                raise CompileError("int64 and uint64 are combined; convert one of them")
        to = UINT64
    else:
        to = INT64
    return convert(builder, a, to), convert(builder, b, to)


_FLOAT = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
_INTEGER = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul"}
_BITS = {ast.BitAnd: "and_", ast.BitOr: "or_", ast.BitXor: "xor"}
_FOLD: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
    ast.LShift: lambda a, b: a << b,
    ast.RShift: lambda a, b: a >> b,
}


def binary(builder: Any, op: type, a: Value, b: Value) -> Value:
    """``a op b`` of two numbers or two vectors of the same kind."""
    if isinstance(a.type, Vector):
        if a.type != b.type or op not in _FLOAT:
            raise CompileError(f"{op.__name__} of {a.type} and {b.type}")
        return Value(a.type, getattr(builder, _FLOAT[op])(a.llvm, b.llvm))
    if a.type == b.type == INT64 and a.constant is not None and b.constant is not None and op in _FOLD:
        return constant(_FOLD[op](a.constant, b.constant))
    a, b = common(builder, a, b)
    kind = number(a)
    if kind.kind == "f":
        if op not in _FLOAT:
            raise CompileError(f"{op.__name__} of floating-point numbers")
        return Value(kind, getattr(builder, _FLOAT[op])(a.llvm, b.llvm))
    if op in _INTEGER:
        # A signed sum that overflows is an error of the kernel; saying so lets LLVM simplify addresses.
        return Value(kind, getattr(builder, _INTEGER[op])(a.llvm, b.llvm, flags=("nsw",) if kind.kind == "i" else ()))
    if op in _BITS:
        return Value(kind, getattr(builder, _BITS[op])(a.llvm, b.llvm))
    if op is ast.LShift:
        return Value(kind, builder.shl(a.llvm, b.llvm))
    if op is ast.RShift:
        return Value(kind, (builder.ashr if kind.kind == "i" else builder.lshr)(a.llvm, b.llvm))
    if op in (ast.FloorDiv, ast.Mod):
        return _divide(builder, op, a, b)
    if op is ast.Div:
        return binary(builder, op, convert(builder, a, FLOAT64), convert(builder, b, FLOAT64))
    raise CompileError(f"operator {op.__name__}")


def _divide(builder: Any, op: type, a: Value, b: Value) -> Value:
    """Rounded down, as in Python."""
    kind = number(a)
    if kind.kind == "u":
        return Value(kind, (builder.udiv if op is ast.FloorDiv else builder.urem)(a.llvm, b.llvm))
    known = b.constant
    if isinstance(known, int) and known > 0 and known & (known - 1) == 0:
        if op is ast.Mod:
            return Value(kind, builder.and_(a.llvm, kind.llvm(known - 1)))
        return Value(kind, builder.ashr(a.llvm, kind.llvm(known.bit_length() - 1)))
    quotient, rest = builder.sdiv(a.llvm, b.llvm), builder.srem(a.llvm, b.llvm)
    zero = kind.llvm(0)
    signs = builder.icmp_signed("<", builder.xor(rest, b.llvm), zero)
    wrong = builder.and_(builder.icmp_signed("!=", rest, zero), signs)
    if op is ast.Mod:
        return Value(kind, builder.select(wrong, builder.add(rest, b.llvm), rest))
    return Value(kind, builder.select(wrong, builder.sub(quotient, kind.llvm(1)), quotient))


_COMPARE: dict[type, str] = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}


def compare(builder: Any, op: type, a: Value, b: Value) -> Value:
    a, b = common(builder, a, b)
    kind, sign = number(a), _COMPARE[op]
    if kind.kind == "f":
        function = builder.fcmp_unordered if sign == "!=" else builder.fcmp_ordered
    else:
        function = builder.icmp_signed if kind.kind == "i" else builder.icmp_unsigned
    return Value(BOOL, function(sign, a.llvm, b.llvm))


def negative(builder: Any, a: Value) -> Value:
    if isinstance(a.type, Vector) or number(a).kind == "f":
        return Value(a.type, builder.fneg(a.llvm))
    if a.constant is not None:
        return constant(-a.constant)
    return Value(a.type, builder.neg(a.llvm))


def pointer(builder: Any, source: Value, index: Value) -> Any:
    """Where an element of an array lies."""
    return builder.gep(source.llvm, [convert(builder, index, INT64).llvm], inbounds=True)


def get(builder: Any, source: Value, index: Value) -> Value:
    return Value(array(source).dtype, builder.load(pointer(builder, source, index)))


def put(builder: Any, target: Value, index: Value, value: Value) -> Value:
    builder.store(convert(builder, value, array(target).dtype).llvm, pointer(builder, target, index))
    return NONE


def choose(builder: Any, mask: Any, a: Value, b: Value) -> Value:
    return Value(a.type, builder.select(mask, a.llvm, b.llvm))


def least(builder: Any, a: Value, b: Value) -> Value:
    return choose(builder, compare(builder, ast.Lt, b, a).llvm, *reversed(common(builder, a, b)))


def greatest(builder: Any, a: Value, b: Value) -> Value:
    return choose(builder, compare(builder, ast.Gt, b, a).llvm, *reversed(common(builder, a, b)))


def _lanes(value: Value) -> int:
    if not isinstance(value.constant, int):
        raise CompileError("the number of lanes is not a constant")
    return value.constant


def _vector_pointer(builder: Any, source: Value, index: Value, kind: Vector) -> Any:
    return builder.bitcast(pointer(builder, source, index), kind.llvm.as_pointer())


def _load(builder: Any, source: Value, index: Value, lanes: Value) -> Value:
    kind = Vector(array(source).dtype, _lanes(lanes))
    return Value(kind, builder.load(_vector_pointer(builder, source, index, kind), align=kind.dtype.bitwidth // 8))


def _store(builder: Any, target: Value, index: Value, value: Value) -> Value:
    kind = vector(value)
    builder.store(value.llvm, _vector_pointer(builder, target, index, kind), align=kind.dtype.bitwidth // 8)
    return NONE


def _broadcast(builder: Any, value: Value, lanes: Value) -> Value:
    kind = Vector(number(value), _lanes(lanes))
    return Value(kind, emit.broadcast(builder, kind, value.llvm))


def _greater(builder: Any, a: Value, b: Value) -> Value:
    return Value(Mask(vector(a).lanes), builder.fcmp_ordered(">", a.llvm, b.llvm))


def _bits(builder: Any, mask: Value) -> Value:
    if not isinstance(mask.type, Mask):
        raise CompileError(f"bits of {mask.type}")
    return Value(UINT64, emit.mask_bits(builder, mask.type.lanes, mask.llvm))


def _flush(builder: Any) -> Value:
    return Value(UINT32, emit.flush_denormals(builder, _place(builder)))


def _restore(builder: Any, before: Value) -> Value:
    emit.restore_denormals(builder, _place(builder), before.llvm)
    return NONE


def _place(builder: Any) -> Any:
    with builder.goto_entry_block():
        return builder.alloca(emit.INT32)


def _store_bfloat(hardware: bool) -> Callable[..., Value]:
    def store(builder: Any, target: Value, index: Value, value: Value) -> Value:
        made = emit.to_bfloat(builder, vector(value), value.llvm, hardware)
        place = builder.bitcast(pointer(builder, target, index), made.type.as_pointer())
        builder.store(made, place, align=4)
        return NONE

    return store


def _dot_bfloat(hardware: bool) -> Callable[..., Value]:
    return lambda builder, a, b, total: Value(
        total.type, emit.dot_bfloat(builder, vector(total), a.llvm, b.llvm, total.llvm, hardware)
    )


def _amx_configure(builder: Any, rows: Value) -> Value:
    """Tiles 0-5 of ``rows`` rows and tiles 6 and 7 of 16 rows, 64 bytes each."""
    with builder.goto_entry_block():
        place = builder.alloca(ir.ArrayType(emit.INT8, 64))
    builder.store(ir.Constant(place.type.pointee, None), place)

    def put_byte(at: int, value: int) -> None:
        builder.store(emit.INT8(value), builder.gep(place, [emit.INT32(0), emit.INT32(at)]))

    put_byte(0, 1)
    for tile in range(8):
        put_byte(16 + 2 * tile, 64)
        put_byte(48 + tile, _lanes(rows) if tile < 6 else 16)
    emit.amx(builder, "ldtilecfg", builder.bitcast(place, emit.INT8.as_pointer()))
    return NONE


def _amx_memory(name: str) -> Callable[..., Value]:
    """Load or store a tile; ``stride`` counts numbers from one row to the next."""

    def access(builder: Any, tile: Value, target: Value, index: Value, stride: Value) -> Value:
        place = builder.bitcast(pointer(builder, target, index), emit.INT8.as_pointer())
        bytes_ = builder.mul(stride.llvm, emit.INT64(array(target).dtype.bitwidth // 8))
        emit.amx(builder, name, emit.INT8(_lanes(tile)), place, bytes_)
        return NONE

    return access


def _amx_registers(name: str) -> Callable[..., Value]:
    def instruction(builder: Any, *tiles: Value) -> Value:
        emit.amx(builder, name, *(emit.INT8(_lanes(t)) for t in tiles))
        return NONE

    return instruction


def _of_vector(function: Callable[[Any, Vector, Any], Any]) -> Callable[[Any, Value], Value]:
    return lambda builder, x: Value(x.type, function(builder, vector(x), x.llvm))


SIMD: dict[str, Callable[..., Value]] = {
    "load": _load,
    "store": _store,
    "get": get,
    "put": put,
    "broadcast": _broadcast,
    "fma": lambda builder, a, b, c: Value(a.type, emit.fused(builder, vector(a), a.llvm, b.llvm, c.llvm)),
    "greater": _greater,
    "select": lambda builder, mask, a, b: choose(builder, mask.llvm, a, b),
    "vabs": _of_vector(lambda builder, x, value: emit.unary(builder, x, "fabs", value)),
    "vsqrt": _of_vector(lambda builder, x, value: emit.unary(builder, x, "sqrt", value)),
    "vexp": _of_vector(emit.exp),
    "vexpm1": _of_vector(emit.expm1),
    "vexp_libm": _of_vector(lambda builder, x, value: emit.by_library(builder, x, "exp", value)),
    "vexpm1_libm": _of_vector(lambda builder, x, value: emit.by_library(builder, x, "expm1", value)),
    "bits": _bits,
    "count_trailing_zeros": lambda builder, x: Value(INT64, builder.cttz(x.llvm, emit.INT1(0))),
    "popcount": lambda builder, x: Value(INT64, builder.ctpop(x.llvm)),
    "store_bfloat": _store_bfloat(True),
    "store_bfloat_software": _store_bfloat(False),
    "dot_bfloat": _dot_bfloat(True),
    "dot_bfloat_software": _dot_bfloat(False),
    "amx_configure": _amx_configure,
    "amx_release": _amx_registers("tilerelease"),
    "amx_zero": _amx_registers("tilezero"),
    "amx_load": _amx_memory("tileloadd64"),
    "amx_store": _amx_memory("tilestored64"),
    "amx_dot": _amx_registers("tdpbf16ps"),
    "flush_denormals": _flush,
    "restore_denormals": _restore,
    "address": lambda builder, x: Value(INT64, builder.ptrtoint(x.llvm, emit.INT64)),
}


def simd(builder: Any, name: str, args: Sequence[Value]) -> Value:
    if name not in SIMD:
        raise CompileError(f"simd.{name}")
    return SIMD[name](builder, *args)
